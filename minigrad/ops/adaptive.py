"""Pooling to a wanted size: adaptive and fractional windows; and max pooling undone.

Here windows differ in size or place, so the place of each maximum is found first, and `take_flat`
picks it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.random import default_generator
from ..core.chores import alias
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from ..kernels.cpu import pooling as kernels
from .arguments import dtype_title
from .beside import beside
from .columns import each_dim
from .max_pool import unbatched
from .mean_pool import sum_windows
from .plans import planned
from .shape import squeeze, unsqueeze
from .taps import Maps, Resize, apply_all, resample_vjp

Ints = int | Sequence[int]


# ------------------------------------------------------------------------------ adaptive
@primitive
def share_means(x: Any, *, maps: Maps) -> Any:
    """Means over windows ⌊i n/o⌋ .. ⌈(i+1) n/o⌉ of the last dimensions;  x̄ = Mᵀ ȳ."""
    return apply_all(x, maps)


share_means.vjp(x=lambda g, x, maps: beside(resample_vjp(g, maps=maps), x))


def _bounds(n: int, o: int) -> tuple[tuple[int, int], ...]:
    return tuple([(i * n // o, -((-(i + 1) * n) // o)) for i in range(o)])


def _equal_shares(spatial: Any, sizes: Any) -> tuple[int, ...] | None:
    """The window of each dimension, where all windows are equal and do not overlap."""
    if any(o == 0 or m % o for m, o in zip(spatial, sizes, strict=True)):
        return None
    return tuple([m // o for m, o in zip(spatial, sizes, strict=True)])


def _adaptive(name: str, n: int, shape: tuple[int, ...], output_size: Any) -> tuple[int, ...]:
    ndim = len(shape)
    if n > 1 and ndim <= n and not isinstance(output_size, int):
        raise ValueError(f"Input dimension should be at least {n + 1}")
    if ndim not in (n + 1, n + 2):
        raise RuntimeError(f"{name}: Expected {n + 1}D or {n + 2}D tensor, but got {list(shape)}")
    if 0 in shape[ndim - n - (1 if name.startswith("adaptive_max") else 0) :]:
        raise RuntimeError(
            f"{name}: Expected input to have non-zero size for non-batch dimensions, but input has"
            f" sizes {list(shape)}"
        )
    if output_size is None or isinstance(output_size, int):
        sizes = (output_size,) * n
    else:
        sizes = tuple(output_size)
        if len(sizes) != n:
            raise RuntimeError(f"{name}: output_size must be {n}")
    chosen = tuple([shape[ndim - n + i] if s is None else int(s) for i, s in enumerate(sizes)])
    if any(s < 0 for s in chosen):
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received"
            f" {chosen}"
        )
    return chosen


def _adaptive_avg(n: int, input: Any, output_size: Any) -> Any:
    x = input._data
    sizes, shares, maps = _means(n, x.shape, output_size)
    if x.dtype.kind in "iub":
        title = dtype_title(x.dtype)
        if math.prod(sizes) == 1:  # PyTorch takes the mean
            raise RuntimeError(f"mean(): could not infer output dtype. Got: {title}")
        raise NotImplementedError(f'"adaptive_avg_pool{n}d" not implemented for {title!r}')
    if shares is not None and x.size:
        batch = unsqueeze(input, 0) if x.ndim == n + 1 else input
        y = sum_windows(
            batch,
            kernel=shares,
            out=sizes,
            stride=shares,
            padding=(0,) * n,
            divisor=float(math.prod(shares)),
        )
        return squeeze(y, 0) if x.ndim == n + 1 else y
    return share_means(input, maps=maps)


@planned
def _means(n: int, shape: tuple[int, ...], output_size: Any) -> tuple[Any, Any, Maps]:
    """(sizes, equal shares if that is what they are, a map of each dimension)."""
    sizes = _adaptive(f"adaptive_avg_pool{n}d", n, shape, output_size)
    spatial = shape[len(shape) - n :]
    maps = tuple([Resize("area", m, o) for m, o in zip(spatial, sizes, strict=True)])
    return sizes, _equal_shares(spatial, sizes), maps


@export("nn.functional.adaptive_avg_pool1d", "adaptive_avg_pool1d")
def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """Means over output_size windows of equal share: (N, C, L) to (N, C, output_size)."""
    return _adaptive_avg(1, input, output_size)


@export("nn.functional.adaptive_avg_pool2d")
def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """Means over windows of equal share: (N, C, H, W) to (N, C, *output_size); None keeps a
    size.
    """
    return _adaptive_avg(2, input, output_size)


@export("nn.functional.adaptive_avg_pool3d")
def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """Means over windows of equal share: (N, C, D, H, W) to (N, C, *output_size); None keeps a
    size.
    """
    return _adaptive_avg(3, input, output_size)


@primitive(half="keep")
def take_flat(x: Any, *, index: Any) -> Any:
    """x (N, C, *) at flat spatial positions `index` (N, C, *out);  x̄ = put_flat(ȳ)."""
    found = kernels.values_at(x, index)
    if found is not None:
        return found
    lead = x.shape[:2]  # sizes are written out: -1 is ambiguous where a dimension is 0
    flat = x.reshape(*lead, math.prod(x.shape[2:]))
    places = index.reshape(*lead, math.prod(index.shape[2:]))
    return np.take_along_axis(flat, places, axis=2).reshape(index.shape)


@primitive
def put_flat(g: Any, *, index: Any, size: Any) -> Any:
    """Adds g into zeros (N, C, *size) at flat positions: the adjoint of take_flat."""
    n, c = g.shape[:2]
    m = math.prod(size)
    found = kernels.add_at(g, index, (n, c, *size))
    if found is not None:
        return found
    base = (np.arange(n * c) * m).reshape(n, c, 1)
    places = (index.reshape(n, c, math.prod(index.shape[2:])) + base).reshape(-1)
    total = np.bincount(places, weights=g.reshape(-1).astype(np.float64), minlength=n * c * m)
    return total.astype(g.dtype).reshape(n, c, *size)


take_flat.vjp(x=lambda g, x, index: beside(put_flat(g, index=index, size=x.shape[2:]), x))
put_flat.vjp(g=lambda x, index: take_flat(x, index=index))


def _windows_argmax(x: Any, bounds: list[list[tuple[int, int]]]) -> Any:
    """Flat position of the largest element of every box made of one interval per dimension."""
    found = kernels.windows_argmax(x, bounds)
    if found is not None:
        return found
    size = x.shape[2:]
    xp = array_module(x)
    index = xp.empty((*x.shape[:2], *[len(b) for b in bounds]), np.int64)
    for place in np.ndindex(*[len(b) for b in bounds]):
        box = [bounds[i][j] for i, j in enumerate(place)]
        part = x[(slice(None), slice(None), *[slice(a, b) for a, b in box])]
        inside = np.unravel_index(part.reshape(*x.shape[:2], -1).argmax(-1), part.shape[2:])
        flat = xp.zeros(x.shape[:2], np.int64)
        for i, (a, _) in enumerate(box):
            flat = flat * size[i] + inside[i] + a
        index[(slice(None), slice(None), *place)] = flat
    return index


def _adaptive_max(n: int, input: Any, output_size: Any, return_indices: bool) -> Any:
    x = input._data
    bounds = _boxes(n, x.shape, output_size)
    if x.dtype.kind in "iub":
        title = dtype_title(x.dtype)
        raise NotImplementedError(f'"adaptive_max_pool{n}d" not implemented for {title!r}')
    single = x.ndim == n + 1
    batch = unsqueeze(input, 0) if single else input
    index = _windows_argmax(batch._data, bounds)
    y = take_flat(batch, index=index)
    if single:
        y = unbatched(y, n)
    elif n == 1:
        y = alias(y)  # PyTorch's is a view, of its two-dimensional result
    if not return_indices:
        return y
    return y, wrap((index[0] if single else index).copy())  # the node's own may not be changed


@planned
def _boxes(n: int, shape: tuple[int, ...], output_size: Any) -> tuple[Any, ...]:
    """The first and the last element of every share of each dimension."""
    sizes = _adaptive(f"adaptive_max_pool{n}d", n, shape, output_size)
    spatial = shape[len(shape) - n :]
    return tuple([_bounds(m, o) for m, o in zip(spatial, sizes, strict=True)])


@export("nn.functional.adaptive_max_pool1d")
def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over output_size windows of equal share of (N, C, L)."""
    return _adaptive_max(1, input, output_size, return_indices)


@export("nn.functional.adaptive_max_pool2d")
def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows of equal share of (N, C, H, W); None keeps a size."""
    return _adaptive_max(2, input, output_size, return_indices)


@export("nn.functional.adaptive_max_pool3d")
def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows of equal share of (N, C, D, H, W); None keeps a size."""
    return _adaptive_max(3, input, output_size, return_indices)


# ------------------------------------------------------------------------------ fractional
def _fractional(
    n: int,
    input: Any,
    kernel_size: Any,
    output_size: Any,
    output_ratio: Any,
    samples: Any,
    return_indices: bool,
) -> Any:
    x = input._data
    kernel = each_dim(kernel_size, n, "kernel_size")
    if output_size is None and output_ratio is None:
        raise ValueError(
            f"fractional_max_pool{n}d requires specifying either an output_size or an output_ratio"
        )
    if x.ndim not in (n + 1, n + 2) or 0 in x.shape[x.ndim - n - 1 :]:
        raise RuntimeError(
            f"fractional_max_pool{n}d(): Expected input to have non-zero size for non-batch"
            f" dimensions, got {list(x.shape)}"
        )
    spatial = x.shape[x.ndim - n :]
    if output_size is None:
        ratio = (output_ratio,) * n if isinstance(output_ratio, float) else tuple(output_ratio)
        output_size = [int(m * r) for m, r in zip(spatial, ratio, strict=True)]
    out = each_dim(output_size, n, "output_size")
    for m, k, o in zip(spatial, kernel, out, strict=True):
        if o + k - 1 > m or k <= 0 or o <= 0:
            raise RuntimeError(
                f"fractional_max_pool{n}d(): pool size ({k}) too large relative to input size ({m})"
            )
    single = x.ndim == n + 1
    batch = unsqueeze(input, 0) if single else input
    b, c = batch._data.shape[:2]
    if samples is None:
        samples = default_generator.numpy.random((b, c, n)).astype(x.dtype)
    else:
        samples = samples._data if isinstance(samples, Tensor) else samples
        if samples.shape != (b, c, n):
            raise RuntimeError(
                f"fractional_max_pool{n}d: expect _random_samples of shape {(b, c, n)}"
            )
    index = np.empty((b, c, *out), np.int64)
    for i, j in np.ndindex(b, c):  # every channel has its own random windows
        # PyTorch's samples come as (width, height) in 2 dimensions and as (depth, height, width) in
        # 3
        u = samples[i, j, ::-1] if n == 2 else samples[i, j]
        starts = [_fractional_starts(float(u[d]), spatial[d], out[d], kernel[d]) for d in range(n)]
        bounds = [[(s, s + k) for s in dim] for dim, k in zip(starts, kernel, strict=True)]
        index[i, j] = _windows_argmax(batch._data[i : i + 1, j : j + 1], bounds)[0, 0]
    y = take_flat(batch, index=index)
    y = unbatched(y, n) if single else y
    if not return_indices:
        return y
    return y, wrap((index[0] if single else index).copy())  # the node's own may not be changed


def _fractional_starts(u: float, n: int, out: int, kernel: int) -> list[int]:
    """Pseudo-random starts ⌊α(i + u)⌋ − ⌊αu⌋ (Graham 2014, section 2); the last window ends at the
    edge.
    """
    if out == 1:
        return [n - kernel]
    alpha = (n - kernel) / (out - 1)
    return [int((i + u) * alpha) - int(u * alpha) for i in range(out - 1)] + [n - kernel]


@export("nn.functional.fractional_max_pool2d")
def fractional_max_pool2d(
    input: Any,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Maxima over randomly placed windows, shrinking by any factor (Graham 2014). (N, C, H, W)."""
    return _fractional(
        2, input, kernel_size, output_size, output_ratio, _random_samples, return_indices
    )


@export("nn.functional.fractional_max_pool3d")
def fractional_max_pool3d(
    input: Any,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Maxima over randomly placed windows, shrinking by any factor (Graham 2014). (N, C, D,
    H, W).
    """
    return _fractional(
        3, input, kernel_size, output_size, output_ratio, _random_samples, return_indices
    )


# ------------------------------------------------------------------------------ undoing max pooling
def _unpool(
    n: int, input: Any, indices: Any, kernel_size: Any, stride: Any, padding: Any, output_size: Any
) -> Any:
    x, index = input._data, indices._data
    if index.dtype != np.int64:
        raise RuntimeError(
            "elements in indices should be type int64 but got: " + indices.dtype.name
        )
    if index.shape != x.shape:
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(x.shape)})"
            f" but got indices tensor with shape: {list(index.shape)}"
        )
    if x.ndim not in (n + 1, n + 2):
        raise RuntimeError(
            f"Input to max_unpool{n}d should be a {n + 1}D or {n + 2}D Tensor, got {list(x.shape)}"
        )
    kernel = each_dim(kernel_size, n, "kernel_size")
    stride = kernel if stride is None else each_dim(stride, n, "stride")
    padding = each_dim(padding, n, "padding")
    size = x.shape[x.ndim - n :]
    default = [
        (m - 1) * s + k - 2 * p for m, s, k, p in zip(size, stride, kernel, padding, strict=True)
    ]
    if output_size is None:
        out = tuple(default)
    else:
        out = tuple(output_size)[2 if len(output_size) == n + 2 else 0 :]
        if len(out) != n:
            raise ValueError(
                f"output_size should be a sequence containing {n} or {n + 2} elements, but it has a"
                f" length of '{len(output_size)}'"
            )
        for o, d, s in zip(out, default, stride, strict=True):
            if not d - s < o < d + s:
                raise ValueError(
                    f"invalid output_size {out} (dims must be between {d - s} and {d + s})"
                )
    total = math.prod(out)
    if index.size and (index.min() < 0 or index.max() >= total):
        bad = index[(index < 0) | (index >= total)][0]
        raise RuntimeError(
            f"Found an invalid max index: {bad} (output volumes are of size"
            f" {'x'.join(map(str, out))})"
        )
    single = x.ndim == n + 1
    batch = unsqueeze(input, 0) if single else input
    index = (index[None] if single else index).copy()  # the node's own
    y = set_flat(batch, index=index, size=out)
    return unbatched(y, n) if single else y


@primitive(half="keep")
def set_flat(x: Any, *, index: Any, size: Any) -> Any:
    """Zeros (N, C, *size) with x written at flat positions (the last of equals stays);  x̄ = ȳ
    there.
    """
    n, c = x.shape[:2]
    xp = array_module(x)
    y, count = xp.zeros((n, c, math.prod(size)), x.dtype), math.prod(x.shape[2:])
    xp.put_along_axis(y, index.reshape(n, c, count), x.reshape(n, c, count), axis=2)
    return y.reshape(n, c, *size)


set_flat.vjp(x=lambda g, index: take_flat(g, index=index))


@export("nn.functional.max_unpool1d")
def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Any:
    """Zeros, with the pooled values put back where max_pool1d found them."""
    return _unpool(1, input, indices, kernel_size, stride, padding, output_size)


@export("nn.functional.max_unpool2d")
def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Any:
    """Zeros, with the pooled values put back where max_pool2d found them (Zeiler and Fergus
    2013).
    """
    return _unpool(2, input, indices, kernel_size, stride, padding, output_size)


@export("nn.functional.max_unpool3d")
def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Ints,
    stride: Any = None,
    padding: Ints = 0,
    output_size: Any = None,
) -> Any:
    """Zeros, with the pooled values put back where max_pool3d found them."""
    return _unpool(3, input, indices, kernel_size, stride, padding, output_size)
