"""Look-ups in tables."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, const


def bags(r: Make) -> list[S]:
    index, offsets = r.values([1, 2, 4, 5, 4, 3, 2, 9], np.int64), r.values([0, 4], np.int64)
    empty = r.values([0, 0, 3, 8], np.int64)
    found = []
    for mode in ("sum", "mean", "max"):
        found += [
            S(index, r(10, 3), offsets, mode=mode),
            S(r.int(0, 10, 2, 4), r(10, 3), mode=mode),
            S(index, r(10, 3), empty, mode=mode),
            S(index, r(10, 3), offsets, mode=mode, padding_idx=4),
            S(index, r(10, 3), empty, mode=mode, include_last_offset=True),
        ]
    return [
        *found,
        S(index, r(10, 3), offsets),
        S(index, r(10, 3), offsets, mode="sum", per_sample_weights=r(8)),
        S(r.int(0, 10, 2, 4), r(10, 3), mode="sum", per_sample_weights=r(2, 4)),
        S(r.int(0, 10, 2, 4, dtype=np.int32), r(10, 3)),
    ]


CASES = [
    Case(
        "nn.functional.embedding",
        lambda r: [
            S(r.int(0, 5, 4), r(5, 3)),
            S(r.int(0, 5, 2, 3), r(5, 3)),
            S(r.int(0, 5), r(5, 3)),
            S(r.values([1, 3, 3, 1, 1], np.int64), r(5, 3), 3, smooth=False),
            S(r.values([1, 3, 3, 1, 1], np.int64), r(5, 3), padding_idx=-2, smooth=False),
            S(r.values([1, 3, 3, 1, 1], np.int64), r(5, 3), scale_grad_by_freq=True, smooth=False),
            S(r.int(0, 5, 0), r(5, 3)),
            S(r.int(0, 5, 4, dtype=np.int32), r(5, 3)),
            S(r.int(0, 5, 4), const(r(5, 0))),
        ],
    ),
    Case(
        "embedding",
        lambda r: [S(r(5, 3), r.int(0, 5, 4)), S(r(5, 3), r.int(0, 5, 4), 2, smooth=False)],
    ),
    Case("nn.functional.embedding_bag", bags, half=False, gradgrad=False),
    Case(
        "nn.functional.one_hot",
        lambda r: [
            S(r.int(0, 5, 4)),
            S(r.int(0, 5, 2, 3), 7),
            S(r.int(0, 5)),
            S(r.int(0, 5, 0), 3),
            S(r.int(0, 3, 4), num_classes=3),
        ],
    ),
]
