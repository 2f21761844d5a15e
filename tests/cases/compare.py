"""Comparisons, logic and bits: values only, there are no derivatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.cases import Case, Make, S, const
from tests.cases.elementwise import EDGES, mixed

INF, NAN = np.inf, np.nan


def comparisons(r: Make) -> list[S]:
    a, b = np.meshgrid(EDGES, EDGES)
    return [
        S(r(3, 4), r(3, 4)),
        S(r(3, 1), r(4)),
        S(r(), r(2, 3)),
        S(r(0, 3), r(3)),
        S(r(3, 4), 0.5),
        S(r(3, 4), 0),
        S(r.values(a), r.values(b)),
        S(r.int(0, 3, 4), r.int(0, 3, 4)),
        S(r.int(0, 3, 4), 1.5),
        S(r.int(0, 3, 4), r(4)),
        S(r.bool(4), r.bool(4)),
        S(r.bool(4), 1),
        S(r.int(0, 9, 4, dtype=np.uint8), -1),
        S(r.int(0, 9, 4, dtype=np.uint8), 300),
        *mixed(r),
    ]


def kinds(r: Make) -> list[S]:
    return [S(r(3, 4)), S(r.values(EDGES)), S(r()), S(r(0, 3)), S(r.int(-2, 3, 4)), S(r.bool(4))]


def logic(r: Make) -> list[S]:
    return [
        S(r.bool(3, 4), r.bool(4)),
        S(r.int(0, 2, 3, 1), r.bool(4)),
        S(r(3), r.bool(3)),
        S(r(2), r.int(0, 2, 2)),
        S(r.values([0.0, NAN, 1.0, -0.0]), r.values([NAN, NAN, 0.0, 1.0])),
        S(r.bool(), r.bool(2, 3)),
        S(r.bool(0, 2), r.bool(2)),
    ]


def bits(r: Make) -> list[S]:
    i8, u8, i64 = (
        r.int(-9, 9, 3, 4, dtype=np.int8),
        r.int(0, 99, 4, dtype=np.uint8),
        r.int(-99, 99, 3, 1),
    )
    return [
        S(r.bool(3, 4), r.bool(4)),
        S(i8, u8),
        S(i64, u8),
        S(i64, i64),
        S(i64, 6),
        S(6, i64),
        S(r.bool(4), 1),
        S(r.bool(4), True),
        S(r.bool(4), i64),
        S(r.int(0, 9), i64),
        S(r.int(0, 9, 0, 2), r.int(0, 9)),
    ]


def shifts(r: Make) -> list[S]:
    i8, i64 = r.int(-9, 9, 3, 4, dtype=np.int8), r.int(-99, 99, 3, 1)
    by = r.values([0, 1, 5, 63], np.int64)
    return [
        S(i8, r.int(0, 7, 4, dtype=np.int8)),
        S(i64, by),
        S(i64, 3),
        S(2, by),
        S(i64, r.values([64, 100, -1], np.int64)),
        S(i8, r.int(0, 9)),
        S(r.int(0, 99, 4, dtype=np.uint8), 4),
        S(r.int(0, 9, 0, 2), 1),
    ]


def divisors(r: Make) -> list[S]:
    return [
        S(r.int(-30, 30, 3, 4), r.int(-30, 30, 4)),
        S(r.int(0, 30), r.int(0, 30, 3)),
        S(r.values([0, 0, 4], np.int64), r.values([0, 3, 0], np.int64)),
        S(r.int(-9, 9, 4, dtype=np.int8), r.int(-30, 30, 4, dtype=np.int32)),
        S(r.int(0, 9, 0), r.int(0, 9)),
    ]


def closeness(r: Make) -> list[S]:
    x = np.array([1.0, 1.0, 1.0, INF, -INF, INF, NAN, 0.0])
    y = np.array([1.0 + 1e-6, 1.0 + 1e-4, 1.1, INF, INF, 1.0, NAN, 1e-9])
    return [
        S(r.values(x), r.values(y)),
        S(r.values(x), r.values(y), equal_nan=True),
        S(r.values(x), r.values(y), rtol=0.2),
        S(r.values(x), r.values(y), rtol=0, atol=0.01),
        S(r.values(x), r.values(y), 0.0, 0.0),
        S(r(3, 4), r(4)),
        S(r.int(0, 3, 4), r.int(0, 3, 4)),
        S(r.int(9, 12, 4), r.int(9, 12, 4), rtol=0.2),
        S(r.bool(4), r.bool(4)),
        S(r(), r()),
        S(r(0), r(0)),
    ]


def equalities(r: Make) -> list[S]:
    x = r(3, 4)
    return [
        S(x, x),
        S(x, r(3, 4)),
        S(x, r(4, 3)),
        S(r(0), r(0)),
        S(r.values([NAN]), r.values([NAN])),
        S(r.values([1.0]), r.int(1, 2, 1)),
    ]


def members(r: Make) -> list[S]:
    few, many = r.values([0.0, 1.0, NAN, 2.0]), r.values(np.arange(30.0))
    return [
        S(r.int(0, 9, 3, 4), r.int(0, 9, 4)),
        S(r.int(0, 99, 3, 4), r.int(0, 99, 30)),
        S(r.values([[0.0, NAN], [2.0, 5.0]]), few),
        S(r.values([0.0, 0.5, 7.0, NAN]), many),
        S(r.int(0, 9, 5), r.int(0, 9, 2, 2), invert=True),
        S(r.int(0, 9, 5), 3),
        S(3, r.int(0, 9, 5)),
        S(r.values([3, 5, 7], np.int64), r.values([5, 9], np.int64), assume_unique=True),
        S(r.int(0, 9, 0), r.int(0, 9, 3)),
        S(r.int(0, 9, 3), r.int(0, 9, 0)),
        S(r.int(0, 9), r.int(0, 9, 20)),
        S(r.values([1.0, 2.5]), r.int(0, 3, 20)),
    ]


def values_only(name: str, samples: Callable[[Make], list[S]], **options: object) -> Case:
    return Case(name, samples, grad=False, **options)


CASES = [
    *[values_only(n, comparisons) for n in ("eq", "ne", "lt", "le", "gt", "ge")],
    *[
        values_only(n, kinds)
        for n in (
            "isnan",
            "isinf",
            "isfinite",
            "isposinf",
            "isneginf",
            "isreal",
            "signbit",
            "logical_not",
        )
    ],
    *[values_only(n, logic) for n in ("logical_and", "logical_or", "logical_xor")],
    *[values_only(n, bits) for n in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    *[values_only(n, shifts) for n in ("bitwise_left_shift", "bitwise_right_shift")],
    values_only(
        "bitwise_not",
        lambda r: [
            S(r.bool(3, 4)),
            S(r.int(-9, 9, 3)),
            S(r.int(0, 9, 3, dtype=np.uint8)),
            S(r.int(0, 9)),
            S(r.int(0, 9, 0)),
        ],
    ),
    values_only("gcd", divisors),
    values_only("lcm", divisors),
    values_only("isclose", closeness),
    values_only("allclose", lambda r: [*closeness(r), S(const(r(3)), const(r(3)))]),
    values_only("equal", equalities),
    values_only("isin", members, variants=False),
]
