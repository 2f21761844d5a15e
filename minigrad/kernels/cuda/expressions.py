"""Formulas as CUDA C: a formula is called with symbols, and what it does to them is noted.

    trace(lambda g, y: g * (1 - y * y), None, ["real", "real"])

gives the lines `A t0 = a1 * a1; A t1 = 1 - t0; A t2 = a0 * t1;` and the name of the result, t2. `A`
is the type in which the kernel computes; conditions are `bool`.

It is the formula that the CPU's loops compile (kernels/cpu/formulas.py): `scalar form` means the
same there and here, and what has no scalar form has none here either.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..cpu import scalars
from ..cpu.compiler import Kernel, Lazy
from ..cpu.formulas import SCALAR, NoScalarForm, globals_of

__all__ = ["Expression", "NoScalarForm", "Symbol", "trace"]


class Expression(NamedTuple):
    """Lines of C, and the names of the results with their kinds ("real" or "bool")."""

    lines: tuple[str, ...]
    results: tuple[tuple[str, str], ...]


class Notes(dict[str, "Symbol"]):
    """The values computed so far, by their C expressions, and which way an `if` is to go.

    A formula is called once for each way through it; an `if` beyond those of `path` goes on as if
    the condition held. In the kernel all ways are computed, and their results chosen from.
    """

    def __init__(self) -> None:
        self.path: list[bool] = []
        self.asked: list[Symbol] = []

    def decide(self, condition: Symbol) -> bool:
        self.asked.append(condition)
        k = len(self.asked) - 1
        if k == MOST_IFS:
            raise NoScalarForm("a formula with more conditions than a kernel should have")
        return self.path[k] if k < len(self.path) else True

    def results(self, formula: Callable, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """What the formula returns, `path` being how its first conditions go."""
        depth, self.asked = len(self.path), []
        found = formula(*arguments)
        if len(self.asked) > depth:
            condition = self.asked[depth]
            ways = []
            for way in (True, False):
                self.path.append(way)
                ways.append(self.results(formula, arguments))
                self.path.pop()
            pairs = zip(*ways, strict=True)
            return tuple([a if a is b else _where(condition, a, b) for a, b in pairs])
        return found if isinstance(found, tuple) else (found,)


MOST_IFS = 4


class Symbol:
    """A value in C: its name, its kind, and the list to which operations on it are added."""

    __slots__ = ("kind", "name", "notes")
    __array_ufunc__ = None  # NumPy's numbers leave operators to us

    def __init__(self, name: str, kind: str, notes: Notes):
        self.name, self.kind, self.notes = name, kind, notes

    def _note(self, text: str, kind: str) -> Symbol:
        """The value of the C expression `text`, which is computed once however often it occurs."""
        if text not in self.notes:
            self.notes[text] = Symbol(f"t{len(self.notes)}", kind, self.notes)
        return self.notes[text]

    def _operate(self, form: str, *others: Any, kind: str = "real") -> Symbol:
        want = "bool" if form in _LOGICAL else "real"
        return self._note(form.format(*[_text(x, want) for x in others]), kind)

    def __add__(self, other: Any) -> Symbol:
        return self._operate("{} + {}", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self._operate("{} + {}", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self._operate("{} - {}", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._operate("{} - {}", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self._operate("{} * {}", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._operate("{} * {}", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return self._operate("{} / {}", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._operate("{} / {}", other, self)

    def __pow__(self, other: Any) -> Symbol:
        return self._operate("pow_of({}, {})", self, other)

    def __rpow__(self, other: Any) -> Symbol:
        return self._operate("pow_of({}, {})", other, self)

    def __neg__(self) -> Symbol:
        return self._operate("-{}", self)

    def __abs__(self) -> Symbol:
        return self._operate("abs_of({})", self)

    def __gt__(self, other: Any) -> Symbol:
        return self._operate("{} > {}", self, other, kind="bool")

    def __lt__(self, other: Any) -> Symbol:
        return self._operate("{} < {}", self, other, kind="bool")

    def __ge__(self, other: Any) -> Symbol:
        return self._operate("{} >= {}", self, other, kind="bool")

    def __le__(self, other: Any) -> Symbol:
        return self._operate("{} <= {}", self, other, kind="bool")

    def __eq__(self, other: Any) -> Symbol:  # type: ignore[override]
        return self._operate("{} == {}", self, other, kind="bool")

    def __ne__(self, other: Any) -> Symbol:  # type: ignore[override]
        return self._operate("{} != {}", self, other, kind="bool")

    def __and__(self, other: Any) -> Symbol:
        return self._operate(_AND, self, other, kind="bool")

    def __or__(self, other: Any) -> Symbol:
        return self._operate(_OR, self, other, kind="bool")

    def __invert__(self) -> Symbol:
        return self._operate(_NOT, self, kind="bool")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return self.notes.decide(self)


_AND, _OR, _NOT = "{} & {}", "{} | {}", "!{}"
_LOGICAL = (_AND, _OR, _NOT)


def _text(x: Any, want: str = "real") -> str:
    """A symbol or a number in C, as the kind that is wanted."""
    if isinstance(x, Symbol):
        if x.kind == want:
            return x.name
        return f"(A){x.name}" if want == "real" else f"({x.name} != 0)"
    if want == "bool":
        return str(bool(x)).lower()
    if not isinstance(x, (bool, int, float, np.number)):
        raise NoScalarForm(f"a {type(x).__name__} among numbers")
    value = float(x)
    if math.isnan(value):
        return "(A)NAN"
    if math.isinf(value):
        return "(A)INFINITY" if value > 0 else "(-(A)INFINITY)"
    text = f"(A){value!r}"  # the shortest text that reads back as the same double
    return f"({text})" if math.copysign(1, value) < 0 else text


# ------------------------------------------------------------------------------ functions
def _function(form: str, number: Callable[..., float] | None = None) -> Callable:
    """The C function `form` of its arguments; numbers alone are computed here."""

    def call(*args: Any) -> Any:
        symbols = [x for x in args if isinstance(x, Symbol)]
        if symbols:
            return symbols[0]._operate(form, *args)
        if number is None:
            raise NoScalarForm(f"{form} of numbers")
        return number(*args)

    return call


def _where(condition: Any, x: Any, y: Any) -> Any:
    if not isinstance(condition, Symbol):
        return x if condition else y
    kinds = {v.kind for v in (x, y) if isinstance(v, Symbol)}
    kind = "bool" if kinds == {"bool"} else "real"
    chosen = f"{_text(condition, 'bool')} ? {_text(x, kind)} : {_text(y, kind)}"
    return condition._note(chosen, kind)


_FUNCTIONS: dict[str, Callable] = {
    "exp": _function("exp_of({})", math.exp),
    "expm1": _function("expm1_of({})", math.expm1),
    "log": _function("log_of({})", math.log),
    "log1p": _function("log1p_of({})", math.log1p),
    "tanh": _function("tanh_of({})", math.tanh),
    "erf": _function("erf_of({})", math.erf),
    "normal_below": _function("normal_below_of({})"),
    "sqrt": _function("sqrt_of({})", math.sqrt),
    "abs": abs,
    "sigmoid": _function("sigmoid_of({})"),
    "maximum": _function("maximum<A>({}, {})", max),
    "minimum": _function("minimum<A>({}, {})", min),
    "where": _where,
    "square": lambda x: x * x,
    "negative": lambda x: -x,
    "conj": lambda x: x,
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "true_divide": lambda x, y: x / y,
    "greater": lambda x, y: x > y,
    "less": lambda x, y: x < y,
    "greater_equal": lambda x, y: x >= y,
    "less_equal": lambda x, y: x <= y,
    "equal": lambda x, y: x == y,
    # of optimizers: an option that may be a tensor, and what is left of a number in a counter
    "number": lambda x: x,
    "as_counted": _function("(A)(C)({})"),
}
for _primitive, _ufunc in {
    "sub": "subtract", "mul": "multiply", "div": "true_divide", "neg": "negative",
    "gt": "greater", "lt": "less", "ge": "greater_equal", "le": "less_equal", "eq": "equal",
}.items():  # fmt: skip
    _FUNCTIONS[_primitive] = _FUNCTIONS[_ufunc]


class _NumPy:
    """What `np` means in a formula."""

    inf, pi = math.inf, math.pi

    def __getattr__(self, name: str) -> Any:
        if name not in _FUNCTIONS:
            raise NoScalarForm(f"np.{name}")
        return _FUNCTIONS[name]


_NUMPY = _NumPy()
_SCALARS = {
    id(getattr(scalars, name)): _FUNCTIONS[name]
    for name in """exp expm1 log log1p tanh sigmoid erf normal_below maximum minimum where square
        negative""".split()
}
"""The functions that scalar forms call, which live as long as their module."""


def _translated(value: Any) -> Any:
    """What a global of a formula becomes."""
    if value is np:
        return _NUMPY
    if value is math:
        return types.SimpleNamespace(inf=math.inf, pi=math.pi, sqrt=_FUNCTIONS["sqrt"])
    if id(value) in _SCALARS:
        return _SCALARS[id(value)]
    if isinstance(value, (Lazy, Kernel)):
        raise NoScalarForm(repr(value))
    if isinstance(value, np.ufunc):
        return getattr(_NUMPY, "abs" if value is np.abs else value.__name__)
    primitive = getattr(value, "primitive", None)
    if primitive is None and not isinstance(value, types.FunctionType):
        return value
    name = value.__name__ if primitive is None else primitive.name
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    return _symbolic(SCALAR.get(name) or (value if primitive is None else primitive.formula))


def _symbolic(function: Any) -> Callable:
    """A copy of `function` that works on symbols: options by position, globals replaced."""
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount
    given = function.__globals__
    names = {name: _translated(given[name]) for name in globals_of(code) if name in given}
    cells = [types.CellType(_translated(cell.cell_contents)) for cell in function.__closure__ or ()]
    code = code.replace(co_argcount=count, co_kwonlyargcount=0)
    return types.FunctionType(code, names, function.__name__, None, tuple(cells))


def trace(formula: Callable, name: str | None, kinds: Sequence[str | None]) -> Expression:
    """`formula` (of the primitive `name`) of arguments a0, a1, ... of these kinds ("real" or
    "bool"; None for an argument that is None). NoScalarForm if it cannot be had.
    """
    notes = Notes()
    arguments = [k if k is None else Symbol(f"a{i}", k, notes) for i, k in enumerate(kinds)]
    form = SCALAR.get(name) if name else None
    try:
        results = notes.results(_symbolic(form if form is not None else formula), arguments)
    except (AttributeError, TypeError, ValueError) as error:
        raise NoScalarForm(f"{formula.__qualname__}: {error}") from error
    lines = [f"{_KINDS[s.kind]} {s.name} = {text};" for text, s in notes.items()]
    named = []
    for result in results:
        if result is not None:
            kind = result.kind if isinstance(result, Symbol) else "real"
            named.append((_text(result, kind), kind))
    return Expression(tuple(lines), tuple(named))


class Numbers(NamedTuple):
    """What an optimizer computes from its options before a step: lines of C, the options that they
    use (place, name), and the results: the numbers, then the counters, counted up.
    """

    lines: tuple[str, ...]
    options: tuple[tuple[int, str], ...]
    results: tuple[tuple[str, str], ...]


def trace_numbers(
    numbers: Callable,
    group: Mapping[str, Any],
    places: Mapping[str, Any],
    counters: int,
    fresh: bool,
) -> Numbers:
    """`numbers(group, counters, fresh)`, the method of an optimizer, with symbols for counters (c0,
    c1, ...) and for the options that have `places` in an array (o0, o1, ...).
    """
    notes = Notes()
    symbols: dict[str, Any] = {}
    for name, place in places.items():
        one = [Symbol(f"o{p}", "real", notes) for p in np.atleast_1d(place).tolist()]
        symbols[name] = tuple(one) if isinstance(place, tuple) else one[0]
    method = _symbolic(numbers.__func__)  # type: ignore[attr-defined]
    owner = numbers.__self__  # type: ignore[attr-defined]

    def call() -> Any:
        counted = [Symbol(f"c{i}", "real", notes) for i in range(counters)]
        return (*method(owner, {**group, **symbols}, counted, fresh), *counted)

    try:
        results = notes.results(call, ())
    except (AttributeError, TypeError, ValueError) as error:
        raise NoScalarForm(f"{numbers.__qualname__}: {error}") from error
    lines = tuple([f"const {_KINDS[s.kind]} {s.name} = {text};" for text, s in notes.items()])
    named = [(_text(r), "real") for r in results]
    text = " ".join([*lines, *[value for value, _ in named]])
    count = sum([len(np.atleast_1d(p)) for p in places.values()])
    used = [(i, f"o{i}") for i in range(count) if re.search(rf"\bo{i}\b", text)]
    return Numbers(lines, tuple(used), tuple(named))


_KINDS = {"real": "A", "bool": "bool"}
