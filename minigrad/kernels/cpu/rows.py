"""Softmax, its logarithm, and log-sum-exp along one dimension: a line is read from memory once.

An array in one piece is (outer, n, inner), and the lines run along the middle dimension. With
inner = 1 a line is a row: its maximum, the sum of its exponentials and its results are three passes
over one stretch in the cache. Else lines are columns, taken in blocks next to each other so that
each step is SIMD over a part of a row.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from . import compiler, scalars
from .compiler import REASSOCIATE, kernel, prange
from .reductions import REST, S31, SIGN, folded, ready

F32 = np.dtype(np.float32)
INT = np.int32
ZERO, ONE, LOW, HIGH = np.float32(0), np.float32(1), np.float32(-np.inf), np.float32(np.inf)
exp, log, where = scalars.exp, scalars.log, scalars.where
bits, from_bits = scalars.bits, scalars.from_bits

SMALL = 1
"""Elements below which there is nothing to do: one call of a kernel costs less than the formula's
calls of NumPy at any size."""
NARROW = 8
"""Columns below this number are not worth a kernel: most lanes would be idle."""


BOTTOM, ONE_BITS, S23 = np.float32(-87.33654), INT(0x3F800000), INT(23)
LOG2E, LN2_HI, LN2_LO, SHIFT = scalars.LOG2E, scalars.LN2_HI, scalars.LN2_LO, scalars.SHIFT
E2, E3, E4, E5, E6 = scalars.E2, scalars.E3, scalars.E4, scalars.E5, scalars.E6


# ------------------------------------------------------------------------------ one line
@kernel(inline=True)
def exp_down(x):
    """e**x for x that is not much above 0, two thirds of the work of scalars.exp: results that are
    not normal numbers become 0. nan stays, infinity becomes nan.
    """
    low = x < BOTTOM
    c = where(low, BOTTOM, x)
    t = c * LOG2E + SHIFT
    n = t - SHIFT
    r = (c - n * LN2_HI) - n * LN2_LO
    p = E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))
    y = (ONE + (r + r * r * p)) * from_bits(INT(INT(bits(t) << S23) + ONE_BITS))
    return where(low, ZERO, y)


@kernel(inline=True)
def row_top(row):
    """The largest element, or 0 if that is infinite; a nan may be missed (the sum has it).

    Compared as integers in the same order, because only their maximum is SIMD without licence to
    forget about nan.
    """
    top = SIGN
    for j in range(row.size):
        b = bits(row[j])
        key = INT(b ^ INT(INT(b >> S31) & REST))
        top = where(key > top, key, top)
    value = from_bits(INT(top ^ INT(INT(top >> S31) & REST)))
    return where(abs(value) < HIGH, value, ZERO)


# Sums in any order are for these alone: (x - top) - log Σ as x - (top + log Σ) would lose digits.
@kernel(inline=True, flags=REASSOCIATE)
def row_exps(row, top):
    """Σ exp(row - top)."""
    total = ZERO
    for j in range(row.size):
        total += exp(row[j] - top)
    return total


@kernel(inline=True, flags=REASSOCIATE)
def row_exps_down(row, top):
    """Σ exp(row - top) where no element is infinite."""
    total = ZERO
    for j in range(row.size):
        total += exp_down(row[j] - top)
    return total


@kernel(inline=True, flags=REASSOCIATE)
def _weights(row, top, to):
    """exp(row - top) into `to`, and their sum."""
    total = ZERO
    for j in range(row.size):
        e = exp_down(row[j] - top)
        to[j] = e
        total += e
    return total


@kernel(inline=True, flags=REASSOCIATE)
def _total(row):
    """Σ row."""
    total = ZERO
    for j in range(row.size):
        total += row[j]
    return total


@kernel(inline=True, flags=REASSOCIATE)
def _product(a, b):
    """Σ a·b."""
    total = ZERO
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@kernel
def _softmax_rows(x, logarithm, y):
    rows, n = x.shape
    for i in prange(rows):
        a, b = x[i], y[i]
        top = row_top(a)
        if logarithm:
            off = log(row_exps_down(a, top))
            for j in range(n):
                b[j] = (a[j] - top) - off
        else:
            scale = ONE / _weights(a, top, b)
            for j in range(n):
                b[j] *= scale


@kernel
def _softmax_columns(x, logarithm, y):
    outer, n, inner = x.shape
    blocks = (inner + 127) // 128
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        top, total = np.empty(128, np.float32), np.zeros(128, np.float32)
        column_tops(x, o, first, width, top)
        if logarithm:
            for i in range(n):
                a = x[o, i, first : first + width]
                for j in range(width):
                    total[j] += exp_down(a[j] - top[j])
            for j in range(width):
                total[j] = log(total[j])
            for i in range(n):
                a, b = x[o, i, first : first + width], y[o, i, first : first + width]
                for j in range(width):
                    b[j] = (a[j] - top[j]) - total[j]
        else:
            for i in range(n):
                a, b = x[o, i, first : first + width], y[o, i, first : first + width]
                for j in range(width):
                    e = exp_down(a[j] - top[j])
                    b[j] = e
                    total[j] += e
            for j in range(width):
                total[j] = ONE / total[j]
            for i in range(n):
                b = y[o, i, first : first + width]
                for j in range(width):
                    b[j] *= total[j]


@kernel(inline=True)
def column_tops(x, o, first, width, top):
    """The largest element of each column, or 0 if that is infinite."""
    top[:] = LOW
    for i in range(x.shape[1]):
        a = x[o, i, first : first + width]
        for j in range(width):
            top[j] = where(a[j] > top[j], a[j], top[j])
    for j in range(width):
        top[j] = where(abs(top[j]) < HIGH, top[j], ZERO)


# ------------------------------------------------------------------------------ backward
@kernel
def _softmax_rows_back(g, y, logarithm, out):
    rows, n = y.shape
    for i in prange(rows):
        a, b, c = g[i], y[i], out[i]
        if logarithm:
            total = _total(a)
            for j in range(n):
                c[j] = a[j] - exp_down(b[j]) * total
        else:
            total = _product(a, b)
            for j in range(n):
                c[j] = b[j] * (a[j] - total)


@kernel
def _softmax_columns_back(g, y, logarithm, out):
    outer, n, inner = y.shape
    blocks = (inner + 127) // 128
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        total = np.zeros(128, np.float32)
        for i in range(n):
            a, b = g[o, i, first : first + width], y[o, i, first : first + width]
            if logarithm:
                for j in range(width):
                    total[j] += a[j]
            else:
                for j in range(width):
                    total[j] += a[j] * b[j]
        for i in range(n):
            a, b = g[o, i, first : first + width], y[o, i, first : first + width]
            c = out[o, i, first : first + width]
            if logarithm:
                for j in range(width):
                    c[j] = a[j] - exp_down(b[j]) * total[j]
            else:
                for j in range(width):
                    c[j] = b[j] * (a[j] - total[j])


# ------------------------------------------------------------------------------ log-sum-exp
@kernel
def _logsumexp_rows(x, y):
    for i in prange(x.shape[0]):
        top = row_top(x[i])
        y[i] = log(row_exps(x[i], top)) + top


@kernel
def _logsumexp_columns(x, y):
    outer, n, inner = x.shape
    blocks = (inner + 127) // 128
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        top, total = np.empty(128, np.float32), np.zeros(128, np.float32)
        column_tops(x, o, first, width, top)
        for i in range(n):
            a = x[o, i, first : first + width]
            for j in range(width):
                total[j] += exp(a[j] - top[j])
        b = y[o, first : first + width]
        for j in range(width):
            b[j] = log(total[j]) + top[j]


@kernel
def _logsumexp_back(x, y, g, out):
    outer, n, inner = x.shape
    for task in prange(outer * n):
        o, i = task // n, task % n
        a, b, c, d = x[o, i], y[o], g[o], out[o, i]
        for j in range(inner):
            d[j] = c[j] * exp(a[j] - where(b[j] == LOW, ZERO, b[j]))


@kernel
def _logsumexp_rows_back(x, y, g, out):
    rows, n = x.shape
    for i in prange(rows):
        a, c, d = x[i], g[i], out[i]
        base = where(y[i] == LOW, ZERO, y[i])
        for j in range(n):
            d[j] = c * exp(a[j] - base)


# ------------------------------------------------------------------------------ from NumPy
def lines(x: Any, axis: int) -> tuple[int, int, int] | None:
    """(outer, n, inner) if x, float32 in one piece, is worth a kernel along this dimension."""
    if x.size < SMALL or x.dtype is not F32 or not x.flags.c_contiguous or not compiler.enabled():
        return None
    if type(x) is not np.ndarray:
        return None
    last = x.ndim - 1
    if axis == last or axis == -1:
        n = x.shape[last]
        return x.size // n, n, 1
    axis %= x.ndim
    shape = prod(x.shape[:axis]), x.shape[axis], prod(x.shape[axis + 1 :])
    return None if 1 < shape[2] < NARROW else shape


def softmax(x: Any, axis: int, logarithm: bool = False) -> Any:
    """exp(x - max x)/Σ along `axis`, or its logarithm; None where the formula has to do it."""
    if x.size < SMALL or x.dtype is not F32 or type(x) is not np.ndarray:
        return None
    if not x.flags.c_contiguous:
        x = np.ascontiguousarray(x)
    shape = lines(x, axis)
    if shape is None:
        return None
    y = np.empty(x.shape, F32)
    if shape[2] == 1:
        size = shape[:2]
        _softmax_rows.run(x.size * 4, x.reshape(size), logarithm, y.reshape(size))
    else:
        _softmax_columns.run(x.size * 4, x.reshape(shape), logarithm, y.reshape(shape))
    return y


def softmax_backward(g: Any, y: Any, axis: int, logarithm: bool = False) -> Any:
    """The gradient of x from those of y = softmax(x), or of its logarithm; None as above."""
    if y.size < SMALL or g.dtype is not F32:
        return None
    shape = lines(y, axis)
    if shape is None:
        return None
    out = np.empty(y.shape, F32)
    if not g.flags.c_contiguous:
        g = np.ascontiguousarray(g)
    if shape[2] == 1:
        size = shape[:2]
        _softmax_rows_back.run(
            y.size * 2, g.reshape(size), y.reshape(size), logarithm, out.reshape(size)
        )
    else:
        _softmax_columns_back.run(
            y.size * 2, g.reshape(shape), y.reshape(shape), logarithm, out.reshape(shape)
        )
    return out


def logsumexp(x: Any, axes: tuple[int, ...], keepdim: bool) -> Any:
    """log Σ exp x over neighbouring dimensions; None where the formula has to do it."""
    if x.size < SMALL or x.dtype is not F32 or (found := ready(x, axes, SMALL)) is None:
        return None
    z, axes = found
    shape = folded(z.shape, axes)
    if z is not x or shape is None or 1 < shape[2] < NARROW:
        return None
    y = np.empty((shape[0], shape[2]), F32)
    if shape[2] == 1:
        _logsumexp_rows.run(x.size * 4, x.reshape(shape[:2]), y.reshape(-1))
    else:
        _logsumexp_columns.run(x.size * 4, x.reshape(shape), y)
    if keepdim:
        return y.reshape([1 if d in axes else n for d, n in enumerate(x.shape)])
    return y.reshape([n for d, n in enumerate(x.shape) if d not in axes])


def logsumexp_backward(g: Any, x: Any, y: Any, axes: tuple[int, ...]) -> Any:
    """ȳ e^(x-y); None where the formula has to do it."""
    if x.size < SMALL or x.dtype is not F32 or g.dtype is not F32:
        return None
    if not x.flags.c_contiguous or not compiler.enabled():
        return None
    shape = folded(x.shape, axes)
    if shape is None or 1 < shape[2] < NARROW:
        return None
    out = np.empty(x.shape, F32)
    g, y = [np.ascontiguousarray(v) for v in (g, y)]
    if shape[2] == 1:
        size = shape[:2]
        args = x.reshape(size), y.reshape(-1), g.reshape(-1), out.reshape(size)
        _logsumexp_rows_back.run(x.size * 4, *args)
    else:
        size = shape[0], shape[2]
        args = x.reshape(shape), y.reshape(size), g.reshape(size), out.reshape(shape)
        _logsumexp_back.run(x.size * 4, *args)
    return out
