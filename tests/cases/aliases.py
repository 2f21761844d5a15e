"""Functions under `minigrad.` that call one of another place: losses whose reduction is a number,
dropout without defaults, pooling with indices; and those of `ops/rare.py`.
"""

from __future__ import annotations

import warnings

import numpy as np

from tests.cases import Array, Case, Make, S, const
from tests.cases.loss import sign, unit

WORDS = (0, 1, 2)  # none, mean, sum


def numbered(name: str, *inputs, **kwargs) -> Case:
    """A loss of the arrays that `inputs` make, with every number for the reduction."""

    def samples(r: Make) -> list[S]:
        return [S(*[make(r) for make in inputs], reduction=word, **kwargs) for word in WORDS]

    return Case(name, samples, half=False)


def rows(r: Make) -> Array:
    return r(3, 4)


def probabilities(r: Make) -> Array:
    return const(unit(r, 3, 4))


def row_signs(r: Make) -> Array:
    return sign(r, 3)


def segments(r: Make) -> list[S]:
    lengths = r.values([2, 0, 3], np.int64)
    found = [
        S(r.distinct(5, 2), reduce, lengths=lengths, initial=start, unsafe=False)
        for reduce, start in (("sum", 0), ("mean", 0), ("max", -9), ("min", 9), ("prod", 1))
    ]
    return [*found, S(r(5), "sum", offsets=r.values([0, 2, 5], np.int64))]


def nuclear_norm(*args):
    """PyTorch's, which warns that it is old."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nuclear_norm(*args)


CASES = [
    numbered("binary_cross_entropy_with_logits", rows, probabilities),
    numbered("kl_div", rows, probabilities),
    numbered("cosine_embedding_loss", rows, rows, row_signs),
    numbered("hinge_embedding_loss", rows, lambda r: sign(r, 3, 4)),
    numbered("margin_ranking_loss", rows, rows, lambda r: sign(r, 3, 4)),
    numbered("triplet_margin_loss", rows, rows, rows),
    Case(
        "poisson_nll_loss",
        lambda r: [
            S(r(3, 4), const(r.pos(3, 4)), log, full, 1e-8, word)
            for word in WORDS
            for log, full in ((True, False), (True, True))
        ],
        half=False,
    ),
    Case(
        "ctc_loss",
        lambda r: [
            S(
                r(5, 2, 4),
                r.int(1, 4, 2, 2),
                r.values([5, 4], np.int64),
                r.values([2, 1], np.int64),
                0,
                word,
                grad=False,
            )
            for word in WORDS
        ],
        half=False,
    ),
    Case("adaptive_max_pool1d", lambda r: [S(r.distinct(2, 3, 7), 3), S(r.distinct(3, 6), 2)]),
    Case(
        "max_pool1d_with_indices",
        lambda r: [S(r.distinct(2, 3, 7), 3), S(r.distinct(2, 3, 7), 3, 2, 1, 1, True)],
    ),
    *[
        Case(
            f"nn.functional.max_pool{d}d_with_indices",
            lambda r, d=d: [S(r.distinct(2, *[5] * d), 2)],
        )
        for d in (1, 2, 3)
    ],
    *[
        Case(
            f"nn.functional.adaptive_max_pool{d}d_with_indices",
            lambda r, d=d: [S(r.distinct(2, *[5] * d), 2)],
        )
        for d in (1, 2, 3)
    ],
    *[
        Case(
            f"nn.functional.fractional_max_pool{d}d_with_indices",
            lambda r, d=d: [
                S(
                    r.distinct(1, 2, *[6] * d),
                    2,
                    output_size=(3,) * d,
                    _random_samples=const(r(1, 2, d, low=0.0, high=1.0)),
                )
            ],
            half=False,
        )
        for d in (2, 3)
    ],
    Case(
        "nuclear_norm",
        lambda r: [S(r(3, 2)), S(r(3, 2), True), S(r(3, 2, 4), (0, 2))],
        torch=nuclear_norm,
        half=False,
    ),
    *[
        Case(name, lambda r: [S(r(3, 4, 2), 0.0, True), S(r(3, 4, 2), 0.5, False)])
        for name in ("alpha_dropout", "feature_alpha_dropout", "feature_dropout")
    ],
    Case(
        "as_strided_scatter",  # constant: PyTorch 2.13 gives the input the gradient of the slice
        lambda r: [
            S(const(r(3, 4)), r(2, 2), (2, 2), (4, 1)),
            S(const(r(3, 4)), r(2, 2), (2, 2), (4, 1), 1),
        ],
    ),
    Case(
        "conv_tbc",
        lambda r: [S(r(5, 2, 3), r(2, 3, 4), r(4)), S(r(5, 2, 3), r(3, 3, 4), r(4), 1)],
        half=False,
    ),
    Case("frobenius_norm", lambda r: [S(r(3, 4), 1), S(r(3, 4), (0, 1), True)]),
    # PyTorch's own has no gradient: it writes into what it has saved
    Case("vander", lambda r: [S(r(4)), S(r(4), 3), S(r(4), 3, True)], grad=False),
    Case("segment_reduce", segments, half=False, gradgrad=False),
]
