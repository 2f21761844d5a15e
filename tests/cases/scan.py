"""Cumulative sums, products and extrema; differences and integrals."""

from __future__ import annotations

import math

import numpy as np

from . import Case, Make, S

INF, NAN = math.inf, math.nan
ZEROS = [[0.0, 2, 3, 4], [1, 0, 2, 0], [0, 0, 0, 5], [1, 2, 3, 0]]


def _along(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0),
        S(r(3, 4), 1),
        S(r(2, 3, 4), -2),
        S(r(), 0),
        S(r(0, 3), 0),
        S(r(1, 3), 0),
        S(r(200), 0),
        S(r(2, 3), dim=1, dtype="float64"),
        S(r.int(-3, 4, 2, 3), 1),
        S(r.int(-3, 4, 2, 3, dtype=np.int8), 1),
        S(r.bool(2, 3), 0),
        S(r.values([[1.0, INF, 2], [NAN, 1, 2]]), 1, grad=False),
    ]


def _cumprod(r: Make) -> list[S]:
    many = [S(r(3, 100), 0), S(r(70, 5), 1), S(r(5, 70), 1)]
    return [*_along(r), S(r.values(ZEROS), 1), S(r.values(ZEROS), 0), *many]


def _running(r: Make) -> list[S]:
    return [
        S(r.distinct(3, 4), 0),
        S(r.distinct(3, 4), dim=-1),
        S(r.distinct(2, 3, 4), 1),
        S(r(), 0),
        S(r(0, 3), 0),
        S(r.values([1.0, 1, 0, 2, 2, 2, 1]), 0, smooth=False),
        S(r.values([[1.0, NAN, 3, NAN, 0], [INF, 1, -INF, 2, INF]]), 1, grad=False),
        S(r.int(-5, 5, 3, 6), 1),
        S(r.bool(3, 4), 1),
    ]


def _logcumsumexp(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0),
        S(r(3, 4), dim=-1),
        S(r(), 0),
        S(r(0, 3), 0),
        S(r.values([100.0, -100, 0, 500, 3]), 0),
        S(r.values([[-INF, -INF, 1, 2], [INF, 0, 1, INF], [NAN, 0, 1, 2], [0, 1, -INF, 2]]), 1,
          grad=False),
        S(r.values([-INF, 1, 2.0]), 0, grad=False),
    ]  # fmt: skip


def _diff(r: Make) -> list[S]:
    return [
        S(r(3, 5)),
        S(r(3, 5), 2),
        S(r(3, 5), 0),
        S(r(3, 5), n=1, dim=0),
        S(r(3, 5), 9),
        S(r(3, 5), 1, -1, r(3, 2)),
        S(r(3, 5), 1, 0, r(1, 5), r(2, 5)),
        S(r(3, 5), 2, append=r(3, 1)),
        S(r(1)),
        S(r(0, 3)),
        S(r.bool(3, 4)),
        S(r.int(-5, 5, 3, 4)),
    ]


def _trapezoid(r: Make) -> list[S]:
    return [
        S(r(3, 5)),
        S(r(3, 5), dx=0.5),
        S(r(3, 5), dx=2, dim=0),
        S(r(3, 5), r(5)),
        S(r(3, 5), r(3, 5)),
        S(r(3, 5), r(3), dim=0),
        S(r(3, 5), r(3, 1), dim=0),
        S(r(2, 3, 5), r(3, 5)),
        S(r(2, 3, 5), r(2, 3, 5), dim=1),
        S(r(3, 1)),
        S(r(3, 0)),
    ]


def _gradient(r: Make) -> list[S]:
    places = [r.values([0.0, 1, 3, 4, 7]), r.values([0.0, 2, 3])]
    return [
        S(r(5)),
        S(r(3, 5)),
        S(r(3, 5), dim=1),
        S(r(3, 5), spacing=2.0),
        S(r(3, 5), spacing=[0.5, 2.0]),
        S(r(5), spacing=[places[0]]),
        S(r(3, 5), spacing=places[::-1]),
        S(r(3, 5), spacing=places[::-1], edge_order=2),
        S(r(3, 5), edge_order=2),
        S(r(3, 5), dim=(1, 0), spacing=[3.0, 2.0]),
        S(r(2)),
        S(r.int(-5, 5, 4)),
    ]


CASES = [
    Case("cumsum", _along),
    Case("cumprod", _cumprod, rtol=1e-4, why="products of 70 factors"),
    Case("cummax", _running),
    Case("cummin", _running),
    Case("logcumsumexp", _logcumsumexp),
    Case("diff", _diff),
    Case("trapezoid", _trapezoid),
    Case("trapz", _trapezoid),
    Case("cumulative_trapezoid", _trapezoid),
    Case("gradient", _gradient),
]
