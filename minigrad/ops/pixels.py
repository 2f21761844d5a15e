"""Rearrangements between channels and space, and between groups of channels.

Each is a reshape, a permutation and a reshape; so is its derivative, which is the reverse of it.
"""

from __future__ import annotations

import math
from typing import Any

from ..core.primitive import primitive
from ..core.views import unlinked
from ..export import export
from ..kernels.cpu import planes as kernels
from .shape import permute, reshape
from .views import clone_


@primitive(half="keep")
def shuffle_pixels(x: Any, *, r: int) -> Any:
    """(n, c r², h, w) to (n, c, h r, w r);  x̄ = unshuffle_pixels(ȳ)."""
    if kernels.usable(x):
        return kernels.shuffle(x, r)
    n, c, h, w = x.shape
    parts = x.reshape(n, c // (r * r), r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.copy().reshape(n, c // (r * r), h * r, w * r)


@primitive(half="keep")
def unshuffle_pixels(y: Any, *, r: int) -> Any:
    """(n, c, h r, w r) to (n, c r², h, w);  ȳ = shuffle_pixels(x̄)."""
    if kernels.usable(y):
        return kernels.unshuffle(y, r)
    n, c, h, w = y.shape
    parts = y.reshape(n, c, h // r, r, w // r, r).transpose(0, 1, 3, 5, 2, 4)
    return parts.copy().reshape(n, c * r * r, h // r, w // r)


shuffle_pixels.vjp(x=lambda g, r: unshuffle_pixels(g, r=r))
unshuffle_pixels.vjp(y=lambda g, r: shuffle_pixels(g, r=r))


def _four(input: Any, c: int, h: int, w: int) -> Any:
    """The batch dimensions as one."""
    return (
        input if len(input.shape) == 4 else reshape(input, (math.prod(input.shape[:-3]), c, h, w))
    )


def _check(name: str, input: Any, option: str, factor: Any) -> None:
    if not isinstance(factor, int):
        raise TypeError(f"{name}(): argument '{option}' must be int, not {type(factor).__name__}")
    if len(input.shape) < 3:
        raise RuntimeError(
            f"{name} expects input to have at least 3 dimensions, but got input with"
            f" {len(input.shape)} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {option}, but got {factor}")


def _copy(moved: Any, shape: tuple[int, ...]) -> Any:
    """In its own memory even where nothing moves."""
    return unlinked(reshape(clone_(moved, order="C"), shape))


@export("nn.functional.pixel_shuffle", "pixel_shuffle")
def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    """Channels spread over r × r pixels: (*, C r², H, W) to (*, C, r H, r W).

        y[c, h r + i, w r + j] = x[c r² + i r + j, h, w];   x̄ = pixel_unshuffle(ȳ)

    RuntimeError if there are fewer than 3 dimensions or the channels do not divide by r².
    Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (2016), eq. 4.
    """
    _check("pixel_shuffle", input, "upscale_factor", upscale_factor)
    r = upscale_factor
    *batch, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of"
            f" upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    y = shuffle_pixels(_four(input, c, h, w), r=r)
    return y if len(batch) == 1 else reshape(y, (*batch, c // (r * r), h * r, w * r))


@export("nn.functional.pixel_unshuffle", "pixel_unshuffle")
def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    """Blocks of r × r pixels gathered into channels: (*, C, r H, r W) to (*, C r², H, W).

        y[c r² + i r + j, h, w] = x[c, h r + i, w r + j];   x̄ = pixel_shuffle(ȳ)

    RuntimeError if there are fewer than 3 dimensions or a side does not divide by r.
    """
    _check("pixel_unshuffle", input, "downscale_factor", downscale_factor)
    r = downscale_factor
    *batch, c, h, w = input.shape
    for side, length, place in (("height", h, -2), ("width", w, -1)):
        if length % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {side} to be divisible by downscale_factor, but"
                f" input.size({place})={length} is not divisible by {r}"
            )
    y = unshuffle_pixels(_four(input, c, h, w), r=r)
    return y if len(batch) == 1 else reshape(y, (*batch, c * r * r, h // r, w // r))


@export(
    "nn.functional.channel_shuffle",
    "channel_shuffle",
    "nn.functional.native_channel_shuffle",
    "native_channel_shuffle",
)
def channel_shuffle(input: Any, groups: int) -> Any:
    """Channels dealt out anew to g groups: (N, C, *), channel a C/g + b goes to place b g + a.

    RuntimeError if there are fewer than 3 dimensions or the channels do not divide by g.
    Zhang et al., "ShuffleNet" (2017), section 3.1.
    """
    _check("channel_shuffle", input, "groups", groups)
    n, c, *rest = input.shape
    if c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    parts = reshape(input, (n, groups, c // groups, math.prod(rest)))
    return _copy(permute(parts, (0, 2, 1, 3)), (n, c, *rest))
