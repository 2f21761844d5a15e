"""3x3 convolution of stride 1 with a quarter of the products: Winograd's F(4x4, 3x3).

A tile of 6x6 of the image gives 4x4 results. With the tile d and the kernel g transformed, the
convolution is a product element by element,

    Y = A'[ (G g G') * (B' d B) ] A,        summed over channels before the outer A' . A,

so 36 products stand for 144, and the sums over channels are 36 matrix products (Lavin and Gray,
"Fast Algorithms for Convolutional Neural Networks", 2016; points 0, 1, -1, 2, -2, infinity).

Tiles start at every fourth row and column, so an image split into 4x4 phases (every fourth element)
has element (i, j) of all tiles side by side, and transforms run along them with vectors.

The transforms add and subtract numbers of different size: errors, relative to the largest result,
are about 1e-6 times the root of the number of channels, ten times those of the direct sum. And they
subtract infinities: where a result is not finite, the caller computes directly.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from . import geometry, microkernels
from .compiler import Lazy, kernel
from .launch import HEAD, body, floats_at, table_of
from .microkernels import Emitter

FOUR = 4
LANES, ROWS = Lazy(microkernels.lanes), Lazy(microkernels.rows)
zeros, copy = microkernels.zeros, microkernels.copy
multiply = microkernels.multiply


# ------------------------------------------------------------------------------ transforms
def _input_side(e: Emitter, d: list[Any]) -> list[Any]:
    """B' d: six numbers of a tile's row or column to the six of the product."""
    b = e.builder
    two, four, five = (e.constant(v) for v in (2.0, 4.0, -5.0))
    minus_four, minus_two = e.constant(-4.0), e.constant(-2.0)
    first = e.fma(four, d[0], e.fma(five, d[2], d[4]))
    last = e.fma(four, d[1], e.fma(five, d[3], d[5]))
    even, odd = e.fma(minus_four, d[2], d[4]), e.fma(minus_four, d[1], d[3])
    near, far = b.fsub(d[4], d[2]), b.fsub(d[3], d[1])
    return [
        first, b.fadd(even, odd), b.fsub(even, odd),
        e.fma(two, far, near), e.fma(minus_two, far, near), last,
    ]  # fmt: skip


def _output_side(e: Emitter, m: list[Any]) -> list[Any]:
    """A' m: six sums to four results."""
    b = e.builder
    plus, minus = b.fadd(m[1], m[2]), b.fsub(m[1], m[2])
    plus2, minus2 = b.fadd(m[3], m[4]), b.fsub(m[3], m[4])
    two, four, eight = (e.constant(v) for v in (2.0, 4.0, 8.0))
    return [
        b.fadd(m[0], b.fadd(plus, plus2)), e.fma(two, minus2, minus), e.fma(four, plus2, plus),
        b.fadd(m[5], e.fma(eight, minus2, minus)),
    ]  # fmt: skip


def _emit_in(e: Emitter, src: Any, gap: Any, line: Any, to: Any, ld: Any, vectors: Any) -> None:
    b = e.builder
    with e.cgutils.for_range(b, vectors) as loop:
        p = b.mul(loop.index, e.number(e.n))
        rows: list[list[Any]] = []
        for j in range(6):
            column = []
            for i in range(6):
                phase = b.mul(gap, e.number(4 * (i % 4) + j % 4))
                place = b.add(b.add(phase, p), e.number(j // 4))
                column.append(e.load(src, b.add(place, line) if i > 3 else place))
            rows.append(_input_side(e, column))
        for i in range(6):
            for j, value in enumerate(_input_side(e, [rows[k][i] for k in range(6)])):
                e.store(value, to, b.add(b.mul(ld, e.number(6 * i + j)), p))


def _emit_out(e: Emitter, m: Any, ld: Any, to: Any, gap: Any, vectors: Any) -> None:
    b = e.builder
    with e.cgutils.for_range(b, vectors) as loop:
        p = b.mul(loop.index, e.number(e.n))
        rows: list[list[Any]] = []
        for j in range(6):
            column = [e.load(m, b.add(b.mul(ld, e.number(6 * i + j)), p)) for i in range(6)]
            rows.append(_output_side(e, column))
        for i in range(4):
            for j, value in enumerate(_output_side(e, [rows[k][i] for k in range(6)])):
                e.store(value, to, b.add(b.mul(gap, e.number(4 * i + j)), p))


def _emit_split(e: Emitter, src: Any, to: Any, gap: Any, count: Any) -> None:
    """to[f * gap + p] = src[4 p + f], whole vectors."""
    b, n = e.builder, e.n
    evens = e.ir.Constant(e.ints, list(range(0, 2 * n, 2)))
    odds = e.ir.Constant(e.ints, list(range(1, 2 * n, 2)))
    vectors = b.sdiv(b.add(count, e.number(n - 1)), e.number(n))
    with e.cgutils.for_range(b, vectors) as loop:
        p = b.mul(loop.index, e.number(n))
        at = b.mul(p, e.number(4))
        v = [e.load(src, b.add(at, e.number(k * n))) for k in range(4)]
        for parity, picks in ((0, evens), (1, odds)):
            low, high = b.shuffle_vector(v[0], v[1], picks), b.shuffle_vector(v[2], v[3], picks)
            for k, again in ((0, evens), (1, odds)):
                place = b.add(b.mul(gap, e.number(parity + 2 * k)), p)
                e.store(b.shuffle_vector(low, high, again), to, place)


def _emit_weave(e: Emitter, src: Any, gap: Any, to: Any, count: Any, plus: Any, check: Any) -> None:
    """to[4 p + f] = src[f * gap + p] + plus, exactly count floats; 0 * to is added to check."""
    b, n = e.builder, e.n
    half = n // 2
    mixed = [
        e.ir.Constant(e.ints, [k // 2 + h * half + n * (k % 2) for k in range(n)]) for h in (0, 1)
    ]
    added = e.fill(plus)
    seen = e.cgutils.alloca_once_value(b, e.load(check))
    vectors = b.sdiv(b.add(count, e.number(4 * n - 1)), e.number(4 * n))
    with e.cgutils.for_range(b, vectors) as loop:
        p = b.mul(loop.index, e.number(n))
        v = [e.load(src, b.add(b.mul(gap, e.number(f)), p)) for f in range(4)]
        even = [b.shuffle_vector(v[0], v[2], m) for m in mixed]
        odd = [b.shuffle_vector(v[1], v[3], m) for m in mixed]
        out = [b.shuffle_vector(even[k], odd[k], m) for k in (0, 1) for m in mixed]
        for k, value in enumerate(out):
            at = b.add(b.mul(p, e.number(4)), e.number(k * n))
            left = b.sub(count, at)
            value = b.fadd(value, added)
            with b.if_else(b.icmp_signed(">=", left, e.number(n))) as (whole, part):
                with whole:
                    e.store(value, to, at)
                    b.store(e.fma(value, e.zero(), b.load(seen)), seen)
                with part:  # masked stores are slow
                    inside = e.below(left)
                    value = b.select(inside, value, e.zero())
                    e.store_below(value, to, at, inside)
                    b.store(e.fma(value, e.zero(), b.load(seen)), seen)
    e.store(b.load(seen), check)


transform_in = Lazy(lambda: microkernels.intrinsic_of(_emit_in))
transform_out = Lazy(lambda: microkernels.intrinsic_of(_emit_out))
split4 = Lazy(lambda: microkernels.intrinsic_of(_emit_split))
weave4 = Lazy(lambda: microkernels.intrinsic_of(_emit_weave))


@kernel(inline=True)
def six(g0, g1, g2, to, at, step):
    """G g for `ROWS` kernels side by side: rows of `to`, `step` apart from row `at` on."""
    quarter, sixth, small = np.float32(0.25), np.float32(1 / 6), np.float32(1 / 24)
    two, four = np.float32(2), np.float32(4)
    for i in range(ROWS):
        a, b, c = g0[i], g1[i], g2[i]
        to[at, i] = quarter * a
        to[at + step, i] = -sixth * (a + b + c)
        to[at + 2 * step, i] = -sixth * (a - b + c)
        to[at + 3 * step, i] = small * (a + two * b + four * c)
        to[at + 4 * step, i] = small * (a - two * b + four * c)
        to[at + 5 * step, i] = c


@kernel(inline=True)
def transform_weights(w, start, out_step, count, flip, g, t, u):
    """G g G' of `count` kernels to the rows of u (36, ROWS), zeros beyond them."""
    for m in range(9):
        at = start + (8 - m if flip else m)
        for i in range(ROWS):
            g[m, i] = w[at + i * out_step] if i < count else np.float32(0)
    for b in range(3):
        six(g[b], g[3 + b], g[6 + b], t, b, 3)
    for a in range(6):
        six(t[3 * a], t[3 * a + 1], t[3 * a + 2], u, 6 * a, 1)


@body
def transform_block(b, table):
    """The weights of ROWS outputs, transformed; the table is `Tiling`'s."""
    t = table_of(table)
    p = t[HEAD:]
    channels, outputs, out_step, in_step, flip = p[1], p[2], p[16], p[17], p[18]
    high = ROWS
    whole = (outputs + high - 1) // high * channels * high
    w = floats_at(t[11], channels * outputs * 9)
    packed = floats_at(t[10], 36 * whole)
    g, z = np.empty((9, ROWS), np.float32), np.empty((18, ROWS), np.float32)
    u = np.empty((36, ROWS), np.float32)
    for c in range(channels):
        start = b * high * out_step + c * in_step
        transform_weights(w, start, out_step, outputs - b * high, flip, g, z, u)
        for k in range(36):
            at = k * whole + (b * channels + c) * high
            for i in range(ROWS):
                packed[at + i] = u[k, i]


@body
def winograd(chunk, table):
    """One thread's items of y = w * x + bias."""
    t = table_of(table)
    x, y, scratch, biased, packed = t[1], t[2], t[3], t[4], t[10]
    p, offsets = t[HEAD:], t[8] + 8 * t[6]
    bias = floats_at(t[9], biased)
    images, channels, outputs, height, width, up, left = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    oy, ox, ty, tx = p[7], p[8], p[9], p[10]  # results and tiles in each dimension
    band, gap, ldv, chunks, scratch_size, together = p[11], p[12], p[13], p[14], p[15], p[19]
    high = ROWS
    blocks = (outputs + high - 1) // high
    whole = blocks * channels * high  # weights of one of the 36 products
    bands = (ty + band - 1) // band
    sets = (images + together - 1) // together
    items = sets * bands
    line = tx + 1  # tiles from one row of them to the next: one stands for what is beyond the edge
    begin, end = min(left, 4 * line), max(min(width + left, 4 * line), left)
    tmp = scratch + chunk * scratch_size * FOUR
    buf = tmp + (4 * line + 8 * LANES) * FOUR
    out = buf + (16 * gap + 4 * LANES) * FOUR
    v = out + (16 * gap + 4 * LANES) * FOUR
    m = v + (36 * channels * ldv + 4 * LANES) * FOUR
    seen = t[12] + chunk * 16 * FOUR
    none = m + 36 * blocks * high * ldv * FOUR  # what sums start with
    zeros((none, blocks * high))
    zeros((tmp, (v - tmp) // FOUR))  # what lies between images is computed with, too
    for item in range(items * chunk // chunks, items * (chunk + 1) // chunks):
        n0, first = item // bands * together, item % bands * band
        count = min(together, images - n0)
        here = min(band, ty - first)
        used = (here * line - 1 + LANES - 1) // LANES
        for j in range(count):
            for c in range(channels):
                image = x + ((n0 + j) * channels + c) * height * width * FOUR
                for row in range(4 * (here + 1)):
                    r = first * 4 + row - up
                    at = buf + (row % 4 * 4 * gap + row // 4 * line) * FOUR
                    if r < 0 or r >= height:
                        for f in range(4):
                            zeros((at + f * gap * FOUR, line))
                        continue
                    zeros((tmp, begin))
                    copy((tmp + begin * FOUR, image + r * width * FOUR, end - begin))
                    zeros((tmp + end * FOUR, 4 * line - end))
                    split4((tmp, at, gap, line))
                to = v + (c * ldv + j * here * line) * FOUR
                transform_in((buf, gap, line, to, channels * ldv, used))
        columns = (count * here * line - 1 + LANES - 1) // LANES
        for k in range(36):
            multiply(
                none, packed + k * whole * FOUR, offsets, channels, blocks,
                v + k * channels * ldv * FOUR, m + k * blocks * high * ldv * FOUR, columns, ldv,
            )  # fmt: skip
        for j in range(count):
            for k in range(outputs):
                plus = bias[k] if biased > 0 else np.float32(0)
                source = m + (k * ldv + j * here * line) * FOUR
                transform_out((source, blocks * high * ldv, out, gap, used))
                to = y + ((n0 + j) * outputs + k) * oy * ox * FOUR
                for row in range(min(4 * here, oy - 4 * first)):
                    source = out + (row % 4 * 4 * gap + row // 4 * line) * FOUR
                    weave4((source, gap, to + (4 * first + row) * ox * FOUR, ox, plus, seen))


# ------------------------------------------------------------------------------ tilings
class Tiling(NamedTuple):
    """One call of `winograd`."""

    table: Any
    blocks: int
    packed: int
    scratch: int
    chunks: int


CACHE = max(300_000, microkernels.cache() * 5 // 16)
"""Floats that the transformed tiles of an item may take, in and out: about the L2 cache."""


MOST = 192
"""Tiles of an item, at most."""


@functools.lru_cache(maxsize=256)
def tiling(
    images: int, channels: int, outputs: int, size: Any, padding: Any, out: Any, flip: bool,
    threads: int,
) -> Tiling | None:  # fmt: skip
    """How to cut the work, or None where the direct sum is faster."""
    lanes, high = microkernels.lanes(), microkernels.rows()
    if channels * outputs < 1024 or min(out) < 12:
        return None
    ty, tx = -(-out[0] // 4), -(-out[1] // 4)
    line = tx + 1
    blocks = -(-outputs // high)
    step = 3 * lanes
    widest = CACHE // (36 * (channels + blocks * high)) // step * step
    widest = min(max(step, widest), MOST)
    band = min(ty, max(1, (widest + 1) // line))
    band = -(-ty // -(-ty // band))
    while images * -(-ty // band) < threads and band > 1:
        band = -(-band // 2)
    together = max(1, min((widest + 1) // (band * line), images // threads)) if band == ty else 1
    ldv = -(-(together * band * line) // lanes) * lanes + lanes
    gap = -(-((band + 1) * line) // lanes) * lanes + 2 * lanes
    scratch = (
        4 * line + 32 * gap + 36 * (channels + blocks * high) * ldv + 32 * lanes + blocks * high
    )
    scratch = -(-scratch // 64) * 64 + 64
    chunks = min(threads, -(-images // together) * -(-ty // band))
    steps = (9, outputs * 9) if flip else (channels * 9, 9)
    numbers = [
        images, channels, outputs, *size, *padding, *out, ty, tx, band, gap, ldv, chunks, scratch,
        *steps, flip, together,
    ]  # fmt: skip
    offsets = np.arange(channels, dtype=np.int64) * (4 * ldv)
    packed = 36 * blocks * high * channels + 64
    table = geometry.table_of(np.array(numbers, np.int64), np.zeros(0, np.int64), offsets)
    return Tiling(table, blocks, packed, scratch, chunks)
