"""Layer, RMS, batch, group and instance normalisation, forward and backward.

With x̂ = (x - mean)·rstd and h = ȳ·w, over the n elements that share mean and rstd:

    y = x̂ w + b,    x̄ = rstd·(h - Σh/n - x̂·Σ(h x̂)/n),    w̄ = Σ ȳ x̂,    b̄ = Σ ȳ

Only mean and rstd are kept for backward. There are three ways to lie in memory:

rows       (rows, n): each row has a mean, weights vary along it (layer, RMS)
planes     (planes, size): a few planes share a mean, each has one weight (batch, group, instance);
           those of one mean are one task, so that they are still in the cache when they are needed
           again
columns    (rows, n): `size` neighbouring columns share a mean and a weight (batch without space)

A pass is one call, or two over columns, whatever it computes on the way. Sums over rows are cut
into pieces that only the shape decides.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from . import compiler, reductions, threads
from .compiler import REASSOCIATE, kernel, prange
from .moments import row_moments, row_squares
from .reductions import F32, F64

ndarray = np.ndarray
NONE = {F32: np.empty(0, F32), F64: np.empty(0, F64)}

SHORT = 16
"""Rows or planes shorter than this are left to NumPy (or, over a batch, are columns)."""
CHUNK = 64
"""Rows of columns that are summed in the array's own precision."""
TALL = 512
"""Rows whose contributions to the weights' gradients are summed in the array's own precision."""


# ------------------------------------------------------------------------------ rows
@kernel(flags=REASSOCIATE)
def _rows(x, w, b, eps, centre, y, mean, rstd):
    rows, n = x.shape
    for i in prange(rows):
        a, c = x[i], y[i]
        if centre:
            middle, squares = row_moments(a, 0, n)
        else:
            middle, squares = 0.0, row_squares(a, 0, n, 0.0)
        m, r = x.dtype.type(middle), x.dtype.type(1.0 / sqrt(squares / n + eps))
        mean[i], rstd[i] = m, r
        if w.size and b.size:
            for j in range(n):
                c[j] = (a[j] - m) * r * w[j] + b[j]
        elif w.size:
            for j in range(n):
                c[j] = (a[j] - m) * r * w[j]
        else:
            for j in range(n):
                c[j] = (a[j] - m) * r


@kernel(flags=REASSOCIATE)
def _rows_back(g, x, w, mean, rstd, centre, tall, parts, out):
    rows, n = x.shape
    for k in prange(parts.shape[0]):
        dw, db = parts[k, 0], parts[k, 1]
        dw[:] = x.dtype.type(0)
        db[:] = x.dtype.type(0)
        for i in range(k * tall, min((k + 1) * tall, rows)):
            a, c, d, m, r = g[i], x[i], out[i], mean[i], rstd[i]
            s1 = s2 = x.dtype.type(0)
            if w.size:
                for j in range(n):
                    normed, h = (c[j] - m) * r, a[j] * w[j]
                    s1 += h
                    s2 += h * normed
                    dw[j] += a[j] * normed
                    db[j] += a[j]
            else:
                for j in range(n):
                    s1 += a[j]
                    s2 += a[j] * ((c[j] - m) * r)
            k1, k2 = s1 / x.dtype.type(n) if centre else x.dtype.type(0), s2 / x.dtype.type(n)
            if w.size:
                for j in range(n):
                    d[j] = r * (a[j] * w[j] - k1 - (c[j] - m) * r * k2)
            else:
                for j in range(n):
                    d[j] = r * (a[j] - k1 - (c[j] - m) * r * k2)


# ------------------------------------------------------------------------------ planes
@kernel(flags=REASSOCIATE)
def _planes(x, w, b, members, first, step, eps, given, y, stats):
    size = x.shape[1]
    for q in prange(stats.shape[1]):
        if not given:
            m = s = count = 0.0
            for t in range(members):
                pm, ps = row_moments(x[q * first + t * step], 0, size)
                off = pm - m
                both = count + size
                m += off * size / both
                s += ps + off * off * count * size / both
                count = both
            stats[0, q], stats[1, q] = m, s / count
        stats[2, q] = 1.0 / sqrt(stats[1, q] + eps)
        middle, r = x.dtype.type(stats[0, q]), x.dtype.type(stats[2, q])
        for t in range(members):
            p = q * first + t * step
            a, c = x[p], y[p]
            scale = r * w[p % w.size] if w.size else r
            shift = b[p % b.size] if b.size else x.dtype.type(0)
            for j in range(size):
                c[j] = (a[j] - middle) * scale + shift


@kernel(flags=REASSOCIATE)
def _planes_back(g, x, w, stats, members, first, step, moving, sums, out, both):
    size, planes = x.shape[1], x.shape[0]
    for q in prange(stats.shape[1]):
        m, r = x.dtype.type(stats[0, q]), x.dtype.type(stats[2, q])
        s1 = s2 = 0.0
        for t in range(members):
            p = q * first + t * step
            total = products = 0.0
            for start in range(0, size, 1024):
                a, c = g[p, start : min(start + 1024, size)], x[p, start : min(start + 1024, size)]
                u = v = x.dtype.type(0)
                for j in range(a.size):
                    u += a[j]
                    v += a[j] * (c[j] - m)
                total += u
                products += v
            products *= r
            sums[0, p], sums[1, p] = products, total
            weight = w[p % w.size] if w.size else x.dtype.type(1)
            s1 += weight * total
            s2 += weight * products
        n = members * size
        k1 = x.dtype.type(r * s1 / n) if moving else x.dtype.type(0)
        k2 = x.dtype.type(r * r * s2 / n) if moving else x.dtype.type(0)
        for t in range(members):
            p = q * first + t * step
            a, c, d = g[p], x[p], out[p]
            f = r * w[p % w.size] if w.size else r
            if moving:
                for j in range(size):
                    d[j] = a[j] * f - k1 - (c[j] - m) * k2
            else:
                for j in range(size):
                    d[j] = a[j] * f
    channels = both.shape[1]
    for i in range(2):
        for c in range(channels):
            total = 0.0
            for p in range(c, planes, channels):
                total += sums[i, p]
            both[i, c] = total


# ------------------------------------------------------------------------------ columns
@kernel(flags=REASSOCIATE)
def _columns_moments(x, tall, chunk, blocks, mean, squares):
    """Mean and Σ (x − mean)² of each column of every `tall` rows, in chunks that stay in the cache
    for a second look.
    """
    rows, n = x.shape
    for task in prange(mean.shape[0] * blocks):
        k, c = task // blocks, task % blocks
        first, last = n * c // blocks, n * (c + 1) // blocks
        m, s = mean[k, first:last], squares[k, first:last]
        near, middle = np.empty(last - first, x.dtype), np.empty(last - first, x.dtype)
        rest = np.empty(last - first, x.dtype)  # what rounding the mean has left
        for j in range(last - first):
            m[j], s[j] = 0.0, 0.0
        end = min((k + 1) * tall, rows)
        for start in range(k * tall, end, chunk):
            stop = min(start + chunk, end)
            count, before = float(stop - start), float(start - k * tall)
            near[:] = x.dtype.type(0)
            for i in range(start, stop):
                row = x[i, first:last]
                for j in range(last - first):
                    near[j] += row[j]
            for j in range(last - first):
                middle[j] = near[j] / x.dtype.type(count)
                near[j] = rest[j] = x.dtype.type(0)
            for i in range(start, stop):
                row = x[i, first:last]
                for j in range(last - first):
                    d = row[j] - middle[j]
                    near[j] += d * d
                    rest[j] += d
            share, weight = count / (before + count), before * count / (before + count)
            for j in range(last - first):
                left = rest[j] / count
                off = middle[j] + left - m[j]
                m[j] += off * share
                s[j] += near[j] - left * rest[j] + off * off * weight


@kernel(flags=REASSOCIATE)
def _columns_apply(x, w, b, size, tall, mean, squares, eps, given, y, stats):
    """From the moments of pieces to those of channels, and what is made of x by them."""
    rows, n = x.shape
    if not given:
        for k in range(1, mean.shape[0]):
            before, count = float(k * tall), float(min(tall, rows - k * tall))
            share, weight = count / (before + count), before * count / (before + count)
            for j in range(n):
                off = mean[k, j] - mean[0, j]
                mean[0, j] += off * share
                squares[0, j] += squares[k, j] + off * off * weight
    middle, scale, shift = np.empty(n, x.dtype), np.empty(n, x.dtype), np.zeros(n, x.dtype)
    for c in range(stats.shape[1]):
        if not given:
            m = s = 0.0
            for j in range(c * size, (c + 1) * size):
                m += mean[0, j]
            m /= size
            for j in range(c * size, (c + 1) * size):
                s += squares[0, j] + rows * (mean[0, j] - m) ** 2
            stats[0, c], stats[1, c] = m, s / (rows * size)
        r = 1.0 / sqrt(stats[1, c] + eps)
        stats[2, c] = r
        for j in range(c * size, (c + 1) * size):
            middle[j] = stats[0, c]
            scale[j] = r * w[c] if w.size else r
            if b.size:
                shift[j] = b[c]
    for i in prange(rows):
        a, d = x[i], y[i]
        for j in range(n):
            d[j] = (a[j] - middle[j]) * scale[j] + shift[j]


@kernel(flags=REASSOCIATE)
def _columns_sums(g, x, stats, size, tall, blocks, sums):
    """Σ ȳ and Σ ȳ (x − mean) of each column of every `tall` rows."""
    rows, n = x.shape
    for task in prange(sums.shape[0] * blocks):
        k, c = task // blocks, task % blocks
        first, last = n * c // blocks, n * (c + 1) // blocks
        total, products = sums[k, 1, first:last], sums[k, 0, first:last]
        u, v = np.empty(last - first, x.dtype), np.empty(last - first, x.dtype)
        middle = np.empty(last - first, x.dtype)
        for j in range(last - first):
            total[j], products[j], middle[j] = 0.0, 0.0, stats[0, (first + j) // size]
        end = min((k + 1) * tall, rows)
        for start in range(k * tall, end, CHUNK):
            u[:] = x.dtype.type(0)
            v[:] = x.dtype.type(0)
            for i in range(start, min(start + CHUNK, end)):
                a, b = g[i, first:last], x[i, first:last]
                for j in range(last - first):
                    u[j] += a[j]
                    v[j] += a[j] * (b[j] - middle[j])
            for j in range(last - first):
                total[j] += u[j]
                products[j] += v[j]


@kernel(flags=REASSOCIATE)
def _columns_back(g, x, w, stats, size, sums, moving, out, both):
    rows, n = x.shape
    for k in range(1, sums.shape[0]):
        for j in range(n):
            sums[0, 0, j] += sums[k, 0, j]
            sums[0, 1, j] += sums[k, 1, j]
    middle, scale = np.empty(n, x.dtype), np.empty(n, x.dtype)
    u, v = np.empty(n, x.dtype), np.empty(n, x.dtype)
    for c in range(stats.shape[1]):
        r, total, product = stats[2, c], 0.0, 0.0
        for j in range(c * size, (c + 1) * size):
            total += sums[0, 1, j]
            product += sums[0, 0, j]
        product *= r
        both[0, c], both[1, c] = product, total
        f = r * w[c] if w.size else r
        for j in range(c * size, (c + 1) * size):
            middle[j], scale[j] = stats[0, c], f
            u[j] = f * total / (rows * size) if moving else 0.0
            v[j] = f * r * product / (rows * size) if moving else 0.0
    for i in prange(rows):
        a, c, d = g[i], x[i], out[i]
        for j in range(n):
            d[j] = a[j] * scale[j] - u[j] - (c[j] - middle[j]) * v[j]


@kernel
def _move(running, batch, momentum, factor):
    for c in range(running.size):
        running[c] = (1.0 - momentum) * running[c] + momentum * (batch[c] * factor)


# ------------------------------------------------------------------------------ from NumPy
def _fits(x: Any, weight: Any, bias: Any) -> bool:
    dtype = x.dtype
    return (
        x.size >= SHORT
        and type(x) is ndarray
        and (dtype is F32 or dtype is F64)
        and (weight is None or weight.dtype is dtype)
        and (bias is None or bias.dtype is dtype)
        and compiler.enabled()
    )


def _flat(p: Any, dtype: Any) -> Any:
    if p is None:
        return NONE[dtype]
    return p if p.ndim == 1 and p.flags.c_contiguous else np.ascontiguousarray(p).reshape(-1)


def _whole(x: Any) -> Any:
    return x if x.flags.c_contiguous else np.ascontiguousarray(x)


def rows(x: Any, weight: Any, bias: Any, axes: Any, eps: float, centre: bool) -> Any:
    """(y, mean, rstd) with weights along the last dimensions, the axes; None if NumPy has to."""
    if not _fits(x, weight, bias) or bias is not None and weight is None:
        return None
    shape, dtype = x.shape, x.dtype
    n = shape[-1] if len(axes) == 1 else prod([shape[a] for a in axes])
    if n < SHORT or not (weight is None or weight.size == n) or not (
        bias is None or bias.size == n
    ):  # fmt: skip
        return None
    size = (x.size // n, n)
    flat = x.reshape(size)  # a copy, where the strides ask for one
    if not flat.flags.c_contiguous:
        flat = np.ascontiguousarray(flat)
    y, mean, rstd = np.empty(size, dtype), np.empty(size[0], dtype), np.empty(size[0], dtype)
    call = _rows.parallel if threads.worthwhile(2 * x.size) else _rows.serial
    call(flat, _flat(weight, dtype), _flat(bias, dtype), eps, centre, y, mean, rstd)
    return y.reshape(shape), mean, rstd


def rows_backward(
    g: Any, x: Any, weight: Any, mean: Any, rstd: Any, centre: bool
) -> tuple[Any, Any, Any]:
    """The gradients of x, weight and bias, where `rows` has computed mean and rstd."""
    g, x = _whole(g), _whole(x)
    size = (mean.size, x.size // mean.size)
    tall = min(TALL, -(-size[0] // reductions.TASKS))
    tall = max(tall, min(size[0], -(-4096 // size[1])))
    parts = np.empty((-(-size[0] // tall), 2, size[1] if weight is not None else 0), x.dtype)
    out = np.empty(x.shape, x.dtype)
    args = g.reshape(size), x.reshape(size), _flat(weight, x.dtype), mean, rstd, centre, tall
    _rows_back.run(x.size * 2, *args, parts, out.reshape(size))
    if weight is None:
        return out, None, None
    both = np.add.reduce(parts, 0, F64).astype(x.dtype) if len(parts) > 1 else parts[0]
    return out, both[0].reshape(weight.shape), both[1].reshape(weight.shape)


def _layout(shape: Any, groups: int) -> tuple[int, int, int, int, int]:
    """(planes, size, members, first, step): mean q belongs to the planes q·first + t·step."""
    n, channels, size = shape[0], shape[1], prod(shape[2:])
    if not groups:
        return n * channels, size, n, 1, channels
    members = channels // groups
    return n * channels, size, members, members, 1


def _pieces(rows: int, n: int) -> tuple[int, int, int]:
    """(rows of a piece, pieces, blocks of columns) of a pass over all columns: whole rows, which
    are read in order, as long as there are enough of them for all threads.
    """
    tall = max(CHUNK, -(-rows // reductions.TASKS))
    count = -(-rows // tall)
    return tall, count, max(1, min(reductions.TASKS // count, n // 512))


def planes(x: Any, weight: Any, bias: Any, groups: int, eps: float, given: Any = None) -> Any:
    """(y, stats) of x (N, C, ...): mean, variance and rstd in float64 for each group of channels of
    each sample, or with groups = 0 for each channel, (3, their number). None if NumPy has to.

    `given`: the mean and variance of each channel, where they are known.
    """
    if not _fits(x, weight, bias) or x.ndim < 2:
        return None
    count, size, members, first, step = _layout(x.shape, groups)
    if size < SHORT and (groups or x.shape[1] * size < SHORT):
        return None
    x, dtype = _whole(x), x.dtype
    y, stats = np.empty(x.shape, dtype), np.empty((3, count // members))
    known = given is not None
    if known:
        stats[0], stats[1] = given
    w, b, eps = _flat(weight, dtype), _flat(bias, dtype), float(eps)
    if size < SHORT:
        shape = (len(x), x.shape[1] * size)
        tall, pieces, blocks = _pieces(*shape)
        flat, moments = x.reshape(shape), np.empty((2, 0 if known else pieces, shape[1]))
        if not known:
            chunk = min(CHUNK, max(8, (1 << 15) // shape[1]))
            _columns_moments.run(x.size, flat, tall, chunk, blocks, *moments)
        args = size, tall, *moments, eps, known, y.reshape(shape), stats
        _columns_apply.run(x.size, flat, w, b, *args)
    else:
        shape = (count, size)
        flat = x.reshape(shape), w, b, members, first, step, eps, known, y.reshape(shape), stats
        _planes.run(x.size * 2, *flat)
    return y, stats


def planes_backward(
    g: Any, x: Any, weight: Any, stats: Any, groups: int, moving: bool = True
) -> tuple[Any, Any, Any]:
    """The gradients of x, weight and bias, where `planes` has computed the statistics; they do not
    depend on x unless `moving`.
    """
    count, size, members, first, step = _layout(x.shape, groups)
    g, x = _whole(g), _whole(x)
    out, w, dtype = np.empty(x.shape, x.dtype), _flat(weight, x.dtype), x.dtype
    both = np.empty((2, x.shape[1]), dtype)
    if size < SHORT:
        shape = (len(x), x.shape[1] * size)
        tall, pieces, blocks = _pieces(*shape)
        pair, sums = (g.reshape(shape), x.reshape(shape)), np.empty((pieces, 2, shape[1]))
        _columns_sums.run(x.size, *pair, stats, size, tall, blocks, sums)
        _columns_back.run(x.size, *pair, w, stats, size, sums, moving, out.reshape(shape), both)
    else:
        shape = (count, size)
        flat = w, stats, members, first, step, moving, np.empty((2, count)), out.reshape(shape)
        _planes_back.run(x.size * 2, g.reshape(shape), x.reshape(shape), *flat, both)
    return out, both[0], both[1]


def move(running: Any, batch: Any, momentum: float, factor: float) -> None:
    """running ← (1 − momentum)·running + momentum·factor·batch, the sum in float64."""
    if running.ndim == 1 and running.dtype in NONE and compiler.enabled():
        _move.serial(running, batch, float(momentum), float(factor))
    else:
        running[...] = (1 - momentum) * running.astype(F64) + momentum * (factor * batch)
