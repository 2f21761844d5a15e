"""Sparse relatives of softmax: probabilities that are exactly 0 where the score is low.

entmax with exponent α maximises pᵀx + H_α(p) over the simplex, with Tsallis' entropy H_α (Peters,
Niculae and Martins 2019). α → 1 is softmax, α = 2 the Euclidean projection onto the simplex,
sparsemax (Martins and Astudillo 2016). The solution is

    p_i = max((α − 1)x_i − τ, 0)^{1/(α − 1)},  τ such that Σ p_i = 1

and, with s_i = p_i^{2−α} on the support and 0 elsewhere, x̄ = s·(ȳ − Σ s ȳ / Σ s).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..core.tensor import normalize_dim
from ..export import export
from .compare import gt
from .elementwise import pow, where
from .kinks import need_floating
from .reduction import reduce_sum
from .shape import reshape
from .softmax import softmax_along


def _project(x: Any) -> Any:
    """τ of sparsemax for the last axis: from the largest k with 1 + k x_(k) > Σ_{j≤k} x_(j)."""
    z = -np.sort(-x, axis=-1)
    k = array_module(x).arange(1, x.shape[-1] + 1, dtype=x.dtype)
    total = np.cumsum(z, axis=-1) - 1
    count = np.sum(k * z > total, axis=-1, keepdims=True)
    return np.take_along_axis(total, count - 1, axis=-1) / count.astype(x.dtype)


def _project_root(x: Any) -> Any:
    """τ of entmax with α = 1.5: where Σ_{j≤k} (x_(j) − τ)² = 1 (Peters et al. 2019)."""
    z = -np.sort(-x, axis=-1)
    k = array_module(x).arange(1, x.shape[-1] + 1, dtype=x.dtype)
    mean = np.cumsum(z, axis=-1) / k
    scatter = k * (np.cumsum(z * z, axis=-1) / k - mean * mean)
    tau = mean - np.sqrt(np.maximum((1 - scatter) / k, 0))
    count = np.sum(tau <= z, axis=-1, keepdims=True)
    return np.take_along_axis(tau, count - 1, axis=-1)


def _bisect(x: Any, power: float, steps: int = 60) -> Any:
    """τ by bisection between the values where the largest p_i is 1 and where all are below 1/n."""
    top = np.max(x, axis=-1, keepdims=True)
    low, width = top - 1, 1 - x.shape[-1] ** (-1 / power)
    for _ in range(steps):
        width *= 0.5
        middle = low + x.dtype.type(width)
        mass = np.sum(np.maximum(x - middle, 0) ** power, axis=-1, keepdims=True)
        low = np.where(mass >= 1, middle, low)
    return low


@primitive
def entmax_along(x: Any, *, alpha: float, axis: int) -> Any:
    """p_i = max((α − 1)x_i − τ, 0)^{1/(α − 1)} along `axis`, for α > 1."""
    if not x.size:
        return x.copy()
    power = 1 / (alpha - 1)
    z = np.moveaxis(x, axis, -1)
    z = (z - np.max(z, axis=-1, keepdims=True)) * x.dtype.type(alpha - 1)
    if alpha == 2:
        p = np.maximum(z - _project(z), 0)
    elif alpha == 1.5:
        p = np.maximum(z - _project_root(z), 0) ** 2
    else:
        p = np.maximum(z - _bisect(z, power), 0) ** x.dtype.type(power)
        p /= np.sum(p, axis=-1, keepdims=True)  # what bisection leaves of τ
    return np.ascontiguousarray(np.moveaxis(p, -1, axis))


def _entmax_vjp(g: Any, y: Any, alpha: float, axis: int) -> Any:
    on = gt(y, 0)
    s = where(on, pow(where(on, y, 1), 2 - alpha), 0)
    weighted = g * s
    total = reduce_sum(weighted, axes=(axis,), keepdim=True)
    return weighted - s * (total / reduce_sum(s, axes=(axis,), keepdim=True))


entmax_along.vjp(x=_entmax_vjp)


@export("nn.functional.entmax")
def entmax(input: Any, alpha: float = 1.5, dim: int = -1) -> Any:
    """Sparse softmax: p = argmax over the simplex of pᵀx + H_α(p) (Peters et al. 2019).

        p_i = max((α − 1)x_i − τ, 0)^{1/(α − 1)},  x̄ = s·(ȳ − Σ s ȳ/Σ s),  s = p^{2−α} where p > 0

    α = 1 is softmax, 1.5 (exact, by sorting) the paper's, 2 sparsemax; others by bisection.
    ValueError for α < 1.
    """
    if not alpha >= 1:
        raise ValueError(f"entmax: alpha must be at least 1, but got {alpha}")
    need_floating("entmax", input)
    ndim = input.dim()
    axis = normalize_dim(dim, ndim)
    x = input if ndim else reshape(input, (1,))
    y = softmax_along(x, axis=axis) if alpha == 1 else entmax_along(x, alpha=alpha, axis=axis)
    return y if ndim else reshape(y, ())


@export("nn.functional.sparsemax")
def sparsemax(input: Any, dim: int = -1) -> Any:
    """The closest point of the simplex: max(x − τ, 0) (Martins and Astudillo 2016).

    x̄ = ȳ minus its mean over the support, there; 0 elsewhere.
    """
    return entmax(input, 2.0, dim)
