"""Pooling in 1, 2 and 3 dimensions by the mean or the p-norm of each window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.chores import cast
from ..core.primitive import primitive
from ..core.tensor import wrap
from ..export import export
from ..kernels.cpu import pooling as kernels
from .activation import relu
from .arguments import dtype_title
from .beside import beside
from .columns import each_dim
from .elementwise import abs, pow, sign
from .max_pool import extended, inner, prepare, slices, unbatched
from .piecewise import finish

Ints = int | Sequence[int]


@primitive
def sum_windows(
    x: Any, *, kernel: Any, out: Any, stride: Any, padding: Any, divisor: float = 1.0
) -> Any:
    """The sum of each window over the divisor, zeros around the input;  x̄: every element collects
    its windows' ȳ/divisor.
    """
    found = kernels.sum_windows(x, kernel, out, stride, padding, divisor)
    if found is not None:
        return found
    ones = (1,) * len(kernel)
    padded = extended(x, kernel, out, stride, padding, ones, 0)
    y = array_module(x).zeros((*x.shape[:2], *out), x.dtype)
    for _, place in slices(kernel, out, stride, ones):
        y += padded[place]
    return y if divisor == 1 else np.divide(y, divisor, out=y)


@primitive
def spread_windows(
    g: Any, *, size: Any, kernel: Any, stride: Any, padding: Any, divisor: float = 1.0
) -> Any:
    """Each window's value over the divisor added to all of its elements: sum_windows' adjoint."""
    found = kernels.spread_windows(g, size, kernel, stride, padding, divisor)
    if found is not None:
        return found
    if divisor != 1:
        g = g / divisor
    out, ones = g.shape[2:], (1,) * len(kernel)
    reach = [
        max(s * (o - 1) + k, n + 2 * p)
        for k, o, s, p, n in zip(kernel, out, stride, padding, size, strict=True)
    ]
    x = array_module(g).zeros((*g.shape[:2], *reach), g.dtype)
    for _, place in slices(kernel, out, stride, ones):
        x[place] += g
    return inner(x, padding, size)


sum_windows.vjp(
    x=lambda g, x, kernel, stride, padding, divisor: beside(
        spread_windows(
            g, size=x.shape[2:], kernel=kernel, stride=stride, padding=padding, divisor=divisor
        ),
        x,
    )
)
spread_windows.vjp(
    g=lambda x, kernel, stride, padding, divisor, g_shape: sum_windows(
        x, kernel=kernel, out=g_shape[2:], stride=stride, padding=padding, divisor=divisor
    )
)
sum_windows.primitive.node_class.__name__ = "AvgPool2DBackward0"


def _window_counts(
    size: Any, kernel: Any, out: Any, stride: Any, padding: Any, include_pad: bool
) -> Any:
    """How many elements each mean is over: those inside the input, or inside the padded input."""
    total = np.ones((), np.float64)
    for i, (n, k, o, s, p) in enumerate(zip(size, kernel, out, stride, padding, strict=True)):
        start = np.arange(o) * s - p
        end = np.minimum(start + k, n + p)
        count = end - start if include_pad else np.minimum(end, n) - np.maximum(start, 0)
        total = total * count.reshape([-1 if j == i else 1 for j in range(len(size))])
    return total


def _avg_pool(
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include_pad: bool,
    divisor: Any,
) -> Any:
    x, single, kernel, out, stride, padding, _ = prepare(
        f"avg_pool{n}d", n, input, kernel_size, stride, padding, 1, ceil_mode
    )
    if divisor is not None and divisor == 0:
        raise RuntimeError("divisor must be not zero")
    whole = x._data.dtype == np.int64
    if x._data.dtype.kind in "iub" and not whole:
        title = dtype_title(x._data.dtype)
        raise NotImplementedError(f'"avg_pool{n}d" not implemented for {title!r}')
    if whole:
        x = cast(x, dtype=np.dtype(np.float64))
    counts = None
    if divisor is None:
        if any(padding) or ceil_mode:
            counts = _window_counts(x._data.shape[2:], kernel, out, stride, padding, include_pad)
        divisor = math.prod(kernel) if counts is None else 1
    if whole and counts is None:
        counts, divisor = np.asarray(divisor), 1  # divided exactly
    y = sum_windows(
        x, kernel=kernel, out=out, stride=stride, padding=padding, divisor=float(divisor)
    )
    if counts is not None:
        y = y / wrap(array_module(x._data).asarray(counts.astype(x._data.dtype)))
    if whole:
        y = cast(y, dtype=np.dtype(np.int64))  # towards zero
    return unbatched(y, n) if single else y


@export("nn.functional.avg_pool1d", "avg_pool1d")
def avg_pool1d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of each window of (N, C, L) or (C, L)."""
    return _avg_pool(1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


@export("nn.functional.avg_pool2d")
def avg_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """The mean of each window of (N, C, H, W) or (C, H, W); divisor_override divides the sums
    instead.
    """
    y = _avg_pool(
        2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return finish(y, out)


@export("nn.functional.avg_pool3d")
def avg_pool3d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    out: Any = None,
) -> Any:
    """The mean of each window of (N, C, D, H, W) or (C, D, H, W); divisor_override divides the sums
    instead.
    """
    y = _avg_pool(
        3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return finish(y, out)


# ------------------------------------------------------------------------------ p-norm
def _lp_pool(n: int, input: Any, p: float, kernel_size: Any, stride: Any, ceil_mode: bool) -> Any:
    kernel = each_dim(kernel_size, n, "kernel_size")
    mean = _avg_pool(n, pow(input, p), kernel_size, stride, 0, ceil_mode, True, None)
    return pow(sign(mean) * relu(abs(mean)) * math.prod(kernel), 1.0 / p)


@export("nn.functional.lp_pool1d")
def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Ints, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) of each window of (N, C, L)."""
    return _lp_pool(1, input, float(norm_type), kernel_size, stride, ceil_mode)


@export("nn.functional.lp_pool2d")
def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Ints, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) of each window of (N, C, H, W)."""
    return _lp_pool(2, input, float(norm_type), kernel_size, stride, ceil_mode)


@export("nn.functional.lp_pool3d")
def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Ints, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) of each window of (N, C, D, H, W)."""
    return _lp_pool(3, input, float(norm_type), kernel_size, stride, ceil_mode)
