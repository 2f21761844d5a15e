"""Activations beyond PyTorch's as modules; formulas and sources stand with their functions."""

from __future__ import annotations

import math
from typing import Any

from ...export import export
from ...ops import activation as F
from ...ops import sparsemax as S
from ...ops.creation import full, tensor
from ...ops.elementwise import clamp, exp
from ...ops.shape import reshape
from .. import init
from ..module import Module
from ..parameter import Parameter
from .linear import Linear


@export("nn.Step")
class Step(Module):
    """The perceptron's threshold: 1 above it, else 0, or −1 if signed.

    estimator: what stands in for its derivative 0, see `nn.functional.step`.
    """

    def __init__(self, threshold: float = 0.0, signed: bool = False, estimator: str = "none"):
        super().__init__()
        self.threshold, self.signed, self.estimator = threshold, signed, estimator

    def forward(self, input: Any) -> Any:
        return F.step(input, self.threshold, signed=self.signed, estimator=self.estimator)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, signed={self.signed}, estimator={self.estimator!r}"


@export("nn.LeCunTanh")
class LeCunTanh(Module):
    """1.7159 tanh(2x/3)."""

    def forward(self, input: Any) -> Any:
        return F.lecun_tanh(input)


@export("nn.Laplace")
class Laplace(Module):
    """½(1 + erf((x − μ)/(σ√2)))."""

    def __init__(self, mu: float = 0.707107, sigma: float = 0.282095):
        super().__init__()
        self.mu, self.sigma = mu, sigma

    def forward(self, input: Any) -> Any:
        return F.laplace(input, self.mu, self.sigma)

    def extra_repr(self) -> str:
        return f"mu={self.mu}, sigma={self.sigma}"


@export("nn.ReLUSquared")
class ReLUSquared(Module):
    """max(x, 0)²."""

    def forward(self, input: Any) -> Any:
        return F.relu_squared(input)


@export("nn.CReLU")
class CReLU(Module):
    """relu(x) and relu(−x), one behind the other along `dim`: twice as many features."""

    def __init__(self, dim: int = 1):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return F.crelu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@export("nn.Maxout")
class Maxout(Module):
    """y_i = max_j (W_j x + b_j)_i over `pieces` linear maps (Goodfellow et al. 2013).

    Shapes: (*, in_features) to (*, out_features). All maps are one Linear, `linear`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        pieces: int = 2,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.in_features, self.out_features, self.pieces = in_features, out_features, pieces
        self.linear = Linear(in_features, out_features * pieces, bias, device, dtype)

    def forward(self, input: Any) -> Any:
        return F.maxout(self.linear(input), self.pieces)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, pieces={self.pieces}"


@export("nn.ClippedGELU")
class ClippedGELU(Module):
    """x Φ(x) clipped to [min, max], for 8-bit arithmetic (Wu et al. 2020)."""

    def __init__(self, min: float = -10.0, max: float = 10.0):
        super().__init__()
        if min > max:
            raise ValueError(f"min should be < max (got min: {min}, max: {max})")
        self.min, self.max = min, max

    def forward(self, input: Any) -> Any:
        return clamp(F.gelu(input), self.min, self.max)

    def extra_repr(self) -> str:
        return f"min={self.min}, max={self.max}"


@export("nn.QuickGELU")
class QuickGELU(Module):
    """x σ(1.702x)."""

    def forward(self, input: Any) -> Any:
        return F.quick_gelu(input)


@export("nn.Swish")
class Swish(Module):
    """x σ(βx), with β learned unless told otherwise; without learning and β = 1 it is SiLU."""

    def __init__(
        self, beta: float = 1.0, learnable: bool = True, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.init, self.learnable = beta, learnable
        if learnable:
            self.beta = Parameter(full((1,), float(beta), device=device, dtype=dtype))
        else:
            self.beta = float(beta)

    def forward(self, input: Any) -> Any:
        return F.swish(input, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.init}, learnable={self.learnable}"


@export("nn.Serf")
class Serf(Module):
    """x erf(softplus x)."""

    def forward(self, input: Any) -> Any:
        return F.serf(input)


@export("nn.SmeLU")
class SmeLU(Module):
    """Relu with its corner rounded between −β and β."""

    def __init__(self, beta: float = 1.0):
        super().__init__()
        self.beta = beta

    def forward(self, input: Any) -> Any:
        return F.smelu(input, self.beta)

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


@export("nn.SqrtSoftplus")
class SqrtSoftplus(Module):
    """√log(1 + eˣ)."""

    def forward(self, input: Any) -> Any:
        return F.sqrt_softplus(input)


@export("nn.XIELU")
class XIELU(Module):
    """xIELU with learned α_p and α_n (Huang and Schlag 2024); the activation of Apertus.

    What is learned passes through a softplus, so that α_p > 0 and α_n > β: the function falls
    below 0 somewhere left of 0. State names and shapes are those of the published models.
    """

    def __init__(
        self,
        alpha_p_init: float = 0.8,
        alpha_n_init: float = 0.8,
        beta: float = 0.5,
        eps: float = -1e-6,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        options = {"device": device, "dtype": dtype}

        def before_softplus(y: float) -> Any:
            return Parameter(full((1,), math.log(math.expm1(y)), **options))

        self.alpha_p = before_softplus(alpha_p_init)
        self.alpha_n = before_softplus(alpha_n_init - beta)
        self.register_buffer("beta", tensor(beta, **options))
        self.register_buffer("eps", tensor(eps, **options))

    def forward(self, input: Any) -> Any:
        beta = float(self.beta)
        alpha_p, alpha_n = F.softplus(self.alpha_p), F.softplus(self.alpha_n) + beta
        return F.xielu(input, alpha_p, alpha_n, beta, float(self.eps))


# ------------------------------------------------------------------------------ periodic
@export("nn.Snake")
class Snake(Module):
    """x + sin²(αx)/α with a learned α for each channel (dimension 1).

    log_scale: what is learned is log α, which keeps α positive.
    """

    def __init__(
        self,
        num_channels: int,
        alpha: float = 1.0,
        log_scale: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.num_channels, self.init, self.log_scale = num_channels, alpha, log_scale
        self.alpha = self._first(device, dtype)

    def _first(self, device: Any, dtype: Any) -> Parameter:
        value = math.log(self.init) if self.log_scale else float(self.init)
        return Parameter(full((self.num_channels,), value, device=device, dtype=dtype))

    def _per_channel(self, parameter: Any, input: Any) -> Any:
        shaped = reshape(parameter, (self.num_channels, *[1] * (input.dim() - 2)))
        return exp(shaped) if self.log_scale else shaped

    def forward(self, input: Any) -> Any:
        return F.snake(input, self._per_channel(self.alpha, input))

    def extra_repr(self) -> str:
        return f"{self.num_channels}, alpha={self.init}, log_scale={self.log_scale}"


@export("nn.SnakeBeta")
class SnakeBeta(Snake):
    """x + sin²(αx)/β with learned frequency α and amplitude 1/β for each channel (Lee et al. 2022,
    BigVGAN).
    """

    def __init__(
        self,
        num_channels: int,
        alpha: float = 1.0,
        log_scale: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(num_channels, alpha, log_scale, device, dtype)
        self.beta = self._first(device, dtype)

    def forward(self, input: Any) -> Any:
        beta = self._per_channel(self.beta, input) + 1e-9  # as in BigVGAN: a learned β may cross 0
        return F.snake(input, self._per_channel(self.alpha, input), beta)


@export("nn.Sine")
class Sine(Module):
    """sin(ωx)."""

    def __init__(self, omega: float = 30.0):
        super().__init__()
        self.omega = omega

    def forward(self, input: Any) -> Any:
        return F.sine(input, self.omega)

    def extra_repr(self) -> str:
        return f"omega={self.omega}"


@export("nn.SirenLayer")
class SirenLayer(Module):
    """sin(ω(Wx + b)), started so that activations keep their distribution (Sitzmann et al. 2020).

    W from U(±√(6/n)/ω); in a network's first layer, which sees coordinates, from U(±1/n).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        omega: float = 30.0,
        first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.omega, self.first = omega, first
        self.linear = Linear(in_features, out_features, bias, device, dtype)
        bound = 1 / in_features if first else math.sqrt(6 / in_features) / omega
        init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, input: Any) -> Any:
        return F.sine(self.linear(input), self.omega)

    def extra_repr(self) -> str:
        return f"omega={self.omega}, first={self.first}"


# ------------------------------------------------------------------------------ sparse
@export("nn.Sparsemax")
class Sparsemax(Module):
    """The closest point of the probability simplex along `dim`."""

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return S.sparsemax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@export("nn.Entmax")
class Entmax(Module):
    """Sparse softmax with exponent α along `dim`: softmax for 1, sparsemax for 2."""

    def __init__(self, alpha: float = 1.5, dim: int = -1):
        super().__init__()
        self.alpha, self.dim = alpha, dim

    def forward(self, input: Any) -> Any:
        return S.entmax(input, self.alpha, self.dim)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, dim={self.dim}"


@export("nn.GaussianTopK")
class GaussianTopK(Module):
    """relu(x − (μ + σ Φ⁻¹(sparsity))) along `dim`, as in Gemma 3n."""

    def __init__(self, sparsity: float = 0.95, dim: int = -1):
        super().__init__()
        self.sparsity, self.dim = sparsity, dim

    def forward(self, input: Any) -> Any:
        return F.gaussian_topk(input, self.sparsity, self.dim)

    def extra_repr(self) -> str:
        return f"sparsity={self.sparsity}, dim={self.dim}"
