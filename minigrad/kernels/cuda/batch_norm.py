"""Batch norm on a GPU: two launches forward, two backward, for images with channels first.

A channel's numbers are shared by as many blocks as keep the GPU busy; what they find is put
together in a fixed order by every block that needs it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ...backend.devices import array_module
from .launch import MOST_ELEMENTS, aligned, blocks, start
from .source import FLOATS, TYPES, Source, from_file, width

KINDS = ("float32", "float64")
SHORT = 16
"""Neighbours of a channel below which a warp would read mostly others'."""
MOST_PARTS = 64

_SHAPE = np.dtype([("rows", np.int32), ("channels", np.int32), ("run", np.int32)])
"""The struct Shape of batch_norm.cuh."""


@functools.cache
def kernel(
    part: str, dtype: str, *, wide: bool = True, weight: bool = True, bias: bool = True
) -> Source:
    """batch_norm_<part>.cuh; stats (shape, x, means, spreads), apply (shape, x, weight, bias, eps,
    means, spreads, y, stats), sums (shape, g, x, stats, products, totals), backward (shape, g, x,
    weight, stats, products, totals, x̄, w̄, b̄); each on a grid of (channels, parts). And move (n,
    keep, gain, batch, running).
    """
    kind = TYPES[dtype]
    numbers = {"V": width(kind.size) if wide else 1, "WEIGHT": weight, "BIAS": bias}
    marks = f"_v{numbers['V']}{'_weight' * weight}{'_bias' * bias}"
    name = f"batch_norm_{part}_{dtype}{marks}"
    files = ("batch_norm.cuh", f"batch_norm_{part}.cuh")
    return Source(name, from_file(files, name, {"T": kind.stored, "A": kind.computed}, numbers))


def _plan(x: Any, *others: Any) -> tuple[Any, tuple[int, int], bool] | None:
    """(shape, grid, whether 16 bytes can be moved at once), or None where this is not for x."""
    run = math.prod(x.shape[2:])
    if x.dtype.name not in KINDS or run < SHORT or not 0 < x.size < MOST_ELEMENTS:
        return None
    if not x.flags.c_contiguous:
        return None
    shape = np.zeros(1, _SHAPE)
    shape["rows"], shape["channels"], shape["run"] = *x.shape[:2], run
    channels, rows = x.shape[1], x.shape[0]
    parts = max(1, min(rows, MOST_PARTS, blocks(1 << 30) // channels))
    return shape, (channels, parts), run % width(x.itemsize) == 0 and aligned(x, *others)


def forward(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    """(y, stats): stats (3, C) in float64 are mean, variance and rstd; or None."""
    found = _plan(x)
    if found is None or any([p is not None and p.dtype != x.dtype for p in (weight, bias)]):
        return None
    (shape, grid, wide), xp = found, array_module(x)
    y, stats = xp.empty(x.shape, x.dtype), xp.empty((3, grid[0]), np.float64)
    parts = xp.empty((2, grid[1], grid[0]), x.dtype)
    source = kernel("stats", x.dtype.name, wide=wide)
    start(source, grid, [shape, x, parts[0], parts[1]])
    source = kernel(
        "apply", x.dtype.name, wide=wide, weight=weight is not None, bias=bias is not None
    )
    weight, bias = [None if p is None else xp.ascontiguousarray(p) for p in (weight, bias)]
    given = [shape, x, weight, bias, np.float64(eps), parts[0], parts[1], y, stats]
    start(source, grid, given)
    return y, stats


def backward(g: Any, x: Any, weight: Any, stats: Any) -> tuple[Any, Any, Any]:
    """Gradients of x, weight and bias, from what `forward` found."""
    xp = array_module(x)
    g = xp.ascontiguousarray(g)
    found = _plan(x, g)
    assert found is not None, "forward has taken it"
    shape, grid, wide = found
    dtype, parts = x.dtype.name, xp.empty((2, grid[1], grid[0]), x.dtype)
    source = kernel("sums", dtype, wide=wide)
    start(source, grid, [shape, g, x, stats, parts[0], parts[1]])
    x_bar = xp.empty(x.shape, x.dtype)
    weight_bar, bias_bar = [xp.empty(grid[0], x.dtype) for _ in range(2)]
    source = kernel("backward", dtype, wide=wide, weight=weight is not None)
    weight = None if weight is None else xp.ascontiguousarray(weight)
    given = [shape, g, x, weight, stats, parts[0], parts[1], x_bar, weight_bar, bias_bar]
    start(source, grid, given)
    return x_bar, weight_bar, bias_bar


def move(running: Any, batch: Any, momentum: float, factor: float) -> bool:
    """running ← (1 − momentum)·running + momentum·factor·batch in place; False if there is no
    kernel for them.
    """
    if running.dtype.name not in FLOATS or batch.dtype != np.float64:
        return False
    if not (running.size and running.flags.c_contiguous and batch.flags.c_contiguous):
        return False
    source = kernel("move", running.dtype.name, wide=False, weight=False, bias=False)
    factors = np.float64(1 - momentum), np.float64(momentum * factor)
    start(source, (blocks(running.size), 1), [np.int32(running.size), *factors, batch, running])
    return True
