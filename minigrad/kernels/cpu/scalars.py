"""exp, log, tanh, erf ... of one float32, in a form that compilers turn into SIMD: no branches, no
tables, no calls into libm.

Each is a polynomial on a short interval plus an exact reduction to it; the coefficients were fitted
for this file (weighted least squares with reweighting, which comes close to the minimax
polynomial). Errors, against double precision over all magnitudes: exp, log 1 ulp; tanh, erf, expm1,
log1p 2-3 ulp. Special values are those of C: exp(-inf) = 0, log(0) = -inf, log of a negative number
is nan, nan stays nan. Results below 1.2e-38 keep their denormal digits.

These are what `np.exp` etc. become when a formula in float32 is compiled by loops.py. In float64,
formulas use the functions of `math`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .compiler import Lazy, kernel

F = np.float32
_INT = np.int32

LOG2E, LN2_HI, LN2_LO = F(1.4426950408889634), F(0.693359375), F(-2.12194440e-4)
SHIFT = F(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer
ONE, HALF, TWO, ZERO = F(1), F(0.5), F(2), F(0)
LOWEST, HIGHEST = F(-104.0), F(88.8)  # outside, exp is 0 or infinite in float32
E2, E3, E4 = F(0.5000000095121927), F(0.1666651889666133), F(0.04166620601396131)
E5, E6 = F(0.00836888243414009), F(0.0013950476813843148)


def _bits() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def bits(context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(types.int32))

        return types.int32(types.float32), generate

    return bits


def _from_bits() -> Any:
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def from_bits(context: Any, i: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.bitcast(args[0], context.get_value_type(types.float32))

        return types.float32(types.int32), generate

    return from_bits


def _where() -> Any:
    from numba import types
    from numba.core.errors import TypingError
    from numba.extending import intrinsic

    @intrinsic
    def where(context: Any, condition: Any, x: Any, y: Any) -> Any:
        if x != y:
            raise TypingError(f"where: {x} and {y} are different types")

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.select(*args)

        return x(types.boolean, x, y), generate

    return where


where: Any = Lazy(_where)
"""x where the condition holds, else y: both are computed, so that a loop of it has no branch."""
bits: Any = Lazy(_bits)
"""The 32 bits of a float32 as an int32."""
from_bits: Any = Lazy(_from_bits)
"""The float32 with these 32 bits."""


@kernel(inline=True)
def power_of_two(n):
    """2**n for a whole number n between -126 and 127."""
    return from_bits(_INT((_INT(n) + _INT(127)) << _INT(23)))


@kernel(inline=True)
def _exp_near(x, n):
    """e**x / 2**n for |x - n ln 2| <= ln(2)/2."""
    r = (x - n * LN2_HI) - n * LN2_LO
    p = E2 + r * (E3 + r * (E4 + r * (E5 + r * E6)))
    return ONE + (r + r * r * p)


@kernel(inline=True)
def exp(x):
    """e**x = 2**n e**r with n whole and |r| <= ln(2)/2; 2**n in two factors reaches denormals."""
    c = where(x > LOWEST, x, LOWEST)
    c = where(c < HIGHEST, c, HIGHEST)
    n = (c * LOG2E + SHIFT) - SHIFT
    y = _exp_near(c, n)
    half = _INT(n) >> _INT(1)
    y = y * power_of_two(half) * power_of_two(_INT(n) - half)
    y = where(x <= HIGHEST, y, INFINITY)
    return where(x == x, y, x)


INFINITY = F(np.inf)
NAN = F(np.nan)
X3, X4, X5 = F(0.16666667621018105), F(0.04166586524944553), F(0.008333111253215128)
X6, X7 = F(0.0013981490521900134), F(0.00019983882035011732)


@kernel(inline=True)
def expm1(x):
    """e**x - 1, without cancellation near 0."""
    small = x * (ONE + x * (HALF + x * (X3 + x * (X4 + x * (X5 + x * (X6 + x * X7))))))
    large = exp(x) - ONE
    return where(abs(x) < HALF, small, large)


SQRT_HALF, TWO25, TINY = F(0.7071067811865476), F(33554432.0), F(1.1754944e-38)
MANTISSA, BIAS, EXPONENT_OF_HALF = _INT(0x007FFFFF), _INT(126), _INT(0x3F000000)
L3, L4, L5, L6 = F(0.3333331673), F(-0.25000809), F(0.200022858), F(-0.16624595)
L7, L8, L9, L10 = F(0.1418121811), F(-0.13128417), F(0.12881379594), F(-0.0786014144)


@kernel(inline=True)
def log(x):
    """ln x = n ln 2 + ln(1 + f) with sqrt(1/2) <= 1 + f < sqrt(2)."""
    denormal = x < TINY
    b = bits(where(denormal, x * TWO25, x))
    n = F((b >> _INT(23)) - BIAS) - where(denormal, F(25), ZERO)
    m = from_bits((b & MANTISSA) | EXPONENT_OF_HALF)  # in [1/2, 1)
    low = m < SQRT_HALF
    f = where(low, m + m, m) - ONE
    n = n - where(low, ONE, ZERO)
    q = L3 + f * (L4 + f * (L5 + f * (L6 + f * (L7 + f * (L8 + f * (L9 + f * L10))))))
    z = f * f
    y = f * z * q + n * LN2_LO
    y = (y - HALF * z) + f + n * LN2_HI
    y = where(x > ZERO, y, where(x == ZERO, -INFINITY, NAN))
    return where(x < INFINITY, y, x)  # infinity and nan stay


@kernel(inline=True)
def log1p(x):
    """ln(1 + x); the rounding error of 1 + x is put right by its first derivative."""
    u = ONE + x
    lost = x - (u - ONE)
    y = log(u) + lost / u
    y = where(abs(x) > F(1e-8), y, x)
    return where((u > ZERO) & (u < INFINITY), y, log(u))


T3, T5, T7 = F(-0.33333285075180674), F(0.1333151517260325), F(-0.05374514458680202)
T9, T11, TANH_SMALL, TANH_ONE = F(0.020655218396837413), F(-0.00572162987), F(0.625), F(10.0)


@kernel(inline=True)
def tanh(x):
    """x + x**3 p(x**2) near 0, elsewhere 1 - 2 / (e**(2|x|) + 1) with the sign of x."""
    a = abs(x)
    z = x * x
    small = x * (ONE + z * (T3 + z * (T5 + z * (T7 + z * (T9 + z * T11)))))
    capped = where(a < TANH_ONE, a, TANH_ONE)
    large = ONE - TWO / (exp(capped + capped) + ONE)
    y = where(a < TANH_SMALL, small, where(x > ZERO, large, -large))
    return where(x == x, y, x)


@kernel(inline=True)
def sigmoid(x):
    """1 / (1 + e**-x), by way of e**-|x| so that nothing overflows."""
    e = exp(-abs(x))
    s = ONE / (ONE + e)
    y = where(x > ZERO, s, e * s)
    return where(x == x, y, x)


R0, R1, R2 = F(1.1283791659137519), F(-0.3761262713596587), F(0.11283600176258923)
R3, R4, R5 = F(-0.026854444592002064), F(0.005189535339569157), F(-0.0008020841282185334)
R6 = F(7.889119541088608e-05)
Q0, Q1, Q2 = F(1.1283791715075961), F(0.6366193890223514), F(0.10277775085070849)
Q3, Q4, Q5 = F(-0.019152726968243584), F(-0.00016108086268139352), F(0.0016677658553040198)
Q6, Q7, Q8 = F(-0.0006332676519173668), F(0.00011776912981986416), F(-9.27133381544998e-06)
FOUR = F(4)


@kernel(inline=True)
def erf(x):
    """x p(x**2) up to 1, then 1 - e**(-|x| q(|x|)) with the sign of x; beyond 4 it is +-1."""
    z = x * x
    small = x * (R0 + z * (R1 + z * (R2 + z * (R3 + z * (R4 + z * (R5 + z * R6))))))
    a = abs(x)
    c = where(a < FOUR, a, FOUR)
    q = Q5 + c * (Q6 + c * (Q7 + c * Q8))
    q = Q0 + c * (Q1 + c * (Q2 + c * (Q3 + c * (Q4 + c * q))))
    large = ONE - exp(-c * q)
    y = where(a < ONE, small, where(x > ZERO, large, -large))
    return where(x == x, y, x)


FARTHEST = F(13.0)  # beyond, the normal distribution's tail is less than the smallest float32
M0, M1, M2, M3 = F(0.5), F(0.4349769949913025), F(0.18078458309173584), F(0.0398089736700058)
M4, N1, N2 = F(0.003994379658252001), F(1.6678389310836792), F(1.1923080682754517)
N3, N4, N5 = F(0.4630022943019867), F(0.0997939482331276), F(0.010012274608016014)
DENSITY = F(0.3989422804014327)


@kernel(inline=True)
def _bell(a):
    """e**(-a**2 / 2) for 0 <= a <= 13."""
    x = -HALF * a * a
    n = (x * LOG2E + SHIFT) - SHIFT
    return _exp_near(x, n) * power_of_two(n)


@kernel(inline=True)
def _mills(a):
    """P(X > a) / e**(-a**2 / 2) for a standard normal X and 0 <= a <= 13, a rational function."""
    p = M0 + a * (M1 + a * (M2 + a * (M3 + a * M4)))
    return p / (ONE + a * (N1 + a * (N2 + a * (N3 + a * (N4 + a * N5)))))


@kernel(inline=True)
def normal_below(x):
    """P(X < x) for a standard normal X; the tails keep their digits."""
    a = abs(x)
    c = where(a < FARTHEST, a, FARTHEST)
    tail = where(a < FARTHEST, _bell(c) * _mills(c), ZERO)
    return where(x > ZERO, ONE - tail, where(x == x, tail, x))


@kernel(inline=True)
def gelu_slope(x):
    """P(X < x) + x times its density; nan at infinity, as in PyTorch."""
    a = abs(x)
    c = where(a < FARTHEST, a, FARTHEST)
    tail = where(a < FARTHEST, _bell(c) * (_mills(c) - c * DENSITY), ZERO)
    return where(x > ZERO, ONE - tail, tail) + ZERO * x


@kernel(inline=True)
def maximum(x, y):
    """The larger one; nan if either is."""
    return where((x > y) | (x != x), x, y)


@kernel(inline=True)
def minimum(x, y):
    """The smaller one; nan if either is."""
    return where((x < y) | (x != x), x, y)


@kernel(inline=True)
def square(x):
    """x * x."""
    return x * x


@kernel(inline=True)
def sign(x):
    """-1, 0 or 1; nan stays."""
    return where(x > ZERO, ONE, where(x < ZERO, -ONE, x * ZERO))


@kernel(inline=True)
def negative(x):
    """-x."""
    return -x
