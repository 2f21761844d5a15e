"""Convolution layers, forward and transposed, in 1, 2 and 3 dimensions."""

from __future__ import annotations

import math
from typing import Any

from ...export import export
from ...ops import conv as F
from ...ops.creation import empty
from ...ops.pad import pad
from .. import init
from ..module import Module
from ..parameter import Parameter


def _each(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n


class _Conv(Module):
    """What all six convolutions share: sizes, checks, parameters and their first values."""

    dims: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
        output_padding: Any = 0,
    ):
        super().__init__()
        n = self.dims
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(
                    f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}"
                )
            if padding == "same" and any(s != 1 for s in _each(stride, n)):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                "padding_mode must be one of {'zeros', 'reflect', 'replicate', 'circular'}, but"
                f" got padding_mode='{padding_mode}'"
            )
        if self.transposed and padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = _each(kernel_size, n), _each(stride, n)
        self.padding = padding if isinstance(padding, str) else _each(padding, n)
        self.dilation, self.output_padding = _each(dilation, n), _each(output_padding, n)
        self.padding_mode = padding_mode
        ends = (
            (in_channels, out_channels // groups)
            if self.transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = Parameter(empty(*ends, *self.kernel_size, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias from U(±1/√fan_in)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = self.weight[0].numel()
            if fan_in:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def _both_sides(self) -> list[int]:
        """The padding as `pad` wants it: last dimension first, both sides."""
        if isinstance(self.padding, str):
            if self.padding == "valid":
                return [0, 0] * self.dims
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [side for t in reversed(totals) for side in (t // 2, t - t // 2)]
        return [p for p in reversed(self.padding) for _ in (0, 1)]

    def extra_repr(self) -> str:
        n = self.dims
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size},"
            f" stride={self.stride}"
        )
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _ConvForward(_Conv):
    function: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Any) -> Any:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._both_sides(), self.padding_mode), 0
        return type(self).function(
            input, *self._weight_and_bias(), self.stride, padding, self.dilation, self.groups
        )


@export("nn.Conv1d")
class Conv1d(_ConvForward):
    """Cross-correlation of (N, C, L); weight (out, in/groups, K)."""

    dims = 1
    function = staticmethod(F.conv1d)


@export("nn.Conv2d")
class Conv2d(_ConvForward):
    """Cross-correlation of (N, C, H, W); weight (out, in/groups, Kh, Kw)."""

    dims = 2
    function = staticmethod(F.conv2d)


@export("nn.Conv3d")
class Conv3d(_ConvForward):
    """Cross-correlation of (N, C, D, H, W); weight (out, in/groups, Kd, Kh, Kw)."""

    dims = 3
    function = staticmethod(F.conv3d)


class _ConvTranspose(_Conv):
    transposed = True
    function: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            output_padding,
        )

    def forward(self, input: Any, output_size: Any = None) -> Any:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return type(self).function(
            input,
            *self._weight_and_bias(),
            self.stride,
            self.padding,
            extra,
            self.groups,
            self.dilation,
        )

    def _extra(self, input: Any, output_size: Any) -> tuple[int, ...]:
        """The output_padding that gives `output_size`; ValueError if none does."""
        n = self.dims
        wanted = list(output_size)
        if len(wanted) in (n + 1, n + 2) and len(wanted) == input.dim():
            wanted = wanted[-n:]
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have {n} or"
                f" {input.dim()} elements (got {len(output_size)})"
            )
        least = [
            (i - 1) * s - 2 * p + d * (k - 1) + 1
            for i, s, p, d, k in zip(
                input.shape[-n:],
                self.stride,
                self.padding,
                self.dilation,
                self.kernel_size,
                strict=True,
            )
        ]
        most = [m + s - 1 for m, s in zip(least, self.stride, strict=True)]
        if any(not low <= w <= high for w, low, high in zip(wanted, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {output_size}, but valid sizes range from {least} to"
                f" {most} (for an input of {input.shape[-n:]})"
            )
        return tuple([w - m for w, m in zip(wanted, least, strict=True)])


@export("nn.ConvTranspose1d")
class ConvTranspose1d(_ConvTranspose):
    """The adjoint of Conv1d; weight (in, out/groups, K)."""

    dims = 1
    function = staticmethod(F.conv_transpose1d)


@export("nn.ConvTranspose2d")
class ConvTranspose2d(_ConvTranspose):
    """The adjoint of Conv2d; weight (in, out/groups, Kh, Kw)."""

    dims = 2
    function = staticmethod(F.conv_transpose2d)


@export("nn.ConvTranspose3d")
class ConvTranspose3d(_ConvTranspose):
    """The adjoint of Conv3d; weight (in, out/groups, Kd, Kh, Kw)."""

    dims = 3
    function = staticmethod(F.conv_transpose3d)
