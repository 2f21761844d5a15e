"""Elements and rows picked by integers or masks, and added back.

Arrays are brought to (outer, n, inner), where the index counts n. Copies move whole rows as
integers of the elements' size. Sums are taken in the order of the index, whichever thread takes
them, so that results are the same from run to run: threads share out what they add *to*, not what
they add.
"""

from __future__ import annotations

import math
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
CHUNK = 1 << 14
"""Elements of a mask that one task counts and moves."""


def _ready(index: Any, size: int, small: int = SMALL) -> bool:
    kind = index.dtype
    return size >= small and (kind is INT64 or kind == INT64 or kind == INT32) and enabled()


def _words(x: Any) -> Any:
    """The elements of a contiguous array as unsigned integers; None for sizes without one."""
    word = WORDS.get(x.itemsize)
    return None if word is None else x.view(word)


def _flat_index(index: Any) -> Any:
    if index.dtype is INT64 and index.flags.c_contiguous:
        return index.reshape(-1)
    return np.ascontiguousarray(index).reshape(-1).astype(np.int64, copy=False)


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


def inside(index: Any, low: int, n: int) -> bool:
    """Whether all integers lie in [low, n)."""
    if not index.size:
        return True
    if index.dtype is INT64 and index.flags.c_contiguous and n > low and enabled():
        if not threads.worthwhile(index.size):
            _inside.serial(index.reshape(-1), low, n, good := np.empty(1, bool))
            return bool(good[0])
        _inside.parallel(index.reshape(-1), low, n, good := np.empty(threads.count(), bool))
        return bool(good.all())
    return bool(np.minimum.reduce(index, None) >= low and np.maximum.reduce(index, None) < n)


def take(x: Any, index: Any, dim: int, checked: bool = False) -> Any:
    """x's slices at `index` along `dim`; None where NumPy has to do it (errors included). Of an
    index that is `checked`, at any size.
    """
    size = index.size * (x.size // max(x.shape[dim], 1))
    if (
        not _ready(index, size, SMALL_SUM if checked else SMALL)
        or not x.flags.c_contiguous
        or (words := _words(x)) is None
    ):
        return None
    flat, shape = _flat_index(index), x.shape
    if not checked and not inside(flat, -shape[dim], shape[dim]):
        return None
    y = np.empty((*shape[:dim], *index.shape, *shape[dim + 1 :]), x.dtype)
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
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
    if not _ready(index, g.size, SMALL_SUM):
        return False
    flat, shape = _flat_index(index), y.shape
    g = g.reshape(*shape[:dim], flat.size, *shape[dim + 1 :])
    if check and not inside(flat, -shape[dim], shape[dim]):
        return False
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
    factors = NO_FACTORS[y.dtype] if scale is None else scale.reshape(-1).astype(y.dtype)
    if not g.flags.c_contiguous:
        g = np.ascontiguousarray(g)
    source = g.reshape(outer, flat.size, inner)
    target = y.reshape(outer, shape[dim], inner)
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
    if g.dtype not in FLOATS or not _ready(index, g.size, SMALL_SUM):
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
            _ready(i, i.size, SMALL_SUM) and _ready(flat, i.size, SMALL_SUM)
        ):
            return None
        parts = [np.ascontiguousarray(t).reshape(-1) for t in (flat, i)]
        good = np.empty(threads.count() if threads.worthwhile(i.size) else 1, bool)
        flat = np.empty(i.shape, np.int64)
        _combine.run(i.size, flat.reshape(-1), *parts, size, n, good)
        if not (good[0] if good.size == 1 else good.all()):
            return None
        size *= n
    return flat


# ------------------------------------------------------------------------------ along a dimension
@kernel
def _gather(x, index, y, chunks):
    outer, count, inner = index.shape
    parts = 1 if outer >= chunks else chunks
    lines, results = x.reshape(outer, x.shape[1] * inner), y.reshape(outer, count * inner)
    numbers = index.reshape(outer, count * inner)
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


def _three(shape: Any, index: Any, dim: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The shapes of array and index as (outer, n, inner), if the index has the other sizes."""
    if len(shape) != index.ndim or (*shape[:dim], *shape[dim + 1 :]) != (
        *index.shape[:dim],
        *index.shape[dim + 1 :],
    ):
        return None
    outer, inner = math.prod(shape[:dim]), math.prod(shape[dim + 1 :])
    return (outer, shape[dim], inner), (outer, index.shape[dim], inner)


def gather(x: Any, index: Any, dim: int) -> Any:
    """x at `index` along `dim`, the index checked; None where NumPy has to do it."""
    if not x.ndim or not _ready(index, index.size, SMALL_SUM) or not x.flags.c_contiguous:
        return None
    found, words = _three(x.shape, index, dim), _words(x)
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
    if not _ready(index, index.size, SMALL_SUM) or source.shape != index.shape:
        return False
    found = _three(y.shape, index, dim)
    if found is None:
        return False
    places, values = [np.ascontiguousarray(t).reshape(found[1]) for t in (index, source)]
    split, parts = _split(found[1][0], found[1][2], True)
    chosen = _scatter_add.parallel if threads.worthwhile(index.size) else _scatter_add.serial
    chosen(values, places, y.reshape(found[0]), split, parts)
    return True


def scatter(y: Any, index: Any, source: Any, dim: int) -> bool:
    """y[index] = source along `dim` (the last one counts), in place, the index checked."""
    if not y.ndim or not y.flags.c_contiguous or source.dtype != y.dtype:
        return False
    if not _ready(index, index.size, SMALL_SUM) or source.shape != index.shape:
        return False
    found, words = _three(y.shape, index, dim), _words(y)
    if found is None or words is None:
        return False
    places, values = [np.ascontiguousarray(t).reshape(found[1]) for t in (index, source)]
    split, parts = _split(found[1][0], found[1][2], False)
    chosen = _scatter.parallel if threads.worthwhile(index.size) else _scatter.serial
    chosen(values.view(words.dtype), places, words.reshape(found[0]), split, parts)
    return True


# ------------------------------------------------------------------------------ masks
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
    if x.size < SMALL or x.shape != mask.shape or not enabled():
        return None
    x, mask = np.ascontiguousarray(x), np.ascontiguousarray(mask)
    if (words := _words(x)) is None:
        return None
    bits = mask.reshape(-1).view(np.uint8)
    starts = _starts(bits)
    y = np.empty(int(starts[-1]), x.dtype)
    _compress.run(x.size, words.reshape(-1), bits, starts, y.view(words.dtype))
    return y


def expand(g: Any, mask: Any) -> Any:
    """Zeros of the mask's shape with g, in order, where it is true; None: NumPy has to do it."""
    if mask.size < SMALL or not g.size or not enabled():
        return None
    if (words := _words(g := np.ascontiguousarray(g))) is None:
        return None
    bits = np.ascontiguousarray(mask).reshape(-1).view(np.uint8)
    y = np.empty(mask.shape, g.dtype)
    _expand.run(mask.size, words, bits, _starts(bits), y.view(words.dtype).reshape(-1))
    return y


# ------------------------------------------------------------------------------ bags of rows
@kernel
def _bags(w, index, starts, scale, skip, y, chunks):
    bags, width = y.shape
    for c in prange(chunks):
        for b in range(bags * c // chunks, bags * (c + 1) // chunks):
            out = y[b]
            out[:] = 0
            for i in range(starts[b], starts[b + 1]):
                j = index[i]
                if j != skip:
                    row, s = w[j], scale[i]
                    for k in range(width):
                        out[k] += row[k] * s


@kernel
def _bags_back(g, index, starts, scale, skip, w_bar, chunks):
    bags, width = g.shape
    for c in prange(chunks):
        k0, k1 = width * c // chunks // 16 * 16, width * (c + 1) // chunks // 16 * 16
        k1 = width if c == chunks - 1 else k1
        for b in range(bags):
            row = g[b, k0:k1]
            for i in range(starts[b], starts[b + 1]):
                j = index[i]
                if j != skip:
                    out, s = w_bar[j, k0:k1], scale[i]
                    for k in range(k1 - k0):
                        out[k] += row[k] * s


def bags(w: Any, index: Any, starts: Any, scale: Any, skip: int) -> Any:
    """y_b = Σ scale_i W[index_i] over i from starts_b to starts_(b+1), in order; index_i = `skip`
    is left out. None where NumPy has to do it.
    """
    size = index.size * w.shape[1]
    if w.dtype not in FLOATS or not _ready(index, size):
        return None
    y = np.empty((starts.size - 1, w.shape[1]), w.dtype)
    rows, flat = np.ascontiguousarray(w), _flat_index(index)
    _bags.run(size, rows, flat, starts, scale, skip, y, 4 * threads.count())
    return y


def bags_back(g: Any, index: Any, starts: Any, scale: Any, skip: int, rows: int) -> Any:
    """The gradient of `bags` for W, or None."""
    size = index.size * g.shape[1]
    if g.dtype not in FLOATS or not _ready(index, size):
        return None
    w_bar = np.zeros((rows, g.shape[1]), g.dtype)
    parts = threads.count() if g.shape[1] >= 32 * threads.count() else 1
    chosen = _bags_back.parallel if parts > 1 and threads.worthwhile(size) else _bags_back.serial
    chosen(np.ascontiguousarray(g), _flat_index(index), starts, scale, skip, w_bar, parts)
    return w_bar
