"""All parameters as one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...core.tensor import Tensor
from ...export import export
from ...ops.join import cat
from ...ops.shape import reshape


@export("nn.utils.parameters_to_vector", "nn.utils.convert_parameters.parameters_to_vector")
def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The parameters' elements one after the other: (total,)."""
    return cat([reshape(p, (-1,)) for p in parameters])


@export("nn.utils.vector_to_parameters", "nn.utils.convert_parameters.vector_to_parameters")
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of `vec`; TypeError if it is no Tensor."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        size = math.prod(p.shape)
        p.data = vec.detach()[start : start + size].view(p.shape)  # type: ignore[attr-defined]
        start += size
