"""Elements picked by integer arrays and masks, and put back: what advanced indexing is made of.

    y = x[.., i, .., j, ..];  x̄ = zeros to which ȳ is added at the same places

An index is a set of arrays and, for each, the dimension that it indexes (a mask: the first of as
many as it has itself). As in PyTorch and NumPy, the arrays are broadcast together; their dimensions
stand where the indexed ones stood if those are neighbours, else in front.

Large arrays go through kernels/cpu/indexing.py. Else the places of the elements are counted in
memory and added to with `np.add.at`, which NumPy does in one compiled loop for flat arrays: several
times faster than sorting or np.bincount.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..core.chores import duplicate
from ..core.inplace import check_inplace, commit
from ..core.modes import MODE
from ..core.primitive import primitive
from ..core.recording import differentiable_dtype
from ..core.tensor import Tensor, wrap
from ..kernels.cpu import copying, masks
from ..kernels.cpu import indexing as kernels
from .piecewise import dtype_title
from .views import view_

ndarray = np.ndarray
Dims = tuple[int, ...]
_LEADING = tuple(range(32))


# ------------------------------------------------------------ places in memory
def full_index(dims: Dims, indices: Any) -> tuple:
    """The index as NumPy takes it."""
    full: list[Any] = []
    for dim, i in zip(dims, indices, strict=True):
        full += [slice(None)] * (dim - len(full))
        full.append(i)
        if i.dtype.kind == "b":
            full += [None] * (i.ndim - 1)  # only counts; removed below
    return tuple([f for f in full if f is not None])


def without_masks(dims: Dims, indices: Any) -> tuple[Dims, list[Any]]:
    """The same index with every mask as the integer indices of its true elements."""
    plain_dims: list[int] = []
    plain: list[Any] = []
    for dim, i in zip(dims, indices, strict=True):
        found = i.nonzero() if i.dtype.kind == "b" else (i,)
        plain += found
        plain_dims += range(dim, dim + len(found))
    return tuple(plain_dims), plain


def places(shape: tuple[int, ...], dims: Dims, indices: Any) -> Any:
    """Where the picked elements lie in a row-major array of this shape, in the result's layout.

    Negative indices count from the end; the range must have been checked.
    """
    xp = array_module(indices[0])
    steps = row_steps(shape)
    dims, indices = without_masks(dims, indices)
    picked: Any = 0
    for dim, i in zip(dims, indices, strict=True):
        i = i.astype(np.int64, copy=False)
        picked = picked + xp.where(i < 0, i + shape[dim], i) * steps[dim]
    rest = [d for d in range(len(shape)) if d not in dims]
    neighbours = dims[-1] - dims[0] + 1 == len(dims)
    before = dims[0] if neighbours else 0
    y = picked.reshape(picked.shape + (1,) * (len(rest) - before))
    for k, d in enumerate(rest):
        steps_d = xp.arange(shape[d]) * steps[d]
        behind = len(rest) - 1 - k + (picked.ndim if k < before else 0)
        y = y + steps_d.reshape((-1,) + (1,) * behind)
    return y


def row_steps(shape: tuple[int, ...]) -> list[int]:
    """The strides, in elements, of a row-major array."""
    steps = [1] * len(shape)
    for d in range(len(shape) - 2, -1, -1):
        steps[d] = steps[d + 1] * shape[d + 1]
    return steps


def index_error(shape: tuple[int, ...], dims: Dims, indices: Any) -> Exception:
    """PyTorch's error for an index that NumPy has refused."""
    plain_dims, plain = without_masks(dims, indices)
    try:
        np.broadcast_shapes(*[i.shape for i in plain])
    except ValueError:
        shapes = ", ".join(str(list(i.shape)) for i in plain)
        return IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        )
    for dim, i in zip(plain_dims, plain, strict=True):
        n = shape[dim]
        bad = i[(i < -n) | (i >= n)]
        if bad.size and n == 0:
            return IndexError("index is out of bounds for dimension with size 0")
        if bad.size:
            return IndexError(
                f"index {int(bad[0])} is out of bounds for dimension {dim} with size {n}"
            )
    return IndexError("invalid index")


def takes_nothing(x: Any, dims: Dims, indices: Any) -> bool:
    """Whether x is empty in another dimension than those indexed: PyTorch then asks of the indices
    nothing but their shapes.
    """
    return not x.size and all([x.shape[d] for d in without_masks(dims, indices)[0]])


def picked_shape(shape: tuple[int, ...], dims: Dims, indices: Any) -> tuple[int, ...]:
    """The shape of x[index], for x of this shape; IndexError for an index out of range."""
    dims, indices = without_masks(dims, indices)
    for dim, i in zip(dims, indices, strict=True):
        if not kernels.inside(i, -shape[dim], shape[dim]):
            raise IndexError
    try:
        picked = np.broadcast_shapes(*[i.shape for i in indices])
    except ValueError:
        raise IndexError from None
    rest = tuple([n for d, n in enumerate(shape) if d not in dims])
    before = dims[0] if dims[-1] - dims[0] + 1 == len(dims) else 0
    return rest[:before] + picked + rest[before:]


# ------------------------------------------------------------ reading
@primitive(half="keep")
def index(x: Any, *indices: Any, dims: Dims) -> Any:
    """y = x at the indices, a copy;  x̄ = zeros to which ȳ is added there."""
    if x.size >= kernels.SMALL or indices[0].size >= kernels.SMALL:
        found = _picked(x, dims, indices)
        if found is not None:
            return found
    try:
        if len(dims) == 1 and indices[0].dtype.kind != "b" and x.flags.c_contiguous:
            return x.take(indices[0], axis=dims[0])
        if dims == _LEADING[: len(dims)]:
            return row_major(x[indices])
        return row_major(x[full_index(dims, indices)])
    except IndexError:
        if takes_nothing(x, dims, indices):
            dims, indices = without_masks(dims, indices)
            return row_major(x[full_index(dims, [np.zeros_like(i) for i in indices])])
        raise index_error(x.shape, dims, indices) from None


def _picked(x: Any, dims: Dims, indices: Any) -> Any:
    """`index` by a kernel, or None."""
    if type(x) is not ndarray:
        return None
    first = indices[0]
    if len(dims) == 1:
        if first.dtype.kind != "b":
            return kernels.take(x, first, dims[0])
        return masks.compress(x, first) if dims[0] == 0 else None
    joined = _joined(x.shape, dims, indices) if x.flags.c_contiguous else None
    return (
        None
        if joined is None
        else kernels.take(x.reshape(joined[1]), joined[0], dims[0], checked=True)
    )


def _joined(shape: tuple[int, ...], dims: Dims, indices: Any) -> tuple[Any, tuple] | None:
    """Indices of neighbouring dimensions as one index, and the shape with these as one dimension;
    None where they are no such, or too small for a kernel.
    """
    first, last = dims[0], dims[-1]
    if last - first + 1 != len(dims) or any([i.dtype.kind == "b" for i in indices]):
        return None
    sizes = shape[first : last + 1]
    flat = kernels.combined(indices, sizes)
    if flat is None:
        return None
    return flat, (*shape[:first], math.prod(sizes), *shape[last + 1 :])


@primitive
def add_back(g: Any, *indices: Any, dims: Dims, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` to which g is added at the indices: the adjoint of `index`."""
    if type(g) is ndarray and g.size >= kernels.SMALL:
        first = indices[0]
        if len(dims) == 1 and first.dtype.kind == "b" and first.shape == size:
            found = masks.expand(g, first)
            if found is not None:
                return found
    y = (copying if type(g) is ndarray else array_module(g)).zeros(size, g.dtype)
    add_at(y, g, dims, indices)
    return y


def _add_back_fast(g: Any, x_shape: tuple[int, ...], indices: Any, dims: Dims) -> list[Any]:
    if len(dims) == 1 and type(g) is ndarray and indices[0].dtype is kernels.INT64:
        y = kernels.add_back(g, indices[0], dims[0], x_shape, check=True)
        if y is not None:
            return [y]
    elif len(dims) == 2 and dims[1] - dims[0] == 1 and type(g) is ndarray:
        y = kernels.pairs_back(g, *indices, dims[0], x_shape)
        if y is not None:
            return [y]
    return [add_back.primitive.forward(g, *indices, dims=dims, size=x_shape)]


index.joint(lambda g, x_shape, indices, dims: [add_back(g, *indices, dims=dims, size=x_shape)])
index.fast_joint(_add_back_fast)
add_back.joint(lambda g, indices, dims: [index(g, *indices, dims=dims)])


# ------------------------------------------------------------ writing
_LONG_ROWS = 256
"""Slices of at least so many elements are added one by one."""


def _add_rows(y: Any, values: Any, dim: int, index: Any) -> None:
    xp = array_module(y)
    rows = xp.moveaxis(y, dim, 0)
    shape = (*y.shape[:dim], index.size, *y.shape[dim + 1 :])
    parts = xp.moveaxis(xp.broadcast_to(values, shape), dim, 0)
    for i, part in zip(index.tolist(), parts, strict=True):
        rows[i] += part


def add_at(y: Any, values: Any, dims: Dims, indices: Any) -> None:
    """y[index] += values, where repeated places add up; in place, on checked indices."""
    xp = array_module(y)
    if not y.size:
        return
    if type(y) is ndarray and values.size and y.flags.c_contiguous:
        if _added(y, values, dims, indices):
            return
    if len(indices) == 1 and indices[0].dtype.kind == "b":  # a mask repeats nothing
        full = full_index(dims, indices)
        y[full] = y[full] + values
        return
    if len(dims) == 1 and indices[0].ndim == 1 and y.size >= _LONG_ROWS * y.shape[dims[0]]:
        _add_rows(y, values, dims[0], indices[0])
        return
    if not y.flags.c_contiguous:
        xp.add.at(y, full_index(dims, indices), values)
        return
    where = places(y.shape, dims, indices)
    values = np.broadcast_to(values, where.shape).astype(y.dtype, copy=False)
    xp.add.at(y.reshape(-1), where.reshape(-1), values.reshape(-1))


def _one_shape(shape: tuple[int, ...], index: tuple[int, ...], dim: int) -> tuple[int, ...]:
    """The shape of x[.., index, ..], for x and one index array of these shapes."""
    return (*shape[:dim], *index, *shape[dim + 1 :])


def _added(y: Any, values: Any, dims: Dims, indices: Any) -> bool:
    """`add_at` by a kernel, if there is one for these arguments."""
    dim, first = dims[0], indices[0]
    if len(indices) > 1:
        joined = _joined(y.shape, dims, indices)
        if joined is None:
            return False
        first, y = joined[0], y.reshape(joined[1])
    if first.dtype.kind == "b":
        return False
    shape = _one_shape(y.shape, first.shape, dim)
    if values.shape != shape:
        values = np.broadcast_to(values, shape)
    return kernels.add_to(y, values, first, dim, check=len(indices) == 1)


def _rows_added(y: Any, values: Any, dim: int, i: Any) -> bool:
    """`write_at` for one array of integers to which rows are added, by a kernel if there is one."""
    if i.dtype is not kernels.INT64 or type(values) is not ndarray or not y.flags.c_contiguous:
        return False
    if values.shape != _one_shape(y.shape, i.shape, dim):
        return False
    return kernels.add_to(y, values, i, dim, check=True)


def write_at(y: Any, values: Any, *indices: Any, dims: Dims, accumulate: bool) -> None:
    """y[index] = values, or += with `accumulate`; in place. A call that fails writes nothing."""
    if accumulate and len(dims) == 1 and _rows_added(y, values, dims[0], indices[0]):
        return
    full = full_index(dims, indices)
    sole_mask = len(indices) == 1 and indices[0].dtype.kind == "b"
    try:
        if sole_mask and not accumulate and np.ndim(values) == 0:
            behind = y.ndim - dims[0] - indices[0].ndim
            mask = indices[0].reshape(indices[0].shape + (1,) * behind)
            array_module(y).copyto(y, values, where=mask, casting="unsafe")
        elif not accumulate:
            if np.ndim(values) and not np.size(
                values
            ):  # of which NumPy takes shapes that do not fit
                expected = y[full].shape
                np.broadcast_to(_without_ones(values, len(expected)), expected)
            y[full] = values
        elif y.dtype.kind == "b":  # sums of bools saturate
            np.logical_or.at(y, full, values)
        else:
            expected = picked_shape(y.shape, dims, indices)
            if values.shape != expected:
                values = np.broadcast_to(_without_ones(values, len(expected)), expected)
            add_at(y, values, dims, indices)
    except IndexError:
        if takes_nothing(y, dims, indices):
            return
        raise index_error(y.shape, dims, indices) from None
    except (ValueError, TypeError):  # the latter for several dimensions behind a mask
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(np.shape(values))} cannot be broadcast "
            f"to indexing result of shape {list(y[full].shape)}"
        ) from None


def _without_ones(values: Any, ndim: int) -> Any:
    """values without leading dimensions of size one that the result does not have."""
    while values.ndim > ndim and values.shape[0] == 1:
        values = values[0]
    return values


@primitive(half="keep")
def index_put(x: Any, values: Any, *indices: Any, dims: Dims, accumulate: bool) -> Any:
    """y = x with `values` at the indices (added there, if `accumulate`).

    x̄ = ȳ, with zeros there unless accumulated;  the values get ȳ at the indices
    """
    y = duplicate(x)
    write_at(y, values, *indices, dims=dims, accumulate=accumulate)
    return y


def _index_put_vjp(
    g: Any, needs: Any, indices: Any, dims: Dims, accumulate: bool, values_shape: tuple[int, ...]
) -> list[Any]:
    below = g
    if needs[0] and not accumulate:
        below = index_put(g, 0, *indices, dims=dims, accumulate=False)
    if not needs[1]:
        return [below, None]
    picked = index(g, *indices, dims=dims)
    ones = len(values_shape) - len(picked.shape)  # leading ones, which writing passes over
    return [below, view_(picked, size=(1,) * ones + tuple(picked.shape)) if ones > 0 else picked]


index_put.joint(_index_put_vjp)
index.primitive.node_class.__name__ = "IndexBackward0"
index_put.primitive.node_class.__name__ = "IndexPutBackward0"


# ------------------------------------------------------------ in place, without a copy
def modify(x: Tensor, op: Any, kernel: Any, *args: Any, **options: Any) -> Tensor:
    """x.op_(...) where `kernel` writes the result of `op` straight into x's memory.

    Only for ops whose derivative rules look neither at x nor at the result. The kernel must check
    before it writes: a call that fails changes nothing.
    """
    needs = any([isinstance(a, Tensor) and a.requires_grad for a in args])
    check_inplace(x, needs and differentiable_dtype(x._data.dtype))
    raw = tuple([a._data if isinstance(a, Tensor) else a for a in args])
    kernel(x._data, *raw, **options)
    result = wrap(x._data)
    if (needs or x._requires_grad) and MODE.get().grad and x._data.dtype.kind not in "biu":
        op.primitive.record((x, *args), (x._data, *raw), x._data, options, (), result)
    commit(x, result)
    return x


def refuse_expanded(x: Any, name: str) -> None:
    """RuntimeError if elements of x share memory cells, where writing has no clear meaning."""
    if not x.flags.c_contiguous and any(
        [s == 0 and n > 1 for s, n in zip(x.strides, x.shape, strict=True)]
    ):
        raise RuntimeError(
            f"{name}: unsupported operation: more than one element of the written-to tensor refers "
            "to a single memory location. Please clone() the tensor before performing the "
            "operation."
        )


def check_same_dtype(name: str, x: Any, source: Any, what: str = "source") -> None:
    """RuntimeError unless both arrays have one dtype."""
    if x.dtype != source.dtype:
        raise RuntimeError(
            f"{name}: self and {what} expected to have the same dtype, but got (self) "
            f"{dtype_title(x.dtype)} and ({what}) {dtype_title(source.dtype)}"
        )
