"""Elements picked along one dimension by an index of their own, and added or written back.

Arrays are brought to (outer, n, inner). Sums are taken in the order of the index.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from . import threads
from .compiler import kernel, prange
from .indexing import FLOATS, SMALL_SUM, U, around, ready, words_of

Shape = tuple[int, ...]


@kernel
def _gather(x, index, y, chunks):
    outer, count, inner = index.shape
    parts = 1 if outer >= chunks else chunks
    lines, results = x.reshape(outer, x.shape[1] * inner), y.reshape(outer, count * inner)
    numbers = index.reshape(outer, count * inner)
    if parts == 1 and inner == 1:  # half the time of the loop over tasks
        for c in prange(chunks):
            for a in range(outer * c // chunks, outer * (c + 1) // chunks):
                line, places, out = lines[a], numbers[a], results[a]
                for i in range(places.size):
                    out[i] = line[U(places[i])]
        return
    for task in prange(outer * parts):
        a, c = task // parts, task % parts
        first, last = count * c // parts, count * (c + 1) // parts
        if inner == 1:
            line, places, out = lines[a], numbers[a], results[a]
            for i in range(first, last):
                out[i] = line[U(places[i])]
        else:
            source = x[a]
            for i in range(first, last):
                places, target = index[a, i], y[a, i]
                for k in range(inner):
                    target[k] = source[U(places[k]), k]


@kernel
def _scatter_add(g, index, y, split, chunks):
    outer, count, inner = index.shape
    n = y.shape[1]
    lines, results = g.reshape(outer, count * inner), y.reshape(outer, n * inner)
    numbers = index.reshape(outer, count * inner)
    for c in prange(chunks):
        a0, a1, k0, k1, r0, r1 = 0, outer, 0, inner, 0, n
        if split == 0:
            a0, a1 = outer * c // chunks, outer * (c + 1) // chunks
        elif split == 1:
            k0, k1 = inner * c // chunks, inner * (c + 1) // chunks
        else:
            r0, r1 = n * c // chunks, n * (c + 1) // chunks
        for a in range(a0, a1):
            if inner == 1:
                line, spots, sums = lines[a], numbers[a], results[a]
                if split < 2:
                    for i in range(count):
                        sums[U(spots[i])] += line[i]
                    continue
                for i in range(count):
                    j = spots[i]
                    if r0 <= j < r1:
                        sums[U(j)] += line[i]
                continue
            target = y[a]
            for i in range(count):
                places, values = index[a, i], g[a, i]
                for k in range(k0, k1):
                    j = places[k]
                    if split < 2 or r0 <= j < r1:
                        target[U(j), k] += values[k]


@kernel
def _scatter(source, index, y, split, chunks):
    outer, count, inner = index.shape
    lines, results = source.reshape(outer, count * inner), y.reshape(outer, y.shape[1] * inner)
    numbers = index.reshape(outer, count * inner)
    for c in prange(chunks):
        a0, a1, k0, k1 = 0, outer, 0, inner
        if split == 0:
            a0, a1 = outer * c // chunks, outer * (c + 1) // chunks
        else:
            k0, k1 = inner * c // chunks, inner * (c + 1) // chunks
        for a in range(a0, a1):
            if inner == 1:
                line, spots, out = lines[a], numbers[a], results[a]
                for i in range(count):
                    out[U(spots[i])] = line[i]
                continue
            target = y[a]
            for i in range(count):
                places, values = index[a, i], source[a, i]
                for k in range(k0, k1):
                    target[U(places[k]), k] = values[k]


@lru_cache(512)
def _three(shape: Shape, index: Shape, dim: int) -> tuple[Shape, Shape] | None:
    """The shapes of array and index as (outer, n, inner), if the index has the other sizes."""
    rest = (*shape[:dim], *shape[dim + 1 :])
    if len(shape) != len(index) or rest != (*index[:dim], *index[dim + 1 :]):
        return None
    outer, inner = around(shape, dim)
    return (outer, shape[dim], inner), (outer, index[dim], inner)


def gather(x: Any, index: Any, dim: int) -> Any:
    """x at `index` along `dim`, the index checked; None where NumPy has to do it."""
    if not x.ndim or not ready(index, index.size, SMALL_SUM) or not x.flags.c_contiguous:
        return None
    found, words = _three(x.shape, index.shape, dim), words_of(x)
    if found is None or words is None:
        return None
    y = np.empty(index.shape, x.dtype)
    places = np.ascontiguousarray(index).reshape(found[1])
    out = y.view(words.dtype).reshape(found[1])
    _gather.run(y.size, words.reshape(found[0]), places, out, 4 * threads.count())
    return y


def _split(outer: int, inner: int, range_too: bool) -> tuple[int, int]:
    """How tasks share the array that is written to (by its outer dimension, its columns, or its
    rows), and their number.
    """
    count = threads.count()
    if outer >= count:
        return 0, min(outer, 4 * count)
    if inner >= 2 * count or not range_too:
        return 1, count if inner >= 2 * count else 1
    return 2, count


def scatter_add(y: Any, index: Any, source: Any, dim: int) -> bool:
    """y[index] += source along `dim`, in place, the index checked; False: NumPy has to do it."""
    if y.dtype not in FLOATS or source.dtype != y.dtype or not y.flags.c_contiguous or not y.ndim:
        return False
    if not ready(index, index.size, SMALL_SUM) or source.shape != index.shape:
        return False
    found = _three(y.shape, index.shape, dim)
    if found is None:
        return False
    values = np.ascontiguousarray(source).reshape(found[1])
    places = np.ascontiguousarray(index).reshape(found[1])
    if threads.worthwhile(index.size):
        split, parts = _split(found[1][0], found[1][2], True)
        _scatter_add.parallel(values, places, y.reshape(found[0]), split, parts)
    else:
        _scatter_add.serial(values, places, y.reshape(found[0]), 0, 1)
    return True


def scatter(y: Any, index: Any, source: Any, dim: int) -> bool:
    """y[index] = source along `dim` (the last one counts), in place, the index checked."""
    if not y.ndim or not y.flags.c_contiguous or source.dtype != y.dtype:
        return False
    if not ready(index, index.size, SMALL_SUM) or source.shape != index.shape:
        return False
    found, words = _three(y.shape, index.shape, dim), words_of(y)
    if found is None or words is None:
        return False
    places, values = [np.ascontiguousarray(t).reshape(found[1]) for t in (index, source)]
    split, parts = _split(found[1][0], found[1][2], False)
    chosen = _scatter.parallel if threads.worthwhile(index.size) else _scatter.serial
    chosen(values.view(words.dtype), places, words.reshape(found[0]), split, parts)
    return True
