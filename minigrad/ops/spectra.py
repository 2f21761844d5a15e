"""Eigenvalues and singular values with their vectors.

Vectors are determined up to a sign or phase: gradients of what depends on it do not exist, and for
complex matrices an error says so. Equal eigen- or singular values have no derivative of the
vectors: it is inf or nan there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import finish
from .complexes import conj, imag_part, real
from .matrices import (
    LinAlgError,
    adj,
    column,
    cut,
    diag_matrix,
    diag_of,
    need_matrix,
    need_square,
    off_diagonal_ratio,
    row,
    times,
)
from .results import SVD, LinalgEig, LinalgEigh, LinalgSVD, finish_pair
from .solves import system


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Tensor) else x


def _need_phase_invariance(name: str, phase: Any) -> None:
    """RuntimeError if the loss changes with the phases of the vectors."""
    x = _array(phase)
    if x.size and np.abs(x.imag).max() > 1e-2:
        raise RuntimeError(
            f"{name}: The eigenvectors or singular vectors in the complex case are specified up to "
            "multiplication by e^{i phi}. The specified loss function depends on this quantity, so "
            "it is ill-defined."
        )


# ------------------------------------------------------------------------------ Hermitian
@primitive
def hermitian_eigen(x: Any, *, uplo: str) -> Any:
    """(w, V) with X V = V diag(w), from one triangle of X;  X̄ = V (diag(w̄) + S) Vᴴ.

    S_ij is the skew part of Vᴴ V̄ divided by w_j − w_i.
    """
    w, v = np.linalg.eigh(x, UPLO=uplo)
    return np.asarray(w), v


def _hermitian_eigen_vjp(g: Any, y: Any) -> Any:
    (g_w, g_v), (w, v) = g, y
    if g_v is None:
        return None if g_w is None else times(v * row(g_w), adj(v))
    inner = times(adj(v), g_v)
    if np.iscomplexobj(_array(v)):
        _need_phase_invariance("linalg_eigh_backward", diag_of(inner))
    middle = off_diagonal_ratio(0.5 * (inner - adj(inner)), row(w) - column(w))
    if g_w is not None:
        middle = middle + diag_matrix(g_w)
    return times(v, middle, adj(v))


hermitian_eigen.vjp(x=_hermitian_eigen_vjp)
hermitian_eigen.primitive.node_class.__name__ = "LinalgEighBackward0"


def _no_convergence(name: str) -> LinAlgError:
    return LinAlgError(
        f"{name}: The algorithm failed to converge because the input matrix is ill-conditioned or "
        "contains nan or inf."
    )


def _eigh(name: str, A: Tensor, UPLO: str) -> Any:
    need_square(name, A)
    if not isinstance(UPLO, str):
        raise TypeError(f"{name}(): argument 'UPLO' must be str, not {type(UPLO).__name__}")
    if UPLO.upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {UPLO}")
    try:
        return hermitian_eigen(A, uplo=UPLO.upper())
    except np.linalg.LinAlgError:
        raise _no_convergence(name) from None


@export("linalg.eigh")
def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues in ascending order and eigenvectors (columns) of Hermitian matrices (*, n, n).

        A = V diag(w) Vᴴ;  Ā = V (diag(w̄) + skew(Vᴴ V̄)_ij / (w_j − w_i)) Vᴴ

    UPLO says which triangle is read. RuntimeError unless square; LinAlgError without convergence.
    """
    return finish_pair(LinalgEigh(*_eigh("linalg.eigh", A, UPLO)), out)


@export("linalg.eigvalsh")
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:
    """Eigenvalues of Hermitian matrices in ascending order;  Ā = V diag(w̄) Vᴴ."""
    return finish(_eigh("linalg.eigvalsh", A, UPLO)[0], out)


# ------------------------------------------------------------------------------ general
@primitive
def eigen(x: Any, *, dtype: Any) -> Any:
    """(w, V) with X V = V diag(w), in a complex dtype, V's columns of norm 1.

    X̄ = V⁻ᴴ (diag(w̄) + S) Vᴴ, where S_ij is Vᴴ V̄ − Vᴴ V diag(Re Vᴴ V̄) divided by conj(w_j − w_i).
    """
    w, v = np.linalg.eig(x)
    return w.astype(dtype), v.astype(dtype)


def _eigen_vjp(g: Any, y: Any) -> Any:
    (g_w, g_v), (w, v) = g, y
    if g_w is None and g_v is None:
        return None
    if g_v is None:
        return system(adj(v), column(g_w) * adj(v))
    inner = times(adj(v), g_v)
    _need_phase_invariance("linalg_eig_backward", diag_of(inner))
    inner = inner - times(adj(v), v * row(real(diag_of(inner))))
    middle = off_diagonal_ratio(inner, conj(row(w) - column(w)))
    if g_w is not None:
        # what rounding leaves on the diagonal does not belong to the tangent space
        middle = middle - diag_matrix(diag_of(middle)) + diag_matrix(g_w)
    return system(adj(v), times(middle, adj(v)))


eigen.vjp(x=_eigen_vjp)
eigen.primitive.node_class.__name__ = "LinalgEigBackward0"


def _eig(name: str, A: Tensor) -> Any:
    need_square(name, A)
    try:
        return eigen(A, dtype=np.result_type(A._data.dtype, np.complex64))
    except np.linalg.LinAlgError:
        if not np.isfinite(A._data).all():
            raise RuntimeError(f"{name}: input tensor should not contain infs or NaNs.") from None
        raise _no_convergence(name) from None


@export("linalg.eig")
def eig(A: Tensor, *, out: Any = None) -> Any:
    """Eigenvalues and eigenvectors (columns of norm 1) of square matrices (*, n, n), complex.

        A = V diag(w) V⁻¹;  the gradient is that of Boeddeker et al., "On the computation of complex
        -valued gradients with application to statistically optimum beamforming", 2017, eq. 4.77

    RuntimeError unless square, and for inf or nan.
    """
    return finish_pair(LinalgEig(*_eig("linalg.eig", A)), out)


@export("linalg.eigvals")
def eigvals(A: Tensor, *, out: Any = None) -> Tensor:
    """Eigenvalues of square matrices, complex and in no order;  Ā = V⁻ᴴ diag(w̄) Vᴴ."""
    return finish(_eig("linalg.eigvals", A)[0], out)


# ------------------------------------------------------------------------------ singular values
@primitive
def singular(x: Any, *, full: bool) -> Any:
    """(U, σ, Vᴴ) with X = U diag(σ) Vᴴ;  X̄ = U (S_U Σ + Σ S_V + diag(σ̄)) Vᴴ + what lies outside.

    S_U and S_V are Uᴴ Ū and Vᴴ V̄ minus their adjoints, divided by σ_j² − σ_i² (Townsend,
    "Differentiating the singular value decomposition", 2016). Columns beyond min(m, n) get none.
    """
    u, s, vh = np.linalg.svd(x, full_matrices=full)
    return u, np.asarray(s), vh


def _singular_vjp(g: Any, y: Any) -> Any:
    (g_u, g_s, g_vh), (u, s, vh) = g, y
    if g_u is None and g_s is None and g_vh is None:
        return None
    k = s.shape[-1]
    u, vh = cut(u, -1, 0, k), cut(vh, -2, 0, k)
    if g_u is None and g_vh is None:
        return times(u * row(g_s), vh)
    g_u = None if g_u is None else cut(g_u, -1, 0, k)
    g_v = None if g_vh is None else adj(cut(g_vh, -2, 0, k))
    return _vectors_gradient(g_u, g_s, g_v, u, s, vh)


def _vectors_gradient(g_u: Any, g_s: Any, g_v: Any, u: Any, s: Any, vh: Any) -> Any:
    square = s * s
    gaps = row(square) - column(square)
    from_u = None if g_u is None else times(adj(u), g_u)
    from_v = None if g_v is None else times(vh, g_v)
    skew_u = None if from_u is None else from_u - adj(from_u)
    skew_v = None if from_v is None else from_v - adj(from_v)
    middle: Any = None
    if skew_u is not None:
        middle = off_diagonal_ratio(skew_u, gaps) * row(s)
    if skew_v is not None:
        part = column(s) * off_diagonal_ratio(skew_v, gaps)
        middle = part if middle is None else middle + part
    middle = middle - diag_matrix(diag_of(middle))
    if np.iscomplexobj(_array(u)):
        both = [x for x in (skew_u, skew_v) if x is not None]
        phase = diag_of(both[0] if len(both) == 1 else both[0] + both[1])
        _need_phase_invariance("svd_backward", phase)
        if skew_u is not None:
            middle = middle + diag_matrix(imag_part(diag_of(skew_u)) * 1j / (2 * s))
    if g_s is not None:
        middle = middle + diag_matrix(g_s)
    result = times(u, middle, vh)
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    if g_u is not None and m > k:
        result = result + times((g_u - times(u, from_u)) / row(s), vh)
    if g_v is not None and n > k:
        outside = adj(g_v) - times(adj(from_v), vh)
        result = result + times(u, outside / column(s))
    return result


singular.vjp(x=_singular_vjp)
singular.primitive.node_class.__name__ = "LinalgSvdBackward0"


def _svd(name: str, A: Tensor, full: bool, driver: str | None = None) -> Any:
    need_matrix(name, A)
    if driver is not None:
        raise RuntimeError(
            f"{name}: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER "
            "backend."
        )
    try:
        return singular(A, full=full)
    except np.linalg.LinAlgError:
        raise _no_convergence(name) from None


@export("linalg.svd")
def linalg_svd(
    A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None
) -> Any:
    """Singular value decomposition of matrices (*, m, n): U, σ in descending order, Vᴴ.

        A = U diag(σ) Vᴴ;  derivative: Townsend, "Differentiating the SVD", 2016

    With full_matrices U is (*, m, m) and Vᴴ (*, n, n), else their first min(m, n) columns or rows.
    RuntimeError below two dimensions, or if a driver is chosen (there is one).
    """
    return finish_pair(LinalgSVD(*_svd("linalg.svd", A, full_matrices, driver)), out)


@export("linalg.svdvals")
def svdvals(A: Tensor, *, driver: str | None = None, out: Any = None) -> Tensor:
    """The singular values in descending order;  Ā = U diag(σ̄) Vᴴ."""
    return finish(singular_values(A, "linalg.svdvals", driver), out)


def singular_values(A: Tensor, name: str = "linalg.svd", driver: str | None = None) -> Tensor:
    """σ alone; the vectors are computed only if there is a gradient that needs them."""
    need_matrix(name, A)
    if A._requires_grad or driver is not None:
        return _svd(name, A, False, driver)[1]
    try:
        return wrap(np.asarray(np.linalg.svd(A._data, compute_uv=False)))
    except np.linalg.LinAlgError:
        raise _no_convergence(name) from None


@export("svd")
def svd(input: Tensor, some: bool = True, compute_uv: bool = True, *, out: Any = None) -> Any:
    """The older singular value decomposition: U, σ, V (not Vᴴ); reduced if `some`.

    Without compute_uv, U (*, m, m) and V (*, n, n) are zeros.
    """
    need_matrix("linalg.svd", input)
    if compute_uv:
        u, s, vh = _svd("linalg.svd", input, not some)
        return finish_pair(SVD(u, s, adj(vh)), out)
    data = input._data
    *batch, m, n = data.shape
    u, v = np.zeros((*batch, m, m), data.dtype), np.zeros((*batch, n, n), data.dtype)
    return finish_pair(SVD(wrap(u), singular_values(input), wrap(v)), out)
