"""Layers between images and their windows as columns."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops.conv import fold, unfold_windows
from ..module import Module


class _Windows(Module):
    def __init__(self, kernel_size: Any, dilation: Any, padding: Any, stride: Any):
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding},"
            f" stride={self.stride}"
        )


@export("nn.Unfold")
class Unfold(_Windows):
    """The windows of (N, C, H, W) as columns: (N, C·Kh·Kw, P)."""

    def __init__(self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1):
        super().__init__(kernel_size, dilation, padding, stride)

    def forward(self, input: Any) -> Any:
        return unfold_windows(input, self.kernel_size, self.dilation, self.padding, self.stride)


@export("nn.Fold")
class Fold(_Windows):
    """Columns (N, C·Kh·Kw, P) added back into images (N, C, H, W): the adjoint of Unfold."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ):
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Any) -> Any:
        return fold(
            input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
