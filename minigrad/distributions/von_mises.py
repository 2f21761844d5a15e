"""The von Mises distribution."""

from __future__ import annotations

import math
from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, i0e, i1e, no_grad, rand, where
from .distribution import Distribution
from .utils import broadcast_all


@export("distributions.VonMises")
class VonMises(Distribution):
    """p(x) = exp(κ cos(x − μ)) / (2π I₀(κ)) on the circle.

    Samples by rejection (Best and Fisher, "Efficient simulation of the von Mises distribution",
    1979), in float64, in [−π, π).
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, Size(), validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        k = self.concentration
        return k * ((value - self.loc).cos() - 1) - math.log(2 * math.pi) - i0e(k).log()

    def _proposal(self) -> Tensor:
        """The parameter r of the wrapped Cauchy distribution that covers this one."""
        k = self.concentration.detach().double()
        tau = 1 + (1 + 4 * k**2).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        series = 1 / k + k  # of r as κ → 0, where the formula cancels
        return where(k < 1e-5, series, (1 + rho**2) / (2 * rho))

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        shape = self._extended_shape(sample_shape)
        with no_grad():
            r = self._proposal().expand(shape)
            k = self.concentration.double().expand(shape)
            loc = self.loc.double().expand(shape)
            x = loc.new_zeros(shape)
            done = x != x
            while not bool(done.all()):
                u1, u2, u3 = rand((3, *shape), dtype=x.dtype, device=x.device).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = ((c * (2 - c) - u2) > 0) | ((c / u2).log() + 1 - c >= 0)
                angle = (u3 - 0.5).sign() * f.clamp(min=-1, max=1).acos()
                x = where(accept & ~done, angle, x)
                done = done | accept
            wrapped = (x + math.pi + loc) % (2 * math.pi) - math.pi
            return wrapped.to(self.loc.dtype)

    def expand(self, batch_shape: Any, _instance: Any = None) -> VonMises:
        return self._expanded(VonMises, batch_shape, _instance)

    @property
    def mean(self) -> Tensor:
        """The mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The circular variance 1 − I₁(κ)/I₀(κ)."""
        return 1 - i1e(self.concentration) / i0e(self.concentration)
