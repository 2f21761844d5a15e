"""Normalisation: layer, RMS, batch, group, instance, local response.

Each fused op has a NumPy rule that reuses the statistics of the forward pass, and beside it the composition of
differentiable ops that says the same and serves higher derivatives.

With x̂ = (x − μ)·r, r = (σ² + ε)^−½ and h = ȳ·w, all of them share

    x̄ = r·(h − mean(h) − x̂·mean(h·x̂))      w̄ = Σ ȳ·x̂      b̄ = Σ ȳ
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.primitive import primitive, write_out
from ..export import export
from .elementwise import clamp_min, pow, rsqrt, square
from .reduction import mean, vector_norm
from .shape import narrow, reshape


def _sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    lead = x.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and x.shape[i + lead] != 1)
    return x.sum(axis=axes, keepdims=True).reshape(shape)


# ------------------------------------------------------------------------------ over given axes
def _standardise(x: Any, weight: Any, bias: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """(x − mean)·(var + ε)^−½·w + b over the axes, from differentiable parts."""
    centred = x - mean(x, axes, keepdim=True)
    y = centred * rsqrt(mean(square(centred), axes, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@primitive(residuals=("normed", "rstd"), composition=_standardise)
def standardise(x: Any, weight: Any, bias: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b with mean and variance taken over the axes of every sample."""
    mu = np.mean(x, axis=axes, keepdims=True)
    normed = x - mu
    rstd = 1 / np.sqrt(np.mean(normed * normed, axis=axes, keepdims=True) + x.dtype.type(eps))
    normed *= rstd
    y = normed if weight is None else normed * weight
    if bias is not None:
        y = y + bias
    return (y.copy() if y is normed else y), normed, rstd


def _standardise_vjp(g: Any, normed: Any, rstd: Any, weight: Any, axes: Any, needs: Any) -> Any:
    dx = dw = db = None
    if needs[0]:
        h = g if weight is None else g * weight
        dx = h - np.mean(h, axis=axes, keepdims=True)
        dx -= normed * np.mean(h * normed, axis=axes, keepdims=True)
        dx *= rstd
    if needs[1]:
        dw = _sum_to(g * normed, weight.shape)
    if needs[2]:
        db = g
    return dx, dw, db


standardise.joint(_standardise_vjp)


@export("nn.functional.layer_norm", "layer_norm")
def layer_norm(
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    r"""Each sample's last dimensions to mean 0 and variance 1, then y = x̂ w + b (Ba et al. 2016, eq. 4).

    normalized_shape must be the end of the input's shape, weight and bias have that shape; else RuntimeError.
    """
    shape = _last_dimensions("layer_norm", input, normalized_shape, weight, bias)
    return standardise(input, weight, bias, axes=tuple(range(-len(shape), 0)), eps=eps)


def _last_dimensions(name: str, input: Any, normalized_shape: Any, weight: Any, bias: Any) -> tuple[int, ...]:
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple([int(n) for n in normalized_shape])
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got "
            "normalized_shape = []"
        )
    for what, p in (("weight", weight), ("bias", bias)):
        if p is not None and p._data.shape != shape:
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                f"{list(p._data.shape)} and normalized_shape = {list(shape)}"
            )
    if input._data.shape[input._data.ndim - len(shape) :] != shape or input._data.ndim < len(shape):
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}], but "
            f"got input of size{list(input._data.shape)}"
        )
    return shape


def _rms(x: Any, weight: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    y = x * rsqrt(mean(square(x), axes, keepdim=True) + eps)
    return y if weight is None else y * weight


@primitive(residuals=("rstd",), composition=_rms)
def root_mean_square(x: Any, weight: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """y = x·r·w, r = (mean x² + ε)^−½."""
    rstd = 1 / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + x.dtype.type(eps))
    y = x * rstd
    return (y if weight is None else y * weight), rstd


def _rms_vjp(g: Any, x: Any, rstd: Any, weight: Any, axes: Any, needs: Any) -> Any:
    dx = dw = None
    normed = x * rstd
    if needs[0]:
        h = g if weight is None else g * weight
        dx = (h - normed * np.mean(h * normed, axis=axes, keepdims=True)) * rstd
    if needs[1]:
        dw = _sum_to(g * normed, weight.shape)
    return dx, dw


root_mean_square.joint(_rms_vjp)


@export("nn.functional.rms_norm", "rms_norm")
def rms_norm(input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None) -> Any:
    r"""y = x / √(mean x² + ε) · w over the last dimensions (Zhang and Sennrich 2019, eq. 4).

    eps None: the machine epsilon of the dtype. RuntimeError if the shapes do not fit.
    """
    shape = _last_dimensions("rms_norm", input, normalized_shape, weight, None)
    if eps is None:
        dtype = input._data.dtype
        eps = float(np.finfo(dtype if dtype.kind == "f" and dtype.itemsize > 2 else np.float32).eps)
    return root_mean_square(input, weight, axes=tuple(range(-len(shape), 0)), eps=eps)


@export("nn.functional.group_norm", "group_norm")
def group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    r"""Channels in groups, each group of each sample to mean 0 and variance 1 (Wu and He 2018).

    input (N, C, *), weight and bias (C). RuntimeError if C is not divisible by num_groups.
    """
    x = input._data
    if x.ndim < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {x.ndim}")
    n, c = x.shape[:2]
    if num_groups <= 0 or c % num_groups:
        raise RuntimeError(
            f"Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(x.shape)} and num_groups={num_groups}"
        )
    _check_channels("group_norm", c, weight=weight, bias=bias)
    grouped = reshape(input, (n, num_groups, c // num_groups, *x.shape[2:]))
    per_channel = (num_groups, c // num_groups, *[1] * (x.ndim - 2))
    weight = None if weight is None else reshape(weight, per_channel)
    bias = None if bias is None else reshape(bias, per_channel)
    y = standardise(grouped, weight, bias, axes=tuple(range(2, x.ndim + 1)), eps=eps)
    return reshape(y, x.shape)


def _check_channels(name: str, channels: int, **per_channel: Any) -> None:
    for what, p in per_channel.items():
        if p is not None and p._data.shape != (channels,):
            raise RuntimeError(
                f"{name}: expected {what} to be a vector of size equal to the number of channels in input, but got "
                f"{what} of shape {list(p._data.shape)} and {channels} channels"
            )


# ------------------------------------------------------------------------------ over the batch
def _affine_channels(y: Any, weight: Any, bias: Any, ndim: int) -> Any:
    shape = (-1, *[1] * (ndim - 2))
    y = y if weight is None else y * reshape(weight, shape)
    return y if bias is None else y + reshape(bias, shape)


@export("nn.functional.batch_norm", "batch_norm")
def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    r"""Each channel to mean 0 and variance 1 over batch and space (Ioffe and Szegedy 2015, algorithm 1).

    In training with the batch's own statistics, of which running_mean and running_var become moving averages (the
    variance unbiased); otherwise with the running ones. input (N, C, *).
    """
    x = input._data
    if x.ndim < 2:
        raise RuntimeError(f"batch_norm: expected at least 2 dimensions, got {x.ndim}")
    channels = x.shape[1]
    _check_channels(
        "batch_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    axes = (0, *range(2, x.ndim))
    count = math.prod([x.shape[a] for a in axes])
    if training and count <= 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(x.shape)}")
    shape = (-1, *[1] * (x.ndim - 2))
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when training=False")
        scale = rsqrt(running_var + eps)
        y = (input - reshape(running_mean, shape)) * reshape(scale, shape)
        return _affine_channels(y, weight, bias, x.ndim)
    if running_mean is not None or running_var is not None:
        _move_averages(x, running_mean, running_var, axes, count, momentum)
    weight = None if weight is None else reshape(weight, shape)
    bias = None if bias is None else reshape(bias, shape)
    return standardise(input, weight, bias, axes=axes, eps=eps)


def _move_averages(x: Any, running_mean: Any, running_var: Any, axes: Any, count: int, momentum: float) -> None:
    """running ← (1 − momentum)·running + momentum·batch, outside the graph."""
    x = x.astype(np.float64)
    for running, batch in (
        (running_mean, lambda: np.mean(x, axis=axes)),
        (running_var, lambda: np.var(x, axis=axes) * (count / (count - 1))),
    ):
        if running is not None:
            running._data[...] = (1 - momentum) * running._data + momentum * batch()
            running._bump()


@export("nn.functional.instance_norm", "instance_norm")
def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    r"""Each channel of each sample to mean 0 and variance 1 over space (Ulyanov et al. 2016). input (N, C, *)."""
    x = input._data
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if x.ndim < 3:
        raise RuntimeError(f"instance_norm: expected at least 3 dimensions, got {x.ndim}")
    channels, count = x.shape[1], math.prod(x.shape[2:])
    if count == 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {from_size(x.shape)}"
        )
    _check_channels(
        "instance_norm", channels, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    axes = tuple(range(2, x.ndim))
    if running_mean is not None or running_var is not None:
        wide = x.astype(np.float64)
        for running, batch in (
            (running_mean, wide.mean(axis=axes).mean(axis=0)),
            (running_var, (wide.var(axis=axes) * (count / (count - 1))).mean(axis=0)),
        ):
            if running is not None:
                running._data[...] = (1 - momentum) * running._data + momentum * batch
                running._bump()
    shape = (-1, *[1] * (x.ndim - 2))
    weight = None if weight is None else reshape(weight, shape)
    bias = None if bias is None else reshape(bias, shape)
    return standardise(input, weight, bias, axes=axes, eps=eps)


def from_size(shape: tuple[int, ...]) -> str:
    return f"minigrad.Size({list(shape)})"


# ------------------------------------------------------------------------------ others
@export("nn.functional.local_response_norm")
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """y = x / (k + α/n Σ x² over n neighbouring channels)^β (Krizhevsky et al. 2012, section 3.3)."""
    x = input._data
    if x.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {x.ndim} dimensions)")
    if x.size == 0:
        return input
    channels = x.shape[1]
    squares = square(input)
    # a window of channels as a difference of shifted sums would cancel: add the `size` shifted copies instead
    total = None
    for offset in range(-(size // 2), (size - 1) // 2 + 1):
        low, high = max(0, -offset), min(channels, channels - offset)
        if high <= low:
            continue
        part = pad_channels(narrow(squares, 1, low + offset, high - low), low, channels - high)
        total = part if total is None else total + part
    return input / pow(total * (alpha / size) + k, beta)


def pad_channels(x: Any, before: int, after: int) -> Any:
    """x with zero channels before and after."""
    return shifted_channels(x, before=before, after=after) if before or after else x


@primitive
def shifted_channels(x: Any, *, before: int, after: int) -> Any:
    """Zeros put around dimension 1;  x̄ = that part of ȳ."""
    return np.pad(x, [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))


shifted_channels.vjp(x=lambda g, before, x_shape: narrow(g, 1, before, x_shape[1]))


@export("nn.functional.normalize")
def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """x / max(‖x‖_p, ε) along `dim`."""
    y = input / clamp_min(vector_norm(input, p, dim, keepdim=True), eps)
    if out is None:
        return y
    return write_out(y, out)


