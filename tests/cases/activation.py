"""Activation functions: regular values with gradients, then kinks, infinities and nan."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S

INF, NAN = np.inf, np.nan
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0, 20.0, -20.0, 25.0, 90.0, -90.0]
EXTREME = [INF, -INF, NAN]


def act(
    *options: dict, kinks: tuple[float, ...] = (0.0,), extreme: bool = True, ints: bool = False
):
    """Matrix, 0-d, empty and edge values for each set of options."""

    def samples(r: Make) -> list[S]:
        found = []
        for kwargs in options or ({},):
            found += [
                S(r.away(3, 4, kinks=kinks), **kwargs),
                S(r.away(kinks=kinks), **kwargs),
                S(r(0, 3), **kwargs),
                S(r.values(EDGES), smooth=False, **kwargs),
            ]
            if extreme:
                found.append(S(r.values(EXTREME), smooth=False, **kwargs))
            if ints:
                found.append(S(r.int(-4, 9, 2, 3), **kwargs))
        return found

    return samples


def nnf(name: str, samples, **kwargs) -> Case:
    return Case(f"nn.functional.{name}", samples, **kwargs)


def prelu(r: Make) -> list[S]:
    return [
        S(r.away(3, 4), r(1)),
        S(r.away(3, 4), r(4)),
        S(r.away(2, 3, 2), r(3)),
        S(r.away(3), r(1)),
        S(r.away(), r(1)),
        S(r.away(2, 3), r()),
        S(r(0, 3), r(3)),
        S(r.away(), r()),
        S(r.values([[0.0, INF], [NAN, -INF]]), r.values([0.5, -0.5]), smooth=False),
    ]


CASES = [
    nnf(
        "threshold",
        act({"threshold": 0.1, "value": 20.0}, {"threshold": -1, "value": 2.5}, kinks=(0.1, -1.0)),
    ),
    Case("threshold", act({"threshold": 1, "value": 2}, kinks=(1.0,), ints=True)),
    nnf("logsigmoid", act()),
    nnf("softsign", act(ints=True)),
    nnf("tanhshrink", act(ints=True)),
    nnf(
        "hardtanh",
        act(
            {},
            {"min_val": -0.5, "max_val": 2.0},
            {"min_val": 0.5, "max_val": 0.5},
            kinks=(-1.0, 1.0, -0.5, 2.0, 0.5),
        ),
    ),
    nnf("hardtanh", lambda r: [S(r.int(-5, 6, 3, 3), -2, 3)]),
    nnf("hardsigmoid", act(kinks=(-3.0, 3.0))),
    nnf("hardshrink", act({}, {"lambd": 0.0}, {"lambd": 1.5}, kinks=(0.5, -0.5, 0.0, 1.5, -1.5))),
    Case("hardshrink", act({"lambd": 0.3}, kinks=(0.3, -0.3))),
    nnf("softshrink", act({}, {"lambd": 0.0}, {"lambd": 1.5}, kinks=(0.5, -0.5, 0.0, 1.5, -1.5))),
    Case("relu", act(ints=True)),
    nnf("relu", act(ints=True)),
    nnf("relu6", act(kinks=(0.0, 6.0), ints=True)),
    nnf(
        "leaky_relu",
        act({}, {"negative_slope": 0.5}, {"negative_slope": -2.0}, {"negative_slope": 0.0}),
    ),
    nnf("prelu", prelu),
    Case("prelu", prelu),
    nnf(
        "rrelu",
        act({}, {"lower": 0.1, "upper": 0.5}, {"lower": 0.25, "upper": 0.25, "training": True}),
    ),
    Case("rrelu", act({"lower": 0.5, "upper": 0.5, "training": True})),
    nnf("elu", act({}, {"alpha": 0.5}, {"alpha": -1.5})),
    nnf("celu", act({}, {"alpha": 0.5}, {"alpha": -1.5}, extreme=False)),
    nnf("selu", act()),
    nnf(
        "softplus",
        act({}, {"beta": 3.0, "threshold": 2.0}, {"beta": 0.5}, {"beta": -1.0}, kinks=(2 / 3,)),
    ),
    nnf("gelu", act({}, {"approximate": "tanh"}, extreme=False)),  # PyTorch: gelu(inf) = nan
    nnf("silu", act()),
    nnf("mish", act()),
    nnf("hardswish", act(kinks=(-3.0, 3.0))),
    nnf(
        "glu",
        lambda r: [
            S(r(3, 4)),
            S(r(4, 3), 0),
            S(r(2, 6, 3), dim=-2),
            S(r(0, 4)),
            S(r(2)),
            S(r.values([INF, -INF, NAN, 1.0, 2.0, 3.0]), smooth=False),
        ],
    ),
]
