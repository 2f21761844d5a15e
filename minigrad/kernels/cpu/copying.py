"""Copies of strided arrays: rows at a time where rows lie in one piece, in square tiles where the
fastest dimension of the source is not that of the result.

A tile of a transposition is read line by line into a small square and written from there line by
line, so that every line of memory is touched once: NumPy walks along one side only and comes back
to each line of the other many times, and lines a power of two apart push each other out of the
cache.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

from ...backend import memory
from ...backend.memory import address
from . import compiler, threads
from .compiler import Lazy, kernel, prange
from .launch import carray, pointer

WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
SMALL = 1 << 13
"""Elements below which NumPy copies whatever the strides are at least as fast."""
SMALL_ROWS, SMALL_PIECE = 1 << 15, 1 << 18
"""The same for rows that lie in one piece, and for long ones and arrays that do."""
LONG_ROW = 1 << 14
"""Bytes of a row that counts as long."""
SHORTEST_ROW = 64
"""Bytes of a row below which NumPy's loop is no slower."""
MAPPED = memory.MMAP_THRESHOLD
"""Bytes from which an array gets pages of its own, which are zero."""
TILE = 16
"""Elements along each side of a tile: 16 of four bytes are one line of memory."""

ndarray = np.ndarray


def _make_move() -> Any:
    """move(to, source, count): copy so many bytes between two addresses."""
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def move(context: Any, to: Any, source: Any, count: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte = ir.IntType(8).as_pointer()
            target, start = [builder.inttoptr(a, byte) for a in args[:2]]
            cgutils.raw_memcpy(builder, target, start, args[2], 1)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp), generate

    return move


move: Any = Lazy(_make_move)


@kernel(inline=True)
def _copy_row(to, source, size, one):
    """Copy so many bytes; if `one` is not 0, repeat the first so many."""
    if one == 0:
        move(to, source, size)
        return
    done = min(one, size)
    move(to, source, done)
    while done < size:  # what is there is copied behind itself
        more = min(done, size - done, 4096)
        move(to + done, to, more)
        done += more


@kernel
def _rows(to, source, g):
    """Copy rows: g holds the sizes of four dimensions, the bytes from one index of each to the next
    (of the result, of the source), the bytes of a row, the parts that a row is cut into, the bytes
    of the one element that a row repeats (0: there is a row to copy), and the number of tasks.
    """
    n1, n2, n3, row, parts, one, tasks = g[1], g[2], g[3], g[12], g[13], g[14], g[15]
    step_to, step_from = g[7], g[11]
    total = g[0] * n1 * n2 * n3 * parts
    for task in prange(tasks):
        at, stop = total * task // tasks, total * (task + 1) // tasks
        while at < stop:
            part, rest = at % parts, at // parts
            m, rest = rest % n3, rest // n3
            k, rest = rest % n2, rest // n2
            i, j = rest // n1, rest % n1
            there = to + i * g[4] + j * g[5] + k * g[6] + m * step_to
            here = source + i * g[8] + j * g[9] + k * g[10] + m * step_from
            if parts > 1:
                first = row * part // parts // 64 * 64
                last = row * (part + 1) // parts // 64 * 64 if part < parts - 1 else row
                _copy_row(there + first, here if one else here + first, last - first, one)
                at += 1
                continue
            count = min(n3 - m, stop - at)
            for _ in range(count):
                _copy_row(there, here, row, one)
                there += step_to
                here += step_from
            at += count


@kernel
def _turn(to, source, like, g):
    """y = x, both (outer, middle, a, b); x is fastest along a, y along b. g: these sizes, the bytes
    from one index to the next of y (outer, middle, a) and of x (outer, middle, b).
    """
    middle, a, b, size = g[1], g[2], g[3], like.itemsize
    tiles = (a + 15) // 16
    for task in prange(g[0] * middle * tiles):
        i0, rest = task % tiles * 16, task // tiles
        here = source + rest // middle * g[7] + rest % middle * g[8] + i0 * size
        there = to + rest // middle * g[4] + rest % middle * g[5] + i0 * g[6]
        square = np.empty((16, 16), like.dtype)
        high = min(a - i0, 16)
        for j0 in range(0, b, 16):
            wide = min(b - j0, 16)
            if high == 16 and wide == 16:
                for j in range(16):
                    line = carray(pointer(here + (j0 + j) * g[9]), (16,), like.dtype)
                    for i in range(16):
                        square[i, j] = line[i]
                for i in range(16):
                    line, part = (
                        carray(pointer(there + i * g[6] + j0 * size), (16,), like.dtype),
                        square[i],
                    )
                    for j in range(16):
                        line[j] = part[j]
            else:
                for i in range(high):
                    line = carray(pointer(there + i * g[6] + j0 * size), (16,), like.dtype)
                    for j in range(wide):
                        at = here + (j0 + j) * g[9] + i * size
                        line[j] = carray(pointer(at), (1,), like.dtype)[0]


def _joined(shape: Any, *strides: Any) -> tuple[list[int], list[list[int]]]:
    """The dimensions with neighbours joined where all strides allow it; none of size one."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all([s[-1] == t[d] * n for s, t in zip(steps, strides, strict=True)]):
            sizes[-1] *= n
            for s, t in zip(steps, strides, strict=True):
                s[-1] = t[d]
        else:
            sizes.append(n)
            for s, t in zip(steps, strides, strict=True):
                s.append(t[d])
    return sizes, steps


Plan = tuple[Any, tuple[Any, ...]]


@functools.lru_cache(512)
def _plan(shape: Any, there: Any, here: Any, size: int, count: int) -> Plan | None:
    """(kernel, its arguments) for a copy between these strides, or None."""
    sizes, (to, frm) = _joined(shape, there, here)
    if not sizes or to[-1] != size:
        return None
    n, last = prod(sizes), frm[-1]
    if last == size or last == 0:
        if n < (SMALL_PIECE if size * sizes[-1] >= LONG_ROW else SMALL_ROWS):
            return None
        return _plan_rows(sizes, to, frm, size, count)
    if len(sizes) > 4 or len(sizes) < 2 or size not in frm or size not in WORDS:
        return None
    a = frm.index(size)
    if sizes[a] < 4 or sizes[-1] < 4:
        return None
    rest = [d for d in range(len(sizes) - 1) if d != a]
    order = [*rest, a, len(sizes) - 1]
    lead = 4 - len(sizes)
    sizes, to, frm = [
        [f] * lead + [v[d] for d in order] for f, v in ((1, sizes), (0, to), (0, frm))
    ]
    table = np.array([*sizes, *to[:3], *frm[:2], frm[3]], np.int64)
    return _turn, (np.empty(0, WORDS[size]), table)


def _plan_rows(
    sizes: list[int], to: list[int], frm: list[int], size: int, count: int
) -> Plan | None:
    one = size if frm[-1] == 0 else 0
    row = size * sizes[-1]
    lead = 5 - len(sizes)
    if row < SHORTEST_ROW or lead < 0:
        return None
    sizes, to, frm = [[f] * lead + v[:-1] for f, v in ((1, sizes), (0, to), (0, frm))]
    rows = prod(sizes)
    parts = 1 if rows >= count else 4 * count
    tasks = min(rows * parts, 4 * count)
    return _rows, (np.array([*sizes, *to, *frm, row, parts, one, tasks], np.int64),)


def place(y: Any, x: Any) -> bool:
    """y[...] = x for arrays of one shape and dtype; False where NumPy has to do it."""
    if x.size < SMALL or x.dtype != y.dtype or x.shape != y.shape or x.dtype.hasobject:
        return False
    plan = _plan(x.shape, y.strides, x.strides, x.itemsize, threads.count())
    if plan is None or not compiler.enabled():
        return False
    function, arguments = plan
    function.run(x.size, address(y), address(x), *arguments)
    return True


def contiguous(x: Any) -> Any:
    """A copy of x in row-major order, or None where NumPy has to make it."""
    if x.size < SMALL:
        return None
    y = np.empty(x.shape, x.dtype)
    return y if place(y, x) else None


def zeros(size: tuple[int, ...], dtype: Any) -> Any:
    """np.zeros, on all threads where memory has to be written."""
    n = prod(size)
    if n < SMALL_PIECE or n >= MAPPED // dtype.itemsize:
        return np.zeros(size, dtype)
    y = np.empty(size, dtype)
    nothing = ndarray(size, dtype, bytes(dtype.itemsize), 0, (0,) * len(size))
    return y if place(y, nothing) else np.zeros(size, dtype)


def put(x: Any, where: tuple[Any, ...], size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` with x at an index that gives a view; None where NumPy is as fast."""
    if x.size < SMALL_ROWS or not compiler.enabled():
        return None
    if 2 * x.size < prod(size) or any(
        [type(i) is not slice or i.step not in (None, 1) for i in where]
    ):
        y = zeros(size, x.dtype)
    else:  # only what lies around x
        y, inside = np.empty(size, x.dtype), ()
        for i, n in zip(where, size, strict=False):
            start, stop, _ = i.indices(n)
            y[(*inside, slice(0, start))] = 0
            y[(*inside, slice(stop, n))] = 0
            inside = (*inside, slice(start, stop))
    part = y[where]
    if not place(part, x):
        part[...] = x
    return y


def reshaped(x: Any, size: tuple[int, ...]) -> Any:
    """x.reshape(size) where that has to copy a large array; else None."""
    if x.size < SMALL or x.flags.c_contiguous:
        return None
    targets = iter([n for n in size if n != 1])
    for n in _joined(x.shape, x.strides)[0]:
        have = 1
        while have < n:
            have *= next(targets)
        if have != n:
            y = contiguous(x)
            return None if y is None else y.reshape(size)
    return None


def join(xs: Any, dim: int) -> Any:
    """Arrays of one dtype end to end along `dim`; None where NumPy has to do it."""
    first = xs[0]
    for x in xs:
        if x.size >= SMALL_ROWS and compiler.enabled():
            break
    else:
        return None
    before, after = first.shape[:dim], first.shape[dim + 1 :]
    for x in xs:
        if (*x.shape[:dim], *x.shape[dim + 1 :]) != (*before, *after) or x.dtype != first.dtype:
            return None
    y = np.empty((*before, sum([x.shape[dim] for x in xs]), *after), first.dtype)
    stop, where = 0, (slice(None),) * dim
    for x in xs:
        start, stop = stop, stop + x.shape[dim]
        part = y[(*where, slice(start, stop))]
        if not place(part, x):
            part[...] = x
    return y


@functools.lru_cache(512)
def _blocks(shape: tuple[int, ...], shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """(where it goes, where it was) of each block that a roll moves in one piece."""
    whole = [slice(None)] * len(shape)
    blocks: list[tuple[list[slice], list[slice]]] = [(whole, whole)]
    for d in set(dims):
        n = shape[d]
        by = sum([s for s, e in zip(shifts, dims, strict=True) if e == d]) % max(n, 1)
        moves = [(slice(by, None), slice(None, n - by)), (slice(None, by), slice(n - by, None))]
        blocks = [
            ([*to[:d], t, *to[d + 1 :]], [*frm[:d], f, *frm[d + 1 :]])
            for to, frm in blocks
            for t, f in moves[: 2 if by else 1]
        ]
    return [(tuple(to), tuple(frm)) for to, frm in blocks]


def roll(x: Any, shifts: tuple[int, ...], dims: tuple[int, ...]) -> Any:
    """np.roll: each of the blocks that stay in one piece moved to its place."""
    y = np.empty(x.shape, x.dtype)
    for to, frm in _blocks(x.shape, shifts, dims):
        part, block = y[to], x[frm]
        if not place(part, block):
            part[...] = block
    return y


@kernel
def _triangle(x, y, n, diagonal, lower):
    for r in prange(x.shape[0]):
        source, target = x[r], y[r]
        width = target.size
        split = r % n + diagonal + (1 if lower else 0)  # columns before it belong to the lower part
        split = min(max(split, 0), width)
        if lower:
            target[:split] = source[:split]
            target[split:] = 0
        else:
            target[:split] = 0
            target[split:] = source[split:]


def triangle(x: Any, diagonal: int, lower: bool) -> Any:
    """np.tril (or np.triu) of matrices in one piece; None where NumPy has to do it."""
    if not x.size or not x.flags.c_contiguous or not compiler.enabled():
        return None
    word, (n, width) = WORDS.get(x.itemsize), x.shape[-2:]
    if word is None:
        return None
    y = np.empty(x.shape, x.dtype)
    source, target = x.view(word).reshape(-1, width), y.view(word).reshape(-1, width)
    _triangle.run(x.size, source, target, n, diagonal, lower)
    return y
