"""Pooling layers."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops import adaptive, pool
from ..module import Module


class _MaxPool(Module):
    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Any) -> Any:
        return type(self).function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding},"
            f" dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


@export("nn.MaxPool1d")
class MaxPool1d(_MaxPool):
    """The largest of each window of (N, C, L)."""

    function = staticmethod(pool.max_pool1d)


@export("nn.MaxPool2d")
class MaxPool2d(_MaxPool):
    """The largest of each window of (N, C, H, W)."""

    function = staticmethod(pool.max_pool2d)


@export("nn.MaxPool3d")
class MaxPool3d(_MaxPool):
    """The largest of each window of (N, C, D, H, W)."""

    function = staticmethod(pool.max_pool3d)


class _MaxUnpool(Module):
    function: Any
    dims: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0):
        super().__init__()
        n = self.dims
        each = lambda v: tuple(v) if isinstance(v, tuple | list) else (v,) * n  # noqa: E731
        self.kernel_size = each(kernel_size)
        self.stride = each(kernel_size if stride is None else stride)
        self.padding = each(padding)

    def forward(self, input: Any, indices: Any, output_size: Any = None) -> Any:
        return type(self).function(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@export("nn.MaxUnpool1d")
class MaxUnpool1d(_MaxUnpool):
    """Puts the values of MaxPool1d back where they were found."""

    dims = 1
    function = staticmethod(adaptive.max_unpool1d)


@export("nn.MaxUnpool2d")
class MaxUnpool2d(_MaxUnpool):
    """Puts the values of MaxPool2d back where they were found."""

    dims = 2
    function = staticmethod(adaptive.max_unpool2d)


@export("nn.MaxUnpool3d")
class MaxUnpool3d(_MaxUnpool):
    """Puts the values of MaxPool3d back where they were found."""

    dims = 3
    function = staticmethod(adaptive.max_unpool3d)


@export("nn.AvgPool1d")
class AvgPool1d(Module):
    """The mean of each window of (N, C, L)."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__()
        each = lambda v: tuple(v) if isinstance(v, tuple | list) else (v,)  # noqa: E731
        self.kernel_size, self.padding = each(kernel_size), each(padding)
        self.stride = each(kernel_size if stride is None else stride)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Any) -> Any:
        return pool.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(Module):
    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Any) -> Any:
        return type(self).function(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@export("nn.AvgPool2d")
class AvgPool2d(_AvgPool):
    """The mean of each window of (N, C, H, W)."""

    function = staticmethod(pool.avg_pool2d)


@export("nn.AvgPool3d")
class AvgPool3d(_AvgPool):
    """The mean of each window of (N, C, D, H, W)."""

    function = staticmethod(pool.avg_pool3d)


class _LPPool(Module):
    function: Any

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ):
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = (
            norm_type,
            kernel_size,
            stride,
            ceil_mode,
        )

    def forward(self, input: Any) -> Any:
        return type(self).function(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


@export("nn.LPPool1d")
class LPPool1d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window of (N, C, L)."""

    function = staticmethod(pool.lp_pool1d)


@export("nn.LPPool2d")
class LPPool2d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window of (N, C, H, W)."""

    function = staticmethod(pool.lp_pool2d)


@export("nn.LPPool3d")
class LPPool3d(_LPPool):
    """(Σ xᵖ)^(1/p) of each window of (N, C, D, H, W)."""

    function = staticmethod(pool.lp_pool3d)


class _Adaptive(Module):
    function: Any

    def __init__(self, output_size: Any):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


@export("nn.AdaptiveAvgPool1d")
class AdaptiveAvgPool1d(_Adaptive):
    """Means over output_size windows of equal share of (N, C, L)."""

    function = staticmethod(adaptive.adaptive_avg_pool1d)


@export("nn.AdaptiveAvgPool2d")
class AdaptiveAvgPool2d(_Adaptive):
    """Means over windows of equal share of (N, C, H, W)."""

    function = staticmethod(adaptive.adaptive_avg_pool2d)


@export("nn.AdaptiveAvgPool3d")
class AdaptiveAvgPool3d(_Adaptive):
    """Means over windows of equal share of (N, C, D, H, W)."""

    function = staticmethod(adaptive.adaptive_avg_pool3d)


class _AdaptiveMax(_Adaptive):
    def __init__(self, output_size: Any, return_indices: bool = False):
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Any) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)


@export("nn.AdaptiveMaxPool1d")
class AdaptiveMaxPool1d(_AdaptiveMax):
    """Maxima over output_size windows of equal share of (N, C, L)."""

    function = staticmethod(adaptive.adaptive_max_pool1d)


@export("nn.AdaptiveMaxPool2d")
class AdaptiveMaxPool2d(_AdaptiveMax):
    """Maxima over windows of equal share of (N, C, H, W)."""

    function = staticmethod(adaptive.adaptive_max_pool2d)


@export("nn.AdaptiveMaxPool3d")
class AdaptiveMaxPool3d(_AdaptiveMax):
    """Maxima over windows of equal share of (N, C, D, H, W)."""

    function = staticmethod(adaptive.adaptive_max_pool3d)


class _Fractional(Module):
    function: Any

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ):
        super().__init__()
        if output_size is None and output_ratio is None:
            raise ValueError(
                f"{type(self).__name__} requires specifying either an output size, or a pooling"
                " ratio"
            )
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        ratios = (
            ()
            if output_ratio is None
            else output_ratio
            if isinstance(output_ratio, tuple)
            else (output_ratio,)
        )
        if not all(0 < r < 1 for r in ratios):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")
        self.kernel_size, self.output_size, self.output_ratio = (
            kernel_size,
            output_size,
            output_ratio,
        )
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Any) -> Any:
        return type(self).function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


@export("nn.FractionalMaxPool2d")
class FractionalMaxPool2d(_Fractional):
    """Maxima over randomly placed windows of (N, C, H, W)."""

    function = staticmethod(adaptive.fractional_max_pool2d)


@export("nn.FractionalMaxPool3d")
class FractionalMaxPool3d(_Fractional):
    """Maxima over randomly placed windows of (N, C, D, H, W)."""

    function = staticmethod(adaptive.fractional_max_pool3d)
