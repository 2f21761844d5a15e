"""Sums and extrema over some dimensions of an array, in one pass over memory.

An array that lies in one piece is (outer, n, inner) once neighbouring dimensions are joined: the
middle one is reduced. With inner = 1 these are sums of rows, else of columns. Long rows and tall
columns are cut into pieces of a size that only the shape decides, so results do not depend on the
number of threads.

Sums of float32 run over short stretches in float32, with SIMD, and over the stretches in float64:
more exact than pairwise summation.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from . import compiler, scalars
from .compiler import REASSOCIATE, kernel, prange

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
INT = np.int32
ndarray = np.ndarray
where, bits = scalars.where, scalars.bits

SMALL = 1 << 14
"""Elements below which NumPy's reductions are at least as fast."""
STRETCH = 1024
"""Elements of a row that are summed in the array's own precision."""
PIECE = 1 << 15
"""Elements of a row for one task."""
ROWS, COLUMNS = 64, 512
"""The tile of a sum of columns: rows summed in the array's own precision, and its width."""
TASKS = 16
"""Into how many tasks the sum of a few tall columns is cut."""


# ------------------------------------------------------------------------------ the shape
@lru_cache(512)
def folded(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(outer, n, inner) where the reduced dimensions are neighbours (those of size 1 aside)."""
    reduced = [d for d in axes if shape[d] != 1]
    if not reduced:
        return None
    low, high = min(reduced), max(reduced)
    for d in range(low, high):
        if d not in axes and shape[d] != 1:
            return None
    return prod(shape[:low]), prod(shape[low : high + 1]), prod(shape[high + 1 :])


def ready(x: Any, axes: tuple[int, ...], small: int) -> tuple[Any, tuple[int, ...]] | None:
    """x and the axes if kernels may be used: x in one piece, perhaps seen transposed."""
    if type(x) is not ndarray or x.size < small or not compiler.enabled():
        return None
    if x.flags.c_contiguous:
        return x, axes
    if x.flags.f_contiguous:
        return x.T, tuple([x.ndim - 1 - d for d in axes])
    return None


def result(x: Any, like: Any, y: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """y in the shape of the reduced x; `like` is x as it was given, perhaps transposed."""
    if keepdim:
        y = y.reshape([1 if d in axes else n for d, n in enumerate(x.shape)])
    else:
        y = y.reshape([n for d, n in enumerate(x.shape) if d not in axes])
    return y if like is x or y.ndim < 2 else np.ascontiguousarray(y.T)


# ------------------------------------------------------------------------------ sums
@kernel(inline=True, flags=REASSOCIATE)
def row_sum(row, start, stop):
    """Σ row[start:stop] in float64, from stretches in the row's own precision."""
    total = 0.0
    for first in range(start, stop, 1024):
        part = row[first : min(first + 1024, stop)]
        s = row.dtype.type(0)
        for j in range(part.size):
            s += part[j]
        total += s
    return total


@kernel(flags=REASSOCIATE)
def _sum_rows(x, piece, scale, y):
    rows, n = x.shape
    pieces = y.shape[1]
    for task in prange(rows * pieces):
        i, k = task // pieces, task % pieces
        y[i, k] = row_sum(x[i], k * piece, min((k + 1) * piece, n)) * scale


@kernel(flags=REASSOCIATE)
def _sum_columns(x, tall, scale, y):
    outer, n, inner = x.shape
    pieces = y.shape[1]
    blocks = (inner + 511) // 512
    for task in prange(outer * pieces * blocks):
        a, rest = task // (pieces * blocks), task % (pieces * blocks)
        k, first = rest // blocks, rest % blocks * 512
        width = min(inner - first, 512)
        total = np.zeros(512, np.float64)
        near = np.empty(512, x.dtype)
        end = min((k + 1) * tall, n)
        for start in range(k * tall, end, 64):
            stop = min(start + 64, end)
            near[:width] = x.dtype.type(0)
            even = start + (stop - start) // 4 * 4
            for i in range(start, even, 4):
                p, q = x[a, i, first : first + width], x[a, i + 1, first : first + width]
                r, s = x[a, i + 2, first : first + width], x[a, i + 3, first : first + width]
                for j in range(width):
                    near[j] += (p[j] + q[j]) + (r[j] + s[j])
            for i in range(even, stop):
                p = x[a, i, first : first + width]
                for j in range(width):
                    near[j] += p[j]
            for j in range(width):
                total[j] += near[j]
        y_row = y[a, k, first : first + width]
        for j in range(width):
            y_row[j] = total[j] * scale


def tall_pieces(shape: tuple[int, int, int], rows: int, columns: int) -> int:
    """Rows of one piece of the columns: all of them if there are tasks enough without cutting."""
    outer, n, inner = shape
    tasks = outer * -(-inner // columns)
    pieces = 1 if tasks >= TASKS else max(1, min(TASKS // tasks, n // rows, n * inner // PIECE))
    return -(-n // pieces)


def sum_of_rows(x: Any, scale: float) -> Any:
    rows, n = x.shape
    pieces = -(-n // PIECE)
    if pieces == 1:
        y = np.empty((rows, 1), x.dtype)
        _sum_rows.run(x.size, x, PIECE, scale, y)
        return y
    parts = np.empty((rows, pieces), F64)
    _sum_rows.run(x.size, x, PIECE, scale, parts)
    return np.add.reduce(parts, 1).astype(x.dtype)


def sum_of_columns(x: Any, scale: float) -> Any:
    outer, n, inner = x.shape
    if inner < 32 and outer == 1:
        return _sum_of_narrow_columns(x[0], scale)
    tall = tall_pieces(x.shape, ROWS, COLUMNS)
    pieces = -(-n // tall)
    if pieces == 1:
        y = np.empty((outer, 1, inner), x.dtype)
        _sum_columns.run(x.size, x, tall, scale, y)
        return y
    parts = np.empty((outer, pieces, inner), F64)
    _sum_columns.run(x.size, x, tall, scale, parts)
    return np.add.reduce(parts, 1).astype(x.dtype)


def _sum_of_narrow_columns(x: Any, scale: float) -> Any:
    """Many rows side by side make one that is wide enough for SIMD."""
    n, inner = x.shape
    join = -(-128 // inner)
    whole = n // join * join
    parts = np.empty((1, 1, join * inner), F64)
    wide = x[:whole].reshape(1, -1, join * inner)
    _sum_columns.run(x.size, wide, wide.shape[1], scale, parts)
    y = np.add.reduce(parts.reshape(join, inner), 0)
    return (y + np.add.reduce(x[whole:], 0, F64) * scale).astype(x.dtype)


def sum(x: Any, axes: tuple[int, ...], keepdim: bool, scale: float = 1.0) -> Any:
    """scale·Σ x over the axes, in x's dtype; None where the formula has to do it."""
    if x.size < SMALL or (x.dtype is not F32 and x.dtype is not F64):
        return None
    found = ready(x, axes, SMALL)
    if found is None:
        return None
    z, axes = found
    shape = folded(z.shape, axes)
    if shape is None:
        return _sum_around(x, z, axes, keepdim, scale)
    outer, n, inner = shape
    if inner == 1:
        y = sum_of_rows(z.reshape(outer, n), scale)
    elif outer > 1 and inner < 16:
        return None
    else:
        y = sum_of_columns(z.reshape(shape), scale)
    return result(z, x, y, axes, keepdim)


def _sum_around(x: Any, z: Any, axes: tuple[int, ...], keepdim: bool, scale: float) -> Any:
    """The sum over the first and the last dimensions, but not over those between."""
    kept = [d for d, n in enumerate(z.shape) if d not in axes and n != 1]
    low, high = kept[0], kept[-1] + 1
    if any([d in axes and z.shape[d] != 1 for d in range(low, high)]):
        return None
    outer, n, inner = prod(z.shape[:low]), prod(z.shape[low:high]), prod(z.shape[high:])
    if inner < 16:
        return None
    y = np.empty((outer * n, 1), F64)
    if inner > PIECE:
        y = sum_of_rows(z.reshape(outer * n, inner), scale)
    else:
        _sum_rows.run(z.size, z.reshape(outer * n, inner), inner, scale, y)
    return result(z, x, np.add.reduce(y.reshape(outer, n), 0).astype(x.dtype), axes, keepdim)


# ------------------------------------------------------------------------------ extrema
SIGN, REST, QUIET_NAN = INT(-0x80000000), INT(0x7FFFFFFF), INT(0x7FC00000)
S31 = INT(31)


@kernel(inline=True)
def order_key(x, flip):
    """An int32 in the order of the float32 x (of -x, if `flip` is the sign bit); nan is highest."""
    b = where(x == x, INT(bits(x) ^ flip), QUIET_NAN)
    return INT(b ^ INT(INT(b >> S31) & REST))


@kernel
def _top_rows(x, piece, flip, y):
    rows, n = x.shape
    pieces = y.shape[1]
    for task in prange(rows * pieces):
        i, k = task // pieces, task % pieces
        row = x[i, k * piece : min((k + 1) * piece, n)]
        top = SIGN
        for j in range(row.size):
            key = order_key(row[j], flip)
            top = where(key > top, key, top)
        y[i, k] = top


@kernel
def _top_columns(x, tall, flip, y):
    outer, n, inner = x.shape
    pieces = y.shape[1]
    blocks = (inner + 511) // 512
    for task in prange(outer * pieces * blocks):
        a, rest = task // (pieces * blocks), task % (pieces * blocks)
        k, first = rest // blocks, rest % blocks * 512
        width = min(inner - first, 512)
        best = y[a, k, first : first + width]
        best[:] = SIGN
        for i in range(k * tall, min((k + 1) * tall, n)):
            row = x[a, i, first : first + width]
            for j in range(width):
                key = order_key(row[j], flip)
                best[j] = where(key > best[j], key, best[j])


def _from_keys(keys: Any, flip: Any) -> Any:
    return ((keys ^ ((keys >> 31) & REST)) ^ np.where(keys == QUIET_NAN, 0, flip)).view(F32)


def extremum(x: Any, axes: tuple[int, ...], keepdim: bool, largest: bool) -> Any:
    """max x (or min x) over the axes, float32; None where the formula has to do it."""
    if x.size < SMALL or x.dtype is not F32 or (found := ready(x, axes, SMALL)) is None:
        return None
    z, axes = found
    shape = folded(z.shape, axes)
    if shape is None or shape[2] > 1 and shape[2] < 16:
        return None
    outer, n, inner = shape
    flip = INT(0) if largest else SIGN
    if inner == 1:
        keys = np.empty((outer, -(-n // PIECE)), INT)
        _top_rows.run(x.size, z.reshape(outer, n), PIECE, flip, keys)
    else:
        tall = tall_pieces(shape, ROWS, COLUMNS)
        keys = np.empty((outer, -(-n // tall), inner), INT)
        _top_columns.run(x.size, z.reshape(shape), tall, flip, keys)
    y = keys if keys.shape[1] == 1 else np.maximum.reduce(keys, 1)
    return result(z, x, _from_keys(y, flip), axes, keepdim)


@kernel
def _share_rows(x, y, g, out):
    rows, n = x.shape
    for i in prange(rows):
        row, to, top = x[i], out[i], y[i]
        count = 0
        for j in range(n):
            count += INT(row[j] == top)
        each, zero = g[i] / x.dtype.type(count), x.dtype.type(0)
        for j in range(n):
            to[j] = where(row[j] == top, each, zero)


@kernel
def _share_columns(x, y, g, out):
    outer, n, inner = x.shape
    blocks = (inner + 255) // 256
    zero = x.dtype.type(0)
    for task in prange(outer * blocks):
        a, first = task // blocks, task % blocks * 256
        width = min(inner - first, 256)
        top, grad = y[a, first : first + width], g[a, first : first + width]
        each, count = np.empty(256, x.dtype), np.zeros(256, np.int32)
        for i in range(n):
            row = x[a, i, first : first + width]
            for j in range(width):
                count[j] += INT(row[j] == top[j])
        for j in range(width):
            each[j] = grad[j] / x.dtype.type(count[j])
        for i in range(n):
            row, to = x[a, i, first : first + width], out[a, i, first : first + width]
            for j in range(width):
                to[j] = where(row[j] == top[j], each[j], zero)


def share(g: Any, x: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """The gradient of an extremum: g shared equally by the elements that attain y."""
    if not x.size or x.dtype is not F32 or g.dtype is not F32:
        return None
    shape = folded(x.shape, axes) if x.flags.c_contiguous and compiler.enabled() else None
    if shape is None or (1 < shape[2] < 16 and x.size >= SMALL):
        return None
    outer, n, inner = shape
    out = np.empty(x.shape, x.dtype)
    if inner == 1:
        args = [np.ascontiguousarray(v).reshape(outer) for v in (y, g)]
        _share_rows.run(x.size, x.reshape(outer, n), *args, out.reshape(outer, n))
    else:
        args = [np.ascontiguousarray(v).reshape(outer, inner) for v in (y, g)]
        _share_columns.run(x.size, x.reshape(shape), *args, out.reshape(shape))
    return out


# ------------------------------------------------------------------------------ places of extrema
@kernel
def _places(x, flip, y):
    outer, n, inner = x.shape
    blocks = (inner + 255) // 256
    for task in prange(outer * blocks):
        a, first = task // blocks, task % blocks * 256
        width = min(inner - first, 256)
        best, place = np.empty(256, np.int32), np.zeros(256, np.int32)
        best[:] = SIGN
        for i in range(n):
            row = x[a, i, first : first + width]
            for j in range(width):
                # -0.0 equals 0.0: of equals, the first counts
                key = order_key(where(row[j] == ZERO, ZERO, row[j]), flip)
                place[j] = where(key > best[j], INT(i), place[j])
                best[j] = where(key > best[j], key, best[j])
        to = y[a, first : first + width]
        for j in range(width):
            to[j] = place[j]


ZERO = np.float32(0)


def place(x: Any, dim: int, largest: bool) -> Any:
    """argmax (or argmin) along a dimension that is not the last; None: NumPy has to do it."""
    if x.size < SMALL or x.dtype is not F32 or not x.flags.c_contiguous or not compiler.enabled():
        return None
    outer, n, inner = prod(x.shape[:dim]), x.shape[dim], prod(x.shape[dim + 1 :])
    if inner < 16 or n >= 1 << 31:
        return None
    y = np.empty((outer, inner), np.int64)
    _places.run(x.size, x.reshape(outer, n, inner), INT(0) if largest else SIGN, y)
    return y.reshape(*x.shape[:dim], *x.shape[dim + 1 :])
