"""Convolution in 1, 2 and 3 dimensions, forward and transposed: PyTorch's signatures and checks.

What is computed is in correlation.py; windows as columns are in fold.py.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from ..export import export
from .columns import Ints, each_dim
from .correlation import conv, conv_input
from .fold import fold as fold
from .fold import unfold_windows as unfold_windows
from .pad import zero_pad
from .shape import squeeze, unsqueeze


class Layer(NamedTuple):
    """What a convolution's shapes and options come to, once they are checked."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    out: tuple[int, ...]  # the result's spatial shape
    single: bool  # the input has no batch dimension
    sides: tuple[int, ...] | None  # zeros to add before, where both sides need not be alike


def _check(name: str, x: Any, w: Any, b: Any, n: int, groups: int, transposed: bool) -> bool:
    """PyTorch's checks of the shapes; True if the input has no batch dimension."""
    if len(w) != n + 2:
        raise RuntimeError(
            "weight should have at least three dimensions"
            if len(w) < 3
            else f"Expected {n + 2}-dimensional weight for {name}, but got weight of size:"
            f" {list(w)}"
        )
    if len(x) not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of"
            f" size: {list(x)}"
        )
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    channels = x[len(x) - n - 1]
    expected = w[0] if transposed else w[1] * groups
    if channels != expected:
        raise RuntimeError(
            f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size"
            f" {list(w)}, expected input{list(x)} to have {expected} channels, but got"
            f" {channels} channels instead"
        )
    if w[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0,"
            f" but got weight of size {list(w)} instead"
        )
    outputs = w[1] * groups if transposed else w[0]
    if b is not None and b != (outputs,):
        raise RuntimeError(
            f"Given weight of size {list(w)}, expected bias to be 1-dimensional with"
            f" {outputs} elements, but got bias of size {list(b)} instead"
        )
    return len(x) == n + 1


def _check_types(name: str, input: Any, weight: Any, bias: Any) -> None:
    dtype = input._data.dtype
    if dtype != weight._data.dtype or (bias is not None and bias._data.dtype != dtype):
        raise RuntimeError(
            f"Input type ({input.dtype}) and weight type ({weight.dtype}) and bias type should be"
            " the same"
        )
    if dtype.kind == "b":
        raise RuntimeError(f"\"{name}\" not implemented for 'Bool'")


def _check_steps(stride: Any, padding: Any, dilation: Any) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")


def _same_padding(kernel: Any, stride: Any, dilation: Any) -> tuple[Any, Any]:
    """(padding, zeros to add before): with an even kernel, the odd element goes to the right."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    sides = tuple([s for t in reversed(totals) for s in (0, t % 2)])
    return tuple([t // 2 for t in totals]), sides if any(sides) else None


def _layer(
    name: str, n: int, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Layer:
    """The checked options of a convolution, from shapes."""
    single = _check(name, x, w, b, n, groups, False)
    stride, dilation = each_dim(stride, n, "stride"), each_dim(dilation, n, "dilation")
    sides = None
    if padding == "same":
        padding, sides = _same_padding(w[2:], stride, dilation)
    elif padding == "valid":
        padding = 0
    elif isinstance(padding, str):
        raise RuntimeError(f"Invalid padding string: '{padding}'")
    padding = each_dim(padding, n, "padding")
    _check_steps(stride, padding, dilation)
    extra = [0] * n if sides is None else list(sides[1::2])[::-1]
    size = [i + 2 * p + e for i, p, e in zip(x[len(x) - n :], padding, extra, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(w[2:], dilation, strict=True)]
    if any(i < r for i, r in zip(size, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, size))}). Kernel"
            f" size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual"
            " input size"
        )
    out = tuple([(i - r) // s + 1 for i, r, s in zip(size, reach, stride, strict=True)])
    return Layer(stride, padding, dilation, out, single, sides)


_known_layer = functools.lru_cache(maxsize=1024)(_layer)  # a layer sees the same shapes every step


def _convolve(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Any:
    _check_types(name, input, weight, bias)
    shapes = input._data.shape, weight._data.shape, None if bias is None else bias._data.shape
    try:
        layer = _known_layer(name, n, *shapes, stride, padding, dilation, groups)
    except TypeError:  # lists, which cannot be looked up
        layer = _layer(name, n, *shapes, stride, padding, dilation, groups)
    x = unsqueeze(input, 0) if layer.single else input
    if layer.sides is not None:
        x = zero_pad(x, sides=layer.sides)
    y = conv(
        x, weight, bias, stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
        groups=groups, out=layer.out,
    )  # fmt: skip
    return squeeze(y, 0) if layer.single else y


@export("nn.functional.conv1d", "conv1d")
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, L) or (C, L) with weight (O, C/groups, K): (N, O, L').

    L' = ⌊(L + 2·padding − dilation(K − 1) − 1)/stride⌋ + 1; padding may be "same" or "valid".
    """
    return _convolve("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@export("nn.functional.conv2d", "conv2d")
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, H, W) or (C, H, W) with weight (O, C/groups, Kh, Kw): (N,
    O, H', W').
    """
    return _convolve("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@export("nn.functional.conv3d", "conv3d")
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Any = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation of input (N, C, D, H, W) or (C, D, H, W) with weight (O, C/groups, Kd, Kh,
    Kw).
    """
    return _convolve("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _transposed_layer(
    name: str, n: int, x: Any, w: Any, b: Any, stride: Any, padding: Any, extra: Any, groups: int,
    dilation: Any,
) -> Layer:  # fmt: skip
    """The checked options of a transposed convolution, from shapes."""
    single = _check(name, x, w, b, n, groups, True)
    stride, padding = each_dim(stride, n, "stride"), each_dim(padding, n, "padding")
    extra, dilation = (
        each_dim(extra, n, "output_padding"),
        each_dim(dilation, n, "dilation"),
    )
    _check_steps(stride, padding, dilation)
    if any(e < 0 for e in extra):
        raise RuntimeError("negative output_padding is not supported")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            "output padding must be smaller than either stride or dilation, but got"
            f" output_padding: {extra}, stride: {stride}, dilation: {dilation}"
        )
    places = x[len(x) - n :]
    steps = zip(places, stride, padding, dilation, w[2:], extra, strict=True)
    size = tuple([(i - 1) * s - 2 * p + d * (k - 1) + e + 1 for i, s, p, d, k, e in steps])
    if any(s <= 0 for s in size):
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, places))}). Calculated"
            f" output size per channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    return Layer(stride, padding, dilation, size, single, None)


_known_transposed = functools.lru_cache(maxsize=1024)(_transposed_layer)


def _transpose(
    name: str,
    n: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    _check_types(name, input, weight, bias)
    shapes = input._data.shape, weight._data.shape, None if bias is None else bias._data.shape
    options = stride, padding, output_padding, groups, dilation
    try:
        layer = _known_transposed(name, n, *shapes, *options)
    except TypeError:  # lists, which cannot be looked up
        layer = _transposed_layer(name, n, *shapes, *options)
    x = unsqueeze(input, 0) if layer.single else input
    y = conv_input(
        x, weight, bias, size=layer.out, stride=layer.stride, padding=layer.padding,
        dilation=layer.dilation, groups=groups,
    )  # fmt: skip
    return squeeze(y, 0) if layer.single else y


@export("nn.functional.conv_transpose1d", "conv_transpose1d")
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv1d: input (N, C, L), weight (C, O/groups, K) to (N, O, L').

    L' = (L − 1)·stride − 2·padding + dilation(K − 1) + output_padding + 1.
    """
    return _transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@export("nn.functional.conv_transpose2d", "conv_transpose2d")
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv2d: input (N, C, H, W), weight (C, O/groups, Kh, Kw) (Zeiler et al.
    2010).
    """
    return _transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@export("nn.functional.conv_transpose3d", "conv_transpose3d")
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Any:
    """The adjoint of conv3d: input (N, C, D, H, W), weight (C, O/groups, Kd, Kh, Kw)."""
    return _transpose(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )
