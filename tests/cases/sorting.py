"""Extrema with places, sorting, quantiles, searching and counting."""

from __future__ import annotations

import math

import numpy as np

from . import Array, Case, Make, S, const

INF, NAN = math.inf, math.nan
EDGES = [[1.0, INF, -2.0], [NAN, 0.0, 3.0], [-INF, 5.0, NAN]]
TIES = [[1.0, 2, 2, 1], [3, 3, 3, 3], [0, -1, 0, -1]]


def _places(r: Make) -> list[S]:
    return [
        S(r.distinct(3, 4)),
        S(r.distinct(3, 4), 1),
        S(r.distinct(3, 4), -2, True),
        S(r.distinct(2, 3, 4), dim=0, keepdim=True),
        S(r()),
        S(r(), 0),
        S(r(1)),
        S(r(0, 3), 1),
        S(r.values(EDGES), 1, grad=False),
        S(r.values(EDGES), grad=False),
        S(r.values(TIES), 1, smooth=False),
        S(r.values(TIES), smooth=False),
        S(r.int(-5, 5, 3, 4), 1),
        S(r.int(-5, 5, 3, 4)),
    ]


def _extremum(r: Make) -> list[S]:
    return [
        *_places(r),
        S(r.bool(3, 4)),
        S(r.bool(3, 4), 1),
        S(r(3, 4), r(3, 4)),
        S(r(3, 4), other=r(4)),
    ]


def _median(r: Make) -> list[S]:
    # which of equal elements is the median's place is not said: ties of values only
    with_nan = [[1.0, NAN, 3, 2], [4, 1, NAN, NAN]]
    return [
        *_places(r)[:8],
        S(r.distinct(3, 5), 1),
        S(r.distinct(3, 5)),
        S(r.values(with_nan), 1, smooth=False),
        S(r.values(with_nan), smooth=False),
        S(r.values([1.0, 2, 2, 2, 3]), smooth=False),
        S(r(0, 3), grad=False),
        S(r.int(-50, 50, 7)),
    ]


def _mode(r: Make) -> list[S]:
    return [
        S(r.values([[1.0, 2, 2, 3], [5, 5, 1, 5], [1, 2, 3, 4]]), smooth=False),
        S(r.values(TIES), 0, smooth=False),
        S(r.values(TIES), 1, True, smooth=False),
        S(r()),
        S(r(0, 3), 1),
        S(r.int(0, 3, 4, 9)),
        S(r.bool(3, 5), 1),
    ]


def _sort(r: Make) -> list[S]:
    return [
        S(r.distinct(3, 4)),
        S(r.distinct(3, 4), 0),
        S(r.distinct(3, 4), 1, True),
        S(r.distinct(2, 3, 4), dim=-2, descending=True),
        S(r.distinct(3, 4), stable=True),
        S(r.distinct(3, 4), dim=0, descending=True, stable=True),
        S(r()),
        S(r(), 0, True),
        S(r(0, 3)),
        S(r.values(EDGES), 1, grad=False),
        S(r.values(EDGES), 1, True, grad=False),
        S(r.values(TIES), 1, smooth=False),
        S(r.values(TIES), 1, True, smooth=False),
        S(r.int(-5, 5, 3, 9), 1, True),
        S(r.int(0, 9, 3, 9, dtype=np.uint8), 1, True),
        S(r.bool(3, 4), 1),
    ]


def _argsort(r: Make) -> list[S]:
    return [S(*map(_plain, s.args), **s.kwargs, grad=False) for s in _sort(r)]


def _plain(a: object) -> object:
    return const(a) if isinstance(a, Array) and a.values.dtype.kind == "f" else a


def _topk(r: Make) -> list[S]:
    return [
        S(r.distinct(3, 7), 2),
        S(r.distinct(3, 7), 3, 0),
        S(r.distinct(3, 7), k=4, dim=1, largest=False),
        S(r.distinct(3, 7), 7),
        S(r.distinct(3, 7), 0),
        S(r.distinct(2, 5, 3), 2, -2, True, True),
        S(r(), 1),
        S(r.values([[1.0, NAN, 3, INF, -INF]]), 3, grad=False),
        S(r.values([[1.0, NAN, 3, INF, -INF]]), 3, 1, False, grad=False),
        S(r.int(0, 100000, 20), 5),
    ]


def _quantile(r: Make) -> list[S]:
    q = r.values([0.0, 0.3, 0.85, 1.0])
    return [
        S(r.distinct(3, 5), 0.4),
        S(r.distinct(3, 5), 0.37, 1),
        S(r.distinct(3, 5), const(q), 0),
        S(r.distinct(3, 5), const(q), 1, True),
        S(r.distinct(3, 5), const(q), keepdim=True),
        S(r.distinct(2, 3, 5), const(q), dim=-2),
        S(r.distinct(4, 6), r.values([0.33, 0.71]), 1),
        S(r.distinct(4, 6), r.values(0.33)),
        *[S(r.distinct(4, 6), const(q), 1, interpolation=i)
          for i in ("lower", "higher", "midpoint", "nearest")],
        S(r(), 0.5),
        S(r(), 0.5, 0),
        S(r(1), 0.2, 0),
        S(r(3, 4), const(r.values([])), 1, grad=False),
        S(r.values([[1.0, NAN, 3, 2], [NAN, NAN, NAN, NAN], [4, 1, 7, 0]]), const(q), 1, grad=False),
        S(r.values([[1.0, NAN, 3, 2], [4, 1, 7, 0]]), 0.3, 1, smooth=False),
    ]  # fmt: skip


def _unique(r: Make) -> list[S]:
    x, rows = r.int(0, 4, 9), r.int(0, 2, 6, 2)
    return [
        S(x),
        S(x, return_inverse=True),
        S(x, return_counts=True),
        S(x, return_inverse=True, return_counts=True),
        S(rows, return_inverse=True, return_counts=True),
        S(rows, dim=0),
        S(rows, return_inverse=True, return_counts=True, dim=0),
        S(rows, return_inverse=True, return_counts=True, dim=1),
        S(r.int(0, 2, 4, 2, 3), dim=-1, return_inverse=True),
        S(const(r.values([NAN, 1, NAN, 1])), return_inverse=True, return_counts=True),
        S(r.bool(7), return_inverse=True),
        S(r.int(0, 4), return_inverse=True),
        S(const(r(0)), return_counts=True),
        S(const(r(0, 3)), dim=0),
    ]


def _searchsorted(r: Make) -> list[S]:
    edges = const(r.values([1.0, 2, 2, 5]))
    values = const(r.values([[0.0, 1, 2], [2.5, 5, NAN]]))
    rows, wanted = const(r.values([[1.0, 3, 5], [2, 4, 6]])), const(r.values([[3.0, 6], [0, 4]]))
    return [
        S(edges, values),
        S(edges, values, right=True),
        S(edges, values, side="right"),
        S(edges, values, side="left", out_int32=True),
        S(edges, 2.0),
        S(edges, const(r.values(2.0)), right=True),
        S(rows, wanted),
        S(rows, wanted, right=True),
        S(const(r.values([2.0, 5, 1])), values, sorter=r.values([2, 0, 1], np.int64)),
        S(edges, r.int(0, 6, 3)),
        S(const(r(0)), values),
        S(edges, const(r(0))),
    ]


def _histc(r: Make) -> list[S]:
    x = const(r.values([0.0, 0.1, 0.5, 0.55, 1.0, 1.0, 2.0, -1.0]))
    return [
        S(x),
        S(x, 4),
        S(x, 4, 0, 1),
        S(x, bins=3, min=0.1, max=1.9),
        S(const(r(50)), 7),
        S(const(r(3, 4)), 5, -1, 1),
        S(const(r()), 3),
        S(const(r(0)), 3),
        S(const(r.values([1.0, NAN, INF])), 4, 0, 3),
        S(const(r.values([2.0, 2.0])), 4),
    ]


def _histogram(r: Make) -> list[S]:
    x = const(r.values([0.0, 0.1, 0.5, 0.55, 1.0, 1.0, 2.0, -1.0]))
    edges = const(r.values([-1.0, 0, 0.5, 2]))
    return [
        S(x, 4),
        S(x, 4, range=(0.0, 1.0)),
        S(x, edges),
        S(x, edges, density=True),
        S(x, 3, weight=const(r.pos(8))),
        S(x, 3, weight=const(r.pos(8)), density=True, range=(-1.0, 2.0)),
        S(const(r(3, 4)), 5),
        S(const(r.values([2.0, 2.0])), 4),
        S(const(r(0)), 3),
    ]


def _histogramdd(r: Make) -> list[S]:
    x = const(r.values([[0.0, 0.2], [0.1, 0.9], [0.5, 0.5], [1.0, 1.0], [0.5, 0.0]]))
    edges = [const(r.values([0.0, 0.5, 1])), const(r.values([0.0, 0.1, 0.2, 1]))]
    return [
        S(x, [2, 3]),
        S(x, 3),
        S(x, [2, 2], range=[0.0, 1.0, 0.0, 0.5]),
        S(x, edges),
        S(x, edges, weight=const(r.pos(5)), density=True),
        S(const(r(2, 4, 3)), [2, 2, 2]),
    ]


def _bincount(r: Make) -> list[S]:
    x = r.int(0, 6, 12)
    return [
        S(x),
        S(x, minlength=9),
        S(x, const(r(12))),
        S(x, r.int(0, 5, 12), 8),
        S(r.int(0, 6, 0), minlength=3),
        S(r.int(0, 6, 5, dtype=np.uint8)),
    ]


def _arg(r: Make) -> list[S]:
    return [
        S(*map(_plain, s.args), **s.kwargs, grad=False)
        for s in _places(r)
        if s.args[0].values.size or s.args[1:]
    ] + [S(const(r.distinct(3, 4)), keepdim=True)]


CASES = [
    Case("max", _extremum),
    Case("min", _extremum),
    Case("argmax", _arg),
    Case("argmin", _arg),
    Case("median", _median),
    Case("nanmedian", _median),
    Case("mode", _mode, only=(0,)),
    Case("kthvalue", lambda r: [
        S(r.distinct(3, 5), 2),
        S(r.distinct(3, 5), 3, 0),
        S(r.distinct(3, 5), 1, -1, True),
        S(r(), 1),
        S(r(0, 3), 2),
        S(r.values([[1.0, NAN, 3]]), 3, grad=False),
        S(r.int(0, 100000, 9), 4),
    ]),
    Case("sort", _sort),
    Case("argsort", _argsort),
    Case("msort", lambda r: [S(r.distinct(4, 3)), S(r()), S(r(0, 2)), S(r.int(0, 9, 5))]),
    Case("topk", _topk),
    Case("quantile", _quantile, half=False),
    Case("nanquantile", _quantile, half=False),
    Case("unique", _unique),
    Case("unique_consecutive", _unique),
    Case("searchsorted", _searchsorted),
    Case("bucketize", lambda r: [
        S(const(r.values([[0.0, 1, 2], [2.5, 5, NAN]])), const(r.values([1.0, 2, 2, 5]))),
        S(const(r(3)), const(r.values([-1.0, 0, 1])), right=True, out_int32=True),
        S(2, const(r.values([1.0, 2, 3]))),
        S(const(r.values(2.0)), const(r.values([1.0, 2, 3]))),
    ]),
    Case("bincount", _bincount),
    Case("histc", _histc, half=False),
    Case("histogram", _histogram),
    Case("histogramdd", _histogramdd),
]  # fmt: skip
