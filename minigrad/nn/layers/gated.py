"""Feed-forward layers with a gate (Shazeer 2020, "GLU variants improve Transformer").

    y = W_down (act(W_gate x) · W_up x)

Three matrices in place of two: for the same number of weights the hidden width is 2/3 of the usual
4d. The matrices are named as in published LLaMA-like models.
"""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops import activation as F
from ...ops.elementwise import mul, sigmoid
from ...ops.shape import select, unflatten
from ...ops.slices import narrow
from ..module import Module
from .linear import Linear
from .names import get_activation


@export("nn.gated_width")
def gated_width(features: int, multiple_of: int = 1, expansion: float = 4.0) -> int:
    """The hidden width of a gated layer: 2/3·expansion·features, rounded up to a multiple.

    gated_width(4096, 256) = 11008, the width of LLaMA 7B.
    """
    width = int(2 * int(expansion * features) / 3)
    return multiple_of * ((width + multiple_of - 1) // multiple_of)


@export("nn.GatedFeedForward")
class GatedFeedForward(Module):
    """W_down (act(W_gate x) · W_up x): (*, features) to (*, features).

    activation is a name (see `nn.get_activation`) or a module; hidden is gated_width(features,
    multiple_of) unless given.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        activation: str | Module = "silu",
        *,
        multiple_of: int = 1,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        hidden = gated_width(features, multiple_of) if hidden is None else hidden
        self.features, self.hidden = features, hidden
        self.gate_proj = Linear(features, hidden, bias, device, dtype)
        self.up_proj = Linear(features, hidden, bias, device, dtype)
        self.down_proj = Linear(hidden, features, bias, device, dtype)
        self.act_fn = get_activation(activation) if isinstance(activation, str) else activation

    def combine(self, gate: Any, value: Any) -> Any:
        """The gated activation of the two projections."""
        return mul(self.act_fn(gate), value)

    def forward(self, input: Any) -> Any:
        return self.down_proj(self.combine(self.gate_proj(input), self.up_proj(input)))


class _Fixed(GatedFeedForward):
    """A gated layer whose gate is in its name."""

    gate_name: str

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        *,
        multiple_of: int = 1,
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            features,
            hidden,
            self.gate_name,
            multiple_of=multiple_of,
            bias=bias,
            device=device,
            dtype=dtype,
        )


@export("nn.SigmoidGLU")
class SigmoidGLU(_Fixed):
    """W_down (σ(W_gate x) · W_up x), the gate of Dauphin et al. (2016)."""

    gate_name = "sigmoid"

    def combine(self, gate: Any, value: Any) -> Any:
        return mul(sigmoid(gate), value)


@export("nn.BilinearGLU")
class BilinearGLU(_Fixed):
    """W_down (W_gate x · W_up x): a gate without an activation."""

    gate_name = "linear"

    def combine(self, gate: Any, value: Any) -> Any:
        return mul(gate, value)


@export("nn.ReGLU")
class ReGLU(_Fixed):
    """W_down (relu(W_gate x) · W_up x)."""

    gate_name = "relu"

    def combine(self, gate: Any, value: Any) -> Any:
        return F.reglu(gate, value)


@export("nn.DReLU")
class DReLU(_Fixed):
    """W_down (relu(W_gate x) · relu(W_up x)), mostly zeros (Song et al. 2024)."""

    gate_name = "relu"

    def combine(self, gate: Any, value: Any) -> Any:
        return F.drelu(gate, value)


@export("nn.GEGLU")
class GEGLU(_Fixed):
    """W_down (gelu(W_gate x) · W_up x), of T5 v1.1."""

    gate_name = "gelu"

    def combine(self, gate: Any, value: Any) -> Any:
        return F.geglu(gate, value)


@export("nn.SwiGLU")
class SwiGLU(_Fixed):
    """W_down (silu(W_gate x) · W_up x), of LLaMA and most language models since."""

    gate_name = "silu"

    def combine(self, gate: Any, value: Any) -> Any:
        return F.swiglu(gate, value)


@export("nn.ClampedSwiGLU")
class ClampedSwiGLU(Module):
    """g σ(αg)·(v + 1) with g ≤ limit, |v| ≤ limit, of one projection: (*, 2n) to (*, n); gpt-oss.

    Gates and values take turns in the last dimension, or are its halves if not interleaved.
    """

    def __init__(self, alpha: float = 1.702, limit: float = 7.0, interleaved: bool = True):
        super().__init__()
        self.alpha, self.limit, self.interleaved = alpha, limit, interleaved

    def forward(self, input: Any) -> Any:
        size = input.size(-1)
        if size % 2:
            raise RuntimeError(f"ClampedSwiGLU: the last dimension must be even, but is {size}")
        if self.interleaved:
            pairs = unflatten(input, -1, (size // 2, 2))
            gate, value = select(pairs, -1, 0), select(pairs, -1, 1)
        else:
            gate, value = narrow(input, -1, 0, size // 2), narrow(input, -1, size // 2, size // 2)
        return F.clamped_swiglu(gate, value, self.alpha, self.limit)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, limit={self.limit}, interleaved={self.interleaved}"
