"""Extrema, medians and the mode, with their places.

Whatever picks an element finds its place first, in plain arrays; the value is then gathered from
there, and so its gradient goes to that place. Over all elements the gradient is shared by those
that are equal to the result. nan counts as the largest number, and as the smallest for min.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64, HALF
from ..core.primitive import as_array, primitive
from ..core.tensor import Tensor, normalize_dim, sharing, wrap
from ..export import export
from ..kernels.cpu import reductions
from .arguments import need_tensors, numpy_names
from .compare import eq
from .elementwise import maximum, minimum
from .piecewise import dtype_title, finish, refuse, where, zeros_as
from .results import KthValue, Max, Median, Min, Mode, NanMedian, finish_pair
from .scatter import add_along, gather_
from .sums import kept, reduce_sum, reduced


def comparable(x: Any) -> Any:
    """x in a dtype that NumPy sorts and compares with nan as PyTorch does."""
    return x.astype(F32) if x.dtype in HALF else x


def lines(x: Any) -> Any:
    """A 0-d array as one of a single dimension (a view)."""
    return x if x.ndim else x.reshape(1)


def pick(input: Tensor, place: Any, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The elements at `place` (which has size 1 along dim), and the places."""
    shape = input._data.shape
    shape = (*shape[:dim], 1, *shape[dim + 1 :]) if shape else ()
    index = wrap(place.astype(np.int64, copy=False).reshape(shape))
    values = pick_one(input, index, dim=dim, keepdim=keepdim)
    if keepdim:
        return values, index
    return values, sharing(index, index._data.reshape(values._data.shape))


@primitive(half="keep")
def pick_one(x: Any, index: Any, *, dim: int, keepdim: bool) -> Any:
    """The element of each line along dim that `index`, of size 1 there, names;  x̄ has ȳ there."""
    y = gather_.primitive.forward(x, index, dim=dim)
    return y if keepdim or not x.ndim else y.reshape((*x.shape[:dim], *x.shape[dim + 1 :]))


pick_one.vjp(
    x=lambda g, index, dim, keepdim, x_shape: add_along(
        kept(g, (dim,), keepdim or not x_shape, x_shape), index, dim=dim, size=x_shape
    )
)
pick_one.fast(
    x=lambda g, index, dim, keepdim, x_shape: add_along.primitive.forward(
        g.reshape(index.shape), index, dim=dim, size=x_shape
    )
)


def check_dim(name: str, x: Any, dim: int) -> int:
    """`dim` from the front; IndexError if it is not there or has nothing to reduce."""
    dim = normalize_dim(dim, x.ndim)
    if x.ndim and not x.shape[dim]:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
    return dim


# ------------------------------------------------------------ one of all elements
def _share_fast(g: Any, x: Any, y: Any) -> Any:
    if type(x) is np.ndarray and y == y:
        x_bar = reductions.share(g, x, y, tuple(range(x.ndim)))
        if x_bar is not None:
            return x_bar
    if (x.dtype is F32 or x.dtype is F64) and y == y:
        here = x == y
        zero = x.dtype.type(0)
        return np.where(here, zero + g / np.count_nonzero(here), zero)
    return _share_vjp(g, x, y)


def _share_vjp(g: Any, x: Any, y: Any) -> Any:
    """ȳ shared equally by all elements that equal the result (nan equals nan)."""
    here = eq(x, y) | ((x != x) & (y != y))
    axes = tuple(range(len(x.shape)))
    return where(here, g / reduce_sum(here, axes=axes, keepdim=True), zeros_as(g))


@primitive(half="keep")
def max_all(x: Any) -> Any:
    """y = the largest element;  x̄ = ȳ shared equally by all that attain it."""
    axes = tuple(range(x.ndim))
    y = reductions.extremum(x, axes, False, True)
    return reduced(np.maximum, x, axes, False) if y is None else y


@primitive(half="keep")
def min_all(x: Any) -> Any:
    """y = the smallest element;  x̄ = ȳ shared equally by all that attain it."""
    axes = tuple(range(x.ndim))
    y = reductions.extremum(x, axes, False, False)
    return reduced(np.minimum, x, axes, False) if y is None else y


@primitive
def median_all(x: Any, *, skip_nan: bool) -> Any:
    """y = the lower median;  x̄ = ȳ shared equally by all elements equal to it."""
    flat = x.reshape(-1)
    place = _median_place(flat, 0, skip_nan)
    return flat[int(place[0])]


for _op, _name in ((max_all, "Max"), (min_all, "Min"), (median_all, "Median")):
    _op.vjp(x=_share_vjp)
    _op.fast(x=_share_fast)
    _op.primitive.node_class.__name__ = f"{_name}Backward1"


# ------------------------------------------------------------ argmax, argmin
def _place(which: str, x: Any, dim: int) -> Any:
    x = lines(comparable(x))
    y = reductions.place(x, dim, which == "max")
    if y is not None:
        return y
    return x.argmax(axis=dim) if which == "max" else x.argmin(axis=dim)


def _arg(which: str, input: Tensor, dim: int | None, keepdim: bool, out: Any) -> Tensor:
    x = input._data
    if type(dim) is int and 0 < x.size < reductions.SMALL and x.dtype is F32 and x.ndim > 1:
        if -x.ndim <= dim < x.ndim and type(x) is np.ndarray and not keepdim and out is None:
            return wrap(x.argmax(dim) if which == "max" else x.argmin(dim))
    name = f"arg{which}"
    if x.dtype.kind in "bc":
        kind = "bool" if x.dtype.kind == "b" else "complex"
        raise RuntimeError(f"{name}(): does not support {kind} input")
    if dim is None:
        if not x.size:
            raise IndexError(
                f"{name}(): Expected reduction dim to be specified for input.numel() == 0."
            )
        place = as_array(_place(which, x.reshape(-1), 0))
        return finish(wrap(place.reshape((1,) * x.ndim if keepdim else ())), out, True)
    dim = check_dim(name, x, dim)
    place = array_module(x).asarray(_place(which, x, dim))
    kept = tuple([1 if d == dim else n for d, n in enumerate(x.shape)])
    return finish(wrap(place.reshape(kept) if keepdim or not x.ndim else place), out, True)


@export("argmax")
def argmax(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Tensor:
    """The index (int64) of the largest element, along `dim` or in row-major order.

    The first of equals, or of nans. IndexError for an empty dimension, RuntimeError for bools.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _arg("max", input, dim, keepdim, out)


@export("argmin")
def argmin(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Tensor:
    """The index (int64) of the smallest element, along `dim` or in row-major order.

    The first of equals, or of nans. IndexError for an empty dimension, RuntimeError for bools.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _arg("min", input, dim, keepdim, out)


# ------------------------------------------------------------ max, min
def _extremum(
    which: str, input: Tensor, args: tuple, dim: Any, keepdim: Any, other: Any, out: Any
) -> Any:
    """The three functions that PyTorch calls max (or min)."""
    if not isinstance(input, Tensor):
        need_tensors(which, input, names=("input",))
    if args and isinstance(args[0], Tensor):
        other, args = args[0], args[1:]
    if len(args) > 2 or (args and (dim is not None or other is not None)):
        raise TypeError(f"{which}() received an invalid combination of arguments")
    if args:
        dim = args[0]
        keepdim = args[1] if len(args) == 2 else keepdim
    if other is not None:
        return (maximum if which == "max" else minimum)(input, other, out=out)
    x = input._data
    if dim is None:
        refuse(f"{which}_all", x, "c")
        if not x.size:
            raise RuntimeError(
                f"{which}(): Expected reduction dim to be specified for input.numel() == 0. "
                "Specify the reduction dim with the 'dim' argument."
            )
        return finish((max_all if which == "max" else min_all)(input), out)
    if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)):
        raise TypeError(
            f"{which}(): argument 'dim' (position 1) must be int, not {type(dim).__name__}"
        )
    if x.dtype.kind == "c":
        raise RuntimeError(f"{which}(): does not support complex input")
    dim = check_dim(which, x, int(dim))
    place = array_module(x).asarray(_place(which, x, dim))
    named = Max if which == "max" else Min
    return finish_pair(named(*pick(input, place, dim, bool(keepdim))), out)


@export("max")
def max(
    input: Tensor, *args: Any, dim: int | None = None, keepdim: bool = False, other: Any = None,
    out: Any = None, axis: Any = None, keepdims: bool = False,
) -> Any:  # fmt: skip
    """The largest: `max(x)` of all, `max(x, dim, keepdim=False)` along `dim`, `max(x, other)`.

    Of all elements, the gradient is shared by those that attain it. Along a dimension the result is
    (values, indices), the first of equals counts and gets the gradient. nan wins. The third form is
    `maximum`. IndexError for an empty dimension.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _extremum("max", input, args, dim, keepdim, other, out)


@export("min")
def min(
    input: Tensor, *args: Any, dim: int | None = None, keepdim: bool = False, other: Any = None,
    out: Any = None, axis: Any = None, keepdims: bool = False,
) -> Any:  # fmt: skip
    """The smallest: `min(x)` of all, `min(x, dim, keepdim=False)` along `dim`, `min(x, other)`.

    As `max`; the third form is `minimum`.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _extremum("min", input, args, dim, keepdim, other, out)


# ------------------------------------------------------------ kthvalue, median, mode
@export("kthvalue")
@numpy_names
def kthvalue(
    input: Tensor, k: int, dim: int = -1, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The k-th smallest (k from 1) along `dim` and its index: (values, indices).

    x̄ has ȳ at that place. RuntimeError for a k out of range.
    """
    x = input._data
    refuse("kthvalue_cpu", x, "bc")
    dim = normalize_dim(dim, x.ndim)
    n = lines(x).shape[dim]
    if not 1 <= k <= n:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}")
    order = lines(comparable(x)).argpartition(k - 1, axis=dim)
    place = order[(slice(None),) * dim + (slice(k - 1, k),)]
    return finish_pair(KthValue(*pick(input, place, dim, keepdim)), out)


def _median_place(x: Any, dim: int, skip_nan: bool) -> Any:
    """Where the lower median is, with size 1 along dim."""
    xp, n = array_module(x), x.shape[dim]
    x = comparable(x)
    middle = (slice(None),) * dim + (slice((n - 1) // 2, (n - 1) // 2 + 1),)
    nan = xp.isnan(x) if x.dtype.kind == "f" else None
    if nan is None or not nan.any():
        return x.argpartition((n - 1) // 2, axis=dim)[middle]
    if not skip_nan:
        place = x.argpartition((n - 1) // 2, axis=dim)[middle]
        first = xp.expand_dims(nan.argmax(axis=dim), dim)
        return xp.where(nan.any(axis=dim, keepdims=True), first, place)
    count = n - nan.sum(axis=dim, keepdims=True)
    return xp.take_along_axis(
        x.argsort(axis=dim, kind="stable"), xp.maximum(count - 1, 0) // 2, axis=dim
    )


def _median(name: str, input: Tensor, dim: Any, keepdim: bool, out: Any, named: Any) -> Any:
    x = input._data
    if x.dtype.kind in "bc":
        raise NotImplementedError(f"\"median_cpu\" not implemented for '{dtype_title(x.dtype)}'")
    if dim is None:
        if not x.size:
            empty = math.nan if x.dtype.kind in "fV" else np.iinfo(x.dtype).min
            return wrap(np.asarray(empty).astype(x.dtype))
        return finish(median_all(input, skip_nan=name == "nanmedian"), out)
    dim = check_dim(name, x, dim)
    place = _median_place(lines(x), dim, name == "nanmedian")
    return finish_pair(named(*pick(input, place, dim, keepdim)), out)


@export("median")
def median(
    input: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Any:
    """The lower median of all elements, or along `dim` with its index: (values, indices).

    nan if there is any. The gradient goes to that place; of all elements, to all equal to it.
    """
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _median("median", input, dim, keepdim, out, Median)


@export("nanmedian")
@numpy_names
def nanmedian(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, out: Any = None
) -> Any:
    """The lower median of the elements that are not nan: as `median`."""
    return _median("nanmedian", input, dim, keepdim, out, NanMedian)


@export("mode")
@numpy_names
def mode(input: Tensor, dim: int = -1, keepdim: bool = False, *, out: Any = None) -> Any:
    """The most frequent element along `dim` (of several the smallest) and the index of its last.

    x̄ has ȳ at that place. IndexError for an empty dimension.
    """
    x = input._data
    refuse("mode", x, "c")
    dim = check_dim("mode", x, dim)
    xp, values = array_module(x), lines(comparable(x))
    values = xp.moveaxis(values, dim, -1)
    order = values.argsort(axis=-1, kind="stable")
    ordered = xp.take_along_axis(values, order, -1)
    n = ordered.shape[-1]
    new = xp.ones(ordered.shape, bool)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    start = np.maximum.accumulate(xp.where(new, xp.arange(n), 0), axis=-1)
    longest = (xp.arange(n) - start).argmax(axis=-1)  # the end of the first longest run
    place = xp.take_along_axis(order, longest[..., None], -1)
    return finish_pair(Mode(*pick(input, xp.moveaxis(place, -1, dim), dim, keepdim)), out)
