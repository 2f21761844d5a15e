"""The geometric distribution."""

from __future__ import annotations

from typing import Any

from ..export import export
from . import constraints
from ._binary import Binary
from ._functions import (
    Size,
    Tensor,
    binary_cross_entropy_with_logits,
    finfo,
    no_grad,
    rand,
    where,
    zeros_like,
)
from .distribution import Distribution
from .utils import broadcast_all


@export("distributions.Geometric")
class Geometric(Binary, Distribution):
    """P(k) = (1 − p)ᵏ p: failures before the first success. ValueError for p = 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None):
        super().__init__(self._set_parameter(probs, logits), validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self.probs
            if not constraints.all_true(value > 0):
                raise ValueError(
                    f"Expected parameter probs ({type(value).__name__} of shape"
                    f" {tuple(value.shape)}) of distribution {self!r} to be positive but found"
                    f" invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Geometric:
        return self._expanded(Geometric, batch_shape, _instance)

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape, tiny = self._extended_shape(sample_shape), finfo(self.probs.dtype).tiny
        with no_grad():
            u = rand(shape, dtype=self.probs.dtype, device=self.probs.device).clamp(min=tiny)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        # at p = 1 and value 0 the product is 0·(−inf), which counts as 0
        certain = (probs == 1) & (value == 0)
        probs = where(certain, 0.0, probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        both = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return both / self.probs
