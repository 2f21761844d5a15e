"""Losses as one number: each element is compared and summed in the pass that reads it.

Cross entropy keeps the logarithm of the sum of exponentials of each place, and nothing of the
logits' size. A loss of numbers against numbers (squares, absolute values, Huber's, Bernoulli's ...)
is a formula of two numbers and a parameter, and so is its slope: `Pair` puts them into a sum and
a map.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from . import compiler, rows, scalars
from .compiler import REASSOCIATE, Kernel, kernel, prange
from .reductions import F32, F64

exp, log, log1p, where = scalars.exp, scalars.log, scalars.log1p, scalars.where
maximum, sigmoid = scalars.maximum, scalars.sigmoid
row_top, row_exps_down = rows.row_top, rows.row_exps_down
column_tops, exp_down = rows.column_tops, rows.exp_down
ZERO, ONE, LOW = np.float32(0), np.float32(1), np.float32(-np.inf)
ndarray = np.ndarray
NONE = np.empty(0, F32)

SMALL = 1
"""Elements below which there is nothing to do: one call of a kernel costs less than the formula's
calls of NumPy at any size."""
PIECE = 1 << 14
"""Pairs of one task."""


# ------------------------------------------------------------------------------ cross entropy
@kernel(inline=True, flags=REASSOCIATE)
def _spread(a, w, top):
    """Σ w_c (a_c - top), with w = 1 if there are no weights."""
    total = ZERO
    if w.size:
        for j in range(a.size):
            total += w[j] * (a[j] - top)
    else:
        for j in range(a.size):
            total += a[j] - top
    return total


@kernel(inline=True)
def _whole(w, classes):
    """Σ w."""
    total = np.float32(classes)
    if w.size:
        total = ZERO
        for j in range(classes):
            total += w[j]
    return total


@kernel
def _rows(x, t, w, ignore, smoothing, lse, scale, loss):
    places, classes = x.shape
    whole = _whole(w, classes)
    even, hit = np.float32(smoothing / classes), np.float32(1.0 - smoothing)
    for i in prange(places):
        a, c = x[i], t[i]
        base = weight = value = ZERO
        if c != ignore:
            if c < 0 or c >= classes:
                weight = LOW
            else:
                top = row_top(a)
                off = log(row_exps_down(a, top))
                base = off + top
                weight = w[c] if w.size else ONE
                value = hit * weight * (off - (a[c] - top))
                if smoothing > 0.0:
                    value += even * (whole * off - _spread(a, w, top))
        lse[i], scale[i], loss[i] = base, weight, value


@kernel
def _rows_back(g, x, t, w, whole, smoothing, lse, scale, out):
    places, classes = x.shape
    even, hit = np.float32(smoothing / classes), np.float32(1.0 - smoothing)
    for i in prange(places):
        a, d, base, c = x[i], out[i], lse[i], t[i]
        each = g[i] if g.size > 1 else g[0]
        if c < 0 or c >= classes or (scale[i] == ZERO and smoothing == 0.0):
            for j in range(classes):
                d[j] = ZERO
        else:
            f, e = each * (hit * scale[i] + even * whole), each * even
            at = each * hit * scale[i]
            # not `d[c] -= at` after the loop: Numba's parallel code moves its read to before it
            for j in range(classes):
                d[j] = f * exp_down(a[j] - base) - where(j == c, at, ZERO)
            if smoothing > 0.0:
                if w.size:
                    for j in range(classes):
                        d[j] -= e * w[j]
                else:
                    for j in range(classes):
                        d[j] -= e


@kernel
def _columns(x, t, w, ignore, smoothing, lse, scale, loss):
    outer, classes, inner = x.shape
    blocks = (inner + 127) // 128
    whole = _whole(w, classes)
    even, hit = np.float32(smoothing / classes), np.float32(1.0 - smoothing)
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        top, total = np.empty(128, np.float32), np.zeros(128, np.float32)
        spread = np.zeros(128, np.float32)
        column_tops(x, o, first, width, top)
        for i in range(classes):
            a = x[o, i, first : first + width]
            for j in range(width):
                total[j] += exp_down(a[j] - top[j])
            if smoothing > 0.0:
                f = w[i] if w.size else ONE
                for j in range(width):
                    spread[j] += f * (a[j] - top[j])
        for j in range(width):
            total[j] = log(total[j])
        for j in range(width):
            k, c = first + j, t[o, first + j]
            if c == ignore:
                lse[o, k] = scale[o, k] = loss[o, k] = ZERO
            elif c < 0 or c >= classes:
                lse[o, k], scale[o, k], loss[o, k] = ZERO, LOW, ZERO
            else:
                lse[o, k] = total[j] + top[j]
                scale[o, k] = w[c] if w.size else ONE
                value = hit * scale[o, k] * (total[j] - (x[o, c, k] - top[j]))
                if smoothing > 0.0:
                    value += even * (whole * total[j] - spread[j])
                loss[o, k] = value


@kernel
def _columns_back(g, x, t, w, whole, smoothing, lse, scale, ignore, out):
    outer, classes, inner = x.shape
    blocks = (inner + 127) // 128
    even, hit = np.float32(smoothing / classes), np.float32(1.0 - smoothing)
    for task in prange(outer * blocks):
        o, first = task // blocks, task % blocks * 128
        width = min(inner - first, 128)
        f, e = np.empty(128, np.float32), np.empty(128, np.float32)
        base, at = np.empty(128, np.float32), np.empty(128, np.float32)
        hits = np.empty(128, np.int32)
        for j in range(width):
            each = g[o, first + j] if g.size > 1 else g[0, 0]
            used = t[o, first + j] != ignore
            base[j] = lse[o, first + j]
            f[j] = each * (hit * scale[o, first + j] + even * whole) if used else ZERO
            e[j] = each * even if used else ZERO
            at[j] = each * hit * scale[o, first + j] if used else ZERO
            hits[j] = t[o, first + j]
        for i in range(classes):
            a, d = x[o, i, first : first + width], out[o, i, first : first + width]
            wi = w[i] if w.size else ONE
            for j in range(width):
                part = f[j] * exp_down(a[j] - base[j]) - e[j] * wi
                part = where(hits[j] == i, part - at[j], part)
                d[j] = where(f[j] == ZERO, ZERO, part)


def _shape(x: Any) -> tuple[int, int, int] | None:
    """(N, C, M), or (N, C, 1) where the classes are the last dimension; None: not worth it."""
    if x.size < SMALL or x.dtype is not F32 or type(x) is not ndarray:
        return None
    if x.ndim < 2 or not x.shape[1] or not compiler.enabled():
        return None
    inner = prod(x.shape[2:])
    return None if 1 < inner < rows.NARROW else (x.shape[0], x.shape[1], inner)


def _numbers(w: Any) -> Any:
    return NONE if w is None else np.ascontiguousarray(w)


def cross_entropy(x: Any, t: Any, w: Any, ignore: int, smoothing: float) -> Any:
    """(loss, lse, scale) of each place, for logits x (N, C, ...) and int64 classes t (N, ...):

        loss = (1-ε) w_t (lse - x_t) + ε/C Σ_c w_c (lse - x_c),   scale = w_t

    all 0 where t is `ignore`; scale is -inf where t is no class. None where the formula has to do
    it.
    """
    shape = _shape(x)
    if shape is None or t.dtype != np.int64 or not (w is None or w.dtype is F32):
        return None
    x, t = np.ascontiguousarray(x), np.ascontiguousarray(t)
    lse, scale, loss = [np.empty(t.shape, F32) for _ in range(3)]  # the loss is a result
    if shape[2] == 1:
        args = _numbers(w), ignore, float(smoothing), lse.ravel(), scale.ravel(), loss.ravel()
        _rows.run(x.size * 4, x.reshape(shape[:2]), t.ravel(), *args)
    else:
        size = shape[0], shape[2]
        flat = [v.reshape(size) for v in (lse, scale, loss)]
        args = _numbers(w), ignore, float(smoothing)
        _columns.run(x.size * 4, x.reshape(shape), t.reshape(size), *args, *flat)
    return loss, lse, scale


def cross_entropy_backward(
    g: Any, x: Any, t: Any, w: Any, ignore: int, smoothing: float, lse: Any, scale: Any
) -> Any:
    """The gradient of the logits; g is that of each place's loss, or one number for all."""
    shape = _shape(x)
    assert shape is not None
    x, t = np.ascontiguousarray(x), np.ascontiguousarray(t)
    g = np.ascontiguousarray(g, F32)
    whole = np.float32(shape[1] if w is None else w.sum())
    out, w = np.empty(x.shape, F32), _numbers(w)
    if shape[2] == 1:
        used = t.ravel()
        if smoothing and 0 <= ignore < shape[1]:  # without it the scale says so
            used = np.where(used == ignore, -1, used)
        args = w, whole, float(smoothing), lse.ravel(), scale.ravel()
        size = shape[:2]
        _rows_back.run(x.size * 4, g.ravel(), x.reshape(size), used, *args, out.reshape(size))
    else:
        size = shape[0], shape[2]
        g = g.reshape(size if g.size > 1 else (1, 1))
        args = w, whole, float(smoothing), lse.reshape(size), scale.reshape(size), ignore
        _columns_back.run(
            x.size * 4, g, x.reshape(shape), t.reshape(size), *args, out.reshape(shape)
        )
    return out


@kernel
def _totals(loss, scale):
    total = weights = 0.0
    least = np.float32(np.inf)
    for i in range(loss.size):
        total += loss[i]
        weights += scale[i]
        least = min(least, scale[i])
    return total, weights, least


def totals(loss: Any, scale: Any) -> tuple[float, float, float]:
    """(Σ loss, Σ scale, min scale) of what `cross_entropy` gave, summed in float64."""
    return _totals.serial(loss.ravel(), scale.ravel())


# ------------------------------------------------------------------------------ pairs
def _total(x, t, number, parts):
    n = x.size
    for k in prange(parts.size):
        total = 0.0
        for start in range(k * 16384, min((k + 1) * 16384, n), 1024):
            a, b = x[start : min(start + 1024, n)], t[start : min(start + 1024, n)]
            s = ZERO
            for j in range(a.size):
                s += VALUE(a[j], b[j], number)
            total += s
        parts[k] = total


def _slopes(x, t, number, g, out):
    n = x.size
    for k in prange((n + 16383) // 16384):
        start, stop = k * 16384, min((k + 1) * 16384, n)
        a, b, c = x[start:stop], t[start:stop], out[start:stop]
        for j in range(a.size):
            c[j] = g * SLOPE(a[j], b[j], number)


VALUE: Any = None
SLOPE: Any = None


class Pair:
    """Σ value(x, t, number) over all pairs, and g·slope(x, t, number) of each."""

    def __init__(self, value: Callable, slope: Callable):
        self.total = self._filled(_total, "VALUE", value)
        self.slopes = self._filled(_slopes, "SLOPE", slope)

    def _filled(self, template: Any, name: str, formula: Callable) -> Kernel:
        names = {**template.__globals__, name: Kernel(formula, compiler.EXACT, inline=True)}
        title = f"{template.__name__}_{formula.__name__}"
        copy = types.FunctionType(template.__code__, names, title)
        copy.__qualname__, copy.__module__ = title, __name__
        return Kernel(copy, REASSOCIATE, inline=False)

    def sum(self, x: Any, t: Any, number: float) -> float | None:
        """The sum of all values; None where NumPy has to do it."""
        if not fits(x, t):
            return None
        x, t = x.ravel(), t.ravel()
        parts = np.empty(-(-x.size // PIECE), F64)
        self.total.run(x.size * 2, x, t, np.float32(number), parts)
        return parts.item() if parts.size == 1 else float(np.add.reduce(parts))

    def gradient(self, g: Any, x: Any, t: Any, number: float) -> Any:
        """The gradient of x for one number g; None where NumPy has to do it."""
        if not fits(x, t):
            return None
        out = np.empty(x.shape, F32)
        self.slopes.run(
            x.size, x.ravel(), t.ravel(), np.float32(number), np.float32(g), out.ravel()
        )
        return out


def fits(x: Any, t: Any) -> bool:
    """Whether x and t are worth a kernel."""
    return (
        x.size >= SMALL
        and x.dtype is F32
        and t.dtype is F32
        and type(x) is ndarray
        and x.shape == t.shape
        and compiler.enabled()
    )


HALF, TWO, HUNDRED, TINY = np.float32(0.5), np.float32(2), np.float32(-100), np.float32(1e-12)


def _square(x, t, number):
    return (x - t) * (x - t)


def _square_slope(x, t, number):
    return TWO * (x - t)


def _distance(x, t, number):
    return abs(x - t)


def _distance_slope(x, t, number):
    d = x - t
    return where(d > ZERO, ONE, where(d < ZERO, -ONE, ZERO))


def _smooth(x, t, beta):
    d = abs(x - t)
    return where(d < beta, d * d * (HALF / beta), d - HALF * beta)


def _smooth_slope(x, t, beta):
    d = x - t
    return where(abs(d) < beta, d / beta, where(d > ZERO, ONE, -ONE))


def _huber(x, t, delta):
    d = abs(x - t)
    return where(d <= delta, HALF * d * d, delta * (d - HALF * delta))


def _huber_slope(x, t, delta):
    d = x - t
    return where(abs(d) <= delta, d, where(d > ZERO, delta, -delta))


def _bernoulli(p, t, number):
    no, yes = maximum(log1p(-p), HUNDRED), maximum(log(p), HUNDRED)
    return (t - ONE) * no - t * yes


def _bernoulli_slope(p, t, number):
    return (p - t) / maximum(p * (ONE - p), TINY)


def _logits(x, t, number):
    return (ONE - t) * x + maximum(-x, ZERO) + log1p(exp(-abs(x)))


def _logits_slope(x, t, number):
    return sigmoid(x) - t


def _divergence(x, t, number):
    own = where(t > ZERO, t * log(t), where(t == ZERO, ZERO, log(t)))
    return own - t * x


def _divergence_slope(x, t, number):
    return -t


squares = Pair(_square, _square_slope)
distances = Pair(_distance, _distance_slope)
smooth = Pair(_smooth, _smooth_slope)
huber = Pair(_huber, _huber_slope)
bernoulli = Pair(_bernoulli, _bernoulli_slope)
logits = Pair(_logits, _logits_slope)
divergence = Pair(_divergence, _divergence_slope)
