"""Linear maps along one dimension whose rows have few entries: what interpolation is made of.

A resized row is a short weighted sum of neighbouring rows, so the map is a banded matrix; padding
by copies is one as well. The compiled kernels (kernels/cpu/planes.py) go through its entries. The
formula applies it as small dense products, one for each block of outputs, which touch only the
inputs that the block needs. The transposed map, which the gradient takes, is banded as well and is
applied by the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..kernels.cpu import planes as kernels

BLOCK = 64  # outputs of one dense product: larger ones waste work, smaller ones call overhead


class Resize(NamedTuple):
    """How one dimension is resized.

    mode        "nearest", "nearest-exact", "linear", "cubic", or, with the support widened when
                shrinking, "triangle", "keys", "lanczos"; "area": means over equal shares
    size, out   length before and after
    scale       the factor the caller gave, or None: then the ratio of the lengths counts
    align       the centres of the first and of the last elements coincide (align_corners)
    """

    mode: str
    size: int
    out: int
    scale: float | None = None
    align: bool = False


class Copies(NamedTuple):
    """How one dimension is extended by copies of its own elements.

    mode           "reflect", "replicate", "circular"
    size           length before
    before, after  elements added at both ends; what a negative number says is cut
    """

    mode: str
    size: int
    before: int
    after: int

    @property
    def out(self) -> int:
        return self.size + self.before + self.after

    def source(self) -> Any:
        """For each place, the place in the original that it copies."""
        n, before, after = self.size, self.before, self.after
        if self.mode == "circular":  # what is cut is gone before the rest is continued
            first, m = max(-before, 0), n - max(-before, 0) - max(-after, 0)
            return first + np.arange(-max(before, 0), m + max(after, 0)) % max(m, 1)
        i = np.arange(-before, n + after)
        if self.mode == "reflect":
            period = 2 * (n - 1) or 1
            i = np.abs(i) % period
            return np.where(i >= n, period - i, i)
        return np.clip(i, 0, n - 1)


Map = Resize | Copies
Maps = tuple[Map | None, ...]
"""One for each of the last dimensions; None leaves one as it is."""


class Entries(NamedTuple):
    """A sparse matrix as its entries, sorted by row; (rows, columns) is its shape."""

    row: Any
    column: Any
    weight: Any
    rows: int
    columns: int


# ------------------------------------------------------------------------------ weights
def _step(how: Resize, real: Any) -> Any:
    """The distance between the sources of neighbouring outputs, in the float type `real`."""
    if how.align:
        return real((how.size - 1) / (how.out - 1)) if how.out > 1 else real(0)
    if how.scale is not None and how.scale > 0:
        return real(1.0 / how.scale)
    return real(how.size) / real(how.out)


def _places(how: Resize, real: Any) -> Any:
    i = np.arange(how.out, dtype=real)
    distance = _step(how, real)
    return i * distance if how.align else (i + real(0.5)) * distance - real(0.5)


def nearest_index(how: Resize) -> Any:
    """The source of each output: ⌊i·s⌋, or ⌊(i + ½)·s⌋ for "nearest-exact", in float32."""
    i, distance = np.arange(how.out, dtype=np.float32), _step(how, np.float32)
    if how.mode == "nearest-exact":
        i = i + np.float32(0.5)
    return np.minimum(np.floor(i * distance).astype(np.int64), how.size - 1)


def _nearest(how: Resize, real: Any) -> tuple[Any, Any]:
    return nearest_index(how)[:, None], np.ones((how.out, 1), real)


def _linear(how: Resize, real: Any) -> tuple[Any, Any]:
    place = np.maximum(_places(how, real), 0)
    low = np.minimum(place.astype(np.int64), how.size - 1)
    share = np.clip(place - low, 0, 1).astype(real)
    high = np.minimum(low + 1, how.size - 1)
    return np.stack([low, high], 1), np.stack([1 - share, share], 1)


def cubic_weights(t: Any, a: float) -> list[Any]:
    """The four weights of cubic convolution at distance t in [0, 1] past the second tap.

    Keys, "Cubic convolution interpolation for digital image processing" (1981), with slope a.
    Written with operators alone, so that t may be an array or a Tensor.
    """

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def _cubic(how: Resize, real: Any) -> tuple[Any, Any]:
    place = _places(how, real)
    low = np.minimum(np.floor(place).astype(np.int64), how.size - 1)
    share = np.clip(place - low, 0, 1).astype(real)
    index = np.clip(low[:, None] + np.arange(-1, 3), 0, how.size - 1)
    return index, np.stack(cubic_weights(share, -0.75), 1)


_TAPS = {"nearest": _nearest, "nearest-exact": _nearest, "linear": _linear, "cubic": _cubic}


def _triangle(x: Any) -> Any:
    return np.maximum(1 - np.abs(x), 0)


def _keys(x: Any) -> Any:
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: Any) -> Any:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


_FILTERS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "triangle": (1, _triangle),
    "keys": (2, _keys),
    "lanczos": (3, _lanczos),
}


def _filtered(how: Resize, real: Any) -> Entries:
    """Antialiased: the filter is as wide as its support, in outputs when shrinking."""
    radius, kernel = _FILTERS[how.mode]
    distance = _step(how, real)
    stretch = max(distance, real(1))
    support = real(radius) * stretch
    centre = distance * (np.arange(how.out, dtype=real) + real(0.5))
    first = np.maximum((centre - support + real(0.5)).astype(np.int64), 0)
    last = np.minimum((centre + support + real(0.5)).astype(np.int64), how.size)
    count = np.maximum(last - first, 0)
    row = np.repeat(np.arange(how.out), count)
    column = first[row] + np.arange(len(row)) - (np.cumsum(count) - count)[row]
    weight = kernel((column - centre[row] + real(0.5)) / stretch).astype(real)
    total = np.bincount(row, weight, how.out)[row]
    weight = np.where(total == 0, weight, weight / np.where(total == 0, 1, total)).astype(real)
    return Entries(row, column, weight, how.out, how.size)


def _area(how: Resize, real: Any) -> Entries:
    """Means over ⌊i n/o⌋ .. ⌈(i+1) n/o⌉, which overlap where n/o is no whole number."""
    i, n = np.arange(how.out), how.size
    first, last = i * n // how.out, -(-(i + 1) * n // how.out)
    count = last - first
    row = np.repeat(i, count)
    column = first[row] + np.arange(len(row)) - (np.cumsum(count) - count)[row]
    return Entries(row, column, (1 / count[row]).astype(real), how.out, n)


@lru_cache(maxsize=256)
def entries(how: Map, dtype: str) -> Entries:
    """The matrix of a map, its weights computed in `dtype` (as PyTorch does)."""
    real = np.dtype(dtype).type
    if isinstance(how, Copies):
        source = how.source()
        return Entries(np.arange(how.out), source, np.ones(how.out, real), how.out, how.size)
    if how.mode in _FILTERS:
        return _filtered(how, real)
    if how.mode == "area":
        return _area(how, real)
    index, weight = _TAPS[how.mode](how, real)
    row = np.repeat(np.arange(how.out), index.shape[1])
    return Entries(row, index.reshape(-1), weight.reshape(-1), how.out, how.size)


def _transposed(e: Entries) -> Entries:
    order = np.argsort(e.column, kind="stable")
    return Entries(e.column[order], e.row[order], e.weight[order], e.columns, e.rows)


@lru_cache(maxsize=256)
def oriented(how: Map, dtype: str, transpose: bool) -> Entries:
    """The matrix of a map or its transpose."""
    found = entries(how, dtype)
    return _transposed(found) if transpose else found


# ------------------------------------------------------------------------------ products
@lru_cache(maxsize=256)
def _blocks(how: Map, dtype: str, transpose: bool) -> list[tuple[slice, slice, Any]]:
    """(rows, columns, dense matrix between them) that cover the whole matrix."""
    e = oriented(how, dtype, transpose)
    height = max(8, min(BLOCK, BLOCK * e.rows // max(e.columns, 1)))
    found = []
    for start in range(0, e.rows, height):
        stop = min(start + height, e.rows)
        part = slice(*np.searchsorted(e.row, (start, stop)))
        column = e.column[part]
        low, high = (int(column.min()), int(column.max()) + 1) if column.size else (0, 0)
        dense = np.zeros((stop - start, high - low), dtype)
        np.add.at(dense, (e.row[part] - start, column - low), e.weight[part])
        found.append((slice(start, stop), slice(low, high), dense))
    return found


@lru_cache(maxsize=64)
def _table(how: Map, dtype: str, transpose: bool) -> tuple[Any, Any]:
    """Columns and weights as (rows, most entries of a row); column -1 where a row has fewer."""
    e = oriented(how, dtype, transpose)
    count = np.bincount(e.row, minlength=e.rows)
    place = np.arange(len(e.row)) - (np.cumsum(count) - count)[e.row]
    column = np.full((e.rows, int(count.max(initial=0))), -1)
    weight = np.zeros(column.shape, dtype)
    column[e.row, place], weight[e.row, place] = e.column, e.weight
    return column, weight


def apply(x: Any, axis: int, how: Map, transpose: bool = False) -> Any:
    """The matrix (or its transpose) times x along one axis."""
    xp = array_module(x)
    dtype = x.dtype.name
    rows = how.size if transpose else how.out
    shape = (*x.shape[:axis], rows, *x.shape[axis + 1 :])
    outer, inner = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    last = inner == 1
    flat = x.reshape((outer, x.shape[axis]) if last else (outer, x.shape[axis], inner))
    y = xp.empty((outer, rows) if last else (outer, rows, inner), x.dtype)
    # A dense product would spread inf and nan (0 times either is nan) over its block. The sum is
    # finite if all elements are; where it overflows, the slower way is right as well.
    if not np.isfinite(xp.add.reduce(x, axis=None)):
        _by_entries(xp, flat, y, *_table(how, dtype, transpose))
        return y.reshape(shape)
    for here, there, dense in _blocks(how, dtype, transpose):
        matrix = dense if xp is np else xp.asarray(dense)
        if last:
            xp.matmul(flat[:, there], matrix.T, out=y[:, here])
        else:
            xp.matmul(matrix, flat[:, there], out=y[:, here])
    return y.reshape(shape)


def _by_entries(xp: Any, x: Any, y: Any, column: Any, weight: Any) -> None:
    y[...] = 0
    tail = (1,) * (x.ndim - 2)
    for c, w in zip(column.T, weight.T, strict=True):
        there = xp.asarray(c >= 0).reshape(-1, *tail)
        part = xp.take(x, xp.asarray(np.maximum(c, 0)), axis=1) * xp.asarray(w).reshape(-1, *tail)
        y += xp.where(there, part, 0)


def copied(x: Any, axis: int, how: Map) -> Any:
    """A map that only copies, along one axis of an array of any dtype."""
    xp = array_module(x)
    source = how.source() if isinstance(how, Copies) else nearest_index(how)
    return xp.take(x, xp.asarray(source), axis=axis)


@lru_cache(maxsize=256)
def _rows(how: Map | None, dtype: str, transpose: bool, size: int) -> Any:
    if how is None:
        every = np.arange(size)
        return kernels.rows_of(every, every, np.ones(size, dtype), size)
    e = oriented(how, dtype, transpose)
    return kernels.rows_of(e.row, e.column, e.weight, e.rows)


@lru_cache(maxsize=256)
def _columns(how: Map, dtype: str, transpose: bool) -> Any:
    e = oriented(how, dtype, transpose)
    return kernels.columns_of(e.row, e.column, e.weight, e.rows, e.columns)


def apply_all(x: Any, maps: Maps, transpose: bool = False) -> Any:
    """The matrices (or their transposes) times the last dimensions of x."""
    first = x.ndim - len(maps)
    if not kernels.usable(x):
        for axis, how in enumerate(maps, first):
            if how is None:
                continue
            copies = isinstance(how, Copies) or how.mode.startswith("nearest")
            x = copied(x, axis, how) if copies and not transpose else apply(x, axis, how, transpose)
        return x
    dtype = x.dtype.char
    if maps[-1] is not None:
        above = maps[-2] if len(maps) > 1 else None
        rows = _rows(above, dtype, transpose, x.shape[-2])
        x = kernels.mix_planes(x, rows, _columns(maps[-1], dtype, transpose))
        maps = maps[:-2]
    for axis, how in enumerate(maps, first):
        if how is not None:
            x = kernels.mix_rows(x, axis, _rows(how, dtype, transpose, 0))
    return x


@primitive
def resample(x: Any, *, maps: Maps) -> Any:
    """The last dimensions resized: y = M x along each, with M banded;  x̄ = Mᵀ ȳ."""
    return apply_all(x, maps)


@primitive
def resample_vjp(g: Any, *, maps: Maps) -> Any:
    """The adjoint of resample, and of all maps like it: x̄ = Mᵀ ȳ."""
    return apply_all(g, maps, transpose=True)


resample.vjp(x=lambda g, maps: resample_vjp(g, maps=maps))
resample_vjp.vjp(g=lambda x, maps: resample(x, maps=maps))


# ------------------------------------------------------------------------------ bytes
@lru_cache(maxsize=64)
def _fixed_point(how: Resize) -> tuple[Any, Any, int]:
    """Columns, 16-bit weights and their binary point for bytes, as Pillow and PyTorch have them."""
    e = entries(how, "float64")
    merged: dict[tuple[int, int], float] = {}
    for r, c, w in zip(e.row.tolist(), e.column.tolist(), e.weight.tolist(), strict=True):
        merged[r, c] = merged.get((r, c), 0.0) + w
    largest = max(merged.values(), default=0.0)
    bits = 0
    while bits < 22 and int(0.5 + largest * (1 << (bits + 1))) < 1 << 15:
        bits += 1
    count = np.bincount([r for r, _ in merged], minlength=e.rows)
    column = np.zeros((e.rows, int(count.max())), np.int64)
    weight = np.zeros(column.shape, np.int64)
    seen = [0] * e.rows
    for (r, c), w in merged.items():
        column[r, seen[r]] = c
        weight[r, seen[r]] = int(w * (1 << bits) + (0.5 if w >= 0 else -0.5))
        seen[r] += 1
    return column, weight, bits


def apply_bytes(x: Any, axis: int, how: Resize) -> Any:
    """The matrix times uint8 values along one axis, in fixed point, rounded and clipped."""
    xp = array_module(x)
    column, weight, bits = _fixed_point(how)
    tail = (1,) * (x.ndim - axis - 1)
    total: Any = (1 << bits) >> 1
    for c, w in zip(column.T, weight.T, strict=True):
        part = xp.take(x, xp.asarray(c), axis=axis).astype(np.int64)
        total = total + part * xp.asarray(w).reshape(-1, *tail)
    return xp.clip(total >> bits, 0, 255).astype(np.uint8)
