"""Layers that move elements between channels and space, or between groups of channels."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops.pixels import channel_shuffle, pixel_shuffle, pixel_unshuffle
from ..module import Module


@export("nn.PixelShuffle")
class PixelShuffle(Module):
    """(*, C r², H, W) to (*, C, r H, r W) (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int):
        super().__init__()
        self.upscale_factor = upscale_factor

    def forward(self, input: Any) -> Any:
        return pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


@export("nn.PixelUnshuffle")
class PixelUnshuffle(Module):
    """(*, C, r H, r W) to (*, C r², H, W): undoes PixelShuffle."""

    def __init__(self, downscale_factor: int):
        super().__init__()
        self.downscale_factor = downscale_factor

    def forward(self, input: Any) -> Any:
        return pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


@export("nn.ChannelShuffle")
class ChannelShuffle(Module):
    """(N, C, *) with its channels dealt out anew to groups (Zhang et al. 2017)."""

    def __init__(self, groups: int):
        super().__init__()
        self.groups = groups

    def forward(self, input: Any) -> Any:
        return channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
