"""Functions that few programs call."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor, wrap
from ..export import export
from .conv import conv1d
from .creation import arange, empty
from .dropout import dropout2d
from .elementwise import pow
from .embedding import embedding
from .join import stack
from .matrix_norms import matrix_norm
from .reduction import amax, amin, mean, prod, sum
from .vector_norms import vector_norm


@export("vander")
def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The matrix of the powers of a vector: column j is x^(N−1−j), or xʲ if increasing.

    N is len(x) if not given. RuntimeError for other dimensions and a negative N.
    """
    if x._data.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    n = x._data.size if N is None else N
    if n < 0:
        raise RuntimeError("N must be non-negative.")
    powers: Any = arange(n) if increasing else arange(n - 1, -1, -1)
    return pow(x.unsqueeze(1), powers)  # type: ignore[attr-defined]


@export("empty_permuted")
def empty_permuted(
    size: Any, physical_layout: Any, *, dtype: Any = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """An undefined tensor whose dimensions lie in memory in the order `physical_layout`."""
    order = tuple(physical_layout)
    if sorted(order) != list(range(len(tuple(size)))):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(tuple(size))} is not equal to len(physical_layout) = {len(order)}"
        )
    inner = empty([size[d] for d in order], dtype=dtype, device=device)
    turned = inner.permute(*[order.index(d) for d in range(len(order))])  # type: ignore[attr-defined]
    return turned.detach().requires_grad_(requires_grad)


@export("conv_tbc", "nn.functional.conv_tbc")
def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """1-d convolution with time first: input (T, N, C), weight (K, C, D), bias (D) -> (T', N, D).

    RuntimeError if they are not of these dimensions.
    """
    if input._data.ndim != 3 or weight._data.ndim != 3 or bias._data.ndim != 1:
        raise RuntimeError("conv_tbc: expected input (T, N, C), weight (K, C, D) and bias (D)")
    y = conv1d(
        input.permute(1, 2, 0),
        weight.permute(2, 1, 0),
        bias,
        padding=pad,  # type: ignore[attr-defined]
    )
    return y.permute(2, 0, 1)


@export("embedding_renorm_")
def embedding_renorm_(input: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Rows of a table at `indices` of a norm above max_norm are scaled to it, in place."""
    with no_grad():
        embedding(indices, input, max_norm=max_norm, norm_type=norm_type)
    return input


@export("feature_dropout")
def feature_dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """Whole channels zeroed with probability p, the others scaled by 1/(1 − p), in training."""
    return dropout2d(input, p, train)


@export("feature_dropout_")
def feature_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """In-place `feature_dropout`."""
    return dropout2d(input, p, train, inplace=True)


@export("frobenius_norm")
def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """(Σ |x|²)^½ over one or two dimensions."""
    return vector_norm(input, 2, dim, keepdim, out=out)


@export("nuclear_norm")
def nuclear_norm(
    input: Tensor, dim: Any = (-2, -1), keepdim: bool = False, *, out: Any = None
) -> Tensor:
    """The sum of the singular values of the matrices in two dimensions: `nuclear_norm(x, keepdim)`
    or `nuclear_norm(x, dim, keepdim)`.
    """
    if isinstance(dim, bool):
        dim, keepdim = (-2, -1), dim
    return matrix_norm(input, "nuc", dim, keepdim, out=out)


_REDUCE = {"sum": sum, "mean": mean, "max": amax, "min": amin, "prod": prod}
_OF_NOTHING = {"sum": 0.0, "mean": np.nan, "max": -np.inf, "min": np.inf, "prod": 1.0}


@export("segment_reduce")
def segment_reduce(
    data: Tensor, reduce: str, *, lengths: Tensor | None = None, indices: Tensor | None = None,
    offsets: Tensor | None = None, axis: int = 0, unsafe: bool = False, initial: Any = None,
) -> Tensor:  # fmt: skip
    """Reduce the first dimension in stretches: "sum", "mean", "max", "min" or "prod" of each.

    Their `lengths`, or `offsets` (one more than there are stretches), are vectors. RuntimeError
    for lengths that do not add up, and for another axis.
    """
    if reduce not in _REDUCE:
        raise RuntimeError(f"segment_reduce(): unsupported reduction {reduce!r}")
    if axis != 0 or (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce(): give axis 0 and either lengths or offsets")
    if lengths is not None:
        ends = np.cumsum(lengths._data)
        bounds = [0, *ends.tolist()]
        if bounds[-1] != data._data.shape[0] and not unsafe:
            raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe.")  # fmt: skip  # noqa: E501
    else:
        bounds = offsets._data.tolist()  # type: ignore[union-attr]
    pieces = []
    for start, end in zip(bounds[:-1], bounds[1:], strict=True):
        pieces.append(_reduced(data, reduce, start, end, initial))
    return stack(pieces)


def _reduced(data: Tensor, reduce: str, start: int, end: int, initial: Any) -> Tensor:
    x = data._data
    if start == end:
        value = _OF_NOTHING[reduce] if initial is None else initial
        return wrap(np.full(x.shape[1:], value, x.dtype))
    return _REDUCE[reduce](data[start:end], 0)  # type: ignore[index]
