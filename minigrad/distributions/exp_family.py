"""Distributions of exponential form, whose entropy follows from the log normaliser."""

from __future__ import annotations

from typing import Any

from ..core.engine import grad
from ..export import export
from ._functions import Tensor, enable_grad
from .distribution import Distribution
from .utils import sum_rightmost


@export("distributions.ExponentialFamily", "distributions.exp_family.ExponentialFamily")
class ExponentialFamily(Distribution):
    """p(x; θ) = exp(⟨t(x), θ⟩ − F(θ) + k(x)).

    A subclass gives the natural parameters θ, the log normaliser F and the mean of k(x).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """H = F(θ) − ⟨θ, ∇F(θ)⟩ − E[k(x)] (Nielsen and Nock, 2010, eq. 5)."""
        result = -self._mean_carrier_measure
        with enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*params)
            means = grad(normalizer.sum(), params, create_graph=True)
        result = result + normalizer
        for p, mean in zip(params, means, strict=True):
            result = result - sum_rightmost(p * mean, len(self._event_shape))
        return result
