"""Mean and squares around it over some dimensions of an array, and the gradient of the variance.

Moments are those of pieces, joined by the formula of Chan, Golub and LeVeque (Algorithms for
computing the sample variance, 1983): no difference of large numbers is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import compiler, reductions, threads
from .compiler import REASSOCIATE, kernel, prange
from .reductions import (
    F32,
    F64,
    folded,
    ready,
    result,
    row_sum,
    sum_of_columns,
    sum_of_rows,
    tall_pieces,
)


@kernel(inline=True, flags=REASSOCIATE)
def row_squares(row, start, stop, middle):
    """Σ (row - middle)², as `row_sum`."""
    total, m = 0.0, row.dtype.type(middle)
    for first in range(start, stop, 1024):
        part = row[first : min(first + 1024, stop)]
        s = row.dtype.type(0)
        for j in range(part.size):
            d = part[j] - m
            s += d * d
        total += s
    return total


@kernel(inline=True, flags=REASSOCIATE)
def row_moments(row, start, stop):
    """Mean and Σ (row - mean)², from a stretch that stays in the cache."""
    n = stop - start
    total = row_sum(row, start, stop)
    middle = row.dtype.type(total / n)
    squares = row_squares(row, start, stop, middle)
    off = total / n - middle  # what rounding the mean has left
    return total / n, squares - n * off * off


@kernel(flags=REASSOCIATE)
def _moments_rows(x, piece, mean, squares):
    rows, n = x.shape
    pieces = mean.shape[1]
    for task in prange(rows * pieces):
        i, k = task // pieces, task % pieces
        m, s = row_moments(x[i], k * piece, min((k + 1) * piece, n))
        mean[i, k] = m
        squares[i, k] = s


@kernel
def _variance_rows(x, divisor, y):
    for i in range(y.size):
        _, squares = row_moments(x[i], 0, x.shape[1])
        y[i] = squares / divisor


@kernel(flags=REASSOCIATE)
def _moments_columns(x, tall, mean, squares):
    outer, n, inner = x.shape
    pieces = mean.shape[1]
    blocks = (inner + 127) // 128
    for task in prange(outer * pieces * blocks):
        a, rest = task // (pieces * blocks), task % (pieces * blocks)
        k, first = rest // blocks, rest % blocks * 128
        width = min(inner - first, 128)
        m, s = mean[a, k, first : first + width], squares[a, k, first : first + width]
        m[:] = 0.0
        s[:] = 0.0
        near, middle = np.empty(128, x.dtype), np.empty(128, x.dtype)
        end = min((k + 1) * tall, n)
        for start in range(k * tall, end, 64):
            stop = min(start + 64, end)
            count, before = x.dtype.type(stop - start), start - k * tall
            near[:] = x.dtype.type(0)
            for i in range(start, stop):
                row = x[a, i, first : first + width]
                for j in range(width):
                    near[j] += row[j]
            for j in range(width):
                middle[j] = near[j] / count
                near[j] = x.dtype.type(0)
            for i in range(start, stop):
                row = x[a, i, first : first + width]
                for j in range(width):
                    d = row[j] - middle[j]
                    near[j] += d * d
            share, weight = count / (before + count), before * count / (before + count)
            for j in range(width):
                d = middle[j] - m[j]
                m[j] += d * share
                s[j] += near[j] + d * d * weight


def joined(mean: Any, squares: Any, counts: Any, axis: int) -> tuple[Any, Any]:
    """Mean and squares of all pieces along `axis`, whose numbers of elements are `counts`."""
    if mean.shape[axis] == 1:
        return np.take(mean, 0, axis), np.take(squares, 0, axis)
    size = [1] * mean.ndim
    size[axis] = -1
    counts = np.broadcast_to(counts, (mean.shape[axis],)).reshape(size).astype(F64)
    middle = np.sum(mean * counts, axis, keepdims=True) / counts.sum()
    off = mean - middle
    return np.squeeze(middle, axis), np.sum(squares + counts * off * off, axis)


def _counts(n: int, piece: int) -> Any:
    """How many of n elements are in each piece."""
    pieces = -(-n // piece)
    return np.minimum(piece, n - piece * np.arange(pieces))


def moments(x: Any) -> tuple[Any, Any]:
    """Mean and Σ (x - mean)² along the middle dimension of (outer, n, inner), in float64."""
    outer, n, inner = x.shape
    if inner == 1:
        piece = 1 << 13
        size = (outer, -(-n // piece))
        mean, squares = np.empty(size, F64), np.empty(size, F64)
        _moments_rows.run(x.size, x.reshape(outer, n), piece, mean, squares)
    else:
        piece = tall_pieces(x.shape, 64, 128)
        size = (outer, -(-n // piece), inner)
        mean, squares = np.empty(size, F64), np.empty(size, F64)
        _moments_columns.run(x.size, x, piece, mean, squares)
    return joined(mean, squares, _counts(n, piece), 1)


def variance(x: Any, axes: tuple[int, ...], keepdim: bool, divisor: float) -> Any:
    """(Σ (x - mean)²/divisor over the axes, the mean in float64); None where the formula has to
    do it.
    """
    if not x.size or (x.dtype is not F32 and x.dtype is not F64):
        return None
    found = ready(x, axes, 1)
    if found is None:
        return None
    z, axes = found
    shape = folded(z.shape, axes)
    if shape is None or 1 < shape[2] < 16:
        return None
    if x.size < reductions.SMALL:
        if shape[2] > 1:
            return None
        y = np.empty(shape[0], x.dtype)
        _variance_rows.serial(z.reshape(shape[:2]), divisor, y)
        return result(z, x, y, axes, keepdim)
    _, squares = moments(z.reshape(shape))
    y = (squares / divisor).astype(x.dtype)
    return result(z, x, y, axes, keepdim)


@kernel(flags=REASSOCIATE)
def _centred_rows(x, g, scale, out):
    rows, n = x.shape
    for i in prange(rows):
        row, to = x[i], out[i]
        m, f = x.dtype.type(row_sum(row, 0, n) / n), g[i] * scale
        for j in range(n):
            to[j] = (row[j] - m) * f


@kernel
def _centred_columns(x, mean, g, scale, out):
    outer, n, inner = x.shape
    for task in prange(outer * n):
        a, i = task // n, task % n
        row, to, m, f = x[a, i], out[a, i], mean[a], g[a]
        for j in range(inner):
            to[j] = (row[j] - m[j]) * (f[j] * scale)


def centred(g: Any, x: Any, axes: tuple[int, ...], scale: float) -> Any:
    """ȳ·scale·(x - mean): the gradient of the variance; None where the formula has to do it."""
    if not x.size or (x.dtype is not F32 and x.dtype is not F64) or g.dtype is not x.dtype:
        return None
    if not x.flags.c_contiguous or not compiler.enabled():
        return None
    shape = folded(x.shape, axes)
    if shape is None or 1 < shape[2] < 16:
        return None
    outer, n, inner = shape
    out, factor = np.empty(x.shape, x.dtype), x.dtype.type(scale)
    g = np.ascontiguousarray(g)
    if inner == 1 and (outer > 1 or x.size < threads.PARALLEL):
        _centred_rows.run(
            x.size, x.reshape(outer, n), g.reshape(outer), factor, out.reshape(outer, n)
        )
        return out
    z = x.reshape(shape)
    mean = (sum_of_rows(z[:, :, 0], 1 / n) if inner == 1 else sum_of_columns(z, 1 / n)).reshape(
        outer, inner
    )
    if inner == 1:  # one long row: as columns of one mean
        return (x - x.dtype.type(mean.item())) * (g.item() * factor)
    _centred_columns.run(x.size, z, mean, g.reshape(outer, inner), factor, out.reshape(shape))
    return out
