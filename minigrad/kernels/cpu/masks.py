"""The elements under a mask, in order, and back: counted first, for the threads to know theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import indexing
from .compiler import enabled, kernel, prange
from .indexing import words_of

CHUNK = 1 << 14
"""Elements of a mask that one task counts and moves."""


@kernel
def _count(mask, counts):
    for c in prange(counts.size):
        total = 0
        for i in range(c * 16384, min((c + 1) * 16384, mask.size)):
            total += mask[i]
        counts[c] = total


@kernel
def _compress(x, mask, starts, y):
    """Every element is written to where the next one goes; only true ones move that place on."""
    for c in prange(starts.size - 1):
        at, stop = starts[c], starts[c + 1]
        for i in range(c * 16384, min((c + 1) * 16384, mask.size)):
            if at == stop:
                break
            y[at] = x[i]
            at += mask[i]


@kernel
def _expand(g, mask, starts, y):
    last = g.size - 1
    for c in prange(starts.size - 1):
        at = starts[c]
        for i in range(c * 16384, min((c + 1) * 16384, mask.size)):
            y[i] = g[min(at, last)] * mask[i]
            at += mask[i]


def _starts(mask: Any) -> Any:
    starts = np.zeros(-(-mask.size // CHUNK) + 1, np.int64)
    _count.run(mask.size, mask, starts[1:])
    return np.cumsum(starts, out=starts)


def compress(x: Any, mask: Any) -> Any:
    """The elements of x where the mask of its shape is true; None where NumPy has to do it."""
    if x.size < indexing.SMALL or x.shape != mask.shape or not enabled():
        return None
    x, mask = np.ascontiguousarray(x), np.ascontiguousarray(mask)
    if (words := words_of(x)) is None:
        return None
    bits = mask.reshape(-1).view(np.uint8)
    starts = _starts(bits)
    y = np.empty(int(starts[-1]), x.dtype)
    _compress.run(x.size, words.reshape(-1), bits, starts, y.view(words.dtype))
    return y


def expand(g: Any, mask: Any) -> Any:
    """Zeros of the mask's shape with g, in order, where it is true; None: NumPy has to do it."""
    if mask.size < indexing.SMALL or not g.size or not enabled():
        return None
    if (words := words_of(g := np.ascontiguousarray(g))) is None:
        return None
    bits = np.ascontiguousarray(mask).reshape(-1).view(np.uint8)
    y = np.empty(mask.shape, g.dtype)
    _expand.run(mask.size, words, bits, _starts(bits), y.view(words.dtype).reshape(-1))
    return y
