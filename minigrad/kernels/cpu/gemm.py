"""The product of two float32 matrices, from registers up: C = alpha op(A) op(B) + start.

The layers are those of Goto and van de Geijn, "Anatomy of high-performance matrix multiplication"
(TOMS 2008). A tile of C, 6 rows of 16 columns with AVX2, is summed in registers. What it reads of B
lies packed, one tile's columns after the other, and stays in the first-level cache; a block of rows
of A stays in the second. `start` is a matrix, a row for all rows (a bias) or nothing, and costs no
pass of its own.

Against OpenBLAS this pays at middle sizes, where starting and joining threads and packing decide:
each thread packs and multiplies a share of C's columns, or of its rows, and waits for nobody. Other
kernels call `multiply` from inside their own threads. Sums run over k in the same order whatever
the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.memory import address
from . import compiler, threads
from .compiler import Lazy, kernel, prange
from .microkernels import Emitter, intrinsic_of, lanes

F32 = np.dtype(np.float32)
ONE, ZERO = np.float32(1), np.float32(0)

SMALL, LARGE = 1 << 18, 1 << 29
"""Multiplications from which, and below which, this is faster than NumPy's OpenBLAS."""
SHARED = 1 << 20
"""Multiplications from which the other threads are worth waking, which sleep as a rule."""
TERMS, BLOCK = 256, 96
"""k and rows of a block of A (96 KB, in the second-level cache); 16 KB of B are in use with it."""
HIGH = 6


def wide() -> int:
    """Vectors in a row of a tile: with six rows, what covers the latency of the multiply-adds."""
    return 4 if lanes() == 4 else 2


# ------------------------------------------------------------------------------ one tile
def panel(high: int) -> Lazy:
    """panel((a, down, across, b, terms, alpha, start, lds, c, ldc)): one tile of C.

    C[i, p] = alpha sum_r a[i down + r across] b[r WIDTH + p] + start[i lds + p], unless start = 0.
    """

    def emit(
        e: Emitter, a: Any, down: Any, across: Any, b: Any, terms: Any, alpha: Any, start: Any,
        lds: Any, c: Any, ldc: Any,
    ) -> None:  # fmt: skip
        builder, vectors = e.builder, range(wide())
        sums = e.sums(high * wide())
        with e.cgutils.for_range(builder, terms) as loop:
            row = builder.mul(loop.index, e.number(wide() * e.n))
            columns = [e.load(b, builder.add(row, e.number(j * e.n))) for j in vectors]
            here = builder.mul(loop.index, across)
            for i in range(high):
                place = e.at(a, builder.add(here, builder.mul(down, e.number(i))), e.real)
                weight = e.fill(builder.load(place))
                for j in vectors:
                    s = sums[i * wide() + j]
                    builder.store(e.fma(weight, columns[j], builder.load(s)), s)
        factor = e.fill(alpha)
        nothing = builder.icmp_signed("==", start, e.number(0))
        with builder.if_else(nothing) as (without, plus):
            for branch, added in ((without, False), (plus, True)):
                with branch:
                    for i in range(high):
                        here, there = [builder.mul(x, e.number(i)) for x in (ldc, lds)]
                        for j in vectors:
                            value = builder.load(sums[i * wide() + j])
                            column = e.number(j * e.n)
                            if added:
                                before = e.load(start, builder.add(there, column))
                                value = e.fma(factor, value, before)
                            else:
                                value = builder.fmul(factor, value)
                            e.store(value, c, builder.add(here, column))

    return Lazy(lambda: intrinsic_of(emit))


PANEL1, PANEL2, PANEL3, PANEL4, PANEL5, PANEL6 = [panel(high) for high in range(1, HIGH + 1)]
LANES, WIDTH = Lazy(lanes), Lazy(lambda: wide() * lanes())


@kernel
def tile(high, a, down, across, b, terms, alpha, start, lds, c, ldc):
    """panel() for any number of rows up to HIGH."""
    if high == 6:
        PANEL6((a, down, across, b, terms, alpha, start, lds, c, ldc))
    elif high == 5:
        PANEL5((a, down, across, b, terms, alpha, start, lds, c, ldc))
    elif high == 4:
        PANEL4((a, down, across, b, terms, alpha, start, lds, c, ldc))
    elif high == 3:
        PANEL3((a, down, across, b, terms, alpha, start, lds, c, ldc))
    elif high == 2:
        PANEL2((a, down, across, b, terms, alpha, start, lds, c, ldc))
    else:
        PANEL1((a, down, across, b, terms, alpha, start, lds, c, ldc))


# ------------------------------------------------------------------------------ packing
def _emit_turn(e: Emitter, to: Any, ldt: Any, source: Any, lds: Any) -> None:
    builder, half = e.builder, e.n // 2
    rows = [e.load(source, builder.mul(lds, e.number(i))) for i in range(e.n)]
    while half:  # exchange the off-diagonal quarters, of the whole, of the quarters, ...
        upper = [i if not i & half else e.n + i - half for i in range(e.n)]
        lower = [i + half if not i & half else e.n + i for i in range(e.n)]
        for i in range(e.n):
            if not i & half:
                pair = rows[i], rows[i + half]
                rows[i] = builder.shuffle_vector(*pair, e.ir.Constant(e.ints, upper))
                rows[i + half] = builder.shuffle_vector(*pair, e.ir.Constant(e.ints, lower))
        half //= 2
    for i, row in enumerate(rows):
        e.store(row, to, builder.mul(ldt, e.number(i)))


def _strips(vectors: int) -> Any:
    def emit(e: Emitter, to: Any, ldt: Any, source: Any, lds: Any, count: Any) -> None:
        builder = e.builder
        with e.cgutils.for_range(builder, count) as loop:
            here, there = [builder.mul(loop.index, x) for x in (ldt, lds)]
            for j in range(vectors):
                column = e.number(j * e.n)
                value = e.load(source, builder.add(there, column))
                e.store(value, to, builder.add(here, column))

    return intrinsic_of(emit)


def _access(write: bool) -> Any:
    def make() -> Any:
        from llvmlite import ir
        from numba import types
        from numba.extending import intrinsic

        def pointer(builder: Any, address: Any) -> Any:
            return builder.inttoptr(address, ir.FloatType().as_pointer())

        @intrinsic
        def peek(context: Any, address: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                return builder.load(pointer(builder, args[0]))

            return types.float32(types.intp), generate

        @intrinsic
        def poke(context: Any, address: Any, value: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
                builder.store(args[1], pointer(builder, args[0]))
                return context.get_dummy_value()

            return types.void(types.intp, types.float32), generate

        return poke if write else peek

    return Lazy(make)


turn = Lazy(lambda: intrinsic_of(_emit_turn))
"""turn((to, ldt, source, lds)): the transpose of LANES x LANES floats."""
strip = Lazy(lambda: _strips(1))
"""strip((to, ldt, source, lds, count)): copies `count` rows of one vector."""
strips = Lazy(lambda: _strips(wide()))
"""strips(...): the same, of a tile's width."""
peek, poke = _access(write=False), _access(write=True)


@kernel
def pack_right(turned, k, n, b, ldb, to):
    """op(B), k x n, as panels of k x WIDTH, the last filled up with zeros."""
    for j in range(0, n, WIDTH):
        columns = min(WIDTH, n - j)
        at = to + 4 * j * k
        done = 0
        if columns == WIDTH and turned:
            while done + LANES <= k:
                for v in range(0, WIDTH, LANES):
                    turn((at + 4 * (done * WIDTH + v), WIDTH, b + 4 * ((j + v) * ldb + done), ldb))
                done += LANES
        elif columns == WIDTH:
            strips((at, WIDTH, b + 4 * j, ldb, k))
            done = k
        for r in range(done, k):
            for v in range(columns):
                place = (j + v) * ldb + r if turned else r * ldb + j + v
                poke(at + 4 * (r * WIDTH + v), peek(b + 4 * place))
            for v in range(columns, WIDTH):
                poke(at + 4 * (r * WIDTH + v), ZERO)


@kernel
def pack_left(m, k, a, lda, to):
    """The transpose of A, k x m, as panels of k x HIGH, the last k x what is left."""
    for i in range(0, m, HIGH):
        at = to + 4 * i * k
        if i + LANES <= m and LANES >= HIGH:
            strip((at, HIGH, a + 4 * i, lda, k))  # what is written beyond comes with the next
        else:
            rows = min(HIGH, m - i)
            for r in range(k):
                for v in range(rows):
                    poke(at + 4 * (r * rows + v), peek(a + 4 * (r * lda + i + v)))


# ------------------------------------------------------------------------------ one thread
@kernel
def _edge(high, columns, tiles, start, lds, c, ldc):
    """The part of a tile that C has, from where the whole tile is."""
    for x in range(high):
        for y in range(columns):
            value = peek(tiles + 4 * (x * WIDTH + y))
            if start != 0:
                value += peek(start + 4 * (x * lds + y))
            poke(c + 4 * (x * ldc + y), value)


@kernel
def _block(left, down, across, turned, m, n, terms, alpha, right, start, lds, c, ldc, edge):
    """Rows of A times packed columns of B. Eight rows are two tiles of four, not of six and two."""
    most = HIGH
    if not turned:
        tiles = (m + HIGH - 1) // HIGH
        most = (m + tiles - 1) // tiles
    for j in range(0, n, WIDTH):
        columns = right + 4 * j * terms
        for i in range(0, m, most):
            high = min(most, m - i)
            if turned:
                a, step = left + 4 * i * terms, high
                if i + LANES <= m and LANES >= HIGH:
                    step = HIGH
            else:
                a, step = left + 4 * i * down, across
            at = c + 4 * (i * ldc + j)
            before = start + 4 * (i * lds + j) if start != 0 else 0
            if j + WIDTH <= n:
                tile(high, a, down, step, columns, terms, alpha, before, lds, at, ldc)
            else:
                tile(high, a, down, step, columns, terms, alpha, 0, 0, edge, WIDTH)
                _edge(high, n - j, edge, before, lds, at, ldc)


@kernel
def multiply(turned_a, turned_b, m, n, k, alpha, a, lda, b, ldb, start, lds, c, ldc):
    """C = alpha op(A) op(B) + start on the calling thread: addresses, and elements between rows.

    op(A) m x k, op(B) k x n; `turned`: stored transposed. start: 0, or the address of a matrix,
    which may be C (lds = ldc) or one row (lds = 0).
    """
    terms = min(k, TERMS)
    padded = (n + WIDTH - 1) // WIDTH * WIDTH
    space = np.empty(terms * padded + (BLOCK + HIGH) * terms + HIGH * WIDTH + 32, np.float32)
    right = (np.intp(space.ctypes.data) + 63) // 64 * 64
    left = right + 4 * terms * padded
    edge = left + 4 * (BLOCK + HIGH) * terms
    for k0 in range(0, k, TERMS):
        terms = min(TERMS, k - k0)
        pack_right(turned_b, terms, n, b + 4 * (k0 if turned_b else k0 * ldb), ldb, right)
        if k0 > 0:
            start, lds = c, ldc
        for i in range(0, m, BLOCK):
            rows = min(BLOCK, m - i)
            if turned_a:
                pack_left(rows, terms, a + 4 * (k0 * lda + i), lda, left)
                rows_of_a, down, across = left, 1, HIGH
            else:
                rows_of_a, down, across = a + 4 * (i * lda + k0), lda, 1
            before = start + 4 * i * lds if start != 0 else 0
            _block(
                rows_of_a, down, across, turned_a, rows, n, terms, alpha, right, before, lds,
                c + 4 * i * ldc, ldc, edge,
            )  # fmt: skip
    space[0] = ZERO  # in use until here


# ------------------------------------------------------------------------------ packed once
@kernel
def pack(turned, k, n, b, ldb, to):
    """op(B), k x n, for many calls of `times`; `to` has room for k rows of whole panels."""
    padded = (n + WIDTH - 1) // WIDTH * WIDTH
    for panel_number in prange(padded // WIDTH):
        j = panel_number * WIDTH
        for k0 in range(0, k, TERMS):
            terms = min(TERMS, k - k0)
            place = j * ldb + k0 if turned else k0 * ldb + j
            at = to + 4 * (k0 * padded + j * terms)
            pack_right(turned, terms, min(WIDTH, n - j), b + 4 * place, ldb, at)


@kernel
def times(m, n, k, a, lda, right, start, lds, c, ldc, edge):
    """C = A B + start on the calling thread, B packed; `edge` has room for a tile."""
    padded = (n + WIDTH - 1) // WIDTH * WIDTH
    for k0 in range(0, k, TERMS):
        terms = min(TERMS, k - k0)
        _block(
            a + 4 * k0, lda, 1, False, m, n, terms, ONE, right + 4 * k0 * padded, start, lds, c,
            ldc, edge,
        )  # fmt: skip
        start, lds = c, ldc


def packed(b: Any, turned: bool) -> Any:
    """A float32 matrix (or its transpose), in row-major order, as `pack` leaves it."""
    k, n = b.shape[::-1] if turned else b.shape
    width = wide() * lanes()
    space = np.empty(k * -(-n // width) * width, F32)
    where = [address(x) for x in (b, space)]
    pack.run(b.size, turned, k, n, where[0], b.shape[1], where[1])
    return space


# ------------------------------------------------------------------------------ all threads
@kernel
def _spread(
    turned_a, turned_b, m, n, k, alpha, a, lda, b, ldb, start, lds, c, ldc, parts, by_columns
):
    for t in prange(parts):
        total, unit = (n, WIDTH) if by_columns else (m, HIGH)
        units = (total + unit - 1) // unit
        first = min(t * units // parts * unit, total)
        count = min((t + 1) * units // parts * unit, total) - first
        if count > 0:
            i, j = (0, first) if by_columns else (first, 0)
            multiply(
                turned_a, turned_b, m if by_columns else count, count if by_columns else n, k,
                alpha, a + 4 * (i if turned_a else i * lda), lda,
                b + 4 * (j * ldb if turned_b else j), ldb,
                start + 4 * (i * lds + j) if start != 0 else 0, lds, c + 4 * (i * ldc + j), ldc,
            )  # fmt: skip


def _layout(x: Any) -> tuple[bool, int] | None:
    """(stored transposed, elements from row to row); None if neither way lies in rows."""
    down, across = x.strides
    if across == 4 and down >= 4 * x.shape[1] and not down % 4:
        return False, down // 4
    if down == 4 and across >= 4 * x.shape[0] and not across % 4:
        return True, across // 4
    return None


def product(a: Any, b: Any, bias: Any = None) -> Any:
    """a b (+ bias) for float32 matrices of a size where this pays; else None."""
    m, k = a.shape
    n = b.shape[1]
    if not SMALL <= m * n * k < LARGE or m < HIGH or n < 8 or k < 8:
        return None
    if a.dtype is not F32 or b.dtype is not F32:
        return None
    if type(a) is not np.ndarray or type(b) is not np.ndarray:
        return None
    left, right = _layout(a), _layout(b)
    if left is None or right is None or k != b.shape[0] or not compiler.enabled():
        return None
    if bias is not None and (bias.dtype is not F32 or bias.strides != (4,)):
        return None
    c = np.empty((m, n), F32)
    start = 0 if bias is None else address(bias)
    parts = threads.count() if m * n * k >= SHARED else 1
    (_spread.parallel if parts > 1 else _spread.serial)(
        left[0], right[0], m, n, k, ONE, address(a), left[1],
        address(b), right[1], start, 0, address(c), n,
        parts, n >= 64 * parts or n >= m,
    )  # fmt: skip
    return c
