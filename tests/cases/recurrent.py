"""Recurrent cells and sequences: padded, packed, several layers, both directions."""

from __future__ import annotations

import numpy as np

from tests.cases import Array, Case, Make, S, const

GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def weights(r: Make, gates: int, width: int, hidden: int, bias: bool = True, proj: int = 0):
    """w_ih, w_hh and biases of one direction of one layer, not large: states stay unsaturated."""
    shapes = [(gates * hidden, width), (gates * hidden, proj or hidden)]
    shapes += [(gates * hidden,)] * 2 if bias else []
    shapes += [(proj, hidden)] if proj else []
    return [r(*shape, low=-0.9, high=0.9) for shape in shapes]


def states(r: Make, kind: str, *shape: int, proj: int = 0):
    """h, or (h, c) of an LSTM."""
    h = r(*shape[:-1], proj or shape[-1])
    return (h, r(*shape)) if kind == "lstm" else h


def cell(kind: str):
    def samples(r: Make) -> list[S]:
        w = weights(r, GATES[kind], 3, 2)
        x, h = r(4, 3), states(r, kind, 4, 2)
        fixed = (const(h[0]), const(h[1])) if kind == "lstm" else const(h)
        return [
            S(x, h, *w),
            S(x, h, *w[:2]),
            S(const(x), fixed, *w),
            S(x, fixed, *[const(p) for p in w]),
            S(const(x), h, const(w[0]), const(w[1]), w[2], const(w[3])),
            S(r(1, 3), states(r, kind, 1, 2), *w),
        ]

    return samples


def network(r: Make, kind: str, layers: int = 1, both: bool = False, bias: bool = True, proj=0):
    """Parameters of all layers: input 3, hidden 2 (3 if projected to `proj`)."""
    ways, hidden, params = 2 if both else 1, 3 if proj else 2, []
    for layer in range(layers):
        width = 3 if layer == 0 else ways * (proj or hidden)
        for _ in range(ways):
            params += weights(r, GATES[kind], width, hidden, bias, proj)
    return params, layers * ways, hidden


def sequence(kind: str):
    def padded(r: Make, *lead: int, batch_first: bool = False, **options) -> S:
        params, rows, hidden = network(r, kind, **options)
        batch = lead[0] if batch_first else lead[1]
        hx = states(r, kind, rows, batch, hidden, proj=options.get("proj", 0))
        layers, both = options.get("layers", 1), options.get("both", False)
        flags = (options.get("bias", True), layers, 0.0, False, both, batch_first)
        return S(r(*lead, 3), hx, params, *flags)

    def packed(r: Make, sizes: list[int], **options) -> S:
        params, rows, hidden = network(r, kind, **options)
        hx = states(r, kind, rows, sizes[0], hidden, proj=options.get("proj", 0))
        layers, both = options.get("layers", 1), options.get("both", False)
        count = Array(np.array(sizes), False, False)
        return S(r(sum(sizes), 3), count, hx, params, True, layers, 0.0, False, both)

    def samples(r: Make) -> list[S]:
        found = [
            padded(r, 4, 2),
            padded(r, 3, 2, both=True),
            padded(r, 2, 3, batch_first=True, layers=2, bias=False),
            padded(r, 2, 3, layers=2, both=True),
            padded(r, 1, 1),
            packed(r, [3, 3, 1]),
            packed(r, [4, 2, 2, 1], both=True, layers=2),
        ]
        if kind == "lstm":
            found += [
                padded(r, 3, 2, proj=1, bias=False),
                padded(r, 3, 2, proj=2, both=True, layers=2),
                packed(r, [3, 1], proj=1, both=True),
            ]
        return found

    return samples


CASES = [
    *[Case(f"{name}_cell", cell(name), atol=2e-5, why="sums in another order") for name in GATES],
    *[
        # PyTorch rounds to half precision after every step of every product
        Case(name, sequence(name), atol=2e-5, half=False, why="sums in another order")
        for name in GATES
    ],
]
