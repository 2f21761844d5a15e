"""Rearrangements that copy: flip, roll, repeat, triangles, diagonals put into matrices, copies of
views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..core import chores
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, normalize_dim, wrap
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu import copying
from . import dims as turned
from . import pieces, reinterpret, slices, views
from .arguments import numpy_names
from .dims import transpose_
from .slices import diagonal, diagonal_, put_diagonal, two_dims
from .strides import normalize_dims, sizes
from .views import clone_, view_

ndarray = np.ndarray


# ------------------------------------------------------------ mirrored, rolled, turned
@primitive(half="keep")
def flip_(x: Any, *, dims: tuple[int, ...]) -> Any:
    """x with the order of the elements along `dims` reversed; x̄ = ȳ reversed in the same way."""
    mirrored = x[tuple([slice(None, None, -1 if d in dims else 1) for d in range(x.ndim)])]
    if type(x) is ndarray and (y := copying.contiguous(mirrored)) is not None:
        return y
    return mirrored.copy()


flip_.vjp(x=lambda g, dims: flip_(g, dims=dims))


@export("flip")
def flip(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """The order of the elements along `dims` reversed; a copy. x̄ = ȳ reversed in the same way."""
    return flip_(
        input,
        dims=normalize_dims(sizes(dims, named, "dims"), input._data.ndim)
        if input._data.ndim
        else (),
    )


@export("fliplr")
def fliplr(input: Tensor) -> Tensor:
    """Columns in reverse order: flip along dimension 1. RuntimeError below two dimensions."""
    if input._data.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return flip_(input, dims=(1,))


@export("flipud")
def flipud(input: Tensor) -> Tensor:
    """Rows in reverse order: flip along dimension 0. RuntimeError for a 0-d tensor."""
    if input._data.ndim < 1:
        raise RuntimeError("Input must be >= 1-d.")
    return flip_(input, dims=(0,))


@primitive(half="keep")
def roll_(x: Any, *, shifts: tuple[int, ...], dims: tuple[int, ...] | None) -> Any:
    """x moved round by `shifts` along `dims` (as one vector if None); x̄ = ȳ moved back."""
    if type(x) is not ndarray:
        return array_module(x).roll(x, shifts if dims is not None else shifts[0], dims)
    if dims is None:
        return copying.roll(x.reshape(-1), shifts[:1], (0,)).reshape(x.shape)
    return copying.roll(x, shifts, dims)


roll_.vjp(x=lambda g, shifts, dims: roll_(g, shifts=tuple([-s for s in shifts]), dims=dims))


@export("roll")
def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] = ()) -> Tensor:
    """Elements moved by `shifts` along `dims`, those pushed out coming in again at the other end.

    Without dims the flattened tensor is rolled. x̄ = ȳ rolled back.
    """
    steps, axes = sizes((shifts,)), () if dims is None else sizes((dims,))
    if not steps:
        raise RuntimeError("`shifts` required")
    if not axes and len(steps) == 1:
        return roll_(input, shifts=steps, dims=None)
    if len(steps) != len(axes):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(steps)}, dims:{len(axes)}"
        )
    ndim = input._data.ndim
    if not input._data.size:  # PyTorch does not look at the dimensions either
        return roll_(input, shifts=(0,), dims=None)
    if not ndim:
        raise IndexError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    return roll_(input, shifts=steps, dims=tuple([normalize_dim(d, ndim) for d in axes]))


@export("rot90")
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees, from the first of two dimensions towards the second.

    RuntimeError unless there are two different dimensions.
    """
    ndim = input._data.ndim
    if len(dims) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(dims)}")
    if ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {ndim}")
    if dims[0] == dims[1] or abs(dims[0] - dims[1]) == ndim:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {dims[0]} and dim1 = {dims[1]}"
        )
    first, second = normalize_dim(dims[0], ndim), normalize_dim(dims[1], ndim)
    turns = k % 4
    if turns == 1:
        return unlinked(transpose_(flip_(input, dims=(second,)), dim0=first, dim1=second))
    if turns == 2:
        return flip_(input, dims=(first, second))
    if turns == 3:
        return unlinked(transpose_(flip_(input, dims=(first,)), dim0=first, dim1=second))
    return clone_(input, order="C")


# ------------------------------------------------------------ repeated
@primitive(half="keep")
def repeat_(x: Any, *, times: tuple[int, ...]) -> Any:
    """x side by side times[i] times along each dimension; x̄ sums over the repetitions."""
    lead = (1,) * (len(times) - x.ndim) + x.shape
    pairs = [n for t, s in zip(times, lead, strict=True) for n in (t, s)]
    columns = x.reshape([n for s in lead for n in (1, s)])
    spread = array_module(x).broadcast_to(columns, pairs)
    size = [t * s for t, s in zip(times, lead, strict=True)]
    if spread.size >= copying.SMALL and type(x) is ndarray:
        y = copying.contiguous(spread)
        if y is not None:
            return y.reshape(size)
    y = spread.reshape(size)  # a view where there was nothing to repeat
    shared = array_module(x).may_share_memory(x, y)
    return y.copy() if shared or not y.size else y


def _unrepeat(g: Any, times: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    lead = (1,) * (len(times) - len(shape)) + shape
    pairs = view_(g, size=tuple([n for t, s in zip(times, lead, strict=True) for n in (t, s)]))
    return view_(
        chores.sum_to_size(pairs, size=tuple([n for s in lead for n in (1, s)])), size=shape
    )


repeat_.vjp(x=lambda g, times, x_shape: _unrepeat(g, times, x_shape))


def repeat(input: Tensor, *repeats: Any, **named: Any) -> Tensor:
    """x side by side repeats[i] times along each dimension (new dimensions in front); a copy.

    x̄ sums over the repetitions. RuntimeError for fewer numbers than dimensions, or a negative one.
    """
    times = sizes(repeats, named, "repeats")
    if len(times) < input._data.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    if any(n < 0 for n in times):
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {min(times)}: {list(times)}"
        )
    return repeat_(input, times=times)


@export("tile")
def tile(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """Like `repeat`; with fewer numbers than dimensions, they count for the last ones."""
    times = sizes(dims, named, "dims")
    return repeat(input, (1,) * (input._data.ndim - len(times)) + times)


@primitive(half="keep")
def pick_(x: Any, *, where: Any, dim: int) -> Any:
    """x at the indices `where` of `dim`; x̄ adds ȳ up per index."""
    return x.take(array_module(x).asarray(where), dim)


@primitive
def put_picked(x: Any, *, where: Any, dim: int, size: tuple[int, ...]) -> Any:
    """The adjoint of picking: rows added up at the indices `where`."""
    xp = array_module(x)
    y = xp.zeros(size, x.dtype)
    xp.add.at(y, (slice(None),) * dim + (xp.asarray(where),), x)
    return y


pick_.vjp(x=lambda g, where, dim, x_shape: put_picked(g, where=where, dim=dim, size=x_shape))
put_picked.vjp(x=lambda g, where, dim: pick_(g, where=where, dim=dim))


@export("repeat_interleave")
@numpy_names
def repeat_interleave(
    input: Tensor,
    repeats: int | Tensor | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Every element (along `dim`; of the flattened tensor if None) repeated, one after the other.

        y[j] = x[i] for the repeats[i] values of j that belong to i;  x̄[i] = Σ ȳ[j]

    With one argument: the index i for every j. RuntimeError for counts that are negative or do not
    fit.
    """
    if repeats is None:
        counts = _counts(input)
        where = array_module(counts).repeat(np.arange(counts.size), counts)
        _check_output_size(where.size, output_size)
        return wrap(where.astype(counts.dtype))
    if dim is None:
        input, dim = view_(input, size=(input._data.size,)), 0
    elif not input._data.ndim:
        input = view_(input, size=(1,))
    dim = normalize_dim(index(dim), input._data.ndim)
    n = input._data.shape[dim]
    if isinstance(repeats, Tensor):
        counts = _counts(repeats).reshape(-1)
        if counts.size not in (1, n):
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{counts.size} and input.size({dim}) = {n}"
            )
        counts = np.broadcast_to(counts, (n,)) if counts.size == 1 else counts
    elif index(repeats) < 0:
        raise RuntimeError("Repeats must be non-negative")
    else:
        return _each_repeated(input, dim, index(repeats), output_size)
    where = array_module(counts).repeat(np.arange(n), counts)
    _check_output_size(where.size, output_size)
    return pick_(input, where=where, dim=dim)


def _each_repeated(input: Tensor, dim: int, times: int, output_size: int | None) -> Tensor:
    """Every element (along `dim`) repeated so many times."""
    shape = input._data.shape
    _check_output_size(shape[dim] * times, output_size)
    column = view_(input, size=(*shape[: dim + 1], 1, *shape[dim + 1 :]))
    every = tuple([times if d == dim + 1 else 1 for d in range(len(shape) + 1)])
    spread = repeat_(column, times=every)
    return view_(spread, size=(*shape[:dim], shape[dim] * times, *shape[dim + 1 :]))


def _counts(repeats: Tensor) -> Any:
    counts = repeats._data
    if counts.dtype not in (np.int32, np.int64):
        title = repeats.dtype.name
        raise NotImplementedError(f'"repeat_interleave_cpu" not implemented for {title!r}')
    if counts.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if counts.size and counts.min() < 0:
        raise RuntimeError("repeats can not be negative")
    return counts


def _check_output_size(found: int, expected: int | None) -> None:
    if expected is not None and expected != found:
        raise RuntimeError(
            f"allocated size does not match required size: output_size={expected}, needed {found}"
        )


# ------------------------------------------------------------ triangles and diagonals
@primitive(half="keep")
def tril_(x: Any, *, diagonal: int) -> Any:
    """x with zeros above a diagonal; x̄ = ȳ with zeros there."""
    if type(x) is ndarray:
        y = copying.triangle(x, diagonal, True)
        if y is not None:
            return y
    return array_module(x).tril(row_major(x), diagonal)


@primitive(half="keep")
def triu_(x: Any, *, diagonal: int) -> Any:
    """x with zeros below a diagonal; x̄ = ȳ with zeros there."""
    if type(x) is ndarray:
        y = copying.triangle(x, diagonal, False)
        if y is not None:
            return y
    return array_module(x).triu(row_major(x), diagonal)


tril_.vjp(x=lambda g, diagonal: tril_(g, diagonal=diagonal))
triu_.vjp(x=lambda g, diagonal: triu_(g, diagonal=diagonal))


def exact_out(y: Tensor, out: Tensor) -> Tensor:
    """`out=` of functions that do not cast: RuntimeError if its dtype differs."""
    if out._data.dtype != y._data.dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {y.dtype.name}, but got {out.dtype.name} instead"
        )
    return write_out(y, out)


def _triangle(
    op: Callable[..., Tensor], input: Tensor, diagonal: int, out: Tensor | None
) -> Tensor:
    if input._data.ndim < 2:
        raise RuntimeError(f"{op.__name__}: input tensor must have at least 2 dimensions")
    y = op(input, diagonal=index(diagonal))
    return y if out is None else exact_out(y, out)


@export("tril")
def tril(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The lower triangle of the matrices: zeros above the given diagonal; x̄ = ȳ with zeros there.

    RuntimeError below two dimensions.
    """
    return _triangle(tril_, input, diagonal, out)


@export("triu")
def triu(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """The upper triangle of the matrices: zeros below the given diagonal; x̄ = ȳ with zeros there.

    RuntimeError below two dimensions.
    """
    return _triangle(triu_, input, diagonal, out)


@export("diag_embed")
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last dimension as a diagonal of matrices in new dimensions dim1 and dim2.

    x̄ = that diagonal of ȳ. The inverse of `diagonal`.
    """
    shape, offset = input._data.shape, index(offset)
    if not shape:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got -2)")
    first, second = two_dims(dim1, dim2, len(shape) + 1)
    n = shape[-1] + abs(offset)
    size = list(shape[:-1])
    for d in sorted((first, second)):
        size.insert(d, n)
    return put_diagonal(input, offset=offset, dim1=first, dim2=second, size=tuple(size))


@export("diag")
def diag(input: Tensor, diagonal: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Of a vector: the matrix with it on a diagonal; of a matrix: that diagonal, as a copy.

    RuntimeError unless 1-d or 2-d.
    """
    ndim = input._data.ndim
    if ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {ndim}D")
    if ndim == 1:
        y = diag_embed(input, diagonal)
    else:
        y = clone_(diagonal_(input, offset=index(diagonal), dim1=0, dim2=1), order="C")
    return y if out is None else exact_out(y, out)


@export("diagflat")
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of x on a diagonal, zeros elsewhere."""
    return diag_embed(view_(input, size=(input._data.size,)), offset)


# ------------------------------------------------------------ at least so many dimensions
def _each(grow: Callable[[Tensor], Tensor], tensors: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return grow(tensors[0])
    given = tensors[0] if len(tensors) == 1 else tensors
    return tuple([grow(t) for t in given])


@export("atleast_1d", "functional.atleast_1d")
def atleast_1d(*tensors: Any) -> Any:
    """0-d tensors as vectors of one element, others as they are; a tuple for several tensors."""
    return _each(lambda t: t if t._data.ndim else view_(t, size=(1,)), tensors)


@export("atleast_2d", "functional.atleast_2d")
def atleast_2d(*tensors: Any) -> Any:
    """Vectors as one row, others as they are; a tuple for several tensors."""
    return _each(lambda t: t if t._data.ndim >= 2 else view_(t, size=(1, t._data.size)), tensors)


@export("atleast_3d", "functional.atleast_3d")
def atleast_3d(*tensors: Any) -> Any:
    """(n,) as (1, n, 1), (m, n) as (m, n, 1), others as they are; a tuple for several tensors."""

    def grow(t: Tensor) -> Tensor:
        n = t._data.shape
        if len(n) >= 3:
            return t
        return view_(t, size=(*n, 1) if len(n) == 2 else (1, t._data.size, 1))

    return _each(grow, tensors)


# ------------------------------------------------------------ copies of views
def _copying(view: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The function that returns what `view` does, in memory of its own."""

    @wraps(view)
    def copy(input: Tensor, *args: Any, out: Any = None, **named: Any) -> Any:
        y = view(input, *args, **named)
        if not isinstance(y, tuple):
            y = clone_(y, order="C")
            return y if out is None else exact_out(y, out)
        y = tuple([clone_(p, order="C") for p in y])
        return y if out is None else tuple([exact_out(p, o) for p, o in zip(y, out, strict=True)])

    copy.__name__ = copy.__qualname__ = name
    copy.__doc__ = f"`{view.__name__}`, copied into memory of its own."
    return export(name)(copy)


alias_copy = _copying(chores.alias, "alias_copy")
as_strided_copy = _copying(slices.as_strided, "as_strided_copy")
detach_copy = _copying(views.detach, "detach_copy")
diagonal_copy = _copying(diagonal, "diagonal_copy")
expand_copy = _copying(turned.expand, "expand_copy")
narrow_copy = _copying(slices.narrow, "narrow_copy")
permute_copy = _copying(turned.permute, "permute_copy")
select_copy = _copying(slices.select, "select_copy")
split_copy = _copying(pieces.split, "split_copy")
split_with_sizes_copy = _copying(pieces.split_with_sizes, "split_with_sizes_copy")
squeeze_copy = _copying(turned.squeeze, "squeeze_copy")
t_copy = _copying(turned.t, "t_copy")
transpose_copy = _copying(turned.transpose, "transpose_copy")
unbind_copy = _copying(pieces.unbind, "unbind_copy")
unfold_copy = _copying(slices.unfold, "unfold_copy")
unsqueeze_copy = _copying(turned.unsqueeze, "unsqueeze_copy")
view_as_complex_copy = _copying(reinterpret.view_as_complex, "view_as_complex_copy")
view_as_real_copy = _copying(reinterpret.view_as_real, "view_as_real_copy")
view_copy = _copying(views.reshape, "view_copy")
