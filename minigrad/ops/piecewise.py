"""Functions made of pieces: where, abs, sign, rounding, clamping, maximum.

Each docstring says what the derivative is where pieces meet; PyTorch's choices throughout. A
constant piece has derivative 0 (a gradient of zeros, not none).
"""

from __future__ import annotations

import builtins
import warnings
from typing import Any, NamedTuple

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64, finfo, from_numpy_dtype, result_dtype
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, wrap
from ..errors import broadcast_error
from ..export import export
from .complexes import conj, real


def data_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x._data if isinstance(x, Tensor) else x


def finish(result: Any, out: Any) -> Any:
    """The end of a function with `out=`."""
    return result if out is None else write_out(result, out)


_TITLES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def dtype_title(dtype: Any) -> str:
    """PyTorch's name of a NumPy dtype in error messages: Float, Long, ..."""
    return _TITLES[from_numpy_dtype(dtype).name]


def refuse(name: str, x: Any, kinds: str) -> None:
    """PyTorch's NotImplementedError if x's dtype is of one of the NumPy `kinds`."""
    if x.dtype.kind in kinds:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtype_title(x.dtype)}'")


def need_tensors(name: str, *args: Any, names: tuple[str, ...] = ("input", "other")) -> None:
    """TypeError if an argument is a Python number where PyTorch wants a Tensor."""
    for i, a in enumerate(args):
        if isinstance(a, (bool, int, float, complex)) or a is None:
            raise TypeError(
                f"{name}(): argument '{names[i]}' (position {i + 1}) must be Tensor, "
                f"not {type(a).__name__}"
            )


@primitive
def zeros_as(x: Any) -> Any:
    """Zeros of x's shape and dtype: the gradient of a constant piece; it has none itself."""
    return array_module(x).zeros_like(x)


# ------------------------------------------------------------------------------ where
def _weak(number: Any, dtype: Any) -> bool:
    """Whether a number of this type takes the dtype of the array, in NumPy as in PyTorch."""
    return (number is int or number is float) and (dtype is F32 or dtype is F64)


@primitive(half="keep")
def where_(condition: Any, x: Any, y: Any) -> Any:
    """y = x where the condition holds, else y;  each gets ȳ where it was taken, 0 elsewhere."""
    xp = array_module(condition)
    a, b = getattr(x, "dtype", type(x)), getattr(y, "dtype", type(y))
    if not (a is b or _weak(a, b) or _weak(b, a)) or isinstance(a, type) and a is b:
        # NumPy's scalars are 0-d arrays in rules, not numbers: they must keep float64
        dtype = result_dtype([np.asarray(v) if isinstance(v, np.generic) else v for v in (x, y)]).np
        x, y = xp.asarray(x).astype(dtype), xp.asarray(y).astype(dtype)
    try:
        return xp.where(condition, x, y)
    except ValueError:
        raise misfit(condition, x, y) from None


def misfit(*operands: Any) -> Exception:
    """PyTorch's error for operands (arrays, numbers) that cannot be broadcast together."""
    known: tuple[int, ...] = ()
    for x in operands:
        try:
            known = np.broadcast_shapes(known, np.shape(x))
        except ValueError:
            return broadcast_error(known, np.shape(x))
    return ValueError("the operands can be broadcast")


where_.vjp(
    x=lambda g, condition: where_(condition, g, 0),
    y=lambda g, condition: where_(condition, 0, g),
)


@export("where")
def where(condition: Any, input: Any = None, other: Any = None, *, out: Any = None) -> Any:
    """`input` where the bool `condition` holds, else `other`; all three broadcast.

    y = c ? x : z;  x̄ = ȳ where c, z̄ = ȳ where not c, exactly 0 elsewhere (also if ȳ is inf)

    With the condition alone: the indices of its nonzero elements, one int64 tensor per dimension.
    """
    data = condition._data if isinstance(condition, Tensor) else condition
    if input is None and other is None:
        return tuple([wrap(i) for i in np.nonzero(np.atleast_1d(data))])
    if input is None or other is None:
        raise TypeError("where(): expected both input and other, or neither")
    if data.dtype.kind != "b":
        if data.dtype != np.uint8:
            raise RuntimeError(
                "where expected condition to be a boolean tensor, but got a tensor with dtype "
                f"{dtype_title(data.dtype)}"
            )
        warnings.warn("where received a uint8 condition tensor; use bool", stacklevel=2)
        condition = data.astype(bool)
    for position, value in ((2, input), (3, other)):
        if isinstance(value, (str, list, tuple)):
            raise TypeError(
                f"where(): argument {position} must be Tensor or Number, not {type(value).__name__}"
            )
    result = where_(condition, input, other)
    return result if out is None else write_out(result, out)


def where_self(self: Any, condition: Any, other: Any) -> Any:
    """Tensor.where: the tensor where the condition holds, else `other`."""
    return where(condition, self, other)


# ------------------------------------------------------------------------------ size and sign
@export("abs", "absolute")
@primitive
def abs(x: Any) -> Any:
    """The absolute value (modulus, for complex numbers).

    y = |x|,  x̄ = ȳ·sgn(x), which is 0 at 0
    """
    refuse("abs_cpu", x, "b")
    return np.abs(x)


abs.vjp(x=lambda g, x: g * sgn(x))


def abs_self(self: Any) -> Any:
    """What Tensor.abs_ computes; RuntimeError for complex tensors, whose modulus is real."""
    if data_of(self).dtype.kind == "c":
        raise RuntimeError("In-place abs is not supported for complex tensors.")
    return abs(self)


@export("sign")
@primitive
def sign(x: Any) -> Any:
    """−1, 0 or 1 as x is negative, zero (or nan), positive.  x̄ = 0."""
    if x.dtype.kind == "c":
        raise NotImplementedError(
            "Unlike NumPy, minigrad.sign is not intended to support complex numbers. Please use "
            "minigrad.sgn instead."
        )
    return _sign(x)


def _sign(x: Any) -> Any:
    if x.dtype.kind == "b":
        return x.copy()
    y = np.sign(x)
    return np.where(np.isnan(y), x.dtype.type(0), y) if x.dtype.kind == "f" else y


sign.vjp(x=lambda g: zeros_as(g))


@primitive
def sgn_complex(x: Any) -> Any:
    """y = x/|x|, 0 at 0;  x̄ = (ȳ − y·Re(ȳ conj y))/|x|, the part of ȳ along the circle."""
    size = np.abs(x)
    return np.where(size == 0, 0, x / size).astype(x.dtype)


sgn_complex.vjp(
    x=lambda g, x, y: where(abs(x) == 0, 0, (g - y * real(g * conj(y))) / where(x == 0, 1, abs(x)))
)


@export("sgn")
def sgn(input: Any) -> Any:
    """sign for real numbers; for complex ones x/|x|, 0 at 0.

    Real: x̄ = 0.  Complex: x̄ = (ȳ − y·Re(ȳ conj y))/|x|
    """
    return sgn_complex(input) if data_of(input).dtype.kind == "c" else sign(input)


@export("copysign")
@primitive(promote="float")
def copysign(x: Any, other: Any) -> Any:
    """The size of x with the sign of `other` (of −0 too).

    y = |x|·sgn(other);  x̄ = ȳ·y/x (0 at x = 0), and other gets 0
    """
    return np.copysign(x, other)


copysign.vjp(
    x=lambda g, x, y: where(x == 0, 0, g * (y / x)),
    other=lambda g: zeros_as(g),
)

copysign.primitive.tensor_first = True


@export("heaviside")
def heaviside(input: Any, values: Any, *, out: Any = None) -> Any:
    """0 for x < 0, 1 for x > 0, `values` at 0; no derivative.  RuntimeError if dtypes differ."""
    need_tensors("heaviside", input, values, names=("input", "values"))
    if data_of(input).dtype != data_of(values).dtype:
        raise RuntimeError(
            "heaviside is not yet implemented for tensors with different dtypes."
        )
    return finish(heaviside_(input, values), out)


@primitive(promote="type")
def heaviside_(x: Any, values: Any) -> Any:
    """y = 1 for x > 0, 0 for x < 0 (and nan), values at 0."""
    refuse("heaviside_cpu", x, "c")
    return np.where(x == 0, values, (x > 0).astype(x.dtype))


# ------------------------------------------------------------------------------ rounding
def _rounding(name: str, ufunc: Any, x: Any) -> Any:
    refuse(name, x, "bc")
    return x.copy() if x.dtype.kind in "iu" else ufunc(x)


@export("floor")
@primitive
def floor(x: Any) -> Any:
    """The largest integer not above x; integers stay.  x̄ = 0."""
    return _rounding("floor_vml_cpu", np.floor, x)


@export("ceil")
@primitive
def ceil(x: Any) -> Any:
    """The smallest integer not below x; integers stay.  x̄ = 0."""
    return _rounding("ceil_vml_cpu", np.ceil, x)


@export("trunc", "fix")
@primitive
def trunc(x: Any) -> Any:
    """The integer part, towards zero; integers stay.  x̄ = 0."""
    return _rounding("trunc_vml_cpu", np.trunc, x)


@primitive
def round_(x: Any, *, decimals: int) -> Any:
    """y = x rounded to `decimals` places, ties to even;  x̄ = 0."""
    if decimals == 0:
        return _rounding("round_vml_cpu", np.rint, x)
    refuse("round_cpu", x, "biuc")
    ten = x.dtype.type(10 ** builtins.abs(decimals))
    return np.rint(x * ten) / ten if decimals > 0 else np.rint(x / ten) * ten


for _op in (floor, ceil, trunc, round_):
    _op.vjp(x=lambda g: zeros_as(g))


@export("round", "special.round")
def round(input: Any, *, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to `decimals` places (negative: tens, hundreds, ...), ties to even.  x̄ = 0."""
    return finish(round_(input, decimals=decimals), out)


@export("frac")
@primitive
def frac(x: Any) -> Any:
    """The fractional part, with the sign of x.

    y = x − trunc(x),  x̄ = ȳ
    """
    refuse("frac_cpu", x, "biuc")
    return x - np.trunc(x)


frac.vjp(x=lambda g: g)


# ------------------------------------------------------------------------------ maximum, minimum
def _ordered(name: str, x: Any) -> None:
    if x.dtype.kind == "c":
        raise RuntimeError(f"{name} not implemented for complex tensors.")


@primitive(promote="type")
def maximum_(x: Any, other: Any) -> Any:
    """y = max(x, other), nan if either is;  a tie shares ȳ in halves."""
    _ordered("maximum", x)
    return np.maximum(x, other)


@primitive(promote="type")
def minimum_(x: Any, other: Any) -> Any:
    """y = min(x, other), nan if either is;  a tie shares ȳ in halves."""
    _ordered("minimum", x)
    return np.minimum(x, other)


@primitive(promote="type")
def fmax_(x: Any, other: Any) -> Any:
    """y = max(x, other), of a number and nan the number;  ȳ goes to x on ties."""
    _ordered("fmax", x)
    return np.fmax(x, other)


@primitive(promote="type")
def fmin_(x: Any, other: Any) -> Any:
    """y = min(x, other), of a number and nan the number;  ȳ goes to x on ties."""
    _ordered("fmin", x)
    return np.fmin(x, other)


maximum_.vjp(
    x=lambda g, x, other: where(x == other, g * 0.5, where(x < other, 0, g)),
    other=lambda g, x, other: where(x == other, g * 0.5, where(x > other, 0, g)),
)
minimum_.vjp(
    x=lambda g, x, other: where(x == other, g * 0.5, where(x > other, 0, g)),
    other=lambda g, x, other: where(x == other, g * 0.5, where(x < other, 0, g)),
)
fmax_.vjp(
    x=lambda g, x, other: where((x >= other) | (other != other), g, 0),
    other=lambda g, x, other: where((x >= other) | (other != other), 0, g),
)
fmin_.vjp(
    x=lambda g, x, other: where((x <= other) | (other != other), g, 0),
    other=lambda g, x, other: where((x <= other) | (other != other), 0, g),
)


@export("maximum")
def maximum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The larger of two, elementwise; nan if either is nan.

    y = max(x, z);  ȳ goes to the larger, half to each on ties
    """
    need_tensors("maximum", input, other)
    return finish(maximum_(input, other), out)


@export("minimum")
def minimum(input: Any, other: Any, *, out: Any = None) -> Any:
    """The smaller of two, elementwise; nan if either is nan.

    y = min(x, z);  ȳ goes to the smaller, half to each on ties
    """
    need_tensors("minimum", input, other)
    return finish(minimum_(input, other), out)


@export("fmax")
def fmax(input: Any, other: Any, *, out: Any = None) -> Any:
    """The larger of two; where one is nan, the other.  ȳ goes to the one taken, to x on ties."""
    need_tensors("fmax", input, other)
    return finish(fmax_(input, other), out)


@export("fmin")
def fmin(input: Any, other: Any, *, out: Any = None) -> Any:
    """The smaller of two; where one is nan, the other.  ȳ goes to the one taken, to x on ties."""
    need_tensors("fmin", input, other)
    return finish(fmin_(input, other), out)


# ------------------------------------------------------------------------------ clamping
@primitive(promote="type")
def clamp_min_(x: Any, min: Any) -> Any:
    """y = max(x, min);  ȳ goes to x on ties."""
    return np.maximum(x, min)


@primitive(promote="type")
def clamp_max_(x: Any, max: Any) -> Any:
    """y = min(x, max);  ȳ goes to x on ties."""
    return np.minimum(x, max)


@primitive(promote="type")
def clamp_(x: Any, min: Any, max: Any) -> Any:
    """y = min(max(x, min), max);  ȳ goes to x inside and on the edges."""
    return np.clip(x, min, max)


clamp_min_.vjp(
    x=lambda g, x, min: where(x >= min, g, 0),
    min=lambda g, x, min: where(x < min, g, 0),
)
clamp_max_.vjp(
    x=lambda g, x, max: where(x <= max, g, 0),
    max=lambda g, x, max: where(x > max, g, 0),
)
clamp_min_.primitive.tensor_first = clamp_max_.primitive.tensor_first = True
clamp_.vjp(
    x=lambda g, x, min, max: where((x >= min) & (x <= max), g, 0),
    min=lambda g, x, min, max: where((x < min) & (min < max), g, 0),
    max=lambda g, x, min, max: where((x > max) | (max < min), g, 0),
)


@export("clamp", "clip")
def clamp(input: Any, min: Any = None, max: Any = None, *, out: Any = None) -> Any:
    """x limited to [min, max], each a number, a tensor or None; `max` wins if min > max.

    y = min(max(x, min), max);  x̄ = ȳ inside and on the edges, else 0; ȳ goes to the bound in force

    RuntimeError without any bound.
    """
    if isinstance(min, Tensor) is not isinstance(max, Tensor) and min is not None is not max:
        raise TypeError(
            "clamp() received an invalid combination of arguments: min and max must both be "
            "Tensors or both be Numbers"
        )
    if max is None:
        if min is None:
            raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
        result = clamp_min_(input, min)
    elif min is None:
        result = clamp_max_(input, max)
    else:
        result = clamp_(input, min, max)
    return result if out is None else write_out(result, out)


@export("clamp_min")
def clamp_min(input: Any, min: Any, *, out: Any = None) -> Any:
    """x, but at least `min`;  x̄ = ȳ where x ≥ min, else 0."""
    return finish(clamp_min_(input, min), out)


@export("clamp_max")
def clamp_max(input: Any, max: Any, *, out: Any = None) -> Any:
    """x, but at most `max`;  x̄ = ȳ where x ≤ max, else 0."""
    return finish(clamp_max_(input, max), out)


# ------------------------------------------------------------------------------ special values
@primitive(half="keep")
def nan_to_num_(x: Any, *, nan: Any, posinf: Any, neginf: Any) -> Any:
    """y = x with nan and ±inf replaced;  x̄ = ȳ where x is finite, else 0."""
    if x.dtype.kind in "iub":
        return x.copy()
    if x.dtype.kind == "c":
        y = np.empty_like(x)
        for target, part in ((y.real, x.real), (y.imag, x.imag)):
            target[...] = _replaced(part, nan, posinf, neginf)
        return y
    return _replaced(x, nan, posinf, neginf)


def _replaced(x: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    one = x.dtype.type
    info = finfo(from_numpy_dtype(x.dtype))
    y = np.where(np.isnan(x), one(0 if nan is None else nan), x)
    y = np.where(x == np.inf, one(info.max if posinf is None else posinf), y)
    return np.where(x == -np.inf, one(info.min if neginf is None else neginf), y)


# x − x is 0 exactly where x is finite
nan_to_num_.vjp(x=lambda g, x: where(x - x == 0, g, 0))


@export("nan_to_num")
def nan_to_num(
    input: Any, nan: Any = None, posinf: Any = None, neginf: Any = None, *, out: Any = None
) -> Any:
    """nan becomes `nan` (0), inf `posinf` (the dtype's largest), −inf `neginf` (its lowest).

    x̄ = ȳ where x is finite, else 0
    """
    return finish(nan_to_num_(input, nan=nan, posinf=posinf, neginf=neginf), out)


@primitive(promote="type")
def nextafter_(x: Any, other: Any) -> Any:
    """The next number after x in the direction of `other`; no derivative."""
    refuse("nextafter_cpu", x, "biuc")
    return np.nextafter(x, other)


@export("nextafter")
def nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """The next floating number after x in the direction of `other`; no derivative."""
    need_tensors("nextafter", input, other)
    return finish(nextafter_(input, other), out)


class frexp_result(NamedTuple):
    """Mantissa and exponent, as tensors."""

    mantissa: Any
    exponent: Any


@primitive
def mantissa_(x: Any) -> Any:
    """y = x/2ᵉ with the integer e for which ½ ≤ |y| < 1;  x̄ = ȳ/2ᵉ."""
    return np.frexp(x)[0]


mantissa_.vjp(x=lambda g, x, y: g * where(x == 0, 1, y / where(x == 0, 1, x)))
mantissa_.primitive.node_class.__name__ = "FrexpBackward0"


@export("frexp")
def frexp(input: Any, *, out: Any = None) -> frexp_result:
    """x = mantissa·2^exponent with ½ ≤ |mantissa| < 1, as (mantissa, int32 exponent).

    x̄ = mantissa's gradient/2^exponent.  RuntimeError for tensors that are not floating.
    """
    if data_of(input).dtype.kind in "biuc":
        raise RuntimeError("minigrad.frexp() only supports floating-point dtypes")
    exponent = np.frexp(_widened_half(data_of(input)))[1].astype(np.int32)
    parts = [mantissa_(input), wrap(np.asarray(exponent))]
    if out is not None:
        parts = [write_out(p, o) for p, o in zip(parts, out, strict=True)]
    return frexp_result(*parts)


def _widened_half(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x
