"""Sampling an image at given places, and the places of an affine map: spatial transformers.

Jaderberg et al., "Spatial transformer networks" (2015). The sampled value is a product of weights,
which depend on the place, and of gathered elements; all derivatives follow from that.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, HALF
from ..core.chores import cast
from ..core.primitive import primitive
from ..core.tensor import wrap
from ..core.views import unlinked
from ..export import export
from .arguments import dtype_title
from .beside import beside
from .matmul import matmul
from .shape import reshape, transpose, unbind
from .taps import cubic_weights

_MODES = ("bilinear", "nearest", "bicubic")
_PADDINGS = ("zeros", "border", "reflection")


# ------------------------------------------------------------------------------ gathering
@primitive(half="keep")
def take_places(x: Any, *, index: Any) -> Any:
    """x (N, C, *) at flat spatial places `index` (N, P): (N, C, P); 0 where the index is −1.

    x̄ = add_places(ȳ)
    """
    xp = array_module(x)
    flat = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    y = xp.empty((*flat.shape[:2], index.shape[1]), x.dtype)
    for image, places, result in zip(flat, index, y, strict=True):
        result[...] = xp.take(image, xp.maximum(places, 0), axis=1)
        result[:, places < 0] = 0
    return y


@primitive
def add_places(g: Any, *, index: Any, size: tuple[int, ...]) -> Any:
    """Adds g (N, C, P) into zeros (N, C, *size) at flat places: the adjoint of take_places."""
    xp = array_module(g)
    n, c = g.shape[:2]
    total = math.prod(size)
    y = xp.zeros((n, c, total), g.dtype)
    for part, places, result in zip(g, index, y, strict=True):
        inside = places >= 0
        places = places[inside]
        for channel, row in zip(part, result, strict=True):
            row[...] = xp.bincount(places, weights=channel[inside], minlength=total)
    return y.reshape(n, c, *size)


take_places.vjp(x=lambda g, index, x_shape: add_places(g, index=index, size=x_shape[2:]))
add_places.vjp(g=lambda x, index: take_places(x, index=index))


# ------------------------------------------------------------------------------ places
def _folded(place: Any, size: int, padding: str, align: bool) -> tuple[Any, Any]:
    """(place brought back into the image, its derivative −1, 0 or 1) by the padding rule."""
    if padding == "zeros":
        return place, np.ones_like(place)
    slope = np.ones_like(place)
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        span = high - low
        if span == 0:
            return np.zeros_like(place), np.zeros_like(place)
        slope = np.where(place < low, -slope, slope)
        place = np.abs(place - low)
        flips, rest = np.floor(place / span), np.fmod(place, span)
        even = flips % 2 == 0
        slope = np.where(even, slope, -slope)
        place = np.where(even, rest + low, span - rest + low)
    slope = np.where((place <= 0) | (place >= size - 1), 0, slope)
    return np.minimum(np.fmax(place, 0), size - 1), slope  # fmax: nan counts as the first place


@primitive(residuals=("slope",))
def fold_places(x: Any, *, size: int, padding: str, align: bool) -> Any:
    """Places outside an image of `size` clipped ("border") or mirrored ("reflection");  x̄ = ±ȳ
    inside, 0 where clipped.
    """
    place, slope = _folded(x, size, padding, align)
    return place.astype(x.dtype), slope.astype(x.dtype)


fold_places.vjp(x=lambda g, slope: g * slope)


def _whole_places(place: Any, size: int, padding: str, align: bool) -> tuple[Any, Any]:
    """(indices, which of them lie inside) of whole-numbered places, folded by the padding rule."""
    place = _folded(place, size, padding, align)[0]
    inside = (place >= 0) & (place <= size - 1)  # false for nan
    return np.where(inside, place, 0).astype(np.int64), inside


def _flat(axes: Sequence[tuple[Any, Any]], size: tuple[int, ...]) -> Any:
    """Flat positions of the places whose coordinates are given for each axis; −1 outside."""
    flat, inside = axes[0]
    for (index, good), n in zip(axes[1:], size[1:], strict=True):
        flat, inside = flat * n + index, inside & good
    return np.where(inside, flat, -1)


# ------------------------------------------------------------------------------ sampling
def _check_sample(x: Any, grid: Any, mode: str) -> None:
    if x.ndim not in (4, 5) or x.ndim != grid.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but"
            f" got input with sizes {list(x.shape)} and grid with sizes {list(grid.shape)}"
        )
    if x.shape[0] != grid.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with"
            f" sizes {list(x.shape)} and grid with sizes {list(grid.shape)}"
        )
    if grid.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {x.ndim - 2} in last dimension, but got"
            f" grid with sizes {list(grid.shape)}"
        )
    if 0 in x.shape[2:]:
        raise RuntimeError(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has"
            f" sizes {list(x.shape)}"
        )
    if mode == "bicubic" and x.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if x.dtype.kind != "f" and dtype_title(x.dtype) != "BFloat16":
        raise NotImplementedError(f"\"grid_sampler\" not implemented for '{dtype_title(x.dtype)}'")
    if x.dtype != grid.dtype:
        raise RuntimeError(
            f"expected scalar type {dtype_title(x.dtype)} but found {dtype_title(grid.dtype)}"
        )


@export("nn.functional.grid_sample")
def grid_sample(
    input: Any,
    grid: Any,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Any:
    """Values of (N, C, *) at the places of `grid` (N, *out, 2 or 3): (N, C, *out).

    A place is (x, y) or (x, y, z), −1 and 1 being the edges of the image, or with align_corners
    the centres of its outermost elements. Between elements the value is interpolated ("bilinear",
    in 3 dimensions trilinear; "bicubic"; "nearest", ties to even). Outside lies 0 ("zeros"), the
    nearest edge ("border") or the mirror image ("reflection").

        y = Σ wₖ(place) xₖ;   x̄ₖ = Σ wₖ ȳ,   place̅ = Σ w'ₖ xₖ ȳ

    The grid's gradient is 0 for "nearest" and where a place was clipped. ValueError for unknown
    modes, RuntimeError for shapes and dtypes that do not fit. Jaderberg et al. (2015), eq. 3-7.
    """
    if mode not in _MODES:
        raise ValueError(
            "nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic',"
            f" but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or"
            f" 'reflection', but got: '{padding_mode}'"
        )
    return _sample(input, grid, mode, padding_mode, _aligned(align_corners))


def _sample(input: Any, grid: Any, mode: str, padding: str, align: bool) -> Any:
    x = input._data
    _check_sample(x, grid._data, mode)
    if (narrow := x.dtype) in HALF:  # places need more digits
        input, grid = cast(input, dtype=F32), cast(grid, dtype=F32)
        return cast(_sample(input, grid, mode, padding, align), dtype=narrow)
    size, out = x.shape[2:], grid.shape[1:-1]
    result = (*x.shape[:2], *out)
    listed = reshape(grid, (x.shape[0], math.prod(out), len(size)))
    coordinates: Any = unbind(listed, -1)[::-1]
    # from [−1, 1] to elements: (c + 1)/2 · (n − 1), or (c + 1) n/2 − 1/2
    places = [
        (c + 1) * ((n - 1) / 2) if align else ((c + 1) * n - 1) / 2
        for c, n in zip(coordinates, size, strict=True)
    ]
    if mode == "bicubic":
        taps = [_cubic_taps(p, n, padding, align) for p, n in zip(places, size, strict=True)]
    else:
        folded = [
            p if padding == "zeros" else fold_places(p, size=n, padding=padding, align=align)
            for p, n in zip(places, size, strict=True)
        ]
        if mode == "nearest":
            axes = [
                _whole_places(np.rint(p._data), n, "zeros", align)
                for p, n in zip(folded, size, strict=True)
            ]
            y = beside(take_places(input, index=_flat(axes, size)), grid)
            return unlinked(reshape(y, result))
        taps = [_linear_taps(p, n) for p, n in zip(folded, size, strict=True)]
    total: Any = None
    for corner in itertools.product(*taps):
        weight = corner[0][0]
        for tap in corner[1:]:
            weight = weight * tap[0]
        values = take_places(input, index=_flat([tap[1] for tap in corner], size))
        part = values * reshape(weight, (x.shape[0], 1, math.prod(out)))
        total = part if total is None else total + part
    return unlinked(reshape(total, result))


def _linear_taps(place: Any, size: int) -> list[tuple[Any, tuple[Any, Any]]]:
    """(weight, (index, inside)) of the two neighbours along one axis."""
    low = np.floor(place._data)
    share = place - wrap(low)
    return [
        (1 - share, _whole_places(low, size, "zeros", False)),
        (share, _whole_places(low + 1, size, "zeros", False)),
    ]


def _cubic_taps(
    place: Any, size: int, padding: str, align: bool
) -> list[tuple[Any, tuple[Any, Any]]]:
    """The same for four neighbours, each of which is folded by itself."""
    low = np.floor(place._data)
    weights = cubic_weights(place - wrap(low), -0.75)
    return [
        (w, _whole_places(low + k, size, padding, align)) for k, w in enumerate(weights, start=-1)
    ]


def _aligned(align_corners: bool | None) -> bool:
    if align_corners is None:
        warnings.warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since"
            " 1.3.0. Please specify align_corners=True if the old behavior is desired.",
            stacklevel=3,
        )
    return bool(align_corners)


@export("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def grid_sampler(
    input: Any, grid: Any, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Any:
    """grid_sample with its modes as numbers: their places in (bilinear, nearest, bicubic) and in
    (zeros, border, reflection).
    """
    mode, padding = _MODES[interpolation_mode], _PADDINGS[padding_mode]
    return _sample(input, grid, mode, padding, align_corners)


# ------------------------------------------------------------------------------ affine maps
def _centres(n: int, align: bool) -> Any:
    """The places of n elements on [−1, 1]; a single one lies at 0."""
    if align:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(n)
    return (2 * np.arange(n) + 1 - n) / max(n, 1)


@export("affine_grid_generator")
def affine_grid_generator(theta: Any, size: Sequence[int], align_corners: bool) -> Any:
    """affine_grid without its checks."""
    spatial = [int(n) for n in size[2:]]
    axes = np.meshgrid(*[_centres(n, align_corners) for n in spatial], indexing="ij")
    base = np.stack([*axes[::-1], np.ones(spatial)], -1).reshape(-1, len(spatial) + 1)
    xp = array_module(theta._data)
    base = xp.broadcast_to(xp.asarray(base, theta._data.dtype), (int(size[0]), *base.shape))
    places = matmul(wrap(base), transpose(theta, -2, -1))
    return unlinked(reshape(places, (-1, *spatial, len(spatial))))


@export("nn.functional.affine_grid")
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """The places that an image of `size` (N, C, *out) has after the maps theta: (N, *out, 2 or 3).

        place = θ (x, y, 1)ᵀ;   θ̄ = Σ place̅ (x, y, 1)

    theta is (N, 2, 3) or (N, 3, 4). ValueError for other shapes and for empty sizes,
    NotImplementedError unless size has 4 or 5 numbers. Jaderberg et al. (2015), eq. 1.
    """
    align = _aligned(align_corners)
    if theta._data.dtype.kind in "iubc":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    if len(size) not in (4, 5):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms,"
            f" respectively. Got size {size}."
        )
    n = len(size) - 2
    if len(theta.shape) != 3 or tuple(theta.shape[1:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got"
            f" {theta.shape}."
        )
    if align and min(size[2:]) == 1:
        warnings.warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when"
            " align_corners=True. This is not an intended use case of affine_grid.",
            stacklevel=2,
        )
    elif min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    if int(size[0]) != theta.shape[0]:
        raise RuntimeError(
            f"affine_grid: size {list(size)} is for {size[0]} images, but theta has"
            f" {theta.shape[0]} maps"
        )
    return affine_grid_generator(theta, size, align)
