"""Scaled dot-product attention on a GPU in tiles: no matrix of queries times keys is ever stored.

For halves without a mask cuDNN is asked first (dnn.py). Else there are four kernels on tensor cores
(attention*.cuh): forward, Σ ō·o, the gradient of queries, and those of keys and values. float32 is
computed as three products of TF32 numbers, or as one where PyTorch's flags allow it; halves, which
are TF32 numbers, as one. Heads may lie side by side in memory, batches and heads may be broadcast,
groups of query heads may share keys and values; only the numbers of one head's row have to be
neighbours.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ...backend import flags
from ...backend.devices import array_module
from . import dnn
from .launch import aligned, blocks, start
from .source import TYPES, Source, from_file, width

KINDS = ("float32", "float16", "bfloat16")
WIDEST = 128
"""Of a row of a head: two accumulators of more do not fit into registers."""
ROWS, THREADS = 64, 128
NO_MASK, CAUSAL, FLOATS, BOOLS = range(4)
MOST_BLOCKS = 1 << 31

_SHAPE = np.dtype(
    [
        *[(name, np.int32) for name in ("heads", "group", "length", "keys", "e", "f")],
        *[(name, np.float32) for name in ("scale", "keep")],
        ("threshold", np.uint32),
        ("seed", np.uint64),
        *[(name, np.int64, (n,)) for name, n in (("q", 3), ("k", 3), ("v", 3), ("o", 3))],
        ("mask", np.int64, (4,)),
        *[(name, np.int64, (3,)) for name in ("g", "q_bar", "k_bar", "v_bar")],
    ],
    align=True,
)
"""The struct Shape of attention.cuh."""


# ------------------------------------------------------------------------------ kernels
@functools.cache
def _kernel(
    part: str, dtype: str, e: int, f: int, *, mask: int, wide: bool, exact: bool, dropout: bool
) -> Source:
    """attention_<part>.cuh for rows of up to e (queries, keys) and f (values) numbers."""
    kind = TYPES[dtype]
    e, f = (-(-n // 16) * 16 for n in (e, f))
    n = 64 if part == "forward" and e + f <= 128 else 32
    if part == "keys" and (e + f > 128 or dropout):
        n = 16  # registers hold two accumulators beside it
    numbers = {
        "E": e, "F": f, "N": n, "V": width(kind.size) if wide else 1, "KIND": mask,
        "EXACT": exact, "DROPOUT": dropout,
    }  # fmt: skip
    marks = "_".join([f"{key.lower()}{int(value)}" for key, value in numbers.items()])
    name = f"attention_{part}_{dtype}_{marks}"
    files = ("tensor_cores.cuh", "attention.cuh", f"attention_{part}.cuh")
    types = {"T": kind.stored, "Mask": kind.stored if mask == FLOATS else "bool"}
    fixed, moving = (e + 4) + (f + 4 if part != "forward" else 0), (e + 4) + (f + 4)
    shared = 0 if part == "delta" else 4 * (ROWS * fixed + n * moving)
    return Source(name, from_file(files, name, types, numbers), block=THREADS, shared=shared)


def forward(dtype: str, e: int, f: int, **options: Any) -> Source:
    """(shape, q, k, v, mask, o, top, part) on a grid of heads · tiles of queries."""
    return _kernel("forward", dtype, e, f, **options)


def delta(dtype: str, e: int, f: int, **options: Any) -> Source:
    """(shape, rows, ō, o, delta)."""
    return _kernel("delta", dtype, e, f, **options)


def query_gradient(dtype: str, e: int, f: int, **options: Any) -> Source:
    """(shape, q, k, v, mask, ō, top, part, delta, q̄) on a grid of heads · tiles of queries."""
    return _kernel("query", dtype, e, f, **options)


def key_gradients(dtype: str, e: int, f: int, **options: Any) -> Source:
    """(shape, q, k, v, mask, ō, top, part, delta, k̄, v̄) on a grid of key heads · tiles of keys."""
    return _kernel("keys", dtype, e, f, **options)


# ------------------------------------------------------------------------------ arrays
class Problem(NamedTuple):
    """Arrays as (batch, heads, rows, numbers), and what the kernels are told of them."""

    lead: tuple[int, ...]
    batch: int
    shape: Any
    q: Any
    k: Any
    v: Any
    mask: Any
    options: dict[str, Any]

    @property
    def rows(self) -> int:
        """Queries of all heads."""
        return self.batch * int(self.shape["heads"][0]) * int(self.shape["length"][0])


def _problem(
    q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, seed: int, p: float
) -> Problem | None:
    """None where the kernels do not take these arrays."""
    dtype, e, f = q.dtype.name, q.shape[-1], v.shape[-1]
    if dtype not in KINDS or not (0 < e <= WIDEST and 0 < f <= WIDEST and q.size and k.size):
        return None
    if mask is not None and mask.dtype != bool and mask.dtype != q.dtype:
        return None
    lead = _lead(q, k, v)
    if lead is None:
        return None
    batch, heads = math.prod(lead[:-1]), lead[-1] if lead else 1
    q, k, v = [_four(x, lead) for x in (q, k, v)]
    shared = k.shape[1] if k.shape[1] == v.shape[1] and q.shape[1] == heads else heads
    length, keys = q.shape[2], k.shape[2]
    if batch * heads * -(-max(length, keys) // ROWS) >= MOST_BLOCKS:
        return None
    shape = np.zeros(1, _SHAPE)
    shape["heads"], shape["group"], shape["length"] = heads, heads // shared, length
    shape["keys"], shape["e"], shape["f"], shape["scale"] = keys, e, f, scale
    if p:
        shape["keep"], shape["seed"] = 1 / (1 - p), seed
        shape["threshold"] = min(round(p * 2.0**32), 2**32 - 1)
    for name, x in (("q", q), ("k", k), ("v", v)):
        shape[name] = _steps(x)[:3]
    kind = CAUSAL if causal else NO_MASK
    if mask is not None:
        kind = BOOLS if mask.dtype == bool else FLOATS
        mask = _four(array_module(q).broadcast_to(mask, (*lead, length, keys)), lead, rows=True)
        shape["mask"] = _steps(mask)
    options = {
        "mask": kind, "wide": _moves_together(q, k, v), "dropout": p > 0,
        "exact": dtype == "float32" and not flags.allows_tf32(),
    }  # fmt: skip
    return Problem(lead, batch, shape, q, k, v, mask, options)


def _lead(q: Any, k: Any, v: Any) -> tuple[int, ...] | None:
    """The batch and heads of the result; None if they do not fit as they are."""
    shapes = [list(x.shape[:-2]) for x in (q, k, v)]
    heads = shapes[0][-1] if shapes[0] else 1
    for shape in shapes[1:]:
        if shape and heads % shape[-1] == 0:
            shape[-1] = heads
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        return None


def _four(x: Any, lead: tuple[int, ...], rows: bool = False) -> Any:
    """x as (batch, heads, rows, numbers), or 1 where it is broadcast; a mask's numbers need not be
    neighbours.
    """
    xp = array_module(x)
    if not rows and x.shape[-1] > 1 and x.strides[-1] != x.itemsize:
        x = xp.ascontiguousarray(x)
    x = x[(None,) * (4 - x.ndim)] if x.ndim < 4 else x
    if x.ndim > 4:
        outer = x.shape[:-3]
        if outer != lead[:-1]:
            x = xp.broadcast_to(x, (*lead[:-1], *x.shape[-3:]))
        x = x.reshape(math.prod(lead[:-1]), *x.shape[-3:])
    return x


def _steps(x: Any) -> list[int]:
    return [0 if n == 1 else s // x.itemsize for n, s in zip(x.shape, x.strides, strict=True)]


def _moves_together(*arrays: Any) -> bool:
    """Whether every row starts at a multiple of 16 bytes, and has a multiple of them."""
    n = width(arrays[0].itemsize)
    return aligned(*arrays) and all(
        [x.shape[-1] % n == 0 and all([s % n == 0 for s in _steps(x)[:3]]) for x in arrays]
    )


def _result(like: Any, shape: tuple[int, ...]) -> Any:
    """An array of this shape, heads side by side in memory where `like` has them so."""
    xp = array_module(like)
    if like.strides[1] < like.strides[2] and shape[1] > 1:
        batch, heads, rows, n = shape
        return xp.empty((batch, rows, heads, n), like.dtype).swapaxes(1, 2)
    return xp.empty(shape, like.dtype)


def _results(q: Any, k: Any, v: Any) -> tuple[Any, Any, Any] | None:
    """Arrays like q, k and v, parts of one array if those are: what has cut it up need not join
    their gradients.
    """
    step = k.data.ptr - q.data.ptr
    batch, heads, rows, n = q.shape
    item = q.itemsize
    if (
        not (q.shape == k.shape == v.shape and q.strides == k.strides == v.strides)
        or step != v.data.ptr - k.data.ptr
        or step != heads * n * item
        or q.strides != (3 * rows * step, n * item, 3 * step, item)
    ):
        return None
    whole = array_module(q).empty((batch, rows, 3, heads, n), q.dtype)
    return tuple([whole[:, :, i].swapaxes(1, 2) for i in range(3)])  # type: ignore[return-value]


# ------------------------------------------------------------------------------ launches
def attend(
    q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, seed: int, p: float
) -> Any:
    """(O, top, part): the result, and of every query its largest score and 1 / Σ P (or, of cuDNN,
    m + ln Σ P and `dnn.LOG_SUM`); None where there is no kernel.
    """
    found = _problem(q, k, v, mask, scale, causal, seed, p)
    if found is None:
        return None
    xp, shape, lead = array_module(q), found.shape, found.lead
    heads, length, f = int(shape["heads"][0]), found.q.shape[2], found.v.shape[3]
    o = _result(found.q, (found.batch, heads, length, f))
    top, part = [xp.empty((*lead, length), np.float32) for _ in range(2)]
    if dnn.takes_attention(found.q, found.k, found.v, mask, p):
        stats = top.reshape(found.batch, heads, length, 1)
        if dnn.attend(found.q, found.k, found.v, o, stats, scale, causal) is not None:
            return o.reshape(*lead, length, f), top, dnn.LOG_SUM
    shape["o"] = _steps(o)[:3]
    source = forward(q.dtype.name, q.shape[-1], f, **found.options)
    grid = (found.batch * heads * -(-length // ROWS),)
    start(source, grid, [shape, found.q, found.k, found.v, found.mask, o, top, part])
    return o.reshape(*lead, length, f), top, part


def attend_backward(
    g: Any, q: Any, k: Any, v: Any, mask: Any, o: Any, top: Any, part: Any, scale: float,
    causal: bool, seed: int, p: float, needs: tuple[bool, ...],
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Gradients of q, k and v, whose batches may be wider than theirs, from what `attend` found."""
    found = _problem(q, k, v, mask, scale, causal, seed, p)
    assert found is not None, "attend has taken these arrays"
    shape, batch, lead = found.shape, found.batch, found.lead
    heads, length, keys = int(shape["heads"][0]), found.q.shape[2], found.k.shape[2]
    dtype, e, f, options = q.dtype.name, q.shape[-1], v.shape[-1], found.options
    g, o = _four(g, lead), _four(o, lead)
    if part is dnn.LOG_SUM:
        bars = _by_cudnn(found, g, o, top, scale, causal)
        if bars is not None:
            own = (*lead[:-1], found.k.shape[1]) if lead else ()
            rows = (*lead, length), (*own, keys), (*own, keys)
            return tuple([x.reshape(*r, x.shape[3]) for x, r in zip(bars, rows, strict=True)])
        part = array_module(q).ones(top.shape, np.float32)
    shape["g"], shape["o"] = _steps(g)[:3], _steps(o)[:3]
    less = array_module(q).empty(found.rows, np.float32)
    plain = {**options, "mask": NO_MASK, "dropout": False}
    arguments = [shape, np.int64(found.rows), g, o, less]
    start(delta(dtype, e, f, **plain), (blocks(found.rows, THREADS // 32),), arguments)
    options = {**options, "wide": options["wide"] and _moves_together(g)}
    given = [found.q, found.k, found.v, found.mask, g, top, part, less]
    q_bar = k_bar = v_bar = None
    three = _results(found.q, found.k, found.v)
    if needs[0]:
        q_bar = three[0] if three else _result(found.q, (batch, heads, length, e))
        shape["q_bar"] = _steps(q_bar)[:3]
        grid = (batch * heads * -(-length // ROWS),)
        start(query_gradient(dtype, e, f, **options), grid, [shape.copy(), *given, q_bar])
        q_bar = q_bar.reshape(*lead, length, e)
    if needs[1] or needs[2]:
        shared = heads // int(shape["group"][0])
        k_bar = three[1] if three else _result(found.k, (batch, shared, keys, e))
        v_bar = three[2] if three else _result(found.v, (batch, shared, keys, f))
        shape["k_bar"], shape["v_bar"] = _steps(k_bar)[:3], _steps(v_bar)[:3]
        grid = (batch * shared * -(-keys // ROWS),)
        start(key_gradients(dtype, e, f, **options), grid, [shape.copy(), *given, k_bar, v_bar])
        own = (*lead[:-1], shared) if lead else ()
        k_bar, v_bar = k_bar.reshape(*own, keys, e), v_bar.reshape(*own, keys, f)
    return q_bar, k_bar, v_bar


def _by_cudnn(found: Problem, g: Any, o: Any, stats: Any, scale: float, causal: bool) -> Any:
    """Gradients of the heads of q, k and v, or None if cuDNN refuses."""
    heads = found.q, found.k, found.v
    stats = stats.reshape(*o.shape[:3], 1)
    bars = list(_results(*heads) or [_result(x, x.shape) for x in heads])
    done = dnn.attend_backward(g, *heads, o, stats, bars, scale, causal)
    return bars if done else None
