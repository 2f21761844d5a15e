"""Activation functions as modules."""

from __future__ import annotations

import warnings
from typing import Any

from ...export import export
from ...ops import activation as F
from ...ops import softmax as S
from ...ops.creation import full
from ...ops.elementwise import sigmoid, tanh
from ..module import Module
from ..parameter import Parameter


class _InPlace(Module):
    """An activation whose only option is whether to overwrite its input."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


@export("nn.Identity")
class Identity(Module):
    """Returns its input, whatever it was constructed with."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


@export("nn.Threshold")
class Threshold(Module):
    """x where x > threshold, else `value`."""

    def __init__(self, threshold: float, value: float, inplace: bool = False):
        super().__init__()
        self.threshold, self.value, self.inplace = threshold, value, inplace

    def forward(self, input: Any) -> Any:
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (
            ", inplace=True" if self.inplace else ""
        )


@export("nn.Sigmoid")
class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, input: Any) -> Any:
        return sigmoid(input)


@export("nn.Tanh")
class Tanh(Module):
    """tanh x."""

    def forward(self, input: Any) -> Any:
        return tanh(input)


@export("nn.LogSigmoid")
class LogSigmoid(Module):
    """log σ(x)."""

    def forward(self, input: Any) -> Any:
        return F.logsigmoid(input)


@export("nn.Softsign")
class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Any) -> Any:
        return F.softsign(input)


@export("nn.Tanhshrink")
class Tanhshrink(Module):
    """x − tanh x."""

    def forward(self, input: Any) -> Any:
        return F.tanhshrink(input)


def _renamed(which: str, new: float, old: float | None) -> float:
    if old is None:
        return new
    warnings.warn(
        f"keyword argument `{which}_value` is deprecated and rename to `{which}_val`",
        FutureWarning,
        stacklevel=3,
    )
    return old


@export("nn.Hardtanh")
class Hardtanh(Module):
    """x clipped to [min_val, max_val]."""

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ):
        super().__init__()
        min_val = _renamed("min", min_val, min_value)
        max_val = _renamed("max", max_val, max_value)
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace
        if max_val <= min_val:
            raise AssertionError(f"max_val ({max_val}) must be greater than min_val ({min_val})")

    def forward(self, input: Any) -> Any:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (
            ", inplace=True" if self.inplace else ""
        )


@export("nn.ReLU6")
class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


@export("nn.Hardsigmoid")
class Hardsigmoid(_InPlace):
    """relu6(x + 3)/6."""

    def forward(self, input: Any) -> Any:
        return F.hardsigmoid(input, self.inplace)


@export("nn.Hardswish")
class Hardswish(_InPlace):
    """x·relu6(x + 3)/6."""

    def forward(self, input: Any) -> Any:
        return F.hardswish(input, self.inplace)


@export("nn.Hardshrink")
class Hardshrink(Module):
    """x where |x| > λ, else 0."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        return F.hardshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


@export("nn.Softshrink")
class Softshrink(Module):
    """x moved towards 0 by λ."""

    def __init__(self, lambd: float = 0.5):
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Any) -> Any:
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"


@export("nn.ReLU")
class ReLU(_InPlace):
    """max(x, 0)."""

    def forward(self, input: Any) -> Any:
        return F.relu_functional(input, self.inplace)


@export("nn.LeakyReLU")
class LeakyReLU(Module):
    """x where x > 0, else slope·x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Any) -> Any:
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


@export("nn.PReLU")
class PReLU(Module):
    """Leaky relu with a learned slope, one or one per channel."""

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ):
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(full((num_parameters,), float(init), device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Set the slopes to their first value."""
        self.weight.data.fill_(self.init)

    def forward(self, input: Any) -> Any:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


@export("nn.RReLU")
class RReLU(Module):
    """Leaky relu with random slopes in training, the mean slope otherwise."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input: Any) -> Any:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + (
            ", inplace=True" if self.inplace else ""
        )


@export("nn.ELU")
class ELU(Module):
    """x where x > 0, else α(eˣ − 1)."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False):
        super().__init__()
        self.alpha, self.inplace = alpha, inplace

    def forward(self, input: Any) -> Any:
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


@export("nn.CELU")
class CELU(ELU):
    """max(0, x) + min(0, α(e^{x/α} − 1))."""

    def forward(self, input: Any) -> Any:
        return F.celu(input, self.alpha, self.inplace)


@export("nn.SELU")
class SELU(_InPlace):
    """λ·elu(x, α) with the self-normalising constants."""

    def forward(self, input: Any) -> Any:
        return F.selu(input, self.inplace)


@export("nn.Softplus")
class Softplus(Module):
    """log(1 + e^{βx})/β."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Any) -> Any:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


@export("nn.GELU")
class GELU(Module):
    """x Φ(x)."""

    def __init__(self, approximate: str = "none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Any) -> Any:
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


@export("nn.SiLU")
class SiLU(_InPlace):
    """x σ(x)."""

    def forward(self, input: Any) -> Any:
        return F.silu(input, self.inplace)


@export("nn.Mish")
class Mish(_InPlace):
    """x tanh(softplus x)."""

    def forward(self, input: Any) -> Any:
        return F.mish(input, self.inplace)


@export("nn.GLU")
class GLU(Module):
    """a σ(b), the halves of the input along `dim`."""

    def __init__(self, dim: int = -1):
        super().__init__()
        self.dim = dim

    def forward(self, input: Any) -> Any:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class _Along(Module):
    """A softmax along one dimension."""

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@export("nn.Softmax")
class Softmax(_Along):
    """e^{x_i}/Σ e^{x_j} along `dim`."""

    def forward(self, input: Any) -> Any:
        return S.softmax(input, self.dim)


@export("nn.LogSoftmax")
class LogSoftmax(_Along):
    """x_i − log Σ e^{x_j} along `dim`."""

    def forward(self, input: Any) -> Any:
        return S.log_softmax(input, self.dim)


@export("nn.Softmin")
class Softmin(_Along):
    """softmax(−x) along `dim`."""

    def forward(self, input: Any) -> Any:
        return S.softmin(input, self.dim)


@export("nn.Softmax2d")
class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Any) -> Any:
        if input.dim() not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D instead"
            )
        return S.softmax(input, -3)
