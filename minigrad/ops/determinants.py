"""Determinants and their logarithms, with derivatives for singular matrices too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..export import export
from .arguments import finish
from .compare import lt
from .complexes import conj, imag_part
from .matrices import adj, need_square
from .piecewise import where
from .pivoting import lu_arrays
from .results import LinalgSlogDet, SlogDet, finish_pair
from .solves import inverse_, suspects, where_regular
from .transcendental import log
from .views import view_


def _products_without(s: Any) -> Any:
    """For each i the product of all s_j but s_i, without dividing."""
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate((one, s[..., :-1]), -1), -1)
    after = np.cumprod(np.concatenate((one, s[..., :0:-1]), -1), -1)[..., ::-1]
    return before * after


def _rotated(x: Any) -> tuple[Any, Any, Any, Any]:
    """U, σ, Vᴴ and det U · det Vᴴ; σ is nan for matrices with inf or nan."""
    finite = np.isfinite(x).all(axis=(-2, -1))
    if not finite.all():
        x = np.where(finite[..., None, None], x, np.eye(x.shape[-1], dtype=x.dtype))
    u, s, vh = np.linalg.svd(x)
    if not finite.all():
        s = np.where(finite[..., None], s, s.dtype.type(np.nan))
    return u, s, vh, np.linalg.det(u) * np.linalg.det(vh)


def _cofactor_parts(x: Any) -> Any:
    """The cofactor matrix from differentiable parts, for regular matrices."""
    return view_(conj(determinant(x)), size=(*x.shape[:-2], 1, 1)) * adj(inverse_(x))


def _regular_cofactor(x: Any) -> Any:
    """conj(det X) X⁻ᴴ if all matrices are well-conditioned, else None; cheaper than the SVD."""
    try:
        inverse = np.linalg.inv(x)
    except np.linalg.LinAlgError:
        return None
    condition = np.abs(x).sum(-1).max(-1) * np.abs(inverse).sum(-1).max(-1)
    if not (condition < 1e8).all():
        return None
    det = np.asarray(np.conj(np.linalg.det(x)))
    return det[..., None, None] * np.conj(np.swapaxes(inverse, -1, -2))


@primitive(composition=_cofactor_parts)
def cofactor(x: Any) -> Any:
    """C = conj(det X) X⁻ᴴ, continued to singular matrices: U diag(Π_{j≠i} σ_j) Vᴴ, turned.

    X̄ from the second derivative of det, in the basis of the singular vectors: with G' = Uᴴ C̄ V and
    P_ij the product of all σ but two, X̄'_ii = Σ_j P_ij conj(G'_jj), X̄'_ij = −P_ij conj(G'_ji).
    """
    if not x.size:
        return x
    regular = _regular_cofactor(x)
    if regular is not None:
        return regular
    u, s, vh, turn = _rotated(x)
    y = np.conj(turn)[..., None, None] * ((u * _products_without(s)[..., None, :]) @ vh)
    return y.astype(x.dtype)


def _cofactor_vjp(g: Any, x: Any) -> Any:
    if not x.size:
        return g
    u, s, vh, turn = _rotated(x)
    n = s.shape[-1]
    mask = np.eye(n, dtype=bool)
    pairs = _products_without(np.where(mask, 1, s[..., None, :]))  # [i, j]: all but σ_i and σ_j
    pairs = np.where(mask, 0, pairs)
    inner = np.conj(np.swapaxes(u, -1, -2)) @ g @ np.conj(np.swapaxes(vh, -1, -2))
    own = (pairs @ np.conj(np.diagonal(inner, axis1=-2, axis2=-1))[..., None])[..., 0]
    inner = -pairs * np.conj(np.swapaxes(inner, -1, -2))
    inner = inner + np.where(mask, own[..., None, :], 0)
    return np.conj(turn)[..., None, None] * (u @ inner @ vh)


cofactor.vjp(x=_cofactor_vjp)


@primitive
def determinant(x: Any) -> Any:
    """y = det X;  X̄ = ȳ·C, the conjugated cofactors, for singular matrices too."""
    return np.linalg.det(x)


determinant.vjp(x=lambda g, x: view_(g, size=(*g.shape, 1, 1)) * cofactor(x))
determinant.primitive.node_class.__name__ = "LinalgDetBackward0"


@export("linalg.det", "det")
def det(A: Tensor, *, out: Any = None) -> Tensor:
    """The determinant of square matrices (*, n, n).

        y = det A,  Ā = ȳ·conj(det A) A⁻ᴴ, continued to singular matrices (the cofactors)

    RuntimeError unless they are square.
    """
    need_square("linalg.det", A)
    return finish(determinant(A), out)


@primitive
def sign_logdet(x: Any, *, phase: bool) -> Any:
    """(det X / |det X|, log |det X|);  X̄ = (ȳ₂ + i Im(ȳ₁ conj(y₁))) X⁻ᴴ.

    phase: the sign is a complex number; that of a real matrix has no derivative.
    """
    sign, size = np.linalg.slogdet(x)
    # PyTorch multiplies the signs of the factors, and that of nan is 0
    return np.where(np.isnan(size), sign.dtype.type(0), sign), np.asarray(size)


def _sign_logdet_vjp(g: Any, x: Any, y: Any, phase: bool) -> Any:
    g_sign, g_size = g
    weight = 0.0 if g_size is None else view_(g_size, size=(*y[1].shape, 1, 1))
    if phase and g_sign is not None:
        turn = imag_part(g_sign * conj(y[0])) * 1j
        weight = weight + view_(turn, size=(*y[1].shape, 1, 1))
    elif g_size is None:
        return None
    return weight * adj(_inverse_or_nan(x))


def _inverse_or_nan(x: Any) -> Any:
    """X⁻¹; where X is singular, and the gradient does not exist, nan."""
    try:
        return inverse_(x)
    except np.linalg.LinAlgError:
        data = x._data if isinstance(x, Tensor) else x
        info = np.maximum(lu_arrays(data)[2], suspects(data))
        return where_regular(data, info, np.linalg.inv)


sign_logdet.vjp(x=_sign_logdet_vjp)
sign_logdet.primitive.node_class.__name__ = "LinalgSlogdetBackward0"


def _sign_logdet(x: Tensor) -> Any:
    return sign_logdet(x, phase=x._data.dtype.kind == "c")


@export("linalg.slogdet")
def linalg_slogdet(A: Tensor, *, out: Any = None) -> Any:
    """The sign (phase) of the determinant and the logarithm of its modulus: (0, −inf) if singular.

        Ā = (l̄ + i Im(s̄ conj(s))) A⁻ᴴ for the pair (s, l)

    RuntimeError unless the matrices are square.
    """
    need_square("linalg.slogdet", A)
    return finish_pair(LinalgSlogDet(*_sign_logdet(A)), out)


@export("slogdet")
def slogdet(input: Tensor, *, out: Any = None) -> Any:
    """The older spelling of `linalg.slogdet`."""
    return finish_pair(SlogDet(*linalg_slogdet(input)), out)


@export("logdet")
def logdet(input: Tensor) -> Tensor:
    """log det X: nan for a negative determinant, −inf for 0;  X̄ = ȳ·X⁻ᴴ."""
    need_square("logdet", input)
    sign, size = _sign_logdet(input)
    if sign._data.dtype.kind == "c":
        return size + log(sign)
    return where(lt(sign, 0), math.nan, size)
