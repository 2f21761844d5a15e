"""Many elements to one: sums, extrema, statistics, norms."""

from __future__ import annotations

import math

import numpy as np

from . import Case, Make, S, const

INF, NAN = math.inf, math.nan
EDGES = [[1.0, INF, -2.0], [NAN, 0.0, 3.0], [-INF, 5.0, 2.0]]


def _dims(r: Make) -> list[S]:
    """The signatures that most reductions share."""
    return [
        S(r(3, 4)),
        S(r(3, 4), 1),
        S(r(3, 4), -2, True),
        S(r(2, 3, 4), (0, 2)),
        S(r(2, 3, 4), dim=(0, -1), keepdim=True),
        S(r()),
        S(r(), 0),
        S(r(1), dim=0),
        S(r.values(EDGES), grad=False),
        S(r.values(EDGES), 1, grad=False),
    ]


def _sums(r: Make) -> list[S]:
    return [
        *_dims(r),
        S(r(0, 3)),
        S(r(0, 3), 0),
        S(r(3, 0), 1),
        S(r(2, 3), ()),
        S(r(2, 3), dtype="float64"),
        S(r.int(-5, 5, 2, 3), dtype="float32", grad=False),
    ]


def _integers(r: Make) -> list[S]:
    return [
        S(r.int(-5, 5, 2, 3)),
        S(r.int(-5, 5, 2, 3, dtype=np.int8), 1),
        S(r.int(0, 255, 2, 3, dtype=np.uint8), 0, True),
        S(r.bool(2, 3)),
        S(r.bool(2, 3), 1),
    ]


def _extremum(r: Make) -> list[S]:
    ties = r.values([[1.0, 2, 2], [3, 3, 3], [0, -1, 0]])
    return [
        S(r.distinct(3, 4)),
        S(r.distinct(3, 4), 1),
        S(r.distinct(2, 3, 4), (0, 2), True),
        S(r.distinct(2, 3, 4), dim=()),
        S(r()),
        S(r(), 0),
        S(r(0, 3), 1),
        S(ties, 1, smooth=False),
        S(ties, smooth=False),
        S(r.values(EDGES), 1, grad=False),
        *[S(*s.args, **s.kwargs, grad=False) for s in _integers(r)],
    ]


def _truth(r: Make) -> list[S]:
    x = r.values([[0.0, 1, NAN], [0, 0, 0]])
    return [
        S(x, grad=False),
        S(x, 1, grad=False),
        S(x, dim=(0, 1), keepdim=True, grad=False),
        S(r.bool(2, 3)),
        S(r.bool(2, 3), 0),
        S(r.bool()),
        S(r.bool(), 0),
        S(r.bool(0, 3)),
        S(r.bool(0, 3), 0),
        S(r.bool(2, 3), dim=()),
        S(r.int(0, 2, 2, 3, dtype=np.uint8)),
        S(r.int(0, 2, 2, 3, dtype=np.uint8), 1),
        S(r.int(0, 2, 2, 3)),
    ]


def _variance(r: Make) -> list[S]:
    return [
        S(r(3, 4)),
        S(r(3, 4), False),
        S(r(3, 4), True),
        S(r(3, 4), 1),
        S(r(3, 4), 1, False),
        S(r(3, 4), 1, False, True),
        S(r(3, 4), (0, 1), keepdim=True),
        S(r(2, 3, 4), (0, 2), correction=2),
        S(r(3, 4), dim=None, correction=0),
        S(r(3, 4), correction=0.5),
        S(r(5)),
        S(r(3, 4), unbiased=False, dim=0),
    ]


def _variance_edges(r: Make) -> list[S]:
    return [
        S(r(), correction=0),
        S(r(1), smooth=False),
        S(r.values([2.0, 2.0, 2.0]), smooth=False),
        S(r(0, 3), 0, grad=False),
        S(r.values(EDGES), 1, grad=False),
    ]


def _prod(r: Make) -> list[S]:
    zeros = [[0.0, 2, 3], [0, 0, 5], [1, 2, 4], [0, 0, 0]]
    return [
        S(r(3, 4)),
        S(r(3, 4), 1),
        S(r(3, 4), 0, True),
        S(r(2, 3, 2), -2),
        S(r()),
        S(r(), 0),
        S(r(0, 3)),
        S(r(0, 3), 0),
        S(r.values(zeros), 1),
        S(r.values(zeros)),
        S(r.values([0.0, 2, 3])),
        S(r(2, 3), dtype="float64"),
        S(r.int(-3, 4, 2, 3)),
        S(r.bool(2, 3), 1),
    ]


def _logsumexp(r: Make) -> list[S]:
    return [
        S(r(3, 4), 1),
        S(r(3, 4), (0, 1)),
        S(r(3, 4), 0, True),
        S(r(), 0),
        S(r(0, 3), 0, grad=False),
        S(r(3, 0), 0),
        S(r.values([[1000.0, 1001], [-1000, -1001]]), 1),
        S(r.values([[INF, 1], [-INF, -INF], [NAN, 0], [-INF, 2]]), 1, grad=False),
        S(r.int(0, 4, 2, 3), 1),
    ]


ORDERS = (2, 1, 3, 0.5, 1.5, INF, -INF, 0, -1)


def _vector_norm(r: Make) -> list[S]:
    zeros = r.values([[0.0, 0, 0], [1, 0, -2]])
    return [
        *[S(r.away(3, 4), p, 1) for p in ORDERS if p not in (0,)],
        S(r.away(3, 4), 0, 1),
        S(r(3, 4)),
        S(r(2, 3, 4), 3, (0, 2), True),
        S(r(), 2),
        S(r(), 3, 0),
        S(r(0, 3), 2),
        S(r(0, 3), 1, 0),
        *[S(zeros, p, 1, smooth=False) for p in (2, 1, 3, 1.5, 0.5, 0, INF)],
        S(r(2, 3), 2, dtype="float64"),
        S(r.values(EDGES), 2, 1, grad=False),
        S(r.values([[INF, 0.0, NAN]]), 0, 1, grad=False),
    ]


def _norm(r: Make) -> list[S]:
    return [
        S(r(3, 4)),
        S(r(3, 4), "fro"),
        S(r(3, 4), "fro", (0, 1)),
        S(r(2, 3, 4), "fro", (0, 2), True),
        S(r(3, 4), "fro", 1),
        S(r(3, 4), "nuc"),
        S(r(4, 3), "nuc"),
        S(r(3, 3), "nuc"),
        S(r(2, 3, 4), "nuc", (1, 2)),
        S(r(2, 3, 4), "nuc", (2, 0), True),
        S(r(3, 4), 2, [0, 1]),
        S(r(3, 4), p=1, dim=1),
        S(r(3, 4), INF),
        S(r(3, 4), 3, 0, True),
        S(r(3, 4), 2, dtype="float64"),
        S(r()),
        S(r(0)),
    ]


def _dist(r: Make) -> list[S]:
    return [
        S(r(3, 4), r(3, 4)),
        S(r(3, 4), r(4), 1),
        S(r(3, 4), r(3, 1), 3),
        S(r(3, 4), r(3, 4), INF),
        S(r(3, 4), r(3, 4), 0, grad=False),
        S(r(), r(2)),
    ]


def _cov(r: Make) -> list[S]:
    return [
        S(r(3, 5)),
        S(r(5)),
        S(r(1, 5)),
        S(r(3, 5), correction=0),
        S(r(3, 5), fweights=r.int(1, 4, 5)),
        S(r(3, 5), aweights=const(r.pos(5))),
        S(r(3, 5), correction=0, fweights=r.int(1, 4, 5), aweights=const(r.pos(5))),
    ]


def _renorm(r: Make) -> list[S]:
    return [
        S(r(3, 4), 2, 0, 1.0),
        S(r(3, 4), 1, 1, 2.0),
        S(r(2, 3, 4), 3, -2, 1.5),
        S(r(3, 4), 2, 0, 100.0),
        S(r(3, 4), INF, 0, 0.5),
    ]


CASES = [
    Case("sum", lambda r: [*_sums(r), *_integers(r)]),
    Case("mean", _sums),
    Case("nansum", lambda r: [*_sums(r), *_integers(r)]),
    Case("nanmean", lambda r: [s for s in _sums(r) if s.kwargs.get("dtype") != "float32"]),
    Case("amax", _extremum),
    Case("amin", _extremum),
    Case(
        "aminmax",
        lambda r: [
            S(r.distinct(3, 4)),
            S(r.distinct(3, 4), dim=1),
            S(r.distinct(3, 4), dim=-2, keepdim=True),
            S(r()),
            S(r.values([[1.0, 1, 2], [2, 2, 2]]), dim=1, smooth=False),
            S(r.values(EDGES), dim=1, grad=False),
            S(r.int(-5, 5, 2, 3)),
            S(r.bool(2, 3)),
        ],
    ),
    Case("all", _truth),
    Case("any", _truth),
    Case("count_nonzero", lambda r: [
        S(r.values([[0.0, 1, NAN], [0, 0, 0]]), grad=False),
        S(r.int(0, 2, 3, 4), 1),
        S(r.bool(3, 4), (0, 1)),
        S(r.bool(3, 4), -1),
        S(r(), grad=False),
        S(r(0, 3), 0, grad=False),
    ]),
    Case("prod", _prod),
    Case("var", lambda r: [*_variance(r), *_variance_edges(r)]),
    Case("std", lambda r: [*_variance(r), *_variance_edges(r)]),
    Case("var_mean", _variance),
    Case("std_mean", _variance),
    Case("logsumexp", _logsumexp),
    Case("linalg.vector_norm", _vector_norm),
    Case("norm", _norm),
    Case("dist", _dist),
    Case("cov", _cov),
    Case("corrcoef", lambda r: [S(r(3, 5)), S(r(5), smooth=False), S(r(2, 3))]),
    Case("renorm", _renorm),
]  # fmt: skip
