"""The layers whose weights are large: drawn from N(0, std²), or not in memory at all.

    with without_memory():
        model = KimiVL(KimiVLConfig())      # 16.4 billion parameters, a few megabytes

A parameter without memory is one nan seen from everywhere: it has shape and dtype, and whatever is
computed with it is nan. `load_checkpoint` puts the files' arrays in the place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...backend.dtypes import get_default_dtype
from ...core.tensor import wrap
from ...export import export
from ...nn import init
from ...nn.layers.embedding import Embedding as _Embedding
from ...nn.layers.linear import Linear as _Linear
from ...nn.module import Module
from ...nn.parameter import Parameter
from ...ops.filled import empty, zeros
from ...ops.gated import swiglu


class _Without:
    """How many `without_memory()` blocks are open."""

    depth = 0


@export("models.kimi_vl.without_memory")
@contextmanager
def without_memory() -> Iterator[None]:
    """Inside, models are built with parameters that have a shape and a dtype but no memory."""
    _Without.depth += 1
    try:
        yield
    finally:
        _Without.depth -= 1


def weight(*shape: int, std: float) -> Parameter:
    """A parameter of numbers from N(0, std²)."""
    if _Without.depth:
        one = np.full((), np.nan, get_default_dtype().np)
        return Parameter(wrap(np.broadcast_to(one, shape)))
    p = Parameter(empty(*shape))
    init.normal_(p, 0.0, std)
    return p


class Linear(_Linear):
    """nn.Linear with weights from N(0, std²) and a bias of zeros."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False, *, std: float = 0.02):
        Module.__init__(self)
        self.in_features, self.out_features, self.std = inputs, outputs, std
        self.weight = weight(outputs, inputs, std=std)
        self.register_parameter("bias", Parameter(zeros(outputs)) if bias else None)

    def reset_parameters(self) -> None:
        """Draw the weight anew, and set the bias to zeros."""
        init.normal_(self.weight, 0.0, self.std)
        if self.bias is not None:
            init.zeros_(self.bias)


class Embedding(_Embedding):
    """nn.Embedding with weights from N(0, std²)."""

    def __init__(self, count: int, width: int, *, std: float = 0.02):
        Module.__init__(self)
        self.num_embeddings, self.embedding_dim, self.std = count, width, std
        self.padding_idx = self.max_norm = None
        self.norm_type, self.scale_grad_by_freq, self.sparse = 2.0, False, False
        self.weight = weight(count, width, std=std)

    def reset_parameters(self) -> None:
        """Draw the weight anew."""
        init.normal_(self.weight, 0.0, self.std)


class SwiGLU(Module):
    """y = W_down (silu(W_gate x) · W_up x) (Shazeer 2020): (..., D) -> (..., D), width inside."""

    def __init__(self, width: int, inner: int, *, std: float):
        super().__init__()
        self.gate_proj = Linear(width, inner, std=std)
        self.up_proj = Linear(width, inner, std=std)
        self.down_proj = Linear(inner, width, std=std)

    def forward(self, x: Any) -> Any:
        return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))
