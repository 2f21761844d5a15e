"""The cosine between the rows of two arrays, and its gradients, each in one pass.

    y = x₁·x₂ / (n₁ n₂),  r = ‖x‖,  n = max(r, ε);   x̄₁ = ȳ/n₁ (x₂/n₂ − y x₁/r₁)

Sums are in float64, so that no square overflows.
"""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from . import compiler
from .compiler import REASSOCIATE, kernel, prange

D = np.float64
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


@kernel(flags=REASSOCIATE)
def _cosine(x1, x2, eps, y, r1, r2):
    rows, n = x1.shape
    for i in prange(rows):
        a, b = x1[i], x2[i]
        dot, p, q = 0.0, 0.0, 0.0
        for j in range(n):
            u, v = D(a[j]), D(b[j])
            dot += u * v
            p += u * u
            q += v * v
        p, q = sqrt(p), sqrt(q)
        r1[i], r2[i] = p, q
        y[i] = dot / ((p if p > eps else eps) * (q if q > eps else eps))


@kernel
def _cosine_back(g, x1, x2, y, r1, r2, eps, x1_bar, x2_bar):
    rows, n = x1.shape
    real = x1.dtype.type
    for i in prange(rows):
        a, b = x1[i], x2[i]
        p, q = D(r1[i]), D(r2[i])
        n1, n2 = p if p > eps else eps, q if q > eps else eps
        both = real(g[i] / (n1 * n2))
        if x1_bar.size:
            own, to = real(g[i] * D(y[i]) / (n1 * p) if p != 0.0 else 0.0), x1_bar[i]
            for j in range(n):
                to[j] = both * b[j] - own * a[j]
        if x2_bar.size:
            own, to = real(g[i] * D(y[i]) / (n2 * q) if q != 0.0 else 0.0), x2_bar[i]
            for j in range(n):
                to[j] = both * a[j] - own * b[j]


def _rows(*arrays: Any) -> list[Any]:
    return [np.ascontiguousarray(x).reshape(-1, x.shape[-1]) for x in arrays]


def cosine(x1: Any, x2: Any, eps: float) -> tuple[Any, Any, Any] | None:
    """(y, r₁, r₂) along the last dimension; None where NumPy has to do it."""
    if type(x1) is not np.ndarray or x1.dtype not in FLOATS or not x1.size:
        return None
    if x2.dtype != x1.dtype or not compiler.enabled():
        return None
    found = [np.empty(x1.shape[:-1], x1.dtype) for _ in range(3)]
    _cosine.run(x1.size, *_rows(x1, x2), float(eps), *[v.reshape(-1) for v in found])
    return found[0], found[1], found[2]


def cosine_back(
    g: Any, x1: Any, x2: Any, y: Any, r1: Any, r2: Any, eps: float, needs: Any
) -> list[Any] | None:
    """The gradients of x₁ and x₂, each where it is needed; None where NumPy has to do it."""
    if type(x1) is not np.ndarray or x1.dtype not in FLOATS or not x1.size:
        return None
    if g.dtype != x1.dtype or x2.dtype != x1.dtype or not compiler.enabled():
        return None
    bars = [np.empty(x1.shape if need else (0, x1.shape[-1]), x1.dtype) for need in needs]
    flat = [np.ascontiguousarray(v).reshape(-1) for v in (y, r1, r2)]
    ends = [v.reshape(-1, x1.shape[-1]) for v in bars]
    _cosine_back.run(
        x1.size, np.ascontiguousarray(g).reshape(-1), *_rows(x1, x2), *flat, float(eps), *ends
    )
    return [bar if need else None for bar, need in zip(bars, needs, strict=True)]
