"""A tensor cut into several views, and vectors as the coordinates of a grid.

y₁, y₂, ... = the pieces of x;  x̄ joins ȳ₁, ȳ₂, ... (zeros where a piece had no gradient)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu import copying
from .arguments import numpy_names
from .dims import expand_
from .slices import slice_
from .strides import common_shape, sizes
from .views import view_


@primitive(view=True)
def unbind_(x: Any, *, dim: int) -> Any:
    """x at every index of `dim`; x̄ stacks the gradients."""
    rows = x
    if dim:
        rows = x.transpose(dim, *[d for d in range(x.ndim) if d != dim])
    return tuple(rows) if x.ndim > 1 else tuple([x[i, ...] for i in range(x.shape[0])])


@primitive(half="keep")
def put_rows(*xs: Any, dim: int, size: tuple[int, ...]) -> Any:
    """Arrays stacked along `dim`; one that is None counts as zeros. The adjoint of unbind."""
    first = next(x for x in xs if x is not None)
    if all([x is not None for x in xs]):
        return array_module(first).stack(xs, axis=dim)
    y = array_module(first).zeros(size, first.dtype)
    for i, x in enumerate(xs):
        if x is not None:
            y[(slice(None),) * dim + (i,)] = x
    return y


unbind_.vjp(x=lambda g, dim, x_shape: put_rows(*g, dim=dim, size=x_shape))
put_rows.joint(lambda g, dim: list(unbind_(g, dim=dim)))


@primitive(view=True)
def split_(x: Any, *, lengths: tuple[int, ...], dim: int) -> Any:
    """Consecutive pieces of the given lengths; x̄ joins the gradients."""
    where, start, pieces = (slice(None),) * dim, 0, []
    for n in lengths:
        pieces.append(x[(*where, slice(start, start + n))])
        start += n
    return tuple(pieces)


@primitive(half="keep")
def put_pieces(*xs: Any, lengths: tuple[int, ...], dim: int, size: tuple[int, ...]) -> Any:
    """Arrays joined along `dim`; one that is None counts as zeros. The adjoint of split."""
    if all([x is not None for x in xs]):
        first = xs[0]
        if type(first) is np.ndarray and (y := copying.join(xs, dim)) is not None:
            return y
        y = None if type(first) is np.ndarray else _joined_already(xs, lengths, dim, size)
        return array_module(first).concatenate(xs, axis=dim) if y is None else y
    first = next(x for x in xs if x is not None)
    y = array_module(first).zeros(size, first.dtype)
    start = 0
    for x, n in zip(xs, lengths, strict=True):
        if x is not None:
            y[(slice(None),) * dim + (slice(start, start + n),)] = x
        start += n
    return y


def _joined_already(xs: Any, lengths: tuple[int, ...], dim: int, size: tuple[int, ...]) -> Any:
    """The array on a GPU of which the pieces are all, if they are: gradients of attention's
    arguments lie as those do.
    """
    whole = xs[0].base
    if whole is None or not whole.flags.c_contiguous or whole.size != math.prod(size):
        return None
    y, start = whole.reshape(size), 0
    for x, n in zip(xs, lengths, strict=True):
        piece = y[(slice(None),) * dim + (slice(start, start + n),)]
        if x.base is not whole or x.strides != piece.strides or x.data.ptr != piece.data.ptr:
            return None
        start += n
    return y


split_.vjp(
    x=lambda g, lengths, dim, x_shape: put_pieces(*g, lengths=lengths, dim=dim, size=x_shape)
)
split_.fast(
    x=lambda g, lengths, dim, x_shape: put_pieces.primitive.forward(
        *g, lengths=lengths, dim=dim, size=x_shape
    )
)
put_pieces.joint(lambda g, lengths, dim: list(split_(g, lengths=lengths, dim=dim)))


@export("unbind")
def unbind(input: Tensor, dim: int = 0, *, axis: Any = None) -> tuple[Tensor, ...]:
    """x at every index of `dim`, as a tuple of views. x̄ stacks the gradients.

    IndexError for a 0-d tensor.
    """
    dim = dim if axis is None else axis
    if not input._data.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return unbind_(input, dim=normalize_dim(index(dim), input._data.ndim))


@export("split")
def split(
    tensor: Tensor,
    split_size_or_sections: int | Sequence[int] | None = None,
    dim: int = 0,
    *,
    split_size: Any = None,
) -> tuple[Tensor, ...]:
    """Pieces of one length (the last may be shorter), or of the given lengths; views.

    x̄ joins the gradients. RuntimeError for a negative length or lengths that do not add up.
    """
    wanted = split_size if split_size_or_sections is None else split_size_or_sections
    if isinstance(wanted, (tuple, list)):
        return split_with_sizes(tensor, wanted, dim)
    shape, length = tensor._data.shape, index(wanted)  # type: ignore[arg-type]
    if not shape:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    if length < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={length}")
    dim = normalize_dim(index(dim), len(shape))
    n = shape[dim]
    if length == 0 and n:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {n}"
        )
    count = max(-(-n // length), 1) if length else 1
    lengths = [length] * (count - 1) + [n - length * (count - 1)]
    return split_(tensor, lengths=tuple(lengths), dim=dim)


@export("split_with_sizes")
@numpy_names
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Consecutive pieces of the given lengths, which must add up to the size of `dim`; views.

    x̄ joins.
    """
    shape = input._data.shape
    if not shape:
        raise RuntimeError("split_with_sizes expects at least a 1-dimensional tensor")
    dim, lengths = normalize_dim(index(dim), len(shape)), sizes((split_sizes,))
    if any(n < 0 for n in lengths):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={list(lengths)}"
        )
    if sum(lengths) != shape[dim]:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {shape[dim]} (input tensor's "
            f"size at dimension {dim}), but got split_sizes={list(lengths)}"
        )
    return split_(input, lengths=lengths, dim=dim)


def _chunk_lengths(input: Tensor, chunks: int, dim: int) -> tuple[tuple[int, ...], int]:
    shape = input._data.shape
    if not shape:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    dim = normalize_dim(index(dim), len(shape))
    n = shape[dim]
    length = -(-n // chunks)
    if not length:
        return (0,) * chunks, dim
    count = -(-n // length)
    return (*((length,) * (count - 1)), n - length * (count - 1)), dim


@export("chunk")
def chunk(input: Tensor, chunks: int, dim: int = 0, *, axis: Any = None) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal length (the last may be shorter); views.

    x̄ joins the gradients.
    """
    dim = dim if axis is None else axis
    lengths, dim = _chunk_lengths(input, chunks, dim)
    return split_(input, lengths=lengths, dim=dim)


def _ranges(input: Tensor, stops: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """x[0:s1], x[s1:s2], ..., x[sn:] as single views; stops mean what they mean to Python."""
    n, pieces, start = input._data.shape[dim], [], 0
    for stop in (*stops, n):
        first, last, _ = slice(start, stop).indices(n)
        pieces.append(slice_(input, dim=dim, start=first, stop=max(first, last), step=1))
        start = stop
    return tuple(pieces)


def _unlinked_ranges(input: Tensor, lengths: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    return tuple(map(unlinked, _ranges(input, np.cumsum(lengths)[:-1].tolist(), dim)))


@export("unsafe_chunk")
def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Like `chunk`, but the pieces may be modified in place under autograd."""
    lengths, dim = _chunk_lengths(input, chunks, dim)
    return _unlinked_ranges(input, lengths, dim)


@export("unsafe_split")
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Like `split` with one length, but the pieces may be modified in place under autograd."""
    lengths = [p._data.shape[dim] for p in split(tensor.detach(), split_size, dim)]
    return _unlinked_ranges(tensor, lengths, normalize_dim(dim, tensor._data.ndim))


@export("unsafe_split_with_sizes")
def unsafe_split_with_sizes(
    input: Tensor, split_sizes: Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Like `split_with_sizes`, but the pieces may be modified in place under autograd."""
    split_with_sizes(input.detach(), split_sizes, dim)
    return _unlinked_ranges(input, sizes((split_sizes,)), normalize_dim(dim, input._data.ndim))


@export("tensor_split")
@numpy_names
def tensor_split(
    input: Tensor,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    indices: Any = None,
    sections: Any = None,
) -> tuple[Tensor, ...]:
    """`sections` pieces of nearly equal length (longer ones first), or cuts at given indices.

    Views; x̄ joins the gradients. RuntimeError for a 0-d tensor or no sections.
    """
    shape = input._data.shape
    if not shape:
        raise RuntimeError(
            "tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims"
        )
    given = next((a for a in (indices_or_sections, indices, sections) if a is not None), None)
    dim = normalize_dim(index(dim), len(shape))
    if isinstance(given, Tensor):
        if given._data.dtype != np.int64:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to have dtype of long"
            )
        if given._data.ndim > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or "
                f"one-dimensional tensor, but got a tensor with {given._data.ndim} dims"
            )
        given = given.tolist()
    if isinstance(given, (tuple, list)):
        return _ranges(input, [index(i) for i in given], dim)
    count = index(given)  # type: ignore[arg-type]
    if count <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {count}")
    short, longer = divmod(shape[dim], count)
    lengths = [short + 1] * longer + [short] * (count - longer)
    return _ranges(input, np.cumsum(lengths)[:-1].tolist(), dim)


def _named_split(
    name: str, dims: str, input: Tensor, given: Any, dim: int, least: int
) -> tuple[Tensor, ...]:
    shape = input._data.shape
    if len(shape) < least:
        raise RuntimeError(
            f"torch.{name} requires a tensor with at least {least} dimension{dims}, but got a "
            f"tensor with {len(shape)} dimensions!"
        )
    if isinstance(given, (int, np.integer)) and (given <= 0 or shape[dim] % given):
        raise RuntimeError(
            f"torch.{name} attempted to split along dimension {dim}, but the size of the "
            f"dimension {shape[dim]} is not divisible by the split_size {given}!"
        )
    return tensor_split(input, given, dim)


@export("hsplit")
def hsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """Equal parts along dimension 1 (0 of a vector), or cuts at indices; RuntimeError otherwise."""
    return _named_split("hsplit", "", input, indices_or_sections, int(input._data.ndim > 1), 1)


@export("vsplit")
def vsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` into equal parts along dimension 0; RuntimeError below two dimensions."""
    return _named_split("vsplit", "s", input, indices_or_sections, 0, 2)


@export("dsplit")
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` into equal parts along dimension 2; RuntimeError below three dimensions."""
    return _named_split("dsplit", "s", input, indices_or_sections, 2, 3)


@export("meshgrid", "functional.meshgrid")
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Coordinate matrices of vectors: output i varies along dimension i only; views.

    indexing "ij" (default) has the first vector along rows, "xy" along columns. x̄ = ȳ summed over
    the rest.
    """
    given = (
        list(tensors[0])
        if len(tensors) == 1 and isinstance(tensors[0], (tuple, list))
        else list(tensors)
    )
    if not given:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for t in given:
        if t._data.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {t!r}"
            )
        if t._data.dtype != given[0]._data.dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    n = len(given)
    order = list(range(n))
    if indexing == "xy" and n > 1:
        order[:2] = [1, 0]
    columns = [
        view_(t, size=(*((1,) * order[i]), t._data.size, *((1,) * (n - order[i] - 1))))
        for i, t in enumerate(given)
    ]
    size = common_shape([c._data.shape for c in columns])
    return tuple([expand_(c, size=size) for c in columns])
