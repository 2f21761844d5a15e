"""Views: another shape of the same memory. Nothing here copies, except `reshape` where no view can do it.

An array is an address with a size and a stride for each dimension. What changes only those is a view; its
derivative is the inverse rearrangement of the gradient, or, where elements were left out, the gradient put back
into zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import DType, from_numpy_dtype, numpy_dtype
from ..core import chores
from ..core.inplace import check_inplace
from ..core.primitive import primitive
from ..core.size import Size
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from .elementwise import conj

ndarray = np.ndarray


# ------------------------------------------------------------------------------ reading arguments
def sizes(given: tuple[Any, ...], named: dict[str, Any] | None = None, name: str = "size") -> tuple[int, ...]:
    """Sizes given as f(x, 2, 3), f(x, (2, 3)) or f(x, size=(2, 3)), as a tuple of ints."""
    if named:
        if given or list(named) != [name]:
            raise TypeError(f"expected {name} once, got {len(given)} positional and {sorted(named)}")
        given = (named[name],)
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    return tuple([n if type(n) is int else index(n) for n in given])


def infer_size(size: tuple[int, ...], numel: int) -> tuple[int, ...]:
    """`size` with its one -1 replaced by what `numel` elements need; RuntimeError if they do not fit."""
    if -1 not in size:
        if math.prod(size) == numel and all(n >= 0 for n in size):
            return size
        bad = next((n for n in size if n < 0), None)
        if bad is not None:
            raise RuntimeError(f"invalid shape dimension {bad}")
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    if size.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    known = math.prod([n for n in size if n != -1])
    if any(n < -1 for n in size):
        raise RuntimeError(f"invalid shape dimension {min(size)}")
    if known == 0 and numel == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(size)} because the unspecified "
            "dimension size -1 can be any value and is ambiguous"
        )
    if known == 0 or numel % known:
        raise RuntimeError(f"shape '{list(size)}' is invalid for input of size {numel}")
    return tuple([numel // known if n == -1 else n for n in size])


def normalize_dims(dims: Any, ndim: int) -> tuple[int, ...]:
    """One dimension or several, counted from the front; RuntimeError if one is named twice."""
    found = [normalize_dim(index(d), ndim) for d in ((dims,) if _is_int(dims) else dims)]
    if len(set(found)) != len(found):
        twice = next(d for d in found if found.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return tuple(found)


def _is_int(x: Any) -> bool:
    return isinstance(x, (int, np.integer)) or (isinstance(x, Tensor) and x._data.ndim == 0)


# ------------------------------------------------------------------------------ strides
def strided(x: Any, shape: tuple[int, ...], strides: tuple[int, ...], shift: int = 0) -> Any:
    """A view of x's memory with this shape and these strides (in bytes), beginning `shift` bytes after x."""
    if type(x) is not ndarray:
        return array_module(x).lib.stride_tricks.as_strided(x, shape, strides)
    flags = x.flags
    if not shift and (flags.c_contiguous or flags.f_contiguous):
        try:  # the quick way; it fails where the view leaves x for another part of its storage
            return ndarray(shape, x.dtype, x, 0, strides)
        except (ValueError, TypeError):
            pass
    root = x
    while type(root.base) is ndarray:
        root = root.base
    start = x.__array_interface__["data"][0] + shift
    if root.flags.c_contiguous or root.flags.f_contiguous:
        start -= root.__array_interface__["data"][0]
    else:
        low, high = np.lib.array_utils.byte_bounds(root)
        start -= low
        root = np.asarray(_Block(low, high - low, root))
    try:
        return ndarray(shape, x.dtype, root, start, strides)
    except (ValueError, TypeError):
        raise RuntimeError(
            f"setStorage: sizes {list(shape)}, strides {[s // x.itemsize for s in strides]}, storage offset "
            f"{start // x.itemsize}, and itemsize {x.itemsize} requiring a storage size that is out of bounds for "
            f"storage of size {root.nbytes}"
        ) from None


def as_block(array: Any) -> Any:
    """The array as the root of its own storage: views of it reach no further than its own first and last element."""
    if array.base is None or not array.size:
        return array
    low, high = np.lib.array_utils.byte_bounds(array)
    memory = np.asarray(_Block(low, high - low, array))
    return ndarray(array.shape, array.dtype, memory, 0, array.strides)


class _Block:
    """The memory that a strided array of another library spans, as bytes: NumPy takes no such array as a buffer."""

    def __init__(self, start: int, size: int, owner: Any):
        self.owner = owner
        read_only = not owner.flags.writeable
        self.__array_interface__ = {"data": (start, read_only), "shape": (size,), "typestr": "|u1", "version": 3}


# ------------------------------------------------------------------------------ the same elements, reshaped
@primitive(view=True)
def view_(x: Any, *, size: tuple[int, ...]) -> Any:
    """x in another shape; x̄ = ȳ in x's shape. A copy where the strides allow no view."""
    return x.reshape(size)


view_.vjp(x=lambda g, x_shape: view_(g, size=x_shape))


@primitive(view=True)
def view_dtype(x: Any, *, dtype: np.dtype) -> Any:
    """The bytes of x read as another dtype. No derivative."""
    return x.view(dtype)


def view(input: Tensor, *size: Any, **named: Any) -> Tensor:
    """The same memory in another shape (one size may be -1), or, given a dtype, read as that dtype.

        y[i] = x[i] in row-major order;  x̄ = ȳ in x's shape

    RuntimeError if the shape does not fit or x's strides do not allow it without a copy.
    """
    if "dtype" in named or (len(size) == 1 and isinstance(size[0], DType)):
        return _view_as_dtype(input, numpy_dtype(named["dtype"] if named else size[0]))
    x = input._data
    new = infer_size(sizes(size, named), x.size)
    if not (x.flags.c_contiguous or fits_view(x, new)):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans "
            "across two contiguous subspaces). Use .reshape(...) instead."
        )
    return view_(input, size=new)


def fits_view(x: Any, size: tuple[int, ...]) -> bool:
    """Whether x can take this shape without a copy."""
    return x.size == 0 or bool(array_module(x).may_share_memory(x.reshape(size), x))


def _view_as_dtype(input: Tensor, dtype: np.dtype) -> Tensor:
    x = input._data
    old, new = x.dtype.itemsize, dtype.itemsize
    if old != new:
        larger = f"self.size(-1) must be divisible by {new // old} to view {input.dtype} as "
        if x.ndim == 0:
            raise RuntimeError(
                f"self.dim() cannot be 0 to view {input.dtype} as {from_numpy_dtype(dtype)} (different element sizes)"
            )
        if x.strides[-1] != old and x.shape[-1] != 1:
            raise RuntimeError(
                f"self.stride(-1) must be 1 to view {input.dtype} as {from_numpy_dtype(dtype)} (different element "
                f"sizes), but got {x.strides[-1] // old}"
            )
        if new > old and x.shape[-1] % (new // old):
            raise RuntimeError(
                f"{larger}{from_numpy_dtype(dtype)} (different element sizes), but got {x.shape[-1]}"
            )
        if new > old and any(s % new for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True) if n > 1):
            raise RuntimeError(
                f"self.stride() must be divisible by {new // old} to view {input.dtype} as "
                f"{from_numpy_dtype(dtype)} (different element sizes)"
            )
    return view_dtype(input, dtype=dtype)


@export("reshape")
def reshape(input: Tensor, *shape: Any, **named: Any) -> Tensor:
    """x's elements in row-major order in another shape; a view if possible, else a copy.

        x̄ = ȳ in x's shape

    One size may be -1. RuntimeError if the number of elements differs.
    """
    return view_(input, size=infer_size(sizes(shape, named, "shape"), input._data.size))


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
    return view_(input, size=(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@export("ravel")
def ravel(input: Tensor) -> Tensor:
    """All elements in row-major order, as one dimension; a view if x is contiguous."""
    x = input._data
    if x.ndim == 1 and x.flags.c_contiguous:
        return input
    return view_(input, size=(x.size,))


@export("unflatten")
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several of the given sizes (one may be -1); the inverse of flatten."""
    shape = input._data.shape
    if not _is_int(dim):
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
            f"unflatten: Provided sizes {list(parts)} don't multiply up to the size of dim {dim} ({length}) in the "
            "input tensor"
        )
    return view(input, (*shape[:dim], *infer_size(parts, length), *shape[dim + 1 :]))


# ------------------------------------------------------------------------------ dimensions of size one
@primitive(view=True)
def squeeze_(x: Any, *, dims: tuple[int, ...]) -> Any:
    """x without the dimensions `dims`, all of size one; x̄ = ȳ in x's shape."""
    return x.squeeze(dims)


squeeze_.vjp(x=lambda g, x_shape: view_(g, size=x_shape))


@export("squeeze")
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the dimensions of size one: all of them, or those among `dim`; others stay as they are.

    x̄ = ȳ in x's shape. A view. IndexError if there is no such dimension.
    """
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
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size one, which becomes dimension `dim`; a view. x̄ = ȳ in x's shape."""
    return unsqueeze_(input, dim=normalize_dim(index(dim), input._data.ndim + 1))


# ------------------------------------------------------------------------------ another order of dimensions
@primitive(view=True)
def transpose_(x: Any, *, dim0: int, dim1: int) -> Any:
    """x with two dimensions exchanged; x̄ = ȳ with the same two exchanged."""
    return x.swapaxes(dim0, dim1)


transpose_.vjp(x=lambda g, dim0, dim1: transpose_(g, dim0=dim0, dim1=dim1))


@export("transpose")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged; a view. x̄ = ȳ with the same two exchanged. IndexError if one does not exist."""
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
    """The transpose of a matrix; vectors and 0-d tensors as they are. RuntimeError above two dimensions."""
    ndim = input._data.ndim
    if ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {ndim}D")
    return transpose_(input, dim0=0, dim1=1) if ndim == 2 else chores.alias(input)


@export("adjoint")
def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of the last two dimensions. RuntimeError for a vector."""
    ndim = input._data.ndim
    if ndim == 1:
        raise RuntimeError("tensor.adjoint() is only supported on matrices or batches of matrices. Got 1-D tensor.")
    turned = transpose(input, -2, -1) if ndim else chores.alias(input)
    return conj(turned) if input._data.dtype.kind == "c" else turned


def numpy_T(input: Tensor) -> Tensor:
    """`x.T`: all dimensions in reverse order."""
    return permute_(input, dims=tuple(range(input._data.ndim))[::-1])


def matrix_T(input: Tensor) -> Tensor:
    """`x.mT`: the last two dimensions exchanged. RuntimeError for a vector or a 0-d tensor."""
    ndim = input._data.ndim
    if ndim < 2:
        raise RuntimeError(
            f"tensor.mT is only supported on matrices or batches of matrices. Got {ndim}-D tensor."
        )
    return transpose_(input, dim0=ndim - 2, dim1=ndim - 1)


def matrix_H(input: Tensor) -> Tensor:
    """`x.H`: the conjugate transpose of a matrix. RuntimeError unless 2-d (a 0-d tensor is itself)."""
    ndim = input._data.ndim
    if ndim not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {ndim}-D tensor.")
    return adjoint(input)


def matrices_H(input: Tensor) -> Tensor:
    """`x.mH`: the conjugate transposes of a batch of matrices. RuntimeError below two dimensions."""
    ndim = input._data.ndim
    if ndim < 2:
        raise RuntimeError(
            f"tensor.mH is only supported on matrices or batches of matrices. Got {ndim}-D tensor."
        )
    return adjoint(input)


@primitive(view=True)
def permute_(x: Any, *, dims: tuple[int, ...]) -> Any:
    """x with its dimensions in the order `dims`; x̄ = ȳ in the inverse order."""
    return x.transpose(dims)


permute_.vjp(x=lambda g, dims: permute_(g, dims=tuple(sorted(range(len(dims)), key=dims.__getitem__))))


@export("permute")
def permute(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """The dimensions in a new order: dimension i of the result is dimension dims[i] of x. A view.

    x̄ = ȳ in the inverse order. RuntimeError if `dims` is no permutation of all dimensions.
    """
    given, ndim = sizes(dims, named, "dims"), input._data.ndim
    if len(given) != ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {ndim} is not equal to len(dims) = {len(given)}"
        )
    order = tuple([normalize_dim(d, ndim) for d in given])
    if len(set(order)) != ndim:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permute_(input, dims=order)


@export("movedim", "moveaxis")
def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Dimensions moved to other places, the rest in their old order; a view.

    RuntimeError if the two lists differ in length or name a dimension twice.
    """
    ndim = input._data.ndim
    old = [normalize_dim(index(d), ndim) for d in ((source,) if _is_int(source) else source)]  # type: ignore
    new = [normalize_dim(index(d), ndim) for d in ((destination,) if _is_int(destination) else destination)]  # type: ignore
    if len(old) != len(new):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({old} dims) should contain the same number of dims "
            f"as destination ({new} dims)"
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


# ------------------------------------------------------------------------------ repeated without copying
@primitive(view=True)
def expand_(x: Any, *, size: tuple[int, ...]) -> Any:
    """x with stride zero along new dimensions and those of size one; x̄ = ȳ summed back (by the engine)."""
    shape, strides = x.shape, x.strides
    lead = len(size) - len(shape)
    steps = [0 if n != m else s for n, m, s in zip(shape, size[lead:], strides, strict=True)]
    return strided(x, size, (*((0,) * lead), *steps))


expand_.vjp(x=lambda g: g)


@export("broadcast_to")
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`input.expand(size)`."""
    return expand(input, size)


def expand(input: Tensor, *size: Any, **named: Any) -> Tensor:
    """Dimensions of size one repeated to the given sizes (-1 keeps one), new ones in front; a view, no copy.

    x̄ = ȳ summed over the repeated dimensions. RuntimeError if a size does not fit.
    """
    named.pop("implicit", None)
    given, shape = sizes(size, named), input._data.shape
    lead = len(given) - len(shape)
    if lead < 0:
        raise RuntimeError(
            f"expand(minigrad.{input.dtype.name}{{{list(shape)}}}, size={list(given)}): the number of sizes provided "
            f"({len(given)}) must be greater or equal to the number of dimensions in the tensor ({len(shape)})"
        )
    new = list(given)
    for i, n in enumerate(given):
        have = shape[i - lead] if i >= lead else 1
        if n == -1:
            if i < lead:
                raise RuntimeError(
                    f"The expanded size of the tensor ({n}) isn't allowed in a leading, non-existing dimension {i}"
                )
            new[i] = have
        elif n != have and (have != 1 or n < 0):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at non-singleton "
                f"dimension {i}.  Target sizes: {list(given)}.  Tensor sizes: {list(shape)}"
            )
    return expand_(input, size=tuple(new))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input.expand(other.size())`."""
    return expand(input, other._data.shape)


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all `shapes` broadcast to; RuntimeError naming the first two sizes that disagree."""
    ndim = max([len(s) for s in shapes], default=0)
    result = [1] * ndim
    for shape in shapes:
        for i, n in enumerate(shape, ndim - len(shape)):
            if n != result[i] and n != 1:
                if result[i] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({result[i]}) must match the size of tensor b ({n}) at non-singleton "
                        f"dimension {i}"
                    )
                result[i] = n
    return tuple(result)


@export("broadcast_shapes")
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of the given shapes (tuples or ints) broadcast to; RuntimeError if there is none."""
    given = [(s,) if isinstance(s, int) else tuple([index(n) for n in s]) for s in shapes]
    if any(n < 0 for s in given for n in s):
        raise RuntimeError("Trying to create tensor with negative dimension: broadcast_shapes needs sizes >= 0")
    try:
        return Size(common_shape(given))
    except RuntimeError as error:
        raise RuntimeError(f"Shape mismatch: objects cannot be broadcast to a single shape: {error}") from None


@export("broadcast_tensors", "functional.broadcast_tensors")
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All tensors expanded to their common shape (views). RuntimeError if there is none."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    size = common_shape([t._data.shape for t in given])
    return tuple([expand_(t, size=size) for t in given])


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """Summed over the dimensions along which `size` would be broadcast to x's shape; the adjoint of expand.

    x̄ = ȳ expanded. RuntimeError if `size` cannot be expanded to x's shape.
    """
    given, shape = sizes(size), input._data.shape
    if not chores.broadcastable(given, shape):
        raise RuntimeError(f"size {{{list(given)}}} is not expandable to size {{{list(shape)}}}.")
    if given == shape:
        return chores.alias(input)
    return chores.sum_to_size(input, size=given)


# ------------------------------------------------------------------------------ copies and other handles
@primitive(half="keep")
def clone_(x: Any, *, order: str) -> Any:
    """A copy; x̄ = ȳ. order: "K" keeps the order of the dimensions in memory, "C" is row-major, "N" channels last."""
    if order == "N":
        rows = np.ascontiguousarray if type(x) is ndarray else array_module(x).ascontiguousarray
        moved = np.moveaxis(x, 1, -1) if type(x) is ndarray else array_module(x).moveaxis(x, 1, -1)
        copy = rows(moved.copy())
        return copy.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    return x.copy("C" if 0 in x.strides else order)  # a repeated dimension has no place in an order of strides


clone_.vjp(x=lambda g: g)
clone_.primitive.node_class.__name__ = "CloneBackward0"


def memory_order(x: Any, memory_format: Any) -> str:
    """NumPy's letter for a memory format: "K", "C", or "N" for channels last; RuntimeError for a wrong rank."""
    name = "preserve_format" if memory_format is None else getattr(memory_format, "name", None)
    ndim = {"channels_last": 4, "channels_last_3d": 5}.get(name or "", x.ndim)
    if name is None:
        raise TypeError(f"argument 'memory_format' must be minigrad.memory_format, not {type(memory_format).__name__}")
    if ndim != x.ndim:
        raise RuntimeError(f"required rank {ndim} tensor to use {name} format")
    return {"preserve_format": "K", "contiguous_format": "C"}.get(name, "N")


@export("clone")
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy in memory of its own, still part of the graph; x̄ = ȳ. Keeps the order of the strides by default."""
    return clone_(input, order=memory_order(input._data, memory_format))


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in row-major order without gaps, else a copy where they do. x̄ = ȳ."""
    order = "C" if memory_format is None else memory_order(input._data, memory_format)
    if order == "K":
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    flat = input._data if order == "C" else np.moveaxis(input._data, 1, -1)
    return input if flat.flags.c_contiguous else clone_(input, order=order)


def reshaping(op: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The in-place method of a view op: `x.squeeze_()` gives x itself the shape, strides and place in the graph."""

    @wraps(op)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        check_inplace(self, False)
        y = op(self, *args, **kwargs)
        link = y._view
        if link is not None and link.base is not self:
            self._view = link  # x was a view of something else, and still is
        self._data, self._node, self._index, self._requires_grad = y._data, y._node, y._index, y._requires_grad
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"In-place version of `{op.__name__}`: the same tensor in another shape."
    return method


@export("detach")
def detach(input: Tensor) -> Tensor:
    """`input.detach()`: the same memory outside the graph."""
    return input.detach()


# ------------------------------------------------------------------------------ complex numbers as pairs
@primitive(view=True)
def view_as_real_(x: Any) -> Any:
    """Complex x as pairs (real, imaginary) in a new last dimension; x̄ = the pairs of ȳ as complex numbers."""
    half = np.dtype(f"f{x.itemsize // 2}")
    if type(x) is not ndarray:
        return x[..., None].view(half)
    pairs = x.real  # has the dtype and the address; only the last dimension is missing
    return strided(pairs, (*x.shape, 2), (*x.strides, half.itemsize)) if pairs.size else np.empty((*x.shape, 2), half)


view_as_real_.vjp(x=lambda g: view_as_complex_(g))


@primitive(view=True)
def view_as_complex_(x: Any) -> Any:
    """Pairs in the last dimension as complex numbers; x̄ = the pairs of ȳ."""
    if x.strides[-1] != x.itemsize and x.size:  # a gradient may come in any layout
        x = x.copy()
    return x.view(np.dtype(f"c{2 * x.itemsize}"))[..., 0]


view_as_complex_.vjp(x=lambda g: view_as_real_(g))


@export("view_as_real")
def view_as_real(input: Tensor) -> Tensor:
    """A complex tensor as a real one of shape (*, 2); a view. RuntimeError if it is not complex."""
    if input._data.dtype.kind != "c":
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return view_as_real_(input)


@export("view_as_complex")
def view_as_complex(input: Tensor) -> Tensor:
    """A float32 or float64 tensor of shape (*, 2) as complex numbers; a view.

    RuntimeError if the last dimension is not two numbers side by side in memory.
    """
    x = input._data
    if x.dtype.kind != "f" or x.itemsize < 4:
        raise RuntimeError(
            f"view_as_complex is only supported for floating point tensors, but got a tensor of {input.dtype}"
        )
    if x.ndim == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if x.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if x.strides[-1] != x.itemsize:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(s % (2 * x.itemsize) for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True) if n > 1):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    return view_as_complex_(input)
