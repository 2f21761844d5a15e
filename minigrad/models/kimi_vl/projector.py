"""From image features to the language model's vectors."""

from __future__ import annotations

from typing import Any

from ...nn.layers.norm import LayerNorm
from ...nn.module import Module
from ...ops.smooth import gelu
from .config import KimiVLConfig
from .layers import Linear
from .moonvit import EPS


class Projector(Module):
    """Neighbourhoods (n, 4, D) to (n, width): norm of each patch, then two layers over all four.

    y = W_2 gelu(W_1 flatten(LayerNorm(x)))         the exact GELU, not the tanh one
    """

    def __init__(self, config: KimiVLConfig):
        super().__init__()
        a, b = config.vision_config.merge_kernel_size
        inner = config.vision_config.hidden_size * a * b
        self.pre_norm = LayerNorm(config.vision_config.hidden_size, eps=EPS)
        std = config.vision_config.initializer_range
        self.linear_1 = Linear(inner, inner, True, std=std)
        self.linear_2 = Linear(inner, config.text_config.hidden_size, True, std=std)

    def forward(self, x: Any) -> Any:
        return self.linear_2(gelu(self.linear_1(self.pre_norm(x).flatten(1))))
