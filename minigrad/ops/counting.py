"""Counting and searching, without derivatives: unique, searchsorted, bincount, histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64
from ..core.node import without_derivative
from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from .extrema import comparable
from .order import sorted_places
from .piecewise import dtype_title, finish, refuse
from .results import Histogram, HistogramDD, finish_pair


# ------------------------------------------------------------ unique
def _runs(xp: Any, new: Any, order: Any, shape: Any) -> tuple[Any, Any, Any]:
    """(where runs start, the run of every element in the old order, the lengths)."""
    starts = xp.flatnonzero(new)
    inverse = xp.empty(new.size, np.int64)
    run = xp.cumsum(new) - 1
    inverse[slice(None) if order is None else order] = run
    lengths = xp.diff(xp.append(starts, new.size))
    return starts, inverse.reshape(shape), lengths


def _first_of_runs(xp: Any, x: Any) -> Any:
    """Which elements (rows) differ from the one before; nan differs from itself."""
    new = xp.ones(len(x), bool)
    differs = x[1:] != x[:-1]
    new[1:] = differs.any(axis=tuple(range(1, x.ndim))) if x.ndim > 1 else differs
    return new


def _unique(x: Any, dim: int | None, sort: bool) -> tuple[Any, Any, Any]:
    xp = array_module(x)
    if dim is None:
        rows, shape = x.reshape(-1), x.shape
    else:
        _check_sizes(x, dim)
        rows, shape = xp.moveaxis(x, dim, 0), x.shape[dim]
    order = None
    if sort and dim is None:
        order = sorted_places(rows, 0, False)
    elif sort:
        flat = comparable(rows).reshape(len(rows), math.prod(rows.shape[1:]))
        order = xp.lexsort(flat.T[::-1]) if flat.shape[1] else xp.arange(len(rows))
    ordered = rows if order is None else rows[order]
    starts, inverse, counts = _runs(xp, _first_of_runs(xp, ordered), order, shape)
    found = ordered[starts]
    return (found if dim is None else xp.moveaxis(found, 0, dim)), inverse, counts


def _check_sizes(x: Any, dim: int) -> None:
    zeros = x.shape.count(0)
    if zeros > 1:
        raise RuntimeError(
            "Number of zero sized dimensions is more than one, so unique cannot be applied"
        )
    if zeros == 1 and x.shape[dim] != 0:
        raise RuntimeError(
            "There are 0 sized dimensions, and they aren't selected, so unique cannot be applied"
        )


def _answer(
    name: str, input: Tensor, parts: tuple, return_inverse: bool, return_counts: bool
) -> Any:
    values, inverse, counts = [wrap(p) for p in parts]
    without_derivative(name, values, input)
    chosen = [values, *[inverse] * return_inverse, *[counts] * return_counts]
    return tuple(chosen) if len(chosen) > 1 else values


def _unique_dim(x: Any, dim: int | None) -> int | None:
    if dim is None:
        return None
    if not x.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return normalize_dim(dim, x.ndim)


@export("unique")
def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False,
    dim: int | None = None,
) -> Any:  # fmt: skip
    """The different elements in ascending order, or the different slices along `dim`.

    Further results: `inverse`, which of them each element of x is (return_inverse), and how often
    each occurs (return_counts). nan differs from nan.
    """
    x = input._data
    refuse("unique", x, "c")
    parts = _unique(x, _unique_dim(x, dim), True)
    return _answer("aten::_unique2", input, parts, return_inverse, return_counts)


@export("unique_consecutive")
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """x without those elements (slices along `dim`) that equal their predecessor.

    Further results as in `unique`.
    """
    x = input._data
    refuse("unique", x, "c")
    parts = _unique(x, _unique_dim(x, dim), False)
    return _answer("aten::unique_consecutive", input, parts, return_inverse, return_counts)


# ------------------------------------------------------------ searchsorted
def _check_search(edges: Any, values: Any, is_number: bool, side: Any, right: bool) -> None:
    if side not in (None, "left", "right"):
        raise RuntimeError(
            f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}"
        )
    if side == "left" and right:
        raise RuntimeError(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left "
            "while right was True"
        )
    if is_number and edges.ndim != 1 or (not values.ndim and edges.ndim > 1):
        raise RuntimeError(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor "
            f"dimension is 1, but we got boundaries tensor dim({edges.ndim}) and input value's "
            f"dim({values.ndim}) numel({values.size})"
        )
    if not edges.ndim:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 "
            "dimension"
        )
    if edges.ndim > 1 and edges.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 "
            "dimensions of boundaries tensor and input value tensor must match, but we got "
            f"boundaries tensor {list(edges.shape)} and input value tensor {list(values.shape)}"
        )


def _sorted_by(edges: Any, sorter: Any) -> Any:
    s = sorter._data
    if s.dtype != np.int64:
        raise RuntimeError(
            "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype "
            f"{dtype_title(s.dtype)}"
        )
    if s.shape != edges.shape:
        raise RuntimeError(
            "torch.searchsorted(): boundary and sorter must have the same size, but got boundary "
            f"tensor {list(edges.shape)}and got sorter tensor {list(s.shape)}"
        )
    if s.size and (s.min() < 0 or s.max() >= edges.shape[-1]):
        raise RuntimeError("torch.searchsorted(): sorter index out of range")
    return array_module(edges).take_along_axis(edges, s, -1)


def _search(edges: Any, values: Any, right: bool, out_int32: bool) -> Any:
    xp, side = array_module(edges), "right" if right else "left"
    edges, values = comparable(edges), comparable(values)
    if edges.ndim == 1:
        y = xp.asarray(xp.searchsorted(edges, values, side))
    else:
        y = xp.empty(values.shape, np.int64)
        count = math.prod(edges.shape[:-1])
        rows = edges.reshape(count, edges.shape[-1])
        wanted, found = [t.reshape(count, values.shape[-1]) for t in (values, y)]
        for i, row in enumerate(rows):
            found[i] = xp.searchsorted(row, wanted[i], side)
    return wrap(y.astype(np.int32 if out_int32 else np.int64))


@export("searchsorted")
def searchsorted(
    sorted_sequence: Tensor, input: Any, *, out_int32: bool = False, right: bool = False,
    side: str | None = None, sorter: Tensor | None = None, out: Any = None,
) -> Tensor:  # fmt: skip
    """Where each value of `input` would have to be inserted to keep the last dimension sorted.

    The first such index, or the last with right=True or side="right". A 1-d sequence serves all
    values; one of more dimensions goes row by row. `sorter` is the order that sorts an unsorted
    sequence. RuntimeError for shapes that do not fit.
    """
    edges = sorted_sequence._data
    number = not isinstance(input, Tensor)
    values = np.asarray(input) if number else input._data
    _check_search(edges, values, number, side, right)
    if sorter is not None:
        edges = _sorted_by(edges, sorter)
    return finish(_search(edges, values, right or side == "right", out_int32), out)


@export("bucketize")
def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False, out: Any = None
) -> Tensor:
    """The index of the bucket between sorted `boundaries` that each value falls into.

    boundaries[i−1] < v ≤ boundaries[i], or ≤ and < with right=True.
    """
    edges = boundaries._data
    if edges.ndim != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({edges.ndim})")
    values = input._data if isinstance(input, Tensor) else np.asarray(input)
    return finish(_search(edges, values, right, out_int32), out)


# ------------------------------------------------------------ bincount
@export("bincount")
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, ... occurs in a vector of non-negative integers.

    With `weights`, their sums, in float64 unless they are float32. RuntimeError for other inputs.
    """
    x = input._data
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if x.ndim != 1 or (x.size and x.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    refuse("bincount_cpu", x, "bfcV")
    if not x.size:
        return wrap(array_module(x).zeros(minlength, np.int64))
    if weights is None:
        return wrap(array_module(x).bincount(x, minlength=minlength))
    w = weights._data
    if w.shape != x.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    y = array_module(x).bincount(x, w.astype(F64), minlength)
    return wrap(y.astype(F32) if w.dtype == F32 else y)


# ------------------------------------------------------------ histograms
@export("histc")
def histc(
    input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Any = None
) -> Tensor:
    """How many elements fall into each of `bins` equal parts of [min, max], in x's dtype.

    The last part includes its end; other elements and nan are not counted. min = max = 0 takes the
    range of the elements. RuntimeError for max < min or a range that is not finite.
    """
    x = input._data
    refuse("histogram_cpu", x, "biuc")
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    if max < min:
        raise RuntimeError("torch.histc: max must be larger than min")
    values = comparable(x.reshape(-1))
    if min == max and values.size:
        low, high = values.min(), values.max()
    else:
        low, high = min, max
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    edges = _linear_edges(float(low), float(high), bins, values.dtype)
    counts = _count([_equal_bins(values, edges)], [bins], None)
    return finish(wrap(counts.astype(x.dtype)), out)


def _linear_edges(low: float, high: float, bins: int, dtype: np.dtype) -> Any:
    return np.linspace(low, high, bins + 1).astype(dtype)


def _equal_bins(values: Any, edges: Any) -> Any:
    """The bin of each value, -1 outside, from its position and corrected by the edges."""
    xp, bins = array_module(values), len(edges) - 1
    low, high = edges[0], edges[-1]
    inside = (values >= low) & (values <= high)
    every = bool(inside.all())
    clean = values if every else xp.where(inside, values, low)
    place = ((clean - low) * bins / (high - low)).astype(np.int64)
    xp.minimum(place, bins - 1, out=place)
    place -= clean < edges.take(place)
    upper = edges[1:].copy()
    upper[-1] = np.inf  # the last bin includes its end
    place += clean >= upper.take(place)
    return place if every else xp.where(inside, place, -1)


def _given_bins(values: Any, edges: Any) -> Any:
    """The bin of each value between given edges, -1 outside; the last bin includes its end."""
    xp = array_module(values)
    place = xp.searchsorted(edges, values, "right") - 1
    place = xp.where(values == edges[-1], len(edges) - 2, place)
    inside = (values >= edges[0]) & (values <= edges[-1])
    return xp.where(inside, place, -1)


def _count(places: Sequence[Any], shape: Sequence[int], weight: Any) -> Any:
    """The number (or weight) of elements for each combination of bins."""
    xp = array_module(places[0])
    flat: Any = 0
    inside: Any = True
    for p, n in zip(places, shape, strict=True):
        flat, inside = flat * n + p, inside & (p >= 0)
    w = None if weight is None else weight[inside].astype(F64)
    return xp.bincount(flat[inside], w, math.prod(shape)).reshape(shape).astype(F64)


def _edges_of(values: Any, bins: Any, span: Any, d: int) -> tuple[Any, Any]:
    """(edges, the bin of each value) of one dimension of a histogram."""
    if isinstance(bins, Tensor):
        b = bins._data
        if b.ndim != 1:
            raise RuntimeError(
                f"torch.histogramdd: bins tensor should have one dimension, but got {b.ndim} "
                f"dimensions in the bins tensor for dimension {d}"
            )
        if b.dtype != values.dtype:
            raise RuntimeError(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but "
                f"got input with dtype {_c_name(values)} and bins for dimension {d} with dtype "
                f"{_c_name(b)}"
            )
        if not b.size:
            raise RuntimeError(
                "torch.histogramdd: bins tensor should have at least 1 element, but got 0 elements "
                f"in the bins tensor for dimension {d}"
            )
        return b.copy(), _given_bins(values, b)
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension {d}")
    if span is not None:
        low, high = span
        if low > high:
            raise RuntimeError(
                f"torch.histogramdd: min should not exceed max, but got min {low} max {high} for "
                f"dimension {d}"
            )
    elif values.size:
        low, high = values.min(), values.max()
    else:
        low, high = 0.0, 1.0
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(
            f"torch.histogramdd: dimension {d}'s range [{low}, {high}] is not finite"
        )
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = _linear_edges(float(low), float(high), bins, values.dtype)
    return edges, _equal_bins(values, edges)


def _c_name(x: Any) -> str:
    return {"float32": "float", "float64": "double"}.get(x.dtype.name) or str(x.dtype)


def _histogram(x: Any, bins: Sequence[Any], span: Any, weight: Any, density: bool) -> Any:
    """Counts of the rows of x (N, D), and the edges of each dimension."""
    refuse("histogramdd", x, "biuc")
    if weight is not None:
        if weight._data.dtype != x.dtype:
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
                f"should have the same dtype, but got input({_c_name(x)}), and "
                f"weight({_c_name(weight._data)})"
            )
        if weight._data.size != len(x):
            raise RuntimeError(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as "
                "the input tensor excluding its innermost dimension"
            )
        weight = weight._data.reshape(-1)
    spans = [None if span is None else span[2 * d : 2 * d + 2] for d in range(x.shape[1])]
    found = [_edges_of(x[:, d], b, s, d) for d, (b, s) in enumerate(zip(bins, spans, strict=True))]
    counts = _count([p for _, p in found], [len(e) - 1 for e, _ in found], weight)
    edges = [e for e, _ in found]
    if density:
        counts = counts / counts.sum()
        for d, e in enumerate(edges):
            counts = counts / np.diff(e).reshape((-1,) + (1,) * (len(edges) - 1 - d))
    return wrap(counts.astype(x.dtype)), [wrap(e) for e in edges]


@export("histogram")
def histogram(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None,
    density: bool = False, out: Any = None,
) -> Any:  # fmt: skip
    """Counts (or sums of `weight`) per bin, and the bins' edges: (hist, bin_edges).

    `bins` is their number, in equal parts of `range` (default: of the elements' range), or a vector
    of edges. The last bin includes its end. density divides by the total and the bins' widths.
    """
    x = input._data.reshape(-1, 1)
    hist, edges = _histogram(x, [bins], range, weight, density)
    result = without_derivative("aten::histogram", Histogram(hist, edges[0]), input, weight)
    return finish_pair(result, out)


@export("histogramdd")
def histogramdd(
    input: Tensor, bins: Any, *, range: Any = None, weight: Tensor | None = None,
    density: bool = False,
) -> Any:  # fmt: skip
    """Counts of points (*, D) per box of a D-dimensional grid, and its edges: (hist, bin_edges).

    `bins` is a number for all dimensions, one for each, or a vector of edges for each; `range` has
    the two ends for each. Otherwise as `histogram`.
    """
    x = input._data
    if x.ndim < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    count = x.shape[-1]
    given = [bins] * count if isinstance(bins, (int, np.integer)) else list(bins)
    if len(given) != count:
        raise RuntimeError(
            f"torch.histogramdd: expected {count} sequences of bin edges for a {count}-dimensional "
            f"histogram but got {len(given)}"
        )
    if range is not None and len(range) != 2 * count:
        raise RuntimeError(
            f"torch.histogramdd: for a {count}-dimensional histogram range should have {2 * count} "
            f"elements, but got {len(range)}"
        )
    hist, edges = _histogram(x.reshape(-1, count), given, range, weight, density)
    without_derivative("aten::histogramdd", (hist, *edges), input, weight)
    return HistogramDD(hist, tuple(edges))
