"""Copies of strided arrays: rows at a time where rows lie in one piece, in square tiles where the
fastest dimension of the source is not that of the result.

A tile of a transposition is read line by line into a small square and written from there line by
line, so that every line of memory is touched once: NumPy walks along one side only and comes back
to each line of the other many times, and lines a power of two apart push each other out of the
cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import compiler, threads
from .compiler import Lazy, kernel, prange

WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
SMALL = 1 << 18
"""Elements below which one thread copies at least as fast."""
SMALL_TURNED = 1 << 13
"""The same where the fastest dimension changes."""
SHORTEST_ROW = 64
"""Bytes of a row below which NumPy's loop is no slower."""
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
            pointer = ir.IntType(8).as_pointer()
            target, start = [builder.inttoptr(a, pointer) for a in args[:2]]
            cgutils.raw_memcpy(builder, target, start, args[2], 1)
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp), generate

    return move


move: Any = Lazy(_make_move)


@kernel
def _rows(to, source, shape, steps_to, steps, row, parts):
    """Copy rows of `row` bytes, each in so many parts; shape and steps of the dimensions before."""
    n0, n1, n2, n3 = shape
    t0, t1, t2, t3 = steps_to
    s0, s1, s2, s3 = steps
    for task in prange(n0 * n1 * n2 * parts):
        part, rest = task % parts, task // parts
        k, rest = rest % n2, rest // n2
        i, j = rest // n1, rest % n1
        first = row * part // parts // 64 * 64
        last = row * (part + 1) // parts // 64 * 64 if part < parts - 1 else row
        there = to + i * t0 + j * t1 + k * t2 + first
        here = source + i * s0 + j * s1 + k * s2 + first
        for m in range(n3):
            move(there + m * t3, here + m * s3, last - first)


@kernel
def _turn(x, y, tiles_a):
    """y = x, both (outer, middle, a, b); x is fastest along a, y along b."""
    outer, middle, a, b = x.shape
    for task in prange(outer * middle * tiles_a):
        t, rest = task % tiles_a, task // tiles_a
        source, target = x[rest // middle, rest % middle], y[rest // middle, rest % middle]
        square = np.empty((16, 16), x.dtype)
        i0 = t * 16
        for j0 in range(0, b, 16):
            if i0 + 16 <= a and j0 + 16 <= b:
                for j in range(16):
                    for i in range(16):
                        square[i, j] = source[i0 + i, j0 + j]
                for i in range(16):
                    line, part = target[i0 + i, j0 : j0 + 16], square[i]
                    for j in range(16):
                        line[j] = part[j]
            else:
                for i in range(i0, min(i0 + 16, a)):
                    for j in range(j0, min(j0 + 16, b)):
                        target[i, j] = source[i, j]


def _address(x: Any) -> int:
    return x.__array_interface__["data"][0]


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


def place(y: Any, x: Any) -> bool:
    """y[...] = x for arrays of one shape and dtype; False where NumPy has to do it.

    Both must be fastest along one and the same dimension.
    """
    if x.size < SMALL or x.dtype != y.dtype or x.shape != y.shape or not compiler.enabled():
        return False
    if x.dtype.hasobject:
        return False
    sizes, (there, here) = _joined(x.shape, y.strides, x.strides)
    size = x.itemsize
    row = size
    if not sizes:
        return False
    if there[-1] == here[-1] == size:
        row *= sizes.pop()
        there.pop()
        here.pop()
    if row < SHORTEST_ROW or len(sizes) > 4:
        return False
    pad = 4 - len(sizes)
    lead = [1] * pad + sizes
    tasks = lead[0] * lead[1] * lead[2]
    count = threads.count()
    if tasks < count and lead[3] > 1:  # all rows lie along one dimension
        lead, tasks = [lead[0], lead[1] * lead[2], lead[3], 1], lead[3]
        if pad < 2:
            return False
        there, here = [0, 0, *there, 0], [0, 0, *here, 0]
        there, here = there[-4:], here[-4:]
    else:
        there, here = [0] * pad + there, [0] * pad + here
    parts = 4 * count if tasks < count else 1
    _rows.run(x.size, _address(y), _address(x), tuple(lead), tuple(there), tuple(here), row, parts)
    return True


def contiguous(x: Any) -> Any:
    """A copy of x in row-major order, or None where NumPy has to make it."""
    if x.size < SMALL_TURNED or not compiler.enabled() or x.itemsize not in WORDS:
        return None
    sizes, (steps,) = _joined(x.shape, x.strides)
    size = x.itemsize
    if not sizes:
        return None
    if steps[-1] == size:
        y = np.empty(x.shape, x.dtype)
        return y if place(y, x) else None
    if size not in steps or len(sizes) > 4 or len(sizes) < 2 or min(steps) < 0:
        return None
    a = steps.index(size)
    if sizes[a] < 4 or sizes[-1] < 4:
        return None
    y = np.empty(x.shape, x.dtype)
    order = [d for d in range(len(sizes) - 1) if d != a]
    order = [*order, a, len(sizes) - 1]
    word = WORDS[size]
    source = as_strided(x.view(word), sizes, steps).transpose(order)
    target = y.view(word).reshape(sizes).transpose(order)
    source, target = [t[(None,) * (4 - t.ndim)] for t in (source, target)]
    _turn.run(x.size, source, target, -(-source.shape[2] // TILE))
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
    if not x.flags.c_contiguous or not compiler.enabled() or x.itemsize not in WORDS:
        return None
    y = np.empty(x.shape, x.dtype)
    word, (n, width) = WORDS[x.itemsize], x.shape[-2:]
    source, target = [t.view(word).reshape(-1, width) for t in (x, y)]
    _triangle.run(x.size, source, target, n, diagonal, lower)
    return y
