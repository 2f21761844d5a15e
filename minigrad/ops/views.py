"""The same elements in another shape, and copies of them.

An array is an address with a size and a stride for each dimension. What changes only those is a
view; its derivative is the inverse rearrangement of the gradient. Nothing here copies, except
`clone` and `contiguous`, and `reshape` where the strides allow no view.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import DType, numpy_dtype
from ..core.inplace import check_inplace
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from ..kernels.cpu import copying
from .reinterpret import view_as_dtype
from .strides import infer_size, is_int, memory_order, sizes, whole_size

ndarray = np.ndarray


# ------------------------------------------------------------ the same elements, reshaped
@primitive(view=True)
def view_(x: Any, *, size: tuple[int, ...]) -> Any:
    """x in another shape; x̄ = ȳ in x's shape. A copy where the strides allow no view."""
    if type(x) is ndarray and (y := copying.reshaped(x, size)) is not None:
        return y
    return x.reshape(size)


view_.vjp(x=lambda g, x_shape: view_(g, size=x_shape))
view_.fast(x=lambda g, x_shape: view_.primitive.forward(g, size=x_shape))


def view(input: Tensor, *size: Any, **named: Any) -> Tensor:
    """The same memory in another shape (one size may be -1), or, given a dtype, read as that dtype.

        y[i] = x[i] in row-major order;  x̄ = ȳ in x's shape

    RuntimeError if the shape does not fit or x's strides do not allow it without a copy.
    """
    x = input._data
    if not named and x.flags.c_contiguous and whole_size(size, x.size):
        return view_(input, size=size)
    if "dtype" in named or (len(size) == 1 and isinstance(size[0], DType)):
        return view_as_dtype(input, numpy_dtype(named["dtype"] if named else size[0]))
    new = infer_size(sizes(size, named), x.size)
    if not (x.flags.c_contiguous or fits_view(x, new)):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return view_(input, size=new)


def fits_view(x: Any, size: tuple[int, ...]) -> bool:
    """Whether x can take this shape without a copy."""
    return x.size == 0 or bool(array_module(x).may_share_memory(x.reshape(size), x))


@export("reshape")
def reshape(input: Tensor, *shape: Any, **named: Any) -> Tensor:
    """x's elements in row-major order in another shape; a view if possible, else a copy.

        x̄ = ȳ in x's shape

    One size may be -1. RuntimeError if the number of elements differs.
    """
    numel = input._data.size
    if not named and whole_size(shape, numel):
        return view_(input, size=shape)
    return view_(input, size=infer_size(sizes(shape, named, "shape"), numel))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.view(other.size())`."""
    return view(input, other._data.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.reshape(other.shape)`."""
    return reshape(input, other._data.shape)


@export("flatten")
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions start_dim..end_dim (inclusive) as one; a 0-d tensor becomes 1-d.

    RuntimeError if start_dim lies after end_dim.
    """
    shape = input._data.shape
    first, last = normalize_dim(start_dim, len(shape)), normalize_dim(end_dim, len(shape))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return view_(input, size=(1,))
    if first == last:
        return input
    return view_(
        input, size=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])
    )


@export("ravel")
def ravel(input: Tensor) -> Tensor:
    """All elements in row-major order, as one dimension; a view if x is contiguous."""
    return view_(input, size=(input._data.size,))


@export("unflatten")
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension as several of the given sizes (one may be -1); the inverse of flatten."""
    shape = input._data.shape
    if not is_int(dim):
        raise TypeError(f"unflatten(): argument 'dim' must be int, not {type(dim).__name__}")
    dim = normalize_dim(dim, len(shape))
    parts = tuple([index(n) for n in sizes])
    if not parts:
        raise RuntimeError("unflatten: sizes must be non-empty")
    length = shape[dim] if shape else 1
    known = math.prod([n for n in parts if n != -1])
    if parts.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if known != length if -1 not in parts else (known == 0 or length % known):
        raise RuntimeError(
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {dim} "
            f"({length}) in the input tensor"
        )
    return view(input, (*shape[:dim], *infer_size(parts, length), *shape[dim + 1 :]))


# ------------------------------------------------------------ copies and other handles
@primitive(half="keep")
def clone_(x: Any, *, order: str) -> Any:
    """A copy; x̄ = ȳ. order: "K" keeps the order of the dimensions in memory, "C" is row-major,
    "N" channels last.
    """
    if order == "N":
        rows = np.ascontiguousarray if type(x) is ndarray else array_module(x).ascontiguousarray
        moved = np.moveaxis(x, 1, -1) if type(x) is ndarray else array_module(x).moveaxis(x, 1, -1)
        copy = rows(moved.copy())
        return copy.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    if x.size >= copying.SMALL and type(x) is ndarray:
        if order == "C" or x.flags.c_contiguous or 0 in x.strides:
            if (y := copying.contiguous(x)) is not None:
                return y
    return x.copy(
        "C" if 0 in x.strides else order
    )  # a repeated dimension has no place in an order of strides


clone_.vjp(x=lambda g: g)
clone_.primitive.node_class.__name__ = "CloneBackward0"


@export("clone")
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy in memory of its own, still part of the graph; x̄ = ȳ.

    Keeps the order of the strides by default.
    """
    return clone_(input, order=memory_order(input._data, memory_format))


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if it lies in row-major order without gaps, else such a copy. x̄ = ȳ."""
    order = "C" if memory_format is None else memory_order(input._data, memory_format)
    if order == "K" and not input._data.flags.c_contiguous:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    flat = input._data if order != "N" else np.moveaxis(input._data, 1, -1)
    return input if flat.flags.c_contiguous else clone_(input, order=order)


def reshaping(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place method of a view op: `x.squeeze_()` gives x itself shape, strides and node."""

    @wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_inplace(self, False)
        y = op(self, *args, **kwargs)
        link = y._view
        if link is not None and link.base is not self:
            self._view = link  # x was a view of something else, and still is
        self._data = y._data
        if MODE.get().grad:
            self._node, self._index, self._requires_grad = y._node, y._index, y._requires_grad
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{op.__name__}`: the same tensor in another shape."
    return method


@export("detach")
def detach(input: Tensor) -> Tensor:
    """`input.detach()`: the same memory outside the graph."""
    return input.detach()
