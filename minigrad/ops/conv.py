"""Convolution in 1, 2 and 3 dimensions, forward and transposed: PyTorch's signatures and checks.

What is computed is in correlation.py; windows as columns are in fold.py.
"""

from __future__ import annotations

from typing import Any

from ..export import export
from .columns import Ints, each_dim
from .correlation import conv, conv_input
from .fold import fold as fold
from .fold import unfold_windows as unfold_windows
from .pad import zero_pad
from .shape import reshape, squeeze, unsqueeze


def _check(
    name: str, input: Any, weight: Any, bias: Any, n: int, groups: int, transposed: bool
) -> bool:
    """PyTorch's checks; True if the input has no batch dimension."""
    x, w = input._data, weight._data
    if w.ndim != n + 2:
        raise RuntimeError(
            "weight should have at least three dimensions"
            if w.ndim < 3
            else (
                f"Expected {n + 2}-dimensional weight for {name}, but got weight of size:"
                f" {list(w.shape)}"
            )
        )
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of"
            f" size: {list(x.shape)}"
        )
    if x.dtype != w.dtype or (bias is not None and bias._data.dtype != x.dtype):
        raise RuntimeError(
            f"Input type ({input.dtype}) and weight type ({weight.dtype}) and bias type should be"
            " the same"
        )
    if x.dtype.kind in "b":
        raise RuntimeError(f"\"{name}\" not implemented for 'Bool'")
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    channels = x.shape[x.ndim - n - 1]
    expected = w.shape[0] if transposed else w.shape[1] * groups
    if channels != expected:
        raise RuntimeError(
            f"Given {'transposed=1' if transposed else f'groups={groups}'}, weight of size"
            f" {list(w.shape)}, expected input{list(x.shape)} to have {expected} channels, but got"
            f" {channels} channels instead"
        )
    if w.shape[0] % groups:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0,"
            f" but got weight of size {list(w.shape)} instead"
        )
    outputs = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and bias._data.shape != (outputs,):
        raise RuntimeError(
            f"Given weight of size {list(w.shape)}, expected bias to be 1-dimensional with"
            f" {outputs} elements, but got bias of size {list(bias._data.shape)} instead"
        )
    return x.ndim == n + 1


def _check_steps(stride: Any, padding: Any, dilation: Any) -> None:
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero")


def _broadcast_bias(bias: Any, n: int) -> Any:
    return None if bias is None else reshape(bias, (-1, *[1] * n))


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
    single = _check(name, input, weight, bias, n, groups, False)
    stride, dilation = each_dim(stride, n, "stride"), each_dim(dilation, n, "dilation")
    kernel = weight._data.shape[2:]
    x = unsqueeze(input, 0) if single else input
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        if padding == "same":
            if any(s != 1 for s in stride):
                raise RuntimeError("padding='same' is not supported for strided convolutions")
            totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
            if any(t % 2 for t in totals):  # the odd element goes to the right
                sides = [s for t in reversed(totals) for s in (0, t % 2)]
                x = zero_pad(x, sides=tuple(sides))
            padding = tuple([t // 2 for t in totals])
        else:
            padding = (0,) * n
    padding = each_dim(padding, n, "padding")
    _check_steps(stride, padding, dilation)
    size = [n + 2 * p for n, p in zip(x._data.shape[2:], padding, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(n < r for n, r in zip(size, reach, strict=True)):
        raise RuntimeError(
            f"Calculated padded input size per channel: ({' x '.join(map(str, size))}). Kernel"
            f" size: ({' x '.join(map(str, reach))}). Kernel size can't be greater than actual"
            " input size"
        )
    b = _broadcast_bias(bias, n)
    y = conv(x, weight, b, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return squeeze(y, 0) if single else y


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
    single = _check(name, input, weight, bias, n, groups, True)
    stride, padding = each_dim(stride, n, "stride"), each_dim(padding, n, "padding")
    extra, dilation = (
        each_dim(output_padding, n, "output_padding"),
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
    x = unsqueeze(input, 0) if single else input
    size = tuple(
        [
            (i - 1) * s - 2 * p + d * (k - 1) + e + 1
            for i, s, p, d, k, e in zip(
                x._data.shape[2:],
                stride,
                padding,
                dilation,
                weight._data.shape[2:],
                extra,
                strict=True,
            )
        ]
    )
    if any(s <= 0 for s in size):
        raise RuntimeError(
            f"Given input size per channel: ({' x '.join(map(str, x._data.shape[2:]))}). Calculated"
            f" output size per channel: ({' x '.join(map(str, size))}). Output size is too small"
        )
    y = conv_input(
        x,
        weight,
        _broadcast_bias(bias, n),
        size=size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return squeeze(y, 0) if single else y


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
