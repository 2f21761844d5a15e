"""The negative binomial distribution."""

from __future__ import annotations

from typing import Any

from ..export import export
from . import constraints
from ._binary import Binary
from ._functions import Size, Tensor, lgamma, logsigmoid, no_grad, poisson
from .distribution import Distribution
from .gamma import Gamma
from .utils import broadcast_all, lazy_property


@export("distributions.NegativeBinomial")
class NegativeBinomial(Binary, Distribution):
    """P(k) = C(k + n − 1, k) pᵏ (1 − p)ⁿ: successes before total_count n failures.

    Sampled as Poisson numbers whose rate is gamma distributed.
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            self.total_count, self.probs = broadcast_all(total_count, probs)
        else:
            self.total_count, self.logits = broadcast_all(total_count, logits)
        self.total_count = self.total_count.type_as(self._param)
        super().__init__(self._param.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> NegativeBinomial:
        return self._expanded(NegativeBinomial, batch_shape, _instance)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / (-self.logits).sigmoid()

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(concentration=self.total_count, rate=(-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        with no_grad():
            return poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        weights = n * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        normalizer = -lgamma(n + value) + lgamma(1.0 + value) + lgamma(n)
        normalizer = normalizer.masked_fill(n + value == 0.0, 0.0)
        return weights - normalizer
