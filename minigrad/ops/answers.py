"""In-place comparisons: `x.eq_(y)` overwrites x with zeros and ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from ..core.chores import broadcast
from ..core.inplace import write
from ..core.modes import no_grad
from ..core.tensor import Tensor
from .convert import copy, copy_


def comparing(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place method of a comparison: its answer does not depend on small changes.

    x = op(x, other) in x's dtype;  the old contents and `other` get the gradient 0
    """

    @wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with no_grad():
            answer = op(self, *args, **kwargs)
        if answer._data.shape != self._data.shape:
            write(self, answer._data, name)  # raises
        for other in args:
            if isinstance(other, Tensor) and other.requires_grad:
                answer = copy(broadcast(other, size=self._data.shape), answer)  # with gradient 0
        return copy_(self, answer)

    return _named(method, op, name)


def reasoning(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place method of a logical function: autograd does not take part, as in PyTorch.

    Leaves may be changed, and x keeps its place in the graph; only its version tells.
    """

    @wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with no_grad():
            answer = op(self, *args, **kwargs)
        write(self, answer._data, name)
        self._bump()
        return self

    return _named(method, op, name)


def _named(method: Callable, op: Callable, name: str) -> Callable[..., Tensor]:
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{op.__name__}`."
    return method
