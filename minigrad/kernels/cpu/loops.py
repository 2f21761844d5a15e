"""From a formula over arrays to one loop over memory.

    fast = accelerate(lambda g, x: g * (x > 0))
    fast(g, x)

runs the formula on NumPy while the arrays are small, and from `SMALL` elements on as one compiled
loop: each argument is read once, the result written once, on all threads, with SIMD. The formula is
compiled as it stands (formulas.py makes the substitutions).

A loop reads each argument at consecutive addresses, or one value of it for a whole row; what cannot
be arranged so (an unusual dtype, a formula without a compiled form) stays with the formula.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from math import copysign, prod
from opcode import opmap
from sys import modules
from typing import Any

import numpy as np

from ... import config
from ...backend.devices import array_module
from . import compiler, formulas, threads
from .compiler import specialise
from .passes import FLAT, ROWS, TEMPLATES

SMALL = 4096
"""Elements below which NumPy is at least as fast: see docs/performance.md."""
ONE_PASS = 1 << 17
"""The same for formulas that are one NumPy function, which has SIMD too: threads must pay alone."""
MANY_STEPS = 6
"""Formulas that cost so many times what an operator of NumPy costs (0.6 us) are slower than a loop
at any size."""
SHORTEST_ROW = 16
"""Rows shorter than this cost more in calls than they save."""

F32, F64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)
VARIES = "fd?"
"""Pattern letters: an argument of this dtype that varies along a row; in capitals (and !):
does not.
"""
FIXED = {"f": "F", "d": "D", "?": "!"}

ndarray = np.ndarray
on_device: Any = None
"""Runs a formula of arrays on a GPU, or gives None: kernels/cuda puts it here."""


def accelerate(formula: Callable, name: str | None = None, rule_of: str | None = None) -> Callable:
    """`formula` with its loop beside it: the forward function of the primitive `name`, or a rule of
    the primitive `rule_of`.
    """
    loop = Loop(formula, name)
    code = formula.__code__
    steps = _steps_of(formula, MANY_STEPS if rule_of else 2)
    if name in formulas.ONE_PASS or (rule_of is not None and steps < 2):
        small = ONE_PASS
    else:
        small = 1 if steps >= MANY_STEPS else SMALL
    call: Any
    if small == 1 and (code.co_kwonlyargcount or code.co_argcount > 2):

        def call_always(*args: Any, **options: Any) -> Any:
            return loop(args, options)

        call = call_always

    elif code.co_argcount == 1 and not code.co_kwonlyargcount:

        def call_one(x: Any) -> Any:
            if type(x) is ndarray and x.size < small:
                return formula(x)
            y = loop.run_one(x)
            return loop((x,), {}) if y is None else y

        call = call_one

    elif code.co_argcount == 2 and not code.co_kwonlyargcount:

        def call_two(x: Any, y: Any) -> Any:
            if (type(x) is not ndarray or x.size < small) and (
                type(y) is not ndarray or y.size < small
            ):
                if "cupy" not in modules or type(x) is ndarray is type(y):
                    return formula(x, y)
            z = loop.run_two(x, y)
            return loop((x, y), {}) if z is None else z

        call = call_two

    else:

        def call_any(*args: Any, **options: Any) -> Any:
            for x in args:
                if type(x) is ndarray and x.size >= small:
                    return loop(args, options)
            return loop(args, options) if "cupy" in modules else formula(*args, **options)

        call = call_any

    call.__wrapped__ = formula
    call.loop = loop
    return call


def _steps_of(formula: Callable, call: int) -> int:
    """How many operators of arrays a formula costs; a call costs as much as `call` of them."""
    code = formula.__code__
    opcodes, arguments = code.co_code[::2], code.co_code[1::2]  # dis takes 50 us, these 2
    calls = opcodes.count(_CALL)
    if "conj" in code.co_names:  # of real numbers: nothing
        place = code.co_names.index("conj")
        loads = [a >> 1 for o, a in zip(opcodes, arguments, strict=True) if o == _LOAD_GLOBAL]
        calls -= loads.count(place)
    return sum([opcodes.count(o) for o in _OPERATORS]) + call * calls


_CALL, _LOAD_GLOBAL = opmap["CALL"], opmap["LOAD_GLOBAL"]
_OPERATORS = [opmap[name] for name in ("BINARY_OP", "COMPARE_OP", "UNARY_NEGATIVE")]


def _launch(found: Any, shape: tuple[int, ...], n: int, *flat: Any) -> Any:
    """The loop that `Loop._find_alike` has found, over n elements."""
    address, out_dtype, launch = found[:3]
    y = np.empty(shape, out_dtype)
    if n < threads.PARALLEL or (chunks := threads.count()) == 1:
        launch.serial(address, n, 1, *flat, y.ravel())
    else:
        launch.parallel(address, n, chunks, *flat, y.ravel())
    return y


class Loop:
    """A formula, and its compiled forms by dtype and pattern."""

    def __init__(self, formula: Callable, name: str | None):
        self.formula = formula
        self.name = name
        code = formula.__code__
        self.options = code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]
        self.defaults = formula.__kwdefaults__ or {}
        self.compiled: dict[tuple[Any, str], tuple[int, Any] | None] = {}
        self.alike: dict[Any, Any] = {}  # by the arguments' dtypes: see _find_alike
        LOOPS.append(self)

    def __call__(self, args: tuple[Any, ...], options: dict[str, Any], out: Any = None) -> Any:
        """The formula's result, in `out` if the loop can write it there."""
        if config.SETTINGS.get().kernels != "off":
            if "cupy" in modules and any([array_module(x) is not np for x in args]):
                y = on_device(self, args, options)
                return self.formula(*args, **options) if y is None else y
            y = self.run_alike(args, options) if out is None else None
            if y is None:
                y = self._run(args, options, out)
            if y is not None:
                return y
        return self.formula(*args, **options)

    def run_alike(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The short way for arrays of one dtype and shape, and numbers; else None."""
        if self.options:
            given = [options[o] if o in options else self.defaults[o] for o in self.options]
            args = (*args, *given)
        first = args[0]
        if type(first) is not ndarray or not (n := first.size) or not (shape := first.shape):
            return None
        flat, kinds, numbers = [], [], False
        for x in args:
            kind = type(x)
            if kind is ndarray:
                if x.shape == shape:
                    if n >= SMALL and not x.flags.c_contiguous:
                        return None  # a few elements are as well copied
                    flat.append(x.ravel())
                    kinds.append(x.dtype)
                    continue
                if x.shape or x.dtype.kind not in "fi":
                    return None
                x = x.item()
            elif kind is not float and kind is not int:
                return None
            flat.append(x)
            kinds.append(None)
            numbers = True
        key = tuple(kinds)
        found = self.alike[key] if key in self.alike else self._find_alike(key)
        if found is None:
            return None
        if numbers:
            dtype = found[3]
            flat = [_number(x, dtype) if k is None else x for x, k in zip(flat, kinds, strict=True)]
        return _launch(found, shape, n, *flat)

    def run_one(self, x: Any) -> Any:
        """`run_alike` for one array, without a loop over arguments."""
        if type(x) is not ndarray or not (n := x.size) or config.SETTINGS.get().kernels == "off":
            return None
        found = self.alike.get((x.dtype,))
        if found is None or not x.shape or not (n < SMALL or x.flags.c_contiguous):
            return None
        return _launch(found, x.shape, n, x.ravel())

    def run_two(self, a: Any, b: Any) -> Any:
        """The same for two arrays."""
        if type(a) is not ndarray or type(b) is not ndarray or a.shape != b.shape or not a.shape:
            return None
        if not (n := a.size) or config.SETTINGS.get().kernels == "off":
            return None
        found = self.alike.get((a.dtype, b.dtype))
        if found is None or not (n < SMALL or (a.flags.c_contiguous and b.flags.c_contiguous)):
            return None
        return _launch(found, a.shape, n, a.ravel(), b.ravel())

    def _find_alike(self, kinds: tuple[Any, ...]) -> Any:
        found = None
        floating = {kind for kind in kinds if kind is not None and kind is not BOOL}
        dtype = floating.pop() if len(floating) == 1 else None
        if dtype is F32 or dtype is F64:
            letters = [FIXED[dtype.char] if kind is None else kind.char for kind in kinds]
            built = self._compile(dtype, "".join(letters))
            if built is not None:
                found = *built, FLAT[len(kinds)], dtype
        self.alike[kinds] = found
        return found

    def _run(self, args: tuple[Any, ...], options: dict[str, Any], out: Any = None) -> Any:
        """The result of the loop, or None where the formula has to do it."""
        if self.options:
            given = [options[o] if o in options else self.defaults[o] for o in self.options]
            args = (*args, *given)
        dtype = shape = repeated = None
        same = True  # all arrays have one shape and lie in one piece
        pattern = ""
        operands = []
        for x in args:
            if type(x) is ndarray and x.ndim:
                if not x.size:
                    return None
                kind = x.dtype
                if kind is F32 or kind is F64:
                    if dtype is None:
                        dtype = kind
                    elif kind is not dtype:
                        return None
                elif kind != BOOL:
                    return None
                if not any(x.strides):  # one number, repeated: the gradient of a sum
                    repeated = x.shape if repeated is None else repeated
                    if repeated != x.shape:
                        return None
                    operands.append(_first(x))
                    pattern += FIXED[kind.char]
                    continue
                if shape is None:
                    shape = x.shape
                elif x.shape != shape:
                    same = False
                if not x.flags.c_contiguous:
                    same = False
                pattern += kind.char
            elif x is None or type(x) is complex:
                return None
            else:
                pattern += "#"
            operands.append(x)
        if dtype is None or shape is None or (repeated is not None and repeated != shape):
            return None
        for i, p in enumerate(pattern):
            if p == "#":
                number = np.asarray(operands[i])
                if number.dtype.kind not in "fiub" or number.ndim:
                    return None
                operands[i] = number.astype(dtype).reshape(1)
        pattern = pattern.replace("#", FIXED[dtype.char])
        if same:
            return self._flat(operands, pattern, dtype, shape, out)
        return self._rows(operands, pattern, dtype, out)

    def _flat(self, operands: list[Any], pattern: str, dtype: Any, shape: Any, out: Any) -> Any:
        found = self._compile(dtype, pattern)
        if found is None:
            return None
        address, out_dtype = found
        y = _place(out, shape, out_dtype)
        n = y.size
        flat = [x.ravel() for x in operands]
        if n >= threads.PARALLEL and threads.count() > 1:
            FLAT[len(flat)].parallel(address, n, threads.count(), *flat, y.ravel())
        else:
            FLAT[len(flat)].serial(address, n, 1, *flat, y.ravel())
        return y

    def _rows(self, operands: list[Any], pattern: str, dtype: Any, out: Any) -> Any:
        """Broadcast arguments: rows are the longest run of last dimensions along which each
        argument either varies all the way or not at all.
        """
        shape, inner, varies, offsets = _layout_of(operands)
        if inner < SHORTEST_ROW and not all([x.flags.c_contiguous for x in operands]):
            operands = [np.ascontiguousarray(x) for x in operands]
            shape, inner, varies, offsets = _layout_of(operands)
        if inner < SHORTEST_ROW or len(operands) not in ROWS:
            return None
        pattern = "".join(p if v else FIXED.get(p, p) for p, v in zip(pattern, varies, strict=True))
        found = self._compile(dtype, pattern)
        if found is None:
            return None
        address, out_dtype = found
        y = _place(out, shape, out_dtype)
        flat = [x.ravel() if x.flags.c_contiguous else _first(x) for x in operands]
        ROWS[len(flat)].run(y.size, address, inner, threads.count(), offsets, *flat, y.ravel())
        return y

    def _compile(self, dtype: Any, pattern: str) -> tuple[int, Any] | None:
        """The address of the loop and the dtype of its result; None if it cannot be compiled."""
        key = (dtype, pattern)
        if key not in self.compiled:
            with compiler.COMPILE_LOCK:
                self.compiled[key] = self._build(dtype, pattern)
        return self.compiled[key]

    def _build(self, dtype: Any, pattern: str) -> tuple[int, Any] | None:
        numba = compiler.numba()
        if numba is None or len(pattern) not in FLAT:
            return None
        try:
            formula, identity = formulas.scalar(self.formula, self.name, dtype)
        except formulas.NoScalarForm:
            return None
        try:
            letters = {"f": numba.float32, "d": numba.float64, "?": numba.boolean}
            letters |= {FIXED[letter]: kind for letter, kind in letters.items()}
            out = self._result_dtype(dtype, pattern)
            names: dict[str, Any] = {"FORMULA": formula, "TY": letters[out.char]}
            for i, p in enumerate(pattern):
                names[f"T{i}"], names[f"V{i}"] = letters[p], p in VARIES
            loop = specialise(TEMPLATES[len(pattern)], **names)
            text = pattern.replace("?", "b").replace("!", "B")
            loop.__qualname__ = f"{formula.__name__}_{identity}_{text}"
            return compiler.address_of(loop, len(pattern) + 1), out
        except Exception as error:  # whatever Numba raises: the formula computes the same
            warnings.warn(
                f"minigrad: the formula {self.formula.__qualname__} of "
                f"{self.formula.__module__} runs uncompiled: {error}",
                UserWarning,
                stacklevel=4,
            )
            return None

    def _result_dtype(self, dtype: Any, pattern: str) -> Any:
        ones = [np.ones(1, BOOL if p in "?!" else dtype) for p in pattern]
        count = len(ones) - len(self.options)
        numbers = dict(zip(self.options, [float(x[0]) for x in ones[count:]], strict=True))
        return self.formula(*ones[:count], **numbers).dtype


def _number(value: Any, dtype: Any) -> Any:
    """A number as an array of one element, the same for the same number."""
    key = (value, dtype) if value else (copysign(1, value), value, dtype)  # 0.0 == -0.0
    known = _NUMBERS.get(key)
    if known is None:
        if len(_NUMBERS) > 1024:
            _NUMBERS.clear()
        known = _NUMBERS[key] = np.full(1, value, dtype)
    return known


_NUMBERS: dict[tuple[Any, float, Any], Any] = {}


def _place(out: Any, shape: Any, dtype: Any) -> Any:
    if out is not None and out.shape == shape and out.dtype == dtype and out.flags.c_contiguous:
        return out
    return np.empty(shape, dtype)


LOOPS: list[Loop] = []
"""Every loop there is, for the warm-up and for tests."""


_LAYOUTS: dict[Any, Any] = {}
"""Of broadcast arguments, by shapes and strides: programs see the same few over and over."""


def _layout_of(operands: list[Any]) -> tuple[Any, int, list[bool], Any]:
    key = tuple([(x.shape, x.strides) for x in operands])
    layout = _LAYOUTS.get(key)
    if layout is None:
        if len(_LAYOUTS) > 256:
            _LAYOUTS.clear()
        layout = _LAYOUTS[key] = _layout(operands)
    return layout


def _first(x: Any) -> Any:
    """The first element, whose address is what the rows are counted from."""
    return x[(slice(0, 1),) * x.ndim].reshape(1)


def _layout(operands: list[Any]) -> tuple[Any, int, list[bool], Any]:
    """(result's shape, length of a row, which arguments vary along it, byte offset of every row).

    The row is 0 long where the arguments cannot be broadcast: the formula says what is wrong.
    """
    try:
        shape = np.broadcast_shapes(*[x.shape for x in operands])
    except ValueError:
        return (), 0, [], None
    strides = [_steps(x, len(shape)) for x in operands]
    split, inner = len(shape), 1
    varies: list[Any] = [None] * len(operands)
    while split:
        size = shape[split - 1]
        if size != 1:
            pairs = list(zip([s[split - 1] for s in strides], operands, strict=True))
            now = [step == inner * x.itemsize for step, x in pairs]
            if any(not n and step for n, (step, _) in zip(now, pairs, strict=True)):
                break
            if varies[0] is not None and now != varies:
                break
            varies = now
            inner *= size
        split -= 1
    offsets = np.empty((len(operands) + 1, prod(shape[:split])), np.int64)
    for k, steps in enumerate(strides):
        offsets[k] = _offsets(shape[:split], steps[:split])
    # the result's rows are counted in elements of it, whose size is not known yet
    offsets[-1] = np.arange(offsets.shape[1]) * inner
    return shape, inner, [bool(v) for v in varies], offsets


def _steps(x: Any, ndim: int) -> tuple[int, ...]:
    """Bytes from one index to the next along each dimension of the result; 0 where broadcast."""
    steps = [s if size != 1 else 0 for s, size in zip(x.strides, x.shape, strict=True)]
    return (*[0] * (ndim - x.ndim), *steps)


def _offsets(shape: Any, steps: Any) -> Any:
    """The byte offset of every row, in order."""
    offsets = np.zeros((), np.int64)
    for size, step in zip(shape, steps, strict=True):
        offsets = offsets[..., None] + np.arange(size) * step
    return offsets.reshape(-1)
