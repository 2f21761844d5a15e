"""Activation functions, elementwise, in the order of their history.

At a kink the derivative is PyTorch's: relu'(0) = 0, hardtanh' = 0 on its edges, and so on, stated
with each. The primitives (trailing underscore) take floating arrays; the public functions check.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.dtypes import F32, F64
from ..core.inplace import inplace as in_place
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .compare import eq, gt, le, lt
from .elementwise import abs, exp, mul, sigmoid, tanh, where
from .piecewise import dtype_title, finish, refuse, zeros_as
from .shape import reshape
from .slices import narrow
from .special import erf

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2.0 / math.pi)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _apply(op: Any, input: Any, inplace: bool, **options: Any) -> Any:
    """op(input), written into input itself if asked."""
    if inplace:
        return in_place(op, op.__name__ + "_")(input, **options)
    return op(input, **options)


def _need_floating(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    refuse(name, x._data, "biu")


def _refuse_bool(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if x._data.dtype.kind == "b":
        raise RuntimeError(f"Boolean inputs not supported for {name}")


# ------------------------------------------------------------------------------ pieces of gradients
_BITS = {F32: np.int32, F64: np.int64}


def _kept(g: Any, keep: Any) -> Any:
    """g where the bool `keep` holds, else 0, for inf and nan as well.

    By masking bits: np.where mispredicts a branch for every other element of random data and takes
    5 ms for 10^6, this 1.4; a product would turn inf into nan.
    """
    bits = _BITS.get(g.dtype)
    if bits is None:
        return np.where(keep, g, g.dtype.type(0))
    return np.bitwise_and(g.view(bits), np.negative(keep.view(np.int8), dtype=bits)).view(g.dtype)


@primitive
def keep_outside(g: Any, x: Any, *, low: float, high: float) -> Any:
    """g, but 0 where low <= x <= high: nan in x keeps it. Its derivative in x is 0."""
    inside = x <= x.dtype.type(high)
    if low != -math.inf:
        inside &= x >= x.dtype.type(low)
    return _kept(g, ~inside)


@primitive
def keep_inside(g: Any, x: Any, *, low: float, high: float) -> Any:
    """g, but 0 where x <= low or x >= high: nan in x keeps it. Its derivative in x is 0."""
    kind = x.dtype.type
    return _kept(g, ~((x <= kind(low)) | (x >= kind(high))))


@primitive
def scale_below(g: Any, x: Any, *, slope: float) -> Any:
    """g where x > 0, else slope·g. Its derivative in x is 0."""
    return np.where(x > 0, g, g * g.dtype.type(slope))


keep_outside.vjp(
    g=lambda g, x, low, high: keep_outside(g, x, low=low, high=high), x=lambda g: zeros_as(g)
)
keep_inside.vjp(
    g=lambda g, x, low, high: keep_inside(g, x, low=low, high=high), x=lambda g: zeros_as(g)
)
scale_below.vjp(g=lambda g, x, slope: scale_below(g, x, slope=slope), x=lambda g: zeros_as(g))


# ------------------------------------------------------------------------------ threshold
@primitive
def threshold_(x: Any, *, threshold: float, value: float) -> Any:
    """y = x where x > threshold, else value;  x̄ = ȳ where x > threshold, else 0. nan stays nan."""
    return np.where(x <= x.dtype.type(threshold), x.dtype.type(value), x)


threshold_.vjp(x=lambda g, x, threshold: keep_outside(g, x, low=-math.inf, high=threshold))


@export("nn.functional.threshold", "threshold")
def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else `value`;  x̄ = ȳ where x > threshold, else 0."""
    return _apply(threshold_, input, inplace, threshold=threshold, value=value)


# ------------------------------------------------------------------------------ sigmoidal
@primitive
def log_sigmoid(x: Any) -> Any:
    """y = log σ(x) = min(x, 0) − log(1 + e^−|x|);  x̄ = ȳ σ(−x)."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


log_sigmoid.vjp(x=lambda g, x: g * sigmoid(-x))


@export("nn.functional.logsigmoid")
def logsigmoid(input: Any) -> Any:
    """The logarithm of the sigmoid, without overflow.

    y = −log(1 + e^−x),  x̄ = ȳ σ(−x)
    """
    _need_floating("log_sigmoid", input)
    return log_sigmoid(input)


@export("nn.functional.softsign")
def softsign(input: Any) -> Any:
    """A sigmoid with polynomial tails (Turian, Bergstra and Bengio 2009).

    y = x / (1 + |x|),  x̄ = ȳ / (1 + |x|)²
    """
    return input / (1 + abs(input))


@export("nn.functional.tanhshrink")
def tanhshrink(input: Any) -> Any:
    """y = x − tanh x,  x̄ = ȳ tanh² x."""
    return input - tanh(input)


@primitive
def hardtanh_(x: Any, *, min_val: float, max_val: float) -> Any:
    """y = min(max(x, min), max);  x̄ = ȳ strictly inside, 0 on the edges and outside."""
    return np.clip(x, x.dtype.type(min_val), x.dtype.type(max_val))


hardtanh_.vjp(
    x=lambda g, x, min_val, max_val: keep_inside(g, x, low=min_val, high=max_val),
)


@export("nn.functional.hardtanh")
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """x clipped to [min_val, max_val];  x̄ = ȳ strictly inside, else 0.

    ValueError if min_val > max_val.
    """
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    _refuse_bool("hardtanh", input)
    if input._data.dtype.kind == "u" and min_val < 0:
        raise RuntimeError("cannot do hardtanh on an unsigned type with negative limits")
    return _apply(hardtanh_, input, inplace, min_val=min_val, max_val=max_val)


@primitive
def hardsigmoid_(x: Any) -> Any:
    """y = relu6(x + 3)/6;  x̄ = ȳ/6 for −3 < x < 3, else 0."""
    return np.clip(x + x.dtype.type(3), 0, 6) / x.dtype.type(6)


def _hardsigmoid_vjp(g: Any, x: Any) -> Any:
    return keep_inside(where(eq(x, x), g / 6.0, 0), x, low=-3.0, high=3.0)  # nan gets 0


hardsigmoid_.vjp(x=_hardsigmoid_vjp)


@export("nn.functional.hardsigmoid")
def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """The piecewise linear sigmoid (Howard et al. 2019).

    y = relu6(x + 3)/6,  x̄ = ȳ/6 for −3 < x < 3, else 0
    """
    _need_floating("hardsigmoid", input)
    return _apply(hardsigmoid_, input, inplace)


# ------------------------------------------------------------------------------ shrinking
@primitive
def hardshrink_(x: Any, *, lambd: float) -> Any:
    """y = x where |x| > λ, else 0;  x̄ = ȳ there."""
    lam = x.dtype.type(lambd)
    return np.where((x >= -lam) & (x <= lam), x.dtype.type(0), x)


hardshrink_.vjp(x=lambda g, x, lambd: keep_outside(g, x, low=-lambd, high=lambd))


@export("nn.functional.hardshrink", "hardshrink")
def hardshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """x where |x| > λ, else 0;  x̄ = ȳ there."""
    _need_floating("hardshrink", input)
    return finish(hardshrink_(input, lambd=lambd), out)


@primitive
def softshrink_(x: Any, *, lambd: float) -> Any:
    """y = x − λ above λ, x + λ below −λ, 0 between;  x̄ = ȳ outside [−λ, λ]. nan stays nan."""
    lam = x.dtype.type(lambd)
    return np.where(x > lam, x - lam, np.where(x < -lam, x + lam, x * 0))


softshrink_.vjp(x=lambda g, x, lambd: keep_outside(g, x, low=-lambd, high=lambd))


@export("nn.functional.softshrink")
def softshrink(input: Any, lambd: float = 0.5, *, out: Any = None) -> Any:
    """x moved towards 0 by λ, the proximal map of λ|x|;  x̄ = ȳ outside [−λ, λ].

    RuntimeError for λ < 0.
    """
    if lambd < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    _need_floating("softshrink_cpu", input)
    return finish(softshrink_(input, lambd=lambd), out)


# ------------------------------------------------------------------------------ rectifiers
@primitive
def relu_(x: Any) -> Any:
    """y = max(x, 0), nan stays nan;  x̄ = ȳ where y > 0 (0 at 0)."""
    return np.maximum(x, 0)


relu_.vjp(x=lambda g, y: keep_outside(g, y, low=-math.inf, high=0))


@export("relu")
def relu(input: Any) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010);  x̄ = ȳ where x > 0, else 0 (0 at 0)."""
    _refuse_bool("relu", input)
    return relu_(input)


@export("nn.functional.relu")
def relu_functional(input: Any, inplace: bool = False) -> Any:
    """max(x, 0) (Fukushima 1969; Nair and Hinton 2010);  x̄ = ȳ where x > 0, else 0 (0 at 0)."""
    return _apply(relu, input, inplace)


@export("nn.functional.relu6")
def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6) (Krizhevsky 2010);  x̄ = ȳ for 0 < x < 6, else 0."""
    _refuse_bool("relu6", input)
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
    _need_floating("leaky_relu_cpu", input)
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
    """max(x, 0) + w·min(x, 0) with a learned w: one number, or one per channel (He et al. 2015).

        x̄ = ȳ or w·ȳ,  w̄ = Σ ȳ·x where x ≤ 0

    Channels are dimension 1. RuntimeError if the number of weights or the dtype does not fit.
    """
    _need_floating("prelu_cpu", input)
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


rrelu_.vjp(x=lambda g, x, slope: where(le(x, 0), g * slope, g))


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
    _need_floating("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    x = input._data
    slope = sampling.uniform(x.shape, lower, upper, x.dtype, generator)
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
    _need_floating("elu_cpu", input)
    return _apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0)


@export("nn.functional.celu", "celu")
def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """max(0, x) + min(0, α(e^{x/α} − 1)), differentiable at 0 for every α (Barron 2017).

        x̄ = ȳ where x > 0, else e^{x/α}·ȳ

    RuntimeError for α = 0.
    """
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    _need_floating("elu_cpu", input)
    return _apply(elu_, input, inplace, alpha=alpha, scale=1.0, input_scale=1.0 / alpha)


@export("nn.functional.selu", "selu")
def selu(input: Any, inplace: bool = False) -> Any:
    """λ·elu(x, α) with λ = 1.0507, α = 1.6733 (Klambauer et al. 2017).

    With these two numbers mean 0 and variance 1 are a fixed point.  x̄ = λ·ȳ or λαeˣ·ȳ
    """
    _need_floating("elu_cpu", input)
    return _apply(elu_, input, inplace, alpha=SELU_ALPHA, scale=SELU_SCALE, input_scale=1.0)


# ------------------------------------------------------------------------------ smooth gates
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
    _need_floating("softplus_cpu", input)
    return finish(softplus_(input, beta=beta, threshold=threshold), out)


@primitive
def gelu_erf(x: Any) -> Any:
    """y = x Φ(x);  x̄ = ȳ (Φ(x) + x φ(x))."""
    half, root = x.dtype.type(0.5), x.dtype.type(_SQRT_HALF)
    return x * (half * (1 + erf(x * root)))


def _gelu_erf_vjp(g: Any, x: Any) -> Any:
    density = exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return g * ((erf(x * _SQRT_HALF) + 1) * 0.5 + x * density)


gelu_erf.vjp(x=_gelu_erf_vjp)


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
def gelu(input: Any, *, approximate: str = "none") -> Any:
    """x Φ(x) with the normal distribution function Φ (Hendrycks and Gimpel 2016).

        y = x/2 (1 + erf(x/√2)),  x̄ = ȳ (Φ(x) + x φ(x))

    approximate="tanh": Φ(x) ≈ (1 + tanh(√(2/π)(x + 0.044715 x³)))/2. RuntimeError for other words.
    """
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
    return g * (s * (x * (1 - s) + 1))


silu_.vjp(x=_silu_vjp)


@export("nn.functional.silu")
def silu(input: Any, inplace: bool = False) -> Any:
    """x σ(x), also called swish (Elfwing et al. 2017; Ramachandran et al. 2017).

    x̄ = ȳ σ(x)(1 + x(1 − σ(x)))
    """
    _need_floating("silu_cpu", input)
    return _apply(silu_, input, inplace)


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
    _need_floating("mish_cpu", input)
    return _apply(mish_, input, inplace)


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
    _need_floating("hardswish_cpu", input)
    return _apply(hardswish_, input, inplace)


@export("nn.functional.glu")
def glu(input: Any, dim: int = -1) -> Any:
    """a σ(b), a and b being the halves of the input along `dim` (Dauphin et al. 2016).

        ā = ȳ σ(b),  b̄ = ȳ a σ(b)(1 − σ(b))

    RuntimeError for a 0-d input and if the dimension is odd.
    """
    _need_floating("glu_cpu", input)
    if input._data.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    dim = normalize_dim(dim, input._data.ndim)
    size = input._data.shape[dim]
    if size % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {size}")
    half = size // 2
    return mul(narrow(input, dim, 0, half), sigmoid(narrow(input, dim, half, half)))


# ------------------------------------------------------------------------------ in-place spellings
def _in_place(name: str, op: Any, *public: str) -> Any:
    """The in-place form of `op`, kept in this module as `name`, exported under the public names."""
    method = in_place(op, public[0].rpartition(".")[2])
    method.__name__ = method.__qualname__ = name
    return export(*public)(method)


relu_in_place = _in_place("relu_in_place", relu, "nn.functional.relu_", "relu_")
threshold_in_place = _in_place(
    "threshold_in_place", threshold, "nn.functional.threshold_", "threshold_"
)
rrelu_in_place = _in_place("rrelu_in_place", rrelu, "nn.functional.rrelu_", "rrelu_")
celu_in_place = _in_place("celu_in_place", celu, "nn.functional.celu_", "celu_")
selu_in_place = _in_place("selu_in_place", selu, "nn.functional.selu_", "selu_")
elu_in_place = _in_place("elu_in_place", elu, "nn.functional.elu_")
hardtanh_in_place = _in_place("hardtanh_in_place", hardtanh, "nn.functional.hardtanh_")
leaky_relu_in_place = _in_place("leaky_relu_in_place", leaky_relu, "nn.functional.leaky_relu_")
