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
from .compiler import REASSOCIATE, kernel, prange

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
ONE = np.float32(1)
multiply: Any = gemm.multiply

SMALL = 1 << 17
"""Multiplications below which NumPy is at least as fast."""
LARGE = 1 << 26
"""Multiplications of one product from which all threads may as well share it."""
OUTER = 1 << 11
"""Numbers from which a column times a row is worth a kernel."""
LAYER, SHARED_LAYER = 1 << 19, 1 << 17
"""Multiplications up to which a layer's gradients are one call, and from which on two threads."""
ONE_ROW = 1 << 17
"""Weights from which one row is multiplied on all threads."""


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
    found = _places(x.shape, x.strides, lead)
    return None if found is None else Stack(x, x.__array_interface__["data"][0], *found)


def _places(shape: Any, strides: Any, lead: tuple[int, ...]) -> tuple[int, Any] | None:
    """`step` and `offsets` of a Stack with this shape and these strides."""
    rows, columns = strides[-2:]
    height, width = shape[-2:]
    if width > 1 and columns != 4:
        return None
    if height > 1 and (rows % 4 or rows < 4 * width or rows >= 1 << 31):
        return None
    steps = [s if n > 1 else 0 for s, n in zip(strides[:-2], shape[:-2], strict=True)]
    if any([s % 4 for s in steps]):
        return None
    steps = (0,) * (len(lead) - len(steps)) + tuple(steps)
    step = rows // 4 if height > 1 else max(width, 1)
    return step, offsets(lead, steps) // 4


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


def _either_way(shape: Any, strides: Any, lead: tuple[int, ...]) -> tuple[int, Any, bool] | None:
    """The matrices or, if only these lie in rows, the transposed ones."""
    found = _places(shape, strides, lead)
    if found is not None:
        return *found, False
    back = (*range(len(shape) - 2), -1, -2)
    found = _places([shape[d] for d in back], [strides[d] for d in back], lead)
    return None if found is None else (*found, True)


@functools.lru_cache(256)
def _plan(a_shape: Any, a_strides: Any, b_shape: Any, b_strides: Any, count: int) -> Any:
    """(the batch; what `_products` gets for each operand, None for one that has to be copied);
    None where NumPy has to multiply.
    """
    size = a_shape[-2] * b_shape[-1] * a_shape[-1]
    if not 0 < size < LARGE or b_shape[-2] != a_shape[-1] or count < 2:
        return None
    lead = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    if math.prod(lead) < count or math.prod(lead) * size < SMALL:
        return None
    left, right = _either_way(a_shape, a_strides, lead), _either_way(b_shape, b_strides, lead)
    if left is None or right is None:
        return lead, left, right, ()
    sizes = a_shape[-2], b_shape[-1], a_shape[-1], left[0], right[0]
    return lead, left, right, (np.stack([left[1], right[1]]), sizes, left[2], right[2])


def batched(a: Any, b: Any) -> Any:
    """a @ b for float32 arrays (..., m, k) and (..., k, n), the batches broadcast; None where NumPy
    has to do it.
    """
    if a.dtype != F32 or b.dtype != F32:
        return None
    plan = _plan(a.shape, a.strides, b.shape, b.strides, threads.count())
    if plan is None or not compiler.enabled():
        return None
    lead, left, right, arguments = plan
    if left is None or right is None:
        a, b = [x if p else np.ascontiguousarray(x) for x, p in ((a, left), (b, right))]
        arguments = _plan(a.shape, a.strides, b.shape, b.strides, threads.count())[3]
    c = np.empty((*lead, a.shape[-2], b.shape[-1]), F32)
    _products(address(a), address(b), address(c), *arguments)
    return c


# ------------------------------------------------------------------------------ two matrices
@kernel
def _outer(a, b, c):
    for i in prange(a.size):
        factor, row = a[i], c[i]
        for j in range(b.size):
            row[j] = factor * b[j]


@kernel(flags=REASSOCIATE, inline=True)
def _dot(x, w, j):
    total = x.dtype.type(0)
    for t in range(w.shape[0]):
        total += x[0, t] * w[t, j]
    return total


@kernel(flags=REASSOCIATE)
def _one_row(x, w, bias, y):
    for j in prange(w.shape[1]):
        y[0, j] = _dot(x, w, j) + (bias[j] if bias.size else x.dtype.type(0))


NO_BIAS = {F32: np.empty(0, F32), F64: np.empty(0, F64)}


def matrices(a: Any, b: Any, bias: Any = None) -> Any:
    """a b, or a b + bias, for two matrices of any dtype and their row of biases."""
    if len(a) == 1 and (c := one_row(a, b, bias)) is not None:
        return c
    c = gemm.product(a, b, bias)
    if c is not None:
        return c
    if a.shape[1] == 1 and b.shape[0] == 1:
        c = _column_times_row(a, b)
    else:
        c = a.dot(b)  # np.matmul takes a microsecond longer
    if bias is not None:
        c += bias
    return c


def one_row(a: Any, b: Any, bias: Any) -> Any:
    """A row times columns that lie in one piece each, as a layer's weights do; None where NumPy has
    to do it.
    """
    dtype = a.dtype
    if not (dtype is F32 or dtype is F64) or b.dtype is not dtype or type(a) is not np.ndarray:
        return None
    if not (b.flags.f_contiguous and a.flags.c_contiguous and compiler.enabled()):
        return None
    if bias is None:
        bias = NO_BIAS[dtype]
    elif bias.dtype is not dtype or not bias.flags.c_contiguous:
        return None
    k, n = b.shape
    if a.shape[1] != k:
        return None
    y = np.empty((1, n), dtype)
    (_one_row.serial if k * n < ONE_ROW else _one_row)(a, b, bias, y)
    return y


@kernel(inline=True)
def _sum_rows(g, total):
    total[:] = g[0]
    for i in range(1, g.shape[0]):
        row = g[i]
        for j in range(total.size):
            total[j] += row[j]


@kernel
def _layer_back(g, x, w, x_bar, w_bar, b_bar):
    m, n = g.shape
    k = x.shape[1]
    at_g, at_x = np.intp(g.ctypes.data), np.intp(x.ctypes.data)
    for task in prange(2):
        if task == 0 and x_bar.size:
            b, c = np.intp(w.ctypes.data), np.intp(x_bar.ctypes.data)
            multiply(False, False, m, k, n, ONE, at_g, n, b, k, 0, 0, c, k)
        if task == 1 and w_bar.size:
            multiply(
                True, False, n, k, m, ONE, at_g, n, at_x, k, 0, 0, np.intp(w_bar.ctypes.data), k
            )
        if task == 1 and b_bar.size:
            _sum_rows(g, b_bar)


NO_MATRIX = np.empty((0, 0), F32)


def layer_gradients(g: Any, x: Any, w: Any, needs: Any) -> Any:
    """g w, gᵀ x and Σ g, each None where it is not needed: what y = x wᵀ + b sends back, in small
    matrices. w may be None if g w is not needed. None where the products are taken one by one.
    """
    m, n = g.shape
    k = x.shape[1]
    work = m * n * k
    if w is None:
        w = NO_MATRIX
    if not 0 < work <= LAYER or not (g.dtype is F32 and x.dtype is F32 and w.dtype is F32):
        return None
    if type(g) is not np.ndarray or type(x) is not np.ndarray or not compiler.enabled():
        return None
    if not (g.flags.c_contiguous and x.flags.c_contiguous and w.flags.c_contiguous):
        return None
    x_bar = np.empty((m, k), F32) if needs[0] else NO_MATRIX
    w_bar = np.empty((n, k), F32) if needs[1] else NO_MATRIX
    b_bar = np.empty(n, F32) if needs[2] else NO_BIAS[F32]
    shared = work >= SHARED_LAYER and needs[0] and needs[1] and threads.count() > 1
    (_layer_back.parallel if shared else _layer_back.serial)(g, x, w, x_bar, w_bar, b_bar)
    return x_bar if needs[0] else None, w_bar if needs[1] else None, b_bar if needs[2] else None


def _column_times_row(a: Any, b: Any) -> Any:
    if a.size * b.size < OUTER or a.dtype is not F32 or b.dtype is not F32:
        return a * b  # NumPy's product of matrices takes twice as long
    if type(a) is not np.ndarray or type(b) is not np.ndarray or not compiler.enabled():
        return a * b
    column, row = [np.ascontiguousarray(x.reshape(-1)) for x in (a, b)]
    c = np.empty((column.size, row.size), F32)
    _outer.run(c.size, column, row, c)
    return c
