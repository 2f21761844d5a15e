"""The innermost loops of convolutions, written as LLVM vector code: no compiler finds them itself.

A convolution is a matrix product whose right matrix is never stored: its row r starts at some
offset off[r] in the (padded) image, and its columns are consecutive addresses from there. `tile`
multiplies such a matrix by a few rows of weights, with all sums in registers; `dot` is the product
with the images transposed, for the gradient of the weights. The others move rows of an image.

Each takes one tuple. Addresses are ints, offsets count bytes, everything else counts float32. The
blocks fill the vector registers: 32 of 16 floats with AVX-512, 16 of 8 with AVX2, 32 of 4 on ARM.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from .compiler import Lazy, kernel


@functools.cache
def lanes() -> int:
    """Floats in one vector register."""
    import platform  # here, as `import minigrad` has to be quick

    if platform.machine().lower() not in ("x86_64", "amd64"):
        return 4
    from llvmlite.binding import get_host_cpu_features

    return 16 if get_host_cpu_features().get("avx512f") else 8


@functools.cache
def rows() -> int:
    """Rows of weights in one tile: with three vectors of columns, what fits in the registers."""
    return 4 if lanes() == 8 else 8


@functools.cache
def cache() -> int:
    """Bytes of a core's own second-level cache, or a usual size where nobody says."""
    try:
        size = os.sysconf("SC_LEVEL2_CACHE_SIZE")
    except (AttributeError, ValueError, OSError):
        size = 0
    return min(max(size, 1 << 18), 1 << 21) if size > 0 else 1 << 19


class Emitter:
    """Vector instructions in terms of llvmlite."""

    def __init__(self, builder: Any):
        from llvmlite import ir
        from numba.core import cgutils

        self.ir, self.cgutils, self.builder = ir, cgutils, builder
        self.word, self.real, self.byte = ir.IntType(64), ir.FloatType(), ir.IntType(8)
        self.n = lanes()
        self.vector = ir.VectorType(self.real, self.n)
        self.bits = ir.VectorType(ir.IntType(1), self.n)
        self.ints = ir.VectorType(ir.IntType(32), self.n)

    def number(self, value: int) -> Any:
        return self.ir.Constant(self.word, value)

    def zero(self) -> Any:
        return self.ir.Constant(self.vector, [0.0] * self.n)

    def constant(self, value: float) -> Any:
        return self.ir.Constant(self.vector, [value] * self.n)

    def at(self, address: Any, floats: Any = 0, kind: Any = None) -> Any:
        """A pointer to vectors (or `kind`) some floats after an address."""
        if isinstance(floats, int):
            floats = self.number(floats)
        moved = self.builder.add(address, self.builder.shl(floats, self.number(2)))
        return self.builder.inttoptr(moved, (kind or self.vector).as_pointer())

    def load(self, address: Any, floats: Any = 0) -> Any:
        return self.builder.load(self.at(address, floats), align=4)

    def store(self, value: Any, address: Any, floats: Any = 0) -> None:
        self.builder.store(value, self.at(address, floats), align=4)

    def fill(self, value: Any) -> Any:
        """A vector of one float, in every lane."""
        undefined = self.ir.Constant(self.vector, self.ir.Undefined)
        first = self.builder.insert_element(
            undefined, value, self.ir.Constant(self.ints.element, 0)
        )
        lanes = self.ir.Constant(self.ints, [0] * self.n)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def below(self, count: Any) -> Any:
        """The mask of the lanes before `count`."""
        word = self.ir.IntType(32)
        undefined = self.ir.Constant(self.ints, self.ir.Undefined)
        first = self.builder.insert_element(
            undefined, self.builder.trunc(count, word), self.ir.Constant(word, 0)
        )
        many = self.builder.shuffle_vector(
            first, undefined, self.ir.Constant(self.ints, [0] * self.n)
        )
        return self.builder.icmp_signed("<", self.ir.Constant(self.ints, list(range(self.n))), many)

    def call(self, name: str, result: Any, *args: Any) -> Any:
        kind = self.ir.FunctionType(result, [a.type for a in args])
        function = self.cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, args)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        return self.call(f"llvm.fma.v{self.n}f32", self.vector, a, b, c)

    def load_below(self, address: Any, floats: Any, mask: Any) -> Any:
        name = f"llvm.masked.load.v{self.n}f32.p0"
        align = self.ir.Constant(self.ir.IntType(32), 4)
        return self.call(name, self.vector, self.at(address, floats), align, mask, self.zero())

    def store_below(self, value: Any, address: Any, floats: Any, mask: Any) -> None:
        name = f"llvm.masked.store.v{self.n}f32.p0"
        align = self.ir.Constant(self.ir.IntType(32), 4)
        self.call(name, self.ir.VoidType(), value, self.at(address, floats), align, mask)

    def sums(self, count: int) -> list[Any]:
        """Vectors that start at zero, for a loop to add to."""
        return [self.cgutils.alloca_once_value(self.builder, self.zero()) for _ in range(count)]


def intrinsic_of(emit: Callable[..., None]) -> Any:
    """A function of one tuple, of ints and float32 numbers, that `emit` writes."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def function(context: Any, values: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            parts = []
            for i, kind in enumerate(values.types):
                wanted = kind if isinstance(kind, types.Float) else types.intp
                part = builder.extract_value(args[0], i)
                parts.append(context.cast(builder, part, kind, wanted))
            emit(Emitter(builder), *parts)
            return context.get_dummy_value()

        return types.void(values), generate

    return function


def function_of(name: str, emit: Callable[..., None]) -> Any:
    """The same for a loop that needs all vector registers: a function that is not inlined.

    Inside a large kernel LLVM shares registers out among everything around the loop, and keeps
    sums in memory: a third of the speed.
    """

    def call(e: Emitter, *args: Any) -> None:
        ir, module = e.ir, e.builder.module
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in args])
        function = module.globals.get(name)
        if function is None:
            function = ir.Function(module, kind, name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            inner = Emitter(ir.IRBuilder(function.append_basic_block("entry")))
            emit(inner, *function.args)
            inner.builder.ret_void()
        e.builder.call(function, args)

    return intrinsic_of(call)


def tile(high: int, wide: int) -> Lazy:
    """tile((start, a, off, terms, b, c, ldc)): C[i, p] = start[i] + sum_r A[r, i] b[off[r] + p].

    A is stored (terms, high); C is high x (wide vectors), its rows ldc apart.
    """

    def emit(
        e: Emitter, start: Any, a: Any, off: Any, terms: Any, b: Any, c: Any, ldc: Any
    ) -> None:
        builder = e.builder
        sums = e.sums(high * wide)
        for i in range(high):
            first = e.fill(builder.load(e.at(start, i, e.real)))
            for j in range(wide):
                builder.store(first, sums[i * wide + j])
        offsets = builder.inttoptr(off, e.word.as_pointer())
        with e.cgutils.for_range(builder, terms) as loop:
            here = builder.add(b, builder.load(builder.gep(offsets, [loop.index])))
            columns = [e.load(here, j * e.n) for j in range(wide)]
            weights = e.at(a, builder.mul(loop.index, e.number(high)), e.real)
            for i in range(high):
                weight = e.fill(builder.load(builder.gep(weights, [e.number(i)])))
                for j in range(wide):
                    s = sums[i * wide + j]
                    builder.store(e.fma(weight, columns[j], builder.load(s)), s)
        for i in range(high):
            row = builder.mul(ldc, e.number(i))
            for j in range(wide):
                place = builder.add(row, e.number(j * e.n))
                e.store(builder.load(sums[i * wide + j]), c, place)

    return Lazy(lambda: function_of(f"minigrad_tile_{high}_{wide}", emit))


def outer(high: int, wide: int) -> Lazy:
    """outer((x, off, lines, count, line, g, c)): C[r, i] += sum_p x[off[r] + p] g[p, i].

    For `high` offsets and `wide` vectors of i. p runs over `count` places of each of `lines` rows
    of x, `line` floats apart; g is stored (p, i) without gaps, C is (high, wide vectors).
    """

    def emit(
        e: Emitter, x: Any, off: Any, lines: Any, count: Any, line: Any, g: Any, c: Any
    ) -> None:
        builder, width = e.builder, wide * e.n
        offsets = builder.inttoptr(off, e.word.as_pointer())
        sums = e.sums(high * wide)
        starts = [
            builder.add(x, builder.load(builder.gep(offsets, [e.number(r)]))) for r in range(high)
        ]
        with e.cgutils.for_range(builder, lines) as row:
            first = builder.mul(row.index, count)
            along = builder.shl(builder.mul(row.index, line), e.number(2))
            here = builder.add(g, builder.mul(first, e.number(4 * width)))
            lefts = [builder.add(start, along) for start in starts]
            with e.cgutils.for_range(builder, count) as loop:
                at = builder.mul(loop.index, e.number(width))
                columns = [e.load(here, builder.add(at, e.number(j * e.n))) for j in range(wide)]
                for r in range(high):
                    value = e.fill(builder.load(e.at(lefts[r], loop.index, e.real)))
                    for j in range(wide):
                        s = sums[r * wide + j]
                        builder.store(e.fma(value, columns[j], builder.load(s)), s)
        for i, s in enumerate(sums):  # sums of sums: fewer roundings than one long sum
            e.store(builder.fadd(e.load(c, i * e.n), builder.load(s)), c, i * e.n)

    return Lazy(lambda: function_of(f"minigrad_outer_{high}_{wide}", emit))


def dot(high: int, wide: int) -> Lazy:
    """dot((g, ldg, off, b, images, size, vectors, c, ldc)): C[i, r] += sum_p g[i, p] b[off[r] + p].

    For `high` rows of g and `wide` offsets; p runs over so many vectors of each image, of `size`.
    """

    def emit(
        e: Emitter, g: Any, ldg: Any, off: Any, b: Any, images: Any, size: Any, vectors: Any,
        c: Any, ldc: Any,
    ) -> None:  # fmt: skip
        builder = e.builder
        sums = e.sums(high * wide)
        offsets = builder.inttoptr(off, e.word.as_pointer())
        columns = [
            builder.add(b, builder.load(builder.gep(offsets, [e.number(j)]))) for j in range(wide)
        ]
        lines = [builder.mul(ldg, e.number(i)) for i in range(high)]
        with e.cgutils.for_range(builder, images) as image:
            start = builder.mul(image.index, size)
            with e.cgutils.for_range(builder, vectors) as loop:
                p = builder.add(start, builder.mul(loop.index, e.number(e.n)))
                values = [e.load(g, builder.add(line, p)) for line in lines]
                for j in range(wide):
                    column = e.load(columns[j], p)
                    for i in range(high):
                        s = sums[i * wide + j]
                        builder.store(e.fma(values[i], column, builder.load(s)), s)
        add = e.ir.FunctionType(e.real, [e.real, e.vector])
        name = f"llvm.vector.reduce.fadd.v{e.n}f32"
        add = e.cgutils.get_or_insert_function(builder.module, add, name)
        for i in range(high):
            row = builder.mul(ldc, e.number(i))
            for j in range(wide):
                place = e.at(c, builder.add(row, e.number(j)), e.real)
                start = builder.load(place)
                total = builder.call(
                    add, [start, builder.load(sums[i * wide + j])], fastmath=("reassoc",)
                )
                builder.store(total, place)

    return Lazy(lambda: function_of(f"minigrad_dot_{high}_{wide}", emit))


def _emit_zeros(e: Emitter, to: Any, count: Any) -> None:
    vectors = e.builder.sdiv(e.builder.add(count, e.number(e.n - 1)), e.number(e.n))
    with e.cgutils.for_range(e.builder, vectors) as loop:
        e.store(e.zero(), to, e.builder.mul(loop.index, e.number(e.n)))


def _rows(emit: Callable[..., None]) -> Callable[..., None]:
    """The same for rows: (to, step, source, step, rows, ...), steps in floats."""

    def all_rows(
        e: Emitter, to: Any, to_step: Any, source: Any, source_step: Any, rows: Any, *more: Any
    ) -> None:
        four = e.number(4)
        with e.cgutils.for_range(e.builder, rows) as loop:
            first = e.builder.mul(loop.index, e.builder.mul(to_step, four))
            second = e.builder.mul(loop.index, e.builder.mul(source_step, four))
            emit(e, e.builder.add(to, first), e.builder.add(source, second), *more)

    return all_rows


def _emit_copy(e: Emitter, to: Any, source: Any, count: Any) -> None:
    """Whole vectors; the last one overlaps the one before, for masked stores are slow."""
    builder, n = e.builder, e.number(e.n)
    with e.cgutils.for_range(builder, builder.sdiv(count, n)) as loop:
        p = builder.mul(loop.index, n)
        e.store(e.load(source, p), to, p)
    with builder.if_then(builder.icmp_signed("!=", builder.srem(count, n), e.number(0))):
        p = builder.sub(count, n)
        with builder.if_else(builder.icmp_signed(">", p, e.number(0))) as (long, short):
            with long:
                e.store(e.load(source, p), to, p)
            with short:
                mask = e.below(count)
                e.store_below(e.load_below(source, 0, mask), to, 0, mask)


def _emit_pick(e: Emitter, to: Any, source: Any, count: Any) -> None:
    builder = e.builder
    even = e.ir.Constant(e.ints, list(range(0, 2 * e.n, 2)))
    full = builder.sdiv(builder.sub(count, e.number(1)), e.number(e.n))
    with e.cgutils.for_range(builder, full) as loop:
        p = builder.mul(loop.index, e.number(e.n))
        low = e.load(source, builder.add(p, p))
        high = e.load(source, builder.add(builder.add(p, p), e.number(e.n)))
        e.store(builder.shuffle_vector(low, high, even), to, p)
    p = builder.mul(full, e.number(e.n))
    q = builder.add(p, p)
    rest = builder.sub(builder.sub(builder.add(count, count), e.number(1)), q)
    low = e.load_below(source, q, e.below(rest))
    high = e.load_below(
        source, builder.add(q, e.number(e.n)), e.below(builder.sub(rest, e.number(e.n)))
    )
    e.store(builder.shuffle_vector(low, high, even), to, p)


def _emit_spread(e: Emitter, to: Any, source: Any, count: Any) -> None:
    """The places between are read and written back, but for those of the last vector."""
    builder, n = e.builder, e.number(e.n)
    halves = [[k // 2 + h * e.n // 2 for k in range(e.n)] for h in (0, 1)]
    even = e.ir.Constant(e.bits, [k % 2 == 0 for k in range(e.n)])
    vectors = builder.sdiv(builder.add(count, e.number(e.n - 1)), n)
    with e.cgutils.for_range(builder, vectors) as loop:
        p = builder.mul(loop.index, n)
        value = e.load(source, p)
        for h, half in enumerate(halves):
            wide = builder.shuffle_vector(value, value, e.ir.Constant(e.ints, half))
            start = builder.add(builder.add(p, p), e.number(h * e.n))
            left = builder.sub(builder.sub(builder.add(count, count), e.number(1)), start)
            with builder.if_else(builder.icmp_signed(">=", left, n)) as (whole, part):
                with whole:
                    e.store(builder.select(even, wide, e.load(to, start)), to, start)
                with part:
                    e.store_below(wide, to, start, builder.and_(even, e.below(left)))


def _emit_turn(e: Emitter, to: Any, ld: Any, source: Any, source_ld: Any, count: Any) -> None:
    builder, n = e.builder, e.n
    with e.cgutils.for_range(builder, builder.sdiv(count, e.number(n))) as loop:
        p = builder.mul(loop.index, e.number(n))
        v = [e.load(source, builder.add(builder.mul(source_ld, e.number(i)), p)) for i in range(n)]
        d = 1
        while d < n:  # exchange the off-diagonal halves of blocks of 2d
            low = [k if k & d == 0 else n + k - d for k in range(n)]
            high = [k + d if k & d == 0 else n + k for k in range(n)]
            for i in range(n):
                if i & d == 0:
                    a, b = v[i], v[i + d]
                    v[i] = builder.shuffle_vector(a, b, e.ir.Constant(e.ints, low))
                    v[i + d] = builder.shuffle_vector(a, b, e.ir.Constant(e.ints, high))
            d *= 2
        for i in range(n):
            e.store(v[i], to, builder.mul(ld, builder.add(p, e.number(i))))


def _emit_panel(e: Emitter, to: Any, source: Any, step: Any, terms: Any) -> None:
    builder = e.builder
    with e.cgutils.for_range(builder, terms) as loop:
        at = builder.mul(loop.index, step)
        p = builder.mul(loop.index, e.number(3 * e.n))
        for j in range(3):
            value = e.load(source, builder.add(at, e.number(j * e.n)))
            e.store(value, to, builder.add(p, e.number(j * e.n)))


zeros = Lazy(lambda: intrinsic_of(_emit_zeros))
"""zeros((to, count)): whole vectors, so up to one vector beyond the end is written."""
copy = Lazy(lambda: intrinsic_of(_emit_copy))
"""copy((to, source, count)): exactly count are read and written."""
copy_rows = Lazy(lambda: function_of("minigrad_copy_rows", _rows(_emit_copy)))
"""copy_rows((to, step, source, step, rows, count))."""
pick_rows = Lazy(lambda: function_of("minigrad_pick_rows", _rows(_emit_pick)))
"""The same of every second element: reads no further, writes whole vectors; count > 0."""
spread_rows = Lazy(lambda: function_of("minigrad_spread_rows", _rows(_emit_spread)))
"""The same to every second element."""
turn = Lazy(lambda: function_of("minigrad_turn", _emit_turn))
"""turn((to, ld, source, ld, count)): to[p, i] = source[i, p], whole vectors of i and p."""
panel = Lazy(lambda: function_of("minigrad_panel", _emit_panel))
"""panel((to, source, step, terms)): three vectors of each row, `step` apart, side by side."""
LANES, ROWS = Lazy(lanes), Lazy(rows)
TILE3 = Lazy(lambda: tile(rows(), 3).get())
TILE2 = Lazy(lambda: tile(rows(), 2).get())
TILE1 = Lazy(lambda: tile(rows(), 1).get())


@kernel(inline=True)
def multiply(start, a, off, terms, blocks, b, c, vectors, ldc):
    """tile() for any number of vectors and blocks of rows: columns stay in the nearest cache."""
    v, step = 0, 4 * LANES
    high = 4 * ROWS
    while v < vectors:
        left = vectors - v
        for k in range(blocks):
            here = (
                a + k * terms * high,
                off,
                terms,
                b + v * step,
                c + k * ldc * high + v * step,
                ldc,
            )
            if left >= 3:
                TILE3((start + k * high, *here))
            elif left == 2:
                TILE2((start + k * high, *here))
            else:
                TILE1((start + k * high, *here))
        v += 3
