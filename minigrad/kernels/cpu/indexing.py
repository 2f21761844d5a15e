"""Elements and rows picked by integers or masks, and added back.

Arrays are brought to (outer, n, inner), where the index counts n. Copies move whole rows as
integers of the elements' size. Sums are taken in the order of the index, whichever thread takes
them, so that results are the same from run to run: threads share out what they add *to*, not what
they add.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from . import threads
from .compiler import enabled, kernel, prange
from .copying import move, zeros

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
INT64, INT32 = np.dtype(np.int64), np.dtype(np.int32)
FLOATS = (F32, F64)
U = np.uint64
"""In kernels: of an index that is not negative, so that Numba does not look for negative ones."""
WORDS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}

SMALL = 1 << 13
"""Elements below which NumPy copies what is picked at least as fast."""
SMALL_SUM = 1
"""The same for what is added back or picked one by one: NumPy needs many calls for that."""


def ready(index: Any, size: int, small: int = SMALL) -> bool:
    kind = index.dtype
    return size >= small and (kind is INT64 or kind == INT64 or kind == INT32) and enabled()


def words_of(x: Any) -> Any:
    """The elements of a contiguous array as unsigned integers; None for sizes without one."""
    word = WORDS.get(x.itemsize)
    return None if word is None else x.view(word)


def flat_index(index: Any) -> Any:
    if index.dtype is INT64 and index.flags.c_contiguous:
        return index.ravel()
    return np.ascontiguousarray(index).reshape(-1).astype(np.int64, copy=False)


@lru_cache(512)
def around(shape: tuple[int, ...], dim: int) -> tuple[int, int]:
    """The number of elements of the dimensions before `dim`, and of those behind it."""
    return math.prod(shape[:dim]), math.prod(shape[dim + 1 :])


# ------------------------------------------------------------------------------ rows
@kernel
def _take(x, index, y, chunks):
    outer, n, inner = x.shape
    count = index.size
    parts = 1 if outer >= chunks else chunks  # of the index
    lines, results = x.reshape(outer, n * inner), y.reshape(outer, count * inner)
    for task in prange(outer * parts):
        a, c = task // parts, task % parts
        first, last = count * c // parts, count * (c + 1) // parts
        if inner == 1:
            line, out = lines[a], results[a]
            for i in range(first, last):
                j = index[i]
                out[i] = line[j + n if j < 0 else j]
        else:
            for i in range(first, last):
                j = index[i]
                source, target = x[a, j + n if j < 0 else j], y[a, i]
                if inner >= 64:
                    move(target.ctypes.data, source.ctypes.data, inner * x.itemsize)
                else:
                    for k in range(inner):
                        target[k] = source[k]


@kernel
def _inside(index, low, n, good):
    total, chunks = index.size, good.size
    for c in prange(chunks):
        part = index[total * c // chunks : total * (c + 1) // chunks]
        signs = 0
        for i in range(part.size):  # a difference that overflows is negative, too
            signs |= (part[i] - low) | (n - 1 - part[i])
        good[c] = signs >= 0


@kernel
def _all_inside(index, low, n):
    signs = 0
    for i in range(index.size):
        signs |= (index[i] - low) | (n - 1 - index[i])
    return signs >= 0


def inside(index: Any, low: int, n: int) -> bool:
    """Whether all integers lie in [low, n)."""
    if not index.size:
        return True
    if type(index) is not np.ndarray:
        return bool(index.min() >= low) and bool(index.max() < n)
    if index.dtype is INT64 and index.flags.c_contiguous and n > low and enabled():
        if not threads.worthwhile(index.size):
            return _all_inside.serial(index.ravel(), low, n)
        _inside.parallel(index.ravel(), low, n, good := np.empty(threads.count(), bool))
        return bool(good.all())
    return bool(np.minimum.reduce(index, None) >= low and np.maximum.reduce(index, None) < n)


def take(x: Any, index: Any, dim: int, checked: bool = False) -> Any:
    """x's slices at `index` along `dim`; None where NumPy has to do it (errors included). Of an
    index that is `checked`, at any size.
    """
    size = index.size * (x.size // max(x.shape[dim], 1))
    if (
        not ready(index, size, SMALL_SUM if checked else SMALL)
        or not x.flags.c_contiguous
        or (words := words_of(x)) is None
    ):
        return None
    flat, shape = flat_index(index), x.shape
    if not checked and not inside(flat, -shape[dim], shape[dim]):
        return None
    y = np.empty((*shape[:dim], *index.shape, *shape[dim + 1 :]), x.dtype)
    outer, inner = around(shape, dim)
    out = y.view(words.dtype).reshape(outer, flat.size, inner)
    _take.run(size, words.reshape(outer, shape[dim], inner), flat, out, 4 * threads.count())
    return y


@kernel
def _add(g, index, y, skip, scale, split, chunks):
    """y[a, index[i]] += g[a, i]; tasks have parts of the outer dimension (split 0), or of the rows
    that are added to: a range of single numbers, every so many-th of longer rows (often the first
    ones of a table are used most).
    """
    outer, n, inner = y.shape
    count = index.size
    lines, results = g.reshape(outer, count * inner), y.reshape(outer, n * inner)
    for c in prange(chunks):
        a0, a1, r0, r1 = 0, outer, 0, n
        if split == 0:
            a0, a1 = outer * c // chunks, outer * (c + 1) // chunks
        else:
            r0, r1 = n * c // chunks, n * (c + 1) // chunks
        for a in range(a0, a1):
            if inner == 1 and scale.size == 0:
                values, sums = lines[a], results[a]
                for i in range(count):
                    j = index[i]
                    j = j + n if j < 0 else j
                    if r0 <= j < r1 and j != skip:
                        sums[j] += values[i]
                continue
            for i in range(count):
                j = index[i]
                j = j + n if j < 0 else j
                if j == skip or (split and j % chunks != c):
                    continue
                source, target = g[a, i], y[a, j]
                if scale.size:
                    s = scale[i]
                    for k in range(inner):
                        target[k] += source[k] * s
                else:
                    for k in range(inner):
                        target[k] += source[k]


def add_to(
    y: Any, g: Any, index: Any, dim: int, skip: int = -1, scale: Any = None, check: bool = False
) -> bool:
    """y[.., index, ..] += g along `dim`, in place; False where NumPy has to do it.

    Rows number `skip` get nothing; `scale` has a factor for every element of the index.
    """
    if y.dtype not in FLOATS or g.dtype != y.dtype or not y.flags.c_contiguous:
        return False
    if not ready(index, g.size, SMALL_SUM):
        return False
    flat, n = flat_index(index), y.shape[dim]
    if check and not inside(flat, -n, n):
        return False
    outer, inner = around(y.shape, dim)
    factors = NO_FACTORS[y.dtype] if scale is None else scale.reshape(-1).astype(y.dtype)
    source = g.reshape(outer, flat.size, inner)
    if not source.flags.c_contiguous:
        source = np.ascontiguousarray(source)
    target = y.reshape(outer, n, inner)
    if threads.worthwhile(g.size):
        count = threads.count()
        split = 0 if outer >= count else 1
        parts = count if split else min(outer, 4 * count)
        _add.parallel(source, flat, target, skip, factors, split, parts)
    else:
        _add.serial(source, flat, target, skip, factors, 0, 1)
    return True


NO_FACTORS = {dtype: np.empty(0, dtype) for dtype in FLOATS}


def add_back(g: Any, index: Any, dim: int, size: tuple[int, ...], **options: Any) -> Any:
    """Zeros of shape `size` to which g is added at `index` along `dim`, or None."""
    if g.dtype not in FLOATS or not ready(index, g.size, SMALL_SUM):
        return None
    y = zeros(size, g.dtype)
    return y if add_to(y, g, index, dim, **options) else None


# ------------------------------------------------------------------------------ several indices
@kernel
def _combine(flat, i, j, n, m, good):
    total, chunks = flat.size, good.size
    for c in prange(chunks):
        signs = 0
        for k in range(total * c // chunks, total * (c + 1) // chunks):
            a, b = i[k], j[k]
            signs |= (a + n) | (n - 1 - a) | (b + m) | (m - 1 - b)
            flat[k] = (a + n if a < 0 else a) * m + (b + m if b < 0 else b)
        good[c] = signs >= 0


def combined(indices: Any, sizes: Any) -> Any:
    """Indices of one shape for neighbouring dimensions as one index of those dimensions together;
    None for a small one, one that does not fit, or one out of range.
    """
    flat, size = indices[0], sizes[0]
    for i, n in zip(indices[1:], sizes[1:], strict=True):
        if i.shape != flat.shape or not (
            ready(i, i.size, SMALL_SUM) and ready(flat, i.size, SMALL_SUM)
        ):
            return None
        parallel = threads.worthwhile(i.size)
        good = np.empty(threads.count() if parallel else 1, bool)
        both = np.empty(i.shape, np.int64)
        chosen = _combine.parallel if parallel else _combine.serial
        chosen(both.ravel(), flat.ravel(), i.ravel(), size, n, good)
        flat = both
        if not (good[0] if good.size == 1 else good.all()):
            return None
        size *= n
    return flat


@kernel
def _add_pairs(g, i, j, y):
    outer, n, m, inner = y.shape
    signs = 0
    for k in range(i.size):
        signs |= (i[k] + n) | (n - 1 - i[k]) | (j[k] + m) | (m - 1 - j[k])
    if signs < 0:
        return False
    for a in range(outer):
        for k in range(i.size):
            target, source = y[a, i[k] + n if i[k] < 0 else i[k], j[k]], g[a, k]
            for c in range(inner):
                target[c] += source[c]
    return True


def pairs_back(g: Any, i: Any, j: Any, dim: int, size: tuple[int, ...]) -> Any:
    """Zeros of shape `size` to which g is added at [.., i, j, ..] from `dim` on; None where this
    is not small, or has to be refused.
    """
    if g.dtype not in FLOATS or i.dtype is not INT64 or j.dtype is not INT64:
        return None
    if i.shape != j.shape or not g.size or threads.worthwhile(g.size) or not enabled():
        return None
    y = np.zeros(size, g.dtype)
    outer, inner = around(size, dim)
    n, m = size[dim : dim + 2]
    inner //= m
    source = np.ascontiguousarray(g).reshape(outer, i.size, inner)
    done = _add_pairs.serial(source, i.ravel(), j.ravel(), y.reshape(outer, n, m, inner))
    return y if done else None
