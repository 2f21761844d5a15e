"""Kernels that treat an array as rows: softmax, cross-entropy, layer and RMS norm.

Rows are n neighbours in one piece. Up to 1024 of them belong to a warp, which needs no shared
memory; longer rows to a block. Each kernel reads a row from memory once or twice, the second time
from the cache, and writes it once. Half-precision rows are computed in float32.
"""

from __future__ import annotations

import functools

from .source import INDICES, TYPES, Source, from_file, row_group, width


def _vector(dtype: str, n: int, wide: bool) -> int:
    """Elements moved at once: rows start at multiples of 16 bytes only if their length is one."""
    v = width(TYPES[dtype].size)
    return v if wide and n % v == 0 else 1


def _row_kernel(
    file: str, dtype: str, n: int, wide: bool, index: str | None = None, **flags: bool
) -> Source:
    return _made(file, dtype, _vector(dtype, n, wide), row_group(n), index, **flags)


@functools.cache
def _made(file: str, dtype: str, v: int, group: int, index: str | None, **flags: bool) -> Source:
    kind = TYPES[dtype]
    more = {"I": INDICES[index]} if index else {}
    marks = "".join(["_" + mark for mark in (*more.values(), f"v{v}", f"g{group}")])
    marks += "".join(["_" + key.lower() for key, on in flags.items() if on])
    name = f"{file}_{dtype}{marks}"
    types = {"T": kind.stored, "A": kind.computed, **more}
    return Source(name, from_file(f"{file}.cuh", name, types, {"V": v, "GROUP": group, **flags}))


def softmax(dtype: str, n: int, *, logarithm: bool = False, wide: bool = True) -> Source:
    """(rows, n, x, y): softmax of each row, or its logarithm."""
    return _row_kernel("softmax", dtype, n, wide, LOGARITHM=logarithm)


def softmax_backward(dtype: str, n: int, *, logarithm: bool = False, wide: bool = True) -> Source:
    """(rows, n, g, y, x_bar): the gradient of `softmax` from its result."""
    return _row_kernel("softmax_backward", dtype, n, wide, LOGARITHM=logarithm)


def cross_entropy(
    dtype: str, n: int, *, index: str = "int64", smooth: bool = False, wide: bool = True
) -> Source:
    """(rows, n, x, target, ignored, smoothing, loss, norm): −log softmax(x)[target]."""
    return _row_kernel("cross_entropy", dtype, n, wide, index, SMOOTH=smooth)


def cross_entropy_backward(
    dtype: str, n: int, *, index: str = "int64", per_row: bool = False, wide: bool = True
) -> Source:
    """(rows, n, g, x, target, ignored, smoothing, norm, x_bar), x_bar possibly in place of x."""
    return _row_kernel("cross_entropy_backward", dtype, n, wide, index, PER_ROW=per_row)


@functools.cache
def mean_loss(dtype: str, *, index: str = "int64") -> Source:
    """(rows, loss, target, ignored, out, total): the mean of losses, or (no total) their sum."""
    kind = TYPES[dtype]
    types = {"T": kind.stored, "A": kind.computed, "I": INDICES[index]}
    name = f"mean_loss_{dtype}_{types['I']}"
    return Source(name, from_file("mean_loss.cuh", name, types, {}))


def norm(
    dtype: str,
    n: int,
    *,
    rms: bool = False,
    weight: bool = True,
    bias: bool = True,
    add: bool = False,
    wide: bool = True,
) -> Source:
    """(rows, n, x, weight, bias, eps, y, mean, rstd, more, sum): layer norm, or RMS norm; `add`: of
    x + more, which is written to `sum`.
    """
    return _row_kernel("norm", dtype, n, wide, RMS=rms, WEIGHT=weight, BIAS=bias, ADD=add)


def norm_backward(
    dtype: str,
    n: int,
    *,
    rms: bool = False,
    weight: bool = True,
    add: bool = False,
    wide: bool = True,
) -> Source:
    """(rows, n, g, x, weight, mean, rstd, x_bar, more); `add`: x_bar + more."""
    return _row_kernel("norm_backward", dtype, n, wide, RMS=rms, WEIGHT=weight, ADD=add)


def norm_weights(
    dtype: str, n: int, *, rms: bool = False, bias: bool = True, wide: bool = True
) -> Source:
    """(rows, n, g, x, mean, rstd, weight_parts, bias_parts, ticket, weight_bar, bias_bar), on a
    grid of (columns / 32V, parts).
    """
    return _row_kernel("norm_weights", dtype, n, wide, RMS=rms, BIAS=bias)
