"""Dropout without a stored mask: whether an element is kept is a function of its number and a seed.

Elements are counted in rows of some width. Row r of the stream `seed` has a key of 64 bits, the
(r+1)-th output of SplitMix64 (Steele et al., Fast splittable pseudorandom number generators, 2014);
element j of it gets 32 bits from j and the two halves of the key by two rounds of multiplying and
shifting, and is kept if these are at least `threshold`. Nothing depends on the number of threads,
and the backward pass draws the same bits again. `backend.sampling.keep_mask` is the same in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import compiler, scalars, threads
from .compiler import kernel, prange

U32, U64 = np.uint32, np.uint64
GOLDEN, MIX1, MIX2 = U64(0x9E3779B97F4A7C15), U64(0xBF58476D1CE4E5B9), U64(0x94D049BB133111EB)
S30, S27, S31, S32 = U64(30), U64(27), U64(31), U64(32)
M1, M2 = U32(0x7FEB352D), U32(0x846CA68B)
H16, H15 = U32(16), U32(15)
ZERO = np.float32(0)
where = scalars.where

ROW = 4096
"""Elements of a row, where the shape of what is dropped does not matter."""


@kernel(inline=True)
def row_key(seed, row):
    """The key of one row: 64 bits."""
    z = U64(seed + (U64(row) + U64(1)) * GOLDEN)
    z = U64((z ^ (z >> S30)) * MIX1)
    z = U64((z ^ (z >> S27)) * MIX2)
    return U64(z ^ (z >> S31))


@kernel(inline=True)
def element_bits(high, low, j):
    """The 32 bits of element j of a row, from the halves of its key."""
    x = U32(U32(j) ^ high)
    x = U32(U32(x ^ U32(x >> H16)) * M1)
    x = U32(U32(x ^ U32(x >> H15)) + low)
    x = U32(x * M2)
    return U32(x ^ U32(x >> H16))


@kernel
def _drop(x, y, seed, threshold, scale):
    n = x.size
    for r in prange((n + 4095) // 4096):
        key = row_key(seed, r)
        high, low = U32(key >> S32), U32(key & U64(0xFFFFFFFF))
        start = r * 4096
        a = x[start : min(start + 4096, n)]
        b = y[start : min(start + 4096, n)]
        for j in range(a.size):
            b[j] = where(element_bits(high, low, j) >= threshold, a[j] * scale, ZERO)


def threshold_of(p: float) -> np.uint32:
    """Bits below this number drop the element, which happens with probability p."""
    return U32(min(round(p * 2.0**32), 2**32 - 1))


def drop(x: Any, seed: int, p: float) -> Any:
    """x·m/(1 − p) with the mask m of the stream `seed`; None where the formula has to do it."""
    if x.dtype != np.float32 or not 0 < p < 1 or not compiler.enabled():
        return None
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    scale = np.float32(1 / (1 - p))
    chosen = _drop.parallel if threads.worthwhile(x.size) else _drop.serial
    chosen(x.reshape(-1), y.reshape(-1), U64(seed), threshold_of(p), scale)
    return y
