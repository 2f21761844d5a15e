"""Dropout where its result is certain; tests/test_dropout.py has the rest."""

from __future__ import annotations

from tests.cases import Case, Make, S


def certain(*shape: int):
    """Nothing dropped, everything dropped, not in training."""

    def samples(r: Make) -> list[S]:
        return [
            S(r(*shape), 0.0),
            S(r(*shape), 1.0, True),
            S(r(*shape), 0.5, False),
            S(r(*shape), p=0.3, training=False),
        ]

    return samples


CASES = [
    Case("nn.functional.dropout", certain(3, 4)),
    Case("dropout", lambda r: [S(r(3, 4), 0.0, True), S(r(3, 4), 1.0, True), S(r(3), 0.5, False)]),
    Case("nn.functional.dropout1d", certain(2, 3, 4)),
    Case("nn.functional.dropout2d", certain(2, 3, 4, 2)),
    Case("nn.functional.dropout3d", certain(2, 3, 2, 2, 2)),
    Case("nn.functional.alpha_dropout", certain(3, 4)),
    Case("nn.functional.feature_alpha_dropout", certain(2, 3, 4)),
]
