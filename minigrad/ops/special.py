"""Error functions, gamma functions and their kin.

Values come from scipy.special, imported on the first call; without SciPy erf and erfc use Python's
math, everything else raises ImportError. Derivatives are formulas of the family itself (Abramowitz
& Stegun, Handbook of Mathematical Functions, chapters 6, 7, 9 and 23), so higher ones follow.
"""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..errors import missing_package
from ..export import export
from .arguments import finish, need_tensors, refuse
from .elementwise import exp, log, sign, where

SQRT_2, SQRT_PI, SQRT_2_PI = math.sqrt(2), math.sqrt(math.pi), math.sqrt(2 * math.pi)


@functools.cache
def scipy_special() -> Any:
    """The module scipy.special, or None without SciPy."""
    try:
        return importlib.import_module("scipy.special")
    except ImportError:
        return None


def scipy_function(name: str) -> Any:
    """A function of scipy.special; ImportError saying what is missing."""
    module = scipy_special()
    if module is None:
        raise missing_package(f"minigrad.special: {name}", "scipy")
    return getattr(module, name)


# ------------------------------------------------------------------------------ error function
def _from_math(function: Any, x: Any) -> Any:
    return np.asarray(np.frompyfunc(function, 1, 1)(x)).astype(x.dtype)


@export("special.erf", "erf")
@primitive(promote="float")
def erf(x: Any) -> Any:
    """The error function.

    y = 2/√π ∫₀ˣ e^−t² dt,  x̄ = ȳ·2/√π·e^−x²
    """
    module = scipy_special()
    return module.erf(x) if module is not None else _from_math(math.erf, x)


@export("special.erfc", "erfc")
@primitive(promote="float")
def erfc(x: Any) -> Any:
    """The complement of the error function, exact where it is small.

    y = 1 − erf x,  x̄ = −ȳ·2/√π·e^−x²
    """
    module = scipy_special()
    return module.erfc(x) if module is not None else _from_math(math.erfc, x)


@export("special.erfcx")
@primitive(promote="float")
def erfcx(x: Any) -> Any:
    """The scaled complement of the error function, which does not vanish for large x.

    y = e^x²·erfc x,  x̄ = ȳ·(2xy − 2/√π)
    """
    return scipy_function("erfcx")(x)


@export("special.erfinv", "erfinv")
@primitive(promote="float")
def erfinv(x: Any) -> Any:
    """The inverse of erf; ±∞ at ±1, nan outside.

    erf y = x,  x̄ = ȳ·√π/2·e^y²
    """
    return scipy_function("erfinv")(x)


erf.vjp(x=lambda g, x: g * (2 / SQRT_PI) * exp(-(x * x)))
erfc.vjp(x=lambda g, x: g * (-2 / SQRT_PI) * exp(-(x * x)))
erfcx.vjp(x=lambda g, x, y: g * (2 * x * y - 2 / SQRT_PI))
erfinv.vjp(x=lambda g, y: g * (SQRT_PI / 2) * exp(y * y))


# ------------------------------------------------------------------------------ normal distribution
@export("special.ndtr")
@primitive(promote="float")
def ndtr(x: Any) -> Any:
    """The distribution function of the standard normal.

    y = Φ(x) = ½ erfc(−x/√2),  x̄ = ȳ·φ(x),  φ(x) = e^(−x²/2)/√(2π)
    """
    return scipy_function("ndtr")(x)


@export("special.ndtri")
@primitive(promote="float")
def ndtri(x: Any) -> Any:
    """The inverse of ndtr: quantiles of the standard normal.

    Φ(y) = x,  x̄ = ȳ/φ(y)
    """
    return scipy_function("ndtri")(x)


@export("special.log_ndtr")
@primitive(promote="float")
def log_ndtr(x: Any) -> Any:
    """The logarithm of ndtr, exact far out in the left tail.

    y = ln Φ(x),  x̄ = ȳ·φ(x)/Φ(x) = ȳ·√(2/π)/erfcx(−x/√2)
    """
    return scipy_function("log_ndtr")(x)


ndtr.vjp(x=lambda g, x: g * exp(x * x * -0.5) * (1 / SQRT_2_PI))
ndtri.vjp(x=lambda g, y: g * exp(y * y * 0.5) * SQRT_2_PI)
log_ndtr.vjp(x=lambda g, x: g * math.sqrt(2 / math.pi) / erfcx(x * (-1 / SQRT_2)))


# ------------------------------------------------------------------------------ entropy
@export("special.entr")
@primitive(promote="float")
def entr(x: Any) -> Any:
    """The terms of an entropy: 0 at 0, −∞ below.

    y = −x ln x,  x̄ = −ȳ·(1 + ln x)
    """
    return scipy_function("entr")(x)


entr.vjp(x=lambda g, x: g * (-1 - log(x)))


@primitive(promote="float")
def xlog1py_(x: Any, other: Any) -> Any:
    """y = x·ln(1 + z), 0 where x = 0;  x̄ = ȳ·ln(1 + z), z̄ = ȳ·x/(1 + z)."""
    other = x.dtype.type(other) if isinstance(other, (int, float)) else other
    return np.where((x == 0) & (other == other), x.dtype.type(0), x * np.log1p(other))


xlog1py_.vjp(
    x=lambda g, x, other: where((x == 0) & (other <= -1), 0, xlog1py_(g, other)),
    other=lambda g, x, other: g * (x / (other + 1)),
)


@export("special.xlog1py")
def xlog1py(input: Any, other: Any, *, out: Any = None) -> Any:
    """x·ln(1 + z) that is 0 wherever x is 0 (unless z is nan).

    y = x·ln(1 + z);  x̄ = ȳ·ln(1 + z) (0 where x = 0 and z ≤ −1), z̄ = ȳ·x/(1 + z)
    """
    return finish(xlog1py_(input, other), out)


# ------------------------------------------------------------------------------ gamma
@export("special.gammaln", "lgamma")
@primitive(promote="float")
def lgamma(x: Any) -> Any:
    """The logarithm of |Γ(x)|, ∞ at 0, −1, −2, ...

    y = ln |Γ(x)|,  x̄ = ȳ·ψ(x)
    """
    y = scipy_function("gammaln")(x)
    return np.where(np.isneginf(y), -y, y)  # SciPy says -inf at -inf


@export("special.digamma", "special.psi", "digamma")
@primitive(promote="float")
def digamma(x: Any) -> Any:
    """The derivative of lgamma; ∓∞ at ±0, nan at −1, −2, ...

    y = ψ(x) = Γ'(x)/Γ(x),  x̄ = ȳ·ψ'(x)
    """
    return np.where(x == 0, np.copysign(x.dtype.type(np.inf), -x), scipy_function("psi")(x))


@primitive(promote="float")
def polygamma_(x: Any, *, n: int) -> Any:
    """y = ψ⁽ⁿ⁾(x) = (−1)ⁿ⁺¹ n! ζ(n + 1, x);  x̄ = ȳ·ψ⁽ⁿ⁺¹⁾(x)."""
    zeta = scipy_function("zeta")
    if n == 1:  # reflected where the series of ζ is slow: ψ'(x) + ψ'(1 − x) = (π/sin πx)²
        left = x < 0.5
        y = zeta(x.dtype.type(2), np.where(left, 1 - x, x))
        sine = np.sin(x.dtype.type(math.pi) * np.where(left, x, x.dtype.type(0.5)))
        return np.where(left, (x.dtype.type(math.pi) / sine) ** 2 - y, y)
    factor = x.dtype.type((-1) ** (n + 1) * math.gamma(n + 1.0))
    return factor * zeta(x.dtype.type(n + 1), x)


lgamma.vjp(x=lambda g, x: g * digamma(x))
digamma.vjp(x=lambda g, x: g * polygamma_(x, n=1))
polygamma_.vjp(x=lambda g, x, n: g * polygamma_(x, n=n + 1))


@export("special.polygamma", "polygamma")
def polygamma(n: int, input: Any, *, out: Any = None) -> Any:
    """The n-th derivative of digamma.

    y = ψ⁽ⁿ⁾(x),  x̄ = ȳ·ψ⁽ⁿ⁺¹⁾(x)

    TypeError unless n is an int, RuntimeError if it is negative.
    """
    if not isinstance(n, int) or isinstance(n, bool):
        raise TypeError(
            f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}"
        )
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    return finish(digamma(input) if n == 0 else polygamma_(input, n=n), out)


def polygamma_method(self: Any, n: int) -> Any:
    """Tensor.polygamma: the n-th derivative of digamma at the tensor's elements."""
    return polygamma(n, self)


@primitive(promote="float")
def mvlgamma_(x: Any, *, p: int) -> Any:
    """y = p(p − 1)/4·ln π + Σⱼ ln |Γ(x − j/2)|,  j = 0 ... p − 1;  x̄ = ȳ·Σⱼ ψ(x − j/2)."""
    gammaln = scipy_function("gammaln")
    constant = x.dtype.type(p * (p - 1) / 4 * math.log(math.pi))
    return sum([gammaln(x - x.dtype.type(j / 2)) for j in range(p)], constant)


mvlgamma_.vjp(x=lambda g, x, p: g * sum([digamma(x - j / 2) for j in range(1, p)], digamma(x)))


@export("special.multigammaln", "mvlgamma")
def mvlgamma(input: Any, p: int, *, out: Any = None) -> Any:
    """The logarithm of the multivariate gamma function of dimension p.

    y = p(p − 1)/4·ln π + Σⱼ ln |Γ(x − j/2)|,  j = 0 ... p − 1;  x̄ = ȳ·Σⱼ ψ(x − j/2)

    RuntimeError if p < 1.
    """
    if p < 1:
        raise RuntimeError("p has to be greater than or equal to 1")
    return finish(mvlgamma_(input, p=p), out)


@primitive(promote="type")
def igamma_(x: Any, other: Any) -> Any:
    """y = P(a, x);  x̄ of the second argument = ȳ·x^(a−1)·e⁻ˣ/Γ(a), none for the first."""
    refuse("igamma_cpu", x, "biuc")
    return scipy_function("gammainc")(x, other)


@primitive(promote="type")
def igammac_(x: Any, other: Any) -> Any:
    """y = Q(a, x);  x̄ of the second argument = −ȳ·x^(a−1)·e⁻ˣ/Γ(a), none for the first."""
    refuse("igammac_cpu", x, "biuc")
    return scipy_function("gammaincc")(x, other)


def _gamma_density(a: Any, x: Any) -> Any:
    return exp((a - 1) * log(x) - x - lgamma(a))


igamma_.vjp(other=lambda g, x, other: g * _gamma_density(x, other))
igammac_.vjp(other=lambda g, x, other: -g * _gamma_density(x, other))


@export("special.gammainc", "igamma")
def igamma(input: Any, other: Any, *, out: Any = None) -> Any:
    """The regularized lower incomplete gamma function of a = input, x = other.

    y = P(a, x) = ∫₀ˣ tᵃ⁻¹e⁻ᵗ dt/Γ(a);  x̄ = ȳ·xᵃ⁻¹e⁻ˣ/Γ(a);  no derivative for a
    """
    need_tensors("igamma", input, other)
    return finish(igamma_(input, other), out)


@export("special.gammaincc", "igammac")
def igammac(input: Any, other: Any, *, out: Any = None) -> Any:
    """The regularized upper incomplete gamma function of a = input, x = other.

    y = Q(a, x) = 1 − P(a, x);  x̄ = −ȳ·xᵃ⁻¹e⁻ˣ/Γ(a);  no derivative for a
    """
    need_tensors("igammac", input, other)
    return finish(igammac_(input, other), out)


@primitive(promote="float")
def zeta_(x: Any, other: Any) -> Any:
    """y = ζ(x, q);  q̄ = −ȳ·x·ζ(x + 1, q), none for x."""
    return scipy_function("zeta")(x, other)


zeta_.vjp(other=lambda g, x, other: -g * (x * zeta_(x + 1, other)))


@export("special.zeta")
def zeta(input: Any, other: Any, *, out: Any = None) -> Any:
    """Hurwitz' zeta function of x = input, q = other.

    y = Σₖ (k + q)⁻ˣ, k = 0, 1, ...;  q̄ = −ȳ·x·ζ(x + 1, q);  no derivative for x
    """
    return finish(zeta_(input, other), out)


# ------------------------------------------------------------------------------ Bessel, modified
@export("special.i0", "i0")
@primitive(promote="float")
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 0.

    y = I₀(x),  x̄ = ȳ·I₁(x)
    """
    return scipy_function("i0")(x)


@export("special.i0e")
@primitive(promote="float")
def i0e(x: Any) -> Any:
    """i0, scaled so that it does not overflow.

    y = e^−|x|·I₀(x),  x̄ = ȳ·(i1e(x) − sgn(x)·y)
    """
    return scipy_function("i0e")(x)


@export("special.i1")
@primitive(promote="float")
def i1(x: Any) -> Any:
    """The modified Bessel function of the first kind, order 1.

    y = I₁(x),  x̄ = ȳ·(I₀(x) − y/x), ȳ/2 at 0
    """
    return scipy_function("i1")(x)


@export("special.i1e")
@primitive(promote="float")
def i1e(x: Any) -> Any:
    """i1, scaled so that it does not overflow.

    y = e^−|x|·I₁(x),  x̄ = ȳ·(i0e(x) − y·(sgn(x) + 1/x)), ȳ/2 at 0
    """
    return scipy_function("i1e")(x)


def over(y: Any, x: Any) -> Any:
    """y/x, and its limit ½ at 0 (for y = I₁ and its like)."""
    zero = x == 0
    return where(zero, 0.5, y / where(zero, 1, x))


i0.vjp(x=lambda g, x: g * i1(x))
i0e.vjp(x=lambda g, x, y: g * (i1e(x) - sign(x) * y))
i1.vjp(x=lambda g, x, y: g * (i0(x) - over(y, x)))
i1e.vjp(x=lambda g, x, y: g * (i0e(x) - y * sign(x) - over(y, x)))
