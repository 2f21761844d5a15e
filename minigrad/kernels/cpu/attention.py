"""Scaled dot-product attention in tiles: no matrix of queries times keys is ever stored.

    S = scale·Q Kᵀ + mask,   P = exp(S − m),   O = P V / Σ P

A tile of queries walks over blocks of keys and keeps for every query the largest score m so far,
the sum of P and the sum of P V; when a larger score appears, both sums are scaled down (Dao et al.,
FlashAttention, 2022, algorithm 1). For backward only m and Σ P are kept, and the weights of a block
are computed again (algorithm 4). They are kept apart: in m + ln Σ P the logarithm would be rounded
away where a mask of -1e9 covers all keys. Blocks above the diagonal of a causal mask
are not visited. The products are BLAS calls, one thread each, from tasks spread over the threads:
tiles of queries forward, heads of keys and values backward (their gradients are sums over queries).

Matrices of all heads are given by one address and an offset a head, so that heads side by side in
memory need no copies. Every sum is in an order that does not depend on the number of threads.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ...backend.memory import address
from . import compiler, decoding, gemm, random, scalars, threads
from .compiler import REASSOCIATE, kernel, prange
from .products import offsets, stack

F32 = np.dtype(np.float32)
U32, U64 = np.uint32, np.uint64
ONE, ZERO, LOW = np.float32(1), np.float32(0), np.float32(-np.inf)
exp, where = scalars.exp, scalars.where
bits, from_bits = scalars.bits, scalars.from_bits
I32 = np.int32
LEAST, MAGNITUDE = I32(-0x80000000), I32(0x7FFFFFFF)
multiply: Any = gemm.multiply
row_key, element_bits = random.row_key, random.element_bits
LOW_HALF = U64(0xFFFFFFFF)
S32 = U64(32)

QUERIES, KEYS = 128, 128
"""The tile: its scores and their gradient, 128 KB, stay in the second-level cache."""
NO_MASK, CAUSAL, FLOATS, BOOLS = 0, 1, 2, 3


# ------------------------------------------------------------------------------ one tile
@kernel(inline=True, flags=REASSOCIATE)
def _masked(s, width, kind, floats, bools, at, step):
    """Add one query's mask to its scores."""
    if kind == 2:
        if step == 0:
            for j in range(width):
                s[j] += floats[at]
        else:
            row = floats[at : at + width]
            for j in range(width):
                s[j] += row[j]
    elif kind == 3:
        if step == 0:
            if not bools[at]:
                for j in range(width):
                    s[j] = LOW
        else:
            seen = bools[at : at + width]
            for j in range(width):
                s[j] = where(seen[j], s[j], LOW)


@kernel(inline=True)
def _top(s, width):
    """The largest of the scores; a nan may be missed (the sum has it). As whole numbers, whose
    order is that of the floats: their maximum is SIMD, the floats' would not be.
    """
    top = LEAST
    for j in range(width):
        b = bits(s[j])
        number = I32(b ^ I32(I32(b >> I32(31)) & MAGNITUDE))
        top = where(number > top, number, top)
    return from_bits(I32(top ^ I32(I32(top >> I32(31)) & MAGNITUDE)))


@kernel(inline=True, flags=REASSOCIATE)
def _weights(s, width, base):
    """Scores to exp(score − base), and their sum."""
    total = ZERO
    for j in range(width):
        e = exp(s[j] - base)
        s[j] = e
        total += e
    return total


@kernel(inline=True)
def _thinned(s, width, seed, row, first, threshold, scale):
    """Dropout of one row of a tile whose first key is number `first`."""
    key = row_key(seed, row)
    high, low = U32(key >> S32), U32(key & LOW_HALF)
    for j in range(width):
        kept = element_bits(high, low, first + j) >= threshold
        s[j] = where(kept, s[j] * scale, ZERO)


# ------------------------------------------------------------------------------ forward
@kernel
def _forward(
    sizes, places, q, k, v, o, top_of, part_of, floats, bools, scale, seed, threshold, keep
):  # fmt: skip
    heads, length, keys, e, f, kind, ldq, ldk, ldv, ldo, mask_row, mask_step, tq, tk = sizes
    tiles = (length + tq - 1) // tq
    for task in prange(heads * tiles):
        h, t = task // tiles, task % tiles
        # the first and second half of a head's tiles cost the same, causal or not
        i0 = (t // 2 if t % 2 == 0 else tiles - 1 - t // 2) * tq
        rows = min(tq, length - i0)
        scores, acc = np.empty((tq, tk), np.float32), np.zeros((tq, f), np.float32)
        to_scores, to_acc = np.intp(scores.ctypes.data), np.intp(acc.ctypes.data)
        tops, sums = np.full(tq, LOW, np.float32), np.zeros(tq, np.float32)
        stop = min(keys, i0 + rows) if kind == 1 else keys
        for j0 in range(0, stop, tk):
            cols = min(tk, stop - j0)
            multiply(
                False, True, rows, cols, e, scale, q + 4 * (places[0, h] + i0 * ldq), ldq,
                k + 4 * (places[1, h] + j0 * ldk), ldk, 0, 0, to_scores, tk,
            )  # fmt: skip
            for i in range(rows):
                width = min(cols, max(i0 + i + 1 - j0, 0)) if kind == 1 else cols
                s = scores[i]
                at = places[4, h] + (i0 + i) * mask_row + j0 * mask_step
                _masked(s, width, kind, floats, bools, at, mask_step)
                top = max(tops[i], _top(s, width))
                base = ZERO if top == LOW else top
                shrink = exp(tops[i] - base)
                total = _weights(s, width, base)
                sums[i] = sums[i] * shrink + total
                tops[i] = top
                if shrink != ONE:
                    line = acc[i]
                    for c in range(f):
                        line[c] *= shrink
                if threshold > U32(0):
                    _thinned(s, width, seed, h * length + i0 + i, j0, threshold, keep)
                for j in range(width, cols):
                    s[j] = ZERO
            multiply(
                False, False, rows, f, cols, ONE, to_scores, tk,
                v + 4 * (places[2, h] + j0 * ldv), ldv, to_acc, f, to_acc, f,
            )  # fmt: skip
        for i in range(rows):
            total = sums[i]
            empty = total == ZERO  # a query that sees no key
            inverse = ZERO if empty else ONE / total
            out = o[places[3, h] + (i0 + i) * ldo : places[3, h] + (i0 + i) * ldo + f]
            line = acc[i]
            for c in range(f):
                out[c] = line[c] * inverse
            top_of[h * length + i0 + i] = ZERO if tops[i] == LOW else tops[i]
            part_of[h * length + i0 + i] = inverse


# ------------------------------------------------------------------------------ backward
@kernel(flags=REASSOCIATE)
def _backward(
    sizes, places, q, k, v, g, dq, dk, dv, top_of, part_of, delta, floats, bools, scale, seed,
    threshold, keep, group,
):  # fmt: skip
    heads, length, keys, e, f, kind, ldq, ldk, ldv, ldo, mask_row, mask_step, tq, tk = sizes
    ldg, ldqb, ldkb, ldvb = ldo, places[9, 0], places[9, 1], places[9, 2]
    for task in prange(heads // group):
        p, s_bar = np.empty((tq, tk), np.float32), np.empty((tq, tk), np.float32)
        to_p, to_s = np.intp(p.ctypes.data), np.intp(s_bar.ctypes.data)
        for h in range(task * group, (task + 1) * group):
            add_k = h > task * group
            for j0 in range(0, keys, tk):
                cols = min(tk, keys - j0)
                start = j0 // tq * tq if kind == 1 else 0
                here_k = k + 4 * (places[1, h] + j0 * ldk)
                here_v = v + 4 * (places[2, h] + j0 * ldv)
                to_k = dk + 4 * (places[7, h] + j0 * ldkb)
                to_v = dv + 4 * (places[8, h] + j0 * ldvb)
                for i0 in range(start, length, tq):
                    rows = min(tq, length - i0)
                    more = add_k or i0 > start
                    here_q = q + 4 * (places[0, h] + i0 * ldq)
                    here_g = g + 4 * (places[5, h] + i0 * ldg)
                    multiply(
                        False, True, rows, cols, e, scale, here_q, ldq, here_k, ldk, 0, 0,
                        to_p, tk,
                    )  # fmt: skip
                    multiply(
                        False, True, rows, cols, f, ONE, here_g, ldg, here_v, ldv, 0, 0,
                        to_s, tk,
                    )  # fmt: skip
                    for i in range(rows):
                        width = min(cols, max(i0 + i + 1 - j0, 0)) if kind == 1 else cols
                        row = h * length + i0 + i
                        pi, si = p[i], s_bar[i]
                        at = places[4, h] + (i0 + i) * mask_row + j0 * mask_step
                        _masked(pi, width, kind, floats, bools, at, mask_step)
                        base, part, less = top_of[row], part_of[row], delta[row]
                        if threshold > U32(0):
                            key = row_key(seed, row)
                            high, low = U32(key >> S32), U32(key & LOW_HALF)
                            for j in range(width):
                                kept = element_bits(high, low, j0 + j) >= threshold
                                m = where(kept, keep, ZERO)
                                w = exp(pi[j] - base) * part
                                si[j] = w * (si[j] * m - less)
                                pi[j] = w * m
                        else:
                            for j in range(width):
                                w = exp(pi[j] - base) * part
                                si[j] = w * (si[j] - less)
                                pi[j] = w
                        for j in range(width, cols):
                            pi[j] = ZERO
                            si[j] = ZERO
                    multiply(
                        True, False, cols, f, rows, ONE, to_p, tk, here_g, ldg,
                        to_v if more else 0, ldvb, to_v, ldvb,
                    )  # fmt: skip
                    multiply(
                        True, False, cols, e, rows, scale, to_s, tk, here_q, ldq,
                        to_k if more else 0, ldkb, to_k, ldkb,
                    )  # fmt: skip
                    to_q = dq + 4 * (places[6, h] + i0 * ldqb)
                    multiply(
                        False, False, rows, e, cols, scale, to_s, tk, here_k, ldk,
                        to_q if j0 > 0 else 0, ldqb, to_q, ldqb,
                    )  # fmt: skip


# ------------------------------------------------------------------------------ from NumPy
class Layout(NamedTuple):
    """Where an array of results lies: its dimensions in memory, and the way to the caller's."""

    order: tuple[int, ...]
    turn: tuple[int, ...] | None
    shape: tuple[int, ...]

    def empty(self) -> tuple[Any, Any]:
        """(all its numbers in a row, the array)."""
        x = np.empty(self.order, F32)
        y = x if self.turn is None else x.transpose(self.turn)
        return x.reshape(-1), y if y.shape == self.shape else y.reshape(self.shape)


class Plan(NamedTuple):
    """What the kernels need to know of some shapes and strides, and nothing else."""

    sizes: tuple[int, ...]
    places: Any
    group: int
    results: tuple[Layout, ...]
    rows: tuple[int, ...]
    parallel: bool


def _layout(x: Any, shape: tuple[int, ...], group: int) -> tuple[Layout, Any]:
    """An array of this shape whose dimensions lie in memory in the order of x's; a sample of it."""
    final = _joined(shape) if group else shape
    if x.shape[:-1] == shape[:-1] and not x.flags.c_contiguous and 0 not in x.strides:
        order = sorted(range(x.ndim), key=lambda d: (-x.strides[d], d))
        if order[-1] == x.ndim - 1:
            y = np.empty([shape[d] for d in order], F32)
            turn = tuple([int(d) for d in np.argsort(order)])
            return Layout(y.shape, turn, final), y.transpose(turn)
    return Layout(shape, None, final), np.empty(shape, F32)


_NO_FLOATS, _NO_BOOLS = np.zeros(1, F32), np.zeros(1, bool)
PARALLEL = 1 << 18
"""Multiplications of all scores from which the other threads are worth waking."""


def _mask_of(mask: Any, causal: bool, lead: Any) -> tuple[int, int, int, Any]:
    """(kind, step from query to query, from key to key, each head's offset) of a row-major mask."""
    if causal or mask is None:
        return CAUSAL if causal else NO_MASK, 0, 0, offsets(lead, (0,) * len(lead))
    if mask.ndim < 2:
        mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
    steps = [s if n > 1 else 0 for s, n in zip(mask.strides, mask.shape, strict=True)]
    lead_steps = (0,) * (len(lead) + 2 - mask.ndim) + tuple(steps[:-2])
    size = mask.itemsize
    places = offsets(lead, lead_steps) // size
    return BOOLS if size == 1 else FLOATS, steps[-2] // size, steps[-1] // size, places


def fits(q: Any, k: Any, v: Any, mask: Any) -> bool:
    """Whether the kernels take these arguments."""
    return (
        q.dtype is F32 is k.dtype
        and v.dtype is F32
        and 0 not in (q.size, k.size, v.size)
        and (mask is None or mask.dtype == F32 or mask.dtype == bool)
        and type(q) is np.ndarray
        and compiler.enabled()
    )


def _flat_mask(mask: Any, causal: bool) -> tuple[Any, Any, Any]:
    """(key for a plan, floats, bools)."""
    if causal or mask is None:
        return None, _NO_FLOATS, _NO_BOOLS
    flat = np.ascontiguousarray(mask).reshape(-1)
    key = (mask.shape, mask.dtype)
    return key, *((_NO_FLOATS, flat) if mask.itemsize == 1 else (flat, _NO_BOOLS))


def _planned(arrays: Any, mask: Any, causal: bool) -> tuple[Any, Plan]:
    """The arrays, or copies of them in row-major order where that is needed, and their plan."""
    plan = _plan(tuple([(x.shape, x.strides) for x in arrays]), mask, causal)
    if plan is None:
        arrays = [np.ascontiguousarray(x) for x in arrays]
        plan = _plan(tuple([(x.shape, x.strides) for x in arrays]), mask, causal)
        assert plan is not None  # row-major
    return arrays, plan


@functools.lru_cache(512)
def _plan(keys: Any, mask: Any, causal: bool) -> Plan | None:
    """For q, k and v a plan of forward, with ȳ as a fourth one of backward; None: to be copied."""
    q, k, v, *rest = [as_strided(_NO_FLOATS, *key) for key in keys]
    sample = None if mask is None else np.empty(*mask)
    lead, k4, v4, mask4, q4, group = _grouped(q, k, v, sample)
    rest = [g.reshape(*q4.shape[:-1], v.shape[-1]) if group else g for g in rest]
    inputs = [stack(x, lead) for x in (q4, k4, v4, *rest)]
    if any([x is None for x in inputs]):
        return None
    kind, row, column, mask_places = _mask_of(mask4, causal, lead)
    rows = (*lead, q.shape[-2])
    shapes = [(q4, (*rows, v.shape[-1]), group)]
    if rest:
        own = lead[:-1] + (1,) if group else lead
        shapes = [(q4, (*rows, q.shape[-1]), group)]
        shapes += [(x, (*own, *x.shape[-2:]), group) for x in (k4, v4)]
    layouts, samples = zip(*[_layout(*each) for each in shapes], strict=True)
    outputs = [stack(x, lead) for x in samples]
    width = max(inputs[0].offsets.size, 3)  # type: ignore[union-attr]
    places = np.zeros((10, width), np.int64)
    found: list[Any] = [x.offsets for x in inputs[:3]]  # type: ignore[union-attr]
    if rest:
        found += [None, mask_places, inputs[3].offsets, *[x.offsets for x in outputs]]  # type: ignore
        places[9, :3] = [x.step for x in outputs]  # type: ignore[union-attr]
    else:
        found += [outputs[0].offsets, mask_places]  # type: ignore[union-attr]
    for i, each in enumerate(found):
        if each is not None:
            places[i, : each.size] = each
    heads, (length, e), (seen, f) = math.prod(lead), q.shape[-2:], v.shape[-2:]
    last = inputs[3] if rest else outputs[0]
    steps = [x.step for x in (*inputs[:3], last)]  # type: ignore[union-attr]
    sizes = (heads, length, seen, e, f, kind, *steps, row, column,
             min(QUERIES, length), min(KEYS, seen))  # fmt: skip
    tasks = heads // max(group, 1) if rest else heads * -(-length // sizes[-2])
    parallel = tasks > 1 and heads * length * seen * (e + f) >= PARALLEL
    rows = _joined((*rows, 1))[:-1] if group else rows
    return Plan(sizes, places, group, layouts, rows, parallel)


def _call(kernel: Any, plan: Plan, *args: Any) -> None:
    (kernel.parallel if plan.parallel and threads.count() > 1 else kernel.serial)(*args)


def forward(
    q: Any, k: Any, v: Any, mask: Any, scale: float, causal: bool, seed: int, p: float
) -> tuple[Any, Any, Any] | None:
    """(O, each query's largest score m, 1/Σ P), or None where the formula has to do it.

    q (..., L, E), k (..., S, E), v (..., S, F) with batch dimensions that broadcast; heads of k and
    v may be fewer than q's by a whole factor in dimension -3. mask: float, bool or None.
    """
    if not fits(q, k, v, mask):
        return None
    if q.shape[-2] == 1 and mask is None and not (causal or p):
        found = decoding.one_query(q, k, v, scale)
        if found is not None:
            return found
    key, floats, bools = _flat_mask(mask, causal)
    (q, k, v), plan = _planned((q, k, v), key, causal)
    flat, o = plan.results[0].empty()
    tops, parts = np.empty(plan.rows, F32), np.empty(plan.rows, F32)
    _call(
        _forward, plan, plan.sizes, plan.places, address(q), address(k), address(v), flat,
        tops.reshape(-1), parts.reshape(-1), floats, bools, np.float32(scale), *_dropout(seed, p),
    )  # fmt: skip
    return o, tops, parts


_NO_DROPOUT = U64(0), U32(0), ONE


def _dropout(seed: int, p: float) -> tuple[Any, Any, Any]:
    if not p:
        return _NO_DROPOUT
    return U64(seed), random.threshold_of(p), np.float32(1 / (1 - p))


def _joined(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without a dimension of its own for query heads that share keys."""
    return (*shape[:-4], shape[-4] * shape[-3], *shape[-2:])


def _grouped(q: Any, k: Any, v: Any, mask: Any) -> tuple[Any, Any, Any, Any, Any, int]:
    """Batch dimensions, and the arrays with query heads that share a head of keys and values in a
    dimension of their own; the last result is their number, 0 if there is no sharing.
    """
    heads = [x.shape[-3] if x.ndim > 2 else 1 for x in (q, k, v)]
    mine, shared = heads[0], max(heads[1:])
    few = (
        q.size * k.shape[-2] < PARALLEL
    )  # else a head that all share is better read by all threads
    if heads[1] != heads[2] or mine in (1, shared) or (shared == 1 and not few):
        lead = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
        return lead, k, v, mask, q, 0
    group = mine // shared
    q = q.reshape(*q.shape[:-3], shared, group, *q.shape[-2:])
    k, v = [np.expand_dims(x, -3) for x in (k, v)]
    if mask is not None and mask.ndim > 2:
        if mask.shape[-3] == 1:
            mask = np.expand_dims(mask, -3)
        else:
            mask = mask.reshape(*mask.shape[:-3], shared, group, *mask.shape[-2:])
    return np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2]), k, v, mask, q, group


def backward(
    g: Any, q: Any, k: Any, v: Any, mask: Any, y: Any, tops: Any, parts: Any, scale: float,
    causal: bool, seed: int, p: float,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The gradients of q, k and v, where `forward` has computed y, m and 1/Σ P.

    P = exp(S − m)/Σ P,  V̄ = Pᵀ Ō,  S̄ = P (Ō Vᵀ − Σ Ō O),  Q̄ = scale·S̄ K,  K̄ = scale·S̄ᵀ Q
    """
    delta = np.vecdot(g, y).astype(F32, copy=False)
    key, floats, bools = _flat_mask(mask, causal)
    (q, k, v, g), plan = _planned((q, k, v, g), key, causal)
    (_, dq), (flat_k, dk), (flat_v, dv) = [layout.empty() for layout in plan.results]
    if causal and q.shape[-2] < k.shape[-2]:  # keys that nobody sees are not visited
        flat_k[:] = 0
        flat_v[:] = 0
    _call(
        _backward, plan, plan.sizes, plan.places, *[address(x) for x in (q, k, v, g, dq, dk, dv)],
        tops.reshape(-1), parts.reshape(-1), delta.reshape(-1), floats, bools, np.float32(scale),
        *_dropout(seed, p), max(plan.group, 1),
    )  # fmt: skip
    return dq, dk, dv
