"""Layer, RMS, batch, group and instance normalisation, forward and backward.

With x̂ = (x - mean)·rstd and h = ȳ·w, over the n elements that share mean and rstd:

    y = x̂ w + b,    x̄ = rstd·(h - Σh/n - x̂·Σ(h x̂)/n),    w̄ = Σ ȳ x̂,    b̄ = Σ ȳ

Only mean and rstd are kept for backward. There are three ways to lie in memory:

rows       (rows, n): each row has a mean, weights vary along it (layer, RMS)
planes     (planes, size): a few planes share a mean, each has one weight (batch, group, instance);
           those of one mean are one task, so that they are still in the cache when they are needed
           again
columns    (rows, n): each column has a mean and a weight (batch without space)

Sums over rows are cut into pieces that only the shape decides.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np

from . import compiler, reductions
from .compiler import REASSOCIATE, kernel, prange
from .reductions import F32, F64, row_moments, row_squares

ndarray = np.ndarray
NONE = {F32: np.empty(0, F32), F64: np.empty(0, F64)}

SMALL = 1024
"""Elements below which NumPy's passes are as fast as calling a kernel."""
SHORT = 16
"""Rows or planes shorter than this are left to NumPy (or, over a batch, are columns)."""
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
def _planes(x, w, b, members, first, step, eps, y, mean, var):
    size = x.shape[1]
    for q in prange(mean.size):
        m = s = count = 0.0
        for t in range(members):
            pm, ps = row_moments(x[q * first + t * step], 0, size)
            off = pm - m
            both = count + size
            m += off * size / both
            s += ps + off * off * count * size / both
            count = both
        mean[q], var[q] = m, s / count
        middle, r = x.dtype.type(m), x.dtype.type(1.0 / sqrt(s / count + eps))
        for t in range(members):
            p = q * first + t * step
            a, c = x[p], y[p]
            scale = r * w[p % w.size] if w.size else r
            shift = b[p % b.size] if b.size else x.dtype.type(0)
            for j in range(size):
                c[j] = (a[j] - middle) * scale + shift


@kernel(flags=REASSOCIATE)
def _planes_apply(x, mean, scale, shift, y):
    planes, size = x.shape
    for p in prange(planes):
        c = p % mean.size
        a, d, m, f, s = x[p], y[p], mean[c], scale[c], shift[c]
        for j in range(size):
            d[j] = (a[j] - m) * f + s


@kernel(flags=REASSOCIATE)
def _planes_back(g, x, w, mean, rstd, members, first, step, moving, sums, out):
    size = x.shape[1]
    for q in prange(mean.size):
        m, r = mean[q], rstd[q]
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


# ------------------------------------------------------------------------------ columns
@kernel(flags=REASSOCIATE)
def _columns_apply(x, mean, scale, shift, y):
    rows, n = x.shape
    for i in prange(rows):
        a, c = x[i], y[i]
        for j in range(n):
            c[j] = (a[j] - mean[j]) * scale[j] + shift[j]


@kernel(flags=REASSOCIATE)
def _columns_sums(g, x, mean, tall, sums):
    rows, n = x.shape
    blocks = (n + 127) // 128
    for task in prange(sums.shape[0] * blocks):
        k, start = task // blocks, task % blocks * 128
        width = min(n - start, 128)
        total, products = sums[k, 1, start : start + width], sums[k, 0, start : start + width]
        total[:] = 0.0
        products[:] = 0.0
        m = mean[start : start + width]
        u, v = np.empty(128, x.dtype), np.empty(128, x.dtype)
        end = min((k + 1) * tall, rows)
        for low in range(k * tall, end, 64):
            u[:] = x.dtype.type(0)
            v[:] = x.dtype.type(0)
            for i in range(low, min(low + 64, end)):
                a, c = g[i, start : start + width], x[i, start : start + width]
                for j in range(width):
                    u[j] += a[j]
                    v[j] += a[j] * (c[j] - m[j])
            for j in range(width):
                total[j] += u[j]
                products[j] += v[j]


@kernel(flags=REASSOCIATE)
def _columns_back(g, x, mean, scale, k1, k2, out):
    rows, n = x.shape
    for i in prange(rows):
        a, c, d = g[i], x[i], out[i]
        for j in range(n):
            d[j] = a[j] * scale[j] - k1[j] - (c[j] - mean[j]) * k2[j]


# ------------------------------------------------------------------------------ from NumPy
def _fits(x: Any, weight: Any, bias: Any, least: int = SMALL) -> bool:
    dtype = x.dtype
    return (
        x.size >= least
        and type(x) is ndarray
        and (dtype is F32 or dtype is F64)
        and (weight is None or weight.dtype is dtype)
        and (bias is None or bias.dtype is dtype)
        and compiler.enabled()
    )


def _flat(p: Any, dtype: Any) -> Any:
    return NONE[dtype] if p is None else np.ascontiguousarray(p).reshape(-1)


def rows(x: Any, weight: Any, bias: Any, axes: Any, eps: float, centre: bool) -> Any:
    """(y, mean, rstd) with weights along the last dimensions, the axes; None if NumPy has to."""
    if not _fits(x, weight, bias, SHORT) or bias is not None and weight is None:
        return None
    n = prod([x.shape[a] for a in axes])
    if n < SHORT or not (weight is None or weight.size == n) or not (
        bias is None or bias.size == n
    ):  # fmt: skip
        return None
    x = np.ascontiguousarray(x)
    y, size = np.empty(x.shape, x.dtype), (x.size // n, n)
    mean, rstd = np.empty(size[0], x.dtype), np.empty(size[0], x.dtype)
    args = x.reshape(size), _flat(weight, x.dtype), _flat(bias, x.dtype), float(eps), centre
    _rows.run(x.size * 2, *args, y.reshape(size), mean, rstd)
    return y, mean, rstd


def rows_backward(
    g: Any, x: Any, weight: Any, mean: Any, rstd: Any, centre: bool
) -> tuple[Any, Any, Any]:
    """The gradients of x, weight and bias, where `rows` has computed mean and rstd."""
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
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


def planes(x: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    """(y, mean, var) of x (N, C, ...) for each group of channels of each sample, or with groups = 0
    for each channel; mean and var in float64. None if NumPy has to.
    """
    if not _fits(x, weight, bias):
        return None
    count, size, members, first, step = _layout(x.shape, groups)
    x = np.ascontiguousarray(x)
    y, w, b = np.empty(x.shape, x.dtype), _flat(weight, x.dtype), _flat(bias, x.dtype)
    if size < SHORT:
        if groups or x.shape[1] * size < SHORT:
            return None
        return _columns(x, w, b, size, eps, y)
    mean, var = np.empty(count // members, F64), np.empty(count // members, F64)
    flat = x.reshape(count, size), w, b, members, first, step, float(eps)
    _planes.run(x.size * 2, *flat, y.reshape(count, size), mean, var)
    return y, mean, var


def _wide(p: Any, size: int) -> Any:
    return p if size == 1 else np.repeat(p, size)


def _columns(x: Any, w: Any, b: Any, size: int, eps: float, y: Any) -> Any:
    flat = x.reshape(len(x), -1)
    mean, squares = reductions.moments(flat[None])
    if size == 1:
        mean, squares = mean.reshape(-1), squares.reshape(-1)
    else:
        per_channel = mean.reshape(-1, size), squares.reshape(-1, size)
        mean, squares = reductions.joined(*per_channel, len(x), 1)
    var = squares / (len(x) * size)
    _apply_columns(flat, mean, 1 / np.sqrt(var + eps), w, b, size, y)
    return y, mean, var


def _apply_columns(flat: Any, mean: Any, rstd: Any, w: Any, b: Any, size: int, y: Any) -> None:
    dtype = flat.dtype
    scale = (rstd * w if w.size else rstd).astype(dtype)
    shift = b if b.size else np.zeros(len(mean), dtype)
    per_column = [_wide(v, size) for v in (mean.astype(dtype), scale, shift)]
    _columns_apply.run(flat.size, flat, *per_column, y.reshape(flat.shape))


def planes_backward(
    g: Any, x: Any, weight: Any, mean: Any, rstd: Any, groups: int, moving: bool = True
) -> tuple[Any, Any, Any]:
    """The gradients of x, weight and bias, where `planes` has computed mean and rstd; they do not
    depend on x unless `moving`.
    """
    count, size, members, first, step = _layout(x.shape, groups)
    g, x = np.ascontiguousarray(g), np.ascontiguousarray(x)
    out, w, dtype = np.empty(x.shape, x.dtype), _flat(weight, x.dtype), x.dtype
    if size < SHORT:
        sums = _columns_backward(g, x, w, mean, rstd, size, moving, out)
    else:
        sums = np.empty((2, count), F64)
        shape = (count, size)
        args = w, mean.astype(dtype), rstd.astype(dtype), members, first, step, moving, sums
        _planes_back.run(x.size * 2, g.reshape(shape), x.reshape(shape), *args, out.reshape(shape))
        sums = np.add.reduce(sums.reshape(2, -1, x.shape[1]), 1)
    both = sums.astype(dtype)
    return out, both[0], both[1]


def _columns_backward(
    g: Any, x: Any, w: Any, mean: Any, rstd: Any, size: int, moving: bool, out: Any
) -> Any:
    rows, dtype = len(x), x.dtype
    a, c = g.reshape(rows, -1), x.reshape(rows, -1)
    n = c.shape[1]
    tall = reductions._tall((1, rows, n), 64, 128)
    sums = np.empty((-(-rows // tall), 2, n), F64)
    wide = _wide(mean.astype(dtype), size)
    _columns_sums.run(x.size, a, c, wide, tall, sums)
    total = np.add.reduce(sums, 0)
    if size > 1:
        total = np.add.reduce(total.reshape(2, -1, size), 2)
    total[0] *= rstd
    scale, count = (rstd * w if w.size else rstd), rows * size
    k1 = scale * total[1] / count if moving else np.zeros(len(mean))
    k2 = scale * rstd * total[0] / count if moving else k1
    per_column = [_wide(v.astype(dtype), size) for v in (scale, k1, k2)]
    _columns_back.run(x.size, a, c, wide, *per_column, out.reshape(rows, -1))
    return total


def fixed(x: Any, weight: Any, bias: Any, mean: Any, rstd: Any) -> Any:
    """(x - mean)·rstd·w + b with a given mean and rstd of each channel (N, C, ...); None if NumPy
    has to.
    """
    if not _fits(x, weight, bias) or x.ndim < 2:
        return None
    size = prod(x.shape[2:])
    x = np.ascontiguousarray(x)
    y, dtype, w, b = (
        np.empty(x.shape, x.dtype),
        x.dtype,
        _flat(weight, x.dtype),
        _flat(bias, x.dtype),
    )
    if size < SHORT:
        if x.shape[1] * size < SHORT:
            return None
        _apply_columns(x.reshape(len(x), -1), mean, rstd, w, b, size, y)
        return y
    scale = (rstd * w if w.size else rstd).astype(dtype)
    shift = b if b.size else np.zeros(len(mean), dtype)
    shape = (len(x) * x.shape[1], size)
    _planes_apply.run(x.size, x.reshape(shape), mean.astype(dtype), scale, shift, y.reshape(shape))
    return y


def fixed_backward(g: Any, x: Any, weight: Any, mean: Any, rstd: Any) -> Any:
    """The gradients of x, weight and bias of `fixed`; None if NumPy has to."""
    if not _fits(x, weight, None) or g.dtype is not x.dtype:
        return None
    size = prod(x.shape[2:])
    if size < SHORT and x.shape[1] * size < SHORT:
        return None
    return planes_backward(g, x, weight, mean, rstd, 0, moving=False)
