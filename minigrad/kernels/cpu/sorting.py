"""Orders: a number and its place as one integer of 64 bits, and these sorted.

The upper half is the number as an unsigned integer of the same order (nan is the largest, -0 equals
0; all bits inverted for descending order), the lower half its place. No two are equal, so any sort
of them is stable, NumPy's fastest included, which has SIMD for integers of 64 bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import compiler, copying, scalars, threads
from .compiler import kernel, prange

F32 = np.dtype(np.float32)
I32, U64 = np.int32, np.uint64
MAGNITUDE, NAN_KEY, LOWEST = I32(0x7FFFFFFF), I32(0x7FFFFFFF), I32(-0x80000000)
HALF, LOW_HALF = U64(32), U64(0xFFFFFFFF)
FLIP = U64(0x80000000)
bits, where = scalars.bits, scalars.where

SMALL = 1 << 10
"""Elements below which NumPy's argsort is at least as fast."""
FEW = 64
"""So many largest elements are kept in order during one pass; more are found by partition."""


@kernel(inline=True)
def _key(x):
    """A whole number in the order of the floats."""
    b = bits(x)
    k = I32(b ^ I32(I32(b >> I32(31)) & MAGNITUDE))
    k = where(k == I32(-1), I32(0), k)  # -0
    return where(x == x, k, NAN_KEY)


@kernel
def _pack(x, flip, y):
    """flip: all ones for descending order, else 0."""
    rows, n = x.shape
    for r in prange(rows):
        source, target = x[r], y[r]
        for i in range(n):
            key = (U64(_key(source[i]) ^ flip) & LOW_HALF) ^ FLIP
            target[i] = (key << HALF) | U64(i)


@kernel
def _pack_whole(x, low, high, descending, y):
    rows, n = x.shape
    for r in prange(rows):
        source, target = x[r], y[r]
        for i in range(n):
            value = source[i]
            key = U64(high - value if descending else value - low)
            target[i] = (key << HALF) | U64(i)


@kernel
def _places(packed, y):
    rows, n = y.shape
    for r in prange(rows):
        source, target = packed[r], y[r]
        for i in range(n):
            target[i] = source[i] & LOW_HALF


@kernel
def _first_few(x, flip, y):
    """The places of the first few of each row in ascending order of key ^ flip."""
    rows, n = x.shape
    k = y.shape[1]
    for r in prange(rows):
        line, places = x[r], y[r]
        keys = np.empty(k, np.int32)
        filled = 0
        last = MAGNITUDE
        for start in range(0, n, 16):
            stop = min(start + 16, n)
            least = MAGNITUDE
            for i in range(start, stop):
                key = I32(_key(line[i]) ^ flip)
                least = where(key < least, key, least)
            if filled == k and least >= last:
                continue
            for i in range(start, stop):
                key = I32(_key(line[i]) ^ flip)
                if filled == k and key >= last:
                    continue
                at = filled if filled < k else k - 1
                filled = min(filled + 1, k)
                while at > 0 and keys[at - 1] > key:
                    keys[at] = keys[at - 1]
                    places[at] = places[at - 1]
                    at -= 1
                keys[at] = key
                places[at] = i
                last = keys[filled - 1]


def _lines(x: Any, dim: int) -> Any:
    """x with `dim` last, as a matrix in one piece."""
    moved = x if dim == x.ndim - 1 else np.moveaxis(x, dim, -1)
    if not moved.flags.c_contiguous:
        copy = copying.contiguous(moved)
        moved = np.ascontiguousarray(moved) if copy is None else copy
    return moved.reshape(-1, x.shape[dim])


def _back(places: Any, shape: tuple[int, ...], dim: int) -> Any:
    """Places by lines, in x's layout."""
    moved = places.reshape(*shape[:dim], *shape[dim + 1 :], places.shape[-1])
    if dim == len(shape) - 1:
        return moved
    back = np.moveaxis(moved, -1, dim)
    if back.flags.c_contiguous:
        return back
    copy = copying.contiguous(back)
    return np.ascontiguousarray(back) if copy is None else copy


def _usable(x: Any) -> bool:
    whole = x.dtype.kind in "iub" and x.dtype.itemsize <= 8 and x.dtype != np.uint64
    return x.size > 0 and x.ndim > 0 and (x.dtype == F32 or whole) and compiler.enabled()


def _packed(lines: Any, descending: bool) -> Any:
    """Keys and places of all elements; None for integers that span more than 32 bits."""
    y = np.empty(lines.shape, np.uint64)
    if lines.dtype == F32:
        _pack.run(lines.size, lines, I32(-1 if descending else 0), y)
        return y
    low, high = int(lines.min()), int(lines.max())
    if high - low >= 1 << 32:
        return None
    numbers = lines.astype(np.int64, copy=False)
    _pack_whole.run(lines.size, numbers, low, high, descending, y)
    return y


def order(x: Any, dim: int, descending: bool) -> Any:
    """The stable order along `dim` as int64 places; None where NumPy has to find it."""
    if not _usable(x):
        return None
    packed = _packed(_lines(x, dim), descending)
    if packed is None:
        return None
    packed.sort(axis=-1)
    return _unpacked(packed, x.shape, dim)


def _unpacked(packed: Any, shape: tuple[int, ...], dim: int) -> Any:
    places = np.empty(packed.shape, np.int64)
    _places.run(places.size, packed, places)
    return _back(places, shape, dim)


def first(x: Any, k: int, dim: int, descending: bool) -> Any:
    """The first k of `order`; None where NumPy has to find them."""
    if not _usable(x):
        return None
    lines = _lines(x, dim)
    if k <= FEW and (4 * k <= x.shape[dim] or x.shape[dim] <= FEW) and x.dtype == F32:
        places = np.empty((len(lines), k), np.int64)
        chosen = _first_few.parallel if threads.worthwhile(x.size) else _first_few.serial
        chosen(lines, I32(-1 if descending else 0), places)
        return _back(places, x.shape, dim)
    packed = _packed(lines, descending)
    if packed is None:
        return None
    if k < x.shape[dim]:
        packed.partition(k - 1, axis=-1)
        packed = np.ascontiguousarray(packed[:, :k])
    packed.sort(axis=-1)
    return _unpacked(packed, x.shape, dim)
