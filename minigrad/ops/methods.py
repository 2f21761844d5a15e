"""The one table that binds ops to Tensor: operators, methods, in-place methods.

A method has the name of its op and gets the tensor as the first argument. In-place methods are made from the
out-of-place ops by `core.inplace.inplace`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..core.inplace import inplace
from ..core.tensor import Tensor

# family -> names of its ops that are Tensor methods
METHODS: dict[ModuleType, str] = {}

# family -> names of its ops that have an in-place method with a trailing underscore
INPLACE: dict[ModuleType, str] = {}

# Python operator -> op
OPERATORS: dict[str, Any] = {}


def bind() -> None:
    """Give Tensor its operators and methods."""
    for module, names in METHODS.items():
        for name in names.split():
            _set(name, vars(module)[name])
    for module, names in INPLACE.items():
        for name in names.split():
            _set(name + "_", inplace(vars(module)[name], name + "_"))
    for name, op in OPERATORS.items():
        _set(name, op)


def _set(name: str, value: Any) -> None:
    if name in vars(Tensor):
        raise ValueError(f"Tensor.{name} is bound twice")
    setattr(Tensor, name, value)


bind()
