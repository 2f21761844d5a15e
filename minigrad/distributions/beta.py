"""The beta distribution."""

from __future__ import annotations

from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, digamma, lgamma, stack
from .dirichlet import Dirichlet
from .exp_family import ExponentialFamily
from .utils import broadcast_all


@export("distributions.Beta")
class Beta(ExponentialFamily):
    """p(x) = x^{a−1} (1 − x)^{b−1} / B(a, b): concentration1 a, concentration0 b.

    It is a Dirichlet distribution of two shares, of which the first is kept.
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None):
        pair = stack(broadcast_all(concentration1, concentration0), -1)
        if not pair.is_floating_point():
            pair = pair.float()
        self._dirichlet = Dirichlet(pair, validate_args=validate_args)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Beta:
        new = self._get_checked_instance(Beta, _instance)
        new._dirichlet = self._dirichlet.expand(batch_shape)
        return self._expanded(Beta, batch_shape, new)

    @property
    def concentration1(self) -> Tensor:
        """The exponent of x, plus 1."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """The exponent of 1 − x, plus 1."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self._dirichlet.rsample(Size(sample_shape)).select(-1, 0)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self) -> Tensor:
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return lgamma(x) + lgamma(y) - lgamma(x + y)

    @property
    def _mean_carrier_measure(self) -> Tensor:  # −E[log x(1−x)]
        a, b = self.concentration1, self.concentration0
        return 2 * digamma(a + b) - digamma(a) - digamma(b)
