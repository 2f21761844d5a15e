"""Smooth rectifiers: the input times a gate that opens gradually."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .compare import gt, le, lt
from .elementwise import exp, sigmoid, tanh, where
from .kinks import apply, need_floating
from .piecewise import finish
from .special import erf

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)


@primitive
def softplus_(x: Any, *, beta: float, threshold: float) -> Any:
    """y = log(1 + e^{βx})/β, x itself where βx > threshold;  x̄ = ȳ σ(βx), there ȳ."""
    kind = x.dtype.type
    z = x * kind(beta)
    soft = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return np.where(z > threshold, x, soft / kind(beta))


softplus_.vjp(
    x=lambda g, x, beta, threshold: where(gt(x * beta, threshold), g, g * sigmoid(x * beta))
)


@export("nn.functional.softplus")
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0, *, out: Any = None) -> Any:
    """log(1 + e^{βx})/β, a smooth relu (Dugas et al. 2001); x itself where βx > threshold.

    x̄ = ȳ σ(βx)
    """
    need_floating("softplus_cpu", input)
    return finish(softplus_(input, beta=beta, threshold=threshold), out, True)


@primitive
def gelu_erf(x: Any) -> Any:
    """y = x Φ(x);  x̄ = ȳ (Φ(x) + x φ(x))."""
    half, root = x.dtype.type(0.5), x.dtype.type(_SQRT_HALF)
    return x * (half * (1 + erf(x * root)))


def gelu_slope(x: Any) -> Any:
    """Φ(x) + x φ(x)."""
    density = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return (erf(x * _SQRT_HALF) + 1) * 0.5 + x * density


gelu_erf.vjp(x=lambda g, x: g * gelu_slope(x))


@primitive
def gelu_tanh(x: Any) -> Any:
    """y = x/2 (1 + tanh u), u = √(2/π)(x + 0.044715 x³);  x̄ = ȳ ((1 + t)/2 + x/2 (1 − t²) u')."""
    kind = x.dtype.type
    u = kind(_SQRT_2_OVER_PI) * (x + kind(0.044715) * (x * x * x))
    return kind(0.5) * x * (1 + np.tanh(u))


def _gelu_tanh_vjp(g: Any, x: Any) -> Any:
    t = tanh((x + x * x * x * 0.044715) * _SQRT_2_OVER_PI)
    slope = (x * x * (3 * 0.044715) + 1) * _SQRT_2_OVER_PI
    return g * ((t + 1) * 0.5 + x * (1 - t * t) * slope * 0.5)


gelu_tanh.vjp(x=_gelu_tanh_vjp)
gelu_erf.primitive.node_class.__name__ = "GeluBackward0"
gelu_tanh.primitive.node_class.__name__ = "GeluBackward0"


@export("nn.functional.gelu")
def gelu(input: Any, *, approximate: str = "none", out: Any = None) -> Any:
    """x Φ(x) with the normal distribution function Φ (Hendrycks and Gimpel 2016).

        y = x/2 (1 + erf(x/√2)),  x̄ = ȳ (Φ(x) + x φ(x))

    approximate="tanh": Φ(x) ≈ (1 + tanh(√(2/π)(x + 0.044715 x³)))/2. RuntimeError for other words.
    """
    need_floating("GeluKernelImpl", input)
    if approximate == "none":
        return finish(gelu_erf(input), out)
    if approximate == "tanh":
        return finish(gelu_tanh(input), out)
    raise RuntimeError("approximate argument must be either none or tanh.")


@primitive
def silu_(x: Any) -> Any:
    """y = x σ(x);  x̄ = ȳ σ(x)(1 + x(1 − σ(x)))."""
    return x / (1 + np.exp(-x))


def _silu_vjp(g: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (x * (1 - s) + 1))


silu_.vjp(x=_silu_vjp)


@export("nn.functional.silu")
def silu(input: Any, inplace: bool = False) -> Any:
    """x σ(x), also called swish (Elfwing et al. 2017; Ramachandran et al. 2017).

    x̄ = ȳ σ(x)(1 + x(1 − σ(x)))
    """
    need_floating("silu_cpu", input)
    return apply(silu_, input, inplace)


@primitive
def mish_(x: Any) -> Any:
    """y = x tanh(softplus x);  x̄ = ȳ (t + x (1 − t²) σ(x)) with t = tanh(softplus x)."""
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _mish_vjp(g: Any, x: Any) -> Any:
    t = tanh(softplus_(x, beta=1.0, threshold=math.inf))
    return g * (t + x * (1 - t * t) * sigmoid(x))


mish_.vjp(x=_mish_vjp)


@export("nn.functional.mish")
def mish(input: Any, inplace: bool = False) -> Any:
    """x tanh(softplus x) (Misra 2019);  x̄ = ȳ (t + x (1 − t²) σ(x)) with t = tanh(softplus x)."""
    need_floating("mish_cpu", input)
    return apply(mish_, input, inplace)


@primitive
def hardswish_(x: Any) -> Any:
    """y = x relu6(x + 3)/6;  x̄ = 0 for x ≤ −3, ȳ for x ≥ 3, ȳ(x/3 + 1/2) between."""
    return x * np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)


hardswish_.vjp(
    x=lambda g, x: where(le(x, -3.0), 0, where(lt(x, 3.0), g * (x / 3.0 + 0.5), g)),
)


@export("nn.functional.hardswish")
def hardswish(input: Any, inplace: bool = False) -> Any:
    """x relu6(x + 3)/6 (Howard et al. 2019);  x̄ = 0 for x ≤ −3, ȳ for x ≥ 3, else ȳ(x/3 + ½)."""
    need_floating("hardswish_cpu", input)
    return apply(hardswish_, input, inplace)
