"""Dropout layers: active in training only."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops import dropout as F
from ..module import Module


class _Dropout(Module):
    function: Any

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Any) -> Any:
        return type(self).function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


@export("nn.Dropout")
class Dropout(_Dropout):
    """Zeroes each element with probability p and scales the others by 1/(1 − p)."""

    function = staticmethod(F.dropout)


@export("nn.Dropout1d")
class Dropout1d(_Dropout):
    """Zeroes whole channels of (N, C, L)."""

    function = staticmethod(F.dropout1d)


@export("nn.Dropout2d")
class Dropout2d(_Dropout):
    """Zeroes whole channels of (N, C, H, W)."""

    function = staticmethod(F.dropout2d)


@export("nn.Dropout3d")
class Dropout3d(_Dropout):
    """Zeroes whole channels of (N, C, D, H, W)."""

    function = staticmethod(F.dropout3d)


@export("nn.AlphaDropout")
class AlphaDropout(_Dropout):
    """Dropout that keeps the mean 0 and variance 1 of self-normalising networks."""

    function = staticmethod(F.alpha_dropout)


@export("nn.FeatureAlphaDropout")
class FeatureAlphaDropout(_Dropout):
    """Alpha dropout of whole channels."""

    function = staticmethod(F.feature_alpha_dropout)
