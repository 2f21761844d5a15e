"""Products of Householder's reflections H = I − τ v vᴴ, and the decomposition that makes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import without_derivative
from ..core.tensor import Tensor, wrap
from ..core.views import unlinked
from ..export import export
from .arguments import finish
from .beside import beside
from .complexes import conj
from .dims import broadcast_to
from .matrices import (
    adj,
    column,
    cut,
    lower,
    need_matrix,
    need_same_dtype,
    need_tensor,
    times,
)
from .results import Geqrf, finish_pair
from .views import clone_


@export("geqrf")
def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """QR in LAPACK's form: R on and above the diagonal, the reflections' vectors below, and τ.

    RuntimeError below two dimensions. No gradient.
    """
    need_matrix("geqrf", input)
    turned, tau = np.linalg.qr(input._data, mode="raw")
    packed = np.ascontiguousarray(np.swapaxes(turned, -1, -2))
    result = Geqrf(wrap(packed), wrap(np.asarray(tau)))
    return finish_pair(without_derivative("aten::geqrf", result, input), out)


def _reflect(x: Any, vectors: Any, tau: Any, i: int) -> Any:
    """(I − τᵢ vᵢ vᵢᴴ) x."""
    v = cut(vectors, -1, i, i + 1)
    factor = cut(tau, -1, i, i + 1)
    return x - times(v * column(factor), times(adj(v), x))


def _vectors(packed: Any, k: int) -> Any:
    """The columns v: what is below the diagonal, and 1 on it."""
    part = cut(packed, -1, 0, k)
    unit = np.eye(part._data.shape[-2], k, dtype=part._data.dtype)
    return lower(part, -1) + wrap(unit)


def _check(name: str, packed: Any, tau: Any) -> None:
    need_tensor(name, packed, tau, names=("input", "tau"))
    need_matrix(name, packed, "input")
    a, t = packed._data, tau._data
    if a.shape[-2] < a.shape[-1] and name != "ormqr":
        raise RuntimeError(
            f"{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if not t.ndim or a.shape[-1] < t.shape[-1]:
        raise RuntimeError(
            f"{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    if a.ndim - t.ndim != 1:
        raise RuntimeError(
            f"{name}: Expected tau to have one dimension less than input, but got tau.ndim equal "
            f"to {t.ndim} and input.ndim is equal to {a.ndim}"
        )
    if t.shape[:-1] != a.shape[:-2]:
        raise RuntimeError(
            f"{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got "
            f"{list(t.shape[:-1])}"
        )
    need_same_dtype(name, packed, tau)


@export("linalg.householder_product", "orgqr")
def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """The first n columns of H₁ H₂ ⋯ H_k, H = I − τ v vᴴ, v in the columns of A below its diagonal.

    A (*, m, n) with m ≥ n, tau (*, k) with k ≤ n: (*, m, n), what `geqrf` packs. RuntimeError else.
    """
    _check("linalg.householder_product", A, tau)
    m, n = A._data.shape[-2:]
    k = tau._data.shape[-1]
    y = broadcast_to(wrap(np.eye(m, n, dtype=A._data.dtype)), A._data.shape)
    vectors = _vectors(A, k)
    for i in reversed(range(k)):
        y = _reflect(y, vectors, tau, i)
    # without reflections it depends on nothing, but has a gradient all the same, as in PyTorch
    return finish(y if k else beside(beside(y, A), tau), out)


@export("ormqr")
def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False, *,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """Q C, or C Q unless `left`, with Qᴴ for Q if transpose; Q of `geqrf`'s form is never built.

    input (*, m, k), tau (*, k), other C (*, m, n), or (*, n, m) on the right. RuntimeError else.
    """
    _check("ormqr", input, tau)
    need_tensor("ormqr", input, tau, other, names=("input", "tau", "other"))
    a, t, c = input._data, tau._data, other._data
    if c.ndim < 2:
        raise RuntimeError("ormqr: other must have at least 2 dimensions.")
    side = -2 if left else -1
    if c.shape[side] != a.shape[-2]:
        raise RuntimeError(f"ormqr: other.shape[{side}] must be equal to input.shape[-2]")
    if t.shape[-1] != min(c.shape[side], a.shape[-1]):
        raise RuntimeError(
            f"ormqr: tau.shape[-1] must be equal to min(other.shape[{side}], input.shape[-1])"
        )
    if c.shape[:-2] != a.shape[:-2]:
        raise RuntimeError(
            "ormqr: Expected batch dimensions of other to be equal to input.shape[:-2], but got "
            f"{list(c.shape[:-2])}"
        )
    need_same_dtype("ormqr", input, other)
    if not left:  # C Q = (Qᴴ Cᴴ)ᴴ
        return finish(unlinked(adj(ormqr(input, tau, adj(other), True, not transpose))), out)
    k = t.shape[-1]
    vectors, factors = _vectors(input, k), conj(tau) if transpose else tau
    y = other
    for i in range(k) if transpose else reversed(range(k)):
        y = _reflect(y, vectors, factors, i)
    return finish(y if k else clone_(y, order="C"), out)
