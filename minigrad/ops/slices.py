"""Parts of a tensor, as views: one index, a range, a diagonal, windows, pieces.

    y = x[part];  x̄ = zeros with x̄[part] = ȳ

Each forward has its adjoint beside it (`put_...`: a part into zeros), and each is the other's
derivative.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.chores import take_slice
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from ..kernels.cpu import copying
from .strides import sizes, strided

ndarray = np.ndarray


# ------------------------------------------------------------ one index, a range
@export("select")
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """x at one index of `dim`, without that dimension; a view. x̄ is ȳ there, zero elsewhere.

    IndexError for a 0-d tensor, a dim or an index out of range.
    """
    x = input._data
    if not x.ndim:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim, n = normalize_dim(dim, x.ndim), x.shape[normalize_dim(dim, x.ndim)]
    i = index.__index__()
    if not -n <= i < n:
        raise IndexError(
            f"select(): index {i} out of range for tensor of size {list(x.shape)} at dimension "
            f"{dim}"
        )
    return take_slice(input, dim=dim, index=i)


@primitive(view=True)
def slice_(x: Any, *, dim: int, start: int, stop: int, step: int) -> Any:
    """x[..., start:stop:step, ...] along `dim`; x̄ is ȳ there, zero elsewhere."""
    return x[(slice(None),) * dim + (slice(start, stop, step),)]


@primitive(half="keep")
def put_range(x: Any, *, dim: int, start: int, stop: int, step: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with x at start:stop:step of `dim`: the adjoint of slicing."""
    where = (slice(None),) * dim + (slice(start, stop, step),)
    if type(x) is ndarray and (y := copying.put(x, where, size)) is not None:
        return y
    y = array_module(x).zeros(size, x.dtype)
    y[where] = x
    return y


slice_.vjp(
    x=lambda g, dim, start, stop, step, x_shape: put_range(
        g, dim=dim, start=start, stop=stop, step=step, size=x_shape
    )
)
put_range.vjp(
    x=lambda g, dim, start, stop, step: slice_(g, dim=dim, start=start, stop=stop, step=step)
)


@export("narrow")
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """x[start : start + length] along `dim`; a view. x̄ is ȳ there, zero elsewhere.

    RuntimeError for a 0-d tensor or a range that does not fit, IndexError for a start out of range.
    """
    shape = input._data.shape
    if isinstance(start, Tensor) and (start._data.ndim or start._data.dtype.kind not in "iu"):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    if not shape:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    start, length = index(start), index(length)
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    dim = normalize_dim(dim, len(shape))
    n = shape[dim]
    if not -n <= start <= n:
        raise IndexError(
            f"start out of range (expected to be in range of [{-n}, {n}], but got {start})"
        )
    start = start + n if start < 0 else start
    if start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return slice_(input, dim=dim, start=start, stop=start + length, step=1)


# ------------------------------------------------------------ diagonals
@primitive(view=True)
def diagonal_(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    """The diagonal of two dimensions, as the last one; x̄ is ȳ there, zero elsewhere."""
    y = x.diagonal(offset, dim1, dim2)
    if type(x) is ndarray and x.flags.writeable:  # NumPy hands it out read-only
        y.flags.writeable = True
    return y


@primitive(half="keep")
def put_diagonal(x: Any, *, offset: int, dim1: int, dim2: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with x on one diagonal: the adjoint of diagonal."""
    y = array_module(x).zeros(size, x.dtype)
    part = y.diagonal(offset, dim1, dim2)
    if type(y) is ndarray:
        part.flags.writeable = True
    part[...] = x
    return y


diagonal_.vjp(
    x=lambda g, offset, dim1, dim2, x_shape: put_diagonal(
        g, offset=offset, dim1=dim1, dim2=dim2, size=x_shape
    )
)
put_diagonal.vjp(x=lambda g, offset, dim1, dim2: diagonal_(g, offset=offset, dim1=dim1, dim2=dim2))


def two_dims(dim1: int, dim2: int, ndim: int) -> tuple[int, int]:
    """Two different dimensions, counted from the front; RuntimeError if they are the same."""
    first, second = normalize_dim(index(dim1), ndim), normalize_dim(index(dim2), ndim)
    if first == second:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    return first, second


@export("diagonal")
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two dimensions, `offset` above the main one, as the last dimension; a view.

    x̄ is ȳ on that diagonal, zero elsewhere. RuntimeError if the dimensions are the same.
    """
    first, second = two_dims(dim1, dim2, input._data.ndim)
    return diagonal_(input, offset=index(offset), dim1=first, dim2=second)


# ------------------------------------------------------------ sliding windows
@primitive(view=True)
def unfold_(x: Any, *, dim: int, size: int, step: int) -> Any:
    """Windows of length `size` every `step` along `dim`, in a new last dimension."""
    if x.ndim == 0:
        return x.reshape(1)[:size]
    count = (x.shape[dim] - size) // step + 1
    stride = x.strides[dim]
    shape = (*x.shape[:dim], count, *x.shape[dim + 1 :], size)
    return strided(x, shape, (*x.strides[:dim], stride * step, *x.strides[dim + 1 :], stride))


@primitive
def put_windows(x: Any, *, dim: int, size: int, step: int, shape: tuple[int, ...]) -> Any:
    """The adjoint of unfold: windows added up where they overlap."""
    y = array_module(x).zeros(shape, x.dtype)
    if not shape:
        return y + x.sum()
    where = (slice(None),) * dim
    count = x.shape[dim]
    if size <= count:
        for k in range(size):
            y[(*where, slice(k, k + (count - 1) * step + 1, step))] += x[..., k]
    else:
        for i in range(count):
            y[(*where, slice(i * step, i * step + size))] += np.moveaxis(x[(*where, i)], -1, dim)
    return y


unfold_.vjp(
    x=lambda g, dim, size, step, x_shape: put_windows(
        g, dim=dim, size=size, step=step, shape=x_shape
    )
)
put_windows.vjp(x=lambda g, dim, size, step: unfold_(g, dim=dim, size=size, step=step))


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All windows of length `size`, `step` apart, along one dimension; a view.

    y[..., i, ..., k] = x[..., i·step + k, ...];  x̄ sums the windows' gradients where they overlap

    RuntimeError for a window longer than the dimension or a step below one.
    """
    shape = input._data.shape
    dim, length = normalize_dim(index(dimension), len(shape)), 1
    if shape:
        length = shape[dim]
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if size > length:
        raise RuntimeError(
            f"maximum size for tensor at dimension {dim} is {length} but size is {size}"
        )
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    return unfold_(input, dim=dim, size=index(size), step=index(step))


# ------------------------------------------------------------ any strides
@primitive(view=True)
def as_strided_(x: Any, *, size: tuple, stride: tuple, shift: int, layout: tuple) -> Any:
    """The elements at shift + Σ iₖ·strideₖ, counted from x's first, whose strides are `layout`.

    Replayed on an array that lies otherwise in memory (a gradient), it is done by a copy.
    """
    item = x.itemsize
    if x.strides == tuple([s * item for s in layout]):
        return strided(x, size, tuple([s * item for s in stride]), shift * item)
    low, place, wanted = _places(x.shape, size, stride, shift, layout)
    block = array_module(x).zeros(
        int(max(place.max(initial=0), wanted.max(initial=0))) + 1, x.dtype
    )
    block[place] = x
    return block[wanted]


@primitive
def put_strided(
    g: Any, *, size: tuple, stride: tuple, shift: int, layout: tuple, shape: tuple
) -> Any:
    """The adjoint of as_strided: ȳ added up per memory cell, then read where x lies.

    A cell that x itself holds several times gives each its share (PyTorch's choice).
    """
    xp = array_module(g)
    _, place, wanted = _places(shape, size, stride, shift, layout)
    cells = int(max(place.max(initial=0), wanted.max(initial=0))) + 1
    flat = xp.asarray(wanted).reshape(-1)
    block = xp.zeros(cells, g.dtype)
    xp.add.at(block, flat, g.reshape(-1))
    counts = xp.bincount(xp.asarray(place).reshape(-1), minlength=cells)
    block = (block / xp.maximum(counts, 1)).astype(g.dtype)
    return block[xp.asarray(place)]


def _places(shape: Any, size: Any, stride: Any, shift: int, layout: Any) -> tuple[int, Any, Any]:
    """Where x's and y's elements lie in memory, counted from the first of all of them."""
    place, wanted = _offsets(shape, layout), _offsets(size, stride) + shift
    low = min(place.min(initial=0), wanted.min(initial=0))
    return low, place - low, wanted - low


def _offsets(shape: Sequence[int], strides: Sequence[int]) -> Any:
    """The offset of each element, as an array of that shape."""
    total = np.zeros((1,) * len(shape), np.int64)
    for d, (n, s) in enumerate(zip(shape, strides, strict=True)):
        total = total + (np.arange(n) * s).reshape((-1,) + (1,) * (len(shape) - d - 1))
    return np.broadcast_to(total, tuple(shape))


as_strided_.vjp(
    x=lambda g, size, stride, shift, layout, x_shape: put_strided(
        g, size=size, stride=stride, shift=shift, layout=layout, shape=x_shape
    )
)
put_strided.vjp(
    g=lambda g, size, stride, shift, layout: as_strided_(
        g, size=size, stride=stride, shift=shift, layout=layout
    )
)


@export("as_strided")
def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """A view of x's storage with any size, strides and offset (counted in elements).

    The gradient of each memory cell goes to the element of x that lies there; cells outside x get
    none. RuntimeError if the view would leave the storage.
    """
    size, stride = sizes((size,)), sizes((stride,))
    if len(size) != len(stride):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(stride)} and {len(size)}"
        )
    if any(s < 0 for s in stride):
        raise RuntimeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    if any(n < 0 for n in size):
        raise RuntimeError(
            f"Storage size calculation overflowed or a size is negative: sizes={list(size)}"
        )
    if storage_offset is not None and storage_offset < 0:
        raise RuntimeError(f"Tensor: invalid storage offset {storage_offset}")
    shift = 0 if storage_offset is None else index(storage_offset) - input.storage_offset()
    y = as_strided_(input, size=size, stride=stride, shift=shift, layout=input.stride())
    view = y._view
    if (
        view is not None and view.parent is not None
    ):  # it may reach beyond input, into other parts of the base
        base = view.base
        view.parent, shift = None, shift + input.storage_offset() - base.storage_offset()
        view.options = {"size": size, "stride": stride, "shift": shift, "layout": base.stride()}
    return y
