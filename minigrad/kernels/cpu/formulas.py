"""Formulas over arrays, rewritten for one element.

`scalar(formula)` is the formula itself, ready to be compiled for one float: the functions of NumPy
that it calls, and the primitives, become functions of scalars.py; primitives that are formulas
themselves become those; the numbers in it take the dtype of the loop, as they would in NumPy.

`LOOPED` says which primitives are worth a loop. Where their NumPy form is not also a formula for
one element (it masks bits, or asks for dtypes), the scalar form stands here, and a test compares
the two.
"""

from __future__ import annotations

import dis
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from . import compiler, scalars
from .compiler import EXACT, Kernel, Lazy, kernel

F32 = np.dtype(np.float32)


class NoScalarForm(Exception):
    """A formula that has no compiled form in this dtype: NumPy is to run it."""


def scalar(formula: Callable, name: str | None, dtype: Any) -> tuple[Any, str]:
    """`formula` (of the primitive `name`) compiled for one element of `dtype`, and a text that
    differs whenever its code does.
    """
    form = SCALAR.get(name) if name else None
    compiled = _compiled(form if form is not None else formula, dtype)
    return compiled, compiled.identity


def _compiled(function: Any, dtype: Any) -> Any:
    """The function as a Numba function, with everything that it calls."""
    key = (function, dtype)
    if key not in _COMPILED:
        if isinstance(function, Kernel):
            function = function.function
        copy, identity = _typed(function, dtype)
        result = compiler.numba().njit(fastmath=set(EXACT), error_model="numpy", forceinline=True)(
            copy
        )
        result.identity = identity
        _COMPILED[key] = result
    return _COMPILED[key]


_COMPILED: dict[Any, Any] = {}


def _typed(function: Any, dtype: Any) -> tuple[Any, str]:
    """A copy of `function` for one element: numbers typed, called functions replaced."""
    import hashlib  # 4 ms, and only what is compiled needs it

    code = function.__code__
    if dtype != F32 and not _TRANSCENDENTAL.isdisjoint(code.co_names):
        raise NoScalarForm(function.__name__)
    digest = hashlib.sha256(code.co_code + repr((code.co_names, dtype.char)).encode())
    count = code.co_argcount + code.co_kwonlyargcount
    constants = tuple(_number(c, dtype) for c in code.co_consts)
    digest.update(repr(constants).encode())
    code = code.replace(co_argcount=count, co_kwonlyargcount=0, co_consts=constants)
    names = {}
    for name in _globals_of(code):
        if name in function.__globals__:
            names[name] = _translated(function.__globals__[name], dtype, digest)
        if name in names and names[name] is _NAMESPACES.get(dtype):
            missing = _attributes_of(code, name) - set(names[name].__dict__)
            if missing:
                raise NoScalarForm(f"np.{missing.pop()}")
    cells = []
    for cell in function.__closure__ or ():
        cells.append(types.CellType(_translated(cell.cell_contents, dtype, digest)))
    title = function.__name__.replace("<lambda>", "rule")
    copy = types.FunctionType(code, names, title, None, tuple(cells))
    copy.__qualname__ = title
    copy.__module__ = function.__module__
    return copy, digest.hexdigest()[:16]


def _globals_of(code: types.CodeType) -> list[str]:
    """The globals that the code itself asks for (co_names has the attributes, too)."""
    found = [i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"]
    return list(dict.fromkeys(found))


def _attributes_of(code: types.CodeType, module: str) -> set[str]:
    """The names that the code looks up in `module`."""
    found: set[str] = set()
    before = ("", "")
    for i in dis.get_instructions(code):
        if before == ("LOAD_GLOBAL", module) and i.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            found.add(i.argval)
        before = (i.opname, i.argval)
    return found


def _number(value: Any, dtype: Any) -> Any:
    if type(value) is float or (type(value) is int and not isinstance(value, bool)):
        return dtype.type(value)
    return value


def _translated(value: Any, dtype: Any, digest: Any) -> Any:
    """What a global of a formula becomes."""
    if value is np:
        return _namespace(dtype)
    if value is math:
        value = types.ModuleType(f"math_{dtype.name}")
        value.__dict__.update(inf=dtype.type(math.inf), pi=dtype.type(math.pi), sqrt=math.sqrt)
        return value
    if isinstance(value, (int, float)):
        value = _number(value, dtype)
        digest.update(repr(value).encode())
        return value
    if isinstance(value, (Lazy, Kernel)):
        digest.update(repr(getattr(value, "__name__", "")).encode())
        return value.get() if isinstance(value, Lazy) else value.serial
    name = _NUMPY.get(value) if isinstance(value, np.ufunc) else None
    primitive: Any = getattr(value, "primitive", None)
    if name is None:
        name = primitive.name if primitive is not None else getattr(value, "__name__", None)
    found = _basic(name, dtype)
    if found is not None:
        digest.update(str(name).encode())
        return found
    if primitive is not None or name in SCALAR:
        formula = SCALAR.get(str(name)) or getattr(primitive, "formula", None)
        result = _compiled(formula, dtype)
    elif isinstance(value, types.FunctionType):
        result = _compiled(value, dtype)
    else:
        raise NoScalarForm(repr(value))
    digest.update(result.identity.encode())
    return result


# ------------------------------------------------------------------------------ the functions at
# hand
_TRANSCENDENTAL = frozenset(
    "exp expm1 log log1p tanh sigmoid erf erf_of normal_below gelu_slope".split()
)
"""Only there in float32: in float64, NumPy's own are SIMD and libm's are not."""
_ANY_NAMES = "maximum minimum where square negative".split()
_NUMPY = {
    np.exp: "exp", np.expm1: "expm1", np.log: "log", np.log1p: "log1p", np.tanh: "tanh",
    np.maximum: "maximum", np.minimum: "minimum", np.square: "square", np.sqrt: "sqrt",
    np.abs: "abs", np.negative: "negative",
}  # fmt: skip


def _basic(name: Any, dtype: Any) -> Any:
    """The compiled function of this name for one element, or None."""
    if name == "sqrt":
        return math.sqrt
    if name == "abs":
        return abs
    if name in _ANY_NAMES or (name in _TRANSCENDENTAL and dtype == F32):
        value = scalars.__dict__.get(name)
        if value is None:
            return None
        return value.get() if isinstance(value, Lazy) else value.serial
    arithmetic = _ARITHMETIC.get(name)
    return arithmetic.serial if arithmetic is not None else None


def _namespace(dtype: Any) -> Any:
    """What `np` means in a formula: a module, because Numba looks functions up in modules only."""
    if dtype not in _NAMESPACES:
        module = types.ModuleType(f"np_{dtype.name}")
        names = {*_TRANSCENDENTAL, *_ANY_NAMES, *_ARITHMETIC, "sqrt", "abs"}
        module.__dict__.update(
            {name: found for name in names if (found := _basic(name, dtype)) is not None}
        )
        _NAMESPACES[dtype] = module
    return _NAMESPACES[dtype]


_NAMESPACES: dict[Any, Any] = {}


@kernel(inline=True)
def _add(x, y):
    return x + y


@kernel(inline=True)
def _subtract(x, y):
    return x - y


@kernel(inline=True)
def _multiply(x, y):
    return x * y


@kernel(inline=True)
def _divide(x, y):
    return x / y


@kernel(inline=True)
def _identity(x):
    return x


@kernel(inline=True)
def _greater(x, y):
    return x > y


@kernel(inline=True)
def _less(x, y):
    return x < y


@kernel(inline=True)
def _less_equal(x, y):
    return x <= y


@kernel(inline=True)
def _greater_equal(x, y):
    return x >= y


@kernel(inline=True)
def _equal(x, y):
    return x == y


_ARITHMETIC = {
    "add": _add, "sub": _subtract, "subtract": _subtract, "mul": _multiply, "multiply": _multiply,
    "div": _divide, "true_divide": _divide, "conj": _identity, "gt": _greater, "greater": _greater,
    "lt": _less, "less": _less, "le": _less_equal, "less_equal": _less_equal, "ge": _greater_equal,
    "greater_equal": _greater_equal, "eq": _equal, "equal": _equal,
}  # fmt: skip


# ------------------------------------------------------------------------------ scalar forms
# Numbers in them take the loop's dtype; both sides of a `where` are computed.
where, exp, expm1, log1p = scalars.where, scalars.exp, scalars.expm1, scalars.log1p
tanh, sigmoid, erf_of = scalars.tanh, scalars.sigmoid, scalars.erf
maximum, minimum, normal_below = scalars.maximum, scalars.minimum, scalars.normal_below


def _where(condition, x, y):
    return where(condition, x, y)


def _masked_fill(x, mask, value):
    return where(mask, value, x)


def _abs(x):
    return abs(x)


def _neg(x):
    return -x


def _square(x):
    return x * x


def _sgn(x):
    return where(x > 0, 1, where(x < 0, -1, 0))


def _erf(x):
    return erf_of(x)


def _sigmoid(x):
    return sigmoid(x)


def _maximum(x, y):
    return maximum(x, y)


def _minimum(x, y):
    return minimum(x, y)


def _clip(x, low, high):
    return minimum(maximum(x, low), high)


def _keep_outside(g, x, low, high):
    return where((x >= low) & (x <= high), 0, g)


def _keep_inside(g, x, low, high):
    return where((x <= low) | (x >= high), 0, g)


def _scale_below(g, x, slope):
    return where(x > 0, g, g * slope)


def _relu(x):
    return where(x <= 0, 0, x)


def _leaky_relu(x, negative_slope):
    return where(x > 0, x, x * negative_slope)


def _threshold(x, threshold, value):
    return where(x <= threshold, value, x)


def _hardsigmoid(x):
    return _clip(x + 3, 0, 6) / 6


def _hardswish(x):
    return x * _clip(x + 3, 0, 6) / 6


def _softplus(x, beta, threshold):
    z = x * beta
    soft = maximum(z, 0) + log1p(exp(-abs(z)))
    return where(z > threshold, x, soft / beta)


def _mish(x):
    return x * tanh(maximum(x, 0) + log1p(exp(-abs(x))))


def _elu(x, alpha, scale, input_scale):
    return where(x > 0, x * scale, expm1(x * input_scale) * (alpha * scale))


def _gelu_erf(x):
    return x * normal_below(x)


def _gelu_tanh(x):
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * (x * x * x))))


def _addcmul(x, tensor1, tensor2, value):
    return x + value * (tensor1 * tensor2)


def _addcdiv(x, tensor1, tensor2, value):
    return x + value * (tensor1 / tensor2)


SCALAR: dict[str, Callable] = {
    "where": _where, "masked_fill": _masked_fill, "abs": _abs, "neg": _neg, "square": _square,
    "sgn": _sgn, "sign": _sgn, "erf": _erf, "sigmoid": _sigmoid,
    "maximum": _maximum, "minimum": _minimum,
    "clamp": _clip, "clamp_min": _maximum, "clamp_max": _minimum, "keep_outside": _keep_outside,
    "keep_inside": _keep_inside, "scale_below": _scale_below, "relu": _relu,
    "leaky_relu": _leaky_relu, "threshold": _threshold, "hardtanh": _clip,
    "hardsigmoid": _hardsigmoid, "hardswish": _hardswish, "softplus": _softplus, "mish": _mish,
    "elu": _elu, "gelu_erf": _gelu_erf, "gelu_tanh": _gelu_tanh, "addcmul": _addcmul,
    "addcdiv": _addcdiv,
}  # fmt: skip
"""Of primitives whose NumPy form masks bits, asks for dtypes, or would overflow without care."""

LOOPED = frozenset(
    """
    add sub mul div neg abs square sqrt rsqrt exp expm1 log log1p sigmoid tanh erf maximum minimum
    clamp clamp_min clamp_max where masked_fill relu leaky_relu threshold hardtanh hardsigmoid elu
    softplus log_sigmoid gelu_erf gelu_tanh swish swiglu silu mish hardswish keep_outside
    keep_inside scale_below addcmul addcdiv
    """.split()
)
"""Primitives that get a loop, and so do their rules."""

ONE_PASS = frozenset(
    "add sub mul div neg abs square sqrt maximum minimum clamp_min clamp_max".split()
)
"""Those that NumPy computes in one pass over memory, with SIMD."""
