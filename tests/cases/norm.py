"""Normalisation."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, const

INF, NAN = np.inf, np.nan
WIDE = "variances of few values: the quotient loses digits in float32"


def layer(r: Make) -> list[S]:
    return [
        S(r(3, 4), (4,)),
        S(r(3, 4), (4,), r(4), r(4)),
        S(r(2, 3, 4), [3, 4], r(3, 4), r(3, 4), 0.1),
        S(r(3, 4), (4,), r(4)),
        S(r(3, 4), (4,), None, r(4)),
        S(r(4), (4,), r(4), r(4)),
        S(r(0, 4), (4,), r(4), r(4)),
        S(const(r(3, 4)), (4,), r(4), r(4)),
        S(r(3, 4), (4,), const(r(4))),
        S(r.values([[2.0, 2.0, 2.0]]), (3,), smooth=False, grad=False),
        S(r.values([[1.0, INF, 2.0], [NAN, 0.0, 1.0]]), (3,), smooth=False),
    ]


def group(r: Make) -> list[S]:
    return [
        S(r(2, 4, 3), 2),
        S(r(2, 4, 3), 4, r(4), r(4)),
        S(r(2, 6), 3, r(6), r(6), 0.1),
        S(r(2, 4, 2, 2), 1, r(4)),
        S(r(0, 4, 3), 2, r(4), r(4)),
        S(r(2, 4, 2, 1, 2), 2, r(4)),
    ]


def batch(r: Make) -> list[S]:
    mean, var = const(r(3)), const(r.pos(3))
    return [
        S(r(4, 3), mean, var),
        S(r(4, 3), mean, var, r(3), r(3)),
        S(r(2, 3, 4), mean, var, r(3), r(3), eps=0.1),
        S(r(2, 3, 2, 2), mean, var, r(3)),
        S(r(4, 3), None, None, r(3), r(3), True),
        S(r(2, 3, 4), None, None, training=True),
        S(r(2, 3, 2, 2), None, None, r(3), r(3), True, eps=0.1),
        S(r(2, 3, 2, 1, 2), None, None, r(3), training=True),
        S(r(0, 3), mean, var),
        S(r(4, 3), None, None, None, r(3), True),
    ]


def instance(r: Make) -> list[S]:
    mean, var = const(r(3)), const(r.pos(3))
    return [
        S(r(2, 3, 4)),
        S(r(2, 3, 4), None, None, r(3), r(3)),
        S(r(2, 3, 2, 3), eps=0.1, weight=r(3)),
        S(r(2, 3, 4), mean, var, r(3), r(3), use_input_stats=False),
        S(r(1, 3, 2, 2, 2)),
    ]


def reordered(samples):
    """Samples of nn.functional's batch or instance norm in the order of torch's own."""

    def changed(r: Make) -> list[S]:
        return [
            S(r(4, 3, 2), r(3), r(3), const(r(3)), const(r.pos(3)), False, 0.1, 1e-5, False),
            S(r(4, 3, 2), r(3), None, None, None, True, 0.1, 1e-3, False),
        ]

    return changed


CASES = [
    Case("nn.functional.layer_norm", layer, atol=5e-5, why=WIDE),
    Case("layer_norm", lambda r: [S(r(3, 4), (4,), r(4), r(4), 1e-5, False)], atol=5e-5, why=WIDE),
    Case(
        "nn.functional.rms_norm",
        lambda r: [
            S(r(3, 4), (4,)),
            S(r(3, 4), (4,), r(4)),
            S(r(2, 3, 4), [3, 4], r(3, 4), 0.1),
            S(r(4), (4,), r(4)),
            S(r(0, 4), (4,), r(4)),
            S(const(r(3, 4)), (4,), r(4)),
            S(r.values([[0.0, 0.0]]), (2,), smooth=False),
        ],
        atol=5e-5,
        why=WIDE,
    ),
    Case("nn.functional.group_norm", group, atol=5e-5, why=WIDE),
    Case("group_norm", lambda r: [S(r(2, 4, 3), 2, r(4), r(4), 1e-5, False)], atol=5e-5, why=WIDE),
    Case("nn.functional.batch_norm", batch, atol=5e-5, why=WIDE, half=False),
    Case("batch_norm", reordered(batch), atol=5e-5, why=WIDE, half=False),
    Case("nn.functional.instance_norm", instance, atol=5e-5, why=WIDE, half=False),
    Case("instance_norm", reordered(instance), atol=5e-5, why=WIDE, half=False),
    Case(
        "nn.functional.local_response_norm",
        lambda r: [
            S(r(2, 5, 3), 3),
            S(r(2, 5, 2, 2), 2, alpha=0.1, beta=0.5, k=2.0),
            S(r(1, 3, 2), 1, 0.3),
            S(r(1, 3, 2), 7, 0.3),
            S(r(0, 3, 2), 3),
        ],
        half=False,
    ),
    Case(
        "nn.functional.normalize",
        lambda r: [
            S(r(3, 4)),
            S(r(3, 4), p=1.0),
            S(r(3, 4), p=3.0, dim=0),
            S(r(3, 4), INF),
            S(r(4), dim=0),
            S(r.values([[0.0, 0.0], [1e-20, 0.0]]), smooth=False, grad=False),
            S(r(0, 3)),
        ],
    ),
]
