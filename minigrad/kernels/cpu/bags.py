"""Weighted sums of rows of a table: bags of embeddings, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import threads
from .compiler import kernel, prange
from .indexing import FLOATS, flat_index, ready


@kernel
def _bags(w, index, starts, scale, skip, y, chunks):
    bags, width = y.shape
    for c in prange(chunks):
        for b in range(bags * c // chunks, bags * (c + 1) // chunks):
            out = y[b]
            out[:] = 0
            for i in range(starts[b], starts[b + 1]):
                j = index[i]
                if j != skip:
                    row, s = w[j], scale[i]
                    for k in range(width):
                        out[k] += row[k] * s


@kernel
def _bags_back(g, index, starts, scale, skip, w_bar, chunks):
    bags, width = g.shape
    for c in prange(chunks):
        k0, k1 = width * c // chunks // 16 * 16, width * (c + 1) // chunks // 16 * 16
        k1 = width if c == chunks - 1 else k1
        for b in range(bags):
            row = g[b, k0:k1]
            for i in range(starts[b], starts[b + 1]):
                j = index[i]
                if j != skip:
                    out, s = w_bar[j, k0:k1], scale[i]
                    for k in range(k1 - k0):
                        out[k] += row[k] * s


def bags(w: Any, index: Any, starts: Any, scale: Any, skip: int) -> Any:
    """y_b = Σ scale_i W[index_i] over i from starts_b to starts_(b+1), in order; index_i = `skip`
    is left out. None where NumPy has to do it.
    """
    size = index.size * w.shape[1]
    if w.dtype not in FLOATS or not ready(index, size):
        return None
    y = np.empty((starts.size - 1, w.shape[1]), w.dtype)
    rows, flat = np.ascontiguousarray(w), flat_index(index)
    _bags.run(size, rows, flat, starts, scale, skip, y, 4 * threads.count())
    return y


def bags_back(g: Any, index: Any, starts: Any, scale: Any, skip: int, rows: int) -> Any:
    """The gradient of `bags` for W, or None."""
    size = index.size * g.shape[1]
    if g.dtype not in FLOATS or not ready(index, size):
        return None
    w_bar = np.zeros((rows, g.shape[1]), g.dtype)
    parts = threads.count() if g.shape[1] >= 32 * threads.count() else 1
    chosen = _bags_back.parallel if parts > 1 and threads.worthwhile(size) else _bags_back.serial
    chosen(np.ascontiguousarray(g), flat_index(index), starts, scale, skip, w_bar, parts)
    return w_bar
