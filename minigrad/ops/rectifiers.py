"""Rectifiers: the input where it is positive, something smaller where it is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module
from ..core.inplace import inplace as in_place
from ..core.primitive import primitive
from ..export import export
from .beside import beside
from .compare import gt, le
from .elementwise import exp, where
from .join import cat
from .kinks import apply, in_place_form, keep_outside, need_floating, refuse_bool, scale_below
from .piecewise import dtype_title
from .reduction import amax
from .shape import reshape, unflatten
from .threshold import hardtanh

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@primitive
def relu_(x: Any) -> Any:
    """y = max(x, 0), nan stays nan;  x̄ = ȳ where y > 0 (0 at 0)."""
    return np.maximum(x, 0)


relu_.vjp(x=lambda g, y: keep_outside(g, y, low=-math.inf, high=0))


@export("relu")
def relu(input: Any) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010);  x̄ = ȳ where x > 0, else 0 (0 at 0)."""
    refuse_bool("relu", input)
    return relu_(input)


@export("nn.functional.relu")
def relu_functional(input: Any, inplace: bool = False) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010);  x̄ = ȳ where x > 0, else 0 (0 at 0)."""
    return apply(relu, input, inplace)


@export("nn.functional.relu6")
def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6) (Krizhevsky 2010);  x̄ = ȳ for 0 < x < 6, else 0."""
    refuse_bool("relu6", input)
    return hardtanh(input, 0, 6, inplace)


@primitive
def leaky_relu_(x: Any, *, negative_slope: float) -> Any:
    """y = x where x > 0, else slope·x;  x̄ = ȳ or slope·ȳ (slope at 0)."""
    scaled = x * x.dtype.type(negative_slope)
    if 0 < negative_slope <= 1:  # with 0, inf would become nan
        return np.maximum(x, scaled)
    return np.where(x > 0, x, scaled)


leaky_relu_.vjp(x=lambda g, x, negative_slope: scale_below(g, x, slope=negative_slope))


@export("nn.functional.leaky_relu")
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else slope·x (Maas, Hannun and Ng 2013);  x̄ = ȳ or slope·ȳ (slope at 0)."""
    need_floating("leaky_relu_cpu", input)
    return apply(leaky_relu_, input, inplace, negative_slope=negative_slope)


@primitive
def prelu_(x: Any, weight: Any) -> Any:
    """y = x where x > 0, else w·x;  x̄ = ȳ or w·ȳ,  w̄ = Σ ȳ·x where x ≤ 0."""
    return np.where(x > 0, x, weight * x)


prelu_.vjp(
    x=lambda g, x, weight: beside(where(gt(x, 0), g, g * weight), x),
    weight=lambda g, x: where(gt(x, 0), 0, g * x),
)


@export("nn.functional.prelu", "prelu")
def prelu(input: Any, weight: Any) -> Any:
    """max(x, 0) + w·min(x, 0) with a learned w: one number, or one per channel (He et al. 2015).

        x̄ = ȳ or w·ȳ,  w̄ = Σ ȳ·x where x ≤ 0

    Channels are dimension 1. RuntimeError if the number of weights or the dtype does not fit.
    """
    need_floating("prelu_cpu", input)
    x, w = input._data, weight._data
    if x.dtype != w.dtype:
        raise RuntimeError(
            f"prelu: Type promoting not supported. Got {dtype_title(x.dtype)} and "
            f"{dtype_title(w.dtype)}"
        )
    if w.ndim > 1:
        raise RuntimeError(
            f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}"
        )
    if w.size != 1:
        if x.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        channels = x.shape[1] if x.ndim > 1 else 1
        if w.size != channels:
            raise RuntimeError(
                "Mismatch of parameter numbers and input channel size. Found parameter numbers = "
                f"{w.size} and channel size = {channels}."
            )
    if w.ndim == 1:
        weight = reshape(weight, (w.size, *[1] * (x.ndim - 2)) if x.ndim else ())
    return prelu_(input, weight)


@primitive
def rrelu_(x: Any, slope: Any) -> Any:
    """y = x where x > 0, else slope·x, with a random slope per element;  x̄ = ȳ or slope·ȳ."""
    return np.where(x <= 0, x * slope, x)


rrelu_.vjp(x=lambda g, x, slope: beside(where(le(x, 0), g * slope, g), x))


@export("nn.functional.rrelu", "rrelu")
def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Any:
    """Leaky relu with a slope from U(lower, upper) for each element (Xu et al. 2015).

    Outside training the slope is (lower + upper)/2. RuntimeError if lower > upper.
    """
    if lower > upper:
        raise RuntimeError(
            f"Lower bound should be less than or equal to the upper bound, got {lower} and {upper}"
        )
    need_floating("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    x = input._data
    drawn = sampling.uniform(x.shape, lower, upper, x.dtype, generator)
    slope = array_module(x).asarray(drawn)
    return (in_place(rrelu_, "rrelu_") if inplace else rrelu_)(input, slope)


@primitive
def elu_(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    """y = s·x where x > 0, else s·α(e^{ιx} − 1);  x̄ = s·ȳ or sαι·e^{ιx}·ȳ."""
    kind = x.dtype.type
    low = np.expm1(np.minimum(x, 0) * kind(input_scale)) * kind(alpha * scale)
    return np.maximum(x, 0) * kind(scale) + low  # one of the two is 0


def _elu_vjp(g: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    low = exp(where(gt(x, 0), 0, x * input_scale)) * (alpha * scale * input_scale)
    return where(le(x, 0), g * low, g * scale)


elu_.vjp(x=_elu_vjp)


@export("nn.functional.elu")
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else α(eˣ − 1) (Clevert, Unterthiner and Hochreiter 2015);  x̄ = ȳ or αeˣ·ȳ."""
    need_floating("elu_cpu", input)
    return apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0)


@export("nn.functional.celu", "celu")
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, x) + min(0, α(e^{x/α} − 1)), differentiable at 0 for every α (Barron 2017).

        x̄ = ȳ where x > 0, else e^{x/α}·ȳ

    RuntimeError for α = 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    need_floating("elu_cpu", input)
    return apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


@export("nn.functional.selu", "selu")
def selu(input: Any, inplace: bool = False) -> Any:
    """λ·elu(x, α) with λ = 1.0507, α = 1.6733 (Klambauer et al. 2017).

    With these two numbers mean 0 and variance 1 are a fixed point.  x̄ = λ·ȳ or λαeˣ·ȳ
    """
    need_floating("elu_cpu", input)
    return apply(elu_, input, inplace, alpha=SELU_ALPHA, scale=SELU_SCALE, input_scale=1.0)


# ------------------------------------------------------------------------------ made of relus
@primitive
def relu_squared_(x: Any) -> Any:
    """y = max(x, 0)²;  x̄ = 2ȳ max(x, 0)."""
    y = np.maximum(x, 0)
    return y * y


relu_squared_.vjp(x=lambda g, x: g * (relu_(x) * 2))


@export("nn.functional.relu_squared")
def relu_squared(input: Any) -> Any:
    """max(x, 0)², found by search over language models (So et al. 2021, Primer).

    x̄ = 2ȳ max(x, 0)
    """
    need_floating("relu_squared", input)
    return relu_squared_(input)


@export("nn.functional.crelu")
def crelu(input: Any, dim: int = 1) -> Any:
    """relu(x) and relu(−x), one behind the other along `dim` (Shang et al. 2016).

    Filters of a first layer come in pairs of opposite sign; this keeps both with one of them.
    """
    return cat([relu(input), relu(-input)], dim)


@export("nn.functional.maxout")
def maxout(input: Any, pieces: int, dim: int = -1) -> Any:
    """The largest of each `pieces` neighbours along `dim` (Goodfellow et al. 2013).

        y_i = max_j x_{ik+j}, j < k;  ȳ goes to the largest, in equal parts if there are several

    Shapes: n along `dim` becomes n/k. ValueError if k does not divide n.
    """
    size = input.size(dim)
    if pieces < 1 or size % pieces:
        raise ValueError(f"maxout: {size} features are not divisible into groups of {pieces}")
    if dim < 0:
        dim += input.dim()
    return amax(unflatten(input, dim, (size // pieces, pieces)), dim + 1)


# ------------------------------------------------------------------------------ in-place spellings
relu_in_place = in_place_form("relu_in_place", relu, "nn.functional.relu_", "relu_")
rrelu_in_place = in_place_form("rrelu_in_place", rrelu, "nn.functional.rrelu_", "rrelu_")
celu_in_place = in_place_form("celu_in_place", celu, "nn.functional.celu_", "celu_")
selu_in_place = in_place_form("selu_in_place", selu, "nn.functional.selu_", "selu_")
elu_in_place = in_place_form("elu_in_place", elu, "nn.functional.elu_")
leaky_relu_in_place = in_place_form("leaky_relu_in_place", leaky_relu, "nn.functional.leaky_relu_")
