"""LU with row exchanges and LDLᴴ, over arrays: what NumPy does not have.

LAPACK's routines (through SciPy) factor large matrices; a batch of small ones is eliminated column
by column, all matrices at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .matrices import batch_indices

_LAPACK_FROM = 32  # rows; below, one step for the whole batch is as fast


def _lapack(name: str, dtype: Any) -> Any:
    """A LAPACK routine for the dtype, or None without SciPy."""
    try:
        from scipy.linalg.lapack import get_lapack_funcs
    except ImportError:
        return None
    return get_lapack_funcs(name, dtype=dtype)


def _size(x: Any) -> Any:
    """By what LAPACK chooses pivots: |x|, |Re x| + |Im x| for complex x."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def lu_arrays(a: Any) -> tuple[Any, Any, Any]:
    """(L and U in one matrix, row exchanges counted from 1, first zero on U's diagonal or 0)."""
    lu = np.array(a, order="C")
    batch, (m, n) = lu.shape[:-2], lu.shape[-2:]
    k = min(m, n)
    pivots = np.zeros((*batch, k), np.int32)
    getrf = _lapack("getrf", lu.dtype) if k >= _LAPACK_FROM else None
    if getrf is not None:
        for i in batch_indices(batch):
            lu[i], found, _ = getrf(lu[i])
            pivots[i] = found + 1
    elif lu.size:
        flat, exchanges = lu.reshape(-1, m, n), pivots.reshape(-1, k)
        for j in range(k):
            exchanges[:, j] = _eliminate(flat, j) + 1
    zero = np.diagonal(lu, axis1=-2, axis2=-1) == 0
    info = np.where(zero.any(-1), zero.argmax(-1) + 1, 0) if k else np.zeros(batch)
    return lu, pivots, np.asarray(info, np.int32)


def _eliminate(lu: Any, j: int) -> Any:
    """Gaussian elimination of column j in a batch of matrices, in place; returns the pivot rows."""
    size = _size(lu[:, j:, j])
    chosen = np.where(np.isnan(size).any(-1), 0, size.argmax(-1)) + j
    each = np.arange(len(lu))
    rows = lu[each, chosen].copy()
    lu[each, chosen] = lu[:, j]
    lu[:, j] = rows
    pivot = lu[:, j, j]
    lu[:, j + 1 :, j] /= np.where(pivot == 0, 1, pivot)[:, None]
    lu[:, j + 1 :, j + 1 :] -= lu[:, j + 1 :, j, None] * lu[:, None, j, j + 1 :]
    return chosen


def permutation(pivots: Any, m: int, dtype: Any) -> Any:
    """The matrix P of A = P L U from the row exchanges (counted from 1)."""
    batch = pivots.shape[:-1]
    order = np.array(np.broadcast_to(np.arange(m), (*batch, m)))
    count = math.prod(batch)
    flat, steps = order.reshape(count, m), pivots.reshape(count, pivots.shape[-1])
    each = np.arange(len(flat))
    for j in range(pivots.shape[-1]):
        other = steps[:, j] - 1
        flat[each, other], flat[:, j] = flat[:, j].copy(), flat[each, other].copy()
    return np.swapaxes(np.eye(m, dtype=dtype)[order], -1, -2)


# ------------------------------------------------------------------------------ L D Lᴴ
_ALPHA = (1 + 17**0.5) / 8  # bounds the growth of elements (Bunch and Kaufman, 1977)


def ldl_arrays(a: Any, hermitian: bool) -> tuple[Any, Any, Any]:
    """(L and D in one lower triangle, pivots as LAPACK's sytrf gives them, info).

    D has blocks of one or two rows. A positive pivot: one row, exchanged with that row (from 1);
    two equal negative ones: a block of two, the second row exchanged.
    """
    ld = np.array(np.tril(a), order="C")
    n = ld.shape[-1]
    pivots = np.zeros(ld.shape[:-1], np.int32)
    info = np.zeros(ld.shape[:-2], np.int32)
    hermitian = hermitian and ld.dtype.kind == "c"
    for i in batch_indices(ld.shape[:-2]):
        pivots[i], info[i] = _bunch_kaufman(ld[i], n, hermitian)
    return ld, pivots, info


def _bunch_kaufman(a: Any, n: int, hermitian: bool) -> tuple[Any, int]:
    """Factor one matrix in place, lower triangle (Bunch and Kaufman, "Some stable methods for
    calculating inertia and solving symmetric linear systems", 1977).
    """
    pivots, info, k = np.zeros(n, np.int32), 0, 0
    while k < n:
        if hermitian:
            a[k, k] = a[k, k].real
        step, chosen = _choose(a, k, n)
        if step == 0:  # nothing but zeros in this column
            info = info or k + 1
            pivots[k], k = k + 1, k + 1
            continue
        at = k + step - 1
        if chosen != at:
            _exchange(a, k, at, chosen, step, hermitian)
        rest = slice(k + step, n)
        block = _full_block(a, k, step, hermitian)
        below = a[rest, k : k + step].copy()
        ratio = below @ np.linalg.inv(block)
        other = ratio.conj() if hermitian else ratio
        a[rest, rest] -= np.tril(below @ other.T)
        a[rest, k : k + step] = ratio
        pivots[k : k + step] = chosen + 1 if step == 1 else -(chosen + 1)
        k += step
    return pivots, info


def _choose(a: Any, k: int, n: int) -> tuple[int, int]:
    """The size of the next block of D (0: the column is zero) and the row to exchange."""
    size = _size(a)
    own = size[k, k]
    below = size[k + 1 :, k]
    if not below.size or max(own, below.max()) == 0:
        return (1 if own else 0), k
    largest = int(below.argmax()) + k + 1
    column = size[largest, k]
    if own >= _ALPHA * column:
        return 1, k
    others = np.concatenate((size[largest, k:largest], size[largest + 1 :, largest]))
    row = others.max()
    if own * row >= _ALPHA * column * column:
        return 1, k
    if size[largest, largest] >= _ALPHA * row:
        return 1, largest
    return 2, largest


def _exchange(a: Any, k: int, at: int, chosen: int, step: int, hermitian: bool) -> None:
    """Exchange rows and columns `at` and `chosen` in the lower triangle of what is left."""
    left = _mirrored(a[k:, k:], hermitian)
    order = np.arange(len(left))
    order[[at - k, chosen - k]] = order[[chosen - k, at - k]]
    a[k:, k:] = np.tril(left[order][:, order])


def _mirrored(x: Any, hermitian: bool) -> Any:
    turned = x.conj().T if hermitian else x.T
    return np.tril(x) + np.triu(turned, 1)


def _full_block(a: Any, k: int, step: int, hermitian: bool) -> Any:
    return _mirrored(a[k : k + step, k : k + step], hermitian)


def ldl_solve_arrays(ld: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """(L D Lᴴ)⁻¹ B from what `ldl_arrays` gave, or LAPACK's sytrf."""
    batch = np.broadcast_shapes(ld.shape[:-2], b.shape[:-2])
    n = ld.shape[-1]
    x = np.array(np.broadcast_to(b, (*batch, *b.shape[-2:])))
    ld = np.broadcast_to(ld, (*batch, n, n))
    pivots = np.broadcast_to(pivots, (*batch, n))
    hermitian = hermitian and ld.dtype.kind == "c"
    for i in batch_indices(batch):
        x[i] = _ldl_solve(ld[i], pivots[i], x[i], hermitian)
    return x


def _ldl_solve(ld: Any, pivots: Any, x: Any, hermitian: bool) -> Any:
    n, k = len(ld), 0
    starts: list[tuple[int, int, int]] = []
    while k < n:  # forwards: P₁ L₁ P₂ L₂ ... then D
        step = 1 if pivots[k] > 0 else 2
        at, other = k + step - 1, abs(int(pivots[k])) - 1
        x[[at, other]] = x[[other, at]]
        x[k + step :] -= ld[k + step :, k : k + step] @ x[k : k + step]
        starts.append((k, step, other))
        k += step
    for k, step, _ in starts:
        x[k : k + step] = np.linalg.solve(_full_block(ld, k, step, hermitian), x[k : k + step])
    for k, step, other in reversed(starts):
        below = ld[k + step :, k : k + step]
        x[k : k + step] -= (below.conj() if hermitian else below).T @ x[k + step :]
        at = k + step - 1
        x[[at, other]] = x[[other, at]]
    return x
