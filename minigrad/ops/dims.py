"""The same elements with other dimensions: of size one, in another order, repeated; all views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import permutations
from operator import index
from typing import Any

import numpy as np

from ..core import chores
from ..core.primitive import primitive
from ..core.size import Size
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .arguments import needed_dim
from .elementwise import conj
from .strides import common_shape, is_int, normalize_dims, sizes, strided
from .views import clone_, view_

ndarray = np.ndarray


# ------------------------------------------------------------ dimensions of size one
@primitive(view=True)
def squeeze_(x: Any, *, dims: tuple[int, ...]) -> Any:
    """x without the dimensions `dims`, all of size one; x̄ = ȳ in x's shape."""
    return x.squeeze(dims)


squeeze_.vjp(x=lambda g, x_shape: view_(g, size=x_shape))


@export("squeeze")
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None, *, axis: Any = None) -> Tensor:
    """Without the dimensions of size one: all of them, or those of them that `dim` names.

    x̄ = ȳ in x's shape. A view. IndexError if there is no such dimension.
    """
    dim = dim if axis is None else axis
    shape = input._data.shape
    if dim is None:
        dims: Any = range(len(shape))
    else:
        dims = normalize_dims(dim, len(shape))
    return squeeze_(input, dims=tuple([d for d in dims if shape and shape[d] == 1]))


@primitive(view=True)
def unsqueeze_(x: Any, *, dim: int) -> Any:
    """x with a new dimension of size one at `dim`; x̄ = ȳ in x's shape."""
    return x.reshape((*x.shape[:dim], 1, *x.shape[dim:]))  # x[:, None] would give it the stride 0


unsqueeze_.vjp(x=lambda g, x_shape: view_(g, size=x_shape))


@export("unsqueeze")
def unsqueeze(input: Tensor, dim: int | None = None, *, axis: int | None = None) -> Tensor:
    """With a new dimension of size one, which becomes dimension `dim`; a view.

    x̄ = ȳ in x's shape.
    """
    if dim is None:
        dim = needed_dim("unsqueeze", dim, axis)
    return unsqueeze_(input, dim=normalize_dim(index(dim), input._data.ndim + 1))


# ------------------------------------------------------------ another order of dimensions
@primitive(view=True)
def transpose_(x: Any, *, dim0: int, dim1: int) -> Any:
    """x with two dimensions exchanged; x̄ = ȳ with the same two exchanged."""
    return x.swapaxes(dim0, dim1)


transpose_.vjp(x=lambda g, dim0, dim1: transpose_(g, dim0=dim0, dim1=dim1))
transpose_.fast(x=lambda g, dim0, dim1: g.swapaxes(dim0, dim1))


@export("transpose")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged; a view. x̄ = ȳ with the same two exchanged.

    IndexError if one does not exist.
    """
    ndim = input._data.ndim
    dim0, dim1 = normalize_dim(index(dim0), ndim), normalize_dim(index(dim1), ndim)
    return transpose_(input, dim0=dim0, dim1=dim1) if ndim else chores.alias(input)


@export("swapaxes")
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose`, with NumPy's name."""
    return transpose(input, axis0, axis1)


@export("swapdims")
def swapdims(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """`transpose`."""
    return transpose(input, dim0, dim1)


@export("t")
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and 0-d tensors as they are.

    RuntimeError above two dimensions.
    """
    ndim = input._data.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return transpose_(input, dim0=0, dim1=1) if ndim == 2 else chores.alias(input)


@export("adjoint")
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions. RuntimeError for a vector."""
    ndim = input._data.ndim
    if ndim == 1:
        raise RuntimeError(
            "tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor."
        )
    turned = transpose(input, -2, -1) if ndim else input
    return conj(turned) if input._data.dtype.kind == "c" else turned


def numpy_T(input: Tensor) -> Tensor:
    """`x.T`: all dimensions in reverse order."""
    return permute_(input, dims=tuple(range(input._data.ndim))[::-1])


def matrix_T(input: Tensor) -> Tensor:
    """`x.mT`: the last two dimensions exchanged. RuntimeError for a vector."""
    ndim = input._data.ndim
    if not ndim:
        return input
    if ndim == 1:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {ndim}-D tensor."
        )
    return transpose_(input, dim0=ndim - 2, dim1=ndim - 1)


def matrix_H(input: Tensor) -> Tensor:
    """`x.H`: the conjugate transpose of a matrix.

    RuntimeError unless 2-d (a 0-d tensor is itself).
    """
    ndim = input._data.ndim
    if ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor."
        )
    return adjoint(input)


def matrices_H(input: Tensor) -> Tensor:
    """`x.mH`: the conjugate transposes of a batch of matrices. RuntimeError for a vector."""
    ndim = input._data.ndim
    if ndim == 1:
        raise RuntimeError(
            f"tensor.mH is only supported on matrices or batches of matrices. Got {ndim}-D tensor."
        )
    return adjoint(input)


@primitive(view=True)
def permute_(x: Any, *, dims: tuple[int, ...]) -> Any:
    """x with its dimensions in the order `dims`; x̄ = ȳ in the inverse order."""
    return x.transpose(dims)


permute_.vjp(x=lambda g, dims: permute_(g, dims=_inverse(dims)))
permute_.fast(x=lambda g, dims: g.transpose(_inverse(dims)))


@cache
def _inverse(dims: tuple[int, ...]) -> tuple[int, ...]:
    """The order that undoes the order `dims`."""
    return tuple(sorted(range(len(dims)), key=dims.__getitem__))


@cache
def _orders(ndim: int) -> frozenset[tuple[int, ...]]:
    """All permutations of few dimensions, which are quicker to look up than to check."""
    return frozenset(permutations(range(ndim))) if ndim < 6 else frozenset()


@export("permute")
def permute(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """The dimensions in a new order: dimension i of the result is dimension dims[i] of x. A view.

    x̄ = ȳ in the inverse order. RuntimeError if `dims` is no permutation of all dimensions.
    """
    given, ndim = sizes(dims, named, "dims"), input._data.ndim
    if given in _orders(ndim):  # as they are, nearly always
        return permute_(input, dims=given)
    if len(given) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {ndim} is not equal "
            f"to len(dims) = {len(given)}"
        )
    inside = ndim and min(given) >= 0 and max(given) < ndim
    order = given if inside else tuple([normalize_dim(d, ndim) for d in given])
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_(input, dims=order)


@export("movedim", "moveaxis")
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Dimensions moved to other places, the rest in their old order; a view.

    RuntimeError if the two lists differ in length or name a dimension twice.
    """
    ndim = input._data.ndim
    if is_int(source) != is_int(destination):
        raise TypeError("movedim(): source and destination must both be ints or both tuples")
    old = [normalize_dim(index(d), ndim) for d in ((source,) if is_int(source) else source)]  # type: ignore
    new = [
        normalize_dim(index(d), ndim)
        for d in ((destination,) if is_int(destination) else destination)
    ]  # type: ignore
    if len(old) != len(new):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({old} dims) should contain the "
            f"same number of dims as destination ({new} dims)"
        )
    for name, dims in (("source", old), ("destination", new)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({dims})")
    if not ndim:
        return chores.alias(input)
    order = [d for d in range(ndim) if d not in old]
    for place, d in sorted(zip(new, old, strict=True)):
        order.insert(place, d)
    return permute_(input, dims=tuple(order))


moveaxis = movedim


# ------------------------------------------------------------ repeated without copying
@primitive(view=True)
def expand_(x: Any, *, size: tuple[int, ...]) -> Any:
    """x with stride zero along repeated dimensions; x̄ = ȳ summed back (by the engine)."""
    return strided(x, size, _steps(x.shape, x.strides, size))


@lru_cache(512)
def _steps(
    shape: tuple[int, ...], strides: tuple[int, ...], size: tuple[int, ...]
) -> tuple[int, ...]:
    """The strides of an array of this shape and these strides, expanded to `size`."""
    lead = len(size) - len(shape)
    steps = [0 if n != m else s for n, m, s in zip(shape, size[lead:], strides, strict=True)]
    return (*((0,) * lead), *steps)


expand_.vjp(x=lambda g: g)


@export("broadcast_to")
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`input.expand(size)`."""
    return expand(input, size)


def expand(input: Tensor, *size: Any, **named: Any) -> Tensor:
    """Dimensions of size one repeated (-1 keeps a size), new ones in front; a view, no copy.

    x̄ = ȳ summed over the repeated dimensions. RuntimeError if a size does not fit.
    """
    named.pop("implicit", None)
    given, shape = sizes(size, named), input._data.shape
    if len(given) < len(shape):
        raise RuntimeError(
            f"expand(minigrad.{input.dtype.name}{{{list(shape)}}}, size={list(given)}): the "
            f"number of sizes provided ({len(given)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(shape)})"
        )
    return expand_(input, size=_expanded(given, shape))


@lru_cache(512)
def _expanded(given: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that a tensor of this shape is expanded to."""
    lead, new = len(given) - len(shape), list(given)
    for i, n in enumerate(given):
        have = shape[i - lead] if i >= lead else 1
        if n == -1:
            if i < lead:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, "
                    f"non-existing dimension {i}"
                )
            new[i] = have
        elif n != have and (have != 1 or n < 0):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(given)}.  Tensor sizes: "
                f"{list(shape)}"
            )
    return tuple(new)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.expand(other.size())`."""
    return expand(input, other._data.shape)


@export("broadcast_shapes")
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that the given shapes (tuples or ints) broadcast to; RuntimeError if none."""
    given = [(s,) if isinstance(s, int) else tuple([index(n) for n in s]) for s in shapes]
    if any(n < 0 for s in given for n in s):
        raise ValueError("Attempting to broadcast a dimension with negative length!")
    try:
        return Size(common_shape(given))
    except RuntimeError as error:
        raise RuntimeError(
            f"Shape mismatch: objects cannot be broadcast to a single shape: {error}"
        ) from None


@export("broadcast_tensors", "functional.broadcast_tensors")
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape (views). RuntimeError if there is none."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    size = common_shape([t._data.shape for t in given])
    return tuple([t if t._data.shape == size else expand_(t, size=size) for t in given])


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Summed over what broadcasting `size` to x's shape would repeat; the adjoint of expand.

    x̄ = ȳ expanded. RuntimeError if `size` cannot be expanded to x's shape.
    """
    given, shape = sizes(size), input._data.shape
    if not chores.broadcastable(given, shape):
        raise RuntimeError(f"size {{{list(given)}}} is not expandable to size {{{list(shape)}}}.")
    if given == shape != ():
        return input
    if input._data.dtype.kind in "biu":
        input = chores.cast(input, dtype=np.dtype(np.int64))
    elif given == shape:
        return clone_(input, order="C")
    return chores.sum_to_size(input, size=given)
