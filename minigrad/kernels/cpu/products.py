"""Matrix products one by one and many at once, and how stacks of matrices lie in memory.

NumPy multiplies the matrices of a batch one after the other, each on all threads; from some size on
it is quicker to give every thread matrices of its own. Products of a column and a row, which BLAS
computes as if they were sums, are a loop of their own.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...backend.memory import address
from . import compiler, gemm, threads
from .compiler import kernel, prange

F32 = np.dtype(np.float32)
ONE = np.float32(1)
multiply: Any = gemm.multiply

SMALL = 1 << 17
"""Multiplications below which NumPy is at least as fast."""
LARGE = 1 << 26
"""Multiplications of one product from which all threads may as well share it."""
OUTER = 1 << 11
"""Numbers from which a column times a row is worth a kernel."""


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
    return Stack(x, address(x), step, offsets(lead, steps) // 4)


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
        multiply(
            turned_a, turned_b, m, n, k, ONE, a + 4 * places[0, i], lda, b + 4 * places[1, i], ldb,
            0, 0, c + 4 * m * n * i, n,
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
    if not compiler.enabled():
        return None
    (ah, turned_a), (bh, turned_b) = _either_way(a, lead), _either_way(b, lead)
    c = np.empty((*lead, m, n), F32)
    places = np.stack([ah.offsets, bh.offsets])
    sizes = (m, n, k, ah.step, bh.step)
    _products(ah.address, bh.address, address(c), places, sizes, turned_a, turned_b)
    return c


# ------------------------------------------------------------------------------ two matrices
@kernel
def _outer(a, b, c):
    for i in prange(a.size):
        factor, row = a[i], c[i]
        for j in range(b.size):
            row[j] = factor * b[j]


def matrices(a: Any, b: Any, bias: Any = None) -> Any:
    """a b, or a b + bias, for two matrices of any dtype and their row of biases."""
    c = gemm.product(a, b, bias)
    if c is not None:
        return c
    if a.shape[1] == 1 and b.shape[0] == 1:
        c = _column_times_row(a, b)
    else:
        c = np.matmul(a, b)
    if bias is not None:
        c += bias
    return c


def _column_times_row(a: Any, b: Any) -> Any:
    if a.size * b.size < OUTER or a.dtype is not F32 or b.dtype is not F32:
        return a * b  # NumPy's product of matrices takes twice as long
    if type(a) is not np.ndarray or type(b) is not np.ndarray or not compiler.enabled():
        return a * b
    column, row = [np.ascontiguousarray(x.reshape(-1)) for x in (a, b)]
    c = np.empty((column.size, row.size), F32)
    _outer.run(c.size, column, row, c)
    return c
