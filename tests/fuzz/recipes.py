"""One random statement: which operations there are, and arguments that (mostly) fit them.

A recipe gets a `Maker` and answers a Statement, or None if no variable suits it. About one
argument in thirty is wrong on purpose: whether an error is raised is compared as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

from .program import Name, Ref, Statement

FLOATS = ("float32", "float64")
HALVES = ("float16", "bfloat16")
INTEGERS = ("int64", "int32", "uint8", "int8", "int16")

UNARY = """abs neg exp log sqrt rsqrt sin cos tan tanh sigmoid square reciprocal sign floor ceil
    trunc round frac erf expm1 log1p atan sinh cosh asinh exp2 log2 isnan isfinite isinf logical_not
    relu positive signbit erfc lgamma nan_to_num acos asin atanh deg2rad sgn""".split()
ACTIVATIONS = """relu gelu silu softplus elu selu leaky_relu hardtanh hardswish hardsigmoid mish
    logsigmoid softsign tanhshrink relu6 celu softshrink hardshrink""".split()
UNARY_INPLACE = """abs_ neg_ exp_ sqrt_ tanh_ sigmoid_ relu_ square_ sin_ floor_ round_ sign_
    reciprocal_ zero_ trunc_ ceil_ logical_not_""".split()
BINARY = """add sub mul div pow maximum minimum fmod remainder atan2 hypot fmax fmin eq ne lt le gt
    ge logical_and logical_or logical_xor logaddexp floor_divide copysign xlogy isclose
    bitwise_and bitwise_or bitwise_xor true_divide""".split()
BINARY_INPLACE = """add_ sub_ mul_ div_ pow_ copy_ fmod_ remainder_ eq_ lt_ logical_and_
    floor_divide_ copysign_ bitwise_and_ hypot_ atan2_""".split()
OPERATORS = """add sub mul truediv floordiv mod pow eq ne lt le gt ge and_ or_ xor iadd isub imul
    itruediv""".split()
REDUCTIONS = """sum mean prod amax amin all any logsumexp var std nansum nanmean norm count_nonzero
    argmax argmin""".split()
WITH_INDICES = "max min sort topk kthvalue median cummax cummin mode".split()
SCANS = "cumsum cumprod logcumsumexp".split()
LOSSES = """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy_with_logits kl_div
    soft_margin_loss poisson_nll_loss""".split()


class Maker:
    """Random choices about the variables that a program has so far."""

    def __init__(self, rng: Random, env: dict[str, Any], library: Any):
        self.rng = rng
        self.env = env
        self.library = library
        self.count = 0

    def fresh(self, letter: str = "v") -> str:
        """A new name. Only variables in "v" are used again: "i" are indices, "g" gradients."""
        self.count += 1
        return f"{letter}{self.count}"

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def names(self, suits: Callable[[Any], bool] = lambda t: True) -> list[str]:
        kind = self.library.Tensor
        mine = [(n, t) for n, t in self.env.items() if n[0] == "v" and isinstance(t, kind)]
        return [n for n, t in mine if suits(t)]

    def pick(self, suits: Callable[[Any], bool] = lambda t: True) -> str | None:
        """A variable, the newer ones more often."""
        names = self.names(suits)
        if not names:
            return None
        return self.rng.choice(names[-4:] if self.chance(0.6) else names)

    def tensor(self, suits: Callable[[Any], bool] = lambda t: True) -> tuple[Ref, Any] | None:
        name = self.pick(suits)
        return None if name is None else (Ref(name), self.env[name])

    def overlaps(self, t: Any, other: Any) -> bool:
        """Whether `other` names another view of t's memory, or elements of t share cells: writing t
        while that is read, PyTorch raises an error or, where finding out is costly for it, reads
        what it has written already.
        """
        places = {0}
        for size, step in zip(t.shape, t.stride(), strict=True):
            places = {p + i * step for p in places for i in range(size)}
        if len(places) < t.numel():
            return True
        if not isinstance(other, Ref) or other.name not in self.env:
            return False
        o = self.env[other.name]
        if o.untyped_storage().data_ptr() != t.untyped_storage().data_ptr() or not t.numel():
            return False
        return (o.data_ptr(), o.shape, o.stride()) != (t.data_ptr(), t.shape, t.stride())

    def floating(self, t: Any) -> bool:
        return t.is_floating_point()

    def dim(self, ndim: int) -> int:
        if self.chance(0.03):
            return self.rng.choice((ndim, -ndim - 1, 7))
        return self.rng.randrange(-max(ndim, 1), max(ndim, 1))

    def dims(self, ndim: int) -> Any:
        """None, one dimension, or several."""
        if self.chance(0.3):
            return None
        if self.chance(0.6) or ndim == 0:
            return self.dim(ndim)
        some = self.rng.sample(range(ndim), self.rng.randint(1, ndim))
        return tuple(d - ndim if self.chance(0.3) else d for d in some)

    def scalar(self) -> Any:
        return self.rng.choice((0, 1, 2, -1, 3, 0.5, -1.5, 2.0, 0.0, True, False))

    def shape(self) -> tuple[int, ...]:
        size = lambda: self.rng.choice((1, 2, 3, 3, 4) if not self.chance(0.03) else (0,))  # noqa: E731
        return tuple(size() for _ in range(self.rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))))

    def broadcastable(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that goes with `shape`."""
        cut = list(shape)[self.rng.randint(0, len(shape)) if self.chance(0.4) else 0 :]
        return tuple(1 if self.chance(0.2) else n for n in cut)

    def number(self, kind: str) -> Any:
        if kind == "bool":
            return self.chance(0.5)
        if kind == "uint8":
            return self.rng.randint(0, 6)
        if kind in INTEGERS:
            return self.rng.randint(-4, 6)
        if self.chance(0.004):
            return self.rng.choice((math.inf, -math.inf, math.nan))
        if self.chance(0.3):
            return self.rng.randint(-8, 8) / 4
        return round(self.rng.gauss(0, 1.2), 3)

    def data(self, shape: tuple[int, ...], kind: str) -> Any:
        if not shape:
            return self.number(kind)
        return [self.data(shape[1:], kind) for _ in range(shape[0])]

    def dtype(self) -> str:
        roll = self.rng.random()
        if roll < 0.68:
            return self.rng.choice(FLOATS)
        if roll < 0.72:
            return self.rng.choice(HALVES)
        return "bool" if roll > 0.9 else self.rng.choice(INTEGERS)

    def indices(
        self, shape: tuple[int, ...], size: int, negative: bool = False, wrong: bool = True
    ) -> Any:
        """A literal tensor of indices below `size`, rarely a wrong one."""
        low = -size if negative else 0
        if wrong and self.chance(0.02):
            size += 1

        def draw(shape: tuple[int, ...]) -> Any:
            if not shape:
                return self.rng.randrange(low, max(size, low + 1))
            return [draw(shape[1:]) for _ in range(shape[0])]

        return draw(shape)


def _result(m: Maker, kind: str, name: str, args: tuple, targets: int = 1, **kwargs: Any) -> Any:
    made = tuple(m.fresh() for _ in range(targets))
    return Statement(kind, name, args, tuple(kwargs.items()), made)


# ---------------------------------------------------------------- creation
def create(m: Maker, shape: tuple[int, ...] | None = None, kind: str | None = None) -> Statement:
    shape = m.shape() if shape is None else shape
    kind = kind or m.dtype()
    if 0 in shape or m.chance(0.1):
        make = m.rng.choice(("zeros", "ones"))
        return _result(m, "function", make, (shape,), dtype=Name(kind))
    options: dict[str, Any] = {"dtype": Name(kind)}
    if kind in FLOATS + HALVES and m.chance(0.75):
        options["requires_grad"] = True
    return _result(m, "function", "tensor", (m.data(shape, kind),), **options)


def create_other(m: Maker) -> Statement | None:
    which = m.rng.choice(("arange", "full", "eye", "linspace", "like"))
    if which == "arange":
        return _result(m, "function", "arange", (m.rng.randint(0, 6),))
    if which == "full":
        return _result(m, "function", "full", (m.shape(), m.scalar()))
    if which == "eye":
        return _result(m, "function", "eye", (m.rng.randint(1, 4), m.rng.randint(1, 4)))
    if which == "linspace":
        return _result(m, "function", "linspace", (-1, 2.5, m.rng.randint(1, 6)))
    x = m.tensor()
    if x is None:
        return None
    return _result(m, "function", m.rng.choice(("zeros_like", "ones_like")), (x[0],))


# ---------------------------------------------------------------- elementwise
def unary(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    if m.chance(0.3):
        if bool(x[1].detach().isnan().any()):
            return None  # the slope there: PyTorch's loops and what is left of them disagree
        return _result(m, "function", "nn.functional." + m.rng.choice(ACTIVATIONS), (x[0],))
    return _result(m, m.rng.choice(("function", "method")), m.rng.choice(UNARY), (x[0],))


def operand(m: Maker, shape: tuple[int, ...]) -> Any:
    """The other side of a binary operation: a number, or a variable that mostly broadcasts."""
    if m.chance(0.25):
        return m.scalar()
    fits = m.names(lambda t: _broadcasts(tuple(t.shape), shape))
    if m.chance(0.97) and fits:
        return Ref(m.rng.choice(fits))
    return Ref(m.pick() or "")


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(x == y or 1 in (x, y) for x, y in zip(a[::-1], b[::-1], strict=False))


def binary(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    other = operand(m, tuple(x[1].shape))
    if m.chance(0.4):
        name = m.rng.choice(OPERATORS)
        pair = (x[0], other)
        if m.chance(0.3) and not isinstance(other, Ref) and not name.startswith("i"):
            pair = (other, x[0])
        if name.startswith("i"):
            if m.overlaps(x[1], other):
                return None
            return Statement("operator", name, pair, targets=(x[0].name,))
        return _result(m, "operator", name, pair)
    name = m.rng.choice(BINARY)
    options: dict[str, Any] = {}
    if name in ("add", "sub") and m.chance(0.3):
        options["alpha"] = m.rng.choice((2, 0.5, -1))
    if name == "div" and m.chance(0.3):
        options["rounding_mode"] = m.rng.choice(("floor", "trunc"))
    return _result(m, m.rng.choice(("function", "method")), name, (x[0], other), **options)


def ternary(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    shape = tuple(x[1].shape)
    if m.chance(0.1) and x[1].is_floating_point():
        return _result(m, "function", "lerp", (x[0], operand(m, shape), m.rng.choice((0.25, 1))))
    name = m.rng.choice(("where", "addcmul", "addcdiv", "clamp", "masked_fill", "clamp"))
    if name == "clamp":
        low, high = m.rng.choice(((-1, 1), (None, 0.5), (0, None), (-0.5, 2), (1, 0)))
        return _result(m, "method", name, (x[0],), min=low, max=high)
    if name in ("where", "masked_fill"):
        mask = m.tensor(lambda t: str(t.dtype).endswith("bool"))
        if mask is None:
            return None
        if name == "masked_fill":
            return _result(m, "method", name, (x[0], mask[0], m.scalar()))
        return _result(m, "function", name, (mask[0], x[0], operand(m, shape)))
    y, z = operand(m, shape), operand(m, shape)
    return _result(m, "function", name, (x[0], y, z))


# ---------------------------------------------------------------- in place
def inplace(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    shape = tuple(x[1].shape)
    if m.overlaps(x[1], None):
        return None
    roll = m.rng.random()
    if roll < 0.3:
        return _result(m, "method", m.rng.choice(UNARY_INPLACE), (x[0],))
    if roll < 0.7:
        other = operand(m, shape)
        if m.overlaps(x[1], other):
            return None
        return _result(m, "method", m.rng.choice(BINARY_INPLACE), (x[0], other))
    if roll < 0.8:
        return _result(m, "method", "fill_", (x[0], m.scalar()))
    if roll < 0.9:
        return _result(m, "method", "clamp_", (x[0],), min=-1, max=m.rng.choice((None, 1, 0.5)))
    mask = m.tensor(lambda t: str(t.dtype).endswith("bool"))
    if mask is None:
        return None
    return _result(m, "method", "masked_fill_", (x[0], mask[0], m.scalar()))


def assign(m: Maker) -> Statement | None:
    x = m.tensor(lambda t: t.ndim > 0)
    if x is None:
        return None
    key = subscript(m, x[1])
    part = None
    if m.chance(0.6):
        fits = m.names(lambda t: t.numel() == 1 or _broadcasts(tuple(t.shape), tuple(x[1].shape)))
        part = Ref(m.rng.choice(fits)) if fits else None
    if m.overlaps(x[1], part):
        return None
    if part is not None and not x[1].is_floating_point() and not castable(m.env[part.name]):
        return None
    return Statement("assign", "", (x[0], key, m.scalar() if part is None else part))


# ---------------------------------------------------------------- views and shapes
def view(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(VIEWS)
    if name in ("T", "mT"):
        return None if t.ndim != 2 else _result(m, "attribute", name, (ref,))
    return _result(m, "method", name, (ref, *_view_arguments(m, name, t)))


VIEWS = (
    "view reshape transpose permute expand squeeze unsqueeze flatten select narrow diagonal unfold "
    "movedim T mT t contiguous clone flip roll repeat tile tril triu swapaxes view_as "
    "repeat_interleave"
).split()


def _view_arguments(m: Maker, name: str, t: Any) -> tuple[Any, ...]:
    n, rng = t.ndim, m.rng
    if name in ("view", "reshape"):
        return tuple(_factors(m, t.numel()))
    if name in ("transpose", "movedim", "swapaxes"):
        return m.dim(n), m.dim(n)
    if name == "permute":
        return tuple(rng.sample(range(n), n))
    if name == "expand":
        wide = [rng.randint(1, 3) if s == 1 else rng.choice((s, -1)) for s in t.shape]
        return (*([2] if m.chance(0.3) else []), *wide)
    if name == "squeeze":
        return (m.dim(n),) if m.chance(0.7) else ()
    if name == "unsqueeze":
        return (rng.randint(-n - 1, n),)
    if name == "flatten":
        start = rng.randrange(max(n, 1))
        return start, rng.randrange(start, max(n, 1))
    if name in ("select", "narrow", "unfold"):
        d = m.dim(n)
        size = t.shape[d] if -n <= d < n else 1
        at = rng.randint(0, max(size - 1, 0))
        if name == "select":
            return d, at
        if name == "narrow":
            return d, at, rng.randint(0, size - at)
        return d, rng.randint(1, max(size, 1)), rng.randint(1, 2)
    if name == "diagonal":
        return (rng.randint(-1, 1),)
    if name in ("tril", "triu"):
        return (rng.randint(-1, 1),)
    if name == "flip":
        return tuple(rng.sample(range(n), rng.randint(0, n))) or ((),)
    if name == "roll":
        return rng.randint(-3, 3), m.dim(n)
    if name in ("repeat", "tile"):
        return tuple(rng.randint(1, 2) for _ in range(n + m.chance(0.2)))
    if name == "repeat_interleave":
        return (rng.randint(1, 2), m.dim(n)) if n else (2,)
    if name == "view_as":
        same = m.pick(lambda o: o.numel() == t.numel())
        return (Ref(same or ""),)
    return ()


def _factors(m: Maker, count: int) -> list[int]:
    """Sizes with the product `count`, one of them perhaps -1."""
    sizes = []
    for p in (2, 3, 4, 5):
        if count and count % p == 0 and m.chance(0.5):
            sizes.append(p)
            count //= p
    sizes.append(count)
    m.rng.shuffle(sizes)
    if m.chance(0.3) and 0 not in sizes:
        sizes[m.rng.randrange(len(sizes))] = -1
    return sizes


def pieces(m: Maker) -> Statement | None:
    x = m.tensor(lambda t: 0 < t.ndim and t.numel())
    if x is None:
        return None
    ref, t = x
    d = m.rng.randrange(t.ndim)
    name = m.rng.choice(("split", "chunk", "unbind"))
    size = t.shape[d]
    if size == 1:
        return None  # one target would take the tuple
    if name == "unbind":
        return _result(m, "method", name, (ref, d), targets=size)
    if name == "split":
        step = m.rng.randint(1, size - 1)
        return _result(m, "method", name, (ref, step, d), targets=math.ceil(size / step))
    count = m.rng.randint(2, size)
    step = math.ceil(size / count)
    return _result(m, "method", name, (ref, count, d), targets=math.ceil(size / step))


# ---------------------------------------------------------------- indexing
def subscript(m: Maker, t: Any) -> Any:
    """What goes between the brackets after `t`."""
    rng = m.rng
    masks = m.names(lambda o: str(o.dtype).endswith("bool") and o.shape == t.shape and t.ndim)
    if masks and m.chance(0.3):
        return Ref(rng.choice(masks))
    key: list[Any] = []
    room = t.ndim
    dim = 0
    ellipsis = False
    while room and m.chance(0.75):
        size = t.shape[dim]
        roll = rng.random()
        if roll < 0.3 and size:
            key.append(rng.randint(-size, size - 1 + m.chance(0.02)))
        elif roll < 0.65:
            start = rng.choice((None, 0, 1, -1, -2))
            key.append(slice(start, rng.choice((None, None, 1, 2, -1)), rng.choice((None, 1, 2))))
        elif roll < 0.85 and size:
            key.append([rng.randrange(-size, size) for _ in range(rng.randint(1, 3))])
        elif roll < 0.92:
            key.append(None)
            continue
        elif not ellipsis:
            key.append(Ellipsis)
            ellipsis = True
            skip = rng.randint(0, room - 1)
            room, dim = room - skip, dim + skip
            continue
        room, dim = room - 1, dim + 1
    lists = [k for k in key if isinstance(k, list)]
    if len(lists) > 1:  # advanced indices go together, so they need one length
        length = len(lists[0])
        key = [(k * length)[:length] if isinstance(k, list) else k for k in key]
    return key[0] if len(key) == 1 else tuple(key)


def index(m: Maker) -> Statement | None:
    x = m.tensor(lambda t: t.ndim > 0)
    return None if x is None else _result(m, "index", "", (x[0], subscript(m, x[1])))


def gather(m: Maker) -> list[Statement] | None:
    """The functions that take an index tensor, which is made first."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel())
    if x is None:
        return None
    ref, t = x
    d = m.rng.randrange(t.ndim)
    name = m.rng.choice(
        "gather index_select take_along_dim scatter scatter_add index_add index_fill take "
        "scatter_ index_copy index_add_ scatter_reduce".split()
    )
    along = name in ("index_select", "index_add", "index_fill", "index_copy", "index_add_")
    shape = (m.rng.randint(1, 3),) if along else tuple(m.rng.randint(1, n) for n in t.shape)
    if name == "take":
        made = _index_tensor(m, m.indices((3,), t.numel(), negative=True))
        return [made, _result(m, "method", name, (ref, Ref(made.targets[0])))]
    if name in ("scatter", "scatter_", "index_copy"):  # whoever writes last: no index twice
        shape = tuple(1 if i == d else n for i, n in enumerate(shape)) if not along else (1,)
    made = _index_tensor(m, m.indices(shape, t.shape[d], wrong=name != "take_along_dim"))
    where = Ref(made.targets[0])
    if name == "take_along_dim":
        return [made, _result(m, "method", name, (ref, where, d))]
    if name in ("gather", "index_select"):
        return [made, _result(m, "method", name, (ref, d, where))]
    if name == "index_fill" or (name == "scatter" and m.chance(0.5)):
        return [made, _result(m, "method", name, (ref, d, where, m.scalar()))]
    wanted = tuple(shape[0] if i == d else n for i, n in enumerate(t.shape)) if along else shape
    kind = str(t.dtype).rpartition(".")[2] if m.chance(0.95) else "float64"
    source = create(m, wanted, kind)
    args = (ref, d, where, Ref(source.targets[0]))
    if name == "scatter_reduce":
        mode = m.rng.choice(("sum", "mean", "amax", "amin", "prod"))
        return [made, source, _result(m, "method", name, (*args, mode), include_self=m.chance(0.5))]
    return [made, source, _result(m, "method", name, args)]


def _index_tensor(m: Maker, data: Any) -> Statement:
    options = (("dtype", Name("int64")),)
    return Statement("function", "tensor", (data,), options, (m.fresh("i"),))


# ---------------------------------------------------------------- reductions and sorting
def reduce(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(REDUCTIONS)
    options: dict[str, Any] = {}
    dims = m.dims(t.ndim)
    if name in ("prod", "argmax", "argmin") and isinstance(dims, tuple):
        dims = dims[0]
    if dims is not None:
        options["dim"] = dims
        if name != "count_nonzero" and m.chance(0.3):
            options["keepdim"] = True
    if name == "logsumexp" and dims is None:
        options["dim"] = 0
    if name in ("var", "std") and m.chance(0.4):
        options["correction"] = m.rng.choice((0, 1, 2))
    if name in ("sum", "mean", "prod") and m.chance(0.15):
        options["dtype"] = Name(m.rng.choice(FLOATS))
    if name == "norm" and m.chance(0.5):
        options["p"] = m.rng.choice((1, 2, 3, math.inf, 0.5))
    return _result(m, m.rng.choice(("function", "method")), name, (ref,), **options)


def with_indices(m: Maker) -> Statement | None:
    x = m.tensor(lambda t: t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(WITH_INDICES)
    if name in UNDECIDED and not (t.ndim and _distinct(t)):
        return None
    d = m.dim(t.ndim)
    size = t.shape[d] if -t.ndim <= d < t.ndim else 1
    options: dict[str, Any] = {"dim": d}
    args: tuple[Any, ...] = (ref,)
    if name in ("topk", "kthvalue"):
        args = (ref, m.rng.randint(1, size))
    if name in ("max", "min", "median", "kthvalue", "mode") and m.chance(0.3):
        options["keepdim"] = True
    if name in ("sort", "topk") and m.chance(0.4):
        options["descending" if name == "sort" else "largest"] = m.chance(0.5)
    if name == "sort":
        options["stable"] = True
    return _result(m, "function", name, args, targets=2, **options)


UNDECIDED = (
    "topk",
    "kthvalue",
    "median",
    "mode",
)  # which of equal elements: PyTorch leaves it open


def _distinct(t: Any) -> bool:
    t = t.detach().double()
    return bool(not t.isnan().any()) and t.unique().numel() == t.numel()


def scan(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    name = m.rng.choice(SCANS)
    if name == "cumprod" and not bool(x[1].detach().isfinite().all()):
        return None  # which of the later gradients are nan depends on the formula
    return _result(m, "function", name, (x[0], m.dim(x[1].ndim)))


# ---------------------------------------------------------------- joining and products
def join(m: Maker) -> Statement | None:
    x = m.tensor(lambda t: t.ndim > 0)
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(("cat", "stack", "hstack", "vstack", "block_diag", "cartesian_prod"))
    d = m.dim(t.ndim)
    if name == "cat":
        others = m.names(lambda o: o.ndim == t.ndim and _alike(o.shape, t.shape, d))
    else:
        others = m.names(lambda o: o.shape == t.shape)
    parts = [ref, *(Ref(m.rng.choice(others or [ref.name])) for _ in range(m.rng.randint(0, 2)))]
    if name in ("cat", "stack"):
        return _result(m, "function", name, (parts,), dim=d)
    if name == "cartesian_prod":
        return _result(m, "function", name, tuple(parts)) if t.ndim == 1 else None
    return _result(m, "function", name, tuple(parts) if name == "block_diag" else (parts,))


def _alike(a: Any, b: Any, but: int) -> bool:
    but %= max(len(b), 1)
    return all(x == y for i, (x, y) in enumerate(zip(a, b, strict=True)) if i != but)


def product(m: Maker) -> Statement | list[Statement] | None:
    x = m.tensor(lambda t: t.ndim > 0 and t.is_floating_point() and t.numel())
    if x is None:
        return None
    ref, t = x
    kind = str(t.dtype).rpartition(".")[2]
    name = m.rng.choice(("matmul", "matmul", "linear", "outer", "einsum", "tensordot", "bmm", "mv"))
    if name == "outer":
        y = m.pick(lambda o: o.ndim == 1)
        return None if y is None or t.ndim != 1 else _result(m, "function", name, (ref, Ref(y)))
    inner = t.shape[-1]
    if name == "linear":
        made = create(m, (3, inner), kind)
        step = ("nn.functional.linear", (ref, Ref(made.targets[0])))
    elif name == "einsum":
        made = create(m, (inner, 2), kind)
        step = ("einsum", ("...j,jk->...k", ref, Ref(made.targets[0])))
    elif name == "tensordot":
        made = create(m, (inner, 2), kind)
        step = ("tensordot", (ref, Ref(made.targets[0]), 1))
    elif name == "bmm" and t.ndim == 3:
        made = create(m, (t.shape[0], inner, 2), kind)
        step = ("bmm", (ref, Ref(made.targets[0])))
    elif name == "mv" and t.ndim == 2:
        made = create(m, (inner,), kind)
        step = ("mv", (ref, Ref(made.targets[0])))
    else:
        batch = m.broadcastable(tuple(t.shape[:-2])) if m.chance(0.4) else ()
        made = create(m, (*batch, inner, m.rng.randint(1, 3)), kind)
        step = ("matmul", (ref, Ref(made.targets[0])))
    return [made, _result(m, "function", *step)]


# ---------------------------------------------------------------- norms and losses
def level(t: Any) -> bool:
    """Whether some part over which a norm is taken hardly varies: what rounding leaves of its
    deviations is made large.
    """
    t = t.detach().double()
    alone = [[d for d in range(t.ndim) if d != left] for left in range(t.ndim)]
    for over in ([-1], list(range(2, t.ndim)), list(range(t.ndim)), *alone):
        if over and bool((t.amax(over) - t.amin(over) < 1e-2 * t.abs().amax(over)).any()):
            return True
    return False


def layer(m: Maker) -> Statement | list[Statement] | None:
    x = m.tensor(lambda t: t.is_floating_point() and t.ndim > 0 and t.numel())
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(
        "softmax log_softmax layer_norm batch_norm normalize softmin rms_norm glu pad "
        "group_norm avg_pool1d max_pool1d".split()
    )
    f = f"nn.functional.{name}"
    if name in ("layer_norm", "batch_norm", "group_norm") and level(t):
        return None
    if name in ("softmax", "log_softmax", "softmin"):
        return _result(m, "function", f, (ref,), dim=m.dim(t.ndim))
    if name in ("layer_norm", "rms_norm"):
        return _result(m, "function", f, (ref, tuple(t.shape[-m.rng.randint(1, t.ndim) :])))
    if name == "batch_norm":
        if str(t.dtype).rpartition(".")[2] in HALVES:
            return None  # of few rows: the gradient is what is left of a cancellation in halves
        return _result(m, "function", f, (ref, None, None), training=True)
    if name == "group_norm":
        return _result(m, "function", f, (ref, 1)) if t.ndim > 1 else None
    if name == "pad":
        return _result(m, "function", f, (ref, (m.rng.randint(-1, 2), m.rng.randint(0, 2))))
    if name.endswith("pool1d"):
        return _result(m, "function", f, (ref, m.rng.randint(1, 2)))
    if name == "glu":
        return _result(m, "function", f, (ref, m.dim(t.ndim)))
    return _result(m, "function", f, (ref,), dim=m.dim(t.ndim))


def loss(m: Maker) -> Statement | list[Statement] | None:
    x = m.tensor(lambda t: t.is_floating_point() and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    reduction = m.rng.choice(("mean", "sum", "none"))
    if m.chance(0.4) and t.ndim == 2:
        made = _index_tensor(m, m.indices((t.shape[0],), t.shape[1]))
        name = m.rng.choice(("cross_entropy", "nll_loss"))
        options: dict[str, Any] = {"reduction": reduction}
        if name == "cross_entropy" and m.chance(0.3):
            options["label_smoothing"] = 0.1
        if m.chance(0.2):
            options["ignore_index"] = 0
        args = (ref, Ref(made.targets[0]))
        return [made, _result(m, "function", f"nn.functional.{name}", args, **options)]
    target = m.pick(lambda o: o.shape == t.shape and o.dtype is t.dtype)
    name = "nn.functional." + m.rng.choice(LOSSES)
    if name.endswith("soft_margin_loss") and str(t.dtype).rpartition(".")[2] in HALVES:
        return None  # PyTorch's exp overflows there; minigrad rounds once, at the end
    return _result(m, "function", name, (ref, Ref(target or "")), reduction=reduction)


# ---------------------------------------------------------------- dtypes and the graph
def cast(m: Maker) -> Statement | None:
    x = m.tensor(castable)
    if x is None:
        return None
    if m.chance(0.5):
        name = m.rng.choice("float double long int bool half bfloat16".split())
        return _result(m, "method", name, (x[0],))
    return _result(m, "method", "to", (x[0], Name(m.dtype())))


def castable(t: Any) -> bool:
    """What C leaves undefined (nan or a large number as an integer) is nobody's to compare."""
    t = t.detach().double()
    return bool(((t.abs() < 100) & (t > -0.9)).all())


def detach(m: Maker) -> Statement | None:
    x = m.tensor()
    if x is None:
        return None
    name = m.rng.choice(("detach", "detach", "data", "requires_grad_", "retain_grad", "clone"))
    if name == "data":  # not of one with a history: changes would go unnoticed in saved values
        return None if x[1].requires_grad else _result(m, "attribute", name, (x[0],))
    if name == "retain_grad":
        return Statement("method", name, (x[0],))
    return _result(m, "method", name, (x[0],))


def backward(m: Maker) -> list[Statement] | Statement | None:
    """A weighted sum, differentiated; sometimes with the graph kept, or by autograd.grad."""
    x = m.tensor(lambda t: t.is_floating_point() and t.requires_grad and t.numel())
    if x is None:
        return None
    ref, t = x
    kind = str(t.dtype).rpartition(".")[2]
    data = m.data(tuple(t.shape), kind)
    if any(n[0] == "m" for n in m.env) and not all(map(math.isfinite, _flat(data))):
        return None  # a module's sums of products: where inf − inf comes up is the algorithm's
    weight = Statement(
        "function", "tensor", (data,), (("dtype", Name(kind)),), (m.fresh("g"),),
    )  # fmt: skip
    seed = Ref(weight.targets[0])
    if m.chance(0.3):
        leaves = m.names(lambda o: o.requires_grad and o is not t)
        if not leaves:
            return None
        options: dict[str, Any] = {"allow_unused": True}
        if m.chance(0.7):
            options["create_graph"] = True
        wanted = m.rng.choice(leaves)
        grad = Statement(
            "function", "autograd.grad", (ref, [Ref(wanted)], seed), tuple(options.items()),
            (m.fresh("t"),),
        )  # fmt: skip
        only = Statement("index", "", (Ref(grad.targets[0]), 0), targets=(m.fresh("t"),))
        # the order of a gradient's strides is by chance, and decides what is a view of it
        plain = {"memory_format": Name("contiguous_format")}
        return [weight, grad, only, _result(m, "method", "clone", (Ref(only.targets[0]),), **plain)]
    keep = (("retain_graph", True),) if m.chance(0.5) else ()
    return [weight, Statement("method", "backward", (ref, seed), keep)]


def _flat(data: Any) -> list[Any]:
    return [n for part in data for n in _flat(part)] if isinstance(data, list) else [data]


def read_grad(m: Maker) -> list[Statement] | None:
    x = m.tensor(lambda t: t.is_leaf and t.grad is not None)
    if x is None:
        return None
    grad = Statement("attribute", "grad", (x[0],), targets=(m.fresh("t"),))
    return [grad, _result(m, "method", "detach", (Ref(grad.targets[0]),))]


RECIPES: dict[Callable[[Maker], Any], int] = {
    create: 8, create_other: 2, unary: 10, binary: 16, ternary: 5, inplace: 9, assign: 5, view: 14,
    pieces: 3, index: 8, gather: 5, reduce: 8, with_indices: 4, scan: 2, join: 5, product: 6,
    layer: 5, loss: 3, cast: 3, detach: 3, backward: 4, read_grad: 1,
}  # fmt: skip
