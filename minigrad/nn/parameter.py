"""Parameter and Buffer: tensors that a Module finds by themselves when they are assigned to it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from ..backend.dtypes import get_default_dtype
from ..core.tensor import Tensor, make
from ..export import export


def _array_of(data: Any) -> Any:
    if data is None:
        return np.empty(0, get_default_dtype().np)
    if not isinstance(data, Tensor):
        raise TypeError(
            f"expected a Tensor, got {type(data).__name__}; help: Parameter(minigrad.tensor(...))"
        )
    return data._data


@export("nn.Parameter", "nn.parameter.Parameter")
class Parameter(Tensor):
    """A tensor to be learned: shares `data`'s memory, requires a gradient, is registered by a
    Module.

    TypeError if data is no Tensor, RuntimeError if its dtype cannot require a gradient.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        p = make(cls, _array_of(data))
        if requires_grad:
            p.requires_grad = True
        return p

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        copied = make(type(self), self._data.copy(), self._requires_grad)
        memo[id(self)] = copied
        if self._grad is not None:
            copied._grad = deepcopy(self._grad, memo)
        copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied


@export("nn.Buffer", "nn.parameter.Buffer")
class Buffer(Tensor):
    """A tensor that is state but not learned; registered by a Module, saved unless
    persistent=False.
    """

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        b = make(cls, _array_of(data))
        b.persistent = persistent
        return b
