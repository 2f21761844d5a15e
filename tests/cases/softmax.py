"""Softmax and its kin."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S

INF, NAN = np.inf, np.nan


def along(r: Make) -> list[S]:
    return [
        S(r(3, 4), dim=1),
        S(r(3, 4), dim=0),
        S(r(2, 3, 4), dim=-2),
        S(r(), dim=0),
        S(r(), dim=-1),
        S(r(0, 3), dim=1),
        S(r(3, 0), dim=1),
        S(r(5), dim=0),
        S(r(3, 1), dim=1),
        S(r(3, 4), dim=1, dtype="float64"),
        S(r.int(0, 5, 2, 3), dim=1, dtype="float32"),
        S(
            r.values([[1000.0, -1000.0, 0.0], [-INF, 0.0, 1.0], [3e4, 3e4, 3e4]]),
            dim=1,
            smooth=False,
        ),
        S(r.values([[INF, 0.0], [NAN, 0.0], [-INF, -INF]]), dim=1, smooth=False),
    ]


def implicit(r: Make) -> list[S]:
    return [S(r(4)), S(r(3, 4)), S(r(2, 3, 4)), S(r(2, 2, 2, 2)), *along(r)]


CASES = [
    Case("softmax", along),
    Case("log_softmax", along),
    Case("nn.functional.softmax", implicit),
    Case("nn.functional.log_softmax", implicit),
    Case("nn.functional.softmin", implicit),
    Case(
        "nn.functional.gumbel_softmax",
        lambda r: [S(r(3, 4)), S(r(3, 4), tau=0.5, hard=True), S(r(2, 3, 4), dim=1), S(r(0, 3))],
        random=True,
    ),
]
