"""One index for whole slices along a dimension, or for the flat elements: index_add, take, put, ...

All are `pick.index` and `pick.index_put` with one index array, after PyTorch's checks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.inplace import inplace
from ..core.tensor import Tensor, normalize_dim, sharing, wrap
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu.indexing import inside
from .arguments import check_fits
from .pick import check_same_dtype, index_put, modify, refuse_expanded, write_at
from .pick import index as pick_index
from .piecewise import data_of, dtype_title, finish
from .scatter import _UFUNCS, reduce_along
from .views import view_


def _integers(name: str, index: Any, long_only: bool = False) -> Any:
    if not isinstance(index, Tensor):
        kind = type(index).__name__
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {kind}")
    i = index._data
    if i.dtype == np.int64 or (i.dtype == np.int32 and not long_only):
        return i
    title = dtype_title(i.dtype)
    if long_only:
        raise RuntimeError(f"{name}(): Expected a long tensor for index, but got {title}")
    raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index but got: {title}")


def _out_of_range(i: Any, n: int) -> Any:
    """The first index outside [0, n); None if there is none."""
    if inside(i, 0, n):
        return None
    return int(i[(i < 0) | (i >= n)][0])


def _one_dim(x: Tensor) -> Tensor:
    return x if x._data.ndim else view_(x, size=(1,))


# ------------------------------------------------------------ index_select
@export("index_select")
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Any = None) -> Tensor:
    """The slices of x at the integers of the vector `index` along `dim`, in their order.

        y[i] = x[index[i]] for dim = 0;  x̄ adds ȳ back there

    IndexError for an index out of range (negative, too) or no vector, RuntimeError for another
    dtype than int32 and int64.
    """
    x = input._data
    dim = normalize_dim(dim, x.ndim)
    if not isinstance(index, Tensor) or index._data.dtype not in (np.int64, np.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    i = index._data
    if i.ndim > 1:
        raise IndexError("index_select(): Index is supposed to be a vector")
    if not x.ndim and i.size != 1:
        raise RuntimeError(
            f"index_select(): Index to scalar can have only 1 value, got {i.size} value(s)"
        )
    if _out_of_range(i, x.shape[dim] if x.ndim else 1) is not None:
        raise IndexError("index out of range in self")
    if i.ndim == 0:
        index = sharing(index, i.reshape(1))
    y = pick_index(_one_dim(input), index, dims=(dim,))
    return finish(y if x.ndim else unlinked(view_(y, size=())), out)


# ------------------------------------------------------------ index_add, index_reduce
def _add_args(name: str, x: Any, dim: int, index: Any, source: Any) -> tuple[int, Tensor]:
    """(dim, index as a vector) of index_add and index_reduce, after PyTorch's checks."""
    i = _integers(name, index)
    dim = normalize_dim(dim, x.ndim)
    if not isinstance(source, Tensor):
        raise TypeError(f"{name}(): argument 'source' must be Tensor, not {type(source).__name__}")
    if i.ndim > 1:
        raise IndexError(
            f"{name}(): Index is supposed to be a vector, but got dim: {i.ndim} with type: "
            f"{dtype_title(i.dtype)} and size: {list(i.shape)}"
        )
    s = source._data
    if s.dtype != x.dtype:
        raise RuntimeError(
            f"{name}(): self ({dtype_title(x.dtype)}) and source ({dtype_title(s.dtype)}) must "
            "have the same scalar type"
        )
    rest = [(*t.shape[:dim], *t.shape[dim + 1 :]) for t in (x, s)]
    if x.ndim != s.ndim and (x.ndim > 1 or s.ndim > 1) or (x.ndim and rest[0] != rest[1]):
        if s.ndim == 0 or x.ndim == s.ndim or i.size == s.shape[min(dim, s.ndim - 1)]:
            raise RuntimeError(
                "source tensor shape must match self tensor shape, excluding the specified "
                f"dimension. Got self.shape = {list(x.shape)} source.shape = {list(s.shape)}"
            )
    n = s.shape[dim] if s.ndim > dim else 1
    if i.size != n:
        raise RuntimeError(
            f"{name}(): Number of indices ({i.size}) should be equal to source.size(dim): ({n}), "
            f"for dim: {dim}"
        )
    if not x.ndim and s.ndim and s.size != 1:
        raise RuntimeError(
            "source tensor shape must match self tensor shape, excluding the specified dimension. "
            f"Got self.shape = [] source.shape = {list(s.shape)}"
        )
    return dim, index if i.ndim else sharing(index, i.reshape(1))


def _scaled(x: Any, source: Tensor, alpha: Any) -> Tensor:
    if x.dtype.kind in "biu" and isinstance(alpha, float):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    return source if alpha == 1 else source * alpha  # type: ignore[operator]


@export("index_add")
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1, out: Any = None
) -> Tensor:
    """x with alpha·source added to its slices at `index` along `dim`; repeated slices add up.

        y[index[i]] += α·source[i] for dim = 0;  x̄ = ȳ,  source gets α·ȳ[index]

    RuntimeError for shapes or dtypes that do not fit or an index out of range.
    """
    x = input._data
    dim, index = _add_args("index_add_", x, dim, index, source)
    _check_rows(index._data, x, dim, IndexError if x.ndim < 2 else RuntimeError)
    source = _one_dim(_scaled(x, source, alpha))
    y = index_put(_one_dim(input), source, index, dims=(dim,), accumulate=True)
    return finish(y if x.ndim else unlinked(view_(y, size=())), out)


def _check_rows(i: Any, x: Any, dim: int, error: type[Exception] = RuntimeError) -> None:
    n = x.shape[dim] if x.ndim else 1
    bad = _out_of_range(i, n)
    if bad is not None:
        raise error(f"index {bad} is out of bounds for dimension {dim} with size {n}")


def index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """In-place `index_add`."""
    x = self._data
    if not x.ndim:
        return inplace(index_add, "index_add_")(self, dim, index, source, alpha=alpha)
    refuse_expanded(x, "index_add_")
    dim, index = _add_args("index_add_", x, dim, index, source)
    _check_rows(index._data, x, dim, IndexError if x.ndim < 2 else RuntimeError)
    source = _scaled(x, source, alpha)
    return modify(self, index_put, write_at, source, index, dims=(dim,), accumulate=True)


@export("index_reduce")
def index_reduce(
    input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
    include_self: bool = True, out: Any = None,
) -> Tensor:  # fmt: skip
    """x with the slices of `source` that go to each slice (by `index`) reduced into it.

    reduce is "prod", "mean", "amax" or "amin"; x's own slice counts unless include_self is False.
    Errors as in `index_add`, IndexError for an index out of range.
    """
    if reduce not in ("mean", *_UFUNCS):
        raise RuntimeError(
            f"index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got "
            f"{reduce}."
        )
    x = input._data
    dim, index = _add_args("index_reduce_", x, dim, index, source)
    i, source = index._data, _one_dim(source)
    if _out_of_range(i, x.shape[dim] if x.ndim else 1) is not None:
        raise IndexError("index out of range in self")
    shape = source._data.shape
    every = np.broadcast_to(i.reshape((-1,) + (1,) * (len(shape) - 1 - dim)), shape)
    y = reduce_along(_one_dim(input), sharing(index, every), source, dim, reduce, include_self)
    return finish(y if x.ndim else unlinked(view_(y, size=())), out)


# ------------------------------------------------------------ index_copy, index_fill
def _copy_args(x: Any, dim: int, index: Any, source: Any) -> tuple[int, Tensor]:
    i = _integers("index_copy_", index, long_only=True)
    dim = normalize_dim(dim, x.ndim)
    s = source._data
    if i.ndim > 1:
        raise IndexError(f"index_copy_(): Index should have dimension 1 or 0 (got {i.ndim})")
    if s.ndim == 0 and i.size != 1:
        raise IndexError(
            f"index_copy_(): When source is scalar, index should have one element (got {i.size})"
        )
    if s.ndim != x.ndim and s.ndim and x.ndim:
        raise IndexError(
            "index_copy_(): When source and destination are not scalars, their dimensionality must "
            f"match. Source dimensionality ({s.ndim}), destination dimensionality ({x.ndim})"
        )
    check_same_dtype("index_copy_()", x, s)
    rest = [(*t.shape[:dim], *t.shape[dim + 1 :]) for t in (x, s)]
    if x.ndim and rest[0] != (rest[1] if s.ndim else ()):
        raise RuntimeError(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination "
            f"slice shape: {' '.join(map(str, rest[0]))} at dimension {dim} and source slice "
            f"shape: {' '.join(map(str, rest[1]))} at dimension 0."
        )
    if s.ndim and i.size != s.shape[dim]:
        raise IndexError(
            f"index_copy_(): Number of indices ({i.size}) should be equal to source.size(dim) "
            f"({s.shape[dim]})"
        )
    bad = _out_of_range(i, n := (x.shape[dim] if x.ndim else 1))
    if bad is not None:
        raise IndexError(
            f"index_copy_(): index {bad} is out of bounds for dimension {dim} with size {n}"
        )
    return dim, index if i.ndim else sharing(index, i.reshape(1))


@export("index_copy")
def index_copy(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, out: Any = None
) -> Tensor:
    """x with its slices at `index` along `dim` replaced by those of `source`.

        y[index[i]] = source[i] for dim = 0;  x̄ = ȳ with zeros there,  source gets ȳ[index]

    IndexError for an index out of range or counts that differ, RuntimeError for shapes or dtypes.
    """
    dim, index = _copy_args(input._data, dim, index, source)
    y = index_put(_one_dim(input), source, index, dims=(dim,), accumulate=False)
    return finish(y if input._data.ndim else unlinked(view_(y, size=())), out)


def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """In-place `index_copy`."""
    if not self._data.ndim:
        return inplace(index_copy, "index_copy_")(self, dim, index, source)
    dim, index = _copy_args(self._data, dim, index, source)
    return modify(self, index_put, write_at, source, index, dims=(dim,), accumulate=False)


def _fill_args(x: Any, dim: int, index: Any, value: Any) -> tuple[int, Tensor, Any]:
    if not isinstance(index, Tensor):
        raise TypeError(f"index_fill_(): argument 'index' must be Tensor, not {type(index)}")
    i = index._data
    if i.dtype != np.int64:
        raise IndexError("index_fill_(): Expected dtype int64 for index.")
    v = data_of(value)
    if np.ndim(v):
        raise RuntimeError(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with "
            f"{np.ndim(v)} dimension(s)."
        )
    dim = normalize_dim(dim, x.ndim)
    if i.ndim > 1:
        raise RuntimeError("Index has to be a vector/scalar")
    if isinstance(v, complex) and x.dtype.kind != "c":
        raise RuntimeError(
            "index_fill_(): Converting complex Scalar to non-complex type is not supported"
        )
    check_fits(v.item() if isinstance(v, (np.ndarray, np.generic)) else v, x.dtype)
    n = x.shape[dim] if x.ndim else 1
    if i.size and not (i.min() >= -n and i.max() < n):
        bad = int(i[(i < -n) | (i >= n)][0])
        raise IndexError(f"index {bad} is out of bounds for dimension {dim} with size {n}")
    if not isinstance(value, Tensor):
        value = np.asarray(v).astype(x.dtype)
    elif value.requires_grad:
        return dim, wrap(np.unique(np.where(i < 0, i + n, i))), value  # each slice counts once
    return dim, index if i.ndim else sharing(index, i.reshape(1)), value


@export("index_fill")
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """x with its slices at `index` along `dim` set to `value`, a number or a 0-d tensor.

        y[index[i]] = v for dim = 0;  x̄ = ȳ with zeros there,  v̄ = Σ ȳ there

    IndexError for an index out of range or not int64.
    """
    dim, index, value = _fill_args(input._data, dim, index, value)
    y = index_put(_one_dim(input), value, index, dims=(dim,), accumulate=False)
    return y if input._data.ndim else unlinked(view_(y, size=()))


def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """In-place `index_fill`."""
    if not self._data.ndim:
        return inplace(index_fill, "index_fill_")(self, dim, index, value)
    dim, index, value = _fill_args(self._data, dim, index, value)
    return modify(self, index_put, write_at, value, index, dims=(dim,), accumulate=False)


# ------------------------------------------------------------ flat: take, put
def _check_flat(i: Any, n: int) -> None:
    if i.size and not (i.min() >= -n and i.max() < n):
        bad = int(i[(i < -n) | (i >= n)][0])
        raise IndexError(f"out of range: tried to access index {bad} on a tensor of {n} elements.")


@export("take")
def take(input: Tensor, index: Tensor, *, out: Any = None) -> Tensor:
    """The elements at `index` of x in row-major order, in index's shape.

        y[i] = x.flat[index[i]];  x̄ adds ȳ back there

    IndexError for an index out of range (negative ones count from the end), RuntimeError for
    another dtype than int64.
    """
    _check_flat(_integers("take", index, long_only=True), input._data.size)
    return finish(pick_index(view_(input, size=(-1,)), index, dims=(0,)), out)


@export("put")
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x with `source` written to (or added at) the places `index` in row-major order.

        y.flat[index[i]] = source[i];  x̄ = ȳ with zeros there (ȳ if accumulated),  source gets ȳ
        there

    IndexError for an index out of range or another number of elements, RuntimeError for dtypes.
    """
    x, i = input._data, _integers("put_", index, long_only=True)
    s = source._data
    if s.dtype != x.dtype:
        raise RuntimeError(
            "put_(): self and source expected to have the same dtype, but got self.dtype = "
            f"{dtype_title(x.dtype)} and source.dtype = {dtype_title(s.dtype)}"
        )
    if s.size != i.size:
        raise IndexError(
            "put_(): Expected source and index to have the same number of elements, but got "
            f"source.numel() = {s.size}, index.numel() = {i.size}"
        )
    _check_flat(i, x.size)
    flat = view_(source, size=(-1,))
    y = index_put(
        view_(input, size=(-1,)),
        flat,
        sharing(index, i.reshape(-1)),
        dims=(0,),
        accumulate=bool(accumulate),
    )
    return unlinked(view_(y, size=x.shape))
