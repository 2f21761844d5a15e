"""Sums, means, extrema over dimensions, logsumexp, counting.

Rules get the gradient with the reduced dimensions put back as 1 (`kept`), so that it broadcasts
against the input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module, row_major
from ..backend.dtypes import B8, F32, F64, HALF, I64, get_default_dtype
from ..core.chores import broadcast
from ..core.primitive import as_array, primitive
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import reductions, rows
from .arguments import needed_dim, numpy_names
from .compare import eq, isnan
from .complexes import conj
from .piecewise import data_of, dtype_title, finish, where
from .products import result_target, target_of, to_dtype
from .results import AMinMax, finish_pair
from .transcendental import exp
from .views import view_

Dim = int | Sequence[int] | None
Axes = tuple[int, ...]


# ------------------------------------------------------------ dimensions
def axes_of(dim: Any, ndim: int) -> Axes:
    """The reduced axes, counted from the front; None and () mean all. Errors as in PyTorch."""
    if dim is None:
        return tuple(range(ndim))
    if isinstance(dim, (int, np.integer)):
        return (normalize_dim(int(dim), ndim),)[: ndim or 0]
    if isinstance(dim, (float, str)):
        raise TypeError(f"argument 'dim' must be int or tuple of ints, not {type(dim).__name__}")
    dims = tuple([normalize_dim(int(d), ndim) for d in dim])
    if not dims:
        return tuple(range(ndim))
    if len(set(dims)) != len(dims):
        twice = next(d for d in dims if dims.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return dims if ndim else ()


def kept(g: Any, axes: Axes, keepdim: bool, shape: tuple[int, ...]) -> Any:
    """A reduced array (or Tensor) with its reduced dimensions as 1."""
    if keepdim or not axes:
        return g
    return view_(g, size=tuple([1 if d in axes else n for d, n in enumerate(shape)]))


def kept_array(g: Any, axes: Axes, keepdim: bool, shape: tuple[int, ...]) -> Any:
    """`kept` of an array that may be used to broadcast: a 0-d one stays."""
    if keepdim or not g.ndim:
        return g
    return g.reshape([1 if d in axes else n for d, n in enumerate(shape)])


def spread(g: Any, axes: Axes, keepdim: bool, x_shape: tuple[int, ...]) -> Any:
    """A reduced array repeated over what was reduced: at once while it is small, later a view."""
    g = kept_array(g, axes, keepdim, x_shape)
    if math.prod(x_shape) >= SPREAD or type(g) is not np.ndarray:
        return broadcast(g, size=x_shape)
    y = np.empty(x_shape, g.dtype)
    y[...] = g
    return y


SPREAD = 4096
"""Elements from which a repeated gradient is worth a view: loops read the one number."""


def count_of(shape: tuple[int, ...], axes: Axes) -> int:
    """How many elements are reduced to one."""
    return math.prod([shape[a] for a in axes])


def reduced(ufunc: Any, x: Any, axes: Axes, keepdim: bool, dtype: Any = None) -> Any:
    """ufunc.reduce(x): what x.sum() and its kin do, without their detour through Python (in whose
    frames NumPy's warnings would show).
    """
    axis = None if len(axes) == x.ndim else axes  # faster without a list
    if type(x) is np.ndarray:
        return row_major(ufunc.reduce(x, axis, dtype, None, keepdim))
    name = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min"}[ufunc.__name__]
    if dtype is None and x.dtype.kind not in "biuc":
        found = cuda.launch.reduction(name, x, axes, keepdim)
        if found is not None:
            return found
    kind = {} if dtype is None else {"dtype": dtype}
    return getattr(array_module(x), name)(x, axis, keepdims=keepdim, **kind)


# ------------------------------------------------------------ sum
@primitive
def reduce_sum(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = Σ x over the axes;  x̄ = ȳ, broadcast back."""
    if x.size >= reductions.SMALL:
        y = reductions.sum(x, axes, keepdim)
        if y is not None:
            return y
    return reduced(np.add, x, axes, keepdim, I64 if x.dtype.kind in "biu" else None)


reduce_sum.vjp(
    x=lambda g, axes, keepdim, x_shape: broadcast(kept(g, axes, keepdim, x_shape), size=x_shape)
)
reduce_sum.fast(x=spread)


@export("sum")
def sum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None,
    axis: Dim = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Sum of all elements or over `dim` (one or several); of integers and bools in int64.

    y = Σ x,  x̄ = ȳ broadcast back. IndexError for a dimension that is not there.
    """
    target = None if dtype is None and out is None else result_target(dtype, out, input)
    x = input if target is None else to_dtype(input, target)
    axes = axes_of(axis if dim is None else dim, data_of(x).ndim)
    result = reduce_sum(x, axes=axes, keepdim=keepdim or keepdims)
    return finish(result if target is None else to_dtype(result, target), out)


# ------------------------------------------------------------ mean
@primitive
def reduce_mean(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = Σ x / n;  x̄ = ȳ/n, broadcast back."""
    if x.size >= reductions.SMALL or (type(x) is not np.ndarray and x.size):
        scale = 1.0 / count_of(x.shape, axes)
        if type(x) is np.ndarray:
            y = reductions.sum(x, axes, keepdim, scale)
        else:
            y = cuda.launch.reduction("sum", x, axes, keepdim, scale=scale)
        if y is not None:
            return y
    return reduced(np.add, x, axes, keepdim) / x.dtype.type(count_of(x.shape, axes))


reduce_mean.vjp(
    x=lambda g, axes, keepdim, x_shape: broadcast(
        kept(g * (1.0 / max(count_of(x_shape, axes), 1)), axes, keepdim, x_shape), size=x_shape
    )
)


def _mean_fast(g: Any, axes: Axes, keepdim: bool, x_shape: tuple[int, ...]) -> Any:
    g = as_array(g * g.dtype.type(1.0 / (count_of(x_shape, axes) or 1)))
    return spread(g, axes, keepdim, x_shape)


reduce_mean.fast(x=_mean_fast)


def is_floating(x: Any) -> bool:
    """Whether an array (or Tensor) has a floating or complex dtype."""
    dtype = data_of(x).dtype
    return dtype is F32 or dtype.kind in "fc" or dtype in HALF


@export("mean")
def mean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None,
    axis: Dim = None, keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Mean of all elements or over `dim` (one or several).

    y = (1/n) Σ x,  x̄ = ȳ/n. RuntimeError for integers without a floating `dtype`.
    """
    x = to_dtype(input, target_of(dtype))
    if not is_floating(x):
        what = "Input" if dtype is None else "Optional"
        raise RuntimeError(
            f"mean(): could not infer output dtype. {what} dtype must be either a floating point "
            f"or complex dtype. Got: {dtype_title(x._data.dtype)}"
        )
    axes = axes_of(axis if dim is None else dim, x._data.ndim)
    return finish(reduce_mean(x, axes=axes, keepdim=keepdim or keepdims), out)


# ------------------------------------------------------------ without nan
@export("nansum")
@numpy_names
def nansum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """Sum that counts nan as zero; its gradient there is zero, too. RuntimeError if complex."""
    if input._data.dtype.kind == "c":
        raise RuntimeError("nansum does not support complex inputs")
    clean = where(isnan(input), 0, input) if is_floating(input) else input
    return finish(sum(clean, dim, keepdim, dtype=dtype), out)


@export("nanmean")
@numpy_names
def nanmean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """Mean of the elements that are not nan; its gradient at nan is zero."""
    if not is_floating(input):
        raise RuntimeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{dtype_title(input._data.dtype)}"
        )
    count = sum(eq(input, input), dim, keepdim)
    total: Any = sum(where(isnan(input), 0, input), dim, keepdim, dtype=dtype)
    return finish(total / count, out)


# ------------------------------------------------------------ extrema
@primitive(half="keep")
def reduce_amax(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = max x;  x̄ = ȳ shared equally by all elements that attain it. nan wins."""
    y = reductions.extremum(x, axes, keepdim, True)
    return reduced(np.maximum, x, axes, keepdim) if y is None else y


@primitive(half="keep")
def reduce_amin(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = min x;  x̄ = ȳ shared equally by all elements that attain it. nan wins."""
    y = reductions.extremum(x, axes, keepdim, False)
    return reduced(np.minimum, x, axes, keepdim) if y is None else y


def _extremum_vjp(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    here = eq(x, kept(y, axes, keepdim, x_shape))
    count = reduce_sum(here, axes=axes, keepdim=True)
    return where(here, kept(g, axes, keepdim, x_shape) / count, 0)


def _extremum_fast(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    x_bar = reductions.share(g, x, y, axes)
    if x_bar is not None:
        return x_bar
    if x.dtype is not F32 and x.dtype is not F64:
        return _extremum_vjp(g, x, y, axes, keepdim, x_shape)
    here = x == kept_array(y, axes, keepdim, x_shape)
    count = np.add.reduce(here, axes, x.dtype, None, True)
    return np.where(here, kept_array(g, axes, keepdim, x_shape) / count, x.dtype.type(0))


for _op in (reduce_amax, reduce_amin):
    _op.vjp(x=_extremum_vjp)
    _op.fast(x=_extremum_fast)


def _extremum_axes(name: str, x: Any, dim: Any) -> Axes:
    axes = axes_of(dim, x.ndim)
    if x.dtype.kind == "c":
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{dtype_title(x.dtype)}'")
    empty = next((a for a in axes if x.shape[a] == 0), None)
    if not x.size and (dim is None or dim == ()):
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the "
            "reduction dim with the 'dim' argument."
        )
    if empty is not None:
        raise IndexError(f"{name}(): Expected reduction dim {empty} to have non-zero size.")
    return axes


@export("amax")
def amax(
    input: Tensor, dim: Dim = (), keepdim: bool = False, *, out: Any = None, axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Maximum of all elements or over `dim`; those that attain it share the gradient.

    nan wins. IndexError for an empty dimension.
    """
    axes = _extremum_axes("amax", input._data, dim if axis is None else axis)
    keepdim = keepdim or keepdims
    return finish(reduce_amax(input, axes=axes, keepdim=keepdim), out, same_dtype=True)


@export("amin")
def amin(
    input: Tensor, dim: Dim = (), keepdim: bool = False, *, out: Any = None, axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """Minimum of all elements or over `dim`; those that attain it share the gradient.

    nan wins. IndexError for an empty dimension.
    """
    axes = _extremum_axes("amin", input._data, dim if axis is None else axis)
    keepdim = keepdim or keepdims
    return finish(reduce_amin(input, axes=axes, keepdim=keepdim), out, same_dtype=True)


@export("aminmax")
@numpy_names
def aminmax(
    input: Tensor, *, dim: int | None = None, keepdim: bool = False, out: Any = None
) -> Any:
    """(min, max) of all elements or along `dim`; those that attain them share the gradients."""
    axes = _extremum_axes("aminmax", input._data, dim)
    low, high = [f(input, axes=axes, keepdim=keepdim) for f in (reduce_amin, reduce_amax)]
    return finish_pair(AMinMax(low, high), out)


# ------------------------------------------------------------ truth and counting
@primitive(half="keep")
def reduce_truth(x: Any, *, test: str, axes: Axes, keepdim: bool) -> Any:
    """Whether all (or any) elements over the axes are not zero."""
    true = x if x.dtype == B8 else x != 0
    y = true.all(axis=axes, keepdims=keepdim) if test == "all" else true.any(axes, keepdims=keepdim)
    return row_major(y.astype(x.dtype) if x.dtype == np.uint8 else y)


def _truth(test: str, input: Tensor, dim: Dim, keepdim: bool, out: Any) -> Tensor:
    none = dim is not None and not isinstance(dim, (int, np.integer)) and not len(dim)
    axes = () if none else axes_of(dim, input._data.ndim)
    if out is not None and out._data.dtype not in (B8, np.uint8):
        raise RuntimeError(
            f"{test} only supports bool tensor for result, got: {dtype_title(out._data.dtype)}"
        )
    return finish(reduce_truth(input, test=test, axes=axes, keepdim=keepdim), out)


@export("all")
def all(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Tensor:
    """Whether all elements are true, or all over `dim` (bool; of uint8 again uint8)."""
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _truth("all", input, dim, keepdim, out)


@export("any")
def any(
    input: Tensor,
    dim: Dim = None,
    keepdim: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
    keepdims: bool = False,
) -> Tensor:
    """Whether any element is true, or any over `dim` (bool; of uint8 again uint8)."""
    dim = dim if axis is None else axis
    keepdim = keepdim or keepdims
    return _truth("any", input, dim, keepdim, out)


@primitive
def count_true(x: Any, *, axes: Axes) -> Any:
    """How many elements are not zero."""
    return (x != 0).sum(axis=axes, dtype=I64)


@export("count_nonzero")
def count_nonzero(input: Tensor, dim: Dim = None, *, axis: Any = None) -> Tensor:
    """The number (int64) of elements that are not zero, of all or over `dim`."""
    dim = dim if axis is None else axis
    return count_true(input, axes=axes_of(dim, input._data.ndim))


# ------------------------------------------------------------ logsumexp
@primitive
def reduce_logsumexp(x: Any, *, axes: Axes, keepdim: bool) -> Any:
    """y = log Σ eˣ = m + log Σ e^(x−m), m = max x (0 if infinite);  x̄ = ȳ e^(x−y)."""
    result = rows.logsumexp(x, axes, keepdim)
    if result is not None:
        return result
    xp = array_module(x)
    if not x.size:
        return xp.log(reduced(np.add, x, axes, keepdim))
    m = reduced(np.maximum, x.real, axes, True)
    m = xp.where(xp.isfinite(m), m, 0)
    y = xp.log(reduced(np.add, xp.exp(x - m), axes, True)) + m
    return y if keepdim else xp.squeeze(y, axis=axes)


def _logsumexp_vjp(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    y = kept(y, axes, keepdim, x_shape)
    return kept(g, axes, keepdim, x_shape) * conj(exp(x - where(eq(y, -math.inf), 0, y)))


def _logsumexp_fast(g: Any, x: Any, y: Any, axes: Any, keepdim: bool, x_shape: Any) -> Any:
    x_bar = rows.logsumexp_backward(g, x, y, axes)
    return _logsumexp_vjp(g, x, y, axes, keepdim, x_shape) if x_bar is None else x_bar


reduce_logsumexp.vjp(x=_logsumexp_vjp)
reduce_logsumexp.fast(x=_logsumexp_fast)


@export("logsumexp", "special.logsumexp")
def logsumexp(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, out: Any = None, axis: Dim = None,
    keepdims: bool = False,
) -> Tensor:  # fmt: skip
    """log Σ exp x over `dim`, without overflow; integers become the default dtype.

    y = log Σ eˣ,  x̄ = ȳ·softmax(x)
    """
    if not is_floating(input):
        input = to_dtype(input, get_default_dtype().np)
    axes = axes_of(needed_dim("logsumexp", dim, axis), input._data.ndim)
    return finish(reduce_logsumexp(input, axes=axes, keepdim=keepdim or keepdims), out)


for _op, _name in (
    (reduce_sum, "Sum"), (reduce_mean, "Mean"), (reduce_amax, "Amax"), (reduce_amin, "Amin"),
    (reduce_logsumexp, "Logsumexp"),
):  # fmt: skip
    _op.primitive.node_class.__name__ = f"{_name}Backward0"
