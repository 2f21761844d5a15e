"""Products of matrices on a GPU: how arrays in rows become problems of cuBLASLt.

The library counts in columns, and a matrix in columns is its transpose in rows: C = A B in rows is
Cᵀ = Bᵀ Aᵀ in columns, with the operands exchanged. So B is the library's first operand, and an
array whose *columns* lie in one piece is one that it has to transpose, which costs nothing. Batches
are one call where their matrices lie at equal steps, a few calls where two dimensions do not go
together; nothing is copied unless rows and columns both have gaps.
"""

from __future__ import annotations

import math
import weakref
from typing import Any, NamedTuple

import numpy as np

from ...backend import flags
from ...backend.devices import array_module
from . import cublaslt
from .cublaslt import ALIGNED, DATA, Operand, Problem
from .elementwise import joined

MOST_CALLS = 16
"""So many calls for one batch are made rather than a copy."""


class Walk(NamedTuple):
    """A product as calls of one plan: `parts` are the bytes from the start of A, B and C."""

    problem: Problem
    parts: tuple[tuple[int, int, int], ...]


class Copy(NamedTuple):
    """Which of the operands have to be copied first."""

    a: bool
    b: bool


_WALKS: dict[Any, Walk | Copy] = {}


def matmul(
    a: Any, b: Any, *, bias: Any = None, out: Any = None, alpha: float = 1.0, beta: float = 0.0
) -> Any:
    """α A B + bias + β·out over the last two dimensions, the others broadcast; in `out` if given.

    a (..., m, k), b (..., k, n), bias (n) or None; arrays of a GPU. CuPy multiplies what cuBLASLt
    does not: integers, complex numbers, and everything where the library is missing.
    """
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = (*lead, a.shape[-2], b.shape[-1])
    xp = array_module(a)
    found = out
    if found is None:
        found = xp.empty(shape, a.dtype)
    epilogue = "" if bias is None else "bias"
    if not _started(a, b, found, epilogue, bias, alpha, beta):
        return _by_cupy(xp, a, b, bias, out, alpha, beta)
    return found


def _by_cupy(xp: Any, a: Any, b: Any, bias: Any, out: Any, alpha: float, beta: float) -> Any:
    c = xp.ascontiguousarray(xp.matmul(a, b))
    if alpha != 1:
        c *= c.dtype.type(alpha)
    if bias is not None:
        c += bias
    if out is None:
        return c
    if beta:
        c += out if beta == 1 else out * c.dtype.type(beta)
    out[...] = c
    return out


def weight_gradient(g: Any, x: Any, turned: bool = False) -> Any:
    """W̄ = Σ ḡᵀ x of y = x Wᵀ + b, for ḡ (..., out) and x (..., in); `turned`: Σ xᵀ ḡ, of
    y = x W + b. Where the library can, b̄ = Σ ḡ is found in passing, and `column_sums` of the same g
    has it.
    """
    xp, rows = array_module(g), g.size // g.shape[-1] if g.shape[-1] else 0
    left, right = g.reshape(rows, g.shape[-1]), x.reshape(rows, x.shape[-1])
    if turned:
        left, right = right, left
    w, sums = xp.empty((left.shape[1], right.shape[1]), g.dtype), xp.empty(g.shape[-1], g.dtype)
    _SUMS.clear()
    if not _started(left.T, right, w, "bgrada" if turned else "bgradb", sums, 1.0, 0.0):
        w = matmul(left.T, right)
    else:
        _SUMS.append((weakref.ref(g), sums))
    return w


_SUMS: list[tuple[Any, Any]] = []


def column_sums(g: Any) -> Any:
    """Σ ḡ over all but the last dimension, if `weight_gradient` was last asked for this g; else
    None.
    """
    found = _SUMS.pop() if _SUMS else None
    return found[1] if found is not None and found[0]() is g else None


# ------------------------------------------------------------------------------ one product
def _started(a: Any, b: Any, c: Any, epilogue: str, vector: Any, alpha: float, beta: float) -> bool:
    """Whether cuBLASLt has been asked for C; an empty sum is left to CuPy."""
    dtype = a.dtype.name
    if dtype not in DATA or b.dtype != a.dtype or c.dtype != a.dtype or not (a.size and b.size):
        return False
    if vector is not None and (vector.dtype != a.dtype or not vector.flags.c_contiguous):
        return False
    walk = _walk(a, b, c, epilogue, vector, MOST_CALLS)
    if type(walk) is Copy:
        xp = array_module(a)
        a = xp.ascontiguousarray(a) if walk.a else a
        b = xp.ascontiguousarray(b) if walk.b else b
        walk = _walk(a, b, c, epilogue, vector, None)
    assert type(walk) is Walk, "copies lie in rows"
    plan = cublaslt.plan(walk.problem)
    if plan is None:
        return False
    bias = 0 if vector is None else vector.data.ptr
    to_a, to_b, to_c = a.data.ptr, b.data.ptr, c.data.ptr
    for at_a, at_b, at_c in walk.parts:
        plan.start(to_b + at_b, to_a + at_a, to_c + at_c, alpha=alpha, beta=beta, bias=bias)
    return True


def _walk(a: Any, b: Any, c: Any, epilogue: str, vector: Any, most: int | None) -> Walk | Copy:
    aligned = tuple([_alignment(0 if x is None else x.data.ptr) for x in (a, b, c, vector)])
    key = (
        a.shape, a.strides, b.shape, b.strides, c.strides, a.dtype, epilogue, aligned,
        flags.allows_tf32(), most,
    )  # fmt: skip
    found = _WALKS.get(key)
    if found is None:
        found = _WALKS[key] = _planned(*key)
    return found


def _alignment(address: int) -> int:
    return min(address & -address, ALIGNED) or ALIGNED


def _planned(
    a_shape: Any, a_strides: Any, b_shape: Any, b_strides: Any, c_strides: Any, dtype: Any,
    epilogue: str, aligned: tuple[int, ...], tf32: bool, most: int | None,
) -> Walk | Copy:  # fmt: skip
    size = dtype.itemsize
    a_steps, b_steps, c_steps = [
        [s // size for s in steps] for steps in (a_strides, b_strides, c_strides)
    ]
    lead = np.broadcast_shapes(a_shape[:-2], b_shape[:-2])
    m, k, n = *a_shape[-2:], b_shape[-1]
    outer = [
        _broadcast(shape[:-2], steps[:-2], len(lead))
        for shape, steps in ((a_shape, a_steps), (b_shape, b_steps))
    ]
    outer.append(c_steps[:-2])
    if not any(outer[1]):  # the same B for all: the batch is more rows of A
        rows, (a_rows, c_rows) = joined(
            (*lead, m), [(*outer[0], a_steps[-2]), (*outer[2], c_steps[-2])]
        )
        if len(rows) == 1 and _matrix(rows[0], k, a_rows[0], a_steps[-1]) is not None:
            m, lead, outer = rows[0], (), [[], [], []]
            a_steps[-2], c_steps[-2] = a_rows[0], c_rows[0]
    sizes, steps = joined(lead, outer)
    found = [
        _matrix(m, k, *a_steps[-2:]), _matrix(k, n, *b_steps[-2:]), _matrix(m, n, *c_steps[-2:]),
    ]  # fmt: skip
    many = most is not None and math.prod(sizes) // max(sizes) > most
    if found[0] is None or found[1] is None or many:
        return Copy(found[0] is None or many, found[1] is None or many)
    assert found[2] is not None and not found[2][1], "the result lies in rows"
    inner = sizes.index(max(sizes))
    parts = _offsets(sizes, steps, inner, size)
    operands = [
        matrix._replace(batch_step=s[inner])
        for (matrix, _), s in zip(found, steps, strict=True)  # type: ignore[misc]
    ]
    compute = cublaslt.COMPUTE_64F if dtype == np.float64 else cublaslt.COMPUTE_32F
    if tf32 and dtype == np.float32:
        compute = cublaslt.COMPUTE_TF32
    least = [
        min(now, *[_alignment(part[i]) for part in parts]) for i, now in enumerate(aligned[:3])
    ]
    problem = Problem(
        operands[1], operands[0], operands[2], (found[1][1], found[0][1]), sizes[inner],
        dtype.name, compute, epilogue, (least[1], least[0], least[2], aligned[3]),
    )  # fmt: skip
    return Walk(problem, parts)


def _broadcast(shape: Any, steps: Any, ndim: int) -> list[int]:
    own = [0 if size == 1 else step for size, step in zip(shape, steps, strict=True)]
    return [0] * (ndim - len(own)) + own


def _matrix(rows: int, columns: int, down: int, across: int) -> tuple[Operand, bool] | None:
    """A matrix as the library reads its transpose, and whether it has to be transposed; None if
    neither rows nor columns lie in one piece.
    """
    if (columns == 1 or across == 1) and (rows == 1 or down >= columns):
        return Operand(columns, rows, down if rows > 1 else columns), False
    if (rows == 1 or down == 1) and (columns == 1 or across >= rows):
        return Operand(rows, columns, across if columns > 1 else rows), True
    return None


def _offsets(
    sizes: tuple[int, ...], steps: list[tuple[int, ...]], inner: int, size: int
) -> tuple[tuple[int, int, int], ...]:
    """Where each call starts in A, B and C, in bytes: one for every place of the outer walk."""
    ranges = [range(1 if d == inner else n) for d, n in enumerate(sizes)]
    places = [()]
    for r in ranges:
        places = [(*p, i) for p in places for i in r]  # type: ignore[misc]
    return tuple(
        [
            tuple([size * sum(i * s for i, s in zip(p, x, strict=True)) for x in steps])
            for p in places
        ]
    )  # type: ignore[return-value]
