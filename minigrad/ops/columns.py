"""The windows of an image: as a view, gathered as columns, and columns added back into an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module

Ints = int | Sequence[int]


def each_dim(value: Any, n: int, name: str) -> tuple[int, ...]:
    """An int, or a sequence of 1 or n ints, as n ints."""
    if isinstance(value, int | np.integer):
        return (int(value),) * n
    values = tuple([int(v) for v in value])
    if len(values) == 1:
        return values * n
    if len(values) != n:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {n} values, but got"
            f" {values}"
        )
    return values


def _padded(x: Any, padding: tuple[int, ...]) -> Any:
    if not any(padding):
        return x
    shape = x.shape[:2] + tuple([n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True)])
    y = array_module(x).zeros(shape, x.dtype)
    y[
        (
            slice(None),
            slice(None),
            *[slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)],
        )
    ] = x
    return y


def _windows(x: Any, kernel: Sequence[int], out: Sequence[int], stride: Any, dilation: Any) -> Any:
    """A view (N, C, *kernel, *out) of padded x: element [n, c, k, p] is x[n, c, s·p + d·k]."""
    steps = x.strides[2:]
    strided = array_module(x).lib.stride_tricks.as_strided
    return strided(
        x,
        (*x.shape[:2], *kernel, *out),
        (
            *x.strides[:2],
            *[d * t for d, t in zip(dilation, steps, strict=True)],
            *[s * t for s, t in zip(stride, steps, strict=True)],
        ),
    )


def columns_of(
    x: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """(N, G, C/G·K, P): every output place's window as a column."""
    n, c = x.shape[:2]
    if math.prod(kernel) == 1 and not any(padding) and x.shape[2:] == tuple(out):
        return x.reshape(n, groups, c // groups, math.prod(out))
    windows = _windows(_padded(x, padding), kernel, out, stride, dilation)
    return windows.reshape(n, groups, c // groups * math.prod(kernel), math.prod(out))


def scatter_columns(
    columns: Any, size: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The adjoint of `columns_of`: add every window back in its place; columns (N, C, *kernel,
    *out).
    """
    n, c = columns.shape[:2]
    full = [s + 2 * p for s, p in zip(size, padding, strict=True)]
    x = array_module(columns).zeros((n, c, *full), columns.dtype)
    for k in np.ndindex(*kernel):
        place = tuple(
            [
                slice(d * i, d * i + s * (o - 1) + 1, s)
                for d, i, s, o in zip(dilation, k, stride, out, strict=True)
            ]
        )
        x[(slice(None), slice(None), *place)] += columns[(slice(None), slice(None), *k)]
    crop = tuple([slice(p, p + s) for p, s in zip(padding, size, strict=True)])
    return x[(slice(None), slice(None), *crop)] if any(padding) else x


def out_size(size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    return tuple(
        [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
    )
