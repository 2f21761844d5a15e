"""gather and scatter: one index for every element, along one dimension.

    gather   y[i][j] = x[index[i][j]][j]      (dim = 0; other dimensions and ranks alike)
    scatter  y = x, then y[index[i][j]][j] = src[i][j], or reduced with what is there

Each is the other's derivative. `index` may be smaller than x (and src larger than index) in any
dimension: only the elements at its places take part.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.chores import duplicate
from ..core.inplace import inplace
from ..core.primitive import primitive
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from ..kernels.cpu import along, copying
from ..kernels.cpu.indexing import inside
from .arguments import check_fits, numpy_names
from .arithmetic import div
from .compare import eq
from .dims import expand_
from .pick import modify, refuse_expanded, row_steps
from .piecewise import finish, where
from .strides import common_shape
from .subscript import subscript
from .views import view_


# ------------------------------------------------------------ places
def _line(x: Any) -> Any:
    """A 0-d array as one of a single dimension (a view)."""
    return x if x.ndim else x.reshape(1)


def places_along(index: Any, dim: int, shape: tuple[int, ...]) -> Any:
    """Where the elements at `index` along `dim` lie in a row-major array of this shape."""
    xp, steps = array_module(index), row_steps(shape)
    y = index.astype(np.int64, copy=False) * steps[dim]
    for d, n in enumerate(index.shape):
        if d != dim and n > 1:
            y += (xp.arange(n) * steps[d]).reshape((-1,) + (1,) * (index.ndim - 1 - d))
    return y


def mesh(index: Any, dim: int) -> tuple:
    """The same places as an index that works for any strides."""
    xp, n = array_module(index), index.ndim
    parts = [xp.arange(m).reshape((-1,) + (1,) * (n - 1 - d)) for d, m in enumerate(index.shape)]
    return (*parts[:dim], index, *parts[dim + 1 :])


def check_range(index: Any, n: int, dim: int, error: type[Exception] = RuntimeError) -> None:
    """PyTorch's error for an index outside [0, n); on a GPU nothing is looked at, which would mean
    to wait.
    """
    if type(index) is np.ndarray and not inside(index, 0, n):
        bad = index[(index < 0) | (index >= n)]
        raise error(f"index {int(bad[0])} is out of bounds for dimension {dim} with size {n}")


# ------------------------------------------------------------ gather
@primitive(half="keep")
def gather_(x: Any, index: Any, *, dim: int) -> Any:
    """y = x at index along dim;  x̄ = zeros to which ȳ is added there."""
    if not index.size:
        return array_module(x).empty(index.shape, x.dtype)
    if type(x) is np.ndarray:
        found = along.gather(x, index, dim)
        if found is not None:
            return found
    i, lines = _line(index), _line(x)
    if x.flags.c_contiguous:
        return x.reshape(-1).take(places_along(i, dim, lines.shape)).reshape(index.shape)
    return lines[mesh(i, dim)].reshape(index.shape)


@primitive
def add_along(g: Any, index: Any, *, dim: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` to which g is added at index along dim: the adjoint of gather."""
    y = (copying if type(g) is np.ndarray else array_module(g)).zeros(size, g.dtype)
    _add(y, index, g, dim=dim)
    return y


gather_.vjp(x=lambda g, index, dim, x_shape: add_along(g, index, dim=dim, size=x_shape))
gather_.fast(
    x=lambda g, index, dim, x_shape: add_along.primitive.forward(g, index, dim=dim, size=x_shape)
)
add_along.vjp(g=lambda g, index, dim: gather_(g, index, dim=dim))


def _read_index(name: str, index: Any) -> Any:
    if not isinstance(index, Tensor):
        kind = type(index).__name__
        raise TypeError(f"{name}(): argument 'index' (position 2) must be Tensor, not {kind}")
    if index._data.dtype not in (np.int64, np.int32) and index._data.size:
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    return index._data


@export("gather")
def gather(
    input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None
) -> Tensor:
    """For every element of `index` the element of x at that place along `dim`.

        y[i][j][k] = x[i][index[i][j][k]][k] for dim = 1;  x̄ adds ȳ back there

    The result has index's shape. RuntimeError for ranks or sizes that do not fit, an index that is
    not integer or out of range (negative, too).
    """
    x, i = input._data, _read_index("gather", index)
    dim = normalize_dim(dim, x.ndim)
    if i.shape == x.shape and i.ndim:
        check_range(i, x.shape[dim], dim)
    elif i.size:
        if max(i.ndim, 1) != max(x.ndim, 1):
            raise RuntimeError(
                "Index tensor must have the same number of dimensions as input tensor"
            )
        for d, (m, n) in enumerate(zip(i.shape, _line(x).shape, strict=False)):
            if d != dim and m > n:
                raise RuntimeError(
                    f"Size does not match at dimension {d} expected index {list(i.shape)} to be no "
                    f"larger than self {list(x.shape)} apart from dimension {dim}"
                )
        check_range(i, _line(x).shape[dim], dim)
    return finish(gather_(input, index, dim=dim), out)


@export("take_along_dim")
@numpy_names
def take_along_dim(
    input: Tensor, indices: Tensor, dim: int | None = None, *, out: Any = None
) -> Tensor:
    """`gather` with x and `indices` broadcast against each other, but along `dim`; dim None: flat.

    Indices may be negative. RuntimeError for indices that are not int64.
    """
    i = indices._data
    if i.dtype != np.int64:
        kind = {"int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte"}.get(str(i.dtype))
        raise RuntimeError(
            "torch.take_along_dim(): dtype of indices should be Long but got "
            f"{kind or str(i.dtype).capitalize()}"
        )
    if dim is None:
        input, i, dim = view_(input, size=(-1,)), i.reshape(-1), 0
    x, ndim = input._data, i.ndim
    if x.ndim != ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {x.ndim} dimensions for input, and {ndim} dimensions for indices"
        )
    dim = normalize_dim(dim, ndim)
    common = common_shape([(*s[:dim], 1, *s[dim + 1 :]) for s in (x.shape, i.shape)])
    n = _line(x).shape[dim]
    i = np.where(i < 0, i + n, i)
    check_range(i, n, dim, IndexError)
    if ndim:
        i = np.broadcast_to(i, (*common[:dim], i.shape[dim], *common[dim + 1 :]))
        fitted = (*common[:dim], n, *common[dim + 1 :])
        input = input if x.shape == fitted else expand_(input, size=fitted)
    return finish(gather_(input, wrap(i), dim=dim), out)


# ------------------------------------------------------------ scatter
def _write(y: Any, index: Any, src: Any, *, dim: int) -> None:
    if index.size and type(y) is np.ndarray:
        values = np.broadcast_to(src, index.shape) if np.ndim(src) == 0 else src
        if along.scatter(y, index, values.astype(y.dtype, copy=False), dim):
            return
    if index.size:
        i = _line(index)
        values = src if np.ndim(src) == 0 else src.reshape(i.shape)
        if y.flags.c_contiguous:
            y.reshape(-1)[places_along(i, dim, _line(y).shape)] = values
        else:
            _line(y)[mesh(i, dim)] = values


def _add(y: Any, index: Any, src: Any, *, dim: int) -> None:
    if index.size and type(y) is np.ndarray:
        if along.scatter_add(y, index, src.astype(y.dtype, copy=False), dim):
            return
    _combine(np.add, y, index, src, dim)


def _combine(ufunc: Any, y: Any, index: Any, src: Any, dim: int) -> None:
    """y = ufunc(y, src) at index, one after the other; in place."""
    if not index.size:
        return
    i, values = _line(index), src.astype(y.dtype, copy=False)
    if y.flags.c_contiguous:
        flat = places_along(i, dim, _line(y).shape).reshape(-1)
        ufunc.at(y.reshape(-1), flat, values.reshape(-1))
    else:
        ufunc.at(_line(y), mesh(i, dim), values.reshape(i.shape))


@primitive(half="keep")
def scatter_(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    """y = x with src at index;  x̄ = ȳ with zeros there,  s̄rc = ȳ there."""
    y = duplicate(x)
    _write(y, index, src, dim=dim)
    return y


@primitive
def scatter_add_(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    """y = x to which src is added at index;  x̄ = ȳ,  s̄rc = ȳ there."""
    y = duplicate(x)
    _add(y, index, src, dim=dim)
    return y


scatter_.vjp(
    x=lambda g, index, dim: scatter_(g, index, 0, dim=dim),
    src=lambda g, index, dim: gather_(g, index, dim=dim),
)
scatter_add_.vjp(x=lambda g: g, src=lambda g, index, dim: gather_(g, index, dim=dim))


def _scatter_args(name: str, x: Any, dim: int, index: Any, src: Any) -> tuple[int, Any]:
    """(dim from the front, src cut to index's shape), after PyTorch's checks."""
    i = _read_index(name, index)
    dim = normalize_dim(dim, x.ndim)
    if isinstance(src, Tensor) and src._data.dtype != x.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    tensor = isinstance(src, Tensor)
    if i.size and i.ndim and i.shape == x.shape and (not tensor or src._data.shape == x.shape):
        check_range(i, x.shape[dim], dim)
        return dim, src
    if not i.size:  # nothing is written; an empty part of src has the index's shape
        if isinstance(src, Tensor):
            src = view_(subscript(view_(src, size=(-1,)), index=(slice(0, 0),)), size=i.shape)
        return dim, src
    if max(i.ndim, 1) != max(x.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as self tensor")
    if tensor and max(src._data.ndim, 1) != max(i.ndim, 1):
        raise RuntimeError("Index tensor must have the same number of dimensions as src tensor")
    lengths, own = _line(i).shape, _line(x).shape
    given = _line(src._data).shape if tensor else lengths
    apart = any([m > n for d, (m, n) in enumerate(zip(lengths, own, strict=True)) if d != dim])
    if apart or any([m > n for m, n in zip(lengths, given, strict=True)]):
        also = f" and to be no larger size than src {list(src.shape)}" if tensor else ""
        raise RuntimeError(
            f"Expected index {list(i.shape)} to be no larger than self {list(x.shape)} apart from "
            f"dimension {dim}{also}"
        )
    check_range(i, own[dim], dim)
    if given != lengths:
        src = subscript(src, index=tuple([slice(0, m) for m in lengths]))
    return dim, src


def _reduce_name(reduce: str) -> str:
    if reduce not in ("add", "multiply"):
        raise RuntimeError("reduce argument must be either add or multiply.")
    return "sum" if reduce == "add" else "prod"


def _source(x: Any, src: Any, value: Any) -> Any:
    """src (a tensor) or a number in x's dtype."""
    src = value if src is None else src
    if isinstance(src, Tensor):
        return src
    if not isinstance(src, (bool, int, float, complex, np.generic)):
        raise TypeError(
            f"scatter(): argument 'src' (position 3) must be Tensor, not {type(src).__name__}"
        )
    return np.asarray(check_fits(src, x.dtype)).astype(x.dtype)


@export("scatter")
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None, out: Any = None,
) -> Tensor:  # fmt: skip
    """x with `src` (a tensor or a number) written to the places of `index` along `dim`.

        y[index[i][j]][j] = src[i][j] for dim = 0;  x̄ = ȳ with zeros there,  s̄rc = ȳ there

    reduce="add" or "multiply" combines with what is there. RuntimeError for ranks, sizes or dtypes
    that do not fit, or an index out of range.
    """
    source = _source(input._data, src, value)
    if reduce is not None:
        name = _reduce_name(reduce)
        if not isinstance(source, Tensor):
            source = wrap(np.full(index._data.shape, source, input._data.dtype))
        return finish(scatter_reduce(input, dim, index, source, name), out)
    dim, source = _scatter_args("scatter", input._data, dim, index, source)
    return finish(scatter_(input, index, source, dim=dim), out)


def scatter_self(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None,
    reduce: str | None = None,
) -> Tensor:  # fmt: skip
    """In-place `scatter`."""
    refuse_expanded(self._data, "scatter_")
    if reduce is not None:
        return inplace(scatter, "scatter_")(self, dim, index, src, value=value, reduce=reduce)
    source = _source(self._data, src, value)
    dim, source = _scatter_args("scatter", self._data, dim, index, source)
    return modify(self, scatter_, _write, index, source, dim=dim)


@export("scatter_add")
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor, *, out: Any = None) -> Tensor:
    """x to which `src` is added at the places of `index` along `dim`; repeated places add up.

        y[index[i][j]][j] += src[i][j] for dim = 0;  x̄ = ȳ,  s̄rc = ȳ there

    Errors as in `scatter`.
    """
    dim, src = _scatter_args("scatter_add", input._data, dim, index, _need_tensor(src))
    return finish(scatter_add_(input, index, src, dim=dim), out)


def scatter_add_self(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """In-place `scatter_add`."""
    refuse_expanded(self._data, "scatter_add_")
    dim, src = _scatter_args("scatter_add", self._data, dim, index, _need_tensor(src))
    return modify(self, scatter_add_, _add, index, src, dim=dim)


def _need_tensor(src: Any) -> Tensor:
    if not isinstance(src, Tensor):
        raise TypeError(
            f"scatter_add(): argument 'src' (position 3) must be Tensor, not {type(src).__name__}"
        )
    return src


# ------------------------------------------------------------ scatter_reduce
_UFUNCS = {"prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _identity(reduce: str, dtype: np.dtype) -> Any:
    """What a reduction starts from where x itself does not count."""
    if reduce == "prod":
        return 1
    sign = -1 if reduce == "amax" else 1
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if sign < 0 else np.iinfo(dtype).max
    return sign > 0 if dtype.kind == "b" else sign * math.inf


@primitive
def scatter_combine(x: Any, index: Any, src: Any, *, dim: int, reduce: str) -> Any:
    """y = x multiplied by (or limited by) src at index.

    prod: s̄rc_e = ȳ·Π of the others there;  amax, amin: ȳ shared by all that attain the extremum
    """
    y = duplicate(x)
    _combine(_UFUNCS[reduce], y, index, src, dim)
    return y


def _hits(x: Any, y: Any) -> Any:
    """1 where x is y, else 0."""
    return where(eq(x, y), 1.0, 0.0)  # an array even in no dimensions, which can be added to


def _prod_vjp(g: Any, x: Any, index: Any, src: Any, dim: int) -> list[Any]:
    """The others' product: of the cell without zeros, divided by the factor; by the zeros'
    count.
    """
    zeros = scatter_add_(_hits(x, 0), index, _hits(src, 0), dim=dim)
    full = scatter_combine(
        where(eq(x, 0), 1, x), index, where(eq(src, 0), 1, src), dim=dim, reduce="prod"
    )

    def others(factor: Any, product: Any, count: Any) -> Any:
        divided = where(eq(count, 0), product / where(eq(factor, 0), 1, factor), 0)
        return where(eq(factor, 0), where(eq(count, 1), product, 0), divided)

    own = g * others(x, full, zeros)
    there = [gather_(t, index, dim=dim) for t in (g, full, zeros)]
    return [own, None, there[0] * others(src, there[1], there[2])]


def _extremum_vjp(g: Any, x: Any, index: Any, src: Any, y: Any, dim: int) -> list[Any]:
    hit_x, hit_src = _hits(x, y), _hits(src, gather_(y, index, dim=dim))
    share = g / scatter_add_(hit_x, index, hit_src, dim=dim)
    return [hit_x * share, None, hit_src * gather_(share, index, dim=dim)]


def _combine_vjp(g: Any, x: Any, index: Any, src: Any, y: Any, dim: int, reduce: str) -> list[Any]:
    if reduce == "prod":
        return _prod_vjp(g, x, index, src, dim)
    return _extremum_vjp(g, x, index, src, y, dim)


scatter_combine.joint(_combine_vjp)


@export("scatter_reduce")
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *,
    include_self: bool = True, out: Any = None,
) -> Tensor:  # fmt: skip
    """x with the elements of `src` that go to each place (by `index` along `dim`) reduced into it.

    reduce is "sum", "prod", "mean", "amax" or "amin"; x's own element counts unless include_self is
    False. Ties of amax and amin share the gradient. Errors as in `scatter`.
    """
    if reduce not in ("sum", "mean", *_UFUNCS):
        raise RuntimeError(
            f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    dim, src = _scatter_args("scatter_reduce", input._data, dim, index, _need_tensor(src))
    return finish(reduce_along(input, index, src, dim, reduce, include_self), out)


def reduce_along(
    x: Tensor, index: Tensor, src: Tensor, dim: int, reduce: str, include_self: bool
) -> Tensor:
    """scatter_reduce on checked arguments."""
    dtype = x._data.dtype
    if not include_self:
        start = 0 if reduce in ("sum", "mean") else _identity(reduce, dtype)
        x = scatter_(x, index, np.asarray(start).astype(dtype), dim=dim)
    if reduce not in ("sum", "mean"):
        return scatter_combine(x, index, src, dim=dim, reduce=reduce)
    y = scatter_add_(x, index, src, dim=dim)
    if reduce == "sum":
        return y
    count = np.full(x._data.shape, float(include_self))
    _add(count, index._data, np.ones(index._data.shape), dim=dim)
    count = wrap(np.maximum(count, 1).astype(dtype))
    return div(y, count, rounding_mode="floor") if dtype.kind in "iu" else y / count


for _op, _name in (
    (gather_, "Gather"), (add_along, "GatherBackward"), (scatter_, "Scatter"),
    (scatter_add_, "ScatterAdd"), (scatter_combine, "ScatterReduce"),
):  # fmt: skip
    _op.primitive.node_class.__name__ = f"{_name}Backward0"
