"""LU and LDLᴴ factors, QR, products of Householder's reflections."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import without_derivative
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..errors import dim_error
from ..export import export
from .arguments import finish
from .arithmetic import neg
from .complexes import real
from .join import cat_
from .matrices import (
    LinAlgError,
    adj,
    cut,
    diag_matrix,
    diag_of,
    eye_like,
    first_failure,
    lower,
    need_floating,
    need_matrix,
    need_same_dtype,
    need_square,
    need_tensor,
    times,
    upper,
)
from .pivoting import ldl_arrays, ldl_solve_arrays, lu_arrays, permutation
from .results import (
    QR,
    LinalgLDLFactor,
    LinalgLDLFactorEx,
    LinalgLU,
    LinalgLUFactor,
    LinalgLUFactorEx,
    LinalgQR,
    LUUnpack,
    finish_pair,
)
from .triangular import check_sizes, solve_lower, solve_upper, swapped


# ------------------------------------------------------------------------------ LU
@primitive
def lu_packed(x: Any, *, pivot: bool) -> Any:
    """(L below and U on and above the diagonal of one matrix, pivots, info);  X = P L U.

    Square: X̄ = P L⁻ᴴ (low(Lᴴ L̄) + up(Ū Uᴴ)) U⁻ᴴ with low strictly below the diagonal; columns or
    rows beyond the square depend on it through a triangular system.
    """
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    return lu_arrays(x)


def _square_lu_gradient(g_l: Any, g_u: Any, l: Any, u: Any) -> Any:  # noqa: E741
    middle = lower(times(adj(l), g_l), -1) + upper(times(g_u, adj(u)))
    left = solve_upper(adj(l), middle, unit=True)
    return adj(solve_upper(u, adj(left)))


def _lu_vjp(g: Any, y: Any) -> Any:
    g = g[0]
    if g is None:
        return None
    packed, pivots = y[0], y[1]
    m, n = packed.shape[-2:]
    k = min(m, n)
    pivots = pivots._data if isinstance(pivots, Tensor) else pivots
    data = packed._data if isinstance(packed, Tensor) else packed
    p = permutation(pivots, m, data.dtype)
    head, g_head = cut(cut(packed, -2, 0, k), -1, 0, k), cut(cut(g, -2, 0, k), -1, 0, k)
    l, u = lower(head, -1) + eye_like(head, k), upper(head)  # noqa: E741
    g_l, g_u = lower(g_head, -1), upper(g_head)
    if m == n:
        return times(p, _square_lu_gradient(g_l, g_u, l, u))
    if m < n:  # U = [U₁ U₂], U₂ = L⁻¹ (PᵀX)₂
        u2, g_u2 = cut(packed, -1, k, n), cut(g, -1, k, n)
        rest = solve_upper(adj(l), g_u2, unit=True)
        g_l = g_l - times(rest, adj(u2))
        return times(p, cat_(_square_lu_gradient(g_l, g_u, l, u), rest, dim=len(g.shape) - 1))
    l2, g_l2 = cut(packed, -2, k, m), cut(g, -2, k, m)  # L₂ = (PᵀX)₂ U⁻¹
    rest = adj(solve_upper(u, adj(g_l2)))
    g_u = g_u - times(adj(l2), rest)
    return times(p, cat_(_square_lu_gradient(g_l, g_u, l, u), rest, dim=len(g.shape) - 2))


lu_packed.vjp(x=_lu_vjp)
lu_packed.primitive.node_class.__name__ = "LinalgLuFactorExBackward0"


def _factor(name: str, A: Tensor, pivot: bool) -> Any:
    need_tensor(name, A)
    if A._data.ndim < 2:
        raise RuntimeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(A.shape)} instead"
        )
    need_floating(name, A)
    return lu_packed(A, pivot=pivot)


def _need_pivots(name: str, info: Tensor) -> None:
    failed = first_failure(info._data)
    if failed is not None:
        k = failed[1]
        raise RuntimeError(
            f"{name}: {failed[0]}U[{k},{k}] is zero and using it on lu_solve would result in a "
            "division by zero. If you still want to perform the factorization, consider calling "
            "linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)"
        )


@export("linalg.lu_factor_ex")
def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None
) -> Any:
    """`linalg.lu_factor` and an int32 info: 0, or which diagonal element of U is zero.

    RuntimeError for those only if check_errors.
    """
    result = LinalgLUFactorEx(*_factor("linalg.lu_factor_ex", A, pivot))
    if check_errors:
        _need_pivots("linalg.lu_factor_ex", result.info)
    return finish_pair(result, out)


@export("linalg.lu_factor")
def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """L and U of A = P L U in one matrix (L's diagonal of ones left out), and the row exchanges.

    A (*, m, n); pivots (*, min(m, n)) int32: row i was exchanged with row pivots[i] − 1.
    RuntimeError if U has a zero on the diagonal.
    """
    packed, pivots, info = _factor("linalg.lu_factor", A, pivot)
    _need_pivots("linalg.lu_factor", info)
    return finish_pair(LinalgLUFactor(packed, pivots), out)


def _split_lu(packed: Any) -> tuple[Any, Any]:
    m, n = packed._data.shape[-2:]
    k = min(m, n)
    unit = wrap(np.eye(m, k, dtype=packed._data.dtype))
    return lower(cut(packed, -1, 0, k), -1) + unit, upper(cut(packed, -2, 0, k))


@export("linalg.lu")
def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """A = P L U: a permutation, a lower triangle with a diagonal of ones, an upper triangle.

        X̄ = P L⁻ᴴ (low(Lᴴ L̄) + up(Ū Uᴴ)) U⁻ᴴ for square A, low strictly below the diagonal

    A (*, m, n): P (*, m, m), L (*, m, k), U (*, k, n), k = min(m, n).
    """
    packed, pivots, _ = _factor("linalg.lu", A, pivot)
    p = wrap(permutation(pivots._data, A._data.shape[-2], A._data.dtype))
    return finish_pair(LinalgLU(p, *_split_lu(packed)), out)


@export("lu", "functional.lu")
def lu_of(
    A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None
) -> tuple[Tensor, ...]:
    """The older `linalg.lu_factor`: (LU, pivots), with get_infos (LU, pivots, info)."""
    packed, pivots, info = _factor("lu", A, pivot)
    if get_infos:
        return tuple(finish_pair(LinalgLUFactorEx(packed, pivots, info), out))
    _need_pivots("lu", info)
    return tuple(finish_pair(LinalgLUFactor(packed, pivots), out))


def _check_pivots(name: str, packed: Any, pivots: Any) -> None:
    need_tensor(name, packed, pivots, names=("LU", "pivots"))
    need_matrix(name, packed, "LU")
    if pivots._data.dtype != np.int32:
        raise RuntimeError(
            f"{name}: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype"
        )
    k = min(packed._data.shape[-2:])
    if pivots._data.shape != (*packed._data.shape[:-2], k):
        raise RuntimeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix"
        )
    if pivots._data.size and not 1 <= pivots._data.min() <= pivots._data.max():
        raise RuntimeError(f"{name}: pivots must be at least 1")
    if pivots._data.size and pivots._data.max() > packed._data.shape[-2]:
        raise RuntimeError(f"{name}: pivots passed to lu_unpack must be at most the number of rows")


@export("lu_unpack")
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *,
    out: Any = None,
) -> Any:  # fmt: skip
    """P, L, U from what `linalg.lu_factor` gave; parts that are not wanted are empty tensors."""
    if unpack_pivots:
        _check_pivots("lu_unpack", LU_data, LU_pivots)
    else:
        need_matrix("lu_unpack", LU_data, "LU")
    data = LU_data._data
    nothing = np.zeros(0, data.dtype)
    p = wrap(permutation(LU_pivots._data, data.shape[-2], data.dtype) if unpack_pivots else nothing)
    parts = _split_lu(LU_data) if unpack_data else (wrap(nothing), wrap(nothing.copy()))
    return finish_pair(LUUnpack(p, *parts), out)


@export("linalg.lu_solve")
def linalg_lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """The X of A X = B (X A = B unless `left`, Aᴴ for A if adjoint) from the LU factors of A.

    LU (*, n, n), pivots (*, n), B (*, n, k). RuntimeError for other shapes or dtypes.
    """
    need_tensor("linalg_lu_solve", LU, pivots, B, names=("LU", "pivots", "B"))
    need_floating("linalg.lu_solve", LU)
    need_square("linalg.lu_solve", LU, "LU")
    need_matrix("linalg.lu_solve", B, "B")
    need_same_dtype("linalg.lu_solve", LU, B)
    _check_pivots("linalg.lu_solve", LU, pivots)
    check_sizes("linalg.lu_solve", LU._data, B._data, left)
    if not left:  # X A = B is Aᴴ Xᴴ = Bᴴ
        x = linalg_lu_solve(LU, pivots, adj(B), adjoint=not adjoint)
        return finish(adj(x), out)
    p = wrap(permutation(pivots._data, LU._data.shape[-1], LU._data.dtype))
    if adjoint:
        x = times(p, solve_upper(adj(LU), solve_lower(adj(LU), B), unit=True))
    else:
        x = solve_upper(LU, solve_lower(LU, times(swapped(p), B), unit=True))
    return finish(x, out)


@export("lu_solve")
def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """The older `linalg.lu_solve`, with B first."""
    need_tensor("lu_solve", b, LU_data, LU_pivots, names=("b", "LU_data", "LU_pivots"))
    return linalg_lu_solve(LU_data, LU_pivots, b, out=out)


# ------------------------------------------------------------------------------ L D Lᴴ
@export("linalg.ldl_factor_ex")
def ldl_factor_ex(
    A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """`linalg.ldl_factor` and an int32 info: 0, or which block of D is zero.

    RuntimeError for those only if check_errors.
    """
    need_square("linalg.ldl_factor_ex", A)
    result = LinalgLDLFactorEx(*[wrap(v) for v in ldl_arrays(A._data, hermitian)])
    failed = first_failure(result.info._data)
    if check_errors and failed is not None:
        raise LinAlgError(
            f"linalg.ldl_factor_ex: {failed[0]}The diagonal element {failed[1]} of D is exactly "
            "zero."
        )
    without_derivative("aten::linalg_ldl_factor_ex", result.LD, A)
    return finish_pair(result, out)


@export("linalg.ldl_factor")
def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """A = L D Lᴴ (Lᵀ unless hermitian) by Bunch and Kaufman, from A's lower triangle.

    LD (*, n, n) holds both, pivots (*, n) int32 the exchanges and the blocks of two. No gradient.
    """
    result = ldl_factor_ex(A, hermitian=hermitian)
    return finish_pair(LinalgLDLFactor(result.LD, result.pivots), out)


@export("linalg.ldl_solve")
def ldl_solve(
    LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Any = None
) -> Tensor:
    """A⁻¹ B from what `linalg.ldl_factor` gave for A. No gradient.

    LD (*, n, n), pivots (*, n), B (*, n, k). RuntimeError for other shapes or dtypes.
    """
    need_tensor("linalg_ldl_solve", LD, pivots, B, names=("LD", "pivots", "B"))
    need_square("linalg.ldl_solve", LD, "LD")
    if B._data.ndim < 2:
        raise dim_error(-2, B._data.ndim)
    if pivots._data.dtype.kind not in "iu":
        raise RuntimeError("linalg.ldl_solve: Expected pivots to be integers.")
    if pivots._data.shape != LD._data.shape[:-1]:
        raise RuntimeError(
            f"linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape to be the same, but got "
            f"pivots with shape {list(pivots.shape)} instead"
        )
    need_same_dtype("linalg.ldl_solve", LD, B)
    check_sizes("linalg.ldl_solve", LD._data, B._data, True)
    return finish(wrap(ldl_solve_arrays(LD._data, pivots._data, B._data, hermitian)), out)


# ------------------------------------------------------------------------------ QR
@primitive
def qr_(x: Any, *, mode: str) -> Any:
    """(Q, R), Q with orthonormal columns, R upper triangular, for at least as many rows as columns.

    X̄ = (Q̄ + Q S) R⁻ᴴ, S Hermitian with the upper triangle of R̄ Rᴴ − (the same of Q̄ᴴ Q) and a real
    diagonal (Walter and Lehmann, "Algorithmic differentiation of linear algebra functions", 2012).
    """
    if mode == "r":
        return np.zeros(0, x.dtype), np.linalg.qr(x, mode="r")
    return tuple(np.linalg.qr(x, mode="complete" if mode == "complete" else "reduced"))


def _qr_vjp(g: Any, y: Any, mode: str) -> Any:
    if g[0] is None and g[1] is None:
        return None
    if mode == "r":
        raise RuntimeError(
            "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please "
            "use linalg.qr(A, mode='reduced') if you are going to differentiate through linalg.qr."
        )
    (g_q, g_r), (q, r) = g, y
    if mode == "complete" and r.shape[-2] > r.shape[-1]:
        raise RuntimeError(
            "The QR decomposition is not differentiable when mode='complete' and nrows > ncols"
        )
    first = None if g_r is None else times(g_r, adj(r))
    second = None if g_q is None else times(adj(q), g_q)
    middle = first if second is None else (neg(second) if first is None else first - second)
    middle = upper(middle, 1) + adj(upper(middle, 1)) + diag_matrix(real(diag_of(middle)))
    total = times(q, middle)
    total = total if g_q is None else total + g_q
    return adj(solve_upper(r, adj(total)))


qr_.vjp(x=_qr_vjp)
qr_.primitive.node_class.__name__ = "LinalgQrBackward0"


def _qr(A: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    m, n = A._data.shape[-2:]
    if m >= n or mode == "r":
        return qr_(A, mode=mode)
    q, r = qr_(cut(A, -1, 0, m), mode="reduced")  # the other columns are Q times their part of R
    return q, cat_(r, times(adj(q), cut(A, -1, m, n)), dim=A._data.ndim - 1)


@export("linalg.qr")
def linalg_qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """A = Q R with orthonormal columns in Q and an upper triangular R.

        Ā = (Q̄ + Q S) R⁻ᴴ, S Hermitian with the upper triangle of R̄ Rᴴ − Qᴴ Q̄, if m ≥ n

    A (*, m, n): "reduced" Q (*, m, k), k = min(m, n), "complete" Q (*, m, m), "r" no Q.
    RuntimeError for another mode; in backward for "r", and for "complete" with m > n.
    """
    need_matrix("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    return finish_pair(LinalgQR(*_qr(A, mode)), out)


@export("qr")
def qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """The older `linalg.qr`: mode "reduced" if `some`, else "complete"."""
    result = linalg_qr(input, "reduced" if some else "complete")
    return finish_pair(QR(*result), out)
