"""Max pooling in 1, 2 and 3 dimensions, and what it shares with mean_pool.py.

Windows are never gathered: one pass for each place in the kernel, over strided slices of the input,
keeps the memory at that of the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..core.tensor import wrap
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu import pooling as kernels
from .beside import beside
from .columns import each_dim
from .plans import planned
from .shape import squeeze, unsqueeze

Ints = int | Sequence[int]


def slices(kernel: Any, out: Any, stride: Any, dilation: Any) -> Iterator[tuple[int, tuple]]:
    """(number, slices of the padded input) of each place in the kernel."""
    for number, k in enumerate(np.ndindex(*kernel)):
        place = [
            slice(d * i, d * i + s * (o - 1) + 1, s)
            for d, i, s, o in zip(dilation, k, stride, out, strict=True)
        ]
        yield number, (slice(None), slice(None), *place)


def extended(
    x: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any, value: Any
) -> Any:
    """x with `value` around it, as far as the last window reaches (ceil_mode goes beyond the
    padding).
    """
    reach = [
        max(s * (o - 1) + d * (k - 1) + 1, n + p)
        for k, o, s, p, d, n in zip(
            kernel, out, stride, padding, dilation, x.shape[2:], strict=True
        )
    ]
    reach = [max(r, n + p) for r, n, p in zip(reach, x.shape[2:], padding, strict=True)]
    if list(x.shape[2:]) == reach and not any(padding):
        return x
    y = array_module(x).full((*x.shape[:2], *reach), value, x.dtype)
    y[
        (
            slice(None),
            slice(None),
            *[slice(p, p + n) for p, n in zip(padding, x.shape[2:], strict=True)],
        )
    ] = x
    return y


def inner(padded: Any, padding: Any, size: Any) -> Any:
    return padded[
        (slice(None), slice(None), *[slice(p, p + n) for p, n in zip(padding, size, strict=True)])
    ]


# ------------------------------------------------------------------------------ maximum
@primitive(residuals=("which",), half="keep")
def max_windows(x: Any, *, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """The largest of each window (the first of equals; nan wins);  x̄: ȳ goes to that element."""
    found = kernels.max_windows(x, kernel, out, stride, padding, dilation)
    if found is not None:
        return found
    lowest = -np.inf if x.dtype.kind not in "iu" else np.iinfo(x.dtype).min
    padded = extended(x, kernel, out, stride, padding, dilation, lowest)
    xp = array_module(x)
    best = which = None
    inside = None
    if any(padding) and x.dtype.kind not in "iu":
        inside = extended(
            xp.ones((1, 1, *x.shape[2:]), bool), kernel, out, stride, padding, dilation, False
        )
        seen = xp.zeros((1, 1, *out), bool)
    for number, place in slices(kernel, out, stride, dilation):
        v = padded[place]
        if best is None:
            best = v.copy()
            if inside is not None:
                seen |= inside[place]
            which = xp.zeros(v.shape, np.uint8 if math.prod(kernel) <= 256 else np.int32)
            continue
        better = v > best
        if v.dtype.kind not in "iu":
            better |= np.isnan(v)
        if inside is not None:  # where all are -inf, the first one that is not padding
            better |= inside[place] & ~seen
            seen |= inside[place]
        xp.copyto(best, v, where=better)
        which[better] = number  # type: ignore[index]
    return best, which


@primitive
def max_windows_vjp(
    g: Any,
    *,
    which: Any,
    size: Any,
    kernel: Any,
    out: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> Any:
    """Sends each window's gradient to its largest element;  ḡ picks it up there again."""
    found = kernels.max_windows_gradient(g, which, size, kernel, stride, padding, dilation)
    if found is not None:
        return found
    reach = [
        max(s * (o - 1) + d * (k - 1) + 1, n + 2 * p)
        for k, o, s, p, d, n in zip(kernel, out, stride, padding, dilation, size, strict=True)
    ]
    x = array_module(g).zeros((*g.shape[:2], *reach), g.dtype)
    for number, place in slices(kernel, out, stride, dilation):
        x[place] += np.where(which == number, g, 0)
    return inner(x, padding, size)


@primitive
def pick_windows(
    x: Any, *, which: Any, kernel: Any, out: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """The element number `which` of each window: the adjoint of max_windows_vjp."""
    padded = extended(x, kernel, out, stride, padding, dilation, 0)
    y = np.zeros(which.shape, x.dtype)
    for number, place in slices(kernel, out, stride, dilation):
        np.copyto(y, padded[place], where=which == number)
    return y


max_windows.vjp(
    x=lambda g, x, which, kernel, out, stride, padding, dilation: beside(
        max_windows_vjp(
            g,
            which=which,
            size=x.shape[2:],
            kernel=kernel,
            out=out,
            stride=stride,
            padding=padding,
            dilation=dilation,
        ),
        x,
    )
)
max_windows_vjp.vjp(
    g=lambda g, which, kernel, out, stride, padding, dilation: pick_windows(
        g, which=which, kernel=kernel, out=out, stride=stride, padding=padding, dilation=dilation
    )
)
pick_windows.vjp(
    x=lambda g, which, kernel, out, stride, padding, dilation, x_shape: max_windows_vjp(
        g,
        which=which,
        size=x_shape[2:],
        kernel=kernel,
        out=out,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
)
max_windows.primitive.node_class.__name__ = "MaxPool2DWithIndicesBackward0"


def flat_indices(
    which: Any, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> Any:
    """Kernel places as PyTorch's indices: positions in the flattened spatial dimensions of the
    input.
    """
    n = len(kernel)
    offsets = np.unravel_index(which, kernel)
    total = array_module(which).zeros(which.shape, np.int64)
    for i in range(n):
        start = array_module(which).arange(which.shape[2 + i]) * stride[i] - padding[i]
        start = start.reshape([-1 if j == i else 1 for j in range(n)])
        position = np.clip(start + offsets[i] * dilation[i], 0, size[i] - 1)
        total = total * size[i] + position
    return total


def pooled_size(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[int, ...]:
    """⌊(n + 2p − d(k − 1) − 1)/s⌋ + 1, or ⌈⌉ if the last window still starts inside the input or
    left padding.
    """
    result = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        span = n + 2 * p - d * (k - 1) - 1
        o = (span + (s - 1 if ceil_mode else 0)) // s + 1
        if ceil_mode and (o - 1) * s >= n + p:
            o -= 1
        result.append(o)
    return tuple(result)


def prepare(
    name: str,
    n: int,
    input: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple[Any, bool, tuple, tuple, tuple, tuple, tuple]:
    """(x with a batch dimension, whether it had none, kernel, output's sizes, stride, padding,
    dilation), checked.
    """
    single, *sizes = _geometry(
        name, n, input._data.shape, kernel_size, stride, padding, dilation, ceil_mode
    )
    return unsqueeze(input, 0) if single else input, single, *sizes


def unbatched(y: Any, n: int) -> Any:
    """y without the dimension of its one batch: a view in PyTorch in one dimension only."""
    y = squeeze(y, 0)
    return y if n == 1 else unlinked(y)


@planned
def _geometry(
    name: str, n: int, shape: tuple[int, ...], kernel_size: Any, stride: Any, padding: Any,
    dilation: Any, ceil_mode: bool,
) -> tuple[bool, tuple, tuple, tuple, tuple, tuple]:  # fmt: skip
    ndim = len(shape)
    if ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"{name}: Expected {n + 1}D or {n + 2}D input (batch dimension optional), but got a"
            f" tensor of shape {list(shape)}"
        )
    if 0 in shape[ndim - n - 1 :]:
        raise RuntimeError(
            f"{name}: Expected tensor with optional 0 dim batch size, but got input of size:"
            f" {list(shape)}"
        )
    kernel = each_dim(kernel_size, n, "kernel_size")
    empty = stride is None or (not isinstance(stride, int) and len(stride) == 0)
    stride = kernel if empty else each_dim(stride, n, "stride")
    padding, dilation = each_dim(padding, n, "padding"), each_dim(dilation, n, "dilation")
    if any(k <= 0 for k in kernel):
        raise RuntimeError(
            f"{name}: kernel size should be greater than zero, but got {list(kernel)}"
        )
    if any(s <= 0 for s in stride):
        raise RuntimeError(f"{name}: stride should not be zero, got {list(stride)}")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(
            f"{name}: dilation should be greater than zero, but got {list(dilation)}"
        )
    if any(
        p < 0 or 2 * p > (k - 1) * d + 1 for p, k, d in zip(padding, kernel, dilation, strict=True)
    ):
        raise RuntimeError(
            f"pad should be at most half of effective kernel size, but got pad={list(padding)}, "
            f"kernel_size={list(kernel)} and dilation={list(dilation)}"
        )
    size = shape[ndim - n :]
    out = pooled_size(size, kernel, stride, padding, dilation, ceil_mode)
    if any(o < 1 for o in out):
        raise RuntimeError(
            f"Given input size: {list(shape)}. Calculated output size: {list(out)}. Output size"
            " is too small"
        )
    return ndim == n + 1, kernel, out, stride, padding, dilation


def _max_pool(n: int, input: Any, *how: Any, return_indices: bool) -> Any:
    x, single, kernel, out, stride, padding, dilation = prepare(f"max_pool{n}d", n, input, *how)
    if x._data.dtype.kind == "b":
        raise NotImplementedError(f"\"max_pool{n}d\" not implemented for 'Bool'")
    y = max_windows(x, kernel=kernel, out=out, stride=stride, padding=padding, dilation=dilation)
    result = unbatched(y, n) if single else y
    if not return_indices:
        return result
    _, which = max_windows.primitive.forward(
        x._data, kernel=kernel, out=out, stride=stride, padding=padding, dilation=dilation
    )
    indices = flat_indices(which, x._data.shape[2:], kernel, stride, padding, dilation)
    return result, wrap(indices[0] if single else indices)


@export("nn.functional.max_pool1d", "max_pool1d")
def max_pool1d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window of (N, C, L) or (C, L), and with return_indices where it was."""
    return _max_pool(
        1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices
    )


@export("nn.functional.max_pool2d", "max_pool2d")
def max_pool2d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window of (N, C, H, W) or (C, H, W), and with return_indices where it
    was.
    """
    return _max_pool(
        2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices
    )


@export("nn.functional.max_pool3d", "max_pool3d")
def max_pool3d(
    input: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of each window of (N, C, D, H, W) or (C, D, H, W), and with return_indices where
    it was.
    """
    return _max_pool(
        3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=return_indices
    )
