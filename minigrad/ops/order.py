"""Sorting and what follows from it: sort, topk, quantiles.

The order is found in plain arrays; values are gathered by it, and gradients go back the same way.
Equal elements keep their order, nan counts as the largest number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.tensor import Tensor, normalize_dim, wrap
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu import sorting as kernels
from .arguments import numpy_names
from .arithmetic import add, sub
from .dims import movedim
from .extrema import comparable, lines
from .piecewise import finish, floor, where
from .results import Sort, TopK, finish_pair
from .scatter import gather_
from .views import view_


def sorted_places(x: Any, dim: int, descending: bool) -> Any:
    """The stable order along dim. Descending is the ascending order of the reversed, reversed."""
    x = comparable(x)
    if x.size >= kernels.SMALL and type(x) is np.ndarray:
        found = kernels.order(x, dim, descending)
        if found is not None:
            return found
    if not descending:
        return x.argsort(axis=dim, kind="stable")
    back = (slice(None),) * dim + (slice(None, None, -1),)
    return x.shape[dim] - 1 - x[back].argsort(axis=dim, kind="stable")[back]


def _order(input: Tensor, dim: int, descending: bool) -> tuple[int, Any]:
    x = input._data
    if x.dtype.kind == "c":
        raise RuntimeError("Sort does not support complex dtypes on CPU")
    dim = normalize_dim(dim, x.ndim)
    return dim, sorted_places(lines(x), dim, bool(descending)).reshape(x.shape)


@export("sort")
def sort(
    input: Tensor, *args: Any, dim: int = -1, descending: bool = False, stable: bool | None = None,
    out: Any = None, axis: Any = None,
) -> Any:  # fmt: skip
    """The elements along `dim` in ascending (or descending) order, and where they were.

    `sort(x, dim=-1, descending=False, *, stable=...)` gives (values, indices). Equal elements
    always keep their order; nan counts as the largest. x̄ has ȳ at the places they came from.
    """
    dim = dim if axis is None else axis
    if len(args) > 2:
        raise TypeError("sort() received an invalid combination of arguments")
    if args:
        dim, descending = args[0], args[1] if len(args) == 2 else descending
    dim, order = _order(input, dim, descending)
    places = wrap(order)
    return finish_pair(Sort(gather_(input, places, dim=dim), places), out)


@export("argsort")
def argsort(
    input: Tensor,
    dim: int = -1,
    descending: bool = False,
    stable: bool = False,
    *,
    out: Any = None,
    axis: Any = None,
) -> Tensor:
    """The indices (int64) that sort x along `dim`; equal elements keep their order."""
    dim = dim if axis is None else axis
    return finish(wrap(_order(input, dim, descending)[1]), out)


@export("msort")
def msort(input: Tensor, *, out: Any = None) -> Tensor:
    """Sorted along the first dimension; x̄ has ȳ at the places the elements came from."""
    return finish(sort(input, 0)[0], out)


@export("topk")
def topk(
    input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *,
    out: Any = None, axis: Any = None,
) -> Any:  # fmt: skip
    """The k largest (or smallest) elements along `dim`, in order, and their indices.

    x̄ has ȳ at their places. nan counts as the largest. RuntimeError for a k out of range.
    """
    dim = dim if axis is None else axis
    x = input._data
    if x.dtype.kind in "bc":
        kind = "bool" if x.dtype.kind == "b" else "complex"
        raise RuntimeError(f"topk does not support {kind} dtypes on CPU")
    dim = normalize_dim(dim, x.ndim)
    values = lines(comparable(x))
    n = values.shape[dim]
    if not 0 <= k <= n:
        raise RuntimeError("selected index k out of range")
    if not x.ndim:
        k = 1
    places = _top_places(values, k, dim, largest)
    index = wrap(places.reshape(x.shape) if not x.ndim else places)
    return finish_pair(TopK(gather_(input, index, dim=dim), index), out)


def _top_places(x: Any, k: int, dim: int, largest: bool) -> Any:
    xp, n = array_module(x), x.shape[dim]
    before = (slice(None),) * dim
    if k and type(x) is np.ndarray:
        found = kernels.first(x, k, dim, largest)
        if found is not None:
            return found
    if k == 0 or k == n:
        return sorted_places(x, dim, largest)[(*before, slice(0, k))]
    if largest:
        chosen = x.argpartition(n - k, axis=dim)[(*before, slice(n - k, None))]
    else:
        chosen = x.argpartition(k - 1, axis=dim)[(*before, slice(0, k))]
    chosen = xp.sort(chosen, axis=dim)  # so that equal elements come in their order
    best = sorted_places(gather_(x, chosen, dim=dim), dim, largest)
    return gather_(chosen, best, dim=dim)


# ------------------------------------------------------------ quantiles
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check_quantile(name: str, x: Any, q: Any, interpolation: str) -> None:
    if not x.size:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if x.dtype.kind != "f" or x.dtype.itemsize < 4:
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if isinstance(q, Tensor):
        if q._data.ndim > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
        if q._data.dtype != x.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
        if not ((q._data >= 0) & (q._data <= 1)).all():
            raise RuntimeError(f"{name}() q values must be in the range [0, 1]")
    elif not 0 <= q <= 1:
        raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str
) -> Tensor:
    x = input._data
    _check_quantile(name, x, q, interpolation)
    d = 0 if dim is None else normalize_dim(dim, x.ndim)
    kept = tuple([1 if dim is None or i == d else n for i, n in enumerate(x.shape)])
    if dim is None or not x.ndim:
        rows = view_(input, size=(x.size,))
    else:
        rows = movedim(input, d, -1)
    if not isinstance(q, Tensor):
        q = wrap(np.asarray(q, x.dtype))
    scalar = not q._data.ndim
    result = _at_ranks(sort(rows)[0], view_(q, size=(-1,)), name == "nanquantile", interpolation)
    count = q._data.size
    result = view_(movedim(result, -1, 0), size=(count, *kept))
    size = kept if keepdim else kept[:d] + kept[d + 1 :] if dim is not None else ()
    return unlinked(view_(result, size=size if scalar else (count, *size)))


def _at_ranks(ordered: Tensor, q: Any, skip_nan: bool, interpolation: str) -> Tensor:
    """The values at the ranks q·(n − 1) of rows sorted along the last dimension."""
    x = ordered._data
    xp, n = array_module(x), x.shape[-1]
    nans = xp.isnan(x)
    last = xp.asarray(n - 1.0, x.dtype).reshape((1,) * x.ndim)
    if skip_nan:
        last = xp.maximum(n - nans.sum(axis=-1, keepdims=True) - 1, 0).astype(x.dtype)
    rank = q * wrap(last)
    if not skip_nan and nans.any():  # sorted, nan is last: these rows take it whatever q is
        rank = where(wrap(nans[..., -1:]), n - 1, rank)
    shape = (*x.shape[:-1], q._data.size)
    r = xp.broadcast_to(rank._data, shape)
    if interpolation == "lower":
        r = xp.floor(r)
    elif interpolation == "higher":
        r = xp.ceil(r)
    elif interpolation == "nearest":
        r = xp.rint(r)
    low = gather_(ordered, wrap(xp.floor(r).astype(np.int64)), dim=x.ndim - 1)
    if interpolation not in ("linear", "midpoint"):
        return low
    high = gather_(ordered, wrap(xp.ceil(r).astype(np.int64)), dim=x.ndim - 1)
    weight = 0.5 if interpolation == "midpoint" else sub(rank, floor(rank.detach()))
    return add(low, weight * (high - low))


@export("quantile")
@numpy_names
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Any = None,
) -> Tensor:  # fmt: skip
    """The q-quantiles (q a number or a vector, in [0, 1]) of all elements or along `dim`.

        y = x₍ᵢ₎ + (r − i)(x₍ᵢ₊₁₎ − x₍ᵢ₎),  r = q(n − 1),  i = ⌊r⌋

    A vector q adds a first dimension. interpolation: linear, lower, higher, midpoint or nearest.
    nan where there is a nan. RuntimeError for an empty x, other dtypes than float32 and float64.
    """
    return finish(_quantile("quantile", input, q, dim, keepdim, interpolation), out, True)


@export("nanquantile")
@numpy_names
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *,
    interpolation: str = "linear", out: Any = None,
) -> Tensor:  # fmt: skip
    """The q-quantiles of the elements that are not nan: as `quantile`."""
    return finish(_quantile("nanquantile", input, q, dim, keepdim, interpolation), out, True)
