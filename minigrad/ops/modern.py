"""Later smooth activations: swish with a slope, and what was found after GELU and Mish."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .compare import gt, le, lt
from .elementwise import exp, expm1, sigmoid, sin, where
from .kinks import need_floating
from .smooth import softplus_
from .special import erf

_TINY = -40.0  # below it log(1 + eˣ) is eˣ to the last bit


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@primitive
def sqrt_softplus_(x: Any) -> Any:
    """y = √log(1 + eˣ);  x̄ = ȳ σ(x)/(2y), y/2·ȳ far below 0, where σ and y² are the same."""
    return np.where(x < _TINY, np.exp(x * 0.5), np.sqrt(_softplus(x)))


sqrt_softplus_.vjp(
    x=lambda g, x, y: g * where(lt(x, _TINY), y * 0.5, sigmoid(x) / (where(lt(x, _TINY), 1, y) * 2))
)


@export("nn.functional.sqrt_softplus")
def sqrt_softplus(input: Any) -> Any:
    """√softplus(x): the score of experts in DeepSeek-V4's router.

    y = √log(1 + eˣ),  x̄ = ȳ σ(x)/(2y)
    """
    need_floating("sqrt_softplus", input)
    return sqrt_softplus_(input)


# ------------------------------------------------------------------------------ gates of the input
@primitive
def swish_(x: Any, beta: Any) -> Any:
    """y = x σ(βx);  x̄ = ȳ σ(1 + βx(1 − σ)),  β̄ = Σ ȳ x²σ(1 − σ)."""
    return x / (1 + np.exp(-(x * beta)))


def _swish_x(g: Any, x: Any, beta: Any) -> Any:
    s = sigmoid(x * beta)
    return g * (s * (x * beta * (1 - s) + 1))


def _swish_beta(g: Any, x: Any, beta: Any) -> Any:
    s = sigmoid(x * beta)
    return g * (x * x * s * (1 - s))


swish_.vjp(x=_swish_x, beta=_swish_beta)


@export("nn.functional.swish")
def swish(input: Any, beta: Any = 1.0) -> Any:
    """x σ(βx) with a slope β, given or learned (Ramachandran, Zoph and Le 2017).

    x̄ = ȳ σ(βx)(1 + βx(1 − σ(βx))),  β̄ = Σ ȳ x²σ(βx)(1 − σ(βx))

    β = 1 is silu, β → ∞ relu, β = 0 the linear x/2. β is a number or a tensor that broadcasts.
    """
    need_floating("swish", input)
    return swish_(input, beta)


@export("nn.functional.quick_gelu")
def quick_gelu(input: Any) -> Any:
    """x σ(1.702x), the cheaper approximation of gelu (Hendrycks and Gimpel 2016); used by CLIP."""
    need_floating("quick_gelu", input)
    return swish_(input, 1.702)


@primitive
def serf_(x: Any) -> Any:
    """y = x erf(softplus x);  x̄ = ȳ (erf s + x·2/√π·e^{−s²} σ(x)) with s = softplus x."""
    return x * erf(_softplus(x))


def _serf_vjp(g: Any, x: Any) -> Any:
    s = softplus_(x, beta=1.0, threshold=math.inf)
    return g * (erf(s) + x * (exp(-(s * s)) * sigmoid(x)) * (2 / math.sqrt(math.pi)))


serf_.vjp(x=_serf_vjp)


@export("nn.functional.serf")
def serf(input: Any) -> Any:
    """x erf(softplus x) (Nag and Bhattacharyya 2021).

    x̄ = ȳ (erf s + x·2/√π·e^{−s²} σ(x)),  s = log(1 + eˣ)
    """
    need_floating("serf", input)
    return serf_(input)


# ------------------------------------------------------------------------------ smooth by pieces
@primitive
def smelu_(x: Any, *, beta: float) -> Any:
    """y = 0, (x + β)²/4β, x below, inside and above [−β, β];  x̄ = ȳ (x + β)/2β inside."""
    inside = np.minimum(np.maximum(x, -beta), beta) + beta
    return np.where(x > beta, x, inside * inside * (0.25 / beta))


def _smelu_vjp(g: Any, x: Any, beta: float) -> Any:
    inside = g * ((x + beta) * (0.5 / beta))
    return where(le(x, -beta), 0, where(gt(x, beta), g, inside))


smelu_.vjp(x=_smelu_vjp)


@export("nn.functional.smelu")
def smelu(input: Any, beta: float = 1.0) -> Any:
    """Relu with its corner rounded by a parabola (Shamir et al. 2022).

        y = 0 for x ≤ −β, (x + β)²/(4β) for |x| ≤ β, x above;  x̄ = ȳ clip((x + β)/2β, 0, 1)

    ValueError unless β > 0.
    """
    if not beta > 0:
        raise ValueError(f"smelu: beta must be positive, but got {beta}")
    need_floating("smelu", input)
    return smelu_(input, beta=float(beta))


@primitive
def xielu_(x: Any, alpha_p: Any, alpha_n: Any, *, beta: float, eps: float) -> Any:
    """y = α_p x² + βx above 0, α_n(e^{min(x, ε)} − 1 − x) + βx below."""
    low = np.expm1(np.minimum(x, eps)) - x
    return np.where(x > 0, alpha_p * x * x, alpha_n * low) + x * beta


def _xielu_x(g: Any, x: Any, alpha_p: Any, alpha_n: Any, beta: float, eps: float) -> Any:
    # what min(x, ε) − x adds between ε and 0 is rounding, not slope: the derivative is continuous
    low = expm1(where(lt(x, eps), x, eps)) * alpha_n
    return g * (where(gt(x, 0), x * alpha_p * 2, low) + beta)


xielu_.vjp(
    x=_xielu_x,
    alpha_p=lambda g, x: where(gt(x, 0), g * x * x, 0),
    alpha_n=lambda g, x, eps: where(gt(x, 0), 0, g * (expm1(where(lt(x, eps), x, eps)) - x)),
)


@export("nn.functional.xielu")
def xielu(
    input: Any, alpha_p: Any = 0.8, alpha_n: Any = 0.8, beta: float = 0.5, eps: float = -1e-6
) -> Any:
    """The integral of a relu above 0 and of an elu below (Huang and Schlag 2024, 2411.13010).

        y = α_p x² + βx for x > 0, α_n(e^{min(x, ε)} − 1 − x) + βx else
        x̄ = ȳ (2α_p x + β) or ȳ (α_n(eˣ − 1) + β)

    α_p and α_n are numbers or tensors that broadcast; `nn.XIELU` learns them and keeps them
    positive.
    """
    need_floating("xielu", input)
    return xielu_(input, alpha_p, alpha_n, beta=float(beta), eps=float(eps))


# ------------------------------------------------------------------------------ periodic
@primitive
def snake_(x: Any, alpha: Any, beta: Any) -> Any:
    """y = x + sin²(αx)/β."""
    wave = np.sin(x * alpha)
    return x + wave * wave / beta


snake_.vjp(
    x=lambda g, x, alpha, beta: g * (sin(x * alpha * 2) * (alpha / beta) + 1),
    alpha=lambda g, x, alpha, beta: g * (sin(x * alpha * 2) * x / beta),
    beta=lambda g, x, alpha, beta: -g * (sin(x * alpha) * sin(x * alpha) / (beta * beta)),
)


@export("nn.functional.snake")
def snake(input: Any, alpha: Any = 1.0, beta: Any = None) -> Any:
    """x + sin²(αx)/α: monotone, and periodic besides (Ziyin, Hartwig and Ueda 2020, 2006.08195).

        y = x + sin²(αx)/β,  x̄ = ȳ (1 + α/β sin 2αx)

    β: the amplitude apart from the frequency, as in SnakeBeta (BigVGAN); α if left out.
    """
    need_floating("snake", input)
    return snake_(input, alpha, alpha if beta is None else beta)


@export("nn.functional.sine")
def sine(input: Any, omega: float = 30.0) -> Any:
    """sin(ωx), the activation of SIREN (Sitzmann et al. 2020);  x̄ = ȳ ω cos(ωx)."""
    need_floating("sine", input)
    return sin(input * omega)
