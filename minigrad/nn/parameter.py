"""Parameter and Buffer: tensors that a Module finds by themselves when they are assigned to it."""

from __future__ import annotations

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
            if not (p.is_floating_point() or p.is_complex()):
                raise RuntimeError(
                    "Only Tensors of floating point and complex dtype can require gradients"
                )
            p.requires_grad = True
        return p

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict) -> Any:
        """The values and requires_grad only: a copied model starts without gradients."""
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)  # type: ignore[attr-defined]
        return memo[id(self)]


@export("nn.Buffer", "nn.parameter.Buffer")
class Buffer(Tensor):
    """A tensor that is state but not learned; registered by a Module, saved unless
    persistent=False.
    """

    persistent: bool

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        b = make(cls, _array_of(data))
        b.persistent = persistent
        return b
