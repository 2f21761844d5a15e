"""The larger and the smaller, limits, and what lies at the limits of floating numbers.

Where two pieces meet, the docstring says who gets the gradient: PyTorch's choices.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend.dtypes import finfo, from_numpy_dtype
from ..core.primitive import as_array, primitive, write_out
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import data_of, finish, need_tensors, refuse, tensor_first
from .piecewise import where, zeros_as


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
clamp_min_.primitive.check = tensor_first("clamp_min")
clamp_max_.primitive.check = tensor_first("clamp_max")
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
    y = nan_to_num_(input, nan=nan, posinf=posinf, neginf=neginf)
    return finish(y, out, same_dtype=True)


@primitive(promote="type")
def nextafter_(x: Any, other: Any) -> Any:
    """The next number after x in the direction of `other`; x̄ = ȳ where it moves, other gets 0."""
    refuse("nextafter_cpu", x, "biuc")
    return np.nextafter(x, other)


nextafter_.vjp(
    x=lambda g, x, other: where(x == other, 0, g),
    other=lambda g: zeros_as(g),
)


@export("nextafter")
def nextafter(input: Any, other: Any, *, out: Any = None) -> Any:
    """The next floating number after x in the direction of `other`; x̄ = ȳ where it moves."""
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
    parts = [mantissa_(input), wrap(as_array(exponent))]
    if out is not None:
        parts = [write_out(p, o) for p, o in zip(parts, out, strict=True)]
    return frexp_result(*parts)


def _widened_half(x: Any) -> Any:
    return x.astype(np.float32) if x.dtype.itemsize == 2 else x
