"""`autograd.Variable`, from before tensors and variables became one."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..core.walk import queue_callback
from ..export import export_constant


class _Engine:
    """The part of PyTorch's engine object that programs use."""

    @staticmethod
    def queue_callback(callback: Any) -> None:
        """Call `callback` at the end of the backward that is running."""
        queue_callback(callback)


class VariableType:
    """`Variable(data, requires_grad=False)`: a tensor of its own in data's memory; isinstance asks
    for a Tensor.
    """

    __name__ = __qualname__ = "Variable"
    _execution_engine = _Engine()

    def __call__(
        self, data: Any = None, requires_grad: bool = False, volatile: bool | None = None
    ) -> Tensor:
        if data is None:
            return Tensor().requires_grad_(requires_grad)
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)

    def __instancecheck__(self, x: Any) -> bool:
        return isinstance(x, Tensor)

    def __repr__(self) -> str:
        return "minigrad.autograd.Variable"


Variable = VariableType()
export_constant(__name__, "autograd.Variable", "Variable")
export_constant(__name__, "autograd.variable.Variable", "Variable")
