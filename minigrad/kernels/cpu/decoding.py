"""Attention of one query a head, as a model that writes asks for it at every token.

    s_j = scale·q·k_j,   P = exp(s − m),   o = Σ_j P_j v_j / Σ P

There are no tiles to plan: keys grow by one with every call, so shapes and strides, which
attention.py looks up, are handed over as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.memory import address
from . import scalars, threads
from .compiler import REASSOCIATE, kernel, prange
from .launch import carray, pointer, real

F32 = np.dtype(np.float32)
LOW, ZERO, ONE = np.float32(-np.inf), np.float32(0), np.float32(1)
exp = scalars.exp

PARALLEL = 1 << 16
"""Multiplications from which the other threads are worth waking."""


@kernel(inline=True)
def _row(start, at, size):
    """`size` floats, `at` bytes after an address."""
    return carray(pointer(start + at), (size,), real)


@kernel(flags=REASSOCIATE)
def _attend(
    q, k, v, batch, heads, group, keys, e, f, qb, qh, kb, kh, ks, vb, vh, vs, scale, o, stats
):  # fmt: skip
    """Steps are in bytes; head h reads head h // group of k and v."""
    for task in prange(batch * heads):
        b, h = task // heads, task % heads
        query = _row(q, b * qb + h * qh, e)
        scores = np.empty(keys, np.float32)
        top = LOW
        for j in range(keys):
            key = _row(k, b * kb + h // group * kh + j * ks, e)
            total = ZERO
            for c in range(e):
                total += query[c] * key[c]
            total *= scale
            scores[j] = total
            if total > top:
                top = total
        base = ZERO if top == LOW else top
        total = ZERO
        for j in range(keys):
            weight = exp(scores[j] - base)
            scores[j] = weight
            total += weight
        inverse = ZERO if total == ZERO else ONE / total
        out = o[b, h, 0]
        for c in range(f):
            out[c] = ZERO
        for j in range(keys):
            value, weight = _row(v, b * vb + h // group * vh + j * vs, f), scores[j]
            for c in range(f):
                out[c] += weight * value[c]
        for c in range(f):
            out[c] *= inverse
        stats[0, b, h, 0], stats[1, b, h, 0] = base, inverse


def one_query(q: Any, k: Any, v: Any, scale: float) -> tuple[Any, Any, Any] | None:
    """(o, m, 1/Σ P) for q (B, H, 1, E), k (B, H', S, E), v (B, H', S, F), float32, not empty, H' a
    part of H; None for others, and where the numbers of a key do not lie side by side.
    """
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        return None
    batch, heads, _, e = q.shape
    shared, keys, f = k.shape[1], k.shape[2], v.shape[3]
    if k.shape[0] != batch or v.shape[:3] != k.shape[:3] or heads % shared:
        return None
    (qb, qh, _, qe), (kb, kh, ks, ke), (vb, vh, vs, ve) = q.strides, k.strides, v.strides
    if not 4 == qe == ke == ve:
        return None
    o, stats = np.empty((batch, heads, 1, f), F32), np.empty((2, batch, heads, 1), F32)
    many = batch * heads * keys * (e + f) >= PARALLEL and threads.count() > 1
    (_attend.parallel if many else _attend.serial)(
        address(q), address(k), address(v), batch, heads, heads // shared, keys, e, f,
        qb, qh, kb, kh, ks, vb, vh, vs, np.float32(scale),
        o, stats,
    )  # fmt: skip
    return o, stats[0], stats[1]
