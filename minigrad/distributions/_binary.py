"""What distributions of one probability share: `probs`, or `logits`, one made from the other."""

from __future__ import annotations

from typing import Any

from ._functions import Size, Tensor
from .utils import broadcast_all, lazy_property, logits_to_probs, probs_to_logits


class Binary:
    """Mixin: `probs` and `logits` of independent events. ValueError unless exactly one is given."""

    @lazy_property
    def logits(self) -> Tensor:
        """log(p/(1 − p))."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """The probability of 1."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.logits

    def _set_parameter(self, probs: Any, logits: Any) -> Size:
        """Keep the one that was given as a tensor; the shape of the batch."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
        else:
            (self.logits,) = broadcast_all(logits)
        return self._param.size()
