"""Recipes for the modules, losses and products that families.py leaves out, and for schedulers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .families import RECURRENT, _floats, _kind, with_state
from .program import Name, Ref, Statement
from .recipes import HALVES, Maker, _index_tensor, _result, create
from .wider import Made, _small

PADS = ("ReflectionPad", "ReplicationPad", "CircularPad")  # not wider than the input


def more_modules(m: Maker) -> Made:
    """A module with weights, applied to a variable."""
    x = _floats(m, (2, 3, 4, 5))
    if x is None or not _small(x[1], 1000):
        return None
    ref, t = x
    name, args, options, targets = _pick(m, tuple(t.shape))
    made = m.fresh("m")
    seed = m.rng.randint(0, 99)
    statements = [Statement("module", name, (seed, *args), tuple(options.items()), (made,))]
    if _kind(t) == "float64":
        statements.append(Statement("method", "double", (Ref(made),)))
    if m.chance(0.3):
        statements.append(Statement("method", "eval", (Ref(made),)))
    inputs = (ref,) * (3 if name == "nn.MultiheadAttention" else 1)
    inputs = (ref, ref) if name in ("nn.CosineSimilarity", "nn.PairwiseDistance") else inputs
    called = _result(m, "call", "", (Ref(made), *inputs), targets=targets)
    if name in RECURRENT:
        called = with_state(m, dataclasses.replace(called, targets=called.targets[:1]))
    return [*statements, called]


def _pick(m: Maker, shape: tuple[int, ...]) -> tuple[str, tuple, dict[str, Any], int]:
    last, channels, ndim = shape[-1], shape[1], len(shape)
    rest = ndim - 2
    choices: list[tuple[str, tuple, dict[str, Any], int]] = [
        ("nn.CosineSimilarity", (), {"dim": m.rng.randrange(ndim)}, 1),
        ("nn.PairwiseDistance", (), {"p": m.rng.choice((1.0, 3.0))}, 1),
        ("nn.Softmin", (m.rng.randrange(ndim),), {}, 1),
        ("nn.LogSoftmax", (m.rng.randrange(ndim),), {}, 1),
        ("nn.Unflatten", (1, (1, channels)), {}, 1),
        ("nn.CELU", (), {"alpha": 0.5}, 1), ("nn.Hardsigmoid", (), {}, 1),
        ("nn.Threshold", (0.1, -1.0), {}, 1), ("nn.Softshrink", (0.3,), {}, 1),
        ("nn.Hardshrink", (0.3,), {}, 1), ("nn.Tanhshrink", (), {}, 1),
    ]  # fmt: skip
    if ndim == 2:
        choices += [
            ("nn.LSTMCell", (last, 2), {"bias": m.chance(0.6)}, 2),
            ("nn.GRUCell", (last, 2), {}, 1), ("nn.RNNCell", (last, 2), {}, 1),
        ]  # fmt: skip
    if ndim == 3:
        choices += [
            ("nn.MultiheadAttention", (last, 1), {"batch_first": m.chance(0.5)}, 2),
            ("nn.TransformerEncoderLayer", (last, 1, 3),
             {"dropout": 0.0, "norm_first": m.chance(0.5), "batch_first": m.chance(0.5)}, 1),
            ("nn.LSTM", (last, 2), {"num_layers": 2, "proj_size": m.rng.randint(0, 1)}, 2),
            ("nn.LPPool1d", (1, 1), {}, 1),
        ]  # fmt: skip
    if 1 <= rest <= 3:
        low = min(shape[2:])
        choices += [
            (f"nn.{m.rng.choice(PADS)}{rest}d", (m.rng.randint(0, low - 1),), {}, 1),
            (f"nn.ZeroPad{rest}d", (m.rng.randint(0, 2),), {}, 1),
            (f"nn.AdaptiveAvgPool{rest}d", (m.rng.randint(1, 3),), {}, 1),
            (f"nn.ConvTranspose{rest}d", (channels, 2, m.rng.randint(2, 3)),
             {"stride": 2, "output_padding": m.rng.randint(0, 1), "padding": 1}, 1),
            (f"nn.Conv{rest}d", (channels, channels, m.rng.randint(1, low)),
             {"groups": channels, "padding": "same"}, 1),
            (f"nn.Conv{rest}d", (channels, 2, 2), {"dilation": 2, "padding": 2}, 1),
            (f"nn.MaxPool{rest}d", (m.rng.randint(1, low),), {"return_indices": True}, 2),
            ("nn.Upsample", (), {"scale_factor": 2, "mode": "nearest"}, 1),
        ]  # fmt: skip
    if ndim == 4:
        k = m.rng.randint(1, min(shape[2:]))
        choices += [
            ("nn.Unfold", (k,), {}, 1), ("nn.PixelUnshuffle", (1,), {}, 1),
            ("nn.LocalResponseNorm", (2,), {}, 1), ("nn.ChannelShuffle", (channels,), {}, 1),
            ("nn.UpsamplingBilinear2d", (), {"scale_factor": 2}, 1), ("nn.Softmax2d", (), {}, 1),
        ]  # fmt: skip
    return m.rng.choice(choices)


# ---------------------------------------------------------------- losses
def more_losses(m: Maker) -> Made:
    """Losses of two or three tensors, of classes, signs and probabilities."""
    x = m.tensor(lambda t: t.is_floating_point() and t.ndim in (1, 2) and t.numel() > 0)
    if x is None or _kind(x[1]) in HALVES or not _small(x[1]):
        return None
    ref, t = x
    kind, shape = _kind(t), tuple(t.shape)
    name = m.rng.choice(list(LOSSES))
    what = LOSSES[name]
    if t.ndim == 1 and what not in ("same", "probability", "positive"):
        return None
    made: list[Statement] = []
    args: list[Any] = [ref]
    rows = shape[:1]

    def add(shape: tuple[int, ...], data: Any = None, dtype: str = kind) -> None:
        statement = create(m, shape, dtype)
        if data is not None:
            options = (("dtype", Name(dtype)),)
            statement = Statement("function", "tensor", (data,), options, statement.targets)
        made.append(statement)
        args.append(Ref(statement.targets[0]))

    if what == "sign":
        add(shape)
        signs = [m.rng.choice((-1, 1)) for _ in range(rows[0])]
        add(rows, signs)
    elif what == "signs":
        add(shape, [[m.rng.choice((-1, 1)) for _ in range(shape[1])] for _ in range(rows[0])])
    elif what == "triplet":
        add(shape), add(shape)
    elif what == "classes":
        add(rows, m.indices(rows, shape[1]), "int64")
    elif what == "labels":
        add(shape, [[m.rng.randint(0, 1) for _ in range(shape[1])] for _ in range(rows[0])])
    elif what == "positive":
        add(shape)
        add(shape, np.full(shape, 0.5).tolist())
    elif what == "probability":
        squeezed = _result(m, "method", "sigmoid", (ref,))
        made.append(squeezed)
        args[0] = Ref(squeezed.targets[0])
        add(shape, np.full(shape, m.rng.choice((0.0, 0.25, 1.0))).tolist())
    else:
        add(shape)
    options = {"reduction": m.rng.choice(("mean", "sum", "none"))}
    return [*made, _result(m, "function", f"nn.functional.{name}", tuple(args), **options)]


LOSSES = {
    "cosine_embedding_loss": "sign", "hinge_embedding_loss": "signs", "soft_margin_loss": "signs",
    "triplet_margin_loss": "triplet", "multi_margin_loss": "classes", "cross_entropy": "classes",
    "multilabel_soft_margin_loss": "labels", "gaussian_nll_loss": "positive",
    "binary_cross_entropy": "probability", "smooth_l1_loss": "same", "kl_div": "same",
    "poisson_nll_loss": "same",
}  # fmt: skip


# ---------------------------------------------------------------- products
PRODUCTS = "addmm addmv addr baddbmm addbmm tensordot linalg.multi_dot einsum bilinear".split()


def more_products(m: Maker) -> Made:
    """Products that add to something, several factors, sums by letters."""
    x = m.tensor(lambda t: t.ndim in (1, 2, 3) and t.numel() > 0 and _kind(t) not in HALVES)
    if x is None or not _small(x[1]):
        return None
    ref, t = x
    kind, shape = _kind(t), tuple(t.shape)
    if kind not in ("float32", "float64", "int64"):
        return None  # smaller integers: some of einsum's sums are int64
    name = m.rng.choice(PRODUCTS)
    scale = (
        {} if m.chance(0.5) else {"beta": m.rng.choice((0, 1, 2)), "alpha": m.rng.choice((1, 3))}
    )
    made: list[Statement] = []

    def add(*shape: int) -> Ref:
        made.append(create(m, shape, kind))
        return Ref(made[-1].targets[0])

    inner = m.rng.randint(1, 3)
    args: tuple
    if name in ("addmm", "addr") and t.ndim == 2:
        n, k = shape
        parts = (add(n, inner), add(inner, k)) if name == "addmm" else (add(n), add(k))
        args = (ref, *parts)
    elif name == "addmv" and t.ndim == 1:
        args = (ref, add(shape[0], inner), add(inner))
    elif name in ("baddbmm", "addbmm") and t.ndim == 3:
        b, n, k = shape
        first = ref if name == "baddbmm" else add(n, k)
        args = (first, add(b, n, inner), add(b, inner, k))
    elif name == "tensordot" and t.ndim >= 2:
        other = add(*shape[-2:], 2)
        return [*made, _result(m, "function", name, (ref, other, 2))]
    elif name == "linalg.multi_dot" and t.ndim == 2:
        chain = [ref, add(shape[1], inner), add(inner, 2)]
        return [*made, _result(m, "function", name, (chain,))]
    elif name == "einsum":
        return _letters(m, ref, shape, made, add)
    elif name == "bilinear" and t.ndim == 2 and kind in ("float32", "float64"):
        args = (ref, ref, add(2, shape[1], shape[1]))
        return [*made, _result(m, "function", "nn.functional.bilinear", args)]
    else:
        return None
    return [*made, _result(m, "function", name, args, **scale)]


def _letters(m: Maker, ref: Ref, shape: tuple[int, ...], made: list, add: Any) -> Made:
    letters = "abc"[: len(shape)]
    if m.chance(0.4):
        kept = "".join(m.rng.sample(letters, m.rng.randint(0, len(letters))))
        return _result(m, "function", "einsum", (f"{letters}->{kept}", ref))
    shared = m.rng.sample(range(len(shape)), m.rng.randint(1, len(shape)))
    other = "".join(letters[i] for i in shared) + "d"
    factor = add(*[shape[i] for i in shared], 2)
    pool = sorted(set(letters + other))
    kept = "".join(m.rng.sample(pool, m.rng.randint(0, len(pool))))
    return [*made, _result(m, "function", "einsum", (f"{letters},{other}->{kept}", ref, factor))]


# ---------------------------------------------------------------- training
SCHEDULERS: list[tuple[str, tuple, dict[str, Any]]] = [
    ("StepLR", (1,), {"gamma": 0.5}), ("MultiStepLR", ([1, 2],), {}), ("ExponentialLR", (0.9,), {}),
    ("ConstantLR", (), {"total_iters": 1}), ("LinearLR", (), {"total_iters": 3}),
    ("CosineAnnealingLR", (3,), {}), ("CosineAnnealingWarmRestarts", (2,), {}),
    ("PolynomialLR", (3,), {"power": 2.0}), ("OneCycleLR", (0.5, 5), {"cycle_momentum": False}),
]  # fmt: skip


def scheduler(m: Maker) -> Made:
    """A schedule of an optimizer that is there, and two steps of both."""
    known = [n for n in m.env if n[0] == "o"]
    if not known:
        return None
    optimizer = Ref(m.rng.choice(known))
    name, args, options = m.rng.choice(SCHEDULERS)
    made, rate = m.fresh("s"), m.fresh("n")
    statements = [
        Statement(
            "function", f"optim.lr_scheduler.{name}", (optimizer, *args), tuple(options.items()),
            (made,),
        )
    ]  # fmt: skip
    for _ in range(2):
        statements += [Statement("method", "step", (r,)) for r in (optimizer, Ref(made))]
    return [*statements, Statement("method", "get_last_lr", (Ref(made),), (), (rate,))]


def clip(m: Maker) -> Made:
    """The gradients of leaves, limited."""
    leaves = m.names(lambda t: t.is_leaf and t.grad is not None and _kind(t) not in HALVES)
    if not leaves:
        return None
    if m.chance(0.3):
        args: tuple = ([Ref(n) for n in leaves], 0.5)
        return Statement("function", "nn.utils.clip_grad_value_", args)
    args = ([Ref(n) for n in leaves], m.rng.choice((0.5, 2.0)), m.rng.choice((2.0, 1.0)))
    return Statement("function", "nn.utils.clip_grad_norm_", args, (), (m.fresh("t"),))


def embedded(m: Maker) -> Made:
    """Embeddings, and bags of them."""
    count = m.rng.randint(2, 5)
    shape = m.rng.choice(((2,), (2, 3), (1, 2)))
    index = _index_tensor(m, m.indices(shape, count))
    made = m.fresh("m")
    bag = m.chance(0.5) and len(shape) == 2
    options: dict[str, Any] = {"mode": m.rng.choice(("sum", "mean"))} if bag else {}
    if m.chance(0.4):
        options["padding_idx"] = 0
    name = "nn.EmbeddingBag" if bag else "nn.Embedding"
    args = (m.rng.randint(0, 99), count, m.rng.randint(1, 3))
    module = Statement("module", name, args, tuple(options.items()), (made,))
    return [index, module, _result(m, "call", "", (Ref(made), Ref(index.targets[0])))]
