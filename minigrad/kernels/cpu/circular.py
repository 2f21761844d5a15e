"""sin and cos of float32 numbers of any size, and their derivatives, in one pass.

x = n·π/2 + r with |r| ≤ π/4 says which of ±sin r, ±cos r it is. Up to 2¹⁹ the difference is taken
in float64, π/2 in two pieces of which n times the first is exact (Cody and Waite, Software Manual
for the Elementary Functions, 1980). Beyond, n and r are bits of the product with 2/π, of which as
many are used as count: those of a multiple of four quarter turns do not (Payne and Hanek, Radian
reduction for trigonometric functions, SIGNUM Newsletter 1983). Errors stay below 2 ulp.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import compiler, scalars, threads
from .compiler import kernel, prange

F32 = np.dtype(np.float32)
SMALL = 1 << 11
"""Elements below which NumPy is as fast."""
F, D, INT, U = np.float32, np.float64, np.int32, np.uint64
LIMIT = F(1 << 19)
ZERO, ONE, HALF = F(0), F(1), F(0.5)
TWO_OVER_PI, PI_2_HIGH, PI_2_LOW = D(2 / np.pi), D(1.5707963267341256), D(6.077100506506192e-11)
SHIFT = D(6755399441055744.0)  # 1.5 * 2**52: adding it rounds to an integer
S3, S5, S7 = F(-0.16666655242443085), F(0.008332173340022564), F(-0.00019516650354489684)
C4, C6, C8 = F(0.04166664555668831), F(-0.001388736185617745), F(2.44377224589698e-05)
BITS = np.array(
    [0, 0xA2F9836E, 0x4E441529, 0xFC2757D1, 0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB],
    np.uint64,
)
"""2/π, 32 bits in each number, after 32 zeros."""
MASK, HIDDEN, MANTISSA = U(0xFFFFFFFF), U(0x800000), INT(0x7FFFFF)
U2, U32, U61, U62 = U(2), U(32), U(61), U(62)
QUARTER_TURN = D(np.pi / 2 / 2.0**62)

where, bits = scalars.where, scalars.bits


@kernel(inline=True)
def _wave(r, k):
    """sin(r + k π/2), |r| ≤ π/4."""
    z = r * r
    s = where(r == ZERO, r, r + r * z * (S3 + z * (S5 + z * S7)))  # -0.0 stays
    c = (ONE - HALF * z) + z * z * (C4 + z * (C6 + z * C8))
    u = where((k & INT(1)) != INT(0), c, s)
    return where((k & INT(2)) != INT(0), -u, u)


@kernel(inline=True)
def _near(x, quarter):
    d = D(where(abs(x) <= LIMIT, x, ZERO))
    n = (d * TWO_OVER_PI + SHIFT) - SHIFT
    r = F((d - n * PI_2_HIGH) - n * PI_2_LOW)
    return _wave(r, INT(INT(n) + quarter))


@kernel
def _far(x, quarter):
    b = bits(x) & INT(0x7FFFFFFF)
    exponent = b >> 23
    if exponent == 255:
        return x - x  # nan
    m = U(b & MANTISSA) | HIDDEN
    start = exponent - 150 - 2 + 32  # x = m 2**(exponent - 150); bits before are multiples of 4
    i, shift = start >> 5, U(start & 31)
    a, b0, c, d = BITS[i], BITS[i + 1], BITS[i + 2], BITS[i + 3]
    high = (((a << U32 | b0) << shift) >> U32) & MASK
    middle = (((b0 << U32 | c) << shift) >> U32) & MASK
    low = (((c << U32 | d) << shift) >> U32) & MASK
    turns = ((m * high) << U32) + m * middle + ((m * low) >> U32)  # in 2**-62 of a quarter turn
    n = (turns + (U(1) << U61)) >> U62
    r = D(np.int64(turns - (n << U62))) * QUARTER_TURN
    k = INT(n)
    if x < ZERO:
        r, k = -r, INT(-k)
    return _wave(F(r), INT(k + quarter))


@kernel
def _circle(x, g, quarter, y, chunks):
    n = x.size
    for c in prange(chunks):
        last = n * (c + 1) // chunks
        for start in range(n * c // chunks, last, 1024):
            stop = min(start + 1024, last)
            part, out = x[start:stop], y[start:stop]
            far = INT(0)
            for i in range(part.size):
                far |= INT(not abs(part[i]) <= LIMIT)
                out[i] = _near(part[i], quarter)
            if far:
                for i in range(part.size):
                    if not abs(part[i]) <= LIMIT:
                        out[i] = _far(part[i], quarter)
            if g.size:
                slope = g[start:stop]
                for i in range(part.size):
                    out[i] *= slope[i]


NONE = np.empty(0, F32)


def wave(x: Any, quarter: int, g: Any = None) -> Any:
    """sin(x + quarter·π/2), times g; None where NumPy has to do it."""
    if type(x) is not np.ndarray or x.size < SMALL or x.dtype is not F32:
        return None
    if not x.flags.c_contiguous or not compiler.enabled():
        return None
    if g is not None and (g.dtype is not F32 or g.shape != x.shape or not g.flags.c_contiguous):
        return None
    y = np.empty(x.shape, F32)
    scale = NONE if g is None else g.reshape(-1)
    chunks = 4 * threads.count()
    _circle.run(x.size, x.reshape(-1), scale, INT(quarter), y.reshape(-1), chunks)
    return y
