"""Distances and similarities as modules."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops import loss as F
from ..module import Module


@export("nn.CosineSimilarity")
class CosineSimilarity(Module):
    """x₁·x₂ / (‖x₁‖ ‖x₂‖) along `dim`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        super().__init__()
        self.dim, self.eps = dim, eps

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


@export("nn.PairwiseDistance")
class PairwiseDistance(Module):
    """‖x₁ − x₂ + ε‖_p over the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        super().__init__()
        self.norm, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Any, x2: Any) -> Any:
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)
