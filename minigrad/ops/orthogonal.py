"""Orthogonal polynomials by their three-term recurrences; without derivatives, as in PyTorch.

    p₀ = 1,  p₁ = a·x + b,  pₖ₊₁ = (αₖ·x + βₖ)·pₖ − γₖ·pₖ₋₁

(Abramowitz & Stegun, table 22.7.)  The degree n may be a number or a tensor of integers in any
dtype; negative degrees give 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export

Recurrence = Callable[[int], tuple[float, float, float]]
"""k -> (αₖ, βₖ, γₖ)."""

_CHEBYSHEV: Recurrence = lambda k: (2.0, 0.0, 1.0)  # noqa: E731
_SHIFTED: Recurrence = lambda k: (4.0, -2.0, 1.0)  # noqa: E731


def _polynomial(x: Any, n: Any, first: tuple[float, float], recurrence: Recurrence) -> Any:
    """pₙ(x), elementwise; x and n are broadcast."""
    x, n = np.broadcast_arrays(x, np.trunc(n))
    y = np.where(n == 0, x.dtype.type(1), x.dtype.type(0))
    y = np.where(np.isnan(x) & (n > 0), x, y)
    before, now = np.ones_like(x), first[0] * x + first[1]
    highest = int(n.max()) if n.size else 0
    for k in range(1, highest + 1):
        y = np.where(n == k, now, y)
        alpha, beta, gamma = recurrence(k)
        before, now = now, (alpha * x + beta) * now - gamma * before
    return y.astype(x.dtype)


@export("special.chebyshev_polynomial_t")
@primitive(promote="float")
def chebyshev_polynomial_t(x: Any, n: Any) -> Any:
    """Chebyshev's polynomial of the first kind: Tₙ(cos θ) = cos nθ."""
    return _polynomial(x, n, (1.0, 0.0), _CHEBYSHEV)


@export("special.chebyshev_polynomial_u")
@primitive(promote="float")
def chebyshev_polynomial_u(x: Any, n: Any) -> Any:
    """Chebyshev's polynomial of the second kind: Uₙ(cos θ) = sin (n + 1)θ / sin θ."""
    return _polynomial(x, n, (2.0, 0.0), _CHEBYSHEV)


@export("special.chebyshev_polynomial_v")
@primitive(promote="float")
def chebyshev_polynomial_v(x: Any, n: Any) -> Any:
    """Chebyshev's polynomial of the third kind: Vₙ(cos θ) = cos (n + ½)θ / cos ½θ."""
    return _polynomial(x, n, (2.0, -1.0), _CHEBYSHEV)


@export("special.chebyshev_polynomial_w")
@primitive(promote="float")
def chebyshev_polynomial_w(x: Any, n: Any) -> Any:
    """Chebyshev's polynomial of the fourth kind: Wₙ(cos θ) = sin (n + ½)θ / sin ½θ."""
    return _polynomial(x, n, (2.0, 1.0), _CHEBYSHEV)


@export("special.shifted_chebyshev_polynomial_t")
@primitive(promote="float")
def shifted_chebyshev_polynomial_t(x: Any, n: Any) -> Any:
    """Tₙ(2x − 1): chebyshev_polynomial_t for x in [0, 1]."""
    return _polynomial(x, n, (2.0, -1.0), _SHIFTED)


@export("special.shifted_chebyshev_polynomial_u")
@primitive(promote="float")
def shifted_chebyshev_polynomial_u(x: Any, n: Any) -> Any:
    """Uₙ(2x − 1): chebyshev_polynomial_u for x in [0, 1]."""
    return _polynomial(x, n, (4.0, -2.0), _SHIFTED)


@export("special.shifted_chebyshev_polynomial_v")
@primitive(promote="float")
def shifted_chebyshev_polynomial_v(x: Any, n: Any) -> Any:
    """Vₙ(2x − 1): chebyshev_polynomial_v for x in [0, 1]."""
    return _polynomial(x, n, (4.0, -3.0), _SHIFTED)


@export("special.shifted_chebyshev_polynomial_w")
@primitive(promote="float")
def shifted_chebyshev_polynomial_w(x: Any, n: Any) -> Any:
    """Wₙ(2x − 1): chebyshev_polynomial_w for x in [0, 1]."""
    return _polynomial(x, n, (4.0, -1.0), _SHIFTED)


@export("special.hermite_polynomial_h")
@primitive(promote="float")
def hermite_polynomial_h(x: Any, n: Any) -> Any:
    """Hermite's polynomial of the physicists: Hₙ₊₁ = 2x·Hₙ − 2n·Hₙ₋₁."""
    return _polynomial(x, n, (2.0, 0.0), lambda k: (2.0, 0.0, 2.0 * k))


@export("special.hermite_polynomial_he")
@primitive(promote="float")
def hermite_polynomial_he(x: Any, n: Any) -> Any:
    """Hermite's polynomial of the probabilists: Heₙ₊₁ = x·Heₙ − n·Heₙ₋₁."""
    return _polynomial(x, n, (1.0, 0.0), lambda k: (1.0, 0.0, float(k)))


@export("special.laguerre_polynomial_l")
@primitive(promote="float")
def laguerre_polynomial_l(x: Any, n: Any) -> Any:
    """Laguerre's polynomial: (n + 1)·Lₙ₊₁ = (2n + 1 − x)·Lₙ − n·Lₙ₋₁."""
    return _polynomial(
        x, n, (-1.0, 1.0), lambda k: (-1 / (k + 1), (2 * k + 1) / (k + 1), k / (k + 1))
    )


@export("special.legendre_polynomial_p")
@primitive(promote="float")
def legendre_polynomial_p(x: Any, n: Any) -> Any:
    """Legendre's polynomial: (n + 1)·Pₙ₊₁ = (2n + 1)x·Pₙ − n·Pₙ₋₁."""
    return _polynomial(x, n, (1.0, 0.0), lambda k: ((2 * k + 1) / (k + 1), 0.0, k / (k + 1)))
