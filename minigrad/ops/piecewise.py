"""Functions made of pieces: where, abs, sign, rounding.

Each docstring says what the derivative is where pieces meet; PyTorch's choices throughout. A
constant piece has derivative 0 (a gradient of zeros, not none).
"""

from __future__ import annotations

import builtins
import warnings
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64, result_dtype
from ..core.node import without_derivative
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import (
    data_of,
    dtype_title,
    finish,
    misfit,
    need_tensors,
    refuse,
    tensor_first,
)
from .complexes import conj, real


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
def sgn(input: Any, *, out: Any = None) -> Any:
    """sign for real numbers; for complex ones x/|x|, 0 at 0.

    Real: x̄ = 0.  Complex: x̄ = (ȳ − y·Re(ȳ conj y))/|x|
    """
    y = sgn_complex(input) if data_of(input).dtype.kind == "c" else sign(input)
    return finish(y, out, same_dtype=True)


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

copysign.primitive.check = tensor_first("copysign")


@export("heaviside")
def heaviside(input: Any, values: Any, *, out: Any = None) -> Any:
    """0 for x < 0, 1 for x > 0, `values` at 0; no derivative.  RuntimeError if dtypes differ."""
    need_tensors("heaviside", input, values, names=("input", "values"))
    if data_of(input).dtype != data_of(values).dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    y = without_derivative("aten::heaviside", heaviside_(input, values), input, values)
    return finish(y, out)


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
    return finish(round_(input, decimals=decimals), out, same_dtype=True)


@export("frac")
@primitive
def frac(x: Any) -> Any:
    """The fractional part, with the sign of x.

    y = x − trunc(x),  x̄ = ȳ
    """
    refuse("frac_cpu", x, "biuc")
    return x - np.trunc(x)


frac.vjp(x=lambda g: g)
for _op in (abs, sign, floor, ceil, trunc, frac):
    _op.primitive.same_dtype = True
