"""Cumulative sums, products and log-sums: what each element is to be depends on the one before.

A chain of additions waits four cycles for each. Therefore four chains are walked at a time: of four
rows, or of four pieces of one row, whose sums have been taken before. Along other dimensions than
the last, neighbouring columns are one SIMD chain. Sums of float32 run in float64, as in PyTorch.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import compiler, rows, scalars
from .compiler import REASSOCIATE, kernel, prange
from .reductions import F32, F64

exp, log, where = scalars.exp, scalars.log, scalars.where
exp_down, bits = rows.exp_down, scalars.bits
ZERO, ONE = np.float32(0), np.float32(1)
LOW, HIGH, FAR = np.float32(-np.inf), np.float32(np.inf), np.float32(60)

SMALL = 2048
"""Elements below which NumPy is at least as fast."""
NARROW = 16
"""Columns below this number are left to NumPy."""


# ------------------------------------------------------------------------------ sums and products
@kernel(inline=True)
def _chain(x, y, begin, step, start, stop, times, value):
    """One chain from its element `start` to `stop`; returns its last value."""
    for j in range(start, stop):
        p = begin + step * j
        value = value * x[p] if times else value + x[p]
        y[p] = value
    return value


@kernel
def _rows(x, times, reverse, piece, offsets, y):
    n = x.shape[1]
    pieces = offsets.shape[1]
    chains = offsets.size
    step = -1 if reverse else 1
    for group in prange((chains + 3) // 4):
        first = group * 4
        common = piece if first + 3 < chains else 0
        for v in range(first, min(first + 4, chains)):
            common = min(common, n - v % pieces * piece)
        s = np.empty(4, np.float64)
        for c in range(min(4, chains - first)):
            s[c] = offsets[(first + c) // pieces, (first + c) % pieces]
        if common > 0:
            i0, i1 = first // pieces, (first + 1) // pieces
            i2, i3 = (first + 2) // pieces, (first + 3) // pieces
            a0, a1, a2, a3 = x[i0], x[i1], x[i2], x[i3]
            b0, b1, b2, b3 = y[i0], y[i1], y[i2], y[i3]
            p0, p1 = first % pieces * piece, (first + 1) % pieces * piece
            p2, p3 = (first + 2) % pieces * piece, (first + 3) % pieces * piece
            if reverse:
                p0, p1 = min(p0 + piece, n) - 1, min(p1 + piece, n) - 1
                p2, p3 = min(p2 + piece, n) - 1, min(p3 + piece, n) - 1
            s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
            if times:
                for j in range(common):
                    k = step * j
                    s0 *= a0[p0 + k]
                    s1 *= a1[p1 + k]
                    s2 *= a2[p2 + k]
                    s3 *= a3[p3 + k]
                    b0[p0 + k], b1[p1 + k], b2[p2 + k], b3[p3 + k] = s0, s1, s2, s3
            else:
                for j in range(common):
                    k = step * j
                    s0 += a0[p0 + k]
                    s1 += a1[p1 + k]
                    s2 += a2[p2 + k]
                    s3 += a3[p3 + k]
                    b0[p0 + k], b1[p1 + k], b2[p2 + k], b3[p3 + k] = s0, s1, s2, s3
            s[0], s[1], s[2], s[3] = s0, s1, s2, s3
        for c in range(min(4, chains - first)):
            i, low = (first + c) // pieces, (first + c) % pieces * piece
            size = min(piece, n - low)
            begin = low + size - 1 if reverse else low
            s[c] = _chain(x[i], y[i], begin, step, common, size, times, s[c])


@kernel
def _columns(x, times, reverse, y):
    outer, n, inner = x.shape
    blocks = (inner + 255) // 256
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 256
        width = min(inner - first, 256)
        s = np.empty(256, np.float64)
        s[:] = 1.0 if times else 0.0
        for k in range(n):
            i = n - 1 - k if reverse else k
            a, b = x[o, i, first : first + width], y[o, i, first : first + width]
            if times:
                for j in range(width):
                    s[j] *= a[j]
                    b[j] = s[j]
            else:
                for j in range(width):
                    s[j] += a[j]
                    b[j] = s[j]


@kernel(flags=REASSOCIATE)
def _piece_sums(x, piece, y):
    for k in prange(y.size):
        part = x[k * piece : min((k + 1) * piece, x.size)]
        s = 0.0
        for j in range(part.size):
            s += np.float64(part[j])
        y[k] = s


def _shape(x: Any, dim: int, y: Any = None) -> tuple[int, int, int] | None:
    """(outer, n, inner) if x, in one piece, is worth a kernel along this dimension."""
    if x.size < SMALL or type(x) is not np.ndarray or not compiler.enabled():
        return None
    if x.dtype is not F32 and x.dtype is not F64:
        return None
    inner = prod(x.shape[dim + 1 :])
    return None if 1 < inner < NARROW else (prod(x.shape[:dim]), x.shape[dim], inner)


def accumulate(x: Any, dim: int, times: bool, reverse: bool) -> Any:
    """Sums (or products) of the elements so far along `dim`; None where NumPy has to do it."""
    shape = _shape(x, dim)
    if shape is None:
        return None
    x = np.ascontiguousarray(x)
    outer, n, inner = shape
    y = np.empty(x.shape, x.dtype)
    if inner > 1:
        _columns.run(x.size * 2, x.reshape(shape), times, reverse, y.reshape(shape))
        return y
    z = x.reshape(outer, n)
    piece = n
    if outer < 8 and n >= 4096 and not times:
        piece = -(-n // 16)
    offsets = np.ones((outer, 1), F64) if times else np.zeros((outer, -(-n // piece)), F64)
    if piece < n:
        for i in range(outer):
            _piece_sums.run(n, z[i], piece, offsets[i])
        if reverse:
            offsets = np.cumsum(offsets[:, ::-1], 1)[:, ::-1] - offsets
        else:
            offsets = np.cumsum(offsets, 1) - offsets
        offsets = np.ascontiguousarray(offsets)
        if not np.isfinite(offsets).all():  # inf - inf: only the elements so far may count
            piece, offsets = n, np.zeros((outer, 1), F64)
    _rows.run(x.size * 2, z, times, reverse, piece, offsets, y.reshape(outer, n))
    return y


# ------------------------------------------------------------------------------ log-sums
@kernel(inline=True)
def _joined(x, m, s):
    """(m, s) with m + log s = log(e^x + s e^m): the larger exponent, and the sum relative to it."""
    e = where(x == m, ONE, exp(-abs(x - m)))
    up = x > m
    return where(up, x, m), where(up, s * e + ONE, s + e)


@kernel
def _log_rows(x, y):
    rows, n = x.shape
    for i in prange(rows):
        m, s = LOW, ZERO
        e = np.empty(64, np.float32)
        for start in range(0, n, 64):
            a, b = x[i, start : min(start + 64, n)], y[i, start : min(start + 64, n)]
            top, bottom = m, ZERO
            for j in range(a.size):
                top = where(a[j] > top, a[j], top)
                bottom += a[j] * ZERO  # nan if any is not finite
            near = where(a[0] > m, a[0], m)
            if bottom == ZERO and top - near <= FAR:
                s *= exp(m - top)
                m = top
                for j in range(a.size):
                    e[j] = exp_down(a[j] - top)
                for j in range(a.size):
                    s += e[j]
                    e[j] = s
                for j in range(a.size):
                    b[j] = log(e[j]) + top
            else:
                for j in range(a.size):
                    m, s = _joined(a[j], m, s)
                    b[j] = m + log(s)


@kernel
def _log_columns(x, y):
    outer, n, inner = x.shape
    blocks = (inner + 127) // 128
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        m, s = np.empty(128, np.float32), np.zeros(128, np.float32)
        m[:] = LOW
        for i in range(n):
            a, b = x[o, i, first : first + width], y[o, i, first : first + width]
            for j in range(width):
                e = where(a[j] == m[j], ONE, exp(-abs(a[j] - m[j])))
                up = a[j] > m[j]
                s[j] = where(up, s[j] * e + ONE, s[j] + e)
                m[j] = where(up, a[j], m[j])
                b[j] = m[j] + log(s[j])


@kernel(inline=True)
def _ratio(low, high):
    """e^(low - high), where low <= high; 1 if they are the same infinity."""
    return where((low == high) & (abs(low) == HIGH), ONE, exp(low - high))


@kernel
def _log_rows_back(g, x, y, out):
    rows, n = x.shape
    for i in prange(rows):
        rest = ZERO
        e = np.empty(64, np.float32)
        for k in range((n + 63) // 64):
            stop = n - k * 64
            start = max(stop - 64, 0)
            width = stop - start
            a, b = x[i, start:stop], y[i, start:stop]
            c, d = g[i, start:stop], out[i, start:stop]
            later = y[i, start + 1 : min(stop + 1, n)]
            for j in range(later.size):
                e[j] = _ratio(b[j], later[j])
            if later.size < width:
                e[width - 1] = ZERO
            for j in range(width - 1, -1, -1):
                rest = c[j] + e[j] * rest
                e[j] = rest
            for j in range(width):
                d[j] = _ratio(a[j], b[j]) * e[j]


@kernel
def _log_columns_back(g, x, y, out):
    outer, n, inner = x.shape
    blocks = (inner + 127) // 128
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        rest = np.zeros(128, np.float32)
        for k in range(n):
            i = n - 1 - k
            a, b = x[o, i, first : first + width], y[o, i, first : first + width]
            c, d = g[o, i, first : first + width], out[o, i, first : first + width]
            if k:
                later = y[o, i + 1, first : first + width]
                for j in range(width):
                    rest[j] = c[j] + _ratio(b[j], later[j]) * rest[j]
            else:
                for j in range(width):
                    rest[j] = c[j]
            for j in range(width):
                d[j] = _ratio(a[j], b[j]) * rest[j]


def logcumsumexp(x: Any, dim: int) -> Any:
    """log Σ exp of the elements so far along `dim`; None where NumPy has to do it."""
    shape = _shape(x, dim)
    if shape is None or x.dtype is not F32:
        return None
    x = np.ascontiguousarray(x)
    y = np.empty(x.shape, F32)
    if shape[2] == 1:
        _log_rows.run(x.size * 8, x.reshape(shape[:2]), y.reshape(shape[:2]))
    else:
        _log_columns.run(x.size * 8, x.reshape(shape), y.reshape(shape))
    return y


def logcumsumexp_backward(g: Any, x: Any, y: Any, dim: int) -> Any:
    """x̄_k = e^(x_k - y_k) r_k,  r_k = ȳ_k + e^(y_k - y_k+1) r_k+1; None as above."""
    shape = _shape(x, dim)
    if shape is None or x.dtype is not F32 or g.dtype is not F32:
        return None
    out = np.empty(x.shape, F32)
    size = shape[:2] if shape[2] == 1 else shape
    args = [np.ascontiguousarray(v).reshape(size) for v in (g, x, y)]
    chosen = _log_rows_back if shape[2] == 1 else _log_columns_back
    chosen.run(x.size * 8, *args, out.reshape(size))
    return out
