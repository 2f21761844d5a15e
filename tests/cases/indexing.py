"""Elements read and written by index: subscripts, gather, scatter, masks.

What is written to a tensor in place, and under autograd, is in tests/test_indexing.py.
"""

from __future__ import annotations

import numpy as np

from . import Array, Case, Make, S, const


def _i(*values: object) -> Array:
    return Array(np.asarray(values, np.int64), False, False)


def _getitem(r: Make) -> list[S]:
    every = slice(None)
    mask = r.bool(3, 4)
    indices = [
        0, -1, (1, 2), (slice(1, 3), 0), (every, -1), Ellipsis, None, (None, 1, None), (Ellipsis, 0),
        slice(None, None, 2), (slice(5, 1), every), (every, slice(-3, -1)), (),
        _i(0, 2, 2), (every, _i(3, 0)), (_i(0, 1), _i(2, 3)), (_i(-1, -2), 1), (1, _i(0, 0, 3)),
        [0, 2], (every, [1, 1]), [[0, 1], [2, 0]], (_i([0], [2]), _i(1, 3)), mask, _i(),
        [True, False, True], (every, r.bool(4)), True, False, (every, True), (_i(0, 1), None),
        (None, _i(1, 0)), (Array(np.array(2, np.int32), False, False), every),
        Array(np.array([0, 1], np.int32), False, False), (r.bool(3), 0), (True, _i(1, 2)),
    ]  # fmt: skip
    deep = [
        (_i(0, 1), every, _i(2, 0)), (0, every, _i(0, 1)), (every, _i(0, 1), _i(1, 2)),
        (every, _i([0, 1], [1, 1]), every, _i(0, 2)), (_i(0, 1), None, _i(0, 1)), r.bool(2, 3),
        (every, r.bool(3, 4)), (Ellipsis, _i(0, 1)), (_i(0), Ellipsis, _i(1)), (r.bool(2), every, 1),
        (slice(0, 1), _i(0, 2), slice(1, 3)), (_i(1), slice(0, 2), None, _i(0, 1)),
        (_i([0], [1]), Array(np.eye(3, 4, dtype=bool), False, False)),
    ]  # fmt: skip
    return [S(r(3, 4), i) for i in indices] + [S(r(2, 3, 4, 5), i) for i in deep] + [
        S(r(), ()), S(r(), None), S(r(), Ellipsis), S(r(), True), S(r(0, 3), _i()),
        S(r(), Array(np.array(True), False, False)),
    ]  # fmt: skip


def _gather(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0, r.int(0, 3, 3, 4)),
        S(r(3, 4), 1, r.int(0, 4, 2, 6)),
        S(r(2, 3, 4), -2, r.int(0, 3, 2, 5, 4)),
        S(r(2, 3, 4), 2, r.int(0, 4, 1, 2, 9, dtype=np.int32)),
        S(r(), 0, r.int(0, 1)),
        S(r(5), 0, r.int(0, 5)),
        S(r(3, 4), 0, r.int(0, 3, 0, 4)),
        S(r(3, 4), 0, r.int(0, 3, 0)),
    ]


def _scatter(r: Make) -> list[S]:
    unique = Array(np.array([[0, 2, 1], [2, 0, 0]]), False, False)
    return [
        S(r(3, 4), 0, unique, r(2, 3)),
        S(r(3, 4), 0, unique, r(3, 4), grad=False),  # PyTorch's gradient fails there
        S(r(3, 4), 1, Array(np.array([[0, 3], [2, 1]]), False, False), r(2, 2)),
        S(r(2, 3, 4), -2, Array(np.array([[[0, 1, 2, 2]]]), False, False), r(2, 2, 4), grad=False),
        S(r(5), 0, _i(1, 3), r(2)),
        S(r(), 0, r.int(0, 1), r()),
        S(r(3, 4), 0, r.int(0, 3, 0, 4), r(3, 4), grad=False),
    ]


def _scatter_number(r: Make) -> list[S]:
    return [
        *_scatter(r),
        S(r(3, 4), 0, r.int(0, 3, 2, 4), 1.5),
        S(r(3, 4), 1, r.int(0, 4, 2, 4), value=2),
        S(r(3, 4), 0, r.int(0, 3, 2, 4), 2.0, reduce="add", grad=False),
        S(r(3, 4), 0, r.int(0, 3, 2, 4), 2.0, reduce="multiply", grad=False),
        S(r(3, 4), 0, r.int(0, 3, 2, 4), const(r(2, 4)), reduce="add", grad=False),
        S(r.int(0, 9, 3, 4), 0, r.int(0, 3, 2, 4), r.int(0, 9, 2, 4)),
    ]


def _scatter_add(r: Make) -> list[S]:
    return [
        *_scatter(r),
        S(r(3, 4), 0, r.int(0, 3, 7, 4), r(7, 4)),
        S(r.int(0, 9, 3, 4), 0, r.int(0, 3, 2, 4), r.int(0, 9, 2, 4)),
    ]


def _others(r: Make, *shape: int) -> Array:
    """Distinct values, distinct from those of `distinct`, too."""
    return Array(r.distinct(*shape).values + 0.047)


def _scatter_reduce(r: Make) -> list[S]:
    index = r.int(0, 3, 5, 4)
    zeros = r.values([[0.0, 2, 0, 1], [1, 0, 3, 2], [0, 4, 5, 6]])
    factors = r.values([[1.0, 0, 2, 3], [0, 0, 1, 2], [3, 2, 0, 1], [1, 2, 3, 4], [2, 0, 1, 1]])
    ties = r.values(np.ones((3, 4)))
    return [
        *[
            S(r.distinct(3, 4), 0, index, _others(r, 5, 4), reduce, include_self=own)
            for reduce in ("sum", "prod", "mean", "amax", "amin")
            for own in (True, False)
        ],
        S(zeros, 0, index, factors, "prod", smooth=False),
        S(ties, 0, index, r.values(np.ones((5, 4))), "amax", smooth=False),
        S(ties, 0, index, r.values(np.ones((5, 4))), "amin", include_self=False, grad=False),
        S(r(3, 4), 1, r.int(0, 4, 2, 3), r(3, 4), "sum", grad=False),
        S(r(), 0, r.int(0, 1), r(), "prod"),
        S(r.distinct(), 0, r.int(0, 1), _others(r), "amax"),
        S(r.distinct(), 0, r.int(0, 1), _others(r), "amin", include_self=False),
        S(r.int(0, 9, 3, 4), 0, index, r.int(-9, 9, 5, 4), "mean"),
        S(r.int(0, 9, 3, 4), 0, index, r.int(-9, 9, 5, 4), "amax", include_self=False),
    ]


def _index_add(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0, _i(0, 2, 0, 1), r(4, 4)),
        S(r(3, 4), -1, _i(3, 0), r(3, 2), alpha=2),
        S(r(2, 3, 4), 1, _i(0, 2, 2), r(2, 3, 4), alpha=-0.5),
        S(r(), 0, Array(np.array(0), False, False), r()),
        S(r(5), 0, _i(1, 1), r(2)),
        S(r(3, 4), 0, _i(), r(0, 4)),
        S(r.int(0, 9, 3, 4), 0, _i(0, 0), r.int(0, 9, 2, 4)),
    ]


def _index_copy(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0, _i(0, 2), r(2, 4)),
        S(r(3, 4), 1, _i(3, 0, 1), r(3, 3)),
        S(r(2, 3, 4), -2, _i(0, 2), r(2, 2, 4)),
        S(r(), 0, Array(np.array(0), False, False), r()),
        S(r(5), 0, Array(np.array(1), False, False), r()),
        S(r(3, 4), 0, _i(), r(0, 4)),
    ]


def _index_fill(r: Make) -> list[S]:
    return [
        S(r(3, 4), 0, _i(0, 2), 1.5),
        S(r(3, 4), 1, _i(3, -1, 1), 2),
        S(r(2, 3, 4), -2, _i(0, 2), r()),
        S(r(), 0, _i(0), 3.0),
        S(r(5), 0, Array(np.array(1), False, False), -1.0),
        S(r.int(0, 9, 5), 0, _i(1), 2.7),
        S(r.bool(5), 0, _i(1), True),
    ]


def _index_reduce(r: Make) -> list[S]:
    return [
        S(r.distinct(3, 4), dim, _i(0, 2, 0), _others(r, *shape), reduce, include_self=own)
        for reduce in ("prod", "mean", "amax", "amin")
        for own in (True, False)
        for dim, shape in ((0, (3, 4)), (1, (3, 3)))
    ] + [S(r.int(0, 9, 3, 4), 0, _i(0, 0, 2), r.int(0, 9, 3, 4), "mean")]


def _index_put(r: Make) -> list[S]:
    return [
        S(r(3, 4), (_i(0, 2),), r(2, 4)),
        S(r(3, 4), (_i(0, 2),), r(4)),
        S(r(3, 4), (_i(0, 2), _i(1, 3)), r(2)),
        S(r(3, 4), (_i(0, 2), _i(1, 3)), r()),
        S(r(3, 4), (_i([0], [2]), _i(1, 3)), r(2, 2)),
        S(r(3, 4), (_i(0, 0, 2),), r(3, 4), accumulate=True),
        S(r(3, 4), (_i(0, 0, 2), _i(1, 1, 0)), r(3), True),
        S(r(3, 4), (_i(0, 0, 2), _i(1, 1, 0)), r(1), True),
        S(r(3, 4), (Array(np.arange(12).reshape(3, 4) % 3 == 0, False, False),), r(4)),
        S(r(3, 4), (Array(np.arange(12).reshape(3, 4) % 3 == 0, False, False),), r(4), True),
        S(r(3, 4), (Array(np.array([True, False, True]), False, False),), r(2, 4)),
        S(r(2, 3, 4), (_i(1, 0), _i(2, 2)), r(2, 4)),
    ]


def _put(r: Make) -> list[S]:
    return [
        S(r(3, 4), _i(0, 11, -3), r(3)),
        S(r(3, 4), _i([0, 5], [7, 2]), r(2, 2)),
        S(r(3, 4), _i(1, 1, 5), r(3), accumulate=True),
        S(r(), _i(0), r(1)),
        S(r(3, 4), _i(), r(0)),
    ]


def _masked_fill(r: Make) -> list[S]:
    return [
        S(r(3, 4), r.bool(3, 4), 1.5),
        S(r(3, 4), r.bool(4), -2),
        S(r(3, 4), r.bool(3, 1), r()),
        S(r(4), r.bool(3, 4), 0),
        S(r(), r.bool(), 1.0),
        S(r(0, 3), r.bool(3), 1.0),
        S(r.int(0, 9, 5), r.bool(5), 2.7),
        S(r(3, 4), r.bool(3, 4), float("-inf"), smooth=False),
    ]


def _masked_scatter(r: Make) -> list[S]:
    return [
        S(r(3, 4), r.bool(3, 4), r(12)),
        S(r(3, 4), r.bool(4), r(3, 4)),
        S(r(4), r.bool(3, 4), r(3, 5)),
        S(r(), r.bool(), r(2)),
    ]


CASES = [
    Case("Tensor.__getitem__", _getitem),
    Case("gather", _gather),
    Case("scatter", _scatter_number),
    Case("scatter_add", _scatter_add),
    Case("scatter_reduce", _scatter_reduce),
    Case("take_along_dim", lambda r: [
        S(r(3, 4), r.int(0, 3, 1, 4), 0),
        S(r(3, 4), r.int(-4, 4, 3, 2), -1),
        S(r(3, 4), r.int(0, 4, 1, 2), dim=1),
        S(r(1, 4), r.int(0, 4, 3, 2), 1),
        S(r(3, 4), r.int(0, 12, 5)),
    ]),
    Case("index_select", lambda r: [
        S(r(3, 4), 0, _i(2, 0, 2)),
        S(r(2, 3, 4), -1, Array(np.array([0, 3], np.int32), False, False)),
        S(r(3, 4), 1, _i()),
        S(r(3, 4), 1, Array(np.array(2), False, False)),
        S(r(), 0, _i(0)),
        S(r(3, 0), 0, _i(1)),
    ]),
    Case("index_add", _index_add),
    Case("index_copy", _index_copy),
    Case("index_fill", _index_fill),
    Case("index_reduce", _index_reduce),
    Case("index_put", _index_put),
    Case("take", lambda r: [
        S(r(3, 4), _i(0, 11, 5, 5)),
        S(r(3, 4), r.int(-12, 12, 2, 3)),
        S(r(), _i(0, 0)),
        S(r(3), Array(np.array(1), False, False)),
    ]),
    Case("put", _put),
    Case("masked_fill", _masked_fill),
    Case("masked_select", lambda r: [
        S(r(3, 4), r.bool(3, 4)),
        S(r(3, 4), r.bool(4)),
        S(r(4), r.bool(3, 4)),
        S(r(3, 1), r.bool(3, 4)),
        S(r(), r.bool()),
        S(r(0), r.bool(0)),
    ]),
    Case("masked_scatter", _masked_scatter),
    Case("nonzero", lambda r: [
        S(r.int(0, 2, 3, 4)),
        S(r.bool(3, 4), as_tuple=True),
        S(r.bool()),
        S(r.bool(), as_tuple=True),
        S(r.bool(0, 3)),
        S(r.values([0.0, np.nan, -0.0, 2]), grad=False),
    ]),
    Case("argwhere", lambda r: [S(r.int(0, 2, 3, 4)), S(r.bool()), S(r.bool(0, 3))]),
    Case("nonzero_static", lambda r: [
        S(r.int(0, 2, 3, 4), size=4),
        S(r.int(0, 2, 3, 4), size=20, fill_value=7),
        S(r.bool(3), size=0),
    ]),
    Case("unravel_index", lambda r: [
        S(r.int(0, 24, 5), (2, 3, 4)),
        S(r.int(0, 24, 2, 2), (6, 4)),
        S(r.int(0, 6), 6),
    ]),
    Case("select_scatter", lambda r: [
        S(r(3, 4), r(3), 1, 2),
        S(r(2, 3, 4), r(2, 4), -2, -1),
    ]),
    Case("slice_scatter", lambda r: [
        S(r(3, 4), r(3, 2), 1, 0, 2),
        S(r(3, 4), r(3, 2), 1, 0, 4, 2),
        S(r(3, 4), r(3, 4)),
        S(r(3, 4), r(1, 4), 0, -1),
        S(r(3, 4), r(0, 4), 0, 2, 1),
    ]),
    Case("diagonal_scatter", lambda r: [
        S(r(3, 4), r(3)),
        S(r(3, 4), r(2), -1),
        S(r(2, 3, 4), r(3, 2), 0, 0, 2),
    ]),
]  # fmt: skip
