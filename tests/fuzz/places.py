"""Recipes that read and write at places: subscripts of tensors, functions of index tensors, `out=`;
and complex numbers beyond families.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from .families import _complex_data, _kind
from .program import Name, Ref, Statement
from .recipes import FLOATS, Maker, _index_tensor, _result, castable, create
from .wider import Made, _small


# ---------------------------------------------------------------- subscripts
def tensor_subscript(m: Maker) -> Made:
    """x[key], or x[key] = value, with tensors, masks of some dimensions and nested lists inside."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    made: list[Statement] = []
    key: list[Any] = []
    shape = m.rng.choice(((), (2,), (3,), (2, 1), (1,), (2, 2)))
    dim = 0
    while dim < t.ndim and m.chance(0.8):
        size, roll = t.shape[dim], m.rng.random()
        if roll < 0.4:
            wide = tuple(1 if m.chance(0.15) else n for n in shape)
            index = _index_tensor(m, m.indices(wide, size, negative=True))
            made.append(index)
            key.append(Ref(index.targets[0]))
        elif roll < 0.5 and not any(isinstance(k, list) for k in key):
            key.append([m.chance(0.5) for _ in range(size)])
        elif roll < 0.6:
            key.append(None)
            continue
        elif roll < 0.75:
            key.append(m.rng.randrange(-size, size))
        else:
            start = m.rng.randrange(size)
            key.append(slice(start, None, m.rng.choice((None, 1, 2))))
        dim += 1
    if m.chance(0.15):
        key.append(Ellipsis)
    where = tuple(key) if len(key) != 1 or m.chance(0.3) else key[0]
    if m.chance(0.6):
        return [*made, _result(m, "index", "", (ref, where))]
    if m.overlaps(t, None) or len(made) > 0 and m.chance(0.5):
        return None
    names = [n for n in m.names(lambda o: o.numel() == 1) if not m.overlaps(t, Ref(n))]
    names = [n for n in names if t.is_floating_point() or castable(m.env[n])]
    value = Ref(m.rng.choice(names)) if names and m.chance(0.5) else m.scalar()
    return [*made, Statement("assign", "", (ref, where, value))]


def write(m: Maker) -> Made:
    """Functions that put values at indices; no index twice where the last one to write counts."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None or m.overlaps(x[1], None):
        return None
    ref, t = x
    d = m.rng.randrange(t.ndim)
    kind = _kind(t)
    name = m.rng.choice(
        "masked_scatter masked_scatter_ put put_ index_reduce scatter_reduce_ index_fill_ "
        "index_put index_copy_ scatter_add_ masked_fill gather index_select take "
        "searchsorted".split()
    )
    if name.startswith("masked"):
        return _masked(m, name, ref, t, kind)
    if name == "searchsorted":
        return _sorted(m, t)
    if name in ("put", "put_", "take"):
        n = m.rng.randint(1, 3)
        places = m.rng.sample(range(t.numel()), min(n, t.numel()))
        made = _index_tensor(m, places)
        if name == "take":
            return [made, _result(m, "method", name, (ref, Ref(made.targets[0])))]
        source = create(m, (len(places),), kind)
        args = (ref, Ref(made.targets[0]), Ref(source.targets[0]), m.chance(0.5))
        return [made, source, _result(m, "method", name, args)]
    if name == "index_put":
        n = m.rng.randint(1, min(3, t.shape[0]))
        made = _index_tensor(m, m.rng.sample(range(t.shape[0]), n))
        source = create(m, (n, *t.shape[1:]) if m.chance(0.5) else (1,), kind)
        args = (ref, (Ref(made.targets[0]),), Ref(source.targets[0]), m.chance(0.5))
        return [made, source, _result(m, "method", name, args)]
    along = name.startswith("index")
    if along:
        n = m.rng.randint(1, t.shape[d])
        data: Any = m.rng.sample(range(t.shape[d]), n)
        shape = (*t.shape[:d], n, *t.shape[d + 1 :])
    else:
        shape = tuple(m.rng.randint(1, n) for n in t.shape)
        data = m.indices(shape, t.shape[d])
    made = _index_tensor(m, data)
    where = Ref(made.targets[0])
    if name in ("gather", "index_select"):
        return [made, _result(m, "function", name, (ref, d - t.ndim, where))]
    if name == "index_fill_":
        return [made, _result(m, "method", name, (ref, d, where, m.scalar()))]
    source = create(m, shape, kind)
    args = (ref, d, where, Ref(source.targets[0]))
    if name in ("index_reduce", "scatter_reduce_"):
        if not _small(t) or name == "index_reduce" and kind == "bool":
            return None
        modes = ("prod", "mean") if name == "index_reduce" else ("sum", "prod", "mean")
        args = (*args, m.rng.choice(modes))
        return [made, source, _result(m, "method", name, args, include_self=m.chance(0.5))]
    return [made, source, _result(m, "method", name, args)]


def _masked(m: Maker, name: str, ref: Ref, t: Any, kind: str) -> Made:
    mask = m.tensor(lambda o: _kind(o) == "bool" and o.ndim <= t.ndim)
    if mask is None:
        return None
    if name == "masked_fill":
        value = m.tensor(lambda o: o.ndim == 0)
        return None if value is None else _result(m, "method", name, (ref, mask[0], value[0]))
    if m.overlaps(t, mask[0]):
        return None
    source = create(m, (t.numel(),), kind)
    return [source, _result(m, "method", name, (ref, mask[0], Ref(source.targets[0])))]


def _sorted(m: Maker, t: Any) -> Made:
    if not t.is_floating_point() or not _small(t):
        return None
    bounds = _result(m, "function", "tensor", ([-1.0, 0.0, 0.5, 2.0],), dtype=Name(_kind(t)))
    other = m.tensor(lambda o: o.dtype is t.dtype)
    if other is None:
        return None
    args = (Ref(bounds.targets[0]), other[0])
    return [bounds, _result(m, "function", "searchsorted", args, right=m.chance(0.5))]


# ---------------------------------------------------------------- out=
def more_out(m: Maker) -> Made:
    """A result written into a tensor made for it, now and then one of another dtype."""
    x = m.tensor(lambda t: t.ndim > 0 and t.numel() > 0)
    if x is None:
        return None
    ref, t = x
    d, least = m.dim(t.ndim), None if _kind(t) == "bool" else -1
    alike = [Ref(n) for n in m.names(lambda o: o.shape == t.shape and o.dtype is t.dtype)]
    other = m.rng.choice(alike)
    name, args = m.rng.choice(
        [
            ("sum", (ref, d)), ("mean", (ref, d)), ("prod", (ref, d)), ("cat", ([ref, other], d)),
            ("stack", ([ref, other], d)), ("matmul", (ref, other)), ("clamp", (ref, least, 1)),
            ("tril", (ref,)), ("triu", (ref,)), ("cumprod", (ref, d)), ("logsumexp", (ref, d)),
            ("all", (ref, d)), ("any", (ref, d)), ("argmax", (ref, d)), ("eq", (ref, other)),
            ("pow", (ref, 2)), ("fmod", (ref, 2)), ("atan2", (ref, other)), ("div", (ref, other)),
            ("sub", (ref, other)), ("logical_and", (ref, other)), ("tanh", (ref,)), ("abs", (ref,)),
            ("floor", (ref,)), ("sigmoid", (ref,)), ("log1p", (ref,)), ("erf", (ref,)),
            ("addcmul", (ref, other, other)), ("lerp", (ref, other, 0.25)), ("isneginf", (ref,)),
            ("gt", (ref, 0)), ("bitwise_and", (ref, other)), ("amax", (ref, d)), ("std", (ref, d)),
            ("nan_to_num", (ref,)), ("hypot", (ref, other)), ("square", (ref,)),
            ("nn.functional.softplus", (ref,)), ("special.expit", (ref,)), ("outer", (ref, other)),
        ]
    )  # fmt: skip
    fine = dataclasses.replace(Statement("function", name, args, (), ("r",)), no_grad=True)
    found = dict(m.env)
    try:
        result = fine.run(m.library, found)
    except Exception:
        return None  # what raises without out= the other recipes try
    kind = m.dtype() if m.chance(0.15) else _kind(result)
    if kind == "float64" != _kind(result):
        kind = _kind(result)  # compared as float64, what was computed in float32
    shape = tuple(result.shape) if m.chance(0.95) else (0,)
    made = _result(m, "function", "zeros", (shape,), dtype=Name(kind))
    target = made.targets[0]
    written = Statement("function", name, args, (("out", Ref(target)),), (target,))
    return [made, dataclasses.replace(written, no_grad=m.chance(0.6))]


# ---------------------------------------------------------------- complex numbers
UNARY = """tan asin acos atan sinh asinh atanh log2 log10 log1p exp2 expm1 rsqrt square positive
    conj_physical nn.functional.silu""".split()
INPLACE = "add_ sub_ mul_ div_ copy_ pow_".split()


def more_complex(m: Maker) -> Made:
    """Complex variables with real ones, in products, views, in place; results that are real join
    the others.
    """
    known = [n for n in m.env if n[0] == "c"]
    if not known:
        return None
    name = m.rng.choice(known)
    ref, t = Ref(name), m.env[name]
    if not bool(t.abs().isfinite().all()):
        return None
    alike = [Ref(n) for n in known if m.env[n].shape == t.shape]
    choice = m.rng.choice(list(COMPLEX))
    return COMPLEX[choice](m, ref, t, m.rng.choice(alike))


def _c(m: Maker, kind: str, name: str, args: tuple, letter: str = "c", **options: Any) -> Statement:
    return Statement(kind, name, args, tuple(options.items()), (m.fresh(letter),))


def _unary(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    return _c(m, "function", m.rng.choice(UNARY), (ref,))


def _mixed(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    real = m.tensor(lambda o: o.shape == t.shape or o.ndim == 0)
    if real is None or not _small(real[1]):
        return None
    pair = (ref, real[0]) if m.chance(0.5) else (real[0], ref)
    return _c(m, "operator", m.rng.choice(("add", "sub", "mul", "truediv")), pair)


def _inplace(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    name = m.rng.choice(INPLACE)
    if name == "pow_":
        return _c(m, "method", name, (ref, 2))
    value = m.rng.choice((other, 2, 1j))
    if name == "copy_" and not isinstance(value, Ref):
        return None
    if m.overlaps(t, value):
        return None
    return _c(m, "method", name, (ref, value))


def _parts(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    """The real or imaginary part, a view, changed in place or not."""
    part = m.fresh()
    made = [Statement("attribute", m.rng.choice(("real", "imag")), (ref,), (), (part,))]
    if m.chance(0.5):
        made.append(_result(m, "method", m.rng.choice(("mul_", "add_")), (Ref(part), 2)))
    return made


def _reduced(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    if not t.ndim:
        return None
    name = m.rng.choice(("sum", "mean", "prod", "cumsum", "cumprod", "var", "std", "norm"))
    if name in ("var", "std"):
        return None if t.shape[0] < 2 else _result(m, "function", name, (ref, 0))
    if name == "norm":
        return _result(m, "function", "linalg.vector_norm", (ref,))
    return _c(m, "function", name, (ref, 0))


def _joined(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    if not t.ndim:
        return None
    return _c(m, "function", m.rng.choice(("cat", "stack")), ([ref, other], 0))


def _shaped(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    name = m.rng.choice(("reshape", "unsqueeze", "conj", "resolve_conj", "clone", "flatten", "mH"))
    if name == "mH":
        return None if t.ndim != 2 else _c(m, "attribute", name, (ref,))
    args = {"reshape": (-1,), "unsqueeze": (0,)}.get(name, ())
    return _c(m, "method", name, (ref, *args))


def _indexed(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    if not t.ndim:
        return None
    key = m.rng.choice((0, slice(1, None), [0, 0], -1, None))
    if m.chance(0.3):
        return Statement("assign", "", (ref, key, m.rng.choice((1, 2j, 0.5))))
    return _c(m, "index", "", (ref, key))


def _multiplied(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    if t.ndim == 2:
        name = m.rng.choice(("matmul", "linalg.det", "linalg.inv", "trace", "linalg.solve"))
        if name in ("matmul", "linalg.solve"):
            return _c(m, "function", name, (ref, other))
        return _c(m, "function", name, (ref,))
    if t.ndim == 1:
        return _c(m, "function", m.rng.choice(("dot", "vdot", "outer")), (ref, other))
    return None


def _made(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    """Complex numbers from real ones."""
    x = m.tensor(lambda o: _kind(o) in FLOATS and o.ndim > 0 and o.numel() > 0)
    if x is None or not _small(x[1]):
        return None
    name = m.rng.choice(("complex", "polar", "view_as_complex", "to", "where"))
    if name == "view_as_complex":
        return None if x[1].shape[-1] != 2 else _c(m, "function", name, (x[0],))
    if name == "to":
        return _c(m, "method", name, (x[0], Name(m.rng.choice(("complex64", "complex128")))))
    if name == "where":
        mask = m.tensor(lambda o: _kind(o) == "bool" and o.shape == t.shape)
        return None if mask is None else _c(m, "function", name, (mask[0], ref, other))
    return _c(m, "function", name, (x[0], x[0]))


def _back(m: Maker, ref: Ref, t: Any, other: Ref) -> Made:
    if not t.requires_grad:
        return None
    data = _complex_data(m, tuple(t.shape))
    options = (("dtype", Name(_kind(t))),)
    weight = Statement("function", "tensor", (data,), options, (m.fresh("g"),))
    keep = (("retain_graph", True),)
    return [weight, Statement("method", "backward", (ref, Ref(weight.targets[0])), keep)]


COMPLEX = {
    "unary": _unary, "mixed": _mixed, "inplace": _inplace, "parts": _parts, "reduced": _reduced,
    "joined": _joined, "shaped": _shaped, "indexed": _indexed, "multiplied": _multiplied,
    "made": _made, "back": _back,
}  # fmt: skip
