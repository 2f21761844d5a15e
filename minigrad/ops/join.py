"""Several tensors as one: along a dimension they have, a new one, or by combining their
elements.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..backend.dtypes import can_cast, get_default_dtype, result_dtype
from ..core import chores
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from ..kernels.cpu import copying
from .pieces import meshgrid, split_
from .rearrange import atleast_1d, atleast_2d, atleast_3d, pick_
from .views import reshape, view_


@primitive(half="keep")
def cat_(*xs: Any, dim: int) -> Any:
    """Arrays joined along `dim`, those of shape (0,) left out; each gets back its piece of ȳ."""
    if _EMPTY in [x.shape for x in xs]:
        xs = tuple([x for x in xs if x.shape != _EMPTY]) or xs
    if type(xs[0]) is np.ndarray:
        y = copying.join(xs, dim)
        return row_major(np.concatenate(xs, dim)) if y is None else y
    return row_major(array_module(xs[0]).concatenate(xs, axis=dim))


_EMPTY = (0,)


def _pieces(g: Any, dim: int, shapes: tuple[tuple[int, ...], ...]) -> list[Any]:
    lengths = tuple([0 if s == (0,) else s[dim] for s in shapes])
    pieces = split_(g, lengths=lengths, dim=dim)
    return [view_(p, size=s) if s == (0,) else p for p, s in zip(pieces, shapes, strict=True)]


def _pieces_fast(g: Any, dim: int, xs_shape: tuple[tuple[int, ...], ...]) -> list[Any]:
    before, start, pieces = (slice(None),) * dim, 0, []
    for shape in xs_shape:
        stop = start if shape == _EMPTY else start + shape[dim]
        piece = g[(*before, slice(start, stop))]
        pieces.append(piece if piece.shape == shape else piece.reshape(shape))
        start = stop
    return pieces


cat_.joint(lambda g, dim, xs_shape: _pieces(g, dim, xs_shape))
cat_.fast_joint(_pieces_fast)


def _tensors(given: Any, name: str) -> Sequence[Tensor]:
    if not isinstance(given, (tuple, list)):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
            f"{type(given).__name__}"
        )
    if not all([isinstance(t, Tensor) for t in given]):
        i, t = next((i, t) for i, t in enumerate(given) if not isinstance(t, Tensor))
        raise TypeError(f"expected Tensor as element {i} in argument 0, but got {type(t).__name__}")
    return given


@export("cat", "concat", "concatenate")
def cat(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: int | None = None
) -> Tensor:
    """Tensors joined along a dimension they have; each gets back its piece of ȳ.

    Dtypes are promoted. Empty vectors of shape (0,) are skipped. RuntimeError if the other sizes
    differ or for 0-d tensors, ValueError for no tensors.
    """
    given = _tensors(tensors, "cat")
    if not given:
        raise ValueError("cat(): expected a non-empty list of Tensors")
    first = given[0]._data
    dim = index(dim if axis is None else axis)
    if first.shape == _EMPTY:
        first = next((t._data for t in given if t._data.shape != _EMPTY), first)
        if first.shape == _EMPTY:
            dim = 0  # none of them counts, so that no dimension is wrong
    if not 0 <= dim < first.ndim:
        dim = normalize_dim(dim, first.ndim)
    try:
        y = cat_(*_of_one_dtype(given), dim=dim)
    except (ValueError, IndexError):  # NumPy found that they do not fit: say it in PyTorch's words
        _check_sizes([t._data.shape for t in given], first.shape, dim)
        raise
    if out is not None and not can_cast(y.dtype, out.dtype):
        raise TypeError(
            f"cat(): input types can't be cast to the desired output type {out.dtype.name}"
        )
    return y if out is None else write_out(y, out)


def _of_one_dtype(given: Sequence[Tensor]) -> Sequence[Tensor]:
    """The tensors in their common dtype."""
    first = given[0]._data.dtype
    if all([t._data.dtype is first for t in given]):
        return given
    dtype = result_dtype([t._data for t in given]).np
    return [t if t._data.dtype == dtype else chores.cast(t, dtype=dtype) for t in given]


def _check_sizes(shapes: list[tuple[int, ...]], first: tuple[int, ...], dim: int) -> None:
    for position, shape in enumerate(shapes):
        if not shape:
            raise RuntimeError(
                f"zero-dimensional tensor (at position {position}) cannot be concatenated"
            )
        if shape == (0,):
            continue
        if len(shape) != len(first):
            raise RuntimeError(
                f"Tensors must have same number of dimensions: got {len(first)} and {len(shape)}"
            )
        for d, (a, b) in enumerate(zip(first, shape, strict=True)):
            if a != b and d != dim:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {a} but "
                    f"got size {b} for tensor number {position} in the list."
                )


@export("stack")
def stack(
    tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None, axis: Any = None
) -> Tensor:
    """Tensors of one shape along a new dimension; each gets back its slice of ȳ.

    Dtypes are promoted. RuntimeError if the shapes differ or there is no tensor.
    """
    dim = dim if axis is None else axis
    given = _tensors(tensors, "stack")
    if not given:
        raise RuntimeError("stack expects a non-empty TensorList")
    first = given[0]._data
    for i, t in enumerate(given):
        if t._data.shape != first.shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(first.shape)} at "
                f"entry 0 and {list(t._data.shape)} at entry {i}"
            )
    y = chores.stack(*_of_one_dtype(given), dim=normalize_dim(index(dim), first.ndim + 1))
    return y if out is None else write_out(y, out)


# ------------------------------------------------------------ NumPy's names
@export("hstack")
def hstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Side by side: `cat` along dimension 1, of vectors along dimension 0."""
    given = [atleast_1d(t) for t in _some(tensors, "hstack")]
    return cat(given, 0 if given[0]._data.ndim == 1 else 1, out=out)


@export("vstack", "row_stack")
def vstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """On top of each other: `cat` of rows along dimension 0."""
    return cat([atleast_2d(t) for t in _some(tensors, "vstack")], 0, out=out)


@export("dstack")
def dstack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """Behind each other: `cat` along dimension 2 of tensors made at least 3-d."""
    return cat([atleast_3d(t) for t in _some(tensors, "dstack")], 2, out=out)


@export("column_stack")
def column_stack(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """`hstack`, with vectors as columns."""
    given = _some(tensors, "column_stack")
    return cat(
        [t if t._data.ndim > 1 else view_(t, size=(t._data.size, 1)) for t in given], 1, out=out
    )


def _some(tensors: Any, name: str) -> list[Tensor]:
    given = _tensors(tensors, name)
    if not given:
        raise RuntimeError(f"{name} expects a non-empty TensorList")
    return given


# ------------------------------------------------------------ blocks and products
@primitive(promote="type", half="keep")
def block_diag_(*xs: Any) -> Any:
    """Matrices along the diagonal, zeros elsewhere; each gets back its block of ȳ."""
    xp = array_module(xs[0])
    y = xp.zeros((sum(x.shape[0] for x in xs), sum(x.shape[1] for x in xs)), xs[0].dtype)
    row = column = 0
    for x in xs:
        y[row : row + x.shape[0], column : column + x.shape[1]] = x
        row, column = row + x.shape[0], column + x.shape[1]
    return y


def _blocks(g: Any, shapes: tuple[tuple[int, int], ...]) -> list[Any]:
    rows = split_(g, lengths=tuple([s[0] for s in shapes]), dim=0)
    lengths = tuple([s[1] for s in shapes])
    return [split_(r, lengths=lengths, dim=1)[i] for i, r in enumerate(rows)]


block_diag_.joint(lambda g, xs_shape: _blocks(g, xs_shape))


@export("block_diag", "functional.block_diag")
def block_diag(*tensors: Any) -> Tensor:
    """Matrices (vectors as rows, 0-d as 1x1) along the diagonal, zeros elsewhere.

    RuntimeError above 2-d.
    """
    given = _tensors(tensors, "block_diag")
    for i, t in enumerate(given):
        if t._data.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{t._data.ndim} dimensions"
            )
    if not given:
        return wrap(np.empty((1, 0), get_default_dtype().np))
    return block_diag_(*[atleast_2d(t) for t in given])


@export("cartesian_prod", "functional.cartesian_prod")
def cartesian_prod(*tensors: Any) -> Tensor:
    """All tuples of one element of each vector, as rows, the last varying fastest."""
    given = _tensors(tensors, "cartesian_prod")
    for t in given:
        if t._data.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(t._data.shape)}")
    if not given:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    if len(given) == 1:
        return given[0]
    return stack([reshape(c, (c._data.size,)) for c in meshgrid(*given, indexing="ij")], dim=1)


@export("combinations")
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, as rows, in the order of itertools.combinations."""
    if input._data.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input._data.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    n = input._data.size
    if r == 0:
        return wrap(np.empty(0, input._data.dtype))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    where = np.array(list(choose(range(n), r)), np.int64).reshape(-1, r)
    columns = [pick_(input, where=where[:, k], dim=0) for k in range(r)]
    return stack(columns, dim=1)
