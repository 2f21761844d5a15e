"""Losses: every reduction, weights, broadcasting, guards; ctc_loss has tests/test_ctc.py, too."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, const

INF = np.inf
REDUCTIONS = ("mean", "sum", "none")


def nnf(name: str, samples, **kwargs) -> Case:
    return Case(f"nn.functional.{name}", samples, half=False, **kwargs)


def two(*options: dict, second=None, shapes=((3, 4), (), (0, 3))):
    """Input and target of each shape, for every reduction, then with each set of options."""

    def samples(r: Make) -> list[S]:
        other = second or (lambda r, *s: r(*s))
        found = [
            S(r(*s), other(r, *s), reduction=word, smooth=0 not in s)
            for s in shapes
            for word in REDUCTIONS
        ]
        return found + [S(r(3, 4), other(r, 3, 4), **kwargs) for kwargs in options]

    return samples


def weighted(name: str, *options: dict) -> Case:
    def samples(r: Make) -> list[S]:
        found = two(*options)(r)
        found += [S(r(3, 4), r(3, 4), weight=r.pos(3, 4), reduction=w) for w in REDUCTIONS]
        return [*found, S(r(3, 4), const(r(3, 4))), S(r(3, 4), r(4)), S(r(3, 1), r(3, 4))]

    return nnf(name, samples)


def signs(r: Make, *shape: int):
    return r.values(np.where(r.rng.random(shape) < 0.5, -1.0, 1.0)), shape


def sign(r: Make, *shape: int):
    return const(signs(r, *shape)[0])


def unit(r: Make, *shape: int):
    return r(*shape, low=0.05, high=0.95)


def gaussian(r: Make) -> list[S]:
    found = [
        S(r(3, 4), r(3, 4), r.pos(3, 4), reduction=w, full=f)
        for w in REDUCTIONS
        for f in (True, False)
    ]
    return [
        *found,
        S(r(3, 4), r(3, 4), r.pos(3)),
        S(r(3, 4), r(3, 4), r.pos(3, 1)),
        S(r(3, 4), r(4), r.pos(1, 4)),
        S(r(3, 4), r(3, 4), 0.5),
        S(r(2), r(2), r.values([1e-9, 0.0]), smooth=False, eps=0.1),
    ]


def poisson(r: Make) -> list[S]:
    found = [
        S(r.pos(3, 4), r(3, 4, low=0.1, high=4), log_input=log, full=full, reduction=w)
        for w in REDUCTIONS
        for log in (True, False)
        for full in (True, False)
    ]
    return [
        *found,
        S(r.pos(2), const(r.values([0.0, 1.0])), full=True),
        S(r.pos(3), r(1, low=2, high=3), eps=0.1),
    ]


def bce(r: Make) -> list[S]:
    found = [S(unit(r, 3, 4), unit(r, 3, 4), reduction=w) for w in REDUCTIONS]
    return [
        *found,
        S(unit(r, 3, 4), unit(r, 3, 4), const(r.pos(4))),
        S(unit(r), unit(r)),
        S(unit(r, 3, 4), const(unit(r, 3, 4))),
        S(unit(r, 0), unit(r, 0), smooth=False),
        S(r.values([0.0, 1.0, 0.0, 1.0]), const(r.values([0.0, 1.0, 1.0, 0.0])), smooth=False),
    ]


def logits(r: Make) -> list[S]:
    found = [S(r(3, 4), unit(r, 3, 4), reduction=w) for w in REDUCTIONS]
    return [
        *found,
        S(r(3, 4), unit(r, 3, 4), const(r.pos(4))),
        S(r(3, 4), unit(r, 3, 4), pos_weight=const(r.pos(4))),
        S(r(), unit(r)),
        S(r(3, 4), unit(r, 3, 4), const(r.pos(3, 1)), pos_weight=const(r.pos(4)), reduction="sum"),
        S(r.values([500.0, -500.0, 0.0]), const(r.values([0.0, 1.0, 1.0])), smooth=False),
        S(r(0), unit(r, 0), smooth=False),
    ]


def divergence(r: Make) -> list[S]:
    words = (*REDUCTIONS, "batchmean")
    found = [S(r(3, 4), unit(r, 3, 4), reduction=w) for w in words]
    found += [S(r(3, 4), r(3, 4), reduction=w, log_target=True) for w in words]
    return [
        *found,
        S(r(), unit(r), reduction="batchmean"),
        S(r(2), const(r.values([0.0, 0.5]))),
        S(r(3, 4), unit(r, 4)),
    ]


def classes(r: Make) -> list[S]:
    found = []
    for word in REDUCTIONS:
        found += [
            S(r(3, 4), r.int(0, 4, 3), reduction=word),
            S(r(4), r.int(0, 4), reduction=word),
            S(r(2, 4, 3), r.int(0, 4, 2, 3), reduction=word),
            S(r(2, 4, 3, 2), r.int(0, 4, 2, 3, 2), reduction=word),
            S(
                r(3, 4),
                r.values([1, 0, 1], np.int64),
                const(r.pos(4)),
                ignore_index=1,
                reduction=word,
            ),
            S(r(2, 4, 3), r.int(0, 4, 2, 3), const(r.pos(4)), ignore_index=2, reduction=word),
            S(r(2, 4), r.values([-100, 3], np.int64), reduction=word),
            S(r(0, 4), r.int(0, 4, 0), reduction=word, smooth=False),
            S(r(2, 4), r.values([-100, -100], np.int64), reduction=word, smooth=False),
            S(r(4), r.int(0, 4), const(r.pos(4)), reduction=word),
        ]
    return [*found, S(r(3, 4), r.int(0, 4, 3, dtype=np.uint8))]


def cross(r: Make) -> list[S]:
    found = [s for s in classes(r)[:-1]]
    for word in REDUCTIONS:
        found += [
            S(r(3, 4), r(3, 4), reduction=word),
            S(r(4), r(4), reduction=word),
            S(r(2, 4, 3), r(2, 4, 3), reduction=word),
            S(r(3, 4), r(3, 4), const(r.pos(4)), reduction=word, label_smoothing=0.3),
            S(r(3, 4), r.int(0, 4, 3), reduction=word, label_smoothing=0.3),
            S(
                r(2, 4, 3),
                r.int(0, 4, 2, 3),
                const(r.pos(4)),
                ignore_index=1,
                reduction=word,
                label_smoothing=0.5,
            ),
            S(r(4), r.int(0, 4), const(r.pos(4)), reduction=word, label_smoothing=1.0),
        ]
    return [*found, S(r.values([[1000.0, -1000.0], [3e4, 0.0]]), r.int(0, 2, 2), smooth=False)]


def linear_cross(r: Make) -> list[S]:
    return [
        S(r(3, 4), r(5, 4), r.int(0, 5, 3)),
        S(r(4), r(5, 4), r.int(0, 5)),
        S(r(3, 4), r(5, 4), r(3, 5)),
        S(r(3, 4), r(5, 2, 4), r.int(0, 5, 3, 2), linear_bias=r(5, 2)),
        S(
            r(3, 4),
            r(5, 4),
            r.int(0, 5, 3),
            linear_bias=r(5),
            weight=const(r.pos(5)),
            ignore_index=1,
        ),
        S(r(3, 4), r(5, 4), r.int(0, 5, 3), reduction="none", label_smoothing=0.2),
    ]


def triplets(r: Make) -> list[S]:
    found = [
        S(r(3, 4), r(3, 4), r(3, 4), reduction=w, swap=s) for w in REDUCTIONS for s in (True, False)
    ]
    return [
        *found,
        S(r(4), r(4), r(4), margin=2.0, p=1.0),
        S(r(3, 4), r(1, 4), r(3, 4), p=3.0, eps=0.1),
    ]


def multi(r: Make) -> list[S]:
    found = [S(r(3, 4), r.int(0, 4, 3), p=p, reduction=w) for w in REDUCTIONS for p in (1, 2)]
    return [
        *found,
        S(r(4), r.int(0, 4)),
        S(r(3, 4), r.int(0, 4, 3), 2, 0.5, const(r.pos(4))),
        S(r(1, 4), r.int(0, 4, 1)),
        S(r(4), r.int(0, 4), reduction="none"),
    ]


def multilabel(r: Make) -> list[S]:
    rows = r.values([[3, 0, -1, 1], [0, 1, 2, 3], [-1, 2, 0, 1]], np.int64)
    found = [S(r(3, 4), rows, reduction=w) for w in REDUCTIONS]
    return [
        *found,
        S(r(4), r.values([2, 0, -1, 1], np.int64)),
        S(r(4), r.values([2, -1, -1, 1], np.int64), reduction="none"),
    ]


def soft_labels(r: Make) -> list[S]:
    found = [S(r(3, 4), unit(r, 3, 4), reduction=w) for w in REDUCTIONS]
    return [
        *found,
        S(r(3, 4), unit(r, 3, 4), r.pos(4)),
        S(r(4), unit(r, 4)),
        S(r(2, 3, 4), unit(r, 2, 3, 4)),
    ]


CASES = [
    weighted("mse_loss"),
    weighted("l1_loss"),
    nnf("smooth_l1_loss", two({"beta": 0.3}, {"beta": 0}, {"beta": 3.0})),
    weighted("huber_loss", {"delta": 0.3}, {"delta": 3.0}),
    nnf("gaussian_nll_loss", gaussian),
    nnf("poisson_nll_loss", poisson),
    nnf("binary_cross_entropy", bce),
    nnf("binary_cross_entropy_with_logits", logits),
    nnf("kl_div", divergence),
    nnf("nll_loss", classes),
    nnf("cross_entropy", cross),
    nnf("linear_cross_entropy", linear_cross),
    nnf("hinge_embedding_loss", two({"margin": 0.5}, second=sign, shapes=((3, 4), ()))),
    nnf(
        "margin_ranking_loss",
        lambda r: [
            *[S(r(4), r(4), sign(r, 4), reduction=w) for w in REDUCTIONS],
            S(r(), r(), sign(r)),
            S(r(3, 4), r(3, 4), sign(r, 3, 4), margin=0.5),
        ],
    ),
    nnf("soft_margin_loss", two(second=sign)),
    nnf(
        "cosine_embedding_loss",
        lambda r: [
            *[S(r(3, 4), r(3, 4), sign(r, 3), reduction=w) for w in REDUCTIONS],
            S(r(4), r(4), sign(r)),
            S(r(3, 4), r(3, 4), sign(r, 3), margin=0.3),
            S(r(3, 4), r(1, 4), r.values([1, -1, 1], np.int64)),
        ],
    ),
    nnf("triplet_margin_loss", triplets),
    nnf(
        "triplet_margin_with_distance_loss",
        lambda r: [
            *[S(r(3, 4), r(3, 4), r(3, 4), reduction=w) for w in REDUCTIONS],
            S(r(3, 4), r(3, 4), r(3, 4), swap=True, margin=2.0),
            S(r(3, 4), r(3, 4), r(3, 4), distance_function=lambda a, b: ((a - b) ** 2).sum(-1)),
        ],
    ),
    nnf("multi_margin_loss", multi),
    nnf("multilabel_margin_loss", multilabel),
    nnf("multilabel_soft_margin_loss", soft_labels),
    nnf(
        "ctc_loss",
        lambda r: [
            S(
                r(5, 2, 4),
                r.int(1, 4, 2, 2),
                const(r.values([5, 4], np.int64)),
                r.values([2, 1], np.int64),
                grad=False,
            ),
        ],
    ),
]
