"""Resizing by interpolation: nearest, linear, cubic, antialiased, area; 1 to 3 dimensions.

Every mode is separable: a linear map along one dimension after another. The maps of the smooth
modes are in `taps`; nearest neighbours only copy.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..core.primitive import primitive
from ..export import export
from .adaptive import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .arguments import dtype_title
from .plans import planned
from .taps import Maps, Resize, apply_all, apply_bytes, resample, resample_vjp

_SMOOTH = {"linear": 3, "bilinear": 4, "trilinear": 5, "bicubic": 4, "lanczos": 4}
_AREA = {3: adaptive_avg_pool1d, 4: adaptive_avg_pool2d, 5: adaptive_avg_pool3d}


# ------------------------------------------------------------------------------ primitives
@primitive(half="keep")
def copy_nearest(x: Any, *, maps: Maps) -> Any:
    """Resized by copying: yᵢ = x at the source of i;  x̄ⱼ = Σ ȳᵢ over its copies."""
    return apply_all(x, maps)


copy_nearest.vjp(x=lambda g, maps: resample_vjp(g, maps=maps))


@primitive(half="keep")
def resample_bytes(x: Any, *, axis: int, how: Resize) -> Any:
    """One dimension of uint8 values resized in fixed point; has no derivative."""
    return apply_bytes(x, axis, how)


# ------------------------------------------------------------------------------ sizes
def _each(what: str, value: Any, shape: tuple[int, ...]) -> list[Any]:
    """One entry for each spatial dimension; ValueError for a list of another length."""
    spatial = list(shape[2:])
    if not isinstance(value, tuple | list):
        return [value] * len(spatial)
    if len(value) != len(spatial):
        raise ValueError(
            f"Input and {what} must have the same number of spatial dimensions, but got input with"
            f" spatial dimensions of {spatial} and {what} of {value}. Please provide the input as"
            " (N, C, d1, ..., dK) and one value for each of d1, ..., dK."
        )
    return list(value)


def _whole(value: Any) -> int:
    try:
        if not isinstance(value, bool):
            return int(value.__index__())
    except (AttributeError, TypeError):
        pass
    raise TypeError(f"expected size to be an int or a tuple of ints, but got {value!r}")


def _factor(value: Any) -> float:
    if isinstance(value, str):
        raise TypeError(f"expected scale_factor to be a float or a tuple of floats, got {value!r}")
    return float(value)


def _targets(
    shape: tuple[int, ...], size: Any, scale_factor: Any, recompute: bool
) -> tuple[list[int], list[float | None]]:
    """(output sizes, factors that count in place of the ratio of sizes)."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        sizes = [_whole(s) for s in _each("output size", size, shape)]
        if recompute:
            raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
        return sizes, [None] * len(sizes)
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    factors = [_factor(f) for f in _each("scale_factor", scale_factor, shape)]
    sizes = [int(n * f) for n, f in zip(shape[2:], factors, strict=True)]
    return sizes, [None] * len(sizes) if recompute else list(factors)


def _check_mode(ndim: int, mode: str, align_corners: Any, antialias: bool) -> None:
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a"
            " 4-D tensor as input"
        )
    wanted = _SMOOTH.get(mode, ndim if mode in ("nearest", "nearest-exact", "area") else -1)
    if wanted in (3, 4, 5) and ndim == wanted:
        if mode == "lanczos" and align_corners:
            raise ValueError("Lanczos mode does not support align_corners=True")
        if mode == "lanczos" and not antialias:
            raise ValueError("Lanczos mode requires antialias=True")
        return
    if ndim in (3, 4, 5) and mode in ("linear", "bilinear", "trilinear"):
        raise NotImplementedError(f"Got {ndim}D input, but {mode} mode needs {wanted}D input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {ndim}D) for the modes:"
        " nearest | linear | bilinear | bicubic | trilinear | lanczos | area | nearest-exact"
        f" (got {mode})"
    )


def _check_sizes(shape: tuple[int, ...], sizes: list[int]) -> None:
    if min(shape[2:]) <= 0 or min(sizes) <= 0:
        raise RuntimeError(
            "Input and output sizes should be greater than 0, but got input"
            f" {list(shape[2:])} and output {sizes}"
        )
    if shape[1] == 0:
        raise RuntimeError(
            f"Non-empty {len(shape)}D data tensor expected but got a tensor with sizes"
            f" {list(shape)}"
        )


def _check_dtype(dtype: Any, mode: str) -> None:
    bytes_too = mode in ("nearest", "nearest-exact", "bilinear", "bicubic", "lanczos")
    if dtype.kind in "ibc" or (dtype.kind == "u" and not bytes_too):
        raise NotImplementedError(
            f"\"interpolate ({mode})\" not implemented for '{dtype_title(dtype)}'"
        )


# ------------------------------------------------------------------------------ public
@export("nn.functional.interpolate")
def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Resize the spatial dimensions of (N, C, *) to `size`, or by `scale_factor`.

    With s = size_in/size_out (or 1/scale_factor), output i is read from the place

        ⌊i s⌋  nearest      ⌊(i + ½) s⌋  nearest-exact      (i + ½) s − ½  linear, cubic
        i (size_in − 1)/(size_out − 1)  linear and cubic with align_corners

    between its 2 (linear: 3-D, bilinear: 4-D, trilinear: 5-D) or 4 (bicubic: 4-D; Keys 1981 with
    slope −3/4) neighbours; "area" takes means over equal shares. antialias (4-D; "lanczos" needs
    it) widens the filter when shrinking. uint8 is computed in fixed point.

    x̄ = Mᵀ ȳ along each dimension. ValueError for contradicting options, NotImplementedError for
    a mode that does not fit the input's dimensions or dtype, RuntimeError for an empty result.
    """
    x = input._data
    way, maps = _plan(
        x.shape, x.dtype.kind, size, scale_factor, mode, align_corners, recompute_scale_factor,
        antialias,
    )  # fmt: skip
    _check_dtype(x.dtype, mode)
    if way == "area":
        return _AREA[x.ndim](input, list(maps))
    if way == "bytes":
        for axis, how in maps:
            input = resample_bytes(input, axis=axis, how=how)
        return input
    if not maps:
        return input.clone()
    return (copy_nearest if way == "nearest" else resample)(input, maps=maps)


@planned
def _plan(
    shape: tuple[int, ...], dtype_kind: str, size: Any, scale_factor: Any, mode: str,
    align_corners: Any, recompute: Any, antialias: bool,
) -> tuple[str, tuple[Any, ...]]:  # fmt: skip
    """("area", sizes), ("nearest" or "smooth", a map of each dimension: none to stay as it is) or
    ("bytes", an axis and its map for each pass).
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear |"
            " bicubic | trilinear"
        )
    recompute = bool(recompute) or (mode == "area" and size is None)
    sizes, factors = _targets(shape, size, scale_factor, recompute)
    _check_mode(len(shape), mode, align_corners, antialias)
    if mode == "area":
        return mode, tuple(sizes)
    _check_sizes(shape, sizes)
    if mode in _SMOOTH:
        return _smooth(shape, dtype_kind, mode, sizes, factors, bool(align_corners), antialias)
    if mode == "nearest" and len(sizes) == 2:
        # in 2 dimensions PyTorch keeps and doubles a size exactly, whatever the given factor
        pairs = zip(shape[2:], sizes, factors, strict=True)
        factors = [None if out in (n, 2 * n) else factor for n, out, factor in pairs]
    maps = dict(_maps(shape, mode, sizes, factors, False))
    return "nearest", tuple([maps[axis] for axis in sorted(maps)])


def _smooth(
    shape: tuple[int, ...], dtype_kind: str, mode: str, sizes: list[int], factors: list[Any],
    align: bool, antialias: bool,
) -> tuple[str, tuple[Any, ...]]:  # fmt: skip
    kind = "cubic" if mode == "bicubic" else "linear"
    if antialias:
        kind = {"bilinear": "triangle", "bicubic": "keys", "lanczos": "lanczos"}[mode]
    maps = _maps(shape, kind, sizes, factors, align)
    byte = dtype_kind == "u"
    if kind != "cubic" or byte:
        maps = [(axis, how) for axis, how in maps if how.size != how.out]
    if byte and maps:  # the last one first: every pass rounds, so the order is part of the result
        return "bytes", tuple(sorted(maps, reverse=True))
    chosen = dict(maps)
    return "smooth", tuple([chosen.get(axis) for axis in range(2, len(shape))]) if maps else ()


def _maps(
    shape: tuple[int, ...], mode: str, sizes: list[int], factors: list[Any], align: bool
) -> list[tuple[int, Resize]]:
    """Which dimension is resized how: those that shrink most first, which makes the least work."""
    pairs = [
        (axis, Resize(mode, n, out, factor, align))
        for axis, (n, out, factor) in enumerate(zip(shape[2:], sizes, factors, strict=True), 2)
    ]
    return sorted(pairs, key=lambda pair: pair[1].out / pair[1].size)


@export("nn.functional.upsample")
def upsample(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Any:
    """The former name of interpolate."""
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@export("nn.functional.upsample_nearest")
def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """The former name of interpolate(mode="nearest")."""
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


@export("nn.functional.upsample_bilinear")
def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """The former name of interpolate(mode="bilinear", align_corners=True)."""
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


def _deprecated(name: str) -> None:
    warnings.warn(
        f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.",
        stacklevel=3,
    )
