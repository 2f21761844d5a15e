"""The generalised Pareto distribution."""

from __future__ import annotations

import math
from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, isclose, rand, where, zeros_like
from .distribution import Distribution
from .utils import broadcast_all


@export("distributions.GeneralizedPareto")
class GeneralizedPareto(Distribution):
    """F(x) = 1 − (1 + ξ(x − μ)/σ)^{−1/ξ} for μ ≤ x (≤ μ − σ/ξ if ξ < 0); exponential at ξ = 0."""

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.size(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> GeneralizedPareto:
        return self._expanded(GeneralizedPareto, batch_shape, _instance)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        return self.icdf(rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    def _shape_parameter(self) -> tuple[Tensor, Tensor]:
        """Where ξ is taken for 0, and ξ with 1 put there, so that both branches are finite."""
        zero = isclose(self.concentration, zeros_like(self.concentration))
        return zero, where(zero, 1.0, self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        zero, k = self._shape_parameter()
        y1 = (k * y).log1p() * (1 + 1 / k)
        return where(zero, -y, -y1) - self.scale.log()

    def log_survival_function(self, value: Tensor) -> Tensor:
        """log(1 − F(value))."""
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        zero, k = self._shape_parameter()
        return where(zero, -y, -(k * y).log1p() / k)

    def log_cdf(self, value: Tensor) -> Tensor:
        """log F(value)."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        zero, k = self._shape_parameter()
        log_left = (-value).log1p()
        return self.loc + self.scale * where(zero, -log_left, (-k * log_left).expm1() / k)

    @property
    def mean(self) -> Tensor:
        k = self.concentration
        return where(k < 1, self.loc + self.scale / (1 - k), math.inf)

    @property
    def variance(self) -> Tensor:
        k = self.concentration
        return where(k < 0.5, self.scale.pow(2) / ((1 - k).pow(2) * (1 - 2 * k)), math.inf)

    def entropy(self) -> Tensor:
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:  # type: ignore[override]
        k = self.concentration
        upper = where(k < 0, self.loc - self.scale / k, math.inf)
        return constraints.interval(self.loc, upper)
