"""More recipes: modules and optimizers, complex numbers, matrices, images, and what is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from .program import Name, Ref, Statement
from .recipes import FLOATS, Maker, _distinct, _index_tensor, _result, create, level, operand


def _kind(t: Any) -> str:
    return str(t.dtype).rpartition(".")[2]


def _floats(m: Maker, ndim: tuple[int, ...] = (1, 2, 3, 4)) -> tuple[Ref, Any] | None:
    """A float32 or float64 variable that has elements."""
    return m.tensor(lambda t: _kind(t) in FLOATS and t.ndim in ndim and t.numel() > 0)


# ---------------------------------------------------------------- modules and optimizers
ACTIVATIONS = """ReLU GELU SiLU Tanh Sigmoid Softplus ELU SELU Mish Hardswish LeakyReLU PReLU
    Softsign LogSigmoid ReLU6 Hardtanh Identity""".split()


def module(m: Maker) -> list[Statement] | None:
    """A module with weights, applied to a variable, sometimes twice or in evaluation mode."""
    x = _floats(m, (2, 3, 4))
    if x is None:
        return None
    ref, t = x
    name, args, options, training = _module_for(m, tuple(t.shape))
    if ("Conv" in name or "Bilinear" in name) and not t.isfinite().all():
        return None  # how far nan spreads is the algorithm's
    if "Norm" in name and level(t):
        return None
    made = m.fresh("m")
    seed = m.rng.randint(0, 99)
    statements = [Statement("module", name, (seed, *args), tuple(options.items()), (made,))]
    if _kind(t) == "float64":
        statements.append(Statement("method", "double", (Ref(made),)))
    if not training:
        statements.append(Statement("method", "eval", (Ref(made),)))
    for _ in range(m.rng.choice((1, 1, 2))):
        inputs = (ref, ref) if name == "nn.Bilinear" else (ref,)
        called = _result(m, "call", "", (Ref(made), *inputs))
        statements.append(with_state(m, called) if name in RECURRENT else called)
    return statements


RECURRENT = ("nn.LSTM", "nn.GRU", "nn.RNN", "nn.LSTMCell")


def with_state(m: Maker, called: Statement) -> Statement:
    """The call with its second result, which is not used again: in PyTorch the first depends on it,
    here both are results of one function.
    """
    return dataclasses.replace(called, targets=(*called.targets, m.fresh("q")))


def _module_for(m: Maker, shape: tuple[int, ...]) -> tuple[str, tuple, dict[str, Any], bool]:
    """Name, arguments and options of a module that takes an input of this shape; training?"""
    last, channels = shape[-1], shape[1]
    choices: list[tuple[str, tuple, dict[str, Any]]] = [
        ("nn.Linear", (last, m.rng.randint(1, 4)), {"bias": m.chance(0.7)}),
        ("nn.LayerNorm", (last,), {"elementwise_affine": m.chance(0.7)}),
        ("nn.RMSNorm", (last,), {}),
        ("nn." + m.rng.choice(ACTIVATIONS), (), {}),
        ("nn.Softmax", (m.rng.randrange(len(shape)),), {}),
        ("nn.Bilinear", (last, last, 2), {}),
        ("nn.Flatten", (m.rng.randint(0, 1),), {}),
    ]
    if len(shape) == 3:
        choices += [
            ("nn.Conv1d", (channels, 2, m.rng.randint(1, last)), _conv_options(m, channels)),
            ("nn.ConvTranspose1d", (channels, 2, 2), {"stride": m.rng.randint(1, 2)}),
            ("nn.GroupNorm", (1, channels), {}),
            ("nn.InstanceNorm1d", (channels,), {"affine": m.chance(0.5)}),
            (m.rng.choice(("nn.LSTM", "nn.GRU", "nn.RNN")), (last, 2), _rnn_options(m)),
            ("nn.AvgPool1d", (m.rng.randint(1, last),), {}),
            ("nn.AdaptiveMaxPool1d", (m.rng.randint(1, 3),), {}),
        ]
    if len(shape) == 4:
        k = m.rng.randint(1, min(shape[2:]))
        choices += [
            ("nn.Conv2d", (channels, 2, k), _conv_options(m, channels)),
            ("nn.ConvTranspose2d", (channels, 2, k), {}),
            ("nn.MaxPool2d", (k,), {"stride": m.rng.randint(1, 2)}),
            ("nn.AvgPool2d", (k,), {"count_include_pad": m.chance(0.5)}),
            ("nn.AdaptiveAvgPool2d", (m.rng.randint(1, 3),), {}),
            ("nn.InstanceNorm2d", (channels,), {}),
            ("nn.UpsamplingNearest2d", (), {"scale_factor": 2}),
        ]
    if len(shape) in (2, 3):
        choices.append(("nn.BatchNorm1d", (channels,), {"momentum": m.rng.choice((0.1, 0.5))}))
    name, args, options = m.rng.choice(choices)
    return name, args, options, m.chance(0.7)


def _conv_options(m: Maker, channels: int) -> dict[str, Any]:
    options: dict[str, Any] = {"padding": m.rng.randint(0, 1), "stride": m.rng.randint(1, 2)}
    if m.chance(0.3):
        options["bias"] = False
    if m.chance(0.2):
        options["padding_mode"] = m.rng.choice(("replicate", "circular"))
    if channels == 2 and m.chance(0.3):
        options["groups"] = 2
    return options


def _rnn_options(m: Maker) -> dict[str, Any]:
    return {"batch_first": m.chance(0.5), "bidirectional": m.chance(0.3)}


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1}, "RMSprop": {"centered": True}, "Adagrad": {},
    "Adadelta": {}, "Adamax": {}, "NAdam": {}, "RAdam": {}, "Rprop": {}, "ASGD": {},
}  # fmt: skip


def optimizer(m: Maker) -> list[Statement] | None:
    """An optimizer of leaves or of a module, two steps, a loss between them or not."""
    modules = [n for n in m.env if n[0] == "m"]
    leaves = m.names(lambda t: t.is_leaf and t.requires_grad and _kind(t) in FLOATS)
    if modules and m.chance(0.6):
        what: Any = Ref(m.rng.choice(modules))
    elif leaves:
        what = [Ref(n) for n in m.rng.sample(leaves, min(len(leaves), 2))]
    else:
        return None
    name = m.rng.choice(list(OPTIMIZERS))
    options: dict[str, Any] = {"lr": m.rng.choice((0.1, 0.01))}
    if m.chance(0.6):
        options |= OPTIMIZERS[name]
    if m.chance(0.2):
        options["maximize"] = True
    made = m.fresh("o")
    step = Statement("method", "step", (Ref(made),))
    statements = [Statement("optimizer", f"optim.{name}", (what,), tuple(options.items()), (made,))]
    statements += [step] * m.rng.choice((1, 2))
    if m.chance(0.3):
        statements.append(Statement("method", "zero_grad", (Ref(made),)))
    return statements


# ---------------------------------------------------------------- complex numbers
COMPLEX_UNARY = """exp sin cos tanh square reciprocal sqrt neg conj resolve_conj sgn log cosh
    sigmoid""".split()
TO_REAL = "abs angle real imag view_as_real isfinite isreal".split()


def complex_numbers(m: Maker) -> list[Statement] | Statement | None:
    """Complex variables are named c...; results that are real join the others."""
    known = [n for n in m.env if n[0] == "c"]
    if len(known) < 2 or m.chance(0.1):
        return _complex_leaf(m)
    name = m.rng.choice(known)
    ref, t = Ref(name), m.env[name]
    roll = m.rng.random()
    if roll < 0.35:
        what = m.rng.choice(TO_REAL)
        return Statement("function", what, (ref,), (), (m.fresh(),))
    if roll < 0.6:
        return Statement("function", m.rng.choice(COMPLEX_UNARY), (ref,), (), (m.fresh("c"),))
    if roll < 0.7:
        axis = m.rng.randrange(max(t.ndim, 1))
        shape = m.rng.choice((("sum", axis), ("mean", axis), ("flip", (axis,)), ("cumsum", axis)))
        return Statement("method", shape[0], (ref, shape[1]), (), (m.fresh("c"),))
    others = [n for n in known if m.env[n].shape == t.shape]
    other = Ref(m.rng.choice(others)) if m.chance(0.7) else m.rng.choice((2, 0.5, 1j, -1 + 2j))
    what = m.rng.choice(("add", "sub", "mul", "truediv", "eq"))
    letter = "v" if what == "eq" else "c"
    return Statement("operator", what, (ref, other), (), (m.fresh(letter),))


def _complex_leaf(m: Maker) -> Statement | list[Statement]:
    if m.chance(0.3):
        x = m.tensor(lambda t: _kind(t) in FLOATS and t.ndim > 0 and t.numel() > 0)
        if x is not None and x[1].isfinite().all():  # how far nan spreads is the algorithm's
            what = m.rng.choice(("fft.fft", "fft.rfft", "fft.ifft"))
            return Statement("function", what, (x[0],), (), (m.fresh("c"),))
    kind = m.rng.choice(("complex64", "complex128"))
    shape = m.rng.choice(((2,), (2,), (2, 2), ()))
    options: tuple = (("dtype", Name(kind)),)
    if m.chance(0.7):
        options += (("requires_grad", True),)
    return Statement("function", "tensor", (_complex_data(m, shape),), options, (m.fresh("c"),))


def _complex_data(m: Maker, shape: tuple[int, ...]) -> Any:
    if not shape:
        return complex(round(m.rng.gauss(0, 1), 3), round(m.rng.gauss(0, 1), 3))
    return [_complex_data(m, shape[1:]) for _ in range(shape[0])]


# ---------------------------------------------------------------- matrices
SQUARE = """inv det slogdet cholesky eigvalsh pinv matrix_norm matrix_exp matrix_power
    svdvals""".split()


def matrices(m: Maker) -> list[Statement] | None:
    """Linear algebra of a well-conditioned matrix: a variable's x @ x.T + I."""
    x = _floats(m, (2, 3))
    if x is None:
        return None
    ref, t = x
    n = t.shape[-2]
    turned, product, eye, square = (m.fresh() for _ in range(4))
    statements = [
        Statement("method", "transpose", (ref, -1, -2), (), (turned,)),
        Statement("operator", "matmul", (ref, Ref(turned)), (), (product,)),
        Statement("function", "eye", (n,), (("dtype", Name(_kind(t))),), (eye,)),
        Statement("operator", "add", (Ref(product), Ref(eye)), (), (square,)),
    ]
    name = m.rng.choice([*SQUARE, "solve", "triangular_solve", "norm"])
    if name == "norm":
        order = m.rng.choice((None, "fro", "nuc"))  # not an extreme: rounding decides whose
        return [*statements, _result(m, "function", "linalg.norm", (Ref(square),), ord=order)]
    if name in ("solve", "lstsq", "triangular_solve"):
        made = create(m, (*t.shape[:-2], n, 2), _kind(t))
        right = Ref(made.targets[0])
        if name == "triangular_solve":
            upper = m.chance(0.5)
            args: tuple = (Ref(square), right)
            step = _result(m, "function", "linalg.solve_triangular", args, upper=upper)
        else:
            step = _result(m, "function", "linalg.solve", (Ref(square), right))
        return [*statements, made, step]
    if name == "matrix_power":
        args = (Ref(square), m.rng.choice((0, 1, 2, 3, -1)))
        return [*statements, _result(m, "function", "linalg.matrix_power", args)]
    targets = 2 if name == "slogdet" else 1
    return [*statements, _result(m, "function", f"linalg.{name}", (Ref(square),), targets=targets)]


# ---------------------------------------------------------------- images and attention
def image(m: Maker) -> list[Statement] | Statement | None:
    """Functions of (batch, channels, height, width)."""
    x = _floats(m, (4,))
    if x is None:
        kind = m.rng.choice(FLOATS)
        return create(m, (m.rng.randint(1, 2), 2, m.rng.randint(2, 4), m.rng.randint(2, 4)), kind)
    ref, t = x
    h, w = t.shape[2:]
    f = "nn.functional."
    name = m.rng.choice(
        "interpolate pad unfold pixel_unshuffle max_pool2d avg_pool2d conv2d grid_sample lp_pool2d "
        "adaptive_max_pool2d local_response_norm channel_shuffle".split()
    )
    if name == "interpolate":
        return _interpolate(m, ref, h, w)
    if name == "pad":
        mode = m.rng.choice(("reflect", "replicate", "circular", "constant"))
        sides = tuple(m.rng.randint(0, 1) for _ in range(4))
        return _result(m, "function", f + name, (ref, sides), mode=mode)
    if name == "unfold":
        return _result(m, "function", f + name, (ref, m.rng.randint(1, min(h, w))))
    if name in ("max_pool2d", "avg_pool2d"):
        options: dict[str, Any] = {"stride": m.rng.randint(1, 2), "ceil_mode": m.chance(0.5)}
        return _result(m, "function", f + name, (ref, m.rng.randint(1, min(h, w))), **options)
    if name == "conv2d":
        if not t.isfinite().all():
            return None  # see module
        k = (m.rng.randint(1, h), m.rng.randint(1, w))
        made = create(m, (2, t.shape[1], *k), _kind(t))
        if not np.isfinite(made.args[0]).all():
            return None
        return [made, _result(m, "function", f + name, (ref, Ref(made.targets[0])))]
    if name == "grid_sample":
        grid = create(m, (t.shape[0], 2, 2, 2), _kind(t))
        if not np.isfinite(grid.args[0]).all():
            return None  # PyTorch reads outside of its memory
        options = {"align_corners": m.chance(0.5), "mode": m.rng.choice(("bilinear", "nearest"))}
        options["padding_mode"] = m.rng.choice(("zeros", "border", "reflection"))
        return [grid, _result(m, "function", f + name, (ref, Ref(grid.targets[0])), **options)]
    if name == "lp_pool2d":
        return None  # the gradient of a power at 0 depends on the formula
    number = m.rng.randint(1, 2)
    return _result(m, "function", f + name, (ref, number))


def _interpolate(m: Maker, ref: Ref, h: int, w: int) -> Statement:
    mode = m.rng.choice(("nearest", "bilinear", "bicubic", "area", "nearest-exact"))
    options: dict[str, Any] = {"mode": mode}
    if mode.startswith("bi"):
        options["align_corners"] = m.chance(0.5)
        if m.chance(0.3) and not options["align_corners"]:  # to one pixel: PyTorch repeats a row
            options["antialias"] = True
    if m.chance(0.5):
        options["size"] = (m.rng.randint(1, 5), m.rng.randint(1, 5))
    else:
        options["scale_factor"] = m.rng.choice((2, 1.5, 0.75))
    return _result(m, "function", "nn.functional.interpolate", (ref,), **options)


def attention(m: Maker) -> list[Statement] | None:
    """Attention of a variable to itself, with the masks that there are; an embedding."""
    x = _floats(m, (2, 3, 4))
    if x is None:
        return None
    ref, t = x
    if m.chance(0.4) and t.ndim == 2:
        made = _index_tensor(m, m.indices((m.rng.randint(1, 3),), t.shape[0]))
        options: dict[str, Any] = {}
        if m.chance(0.3):
            options["padding_idx"] = 0
        args = (Ref(made.targets[0]), ref)
        return [made, _result(m, "function", "nn.functional.embedding", args, **options)]
    if t.ndim < 3 or not t.isfinite().all():
        return None  # what is masked may count as 0 · inf, or not at all
    options = m.rng.choice(({}, {"is_causal": True}, {"scale": 0.5}))
    name = "nn.functional.scaled_dot_product_attention"
    return [_result(m, "function", name, (ref, ref, ref), **options)]


# ---------------------------------------------------------------- what is left
SPECIAL = """entr erfcx i0e i1 ndtr log_ndtr sinc xlog1py expit psi gammaln logit i0
    exp2 expm1 erfinv""".split()
SETS = "unique bincount nonzero masked_select argwhere argsort msort diff trace".split()
BESIDE = "dot vdot cross kron inner cdist dist cosine_similarity".split()


def special(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    name = m.rng.choice(SPECIAL)
    if name == "logit" and bool((x[1] == 0).any()):
        return None  # the slope at -0.0 is -∞ in PyTorch's vectors and ∞ in what is left of them
    if name == "xlog1py":
        args: tuple = (x[0], operand(m, tuple(x[1].shape)))
        return _result(m, "function", f"special.{name}", args)
    return _result(m, "function", f"special.{name}", (x[0],))


def sets(m: Maker) -> Statement | None:
    """Functions whose results have sizes that depend on the values."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(SETS)
    if name == "unique":
        if not _distinct(t):
            return None
        return _result(m, "function", name, (ref,))
    if name == "bincount":
        return None if t.is_floating_point() else _result(m, "function", name, (ref,), minlength=2)
    if name == "masked_select":
        mask = m.tensor(lambda o: str(o.dtype).endswith("bool"))
        return None if mask is None else _result(m, "function", name, (ref, mask[0]))
    if name == "argsort":
        return _result(m, "function", name, (ref,), dim=m.dim(t.ndim), stable=True)
    if name == "diff":
        return _result(m, "function", name, (ref,), n=m.rng.randint(0, 2), dim=m.dim(t.ndim))
    return _result(m, "function", name, (ref,))


def beside(m: Maker) -> Statement | None:
    """Functions of two tensors that are no elementwise ones."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    other = m.pick(lambda o: o.shape == t.shape)
    name = m.rng.choice(BESIDE)
    if name in ("dot", "vdot") and t.ndim != 1:
        return None
    if name == "cdist" and t.ndim < 2:
        return None
    if name == "cross" and other is not None and m.env[other] is t:
        return None  # what rounding leaves of 0
    if name == "kron" and (t.requires_grad or m.env.get(other, t).requires_grad):
        return None  # PyTorch does not notice that what it saved was changed
    if name == "kron" and not (t.is_contiguous() and m.env.get(other, t).is_contiguous()):
        return None  # PyTorch fails in a view of its own
    if name in ("cdist", "dist"):
        return _result(m, "function", name, (ref, Ref(other or "")), p=m.rng.choice((1.0, 3.0)))
    if name == "cosine_similarity":
        args = (ref, Ref(other or ""))
        return _result(m, "function", f"nn.functional.{name}", args, dim=m.dim(t.ndim))
    return _result(m, "function", name, (ref, Ref(other or "")))


def written_out(m: Maker) -> Statement | None:
    """A result written into a variable that is there already, and has its shape.

    (PyTorch gives others the shape of the result, unless they share memory with NumPy.)
    """
    x = m.tensor()
    if x is None:
        return None
    shape = x[1].shape
    target = m.pick(lambda t: not t.requires_grad and t.shape == shape and t is not x[1])
    if target is None or x[1].dtype is not m.env[target].dtype and m.chance(0.8):
        return None
    if m.overlaps(m.env[target], x[0]):
        return None
    if _kind(m.env[target]) == "float64" != _kind(x[1]):
        return None  # it is compared as float64, and was computed in float32
    name = m.rng.choice("exp sin add mul maximum cumsum neg sqrt".split())
    args: tuple = (x[0],)
    if name in ("add", "mul", "maximum"):
        same = m.names(lambda t: t.shape == shape)
        args = (x[0], Ref(m.rng.choice(same)) if m.chance(0.6) else m.scalar())
        if m.overlaps(m.env[target], args[1]):
            return None
    if name == "cumsum":
        args = (x[0], m.dim(x[1].ndim))
        if m.env[target].data_ptr() == x[1].data_ptr():
            return None
    return Statement("function", name, args, (("out", Ref(target)),), (target,))


def strided(m: Maker) -> Statement | None:
    """Views that are given by strides, bytes or several sizes, and changes through an index."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 1)
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(("as_strided", "split_with_sizes", "index_put_", "unflatten"))
    size = t.shape[0]
    if name == "as_strided":
        if not t.is_contiguous():
            return None  # what memory there is beside a result is by chance
        n = m.rng.randint(1, t.numel() // 2)
        return _result(m, "method", name, (ref, (n,), (m.rng.choice((1, 2)),)))
    if name == "split_with_sizes":
        if size < 2:
            return None
        cut = m.rng.randint(1, size - 1)
        return _result(m, "method", name, (ref, [cut, size - cut], 0), targets=2)
    if name == "index_put_":
        where = m.names(lambda o: str(o.dtype).endswith("bool") and o.shape == t.shape)
        value = m.names(lambda o: o.ndim == 0 and o.dtype is t.dtype)
        if not where or not value:
            return None
        args: tuple = (ref, (Ref(m.rng.choice(where)),), Ref(m.rng.choice(value)), m.chance(0.3))
        return _result(m, "method", name, args)
    if name == "unflatten":
        return _result(m, "method", name, (ref, 0, (1, -1)))
    return None


MORE: dict[Callable[[Maker], Any], int] = {
    module: 7, optimizer: 3, complex_numbers: 7, matrices: 2, image: 4, attention: 2, special: 3,
    sets: 3, beside: 3, written_out: 2, strided: 3,
}  # fmt: skip
