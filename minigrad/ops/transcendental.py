"""Square roots, exponentials, logarithms, circular and hyperbolic functions.

Integers become the default floating dtype. Where a derivative is easily had from the result y,
the result is kept and not the argument.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..export import export
from ..kernels.cpu import circular
from .complexes import conj

LN_2, LN_10 = math.log(2.0), math.log(10.0)


# ------------------------------------------------------------------------------ roots
@export("sqrt")
@primitive(promote="float")
def sqrt(x: Any) -> Any:
    """The square root; nan below 0.

    y = √x,  x̄ = ȳ/(2y), inf at 0
    """
    return np.sqrt(x)


sqrt.vjp(x=lambda g, y: g / (2 * conj(y)))


@export("rsqrt")
@primitive(promote="float")
def rsqrt(x: Any) -> Any:
    """One over the square root.

    y = 1/√x,  x̄ = −½·ȳ·y³
    """
    return 1 / np.sqrt(x)


rsqrt.vjp(x=lambda g, y: g * (-0.5 * conj(y * y * y)))


# ------------------------------------------------------------------------------ exponentials
@export("exp")
@primitive(promote="float")
def exp(x: Any) -> Any:
    """The exponential function.

    y = eˣ,  x̄ = ȳ·y
    """
    return np.exp(x)


exp.vjp(x=lambda g, y: g * conj(y))


@export("special.exp2", "exp2")
@primitive(promote="float")
def exp2(x: Any) -> Any:
    """Two to the power of x.

    y = 2ˣ,  x̄ = ȳ·y·ln 2
    """
    return np.exp2(x)


exp2.vjp(x=lambda g, y: g * conj(y) * LN_2)


@export("special.expm1", "expm1")
@primitive(promote="float")
def expm1(x: Any) -> Any:
    """The exponential less one, exact for small x.

    y = eˣ − 1,  x̄ = ȳ·(y + 1)
    """
    return np.expm1(x)


expm1.vjp(x=lambda g, y: g * (conj(y) + 1))


@export("sigmoid", "special.expit", "nn.functional.sigmoid")
@primitive(promote="float")
def sigmoid(x: Any) -> Any:
    """The logistic function; e⁻ˣ may overflow to ∞, which gives the right limit 0.

    y = σ(x) = 1/(1 + e⁻ˣ),  x̄ = ȳ·y·(1 − y)
    """
    return 1 / (1 + np.exp(-x))


sigmoid.vjp(x=lambda g, y: g * (conj(y) * (1 - conj(y))))


# ------------------------------------------------------------------------------ logarithms
@export("log")
@primitive(promote="float")
def log(x: Any) -> Any:
    """The natural logarithm; −inf at 0, nan below.

    y = ln x,  x̄ = ȳ/x
    """
    return np.log(x)


log.vjp(x=lambda g, x: g / conj(x))


@export("log2")
@primitive(promote="float")
def log2(x: Any) -> Any:
    """The logarithm to base 2.

    y = ln x / ln 2,  x̄ = ȳ/(x ln 2)
    """
    return np.log2(x)


log2.vjp(x=lambda g, x: g / (conj(x) * LN_2))


@export("log10")
@primitive(promote="float")
def log10(x: Any) -> Any:
    """The logarithm to base 10.

    y = ln x / ln 10,  x̄ = ȳ/(x ln 10)
    """
    return np.log10(x)


log10.vjp(x=lambda g, x: g / (conj(x) * LN_10))


@export("special.log1p", "log1p")
@primitive(promote="float")
def log1p(x: Any) -> Any:
    """The logarithm of one plus x, exact for small x.

    y = ln(1 + x),  x̄ = ȳ/(1 + x)
    """
    return np.log1p(x)


log1p.vjp(x=lambda g, x: g / (conj(x) + 1))


# ------------------------------------------------------------------------------ circular
@export("sin")
@primitive(promote="float")
def sin(x: Any) -> Any:
    """The sine of an angle in radians.

    y = sin x,  x̄ = ȳ·cos x
    """
    y = circular.wave(x, 0)
    return np.sin(x) if y is None else y


sin.vjp(x=lambda g, x: g * cos(conj(x)))


def _sin_fast(g: Any, x: Any) -> Any:
    x_bar = circular.wave(x, 1, g)
    return g * cos(conj(x)) if x_bar is None else x_bar


sin.fast(x=_sin_fast)


@export("cos")
@primitive(promote="float")
def cos(x: Any) -> Any:
    """The cosine of an angle in radians.

    y = cos x,  x̄ = −ȳ·sin x
    """
    y = circular.wave(x, 1)
    return np.cos(x) if y is None else y


cos.vjp(x=lambda g, x: g * -sin(conj(x)))


def _cos_fast(g: Any, x: Any) -> Any:
    x_bar = circular.wave(x, 2, g)
    return g * -sin(conj(x)) if x_bar is None else x_bar


cos.fast(x=_cos_fast)


@export("tan")
@primitive(promote="float")
def tan(x: Any) -> Any:
    """The tangent of an angle in radians.

    y = tan x,  x̄ = ȳ·(1 + y²)
    """
    return np.tan(x)


tan.vjp(x=lambda g, y: g * (1 + conj(y) * conj(y)))


@export("asin", "arcsin")
@primitive(promote="float")
def asin(x: Any) -> Any:
    """The angle in [−π/2, π/2] whose sine is x; nan outside [−1, 1].

    y = arcsin x,  x̄ = ȳ/√(1 − x²)
    """
    return np.arcsin(x)


asin.vjp(x=lambda g, x: g * rsqrt(1 - conj(x) * conj(x)))


@export("acos", "arccos")
@primitive(promote="float")
def acos(x: Any) -> Any:
    """The angle in [0, π] whose cosine is x; nan outside [−1, 1].

    y = arccos x,  x̄ = −ȳ/√(1 − x²)
    """
    return np.arccos(x)


acos.vjp(x=lambda g, x: g * -rsqrt(1 - conj(x) * conj(x)))


@export("atan", "arctan")
@primitive(promote="float")
def atan(x: Any) -> Any:
    """The angle in (−π/2, π/2) whose tangent is x.

    y = arctan x,  x̄ = ȳ/(1 + x²)
    """
    return np.arctan(x)


atan.vjp(x=lambda g, x: g / (conj(x) * conj(x) + 1))


# ------------------------------------------------------------------------------ hyperbolic
@export("sinh")
@primitive(promote="float")
def sinh(x: Any) -> Any:
    """The hyperbolic sine.

    y = (eˣ − e⁻ˣ)/2,  x̄ = ȳ·cosh x
    """
    return np.sinh(x)


sinh.vjp(x=lambda g, x: g * cosh(conj(x)))


@export("cosh")
@primitive(promote="float")
def cosh(x: Any) -> Any:
    """The hyperbolic cosine.

    y = (eˣ + e⁻ˣ)/2,  x̄ = ȳ·sinh x
    """
    return np.cosh(x)


cosh.vjp(x=lambda g, x: g * sinh(conj(x)))


@export("tanh", "nn.functional.tanh")
@primitive(promote="float")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent.

    y = sinh x / cosh x,  x̄ = ȳ·(1 − y²)
    """
    return np.tanh(x)


tanh.vjp(x=lambda g, y: g * (1 - conj(y) * conj(y)))


@export("asinh", "arcsinh")
@primitive(promote="float")
def asinh(x: Any) -> Any:
    """The inverse of sinh.

    y = ln(x + √(x² + 1)),  x̄ = ȳ/√(x² + 1)
    """
    return np.arcsinh(x)


asinh.vjp(x=lambda g, x: g * rsqrt(conj(x) * conj(x) + 1))


@export("acosh", "arccosh")
@primitive(promote="float")
def acosh(x: Any) -> Any:
    """The nonnegative inverse of cosh; nan below 1.

    y = ln(x + √(x² − 1)),  x̄ = ȳ/√(x² − 1)
    """
    return np.arccosh(x)


acosh.vjp(x=lambda g, x: g * rsqrt(conj(x) * conj(x) - 1))


@export("atanh", "arctanh")
@primitive(promote="float")
def atanh(x: Any) -> Any:
    """The inverse of tanh; ±inf at ±1, nan outside.

    y = ½ ln((1 + x)/(1 − x)),  x̄ = ȳ/(1 − x²)
    """
    return np.arctanh(x)


atanh.vjp(x=lambda g, x: g / (1 - conj(x) * conj(x)))
