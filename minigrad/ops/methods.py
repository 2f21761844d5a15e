"""The one table that binds ops to Tensor: operators, methods, in-place methods.

A method has the name of its op and gets the tensor as the first argument. In-place methods are made from the
out-of-place ops by `core.inplace.inplace`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..core.inplace import inplace
from ..core.tensor import Tensor
from . import casts, convert, creation, data, random, rearrange, shape, slices

# family -> names of its ops that are Tensor methods
METHODS: dict[ModuleType, str] = {
    shape: """
        view reshape view_as reshape_as flatten ravel unflatten squeeze unsqueeze transpose swapaxes swapdims t adjoint
        permute movedim moveaxis broadcast_to expand expand_as sum_to_size clone contiguous""",
    slices: """
        select narrow diagonal unfold as_strided unbind split split_with_sizes chunk unsafe_chunk unsafe_split
        unsafe_split_with_sizes tensor_split hsplit vsplit dsplit""",
    rearrange: """
        flip fliplr flipud roll rot90 repeat tile repeat_interleave tril triu diag diag_embed diagflat narrow_copy""",
    convert: "to type type_as cpu cuda pin_memory copy_",
    casts: "float double half bfloat16 int long short char byte bool cfloat cdouble",
    creation: "new_zeros new_ones new_empty new_full new_empty_strided",
    data: "new new_tensor",
    random: """
        bernoulli multinomial uniform_ normal_ exponential_ bernoulli_ random_ geometric_ cauchy_ log_normal_""",
}

# family -> names of its ops that have an in-place method with a trailing underscore
INPLACE: dict[ModuleType, str] = {
    rearrange: "tril triu",
}

# family -> names of its views that also change the tensor itself
RESHAPING: dict[ModuleType, str] = {
    shape: "squeeze unsqueeze transpose swapaxes swapdims t",
    slices: "as_strided",
}

# property -> function of the tensor
PROPERTIES: dict[str, Any] = {
    "T": shape.numpy_T,
    "mT": shape.matrix_T,
    "H": shape.matrix_H,
    "mH": shape.matrices_H,
}

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
    for module, names in RESHAPING.items():
        for name in names.split():
            _set(name + "_", shape.reshaping(vars(module)[name], name + "_"))
    for name, op in PROPERTIES.items():
        _set(name, property(op))
    for name, op in OPERATORS.items():
        _set(name, op)


def _set(name: str, value: Any) -> None:
    if name in vars(Tensor):
        raise ValueError(f"Tensor.{name} is bound twice")
    setattr(Tensor, name, value)


bind()
