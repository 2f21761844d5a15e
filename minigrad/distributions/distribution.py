"""The base of all distributions: shapes, validation of arguments, and what may be asked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ..export import export
from . import constraints
from ._functions import Size, Tensor, no_grad
from .utils import lazy_property


@export("distributions.Distribution", "distributions.distribution.Distribution")
class Distribution:
    """A family of random values of shape batch_shape + event_shape.

    The batch are independent members with parameters of their own; an event is one value of one
    member, to which `log_prob` gives one number. `validate_args` (default: `__debug__`) checks
    parameters at construction, and values in log_prob, cdf and icdf: ValueError if outside.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args: bool = __debug__

    def __init__(
        self,
        batch_shape: Any = Size(),  # noqa: B008
        event_shape: Any = Size(),  # noqa: B008
        validate_args: bool | None = None,
    ):
        self._batch_shape = Size(batch_shape)
        self._event_shape = Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions made from now on check their arguments."""
        if value not in (True, False):
            raise ValueError(f"expected True or False, got {value!r}")
        Distribution._validate_args = value

    def _check_parameters(self) -> None:
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            arg_constraints = {}
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set"
                " `arg_constraints = {}` or initialize the distribution with"
                " `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            lazy = isinstance(getattr(type(self), name, None), lazy_property)
            if lazy and name not in self.__dict__:
                continue  # made from another parameter, which is checked
            value = getattr(self, name)
            if not constraints.all_true(constraint.check(value)):
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape"
                    f" {tuple(value.shape)}) of distribution {self!r} to satisfy the constraint"
                    f" {constraint!r}, but found invalid values:\n{value}"
                )

    # ------------------------------------------------------------ shapes
    @property
    def batch_shape(self) -> Size:
        """The shape of the independent members."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value of one member."""
        return self._event_shape

    def expand(self, batch_shape: Any, _instance: Any = None) -> Distribution:
        """The same distribution with parameters broadcast to a larger batch_shape (no copies)."""
        raise NotImplementedError

    def _expanded(self, cls: type, batch_shape: Any, _instance: Any = None) -> Any:
        """`expand` of class `cls`: each parameter that there is keeps its own event dimensions."""
        new = self._get_checked_instance(cls, _instance)
        batch_shape = Size(batch_shape)
        for name, constraint in self.arg_constraints.items():
            value = self.__dict__.get(name)
            if value is not None:
                dims = constraint.event_dim
                own = value.shape[value.dim() - dims :]
                new.__dict__[name] = value.expand(batch_shape + own)
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """An empty object for `expand`; a subclass with another __init__ must say how to expand."""
        if _instance is None and type(self).__init__ is not cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ "
                "method must also define a custom .expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    def _extended_shape(self, sample_shape: Any = Size()) -> Size:  # noqa: B008
        """sample_shape + batch_shape + event_shape."""
        return Size(sample_shape) + self._batch_shape + self._event_shape

    # ------------------------------------------------------------ what subclasses define
    @property
    def arg_constraints(self) -> dict[str, Any]:
        """The constraint that each parameter has to satisfy, by name."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The constraint that values satisfy."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The most likely value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        """Values of shape sample_shape + batch_shape + event_shape, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008
        """Values through which gradients reach the parameters."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`, the older name, with a UserWarning."""
        warnings.warn(
            "sample_n(n) will be deprecated. Use .sample((n,)) instead.", UserWarning, stacklevel=2
        )
        return self.sample(Size((n,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The log of the density (or probability) at `value`, of shape ... + batch_shape."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of values up to `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`: the quantile for a probability."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution along a new first dimension; then the batch.

        Unless `expand` the batch dimensions have size 1.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """−E[log p(x)], of shape batch_shape."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    # ------------------------------------------------------------ validation
    def _validate_sample(self, value: Any) -> None:
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        self._check_shape(value)
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please"
                " initialize the distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not constraints.all_true(support.check(value)):
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)})"
                f" to be within the support ({support!r}) of the distribution {self!r}, but found"
                f" invalid values:\n{value}"
            )

    def _check_shape(self, value: Tensor) -> None:
        shape, wanted = value.shape, self._batch_shape + self._event_shape
        if shape[len(shape) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(
                "The right-most size of value must match event_shape:"
                f" {shape} vs {self._event_shape}."
            )
        for i, j in zip(reversed(shape), reversed(wanted), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {wanted}."
                )

    def __repr__(self) -> str:
        names = [k for k in self.arg_constraints if k in self.__dict__]
        return f"{type(self).__name__}({', '.join(_described(self, names))})"


def _described(distribution: Distribution, names: Iterable[str]) -> list[str]:
    values = [(name, distribution.__dict__[name]) for name in names]
    shown = {k: v.item() if v.dim() == 0 else v if v.numel() == 1 else v.size() for k, v in values}
    return [f"{k}: {v}" for k, v in shown.items()]
