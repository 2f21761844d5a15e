"""The product of matrices, and of a matrix and a vector: the primitives that all others go through.

C = A B,  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄. Half precision is multiplied in float32 and rounded once: on the CPU
by casts, on a GPU by the library.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import row_major
from ..core.primitive import primitive
from ..kernels import cuda
from ..kernels.cpu import products
from .complexes import conj
from .shape import transpose_, view_


def matrices(a: Any, b: Any, bias: Any = None) -> Any:
    """a b, or a b + bias, of two arrays that are matrices."""
    if type(a) is np.ndarray:
        return products.matrices(a, b, bias)
    return cuda.gemm.matmul(a, b, bias=bias)


@primitive(half="device")
def matrix_product(a: Any, b: Any) -> Any:
    """C = A B over the last two dimensions, the others broadcast;  Ā = C̄ Bᴴ,  B̄ = Aᴴ C̄."""
    if type(a) is not np.ndarray:
        return cuda.gemm.matmul(a, b)
    if a.ndim > 2 and b.ndim == 2 and a.flags.c_contiguous:
        # one large GEMM instead of one per batch element
        rows = math.prod(a.shape[:-1])
        y = products.matrices(a.reshape(rows, a.shape[-1]), b)
        return y.reshape(*a.shape[:-1], b.shape[-1])
    if a.ndim == 2 == b.ndim:
        return products.matrices(a, b)
    if (a.ndim > 2 or b.ndim > 2) and type(a) is np.ndarray is type(b):
        c = products.batched(a, b)
        if c is not None:
            return c
    return row_major(np.matmul(a, b))


def _adjoint(x: Any) -> Any:
    return conj(transpose_(x, dim0=-2, dim1=-1))


def as_rows(x: Any) -> Any:
    """x (..., n) as a matrix (m, n)."""
    shape = x.shape
    return x if len(shape) == 2 else view_(x, size=(math.prod(shape[:-1]), shape[-1]))


def _right_vjp(g: Any, a: Any, b_shape: Any) -> Any:
    if len(b_shape) == 2 and len(a.shape) > 2:
        # b was broadcast over the batch: the batch joins the summed dimension
        return matrix_product(_adjoint(as_rows(a)), as_rows(g))
    return matrix_product(_adjoint(a), g)


matrix_product.vjp(a=lambda g, b: matrix_product(g, _adjoint(b)), b=_right_vjp)


def _left_of_matrices(g: Any, b: Any) -> Any:
    if b.ndim == 2 == g.ndim and b.dtype.kind == "f":
        return matrices(g, b.T)
    return matrix_product(g, _adjoint(b))


def _right_of_matrices(g: Any, a: Any, b_shape: Any) -> Any:
    if a.ndim == 2 == g.ndim and a.dtype.kind == "f":
        return matrices(a.T, g)
    return _right_vjp(g, a, b_shape)


matrix_product.fast(a=_left_of_matrices, b=_right_of_matrices)
matrix_product.primitive.node_class.__name__ = "MmBackward0"


# ------------------------------------------------------------------------------ a vector
@primitive(half="device")
def matvec(a: Any, x: Any) -> Any:
    """y = A x for a matrix and a vector;  Ā = ȳ xᴴ,  x̄ = Aᴴ ȳ."""
    return matrices(a, x.reshape(-1, 1)).reshape(-1)


def _outer(g: Any, x: Any) -> Any:
    return matrix_product(view_(g, size=(g.shape[0], 1)), conj(view_(x, size=(1, x.shape[0]))))


def _outer_fast(g: Any, x: Any) -> Any:
    return matrices(g.reshape(-1, 1), conj(x).reshape(1, -1))


matvec.vjp(a=_outer, x=lambda g, a: matvec(_adjoint(a), g))
matvec.fast(a=_outer_fast, x=lambda g, a: matrices(conj(a).T, g.reshape(-1, 1)).reshape(-1))
matvec.primitive.node_class.__name__ = "MvBackward0"
