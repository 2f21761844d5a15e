"""Norms of matrices, and the condition number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import Tensor, normalize_dim, wrap
from ..export import export
from .arguments import dtype_title, finish
from .dims import movedim
from .matrices import need_floating, need_matrix, need_square, need_tensor
from .piecewise import abs, where
from .products import target_of, to_dtype
from .solves import inv_ex
from .spectra import singular_values
from .sums import amax, amin, axes_of, sum
from .vector_norms import vector_norm
from .views import view_

_ORDERS = (1, -1, 2, -2, math.inf, -math.inf)


def _widened(name: str, A: Tensor, dtype: Any) -> Tensor:
    """A in the given dtype; RuntimeError if that would narrow it."""
    target = target_of(dtype)
    own = A._data.dtype
    if target is None or target == own:
        return A
    if target.kind in "biu" or (own.kind == "c") != (target.kind == "c"):
        raise RuntimeError(
            f"{name}: dtype should be floating point or complex as the input's "
            f"({dtype_title(own)}). Got {dtype_title(target)}"
        )
    if target.itemsize < own.itemsize:
        raise RuntimeError(
            f"{name}: the dtype of the input ({dtype_title(own)}) should be convertible without "
            f"narrowing to the specified dtype ({dtype_title(target)})"
        )
    return to_dtype(A, target)


def _order(name: str, ord: Any) -> Any:
    if isinstance(ord, str):
        if ord not in ("fro", "nuc"):
            raise RuntimeError(f"{name}: Order {ord} not supported.")
    elif isinstance(ord, bool) or not isinstance(ord, (int, float, np.number)):
        raise TypeError(f"{name}(): argument 'ord' must be Number, not {type(ord).__name__}")
    elif ord not in _ORDERS:
        raise RuntimeError(f"{name}: Order {ord} not supported.")
    return ord


def _two_axes(name: str, dim: Any, ndim: int) -> tuple[int, int]:
    if isinstance(dim, (int, np.integer)) or len(dim) != 2:
        raise RuntimeError(f"{name}: dim must be a 2-tuple. Got {dim}")
    first, second = [normalize_dim(int(d), ndim) for d in dim]
    if first == second:
        raise RuntimeError(f"{name}: dims must be different. Got ({dim[0]}, {dim[1]})")
    return first, second


@export("linalg.matrix_norm")
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """The norm of the matrices in two dimensions.

    "fro" √Σ|a|², "nuc" Σ σ, ±2 the largest or smallest σ, ±1 and ±inf the largest or smallest sum
    of |a| over a column or row. RuntimeError for other orders, integers, an extreme of nothing.
    """
    name = "linalg.matrix_norm"
    need_tensor(name, A)
    if A._data.ndim < 2:
        raise RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions.")
    need_floating(name, A, low_precision=True)
    ord = _order(name, ord)
    rows, columns = _two_axes(name, dim, A._data.ndim)
    x = _widened(name, A, dtype)
    if ord == "fro":
        return vector_norm(x, 2, (rows, columns), keepdim, out=out)
    if ord in ("nuc", 2, -2):
        return finish(_by_singular_values(x, ord, rows, columns, keepdim), out)
    summed, rest = (rows, columns) if builtin_abs(ord) == 1 else (columns, rows)
    rest = rest if keepdim or rest < summed else rest - 1
    return finish(_extreme(sum(abs(x), summed, keepdim), ord, rest, keepdim), out)


def _extreme(x: Tensor, ord: float, dim: int, keepdim: bool = False) -> Tensor:
    """The largest value for a positive order (0 of nothing), the smallest for a negative one."""
    if ord < 0:
        return amin(x, dim, keepdim)
    return amax(x, dim, keepdim) if x._data.shape[dim] else sum(x, dim, keepdim)


def builtin_abs(x: float) -> float:
    """The absolute value of a number (`abs` is the op here)."""
    return -x if x < 0 else x


def _by_singular_values(x: Tensor, ord: Any, rows: int, columns: int, keepdim: bool) -> Tensor:
    shape = x._data.shape
    need_floating("linalg.matrix_norm", x)
    s = singular_values(movedim(x, (rows, columns), (-2, -1)), "linalg.matrix_norm")
    y = sum(s, -1) if ord == "nuc" else _extreme(s, ord, -1)
    if not keepdim:
        return y
    return view_(y, size=tuple([1 if d in (rows, columns) else n for d, n in enumerate(shape)]))


@export("linalg.norm")
def linalg_norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, out: Any = None,
    dtype: Any = None,
) -> Tensor:  # fmt: skip
    """`vector_norm` or `matrix_norm`: of one dimension or two, or of all of a vector or matrix.

    Without `ord` the 2-norm of all elements in `dim`. RuntimeError if an order is given and neither
    `dim` nor the rank says whether it is a vector's or a matrix's.
    """
    need_tensor("linalg_norm", A)
    ndim = A._data.ndim
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is not None:
        dims = (dim,) if isinstance(dim, (int, np.integer)) else tuple(dim)
        if len(dims) not in (1, 2):
            raise RuntimeError(
                f"linalg.norm: If dim is specified, it must be of length 1 or 2. Got {list(dims)}"
            )
        axes_of(dims, ndim)
    elif ndim not in (1, 2):
        raise RuntimeError(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got "
            f"{ndim}D."
        )
    else:
        dims = (0,) if ndim == 1 else (0, 1)
    if len(dims) == 2:
        return matrix_norm(A, ord, dims, keepdim, dtype=dtype, out=out)
    if isinstance(ord, str):
        if dim is None:
            raise RuntimeError("linalg.norm: The input tensor A must have at least 2 dimensions.")
        raise RuntimeError(f"linalg.matrix_norm: dim must be a 2-tuple. Got {dims[0]}")
    return vector_norm(A, ord, dims, keepdim, dtype=dtype, out=out)


@export("linalg.cond")
def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:
    """The condition number ‖A‖·‖A⁻¹‖ in the p-norm of `matrix_norm`; σ₁/σₙ for p = None or 2.

    inf for singular matrices (nan for zeros if p is None or ±2). RuntimeError unless square, but
    for p = None and ±2.
    """
    need_matrix("linalg.cond", A)
    if p is None or (not isinstance(p, str) and p in (2, -2)):
        return finish(_ratio_of_extremes(A, p), out)
    _order("linalg.cond", p)
    need_square("linalg.cond", A)
    if not A._data.size:
        return finish(wrap(np.zeros(A._data.shape[:-2], A._data.real.dtype)), out)
    inverse, info = inv_ex(A)
    y = matrix_norm(A, p) * matrix_norm(inverse, p)  # type: ignore[operator]
    return finish(where(wrap(info._data != 0), math.inf, y), out)


def _ratio_of_extremes(A: Tensor, p: Any) -> Tensor:
    data = A._data
    if not data.size:
        return wrap(np.zeros(data.shape[:-2], data.real.dtype))
    s = singular_values(A, "linalg.cond")
    largest, smallest = s.select(-1, 0), s.select(-1, -1)  # type: ignore[attr-defined]
    return largest / smallest if p != -2 else smallest / largest
