"""Bessel functions and Airy's: values from scipy.special, derivatives by recurrence.

Abramowitz & Stegun, Handbook of Mathematical Functions, chapters 9 and 10. PyTorch has these
without derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from .elementwise import cos, sin, where
from .special import over, scipy_function


# ------------------------------------------------------------------------------ first, second kind
@export("special.bessel_j0")
@primitive(promote="float")
def bessel_j0(x: Any) -> Any:
    """The Bessel function of the first kind, order 0.  y = J₀(x),  x̄ = −ȳ·J₁(x)."""
    return scipy_function("j0")(x)


@export("special.bessel_j1")
@primitive(promote="float")
def bessel_j1(x: Any) -> Any:
    """The Bessel function of the first kind, order 1.  y = J₁(x),  x̄ = ȳ·(J₀(x) − y/x)."""
    return scipy_function("j1")(x)


@export("special.bessel_y0")
@primitive(promote="float")
def bessel_y0(x: Any) -> Any:
    """The Bessel function of the second kind, order 0.  y = Y₀(x),  x̄ = −ȳ·Y₁(x)."""
    return scipy_function("y0")(x)


@export("special.bessel_y1")
@primitive(promote="float")
def bessel_y1(x: Any) -> Any:
    """The Bessel function of the second kind, order 1.  y = Y₁(x),  x̄ = ȳ·(Y₀(x) − y/x)."""
    return scipy_function("y1")(x)


bessel_j0.vjp(x=lambda g, x: -g * bessel_j1(x))
bessel_j1.vjp(x=lambda g, x, y: g * (bessel_j0(x) - over(y, x)))
bessel_y0.vjp(x=lambda g, x: -g * bessel_y1(x))
bessel_y1.vjp(x=lambda g, x, y: g * (bessel_y0(x) - y / x))


# ------------------------------------------------------------------------------ modified
@export("special.modified_bessel_i0")
@primitive(promote="float")
def modified_bessel_i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0.  y = I₀(x),  x̄ = ȳ·I₁(x)."""
    return scipy_function("i0")(x)


@export("special.modified_bessel_i1")
@primitive(promote="float")
def modified_bessel_i1(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 1.  y = I₁(x),  x̄ = ȳ·(I₀(x) − y/x)."""
    return scipy_function("i1")(x)


@export("special.modified_bessel_k0")
@primitive(promote="float")
def modified_bessel_k0(x: Any) -> Any:
    """The modified Bessel function of the second kind, order 0.  y = K₀(x),  x̄ = −ȳ·K₁(x)."""
    return scipy_function("k0")(x)


@export("special.modified_bessel_k1")
@primitive(promote="float")
def modified_bessel_k1(x: Any) -> Any:
    """The modified Bessel function of the second kind, order 1.

    y = K₁(x),  x̄ = −ȳ·(K₀(x) + y/x)
    """
    return scipy_function("k1")(x)


@export("special.scaled_modified_bessel_k0")
@primitive(promote="float")
def scaled_modified_bessel_k0(x: Any) -> Any:
    """y = eˣ·K₀(x), which does not vanish for large x;  x̄ = ȳ·(y − eˣ·K₁(x))."""
    return scipy_function("k0e")(x)


@export("special.scaled_modified_bessel_k1")
@primitive(promote="float")
def scaled_modified_bessel_k1(x: Any) -> Any:
    """y = eˣ·K₁(x), which does not vanish for large x;  x̄ = ȳ·(y − eˣ·K₀(x) − y/x)."""
    return scipy_function("k1e")(x)


modified_bessel_i0.vjp(x=lambda g, x: g * modified_bessel_i1(x))
modified_bessel_i1.vjp(x=lambda g, x, y: g * (modified_bessel_i0(x) - over(y, x)))
modified_bessel_k0.vjp(x=lambda g, x: -g * modified_bessel_k1(x))
modified_bessel_k1.vjp(x=lambda g, x, y: -g * (modified_bessel_k0(x) + y / x))
scaled_modified_bessel_k0.vjp(x=lambda g, x, y: g * (y - scaled_modified_bessel_k1(x)))
scaled_modified_bessel_k1.vjp(x=lambda g, x, y: g * (y - scaled_modified_bessel_k0(x) - y / x))


# ------------------------------------------------------------------------------ spherical, Airy
@export("special.spherical_bessel_j0")
@primitive(promote="float")
def spherical_bessel_j0(x: Any) -> Any:
    """The spherical Bessel function, order 0.  y = sin x/x, 1 at 0;  x̄ = ȳ·(x cos x − sin x)/x²."""
    zero = x == 0
    return np.where(zero, x.dtype.type(1), np.sin(x) / np.where(zero, x.dtype.type(1), x))


def _spherical_vjp(g: Any, x: Any) -> Any:
    zero = x * x == 0
    return where(zero, 0, g * ((x * cos(x) - sin(x)) / where(zero, 1, x * x)))


spherical_bessel_j0.vjp(x=_spherical_vjp)


@export("special.airy_ai")
@primitive(promote="float")
def airy_ai(x: Any) -> Any:
    """Airy's function Ai, the solution of y'' = x·y that vanishes at ∞.  x̄ = ȳ·Ai'(x)."""
    return scipy_function("airy")(x)[0]


@primitive(promote="float")
def airy_ai_slope(x: Any) -> Any:
    """y = Ai'(x),  x̄ = ȳ·x·Ai(x)."""
    return scipy_function("airy")(x)[1]


airy_ai.vjp(x=lambda g, x: g * airy_ai_slope(x))
airy_ai_slope.vjp(x=lambda g, x: g * (x * airy_ai(x)))
