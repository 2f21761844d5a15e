"""Triangular systems and Cholesky's decomposition.

Substitution is BLAS's `trsm`, matrix by matrix, where SciPy is there and the matrices are large;
otherwise row by row for the whole batch at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.dtypes import F32
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import finish
from .arithmetic import neg
from .dims import broadcast_to, transpose_
from .matrices import (
    LinAlgError,
    adj,
    batch_indices,
    common_batch,
    eye_like,
    first_failure,
    lower,
    need_matrix,
    need_same_dtype,
    need_square,
    need_tensor,
    times,
    upper,
)
from .results import LinalgCholeskyEx, TriangularSolve, finish_pair
from .views import clone_


# ------------------------------------------------------------------------------ substitution
def _trsm(dtype: Any) -> Any:
    """BLAS's triangular solver for the dtype, or None without SciPy."""
    try:
        from scipy.linalg.blas import get_blas_funcs
    except ImportError:
        return None
    return get_blas_funcs("trsm", dtype=dtype)


def substitute(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """A⁻¹ B for a triangular A; only its triangle is read, a zero on the diagonal gives inf."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    n, k = b.shape[-2:]
    x = np.array(np.broadcast_to(b, (*batch, n, k)), dtype=np.result_type(a, b), order="C")
    if not x.size:
        return x
    count = x.size // (n * k)
    solver = _trsm(x.dtype) if count <= n else None
    if solver is not None:
        a = np.broadcast_to(a, (*batch, n, n))
        for i in batch_indices(batch):
            x[i] = solver(1.0, a[i], x[i], lower=not upper, diag=unit)
        return x
    for i in range(n)[::-1] if upper else range(n):
        done = slice(i + 1, n) if upper else slice(0, i)
        x[..., i, :] -= np.matmul(a[..., i : i + 1, done], x[..., done, :])[..., 0, :]
        if not unit:
            x[..., i, :] /= a[..., i, i, None]
    return x


@primitive
def triangular_system(a: Any, b: Any, *, upper: bool, unit: bool) -> Any:
    """X = A⁻¹ B for a triangular A;  B̄ = A⁻ᴴ X̄,  Ā = −B̄ Xᴴ in A's triangle."""
    return substitute(a, b, upper, unit)


def _triangular_joint(g: Any, a: Any, y: Any, upper: bool, unit: bool, needs: Any) -> list[Any]:
    b_bar = triangular_system(adj(a), g, upper=not upper, unit=unit)
    if not needs[0]:
        return [None, b_bar]
    a_bar = neg(times(b_bar, adj(y)))
    return [triangle(a_bar, upper, strict=unit), b_bar]


triangular_system.joint(_triangular_joint)
triangular_system.primitive.node_class.__name__ = "LinalgSolveTriangularBackward0"


def triangle(x: Any, upper_: bool, strict: bool = False) -> Any:
    """The upper or lower triangle, without the diagonal if strict."""
    return upper(x, int(strict)) if upper_ else lower(x, -int(strict))


def solve_lower(a: Any, b: Any, unit: bool = False) -> Any:
    """A⁻¹ B for a lower triangular A."""
    return triangular_system(a, b, upper=False, unit=unit)


def solve_upper(a: Any, b: Any, unit: bool = False) -> Any:
    """A⁻¹ B for an upper triangular A."""
    return triangular_system(a, b, upper=True, unit=unit)


def swapped(x: Any) -> Any:
    """Xᵀ."""
    return transpose_(x, dim0=-2, dim1=-1)


# ------------------------------------------------------------------------------ public solvers
def check_sizes(name: str, a: Any, b: Any, left: bool) -> None:
    """RuntimeError unless A X = B (or X A = B) can be written down."""
    if a.shape[-1] != b.shape[-2 if left else -1]:
        shapes = f"A: {'x'.join(map(str, a.shape[-2:]))}, B: {'x'.join(map(str, b.shape[-2:]))}"
        raise RuntimeError(
            f"{name}: Incompatible shapes of A and B for the equation "
            f"{'AX = B' if left else 'XA = B'} ({shapes})"
        )
    common_batch(name, a.shape[:-2], b.shape[:-2])


@export("linalg.solve_triangular")
def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """The X of A X = B, or of X A = B unless `left`, for triangular A; batches broadcast.

        X = A⁻¹ B;  B̄ = A⁻ᴴ X̄,  Ā = −B̄ Xᴴ in the triangle

    Only the triangle is read; its diagonal counts as 1 if unitriangular. A zero there gives inf.
    A (*, n, n), B (*, n, k). RuntimeError for other shapes or different dtypes.
    """
    need_tensor("linalg_solve_triangular", A, B)
    need_square("linalg.solve_triangular", A)
    need_matrix("linalg.solve_triangular", B, "B")
    need_same_dtype("linalg.solve_triangular", A, B)
    check_sizes("linalg.solve_triangular", A._data, B._data, left)
    if left:
        x = triangular_system(A, B, upper=upper, unit=unitriangular)
    else:
        turned = triangular_system(swapped(A), swapped(B), upper=not upper, unit=unitriangular)
        x = swapped(turned)
    return finish(x, out)


@export("triangular_solve")
def triangular_solve(
    input: Tensor, A: Tensor, upper: bool = True, transpose: bool = False,
    unitriangular: bool = False, *, out: Any = None,
) -> Any:  # fmt: skip
    """(A⁻¹ B, A) for a triangular A, or its transpose; the older `linalg.solve_triangular`.

    input is B (*, n, k), A (*, n, n). RuntimeError for other shapes.
    """
    need_tensor("triangular_solve", input, A, names=("input", "A"))
    for x, what in ((input, "b"), (A, "A")):
        if x._data.ndim < 2:
            raise RuntimeError(
                f"torch.triangular_solve: Expected {what} to have at least 2 dimensions, but it "
                f"has {x._data.ndim} dimensions instead"
            )
    need_square("triangular_solve", A)
    need_same_dtype("triangular_solve", A, input)
    check_sizes("triangular_solve", A._data, input._data, True)
    a = swapped(A) if transpose else A
    x = triangular_system(a, input, upper=upper != transpose, unit=unitriangular)
    copy = clone_(broadcast_to(A, (*x._data.shape[:-2], *A._data.shape[-2:])), order="C")
    return finish_pair(TriangularSolve(x, copy), out)


# ------------------------------------------------------------------------------ Cholesky
@primitive
def cholesky_factor(x: Any, *, upper: bool) -> Any:
    """The lower L of A = L Lᴴ, from A's lower triangle;  Ā = ½ L⁻ᴴ S L⁻¹. Lᴴ if upper.

    S has the lower triangle of Lᴴ L̄, and its conjugate transpose above the diagonal (Murray,
    "Differentiation of the Cholesky decomposition", 2016, eq. 10).
    """
    y = np.linalg.cholesky(x, upper=upper)
    roots = np.diagonal(y, axis1=-2, axis2=-1)
    if np.isnan(roots).any() or (x.dtype == F32 and np.isinf(roots[..., :-1]).any()):
        raise np.linalg.LinAlgError("the matrix has nan or inf")  # where PyTorch's LAPACK notices
    return y


def _cholesky_vjp(g: Any, y: Any, upper: bool) -> Any:
    if upper:
        g, y = adj(g), adj(y)
    part = lower(times(adj(y), g))
    middle = part + adj(lower(part, -1))
    right = solve_upper(adj(y), middle)  # L⁻ᴴ S
    return 0.5 * adj(solve_upper(adj(y), adj(right)))


cholesky_factor.vjp(x=_cholesky_vjp)
cholesky_factor.primitive.node_class.__name__ = "LinalgCholeskyExBackward0"


def _cholesky_info(x: Any, upper: bool) -> Any:
    """For each matrix the order of its first leading minor that is not positive, or 0."""
    info = np.zeros(x.shape[:-2], np.int32)
    for i in batch_indices(x.shape[:-2]):
        for order in range(1, x.shape[-1] + 1):
            try:
                cholesky_factor.primitive.forward(x[i][:order, :order], upper=upper)
            except np.linalg.LinAlgError:
                info[i] = order
                break
    return info


def _try_cholesky(a: Any, upper: bool) -> tuple[Any, Any]:
    """(L, info); L is nan in the matrices that are not positive-definite."""
    try:
        return cholesky_factor(a, upper=upper), np.zeros(a._data.shape[:-2], np.int32)
    except np.linalg.LinAlgError:
        info = _cholesky_info(a._data, upper)
        factor = np.zeros_like(a._data)
        for i in batch_indices(info.shape):
            factor[i] = np.nan if info[i] else np.linalg.cholesky(a._data[i], upper=upper)
        return wrap((np.triu if upper else np.tril)(factor)), info


def _need_positive(name: str, info: Any) -> None:
    failed = first_failure(info)
    if failed is not None:
        raise LinAlgError(
            f"{name}: {failed[0]}The factorization could not be completed because the input is not "
            f"positive-definite (the leading minor of order {failed[1]} is not positive-definite)."
        )


@export("linalg.cholesky_ex")
def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None
) -> Any:
    """`linalg.cholesky` and an int32 info: 0, or the order of the first minor that is not positive.

    LinAlgError for those only if check_errors.
    """
    need_square("linalg.cholesky", A)
    factor, info = _try_cholesky(A, upper)
    if check_errors:
        _need_positive("linalg.cholesky_ex", info)
    result = LinalgCholeskyEx(factor, wrap(info))
    return finish_pair(result, out)


@export("linalg.cholesky")
def linalg_cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:
    """The triangular L with A = L Lᴴ for Hermitian positive-definite A; U = Lᴴ if upper.

        Ā = ½ L⁻ᴴ S L⁻¹,  S the lower triangle of Lᴴ L̄, mirrored

    Only one triangle of A (*, n, n) is read. LinAlgError if A is not positive-definite.
    """
    need_square("linalg.cholesky", A)
    factor, info = _try_cholesky(A, upper)
    _need_positive("linalg.cholesky", info)
    return finish(factor, out)


@export("cholesky")
def cholesky(input: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """The older spelling of `linalg.cholesky`."""
    need_square("cholesky", input)
    return linalg_cholesky(input, upper=upper, out=out)


@primitive
def cholesky_system(b: Any, factor: Any, *, upper: bool) -> Any:
    """X = (L Lᴴ)⁻¹ B, or (Lᴴ L)⁻¹ B if upper;  B̄ = (L Lᴴ)⁻¹ X̄,  L̄ = −(B̄ Xᴴ + X B̄ᴴ) L.

    One triangle of L is read, but the derivative is that of the formula for a full matrix, as in
    PyTorch: L̄ is not triangular.
    """
    turned = np.conj(np.swapaxes(factor, -1, -2))
    first, second = (turned, factor) if upper else (factor, turned)
    return substitute(second, substitute(first, b, False, False), True, False)


def _cholesky_system_joint(g: Any, factor: Any, y: Any, upper: bool, needs: Any) -> list[Any]:
    b_bar = cholesky_system(g, factor, upper=upper)
    if not needs[1]:
        return [b_bar, None]
    half = times(b_bar, adj(y))
    full = neg(half + adj(half))
    return [b_bar, times(factor, full) if upper else times(full, factor)]


cholesky_system.joint(_cholesky_system_joint)
cholesky_system.primitive.node_class.__name__ = "CholeskySolveBackward0"


@export("cholesky_solve")
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """(L Lᴴ)⁻¹ B from Cholesky's factor L; of (Lᴴ L)⁻¹ B if L is upper.

    input is B (*, n, k), L (*, n, n). RuntimeError for other shapes.
    """
    need_tensor("cholesky_solve", input, L, names=("input", "input2"))
    b, a = input._data, L._data
    if b.ndim < 2:
        raise RuntimeError(f"b should have at least 2 dimensions, but has {b.ndim} dimensions")
    if a.ndim < 2:
        raise RuntimeError(f"u should have at least 2 dimensions, but has {a.ndim} dimensions")
    need_square("cholesky_solve", L)
    need_same_dtype("cholesky_solve", L, input)
    check_sizes("cholesky_solve", a, b, True)
    return finish(cholesky_system(input, L, upper=upper), out)


@export("cholesky_inverse")
def cholesky_inverse(L: Tensor, upper: bool = False, *, out: Any = None) -> Tensor:
    """(L Lᴴ)⁻¹ from Cholesky's factor L (*, n, n), or (Lᴴ L)⁻¹ if it is upper."""
    need_square("cholesky_inverse", L)
    unit = wrap(np.array(np.broadcast_to(eye_like(L), L._data.shape)))
    return cholesky_solve(unit, L, upper, out=out)
