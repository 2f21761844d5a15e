"""Functions made of several simpler ones, computed in one go: lerp, hypot, logaddexp, xlogy, ..."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .arguments import check_fits, data_of, dtype_title, finish, is_number, need_tensors, refuse
from .complexes import conj
from .piecewise import abs, where, zeros_as
from .transcendental import LN_2, cos, sigmoid, sin


def of_number(function: Any, x: Any) -> Any:
    """function(x), also where x is a Python number."""
    return float(function(np.asarray(x, np.float64))) if is_number(x) else function(x)


# ------------------------------------------------------------------------------ three operands
@primitive(promote="type")
def lerp_(x: Any, end: Any, weight: Any) -> Any:
    """y = x + w·(end − x);  x̄ = (1 − w)·ȳ, end gets w·ȳ, w̄ = (end − x)·ȳ."""
    span = end - x
    near = x + weight * span
    # seen from the nearer end, so that w = 1 gives `end` exactly
    if is_number(weight):
        return near if np.abs(weight) < 0.5 else end - span * (1 - weight)
    return np.where(np.abs(weight) < 0.5, near, end - span * (1 - weight)).astype(x.dtype)


lerp_.vjp(
    x=lambda g, weight: g * conj(1 - weight),
    end=lambda g, weight: g * conj(weight),
    weight=lambda g, x, end: g * conj(end - x),
)


@export("lerp")
def lerp(input: Any, end: Any, weight: Any, *, out: Any = None) -> Any:
    """Linear interpolation from `input` (weight 0) to `end` (weight 1).

    y = x + w·(end − x);  x̄ = (1 − w)·ȳ, end gets w·ȳ, w̄ = (end − x)·ȳ

    RuntimeError unless all tensors have one dtype.
    """
    need_tensors("lerp", input, end, names=("input", "end"))
    if isinstance(weight, str) or weight is None:
        raise TypeError(f"lerp(): argument 'weight' must be Tensor or Number, not {weight!r}")
    dtype = data_of(input).dtype
    refuse("lerp_kernel_scalar", data_of(input), "biu")
    for name, other in (("end", end), ("weight", weight)):
        if not is_number(other) and data_of(other).dtype != dtype:
            got = dtype_title(data_of(other).dtype).lower()
            raise RuntimeError(
                f"expected dtype {dtype_title(dtype).lower()} for `{name}` but got dtype {got}"
            )
    return finish(lerp_(input, end, weight), out)


def _as(x: Any, value: Any) -> Any:
    return np.asarray(value).astype(x.dtype)[()]


@primitive(promote="type")
def addcmul_(x: Any, tensor1: Any, tensor2: Any, *, value: Any) -> Any:
    """y = x + value·a·b;  x̄ = ȳ, ā = value·b·ȳ, b̄ = value·a·ȳ."""
    product = tensor1 * tensor2
    return x + (product if value == 1 else _as(x, value) * product)


addcmul_.vjp(
    x=lambda g: g,
    tensor1=lambda g, tensor2, value: g * conj(tensor2 * value),
    tensor2=lambda g, tensor1, value: g * conj(tensor1 * value),
)


@export("addcmul")
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """A product added.

    y = x + value·a·b;  x̄ = ȳ, ā = value·b·ȳ, b̄ = value·a·ȳ
    """
    need_tensors("addcmul", input, tensor1, tensor2, names=("input", "tensor1", "tensor2"))
    return finish(addcmul_(input, tensor1, tensor2, value=value), out)


@primitive(promote="type")
def addcdiv_(x: Any, tensor1: Any, tensor2: Any, *, value: Any) -> Any:
    """y = x + value·a/b;  x̄ = ȳ, ā = value·ȳ/b, b̄ = −value·ȳ·a/b²."""
    quotient = tensor1 / tensor2
    return x + (quotient if value == 1 else _as(x, value) * quotient)


addcdiv_.vjp(
    x=lambda g: g,
    tensor1=lambda g, tensor2, value: g * conj(value / tensor2),
    tensor2=lambda g, tensor1, tensor2, value: -g * conj(value * tensor1 / (tensor2 * tensor2)),
)


@export("addcdiv")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1, out: Any = None) -> Any:
    """A quotient added.  RuntimeError if both a and b are integers.

    y = x + value·a/b;  x̄ = ȳ, ā = value·ȳ/b, b̄ = −value·ȳ·a/b²
    """
    need_tensors("addcdiv", input, tensor1, tensor2, names=("input", "tensor1", "tensor2"))
    if all(data_of(t).dtype.kind in "biu" for t in (tensor1, tensor2)):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported: use (input + value * "
            "trunc(tensor1 / tensor2)) or convert the operands to a floating dtype."
        )
    return finish(addcdiv_(input, tensor1, tensor2, value=value), out)


# ------------------------------------------------------------------------------ two operands
@primitive(promote="float")
def atan2_(x: Any, other: Any) -> Any:
    """y = the angle of the point (other, x);  x̄ = ȳ·z/(x² + z²), z̄ = −ȳ·x/(x² + z²)."""
    return np.arctan2(x, other)


atan2_.vjp(
    x=lambda g, x, other: g * _over_square(other, x, other),
    other=lambda g, x, other: g * _over_square(-x, x, other),
)


def _over_square(part: Any, x: Any, other: Any) -> Any:
    """part/(x² + z²), 0 at the origin."""
    square = x * x + other * other
    return where(square == 0, 0, part / where(square == 0, 1, square))


@export("atan2", "arctan2")
def atan2(input: Any, other: Any, *, out: Any = None) -> Any:
    """The angle in [−π, π] of the point with ordinate x and abscissa z.

    y = arctan(x/z) in the right quadrant
    x̄ = ȳ·z/(x² + z²), z̄ = −ȳ·x/(x² + z²), both 0 at the origin
    """
    need_tensors("atan2", input, other)
    return finish(atan2_(input, other), out)


@primitive(promote="type")
def hypot_(x: Any, other: Any) -> Any:
    """y = √(x² + z²);  x̄ = ȳ·x/y, z̄ = ȳ·z/y."""
    refuse("hypot_cpu", x, "biuc")
    return np.hypot(x, other)


hypot_.vjp(x=lambda g, x, y: g * (x / y), other=lambda g, other, y: g * (other / y))


@export("hypot")
def hypot(input: Any, other: Any, *, out: Any = None) -> Any:
    """The hypotenuse, without overflow of the squares.

    y = √(x² + z²);  x̄ = ȳ·x/y, z̄ = ȳ·z/y, nan at the origin
    """
    need_tensors("hypot", input, other)
    return finish(hypot_(input, other), out)


def _like(other: Any, x: Any) -> Any:
    """An array as it is, a Python number in x's dtype."""
    return x.dtype.type(other) if is_number(other) else other


@primitive(promote="float")
def ldexp_(x: Any, other: Any) -> Any:
    """y = x·2ᶻ;  x̄ = ȳ·2ᶻ, z̄ = ȳ·y·ln 2."""
    return x * np.exp2(_like(other, x))


ldexp_.vjp(x=lambda g, other: g * conj(2.0**other), other=lambda g, y: g * conj(y * LN_2))


@export("ldexp")
def ldexp(input: Any, other: Any, *, out: Any = None) -> Any:
    """A number of given mantissa x and exponent z.

    y = x·2ᶻ;  x̄ = ȳ·2ᶻ, z̄ = ȳ·y·ln 2
    """
    need_tensors("ldexp", input, other)
    return finish(ldexp_(input, other), out)


def complex_logaddexp(x: Any, other: Any) -> Any:
    """ln(eˣ + eᶻ) of complex arrays, by the one with the larger real part."""
    less = x.real < other.real
    low, high = np.where(less, x, other), np.where(less, other, x)
    both = np.isinf(high.real) & (low.real == high.real)  # ∞ − ∞ is no distance
    return np.where(both, high, high + np.log1p(np.exp(low - high)))


@primitive(promote="type")
def logaddexp_(x: Any, other: Any) -> Any:
    """y = ln(eˣ + eᶻ);  x̄ = ȳ·σ(x − z), z̄ = ȳ·σ(z − x)."""
    refuse("logaddexp_cpu", x, "biu")
    return complex_logaddexp(x, other) if x.dtype.kind == "c" else np.logaddexp(x, other)


logaddexp_.vjp(
    x=lambda g, x, other: g * conj(sigmoid(x - other)),
    other=lambda g, x, other: g * conj(sigmoid(other - x)),
)


@export("logaddexp")
def logaddexp(input: Any, other: Any, *, out: Any = None) -> Any:
    """The logarithm of a sum of exponentials, without overflow.

    y = ln(eˣ + eᶻ);  x̄ = ȳ·σ(x − z), z̄ = ȳ·σ(z − x)
    """
    need_tensors("logaddexp", input, other)
    return finish(logaddexp_(input, other), out)


@primitive(promote="type")
def logaddexp2_(x: Any, other: Any) -> Any:
    """y = log₂(2ˣ + 2ᶻ);  x̄ = ȳ·σ((x − z) ln 2), z̄ = ȳ·σ((z − x) ln 2)."""
    refuse("logaddexp2_cpu", x, "biuc")
    return np.logaddexp2(x, other)


logaddexp2_.vjp(
    x=lambda g, x, other: g * sigmoid((x - other) * LN_2),
    other=lambda g, x, other: g * sigmoid((other - x) * LN_2),
)


@export("logaddexp2")
def logaddexp2(input: Any, other: Any, *, out: Any = None) -> Any:
    """logaddexp to base 2.

    y = log₂(2ˣ + 2ᶻ);  x̄ = ȳ·σ((x − z) ln 2), z̄ = ȳ·σ((z − x) ln 2)
    """
    need_tensors("logaddexp2", input, other)
    return finish(logaddexp2_(input, other), out)


@primitive(promote="float")
def xlogy_(x: Any, other: Any) -> Any:
    """y = x·ln z, 0 where x = 0;  x̄ = ȳ·ln z (0 where x = 0 and z ≤ 0), z̄ = ȳ·x/z."""
    other = _like(other, x)
    return np.where((x == 0) & (other == other), x.dtype.type(0), x * np.log(other))


xlogy_.vjp(
    x=lambda g, x, other: where((x == 0) & (other <= 0), 0, xlogy_(g, other)),
    other=lambda g, x, other: g * (x / other),
)


@export("special.xlogy", "xlogy")
def xlogy(input: Any, other: Any, *, out: Any = None) -> Any:
    """x·ln z that is 0 wherever x is 0 (unless z is nan): the terms of an entropy.

    y = x·ln z;  x̄ = ȳ·ln z (0 where x = 0 and z ≤ 0), z̄ = ȳ·x/z
    """
    return finish(xlogy_(input, other), out)


# ------------------------------------------------------------------------------ one operand
@primitive(promote="float")
def logit_(x: Any, *, eps: float | None) -> Any:
    """y = ln(x/(1 − x)), x first limited to [ε, 1 − ε];  x̄ = ȳ/(x(1 − x)), 0 where limited."""
    if eps is not None:
        one = x.dtype.type
        x = np.clip(x, one(eps), one(1) - one(eps))
    return np.log(x / (1 - x))


def _logit_vjp(g: Any, x: Any, eps: float | None) -> Any:
    slope = g / (x * (1 - x) + 0.0)  # + 0 makes −0 positive: the slope there is +∞, too
    if eps is None:
        return where((x >= 0) & (x <= 1), slope, math.nan)
    return where((x < eps) | (x > 1 - eps), 0, slope)


logit_.vjp(x=_logit_vjp)


@export("special.logit", "logit")
def logit(input: Any, eps: float | None = None, *, out: Any = None) -> Any:
    """The inverse of the sigmoid; with eps, x is first limited to [eps, 1 − eps].

    y = ln(x/(1 − x));  x̄ = ȳ/(x(1 − x)), 0 where x was limited; nan outside [0, 1] without eps
    """
    return finish(logit_(input, eps=eps), out)


@export("special.sinc", "sinc")
@primitive(promote="float")
def sinc(x: Any) -> Any:
    """The normalized cardinal sine, 1 at 0.

    y = sin(πx)/(πx);  x̄ = ȳ·(πx cos πx − sin πx)/(πx²), 0 at 0
    """
    safe = np.where(x == 0, x.dtype.type(1), x) * x.dtype.type(math.pi)
    return np.where(x == 0, x.dtype.type(1), np.sin(safe) / safe)


def _sinc_vjp(g: Any, x: Any) -> Any:
    t = x * math.pi
    zero = x * t == 0
    return where(zero, 0, g * conj((t * cos(t) - sin(t)) / where(zero, 1, x * t)))


sinc.vjp(x=_sinc_vjp)


@export("deg2rad")
@primitive(promote="float")
def deg2rad(x: Any) -> Any:
    """Degrees in radians.

    y = x·π/180,  x̄ = ȳ·π/180
    """
    return x * x.dtype.type(math.pi / 180)


deg2rad.vjp(x=lambda g: g * (math.pi / 180))


@export("rad2deg")
@primitive(promote="float")
def rad2deg(x: Any) -> Any:
    """Radians in degrees.

    y = x·180/π,  x̄ = ȳ·180/π
    """
    return x * x.dtype.type(180 / math.pi)


rad2deg.vjp(x=lambda g: g * (180 / math.pi))


@primitive(promote="float")
def angle_(x: Any) -> Any:
    """y = the argument of x;  real: x̄ = 0, complex: x̄ = i·ȳ·x/|x|², 0 at 0."""
    if x.dtype.kind == "c":
        return np.angle(x)
    turned = np.where(x < 0, x.dtype.type(math.pi), x.dtype.type(0))
    return np.where(np.isnan(x), x, turned)


def _angle_vjp(g: Any, x: Any) -> Any:
    if data_of(x).dtype.kind != "c":
        return zeros_as(g)
    size = abs(x)
    return where(size == 0, 0, g * 1j * x / where(size == 0, 1, size * size))


angle_.vjp(x=_angle_vjp)


@export("angle")
def angle(input: Any, *, out: Any = None) -> Any:
    """The argument of a complex number; of a real one 0, π if it is negative, nan if it is nan.

    Real: x̄ = 0.  Complex: x̄ = i·ȳ·x/|x|², 0 at 0
    """
    return finish(angle_(input), out)


@primitive(half="keep")
def fill_with(x: Any, value: Any) -> Any:
    """y = value everywhere, in x's shape and dtype;  x̄ = 0, value gets Σȳ (by the engine)."""
    y = np.empty_like(x)
    if is_number(value):
        value = np.asarray(check_fits(value, x.dtype)).astype(x.dtype)[()]
    y[...] = value
    return y


fill_with.vjp(x=lambda g: zeros_as(g), value=lambda g: g)


@export("fill")
def fill(input: Any, value: Any) -> Any:
    """A tensor like `input` with every element `value`, a number or a 0-d tensor.

    y = value;  x̄ = 0, value gets Σȳ
    """
    if np.ndim(data_of(value)):
        raise RuntimeError(
            "fill_ only supports 0-dimension value tensor but got tensor with "
            f"{np.ndim(data_of(value))} dimensions."
        )
    return fill_with(input, value)


def zero(input: Any) -> Any:
    """A tensor like `input` with every element 0 (for `Tensor.zero_`)."""
    return fill_with(input, 0)
