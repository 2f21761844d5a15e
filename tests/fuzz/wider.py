"""Recipes for what recipes.py and families.py leave out, an operation a function or a row of a
table: hooks, options and dtypes beside the usual ones, more in-place changes, more modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .families import _kind
from .program import Lambda, Name, Ref, Statement
from .recipes import (
    FLOATS,
    HALVES,
    INTEGERS,
    Maker,
    _distinct,
    _result,
    create,
    operand,
)

Made = Statement | list[Statement] | None


def _small(t: Any, most: float = 100.0) -> bool:
    """Finite, and so that what sums of products cancel is below the tolerance."""
    t = t.detach().double()
    return bool(t.isfinite().all()) and bool((t.abs() <= most).all())


# ---------------------------------------------------------------- hooks and the graph
TENSOR_HOOKS = ("lambda g: g * 2", "lambda g: None", "lambda g: g.detach()", "lambda g: -g")
LEAF_HOOKS = ("lambda p: setattr(p, 'grad', p.grad * 2)", "lambda p: None")


def hook(m: Maker) -> Made:
    """A hook that changes a gradient, on a leaf or on a result."""
    x = m.tensor(lambda t: t.requires_grad and t.is_floating_point())
    if x is None:
        return None
    if x[1].is_leaf and m.chance(0.4):
        name, source = "register_post_accumulate_grad_hook", m.rng.choice(LEAF_HOOKS)
    else:
        name, source = "register_hook", m.rng.choice(TENSOR_HOOKS)
    return Statement("method", name, (x[0], Lambda(source)))


def read(m: Maker) -> Made:
    """What a program asks a tensor: numbers and flags."""
    x = m.tensor(lambda t: t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    if t.numel() == 1 and m.chance(0.6):
        name = m.rng.choice(("item", "__bool__", "__float__", "__int__", "__index__", "tolist"))
        if name in ("__int__", "__index__") and not _small(t):
            return None
    else:
        name = m.rng.choice(
            "size dim numel element_size is_floating_point is_complex __len__ tolist is_same_size "
            "is_signed get_device ndimension nelement storage_offset".split()
        )
    if name in ("tolist", "item", "__float__") and _kind(t) in HALVES:
        return None  # the last place
    args = (ref, m.tensor()[0]) if name == "is_same_size" else (ref,)  # type: ignore[index]
    return Statement("method", name, args, (), (m.fresh("n"),))


def graph(m: Maker) -> Made:
    """Gradients taken off, put back or away; a tensor cut out of the graph in place."""
    name = m.rng.choice(("detach_", "zero_grad", "flag", "detached add", "requires_grad"))
    x = m.tensor(lambda t: t.is_floating_point() and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    if name == "detach_":
        return Statement("method", name, (ref,), (), (m.fresh(),))
    if name == "zero_grad":
        return None if t.grad is None else Statement("set", "grad", (ref, None))
    if name == "requires_grad":
        return Statement("set", name, (ref, m.chance(0.6)))
    if name == "flag":
        return Statement(
            "attribute", m.rng.choice(("is_leaf", "requires_grad")), (ref,), (), (m.fresh("n"),)
        )
    detached = m.fresh()
    return [
        Statement("method", "detach", (ref,), (), (detached,)),
        _result(m, "operator", m.rng.choice(("add", "mul")), (ref, Ref(detached))),
    ]


# ---------------------------------------------------------------- in place
UNARY_INPLACE = """acos_ asin_ atan_ cos_ cosh_ tan_ sinh_ asinh_ acosh_ atanh_ erf_ erfc_ exp2_
    expm1_ log_ log10_ log1p_ log2_ rsqrt_ frac_ sgn_ nan_to_num_ lgamma_ digamma_ i0_ sinc_
    deg2rad_ rad2deg_ bitwise_not_ t_ squeeze_ detach_ cumsum_ cumprod_ tril_ triu_ clamp_max_
    clamp_min_ fill_diagonal_
    transpose_ unsqueeze_ swapaxes_ float_power_ logit_""".split()
BINARY_INPLACE = """ne_ le_ gt_ ge_ logical_or_ logical_xor_ bitwise_or_ bitwise_xor_
    true_divide_ subtract_ multiply_ xlogy_ heaviside_ gcd_ lcm_ ldexp_ nextafter_
    clamp_min_""".split()


def more_inplace(m: Maker) -> Made:
    x = m.tensor()
    if x is None or m.overlaps(x[1], None):
        return None
    ref, t = x
    roll = m.rng.random()
    if roll < 0.5:
        return _unary_inplace(m, ref, t)
    other = operand(m, tuple(t.shape))
    if m.overlaps(t, other):
        return None
    if roll < 0.75:
        name = m.rng.choice(BINARY_INPLACE)
        if name in ("heaviside_", "gcd_", "lcm_", "nextafter_") and not isinstance(other, Ref):
            return None
        return _result(m, "method", name, (ref, other))
    if roll < 0.85:
        return _result(m, "method", "lerp_", (ref, other, m.rng.choice((0.25, 1.0))))
    third = operand(m, tuple(t.shape))
    if m.overlaps(t, third):
        return None
    name = m.rng.choice(("addcmul_", "addcdiv_"))
    return _result(m, "method", name, (ref, other, third), value=m.rng.choice((1, 0.5, 2)))


def _unary_inplace(m: Maker, ref: Ref, t: Any) -> Made:
    name, n = m.rng.choice(UNARY_INPLACE), t.ndim
    args: tuple[Any, ...] = ()
    if name in ("cumsum_", "cumprod_", "unsqueeze_"):
        args = (m.dim(n),)
    elif name in ("transpose_", "swapaxes_"):
        args = (m.dim(n), m.dim(n))
    elif name in ("clamp_max_", "clamp_min_", "fill_diagonal_"):
        args = (m.rng.choice((0, 1, 0.5)),)
    elif name == "float_power_":
        args = (2,)
    if name == "cumprod_" and not _small(t) or "cum" in name and _kind(t) == "bool":
        return None
    if name in ("i0_", "digamma_", "lgamma_", "logit_") and not _small(t, 20):
        return None
    if name == "logit_" and bool((t == 0).any()):
        return None  # the slope at -0.0 is -∞ in PyTorch's vectors and ∞ in what is left of them
    return _result(m, "method", name, (ref, *args))


# ---------------------------------------------------------------- several results, more reductions
def several(m: Maker) -> Made:
    """Functions with options that the other recipes do not give, or several results."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    d, name = m.dim(t.ndim), m.rng.choice(list(SEVERAL))
    return SEVERAL[name](m, name, ref, t, d)


def _moments(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if not _small(t):
        return None  # how far inf spreads is the algorithm's
    options: dict[str, Any] = {"dim": m.dims(t.ndim) if m.chance(0.5) else d}
    options["keepdim"] = m.chance(0.4)
    if m.chance(0.5):
        options["correction"] = m.rng.choice((0, 1))
    return _result(m, "function", name, (ref,), targets=2, **options)


def _aminmax(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    return _result(m, "function", name, (ref,), targets=2, dim=d, keepdim=m.chance(0.4))


def _quantile(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if not t.is_floating_point() or not _distinct(t):
        return None
    options: dict[str, Any] = {"dim": d, "keepdim": m.chance(0.4)}
    options["interpolation"] = m.rng.choice(("linear", "lower", "higher", "nearest", "midpoint"))
    return _result(m, "function", name, (ref, m.rng.choice((0.0, 0.25, 0.5, 1.0))), **options)


def _nanmedian(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if not _distinct(t):
        return None
    return _result(m, "function", name, (ref,), targets=2, dim=d, keepdim=m.chance(0.4))


def _round(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if _kind(t) != "float64":
        return None  # scaled and rounded: half-way cases are the rounding's
    return _result(m, "function", name, (ref,), decimals=m.rng.choice((0, 5, -1)))


def _along(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if not _small(t):
        return None
    return _result(m, "function", name, (ref,), dim=d)


def _gradient(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if not 0 <= d < t.ndim or t.shape[d] < 2:
        return None
    spacing = m.rng.choice((1.0, 2.0))
    found = Statement("function", name, (ref,), (("spacing", spacing), ("dim", d)), (m.fresh("t"),))
    return [found, Statement("index", "", (Ref(found.targets[0]), 0), targets=(m.fresh(),))]


def _renorm(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if t.ndim < 2 or not _small(t):
        return None
    return _result(m, "function", name, (ref, m.rng.choice((1.0, 2.0)), d, 1.5))


def _cov(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if t.ndim > 2 or not _small(t):
        return None
    return _result(m, "function", name, (ref,), correction=m.rng.choice((0, 1)))


def _vector_norm(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    order = m.rng.choice((0, 1, 2, 3, float("inf"), -float("inf")))
    if abs(order) == float("inf") and not _distinct(t):
        return None
    return _result(m, "function", name, (ref, order), dim=d, keepdim=m.chance(0.4))


def _bucketize(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    bounds = create(m, (3,), "float64")
    if bounds.name != "tensor":
        return None
    bounds = Statement(
        "function", "tensor", (sorted(bounds.args[0]),), (("dtype", Name("float64")),),
        (bounds.targets[0],),
    )  # fmt: skip
    if not _small(t) or any(b != b for b in bounds.args[0]):  # nan has no place
        return None
    args = (ref, Ref(bounds.targets[0]))
    return [bounds, _result(m, "function", name, args, right=m.chance(0.5))]


def _one_hot(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    if _kind(t) != "int64" or not bool((t < 8).all()):
        return None
    return _result(m, "function", name, (ref,))


def _consecutive(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    return _result(m, "function", name, (ref,), targets=2, return_counts=True)


def _dtyped(m: Maker, name: str, ref: Ref, t: Any, d: int) -> Made:
    """A reduction or a scan in another dtype."""
    if not _small(t):
        return None
    kinds = ("float32", "float64", "int64") if not t.is_floating_point() else FLOATS
    kind = Name(m.rng.choice(kinds))
    name = m.rng.choice(("sum", "prod", "cumsum", "cumprod", "softmax", "nansum", "log_softmax"))
    if "softmax" in name:
        kind = Name(m.rng.choice(FLOATS))
    return _result(m, "method", name, (ref, d), dtype=kind)


SEVERAL: dict[str, Callable[..., Made]] = {
    "std_mean": _moments, "var_mean": _moments, "aminmax": _aminmax, "quantile": _quantile,
    "nanquantile": _quantile, "nanmedian": _nanmedian, "round": _round, "trapezoid": _along,
    "cumulative_trapezoid": _along, "gradient": _gradient, "renorm": _renorm, "cov": _cov,
    "linalg.vector_norm": _vector_norm, "bucketize": _bucketize,
    "nn.functional.one_hot": _one_hot, "unique_consecutive": _consecutive, "dtyped": _dtyped,
}  # fmt: skip


# ---------------------------------------------------------------- shapes
def more_shapes(m: Maker) -> Made:
    x = m.tensor()
    if x is None:
        return None
    ref, t = x
    name = m.rng.choice(list(SHAPES))
    return SHAPES[name](m, name, ref, t)


def _plain(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    return _result(m, "function", name, (ref,))


def _diagonals(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    if name == "diag" and t.ndim > 2:
        return None
    return _result(m, "function", name, (ref, m.rng.randint(-1, 1)))


def _alike(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    shape = tuple(t.shape)
    others = m.names(lambda o: tuple(o.shape) == shape)
    return _result(m, "function", name, ([ref, Ref(m.rng.choice(others))],))


def _like_other(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    other = m.tensor(lambda o: o.numel() == t.numel() if name == "reshape_as" else True)
    return None if other is None else _result(m, "method", name, (ref, other[0]))


def _new(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    args: tuple = (ref, m.shape(), m.scalar()) if name == "new_full" else (ref, m.shape())
    return _result(m, "method", name, args)


def _full_like(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    return _result(m, "function", name, (ref, m.scalar()), dtype=Name(m.dtype()))


def _rot90(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    return None if t.ndim < 2 else _result(m, "function", name, (ref, m.rng.randint(-1, 4), (0, 1)))


def _scattered(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    """A part of x replaced: by numbers made for it."""
    if t.ndim < (2 if name == "diagonal_scatter" else 1) or not t.numel() or m.overlaps(t, None):
        return None
    d = m.rng.randrange(t.ndim)
    kind = _kind(t) if _kind(t) in FLOATS + HALVES + INTEGERS else "bool"
    if name == "select_scatter":
        made = create(m, tuple(n for i, n in enumerate(t.shape) if i != d), kind)
        args: tuple = (ref, Ref(made.targets[0]), d, m.rng.randrange(t.shape[d]))
    elif name == "slice_scatter":
        start = m.rng.randrange(t.shape[d])
        made = create(m, (*t.shape[:d], t.shape[d] - start, *t.shape[d + 1 :]), kind)
        args = (ref, Ref(made.targets[0]), d, start)
    else:
        made = create(m, (*t.shape[2:], min(t.shape[:2])), kind)
        args = (ref, Ref(made.targets[0]))
    return [made, _result(m, "function", name, args)]


def _splits(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    if t.ndim < 1 or t.shape[0] < 2:
        return None
    sections = m.rng.randint(2, t.shape[0])
    return _result(m, "function", name, (ref, sections), targets=sections)


def _meshgrid(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    if t.ndim > 1:
        return None
    other = m.names(lambda o: o.ndim <= 1 and o.dtype is t.dtype)
    args = (ref, Ref(m.rng.choice(other)))
    return _result(m, "function", name, args, targets=2, indexing=m.rng.choice(("ij", "xy")))


def _typed(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    sizes = {
        "float32": 4,
        "float64": 8,
        "int64": 8,
        "int32": 4,
        "int16": 2,
        "float16": 2,
        "uint8": 1,
    }
    own = sizes.get(_kind(t))
    alike = [kind for kind, n in sizes.items() if n == own and "float" not in kind]
    if not alike:
        return None
    return _result(m, "method", "view", (ref, Name(m.rng.choice(alike))))


def _laid_out(m: Maker, name: str, ref: Ref, t: Any) -> Made:
    if t.ndim != 4:
        return None
    options = {"memory_format": Name(m.rng.choice(("channels_last", "contiguous_format")))}
    return _result(m, "method", name, (ref,), **options)


SHAPES: dict[str, Callable[..., Made]] = {
    "atleast_1d": _plain, "atleast_2d": _plain, "atleast_3d": _plain, "ravel": _plain,
    "fliplr": _plain, "flipud": _plain, "adjoint": _plain, "real": _plain, "diag": _diagonals,
    "diag_embed": _diagonals, "diagflat": _diagonals, "dstack": _alike, "column_stack": _alike,
    "reshape_as": _like_other, "expand_as": _like_other,
    "type_as": _like_other, "new_zeros": _new, "new_ones": _new, "new_full": _new,
    "full_like": _full_like, "rot90": _rot90, "select_scatter": _scattered,
    "slice_scatter": _scattered, "diagonal_scatter": _scattered, "tensor_split": _splits,
    "meshgrid": _meshgrid, "dtype": _typed, "contiguous": _laid_out,
}  # fmt: skip
