"""Resizing, rearranging pixels and channels, sampling on grids; padding at its limits."""

from __future__ import annotations

import numpy as np

from . import Case, S, const


def _interpolate(r):
    smooth = [("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)]
    copying = [(m, n) for m in ("nearest", "nearest-exact", "area") for n in (1, 2, 3)]
    found = []
    for mode, n in smooth + copying:
        size = (4, 5, 3)[:n]
        x = lambda size=size: r(2, 3, *size)  # noqa: E731
        found += [
            S(x(), size=(7, 2, 4)[:n], mode=mode),
            S(x(), size=(4, 9, 6)[:n], mode=mode),
            S(x(), scale_factor=2, mode=mode),
            S(x(), scale_factor=(1.7, 0.5, 1.4)[:n], mode=mode, recompute_scale_factor=True),
            S(x(), scale_factor=(1.7, 0.5, 1.4)[:n], mode=mode),
            S(r(0, 3, *size), size=3, mode=mode),
        ]
    for mode, n in smooth:
        size = (4, 5, 3)[:n]
        found += [
            S(r(2, 3, *size), size=(7, 2, 1)[:n], mode=mode, align_corners=True),
            S(r(1, 1, *size), scale_factor=2.5, mode=mode, align_corners=True),
        ]
    return found + _antialiased(r) + _long(r)


def _antialiased(r):
    return [
        S(r(2, 3, 9, 8), size=size, mode=mode, antialias=True, **kw)
        for mode, kw in (
            ("bilinear", {}), ("bilinear", {"align_corners": True}), ("bicubic", {}), ("lanczos", {}),
        )
        for size in ((4, 3), (12, 5))
    ]  # fmt: skip


def _long(r):
    """More outputs than a block of the banded product has, and bytes."""
    return [
        S(r(1, 1, 150), size=200, mode="linear"),
        S(r(1, 1, 3, 150), size=(2, 70), mode="bicubic"),
        *[
            S(r.int(0, 256, 1, 3, 7, 8, dtype=np.uint8), size=(11, 5), mode=mode, antialias=aa)
            for mode, aa in (
                ("nearest", False), ("bilinear", False), ("bicubic", False), ("bilinear", True),
                ("bicubic", True), ("lanczos", True),
            )
        ],
    ]  # fmt: skip


def _not_finite(r):
    spots = np.zeros((1, 2, 4, 5))
    spots[0, 0, 1, 1], spots[0, 1, 2, 3], spots[0, 1, 0, 0] = np.nan, np.inf, -np.inf
    return [
        S(r.values(spots), size=(7, 9), mode=mode, grad=False)
        for mode in ("nearest", "bilinear", "bicubic", "area")
    ] + [S(r.values(spots), size=(2, 3), mode="bilinear", antialias=True, grad=False)]


def _grid_sample(r):
    found = []
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for align in (False, True):
                found += [S(r(2, 3, 4, 5), r(2, 3, 2, 2), mode, padding, align)]
                if mode != "bicubic":
                    found += [S(r(2, 2, 3, 4, 3), r(2, 2, 1, 3, 3), mode, padding, align)]
    return [
        *found,
        S(r(2, 3, 1, 1), r(2, 3, 2, 2), "bilinear", "reflection", True),
        S(r(0, 3, 4, 4), r(0, 3, 2, 2), align_corners=False),
        S(r(2, 0, 4, 4), r(2, 3, 2, 2), align_corners=False),
        S(r(2, 3, 4, 4), r(2, 0, 2, 2), align_corners=False),
        S(const(r(1, 2, 4, 4)), r(1, 2, 2, 2), align_corners=False),
        S(r(1, 2, 4, 4), const(r(1, 2, 2, 2)), align_corners=False),
    ]


def _pad_limits(r):
    return [
        S(r(3, 5), (4, 4), mode="reflect"),
        S(r(2, 3, 5), (-2, 4), mode="reflect"),
        S(r(2, 3, 4, 3, 2), (1, 1, 2, 2, 3, 3), mode="reflect"),
        S(r(3, 1), (4, -2), mode="replicate"),
        S(r(2, 3, 2, 3), (1, -1, -2, 3), mode="replicate"),
        S(r(0, 3, 4), (1, 1), mode="replicate"),
        S(r(3, 5), (5, 5), mode="circular"),
        S(r(2, 3, 5), (-1, 2), mode="circular"),
        S(r(2, 3, 4, 3, 2), (1, 2, 3, 0, -1, 1), mode="circular"),
        S(r(2, 0, 4), (1, 2), mode="circular"),
    ]


CASES = [
    Case("nn.functional.interpolate", _interpolate),
    Case("nn.functional.interpolate", _not_finite, half=False),
    Case("nn.functional.upsample", lambda r: [S(r(2, 3, 4, 5), scale_factor=2, mode="bilinear")]),
    Case("nn.functional.upsample_nearest", lambda r: [S(r(2, 3, 4, 5), size=(7, 3))]),
    Case("nn.functional.upsample_bilinear", lambda r: [S(r(2, 3, 4, 5), scale_factor=2)]),
    Case("nn.functional.grid_sample", _grid_sample, half=False),
    Case(
        "nn.functional.affine_grid",
        lambda r: [
            S(r(2, 2, 3), (2, 1, 3, 4), align_corners=False),
            S(r(2, 2, 3), (2, 1, 3, 4), align_corners=True),
            S(r(2, 3, 4), (2, 1, 3, 4, 2), align_corners=False),
            S(r(1, 3, 4), (1, 1, 3, 4, 2), align_corners=True),
            S(r(1, 2, 3), (1, 1, 1, 1), align_corners=False),
        ],
    ),
    Case(
        "affine_grid_generator",
        lambda r: [S(r(2, 2, 3), (2, 1, 1, 4), True), S(r(2, 3, 4), (2, 1, 3, 4, 2), False)],
    ),
    Case(
        "grid_sampler",
        lambda r: [
            S(r(2, 3, 4, 5), r(2, 3, 2, 2), mode, padding, True)
            for mode in (0, 1, 2) for padding in (0, 1, 2)
        ],
        half=False,
    ),
    Case(
        "nn.functional.pixel_shuffle",
        lambda r: [
            S(r(2, 12, 3, 2), 2), S(r(9, 2, 2), 3), S(r(2, 2, 4, 1, 2), 2),
            S(r(4, 0, 2), 2, grad=False), S(r.int(0, 9, 1, 4, 2, 2), 2), S(r.bool(4, 2, 2), 2),
        ],
    ),
    Case(
        "nn.functional.pixel_unshuffle",
        lambda r: [
            S(r(2, 3, 6, 4), 2), S(r(2, 6, 3), 3), S(r(2, 2, 1, 4, 4), 2),
            S(r.int(0, 9, 1, 2, 4, 4), 2),
        ],
    ),
    *[
        Case(
            f"nn.functional.{name}",
            lambda r: [
                S(r(2, 6, 3, 2), 3), S(r(1, 4, 5), 2), S(r(2, 4, 2, 1, 2), 4), S(r(0, 4, 2), 2),
                S(r(2, 4, 0), 2), S(r(2, 4, 3), 1), S(r.int(0, 9, 1, 4, 2, 2), 2),
            ],
            grad=not name.startswith("native"),  # where PyTorch has no derivative
        )
        for name in ("channel_shuffle", "native_channel_shuffle")
    ],
    Case("nn.functional.pad", _pad_limits),
    *[
        Case(
            f"nn.functional.lp_pool{n}d",
            lambda r, n=n: [S(r(2, 3, *(8, 7, 6)[:n]), 1.5, 2, smooth=False)],
            half=False,
            gradgrad=False,
        )
        for n in (1, 2, 3)
    ],
    Case(
        "nn.functional.conv_transpose1d",
        lambda r: [S(r(1, 4, 2), r(4, 3, 1), None, 1, 0, 1, 2, 2)],
        rtol=1e-4, atol=1e-4, why="sums of products",
    ),
    Case(
        "nn.functional.max_unpool2d",
        lambda r: [S(r(0, 3, 2, 2), r.int(0, 4, 0, 3, 2, 2), 2)],
    ),
]  # fmt: skip
