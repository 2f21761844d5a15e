"""Upsampling whose weights or places depend on the content. Not in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.devices import array_module
from ...core.tensor import Tensor, wrap
from ...export import export
from ...ops.dims import permute
from ...ops.einsum import einsum
from ...ops.fold import unfold_windows
from ...ops.grid import grid_sample
from ...ops.pixels import pixel_shuffle, pixel_unshuffle
from ...ops.shape import reshape
from ...ops.sigmoidal import sigmoid
from ...ops.softmax import softmax
from .. import init
from ..module import Module
from .conv import Conv2d


@export("nn.CARAFE")
class CARAFE(Module):
    """Each new pixel is a mean of the k × k pixels around its source, by weights predicted there.

        w = softmax(pixel_shuffle(encoder(compressor(x)))) over the k² weights of a pixel
        y[2i + a, 2j + b] = Σ_uv w[2i + a, 2j + b, uv] x[i + u, j + v]          for scale_factor 2

    x (N, C, H, W), y (N, C, s·H, s·W); x counts as 0 outside. Groups of channels have weights of
    their own. (Wang et al. 2019, "Content-aware reassembly of features", eq. 1-4)
    """

    def __init__(
        self,
        channels: int,
        scale_factor: int,
        up_kernel: int = 5,
        up_group: int = 1,
        encoder_kernel: int = 3,
        encoder_dilation: int = 1,
        compressed_channels: int = 64,
    ):
        super().__init__()
        if up_kernel < 1 or up_kernel % 2 == 0:
            raise ValueError(f"CARAFE: expected an odd up_kernel, but got {up_kernel}")
        if (encoder_kernel - 1) * encoder_dilation % 2:
            raise ValueError(
                f"CARAFE: an encoder_kernel of {encoder_kernel} with encoder_dilation "
                f"{encoder_dilation} cannot keep the size: (kernel - 1)·dilation must be even"
            )
        if channels % up_group:
            raise ValueError(f"CARAFE: {channels} channels cannot be {up_group} equal groups")
        self.channels, self.scale_factor = channels, scale_factor
        self.up_kernel, self.up_group = up_kernel, up_group
        self.channel_compressor = Conv2d(channels, compressed_channels, 1)
        self.content_encoder = Conv2d(
            compressed_channels,
            up_kernel**2 * up_group * scale_factor**2,
            encoder_kernel,
            padding=(encoder_kernel - 1) * encoder_dilation // 2,
            dilation=encoder_dilation,
        )
        init.xavier_uniform_(self.channel_compressor.weight)
        init.normal_(self.content_encoder.weight, std=0.001)
        for layer in (self.channel_compressor, self.content_encoder):
            init.zeros_(layer.bias)

    def weights(self, input: Any) -> Any:
        """The weights (N, groups, k², s·H, s·W) of every new pixel; they sum to 1."""
        w = pixel_shuffle(self.content_encoder(self.channel_compressor(input)), self.scale_factor)
        n, _, height, width = w.shape
        return softmax(reshape(w, (n, self.up_group, self.up_kernel**2, height, width)), 2)

    def forward(self, input: Any) -> Any:
        n, channels, height, width = input.shape
        k, s, groups = self.up_kernel, self.scale_factor, self.up_group
        near = unfold_windows(input, k, padding=k // 2)
        near = reshape(near, (n, groups, channels // groups, k * k, height, width))
        w = reshape(self.weights(input), (n, groups, k * k, height, s, width, s))
        y = einsum("ngckhw,ngkhawb->ngchawb", near, w)
        return reshape(y, (n, channels, s * height, s * width))

    def extra_repr(self) -> str:
        return f"{self.channels}, scale_factor={self.scale_factor}, up_kernel={self.up_kernel}"


@export("nn.DySample")
class DySample(Module):
    """Each new pixel is sampled bilinearly at a place shifted from its own by a predicted offset.

        place = bilinear upsampling's + (offset(x) / 4 or, with dyscope, offset(x) σ(scope(x)) / 2)

    Places and offsets are in pixels of x (N, C, H, W), y (N, C, s·H, s·W). Groups of channels have
    offsets of their own. style "lp" predicts offsets from x, "pl" from its pixel shuffle. At first
    it is nearly bilinear interpolation. (Liu et al. 2023, "Learning to upsample by learning to
    sample", eq. 3-6)
    """

    init_pos: Tensor

    def __init__(
        self,
        in_channels: int,
        scale: int = 2,
        style: str = "lp",
        groups: int = 4,
        dyscope: bool = False,
    ):
        super().__init__()
        if style not in ("lp", "pl"):
            raise ValueError(f"DySample: expected style 'lp' or 'pl', but got {style!r}")
        if in_channels % groups or (style == "pl" and in_channels % scale**2):
            raise ValueError(f"DySample: {in_channels} channels do not fit the groups and scale")
        self.scale, self.style, self.groups = scale, style, groups
        given, made = in_channels, 2 * groups * scale**2
        if style == "pl":
            given, made = given // scale**2, 2 * groups
        self.offset = Conv2d(given, made, 1)
        init.normal_(self.offset.weight, std=0.001)
        init.zeros_(self.offset.bias)
        if dyscope:
            self.scope = Conv2d(given, made, 1, bias=False)
            init.zeros_(self.scope.weight)
        self.dyscope = dyscope
        # where the new pixels lie in an old one: x of each group, then y, over the s² new ones
        steps = (np.arange(scale) - (scale - 1) / 2) / scale
        y, x = np.meshgrid(steps, steps, indexing="ij")
        places = np.stack([np.tile(p.reshape(-1), groups) for p in (x, y)])
        self.register_buffer("init_pos", wrap(places.reshape(1, -1, 1, 1).astype(np.float32)))

    def forward(self, input: Any) -> Any:
        x = input if self.style == "lp" else pixel_shuffle(input, self.scale)
        moved = self.offset(x)
        moved = moved * sigmoid(self.scope(x)) * 0.5 if self.dyscope else moved * 0.25
        if self.style == "pl":
            moved = pixel_unshuffle(moved, self.scale)
        return self._sample(input, moved + self.init_pos)

    def _sample(self, input: Any, offset: Any) -> Any:
        n, channels, height, width = input.shape
        s, groups = self.scale, self.groups
        offset = reshape(offset, (n, 2, groups * s * s, height, width))
        rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
        own = np.stack([columns, rows])[None, :, None].astype(input._data.dtype)
        size = np.array([width, height], input._data.dtype).reshape(1, 2, 1, 1, 1)
        xp = array_module(input._data)
        places = (offset + wrap(xp.asarray(own))) * wrap(xp.asarray(2 / size)) - 1
        places = pixel_shuffle(reshape(places, (n, -1, height, width)), s)
        places = reshape(places, (n, 2, groups, s * height, s * width))
        places = reshape(permute(places, 0, 2, 3, 4, 1), (n * groups, s * height, s * width, 2))
        parts = reshape(input, (n * groups, channels // groups, height, width))
        y = grid_sample(parts, places, padding_mode="border", align_corners=False)
        return reshape(y, (n, channels, s * height, s * width))

    def extra_repr(self) -> str:
        return f"scale={self.scale}, style={self.style!r}, groups={self.groups}"
