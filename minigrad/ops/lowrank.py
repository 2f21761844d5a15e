"""Approximate decompositions of large matrices by random projections."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor
from ..export import export
from .factorings import linalg_qr
from .matrices import adj, need_tensor, times
from .random import randn
from .spectra import linalg_svd
from .sums import mean


def _range(A: Tensor, q: int, niter: int, M: Tensor | None) -> Tensor:
    """Q whose columns nearly span A − M's range (Halko et al., 2011, algorithm 4.4)."""

    def product(a: Any, m: Any, x: Any) -> Any:
        return times(a, x) if m is None else times(a, x) - times(m, x)

    turned, m_turned = adj(A), None if M is None else adj(M)
    start = randn(A._data.shape[-1], q, dtype=A.dtype)
    basis = linalg_qr(product(A, M, start))[0]
    for _ in range(niter):
        basis = linalg_qr(product(turned, m_turned, basis))[0]
        basis = linalg_qr(product(A, M, basis))[0]
    return basis


@export("svd_lowrank")
def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ, V of the best approximation to A − M of rank about q, nearly: A ≈ U diag(σ) Vᴴ.

    A random subspace of dimension q is iterated niter times (Halko, Martinsson and Tropp, "Finding
    structure with randomness", 2011, algorithm 5.1). A (*, m, n), M broadcasts to it.
    """
    need_tensor("svd_lowrank", A)
    q, niter = 6 if q is None else q, 2 if niter is None else niter
    m, n = A._data.shape[-2:]
    if M is not None:
        M = M.broadcast_to(A._data.shape)  # type: ignore[attr-defined]
    wide = m < n
    if wide:
        A, M = adj(A), None if M is None else adj(M)
    basis = _range(A, q, niter, M)
    small = times(adj(basis), A) if M is None else times(adj(basis), A) - times(adj(basis), M)
    u, s, vh = linalg_svd(small, full_matrices=False)
    u, v = times(basis, u), adj(vh)
    return (v, s, u) if wide else (u, s, v)


@export("pca_lowrank")
def pca_lowrank(
    A: Tensor, q: int | None = None, center: bool = True, niter: int = 2
) -> tuple[Tensor, Tensor, Tensor]:
    """Principal components: `svd_lowrank` of A (*, m, n) without the means of its columns.

    q is min(6, m, n) unless given. ValueError for a q beyond min(m, n) or a negative niter.
    """
    need_tensor("pca_lowrank", A)
    m, n = A._data.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if A._data.dtype.kind not in "fc":
        raise ValueError(f"input must have a floating dtype, got {A.dtype}")
    if center:
        A = A - mean(A, dim=-2, keepdim=True)  # type: ignore[operator]
    return svd_lowrank(A, q, niter=niter, M=None)
