"""Elementwise functions, reductions, and what is made of both: softmax, losses, dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import booleans, constant, distinct, integers, leaf, op, positive, sizes

POINTS = sizes((8, 8), (256, 256), (1024, 1024))
ROWS = sizes((8, 8), (256, 512), (1024, 1024))
CLASSES = sizes((8, 10), (256, 1000), (2048, 1000))

UNARY = {
    "relu": lambda lib, x: lib.relu(x),
    "gelu": lambda lib, x: lib.nn.functional.gelu(x),
    "gelu tanh": lambda lib, x: lib.nn.functional.gelu(x, approximate="tanh"),
    "silu": lambda lib, x: lib.nn.functional.silu(x),
    "sigmoid": lambda lib, x: lib.sigmoid(x),
    "tanh": lambda lib, x: lib.tanh(x),
    "softplus": lambda lib, x: lib.nn.functional.softplus(x),
    "leaky relu": lambda lib, x: lib.nn.functional.leaky_relu(x, 0.1),
    "elu": lambda lib, x: lib.nn.functional.elu(x),
    "exp": lambda lib, x: lib.exp(x),
    "sin": lambda lib, x: lib.sin(x),
    "abs": lambda lib, x: lib.abs(x),
    "square": lambda lib, x: x**2,
    "clamp": lambda lib, x: lib.clamp(x, -1.0, 1.0),
    "scale and shift": lambda lib, x: x * 2.0 + 1.0,
}
POSITIVE = {
    "log": lambda lib, x: lib.log(x),
    "rsqrt": lambda lib, x: lib.rsqrt(x),
}
BINARY = {
    "add": lambda lib, x, y: x + y,
    "mul": lambda lib, x, y: x * y,
    "maximum": lambda lib, x, y: lib.maximum(x, y),
    "gated silu": lambda lib, x, y: lib.nn.functional.silu(x) * y,
}

for _name, _f in UNARY.items():
    op("elementwise", _name, POINTS, lambda *s: [leaf(*s)], _f)
for _name, _f in POSITIVE.items():
    op("elementwise", _name, POINTS, lambda *s: [positive(*s)], _f)
for _name, _f in BINARY.items():
    op("elementwise", _name, POINTS, lambda *s: [leaf(*s), leaf(*s)], _f)

op("elementwise", "div", POINTS, lambda *s: [leaf(*s), positive(*s)], lambda lib, x, y: x / y)
op("elementwise", "add row", POINTS, lambda n, m: [leaf(n, m), leaf(m)], lambda lib, x, b: x + b)
op(
    "elementwise",
    "mul column",
    POINTS,
    lambda n, m: [leaf(n, m), leaf(n, 1)],
    lambda lib, x, b: x * b,
)
op(
    "elementwise",
    "where",
    POINTS,
    lambda *s: [booleans(*s), leaf(*s), leaf(*s)],
    lambda lib, c, x, y: lib.where(c, x, y),
)
op(
    "elementwise",
    "addcmul",
    POINTS,
    lambda *s: [leaf(*s), leaf(*s), leaf(*s)],
    lambda lib, x, y, z: lib.addcmul(x, y, z, value=0.5),
)

REDUCTIONS = {
    "sum": lambda lib, x: x.sum(),
    "sum rows": lambda lib, x: x.sum(-1),
    "sum columns": lambda lib, x: x.sum(0),
    "mean": lambda lib, x: x.mean(),
    "var": lambda lib, x: x.var(-1),
    "norm": lambda lib, x: lib.linalg.vector_norm(x),
    "logsumexp": lambda lib, x: lib.logsumexp(x, -1),
    "cumsum": lambda lib, x: lib.cumsum(x, -1),
}
for _name, _f in REDUCTIONS.items():
    op("reduction", _name, ROWS, lambda *s: [leaf(*s)], _f)
op("reduction", "max", ROWS, lambda *s: [distinct(*s)], lambda lib, x: x.max())
op("reduction", "max rows", ROWS, lambda *s: [distinct(*s)], lambda lib, x: tuple(x.max(-1)))
op("reduction", "amax columns", ROWS, lambda *s: [distinct(*s)], lambda lib, x: lib.amax(x, 0))
op("reduction", "argmax", ROWS, lambda *s: [constant(*s)], lambda lib, x: x.argmax(-1))

op(
    "softmax",
    "softmax",
    CLASSES,
    lambda *s: [leaf(*s)],
    lambda lib, x: lib.nn.functional.softmax(x, -1),
)
op(
    "softmax",
    "softmax columns",
    CLASSES,
    lambda *s: [leaf(*s)],
    lambda lib, x: lib.nn.functional.softmax(x, 0),
)
op(
    "softmax",
    "log softmax",
    CLASSES,
    lambda *s: [leaf(*s)],
    lambda lib, x: lib.nn.functional.log_softmax(x, -1),
)


def _logits(n: int, classes: int) -> list:
    return [leaf(n, classes), integers(classes, n)]


op(
    "softmax",
    "cross entropy",
    CLASSES,
    _logits,
    lambda lib, x, t: lib.nn.functional.cross_entropy(x, t),
)
op(
    "softmax",
    "cross entropy smoothed",
    CLASSES,
    _logits,
    lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, label_smoothing=0.1),
)
op(
    "softmax",
    "cross entropy ignoring",
    CLASSES,
    _logits,
    lambda lib, x, t: lib.nn.functional.cross_entropy(x, t, ignore_index=3),
)

LOSSES = {
    "mse": lambda lib, x, t: lib.nn.functional.mse_loss(x, t),
    "l1": lambda lib, x, t: lib.nn.functional.l1_loss(x, t),
    "huber": lambda lib, x, t: lib.nn.functional.huber_loss(x, t),
    "smooth l1": lambda lib, x, t: lib.nn.functional.smooth_l1_loss(x, t),
}
for _name, _f in LOSSES.items():
    op("loss", _name, ROWS, lambda *s: [leaf(*s), constant(*s)], _f)
op(
    "loss",
    "bce",
    ROWS,
    lambda *s: [positive(*s), positive(*s, wanted=False)],
    lambda lib, x, t: lib.nn.functional.binary_cross_entropy(x, t),
)
op(
    "loss",
    "bce with logits",
    ROWS,
    lambda *s: [leaf(*s), positive(*s, wanted=False)],
    lambda lib, x, t: lib.nn.functional.binary_cross_entropy_with_logits(x, t),
)
op(
    "loss",
    "kl div",
    ROWS,
    lambda *s: [leaf(*s), positive(*s, wanted=False)],
    lambda lib, x, t: lib.nn.functional.kl_div(x, t, reduction="batchmean"),
)
op(
    "loss",
    "cosine similarity",
    ROWS,
    lambda *s: [leaf(*s), leaf(*s)],
    lambda lib, x, y: lib.nn.functional.cosine_similarity(x, y),
)


def dropped(p: float) -> Any:
    """What must hold of dropout's random result: zeros or x / (1 - p), the gradient alike, and the
    share of zeros within 5 standard deviations of p."""

    def check(y: np.ndarray, x: np.ndarray, grad: np.ndarray) -> list[np.ndarray]:
        kept = y != 0
        right = np.allclose(y, np.where(kept, x / (1 - p), 0), rtol=1e-5)
        same_mask = bool(np.array_equal(kept, grad != 0))
        spread = 5 * (p * (1 - p) / y.size) ** 0.5
        return [np.array([right, same_mask, abs(1 - kept.mean() - p) < spread])]

    return check


op(
    "dropout",
    "dropout",
    POINTS,
    lambda *s: [leaf(*s)],
    lambda lib, x: lib.nn.functional.dropout(x, 0.2, training=True),
    check=dropped(0.2),
)
