"""Activation functions, elementwise, in the order of their history.

At a kink the derivative is PyTorch's: relu'(0) = 0, hardtanh' = 0 on its edges, and so on, stated with each.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.dtypes import FLOATING, from_numpy_dtype
from ..backend.random import default_generator
from ..core.inplace import inplace
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .compare import ge, gt, le, lt
from .elementwise import abs, exp, mul, sigmoid, tanh, where
from .shape import narrow, reshape
from .special import erf

_SQRT_2 = math.sqrt(2.0)
_SQRT_2_PI = math.sqrt(2.0 / math.pi)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _apply(result_of: Any, input: Any, inplace_: bool, **options: Any) -> Any:
    """result_of(input), written into input itself if asked."""
    if inplace_:
        return inplace(result_of, result_of.__name__ + "_")(input, **options)
    return result_of(input, **options)


def _need_floating(name: str, x: Any) -> None:
    data = x._data if isinstance(x, Tensor) else x
    if from_numpy_dtype(data.dtype).category < FLOATING:
        raise RuntimeError(f'"{name}" not implemented for \'{from_numpy_dtype(data.dtype).name}\'')


# ------------------------------------------------------------------------------ threshold and sigmoidal
@primitive
def threshold_(x: Any, *, threshold: float, value: float) -> Any:
    """y = x where x > threshold, else value;  x̄ = ȳ where x > threshold."""
    return np.where(x <= threshold, x.dtype.type(value), x)  # nan stays nan


threshold_.vjp(x=lambda g, x, threshold: where(le(x, threshold), 0, g))


@export("nn.functional.threshold", "threshold")
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else `value`."""
    return _apply(threshold_, input, inplace, threshold=threshold, value=value)


@primitive
def log_sigmoid(x: Any) -> Any:
    """y = log σ(x) = min(x, 0) − log(1 + e^−|x|);  x̄ = ȳ σ(−x)."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid.vjp(x=lambda g, x: g * sigmoid(-x))


@export("nn.functional.logsigmoid")
def logsigmoid(input: Any) -> Any:
    """log σ(x), without overflow for large |x|."""
    _need_floating("log_sigmoid", input)
    return log_sigmoid(input)


@export("nn.functional.softsign")
def softsign(input: Any) -> Any:
    """x / (1 + |x|) (Turian et al. 2009);  x̄ = ȳ / (1 + |x|)²."""
    return input / (1 + abs(input))


@export("nn.functional.tanhshrink")
def tanhshrink(input: Any) -> Any:
    """x − tanh x."""
    return input - tanh(input)


@primitive
def hardtanh_(x: Any, *, min_val: float, max_val: float) -> Any:
    """y = min(max(x, min_val), max_val);  x̄ = ȳ strictly inside, 0 on the edges and outside."""
    return np.clip(x, x.dtype.type(min_val), x.dtype.type(max_val))


hardtanh_.vjp(
    x=lambda g, x, min_val, max_val: where(gt(x, min_val), where(lt(x, max_val), g, 0), 0),
)


@export("nn.functional.hardtanh")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x clipped to [min_val, max_val]; ValueError if min_val > max_val."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    return _apply(hardtanh_, input, inplace, min_val=min_val, max_val=max_val)


@primitive
def hardsigmoid_(x: Any) -> Any:
    """y = relu6(x + 3)/6;  x̄ = ȳ/6 for −3 < x < 3, else 0."""
    return np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)


hardsigmoid_.vjp(x=lambda g, x: where(gt(x, -3.0), where(lt(x, 3.0), g / 6.0, 0), 0))


@export("nn.functional.hardsigmoid")
def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """relu6(x + 3)/6, the piecewise linear sigmoid (Howard et al. 2019)."""
    _need_floating("hardsigmoid", input)
    return _apply(hardsigmoid_, input, inplace)


@primitive
def hardshrink_(x: Any, *, lambd: float) -> Any:
    """y = x where |x| > λ, else 0;  x̄ = ȳ there."""
    return np.where((x >= -lambd) & (x <= lambd), x.dtype.type(0), x)


hardshrink_.vjp(x=lambda g, x, lambd: where(ge(x, -lambd), where(le(x, lambd), 0, g), g))


@export("nn.functional.hardshrink", "hardshrink")
def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where |x| > λ, else 0."""
    _need_floating("hardshrink", input)
    return hardshrink_(input, lambd=lambd)


@primitive
def softshrink_(x: Any, *, lambd: float) -> Any:
    """y = x − λ above λ, x + λ below −λ, 0 between;  x̄ = ȳ outside [−λ, λ]. nan stays nan."""
    lam = x.dtype.type(lambd)
    return np.where(x > lam, x - lam, np.where(x < -lam, x + lam, np.where(np.isnan(x), x, 0)))


softshrink_.vjp(x=lambda g, x, lambd: where(ge(x, -lambd), where(le(x, lambd), 0, g), g))


@export("nn.functional.softshrink")
def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x moved towards 0 by λ, the proximal map of λ|x|; RuntimeError for λ < 0."""
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    _need_floating("softshrink", input)
    return softshrink_(input, lambd=lambd)


# ------------------------------------------------------------------------------ rectifiers
@primitive
def relu_(x: Any) -> Any:
    """y = max(x, 0), nan stays nan;  x̄ = ȳ where y > 0 (0 at 0)."""
    return np.maximum(x, 0)


relu_.vjp(x=lambda g, y: where(le(y, 0), 0, g))
relu_.primitive.node_class.__name__ = "ReluBackward0"


@export("relu")
def relu(input: Any) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010); the derivative at 0 is 0."""
    if isinstance(input, Tensor) and input._data.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu")
    return relu_(input)


@export("nn.functional.relu")
def relu_functional(input: Any, inplace: bool = False) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010); the derivative at 0 is 0."""
    return _apply(relu, input, inplace)


@export("nn.functional.relu6")
def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6) (Krizhevsky 2010)."""
    if isinstance(input, Tensor) and input._data.dtype.kind == "b":
        raise RuntimeError("Boolean inputs not supported for relu6")
    return hardtanh(input, 0.0, 6.0, inplace) if _is_floating(input) else hardtanh(input, 0, 6, inplace)


def _is_floating(x: Any) -> bool:
    return (x._data if isinstance(x, Tensor) else x).dtype.kind not in "iub"


@primitive
def leaky_relu_(x: Any, *, negative_slope: float) -> Any:
    """y = x where x > 0, else slope·x;  x̄ = ȳ or slope·ȳ (slope at 0)."""
    return np.where(x > 0, x, x * x.dtype.type(negative_slope))


leaky_relu_.vjp(x=lambda g, x, negative_slope: where(gt(x, 0), g, g * negative_slope))


@export("nn.functional.leaky_relu")
def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else slope·x (Maas et al. 2013)."""
    _need_floating("leaky_relu", input)
    if inplace and negative_slope < 0:
        raise RuntimeError(
            "In-place leakyReLu backward calculation is triggered with a negative slope which is not supported. "
            "This is caused by calling in-place forward function with a negative slope, please call out-of-place "
            "version instead."
        )
    return _apply(leaky_relu_, input, inplace, negative_slope=negative_slope)


@primitive
def prelu_(x: Any, weight: Any) -> Any:
    """y = x where x > 0, else w·x;  x̄ = ȳ or w·ȳ,  w̄ = Σ ȳ·x where x ≤ 0."""
    return np.where(x > 0, x, weight * x)


prelu_.vjp(
    x=lambda g, x, weight: where(gt(x, 0), g, g * weight),
    weight=lambda g, x: where(gt(x, 0), 0, g * x),
)


@export("nn.functional.prelu", "prelu")
def prelu(input: Any, weight: Any) -> Any:
    """max(x, 0) + w·min(x, 0) with a learned w: one number, or one per channel (dimension 1) (He et al. 2015)."""
    x, w = input._data, weight._data
    if x.dtype != w.dtype:
        raise RuntimeError("prelu: Type promoting not supported. Got " f"{input.dtype} and {weight.dtype}")
    if w.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {w.ndim}")
    if w.size != 1:
        channels = x.shape[1] if x.ndim > 1 else 1
        if x.ndim == 0:
            raise RuntimeError("Not allow zero-dim input tensor.")
        if w.size != channels:
            raise RuntimeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {w.size} and "
                f"channel size = {channels}."
            )
    if w.ndim == 1:
        weight = reshape(weight, (-1, *[1] * (x.ndim - 2)) if x.ndim > 1 else (-1,)[: x.ndim])
    return prelu_(input, weight)


@primitive
def rrelu_(x: Any, slope: Any) -> Any:
    """y = x where x >= 0, else slope·x, with a random slope per element."""
    return np.where(x >= 0, x, x * slope)


rrelu_.vjp(x=lambda g, x, slope: where(ge(x, 0), g, g * slope))


@export("nn.functional.rrelu", "rrelu")
def rrelu(
    input: Any,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: Any = None,
) -> Any:
    """Leaky relu with a slope drawn from U(lower, upper) per element; the mean slope outside training (Xu 2015)."""
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, got {lower}, {upper}")
    _need_floating("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    rng = (default_generator if generator is None else generator).numpy
    slope = rng.uniform(lower, upper, input._data.shape).astype(input._data.dtype)
    return _apply(rrelu_, input, inplace, slope=slope) if not inplace else _rrelu_inplace(input, slope)


def _rrelu_inplace(input: Any, slope: Any) -> Any:
    return inplace(lambda x: rrelu_(x, slope), "rrelu_")(input)


@primitive
def elu_(x: Any, *, alpha: float, scale: float, input_scale: float) -> Any:
    """y = s·x where x > 0, else s·α(e^{ιx} − 1);  x̄ = ȳ·s or ȳ·sαι·e^{ιx}."""
    kind = x.dtype.type
    return np.where(x > 0, x * kind(scale), np.expm1(np.minimum(x, 0) * kind(input_scale)) * kind(alpha * scale))


elu_.vjp(
    x=lambda g, x, alpha, scale, input_scale: where(
        gt(x, 0), g * scale, g * (exp(where(gt(x, 0), 0, x * input_scale)) * (alpha * scale * input_scale))
    )
)


@export("nn.functional.elu")
def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else α(eˣ − 1) (Clevert et al. 2015)."""
    _need_floating("elu", input)
    return _apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0)


@export("nn.functional.celu", "celu")
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, x) + min(0, α(e^{x/α} − 1)), continuously differentiable in x for every α (Barron 2017)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    _need_floating("celu", input)
    return _apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


@export("nn.functional.selu", "selu")
def selu(input: Any, inplace: bool = False) -> Any:
    """λ·elu(x, α) with λ = 1.0507, α = 1.6733: mean 0 and variance 1 are a fixed point (Klambauer et al. 2017)."""
    _need_floating("selu", input)
    return _apply(elu_, input, inplace, alpha=SELU_ALPHA, scale=SELU_SCALE, input_scale=1.0)


@primitive
def softplus_(x: Any, *, beta: float, threshold: float) -> Any:
    """y = log(1 + e^{βx})/β, x itself where βx > threshold;  x̄ = ȳ σ(βx)."""
    z = x * x.dtype.type(beta)
    return np.where(z > threshold, x, (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / x.dtype.type(beta))


softplus_.vjp(
    x=lambda g, x, beta, threshold: where(gt(x * beta, threshold), g, g * sigmoid(x * beta))
)


@export("nn.functional.softplus")
def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + e^{βx})/β, a smooth relu (Dugas et al. 2001); linear where βx > threshold."""
    _need_floating("softplus", input)
    return softplus_(input, beta=beta, threshold=threshold)


# ------------------------------------------------------------------------------ smooth gates
@primitive
def gelu_erf(x: Any) -> Any:
    """y = x Φ(x);  x̄ = ȳ (Φ(x) + x φ(x))."""
    return x * (x.dtype.type(0.5) * (1 + erf(x * x.dtype.type(1 / _SQRT_2))))


gelu_erf.vjp(
    x=lambda g, x: g
    * (0.5 * (1 + erf(x * (1 / _SQRT_2))) + x * (exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))))
)


@primitive
def gelu_tanh(x: Any) -> Any:
    """y = x/2 (1 + tanh u), u = √(2/π)(x + 0.044715 x³);  x̄ = ȳ ((1 + t)/2 + x/2 (1 − t²) u')."""
    kind = x.dtype.type
    return kind(0.5) * x * (1 + np.tanh(kind(_SQRT_2_PI) * (x + kind(0.044715) * x * x * x)))


def _gelu_tanh_vjp(g: Any, x: Any) -> Any:
    t = tanh((x + x * x * x * 0.044715) * _SQRT_2_PI)
    slope = (1 + x * x * (3 * 0.044715)) * _SQRT_2_PI
    return g * ((1 + t) * 0.5 + x * (1 - t * t) * slope * 0.5)


gelu_tanh.vjp(x=_gelu_tanh_vjp)
gelu_erf.primitive.node_class.__name__ = gelu_tanh.primitive.node_class.__name__ = "GeluBackward0"


@export("nn.functional.gelu")
def gelu(input: Any, approximate: str = "none") -> Any:
    """x Φ(x) with the normal distribution function Φ, or its tanh approximation (Hendrycks and Gimpel 2016)."""
    _need_floating("GeluKernelImpl", input)
    if approximate == "none":
        return gelu_erf(input)
    if approximate == "tanh":
        return gelu_tanh(input)
    raise RuntimeError("approximate argument must be either none or tanh.")


@primitive
def silu_(x: Any) -> Any:
    """y = x σ(x);  x̄ = ȳ σ(x)(1 + x(1 − σ(x)))."""
    return x / (1 + np.exp(-x))


def _silu_vjp(g: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


silu_.vjp(x=_silu_vjp)
silu_.primitive.node_class.__name__ = "SiluBackward0"


@export("nn.functional.silu")
def silu(input: Any, inplace: bool = False) -> Any:
    """x σ(x), also called swish (Elfwing et al. 2017; Ramachandran et al. 2017)."""
    _need_floating("silu", input)
    return _apply(silu_, input, inplace)


@primitive
def mish_(x: Any) -> Any:
    """y = x tanh(softplus x);  x̄ = ȳ (t + x (1 − t²) σ(x)) with t = tanh(softplus x)."""
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


def _mish_vjp(g: Any, x: Any) -> Any:
    t = tanh(softplus_(x, beta=1.0, threshold=math.inf))
    return g * (t + x * (1 - t * t) * sigmoid(x))


mish_.vjp(x=_mish_vjp)
mish_.primitive.node_class.__name__ = "MishBackward0"


@export("nn.functional.mish")
def mish(input: Any, inplace: bool = False) -> Any:
    """x tanh(softplus x) (Misra 2019)."""
    _need_floating("mish", input)
    return _apply(mish_, input, inplace)


@primitive
def hardswish_(x: Any) -> Any:
    """y = x relu6(x + 3)/6;  x̄ = 0 for x ≤ −3, ȳ for x ≥ 3, ȳ(x/3 + 1/2) between."""
    return x * np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)


hardswish_.vjp(x=lambda g, x: where(le(x, -3.0), 0, where(ge(x, 3.0), g, g * (x / 3.0 + 0.5))))
hardswish_.primitive.node_class.__name__ = "HardswishBackward0"


@export("nn.functional.hardswish")
def hardswish(input: Any, inplace: bool = False) -> Any:
    """x relu6(x + 3)/6 (Howard et al. 2019)."""
    _need_floating("hardswish", input)
    return _apply(hardswish_, input, inplace)


@export("nn.functional.glu")
def glu(input: Any, dim: int = -1) -> Any:
    """a σ(b), a and b being the halves of the input along `dim` (Dauphin et al. 2016); RuntimeError if odd."""
    if input._data.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalize_dim(dim, input._data.ndim)
    size = input._data.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    return mul(narrow(input, dim, 0, size // 2), sigmoid(narrow(input, dim, size // 2, size // 2)))


