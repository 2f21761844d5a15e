"""Matrix products, attention, normalisation, recurrent layers: the body of most models."""

from __future__ import annotations

from typing import Any

from .base import constant, leaf, op, sizes

LINEAR = sizes((32, 64, 64), (128, 512, 512), (512, 1024, 1024))
SQUARE = sizes((16,), (256,), (768,))
BATCHES = sizes((4, 8, 8), (16, 64, 64), (32, 128, 128))
HEADS = sizes((1, 2, 8, 8), (4, 4, 128, 32), (2, 8, 512, 64))
FEATURES = sizes((8, 16), (256, 512), (2048, 512))
IMAGES = sizes((2, 4, 6, 6), (8, 32, 16, 16), (16, 64, 32, 32))
SEQUENCES = sizes((4, 2, 8, 8), (32, 16, 64, 128), (64, 32, 128, 256))

op(
    "linear",
    "linear",
    LINEAR,
    lambda n, i, o: [leaf(n, i), leaf(o, i), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.linear(x, w, b),
)
op(
    "linear",
    "linear gelu",  # smooth: rounding next to a kink would decide whole gradients
    LINEAR,
    lambda n, i, o: [leaf(n, i), leaf(o, i), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.gelu(lib.nn.functional.linear(x, w, b)),
)
op(
    "linear",
    "linear one row",
    sizes((1, 64, 64), (1, 512, 512), (1, 2048, 2048)),
    lambda n, i, o: [leaf(n, i), leaf(o, i), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.linear(x, w, b),
)
op(
    "matmul",
    "matmul",
    SQUARE,
    lambda n: [leaf(n, n), leaf(n, n)],
    lambda lib, a, b: a @ b,
)
op(
    "matmul",
    "matmul transposed",
    SQUARE,
    lambda n: [leaf(n, n), leaf(n, n)],
    lambda lib, a, b: a @ b.T,
)
op(
    "matmul",
    "matmul batch by matrix",
    BATCHES,
    lambda n, i, j: [leaf(n, i, j), leaf(j, i)],
    lambda lib, a, b: a @ b,
)
op(
    "matmul",
    "bmm",
    BATCHES,
    lambda n, i, j: [leaf(n, i, j), leaf(n, j, i)],
    lambda lib, a, b: lib.bmm(a, b),
)
op(
    "matmul",
    "einsum heads",
    sizes((2, 2, 4, 4), (4, 4, 64, 32), (4, 8, 256, 64)),
    lambda b, h, t, d: [leaf(b, t, h, d), leaf(b, t, h, d)],
    lambda lib, q, k: lib.einsum("bihd,bjhd->bhij", q, k),
)
op(
    "matmul",
    "matrix vector",
    sizes((8, 8), (512, 512), (2048, 2048)),
    lambda n, m: [leaf(n, m), leaf(m)],
    lambda lib, a, x: a @ x,
)


def heads(b: int, h: int, t: int, d: int) -> list:
    """Queries, keys and values of multi-head attention."""
    return [leaf(b, h, t, d) for _ in range(3)]


def grouped_heads(b: int, h: int, t: int, d: int) -> list:
    """Half as many heads of keys and values as of queries."""
    return [leaf(b, h, t, d), leaf(b, h // 2, t, d), leaf(b, h // 2, t, d)]


def _attention(lib: Any, q: Any, k: Any, v: Any, **options: Any) -> Any:
    return lib.nn.functional.scaled_dot_product_attention(q, k, v, **options)


op("attention", "attention", HEADS, heads, _attention)
op(
    "attention",
    "attention causal",
    HEADS,
    heads,
    lambda lib, q, k, v: _attention(lib, q, k, v, is_causal=True),
)
op(
    "attention",
    "attention masked",
    HEADS,
    lambda b, h, t, d: [*heads(b, h, t, d), constant(t, t)],
    lambda lib, q, k, v, m: _attention(lib, q, k, v, attn_mask=m),
)
op(
    "attention",
    "attention grouped",
    HEADS,
    grouped_heads,
    lambda lib, q, k, v: _attention(lib, q, k, v, is_causal=True, enable_gqa=True),
)

op(
    "norm",
    "layer norm",
    FEATURES,
    lambda n, d: [leaf(n, d), leaf(d), leaf(d)],
    lambda lib, x, w, b: lib.nn.functional.layer_norm(x, w.shape, w, b),
)
op(
    "norm",
    "rms norm",
    FEATURES,
    lambda n, d: [leaf(n, d), leaf(d)],
    lambda lib, x, w: lib.nn.functional.rms_norm(x, w.shape, w),
)
op(
    "norm",
    "batch norm 1d",
    FEATURES,
    lambda n, d: [leaf(n, d)],
    lambda module, x: module(x),
    module=lambda lib, n, d: lib.nn.BatchNorm1d(d),
)
op(
    "norm",
    "batch norm",
    IMAGES,
    lambda n, c, h, w: [leaf(n, c, h, w)],
    lambda module, x: module(x),
    module=lambda lib, n, c, h, w: lib.nn.BatchNorm2d(c),
)
op(
    "norm",
    "batch norm eval",
    IMAGES,
    lambda n, c, h, w: [leaf(n, c, h, w)],
    lambda module, x: module(x),
    module=lambda lib, n, c, h, w: lib.nn.BatchNorm2d(c).eval(),
)
op(
    "norm",
    "group norm",
    IMAGES,
    lambda n, c, h, w: [leaf(n, c, h, w), leaf(c), leaf(c)],
    lambda lib, x, w, b: lib.nn.functional.group_norm(x, 2, w, b),
)
op(
    "norm",
    "instance norm",
    IMAGES,
    lambda n, c, h, w: [leaf(n, c, h, w)],
    lambda lib, x: lib.nn.functional.instance_norm(x),
)

op(
    "rnn",
    "lstm",
    SEQUENCES,
    lambda t, n, i, h: [leaf(t, n, i)],
    lambda module, x: module(x)[0],
    module=lambda lib, t, n, i, h: lib.nn.LSTM(i, h),
    tolerance=5e-4,
)
op(
    "rnn",
    "gru",
    SEQUENCES,
    lambda t, n, i, h: [leaf(t, n, i)],
    lambda module, x: module(x)[0],
    module=lambda lib, t, n, i, h: lib.nn.GRU(i, h),
    tolerance=5e-4,
)
