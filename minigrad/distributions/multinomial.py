"""The multinomial distribution."""

from __future__ import annotations

from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, full_like, lgamma, no_grad, ones_like
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution
from .utils import broadcast_all


@export("distributions.Multinomial")
class Multinomial(Distribution):
    """P(x) = n! ∏ pᵢ^{xᵢ}/xᵢ!: how often each category came in total_count n draws.

    NotImplementedError unless total_count is one int. log_prob takes any counts.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Tensor | None = None,
        logits: Tensor | None = None,
        validate_args: bool | None = None,
    ):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs=probs, logits=logits)
        self._binomial = Binomial(total_count=total_count, probs=self.probs)
        batch, event = self._categorical.batch_shape, self._categorical.param_shape[-1:]
        super().__init__(batch, event, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Multinomial:
        new = self._get_checked_instance(Multinomial, _instance)
        batch_shape = Size(batch_shape)
        new.total_count = self.total_count
        new._categorical = self._categorical.expand(batch_shape)
        new._binomial = self._binomial.expand(batch_shape + self._event_shape)
        return self._expanded(Multinomial, batch_shape, new)

    @property
    def mean(self) -> Tensor:
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:  # type: ignore[override]
        return constraints.multinomial(self.total_count)

    @property
    def logits(self) -> Tensor:
        """log p."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """p."""
        return self._categorical.probs

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter, (*, K)."""
        return self._categorical.param_shape

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        sample_shape = Size(sample_shape)
        with no_grad():
            draws = self._categorical.sample(Size((self.total_count,)) + sample_shape)
            draws = draws.movedim(0, -1)  # the draws of one event last
            counts = self.probs.new_zeros(self._extended_shape(sample_shape))
            counts.scatter_add_(-1, draws, ones_like(draws).type_as(counts))
            return counts.type_as(self.probs)

    def entropy(self) -> Tensor:
        n = full_like(self._categorical.entropy(), self.total_count)
        constant = lgamma(n + 1)
        binomials = self._binomial.log_prob(self._binomial.enumerate_support(expand=False)).exp()
        support = self._binomial.enumerate_support(expand=False)[1:]
        expected = (binomials[1:] * lgamma(support + 1)).sum([0, -1])
        return n * self._categorical.entropy() - constant + expected

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -float("inf")), 0)
        powers = (logits * value).sum(-1)
        return lgamma(value.sum(-1) + 1) - lgamma(value + 1).sum(-1) + powers
