"""Many matrix products at once, and how stacks of matrices lie in memory.

NumPy multiplies the matrices of a batch one after the other, each on all threads; from some size on
it is quicker to give every thread matrices of its own.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from . import blas, compiler, threads
from .compiler import kernel, prange

F32 = np.dtype(np.float32)
ONE, ZERO = np.float32(1), np.float32(0)
gemm: Any = blas.gemm

SMALL = 1 << 19
"""Multiplications below which NumPy is at least as fast."""
LARGE = 1 << 26
"""Multiplications of one product from which all threads may as well share it."""


class Stack(NamedTuple):
    """An array (..., rows, columns) as BLAS reads it: its address, elements from one row to the
    next, elements from the address to each matrix.
    """

    array: Any
    address: int
    step: int
    offsets: Any


def stack(x: Any, lead: tuple[int, ...]) -> Stack | None:
    """float32 matrices, broadcast to the batch `lead`; None if rows do not lie in one piece."""
    rows, columns = x.strides[-2:]
    height, width = x.shape[-2:]
    if width > 1 and columns != 4:
        return None
    if height > 1 and (rows % 4 or rows < 4 * width or rows >= 1 << 31):
        return None
    steps = [s if n > 1 else 0 for s, n in zip(x.strides[:-2], x.shape[:-2], strict=True)]
    if any([s % 4 for s in steps]):
        return None
    steps = (0,) * (len(lead) - len(steps)) + tuple(steps)
    step = rows // 4 if height > 1 else max(width, 1)
    return Stack(x, x.__array_interface__["data"][0], step, offsets(lead, steps) // 4)


def readable(x: Any, lead: tuple[int, ...]) -> Stack:
    """`stack` of x, or of a copy in row-major order."""
    found = stack(x, lead)
    if found is None:
        found = stack(np.ascontiguousarray(x), lead)
    assert found is not None  # row-major
    return found


@functools.lru_cache(256)
def offsets(lead: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    """Where each element of an array with this shape and these strides lies, in order."""
    found = np.zeros((), np.int64)
    for n, step in zip(lead, steps, strict=True):
        found = found[..., None] + np.arange(n) * step
    return found.reshape(-1)


@kernel
def _products(a, b, c, places, sizes, turned_a, turned_b):
    m, n, k, lda, ldb = sizes
    for i in prange(places.shape[1]):
        gemm(
            turned_a, turned_b, m, n, k, ONE, a + 4 * places[0, i], lda, b + 4 * places[1, i], ldb,
            ZERO, c + 4 * m * n * i, n,
        )  # fmt: skip


def _either_way(x: Any, lead: tuple[int, ...]) -> tuple[Stack, bool]:
    """The matrices or, if only these lie in rows, the transposed ones."""
    found = stack(x, lead)
    if found is not None:
        return found, False
    found = stack(x.swapaxes(-2, -1), lead)
    return (found, True) if found is not None else (readable(x, lead), False)


def batched(a: Any, b: Any) -> Any:
    """a @ b for float32 arrays (..., m, k) and (..., k, n), the batches broadcast; None where NumPy
    has to do it.
    """
    m, k = a.shape[-2:]
    n = b.shape[-1]
    size = m * n * k
    if not 0 < size < LARGE or a.dtype != F32 or b.dtype != F32 or b.shape[-2] != k:
        return None
    lead = a.shape[:-2] if a.shape[:-2] == b.shape[:-2] else None
    if lead is None:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = math.prod(lead)
    if count < threads.count() or count * size < SMALL or threads.count() < 2:
        return None
    if not compiler.enabled() or not blas.available():
        return None
    (ah, turned_a), (bh, turned_b) = _either_way(a, lead), _either_way(b, lead)
    c = np.empty((*lead, m, n), F32)
    places = np.stack([ah.offsets, bh.offsets])
    address = c.__array_interface__["data"][0]
    sizes = (m, n, k, ah.step, bh.step)
    with blas.single():
        _products(ah.address, bh.address, address, places, sizes, turned_a, turned_b)
    return c
