"""Elementwise functions of complex numbers, away from branch cuts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.cases import Array, Case, Make, S, const


def z(r: Make, *shape: int, low: float = 0.3, high: float = 1.2) -> Array:
    """Complex numbers in the first quadrant."""
    x, y = r.rng.uniform(low, high, (2, *shape))
    return r.values(x + 1j * y, np.complex128)


def one(r: Make) -> list[S]:
    return [S(z(r, 3, 4)), S(z(r)), S(z(r, 0, 2))]


def two(r: Make) -> list[S]:
    real = r.pos(4)
    return [
        S(z(r, 3, 4), z(r, 4)),
        S(z(r, 3, 4), real),
        S(real, z(r, 3, 1)),
        S(z(r, 3), 2.5),
        S(z(r, 3), 1.5 - 2j),
        S(r.pos(3), z(r, 3)),
    ]


def case(name: str, samples: Callable[[Make], list[S]] = one, **options: bool) -> Case:
    return Case(name, samples, dtypes=("float64",), half=False, **options)


CASES = [
    *[
        case(n)
        for n in (
            "conj",
            "conj_physical",
            "real",
            "imag",
            "abs",
            "angle",
            "sgn",
            "neg",
            "square",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "exp",
            "exp2",
            "expm1",
            "log",
            "log2",
            "log10",
            "log1p",
            "sin",
            "cos",
            "tan",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "asinh",
            "acosh",
            "atanh",
            "sigmoid",
            "positive",
        )
    ],
    *[case(n, two) for n in ("add", "sub", "mul", "div")],
    case(
        "pow",
        lambda r: [
            *two(r),
            S(z(r, 3), 2),
            S(z(r, 3), -1),
            S(z(r, 3), 3),
            S(z(r, 3), 0),
            S(2.5, z(r, 3)),
        ],
    ),
    case("eq", lambda r: [S(z(r, 3), z(r, 3))], grad=False),
    case("addcmul", lambda r: [S(z(r, 3), z(r, 3), z(r, 1), value=2)]),
    case("addcdiv", lambda r: [S(z(r, 3), z(r, 3), z(r, 1), value=2)]),
    case(
        "lerp",
        lambda r: [
            S(z(r, 3), z(r, 3), z(r, 3)),
            S(z(r, 3), z(r, 3), 0.3),
            S(z(r, 3), z(r, 3), 0.9),
        ],
    ),
    case(
        "where",
        lambda r: [S(r.bool(3), z(r, 3), z(r, 3)), S(r.bool(3), 0, z(r, 3))],
        variants=False,
    ),
    case("fill", lambda r: [S(z(r, 3), 2.5), S(z(r, 3), z(r))]),
    case("isreal", lambda r: [S(const(r.values([1 + 0j, 2j, 0j], np.complex128)))], grad=False),
]
