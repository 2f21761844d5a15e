"""Ready parametrizations: orthogonal weights, weight norm, spectral norm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...backend import sampling
from ...core.function import Function
from ...core.modes import no_grad
from ...core.tensor import Tensor, wrap
from ...export import export
from ...ops.creation import eye
from ...ops.join import cat
from ...ops.norm import normalize
from ..module import Module
from . import parametrize
from .lengths import norm_except_dim, scaled_to

MAPS = ("matrix_exp", "cayley", "householder")


def _tensor_of(module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


def default_dim(module: Module) -> int:
    """The dimension of a weight that counts outputs: 1 in transposed convolutions."""
    return 1 if getattr(module, "transposed", False) is True else 0


# ------------------------------------------------------------------------------ orthogonal
class _Orthogonal(Module):
    """Q of orthonormal columns (rows, if fewer) as a function of an unconstrained matrix.

    matrix_exp and cayley make Q from the skew A = tril(X) − tril(X)ᵀ, householder as a product of
    reflections. With a base B, Q(X) B-multiplied is near B for X near −1 (Lezcano-Casado 2019).
    """

    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        self.use_base = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        wide = X.size(-2) < X.size(-1)
        if wide:
            X = X.mT
        Q = _by_reflections(X) if self.orthogonal_map == "householder" else self._by_skew(X)
        if self.use_base:
            Q = self.base @ Q
        return Q.mT if wide else Q

    def _by_skew(self, X: Any) -> Any:
        n, k = X.size(-2), X.size(-1)
        X = X.tril()
        if n != k:
            X = cat([X, X.new_zeros(*X.shape[:-2], n, n - k)], -1)
        A = X - X.mH
        if self.orthogonal_map == "matrix_exp":
            Q = matrix_exp(A)
        else:
            one = eye(n, dtype=A.dtype, device=A.device)
            Q = _Solve.apply(one - A * 0.5, one + A * 0.5)
        return Q[..., :k] if n != k else Q

    def right_inverse(self, Q: Any) -> Any:
        """What the map takes to Q, or to the nearest orthogonal matrix that is found."""
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of"
                f" shape {Q.shape}."
            )
        with no_grad():
            tall = Q.mT if Q.size(-2) < Q.size(-1) else Q
            if self.use_base:
                self.base = wrap(_completed(tall._data))
                return wrap(_negative_identity(Q._data))
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley"
                    " parametrizations when use_trivialization=False."
                )
            A: Any = wrap(_reflectors(tall._data))
            return A.mT if tall is not Q else A


def _by_reflections(X: Any) -> Any:
    """(H_1 ... H_k)'s first k columns times the signs of X's diagonal, H = I − 2 v vᵀ/vᵀv."""
    n, k = X.size(-2), X.size(-1)
    V = X.tril(-1) + eye(n, k, dtype=X.dtype, device=X.device)
    tau = 2.0 / (V * V).sum(-2)
    Q: Any = eye(n, k, dtype=X.dtype, device=X.device)
    Q = Q.expand(*X.shape[:-2], n, k)
    for i in reversed(range(k)):
        v = V[..., i : i + 1]
        Q = Q - v @ (v.mT @ Q) * tau[..., i, None, None]
    signs = X.detach().diagonal(0, -2, -1).int()
    return Q * signs.unsqueeze(-2)


def matrix_exp(A: Any) -> Any:
    """e^A by squaring: e^{A/2^s} from its series, whose terms are below rounding, s times squared.

    Made of products, so derivatives of every order follow.
    """
    size = float(np.abs(A._data).sum(-1).max(initial=0))
    squarings = max(0, math.ceil(math.log2(size)) + 2) if size > 0 and math.isfinite(size) else 0
    B = A * 0.5**squarings
    one = eye(A.size(-1), dtype=A.dtype, device=A.device)
    total, term = B + one, B
    for i in range(2, 14):  # |B| ≤ 1/4: the next term is below 2^-65
        term = term @ B * (1.0 / i)
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return total


class _Solve(Function):
    """X with A X = B;  B̄ = A⁻ᴴ X̄,  Ā = −B̄ Xᴴ."""

    @staticmethod
    def forward(ctx: Any, A: Any, B: Any) -> Any:
        X = wrap(np.linalg.solve(A._data, B._data))
        ctx.save_for_backward(A, X)
        return X

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        A, X = ctx.saved_tensors
        B_bar = _Solve.apply(A.mH, g)
        return -(B_bar @ X.mH), B_bar


def _completed(Q: Any) -> Any:
    """Q itself if it is square and orthogonal, else an orthogonal matrix that starts with it."""
    n, k = Q.shape[-2:]
    if n == k:
        eps = 10 * n * np.finfo(Q.dtype).eps
        gram = np.conj(np.swapaxes(Q, -1, -2)) @ Q
        if np.allclose(gram, np.eye(n, dtype=Q.dtype), atol=eps):
            return Q.copy()
    else:
        noise = sampling.normal((*Q.shape[:-2], n, n - k), 0.0, 1.0, Q.dtype)
        Q = np.concatenate([Q, noise], -1)
    q, r = np.linalg.qr(Q)
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    return (q * (diagonal / np.abs(diagonal))[..., None, :]).astype(Q.dtype)


def _negative_identity(Q: Any) -> Any:
    return np.broadcast_to(-np.eye(*Q.shape[-2:], dtype=Q.dtype), Q.shape).copy()


def _reflectors(Q: Any) -> Any:
    """X with Q = _by_reflections(X), from LAPACK's QR; its diagonal holds signs."""
    h, tau = np.linalg.qr(Q, mode="raw")
    X = np.ascontiguousarray(np.swapaxes(h, -1, -2)).astype(Q.dtype)
    i = np.arange(X.shape[-1])
    signs = np.sign(X[..., i, i])
    # without a reflection (τ = 0) the formula above reflects all the same: it knows no τ
    X[..., i, i] = np.where(tau == 0, -signs, signs)
    return X


@export("nn.utils.parametrizations.orthogonal")
def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a matrix (or each of a batch) orthogonal: QᵀQ = I, or QQᵀ = I if it is wide; the module.

    orthogonal_map is "matrix_exp" (the default for square and complex matrices), "cayley" or
    "householder". With use_trivialization the map starts at the matrix that was there, made
    orthogonal, and any orthogonal matrix can be assigned. ValueError for other words, for tensors
    of fewer than 2 dimensions and for complex reflections.
    """
    weight = _tensor_of(module, name)
    if weight.dim() < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1)
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: '
            f"{orthogonal_map}"
        )
    maker = _Orthogonal(weight, orthogonal_map, use_trivialization)
    return parametrize.register_parametrization(module, name, maker, unsafe=True)


# ------------------------------------------------------------------------------ weight norm
class _WeightNorm(Module):
    """g v/‖v‖ of two learned tensors."""

    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return scaled_to(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> Any:
        """The lengths and the weight itself."""
        return norm_except_dim(weight, 2, self.dim), weight


@export("nn.utils.parametrizations.weight_norm")
def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Learn length and direction of a weight apart: w = g v/‖v‖ (Salimans and Kingma 2016).

    One length for each index of `dim`, or one for all if that is None. State dicts of the older
    `nn.utils.weight_norm` can be loaded. Returns the module.
    """
    _tensor_of(module, name)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state: Any, prefix: str, *rest: Any) -> None:
        old = f"{prefix}{name}_g", f"{prefix}{name}_v"
        if all(key in state for key in old):
            for i, key in enumerate(old):
                state[f"{prefix}parametrizations.{name}.original{i}"] = state.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


# ------------------------------------------------------------------------------ spectral norm
class _SpectralNorm(Module):
    """W/σ with the largest singular value σ ≈ uᵀWv, u and v by power iteration."""

    _u: Any
    _v: Any

    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        n = weight.dim()
        if not -n <= dim < n:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{n}, {n - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "Expected n_power_iterations to be positive, but got"
                f" n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps = dim % n, eps
        if n > 1:
            self.n_power_iterations = n_power_iterations
            with no_grad():
                matrix = self._matrix(weight)
                for key, size in zip(("_u", "_v"), matrix.shape, strict=True):
                    start = matrix.new_empty(size).normal_(0, 1)
                    self.register_buffer(key, normalize(start, dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _matrix(self, weight: Any) -> Any:
        others = [d for d in range(weight.dim()) if d != self.dim]
        return weight.permute(self.dim, *others).flatten(1)

    def _iterate(self, matrix: Any, times: int) -> None:
        with no_grad():
            for _ in range(times):
                self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.mH.mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        if weight.dim() == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # copies: a second forward changes u and v before the first one's backward
        u, v = self._u.clone(), self._v.clone()
        return weight / u.vdot(matrix.mv(v))

    def right_inverse(self, value: Any) -> Any:
        """The value itself."""
        return value


@export("nn.utils.parametrizations.spectral_norm")
def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its largest singular value, estimated in training (Miyato et al. 2018).

    The weight is a matrix of `dim` times the rest; dim is 0, for transposed convolutions 1. Returns
    the module.
    """
    weight = _tensor_of(module, name)
    dim = default_dim(module) if dim is None else dim
    maker = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, maker)
