"""Convolutions, pooling, resizing: forward and backward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .base import distinct, leaf, op, sizes

# batch, channels in, height and width, channels out
CONV = sizes((1, 4, 8, 8), (8, 32, 16, 32), (16, 64, 32, 64))
MAPS = sizes((2, 4, 8, 8), (8, 32, 16, 16), (16, 32, 64, 64))


def conv(
    name: str,
    kernel: int,
    sizes: Mapping[str, Sequence[int]] = CONV,
    groups: int | None = 1,
    **options: Any,
) -> None:
    """conv2d with a bias; `groups=None` is one group a channel."""
    options.setdefault("padding", kernel // 2)

    def inputs(n: int, i: int, size: int, o: int) -> list:
        per_group = 1 if groups is None else i // groups
        return [leaf(n, i, size, size), leaf(o, per_group, kernel, kernel), leaf(o)]

    def function(lib: Any, x: Any, w: Any, b: Any) -> Any:
        count = x.shape[1] // w.shape[1]
        return lib.nn.functional.conv2d(x, w, b, groups=count, **options)

    op("conv", name, sizes, inputs, function, tolerance=3e-4)


conv("conv 3x3", 3)
conv("conv 5x5", 5, sizes((1, 4, 8, 8), (8, 16, 16, 32), (16, 32, 32, 32)))
conv("conv 1x1", 1, sizes((1, 4, 8, 8), (8, 64, 16, 64), (16, 128, 32, 128)))
conv("conv depthwise", 3, sizes((1, 8, 8, 8), (8, 64, 16, 64), (16, 64, 56, 64)), groups=None)
conv("conv few channels", 3, sizes((1, 1, 8, 8), (8, 3, 32, 32), (16, 3, 64, 32)))
conv("conv stem 7x7", 7, sizes((1, 3, 16, 8), (2, 3, 64, 32), (4, 3, 128, 64)), stride=2)
conv("conv strided", 3, stride=2)
conv("conv dilated", 3, dilation=2, padding=2)
conv("conv grouped", 3, groups=4)

op(
    "conv",
    "conv transposed",
    CONV,
    lambda n, i, s, o: [leaf(n, i, s // 2, s // 2), leaf(i, o, 4, 4), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.conv_transpose2d(x, w, b, stride=2, padding=1),
    tolerance=3e-4,
)
op(
    "conv",
    "conv 1-d",
    sizes((1, 4, 16, 8), (8, 32, 128, 32), (16, 64, 1024, 64)),
    lambda n, i, s, o: [leaf(n, i, s), leaf(o, i, 3), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.conv1d(x, w, b, padding=1),
    tolerance=3e-4,
)
op(
    "conv",
    "conv 3-d",
    sizes((1, 2, 4, 4), (2, 8, 8, 16), (4, 16, 16, 32)),
    lambda n, i, s, o: [leaf(n, i, s, s, s), leaf(o, i, 3, 3, 3), leaf(o)],
    lambda lib, x, w, b: lib.nn.functional.conv3d(x, w, b, padding=1),
    tolerance=3e-4,
)

# Pooling takes the first of equal elements; distinct ones keep that out of the comparison.
POOLS = {
    "max pool 2x2": lambda lib, x: lib.nn.functional.max_pool2d(x, 2),
    "max pool 3x3": lambda lib, x: lib.nn.functional.max_pool2d(x, 3, stride=2, padding=1),
    "avg pool 2x2": lambda lib, x: lib.nn.functional.avg_pool2d(x, 2),
    "global avg pool": lambda lib, x: lib.nn.functional.adaptive_avg_pool2d(x, 1),
    "adaptive avg pool": lambda lib, x: lib.nn.functional.adaptive_avg_pool2d(x, 3),
    "adaptive max pool": lambda lib, x: lib.nn.functional.adaptive_max_pool2d(x, 3),
}
for _name, _f in POOLS.items():
    op("pool", _name, MAPS, lambda *s: [distinct(*s)], _f)


def _resize(lib: Any, x: Any, mode: str, **options: Any) -> Any:
    return lib.nn.functional.interpolate(x, scale_factor=2, mode=mode, **options)


HALF_MAPS = sizes((2, 4, 4, 4), (8, 32, 8, 8), (16, 32, 32, 32))
RESIZES = {
    "resize nearest": lambda lib, x: _resize(lib, x, "nearest"),
    "resize bilinear": lambda lib, x: _resize(lib, x, "bilinear", align_corners=False),
    "pixel shuffle": lambda lib, x: lib.nn.functional.pixel_shuffle(x, 2),
    "pad": lambda lib, x: lib.nn.functional.pad(x, (1, 1, 1, 1)),
    "pad reflect": lambda lib, x: lib.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"),
}
for _name, _f in RESIZES.items():
    op("resize", _name, HALF_MAPS, lambda *s: [leaf(*s)], _f)
