"""Normalisation: layer, RMS, batch, group, instance, local response.

Each fused op has a NumPy rule that reuses the statistics of the forward pass, and beside it the
composition of differentiable ops that says the same and serves higher derivatives.

With x̂ = (x − μ)·r, r = (σ² + ε)^−½ and h = ȳ·w, all of them share

    x̄ = r·(h − mean(h) − x̂·mean(h·x̂))      w̄ = Σ ȳ·x̂      b̄ = Σ ȳ
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.dtypes import F32, F64, HALF
from ..core.chores import sum_to_size
from ..core.primitive import primitive
from ..core.recording import widen
from ..core.tensor import Tensor, normalize_dim
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import norms
from .elementwise import add, clamp_min, pow, rsqrt, square
from .piecewise import finish, refuse
from .reduction import mean, vector_norm
from .shape import reshape
from .slices import narrow, put_range
from .sums import reduced
from .views import clone


# ------------------------------------------------------------------------------ over given axes
def _standardise(x: Any, weight: Any, bias: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """(x − mean)·(var + ε)^−½·w + b over the axes, from differentiable parts."""
    centred = x - mean(x, axes, keepdim=True)
    y = centred * rsqrt(mean(square(centred), axes, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _by_axes(x: Any, weight: Any, bias: Any, axes: tuple[int, ...], eps: float) -> Any:
    """(y, x̂, rstd) by NumPy."""
    n = x.dtype.type(math.prod([x.shape[a] for a in axes]))
    normed = x - reduced(np.add, x, axes, True) / n
    rstd = 1 / np.sqrt(reduced(np.add, normed * normed, axes, True) / n + x.dtype.type(eps))
    normed *= rstd
    if weight is None and bias is None:
        return normed.copy(), normed, rstd  # the result may be changed in place
    y = normed if weight is None else normed * weight
    return (y if bias is None else y + bias), normed, rstd


def _by_axes_vjp(
    g: Any, normed: Any, rstd: Any, weight: Any, axes: Any, needs: Any
) -> tuple[Any, Any, Any]:
    x_bar = weight_bar = None
    if needs[0]:
        h = g if weight is None else g * weight
        n = g.dtype.type(math.prod([g.shape[a] for a in axes]))
        x_bar = h - reduced(np.add, h, axes, True) / n
        x_bar -= normed * (reduced(np.add, h * normed, axes, True) / n)
        x_bar *= rstd
    if needs[1]:
        weight_bar = sum_to_size(g * normed, size=weight.shape)
    return x_bar, weight_bar, g if needs[2] else None


@primitive(residuals=("normed", "centre", "rstd"), half="device", composition=_standardise)
def standardise(x: Any, weight: Any, bias: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """y = x̂ w + b with mean and variance taken over the last dimensions (negative axes) of every
    sample; weight and bias vary along them.
    """
    found = None
    if type(x) is not np.ndarray:
        found = cuda.launch.norm(x, weight, bias, axes, eps)
    elif x.size >= norms.SHORT:
        found = norms.rows(x, weight, bias, axes, eps, True)
    if found is not None:
        return found[0], None, *found[1:]
    dtype, (x, weight, bias) = x.dtype, widen((x, weight, bias))
    y, normed, rstd = _by_axes(x, weight, bias, axes, eps)
    return y.astype(dtype, copy=False), normed, None, rstd


def _standardise_vjp(
    g: Any, x: Any, normed: Any, centre: Any, rstd: Any, weight: Any, axes: Any, needs: Any
) -> tuple[Any, Any, Any]:
    if normed is None:
        if type(x) is not np.ndarray:
            return cuda.launch.norm_backward(g, x, weight, centre, rstd, needs)
        return norms.rows_backward(g, x, weight, centre, rstd, True)
    return _by_axes_vjp(*widen((g, normed, rstd, weight)), axes, needs)


standardise.joint(_standardise_vjp)
standardise.primitive.node_class.__name__ = "NativeLayerNormBackward0"


def _floating(name: str, input: Any) -> Any:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    refuse(name, input._data, "biu")
    return input._data


def _added(x: Any, branch: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """`add_norm` from differentiable parts."""
    total = add(x, branch)
    return total, standardise(total, weight, bias, axes=_LAST, eps=eps)


@primitive(residuals=("centre", "rstd"), half="device", composition=_added)
def add_norm(x: Any, branch: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """(s, layer norm of s), s = x + z, in one launch on a GPU; x̄ = z̄ = s̄ + what the norm gives."""
    y, centre, rstd, total = cuda.launch.norm(x, weight, bias, _LAST, eps, more=branch)
    return (total, y), centre, rstd


def _add_norm_vjp(
    g: Any, y: Any, centre: Any, rstd: Any, weight: Any, needs: Any
) -> tuple[Any, Any, Any, Any]:
    g_total, g_normed = g
    if g_normed is None:
        return g_total, g_total, None, None
    wanted = (needs[0] or needs[1], *needs[2:])
    found = cuda.launch.norm_backward(g_normed, y[0], weight, centre, rstd, wanted, more=g_total)
    return found[0], *found


add_norm.joint(_add_norm_vjp)


def add_layer_norm(x: Any, branch: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any]:
    """x + branch of a residual network, and its layer norm over the last dimension."""
    given = x._data, branch._data, weight._data, bias._data
    if all([type(v) is not np.ndarray for v in given]) and cuda.launch.fits(*given):
        return add_norm(x, branch, weight, bias, eps=eps)
    total = add(x, branch)
    return total, standardise(total, weight, bias, axes=_LAST, eps=eps)


_LAST = (-1,)


@export("nn.functional.layer_norm")
def layer_norm(
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """Each sample's last dimensions to mean 0 and variance 1, then y = x̂ w + b (Ba et al. 2016).

        x̄ = r (h − mean h − x̂ mean(h x̂)), h = ȳ w;  w̄ = Σ ȳ x̂,  b̄ = Σ ȳ

    normalized_shape is the end of the input's shape, weight and bias have it; else RuntimeError.
    """
    x = _floating("LayerNormKernelImpl", input)
    if type(normalized_shape) is tuple and len(normalized_shape) == 1:  # what layers ask for
        if (
            x.shape[-1:] == normalized_shape
            and (weight is None or weight._data.shape == normalized_shape)
            and (bias is None or bias._data.shape == normalized_shape)
        ):
            return standardise(input, weight, bias, axes=_LAST, eps=eps)
    shape = _last_dimensions(x.shape, normalized_shape, weight, bias)
    return standardise(input, weight, bias, axes=tuple(range(-len(shape), 0)), eps=eps)


def _last_dimensions(
    size: tuple[int, ...], normalized_shape: Any, weight: Any, bias: Any
) -> tuple[int, ...]:
    if isinstance(normalized_shape, int):
        shape: tuple[int, ...] = (normalized_shape,)
    else:
        shape = tuple([int(n) for n in normalized_shape])
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    for what, p in (("weight", weight), ("bias", bias)):
        if p is not None and p._data.shape != shape:
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
                f"{list(p._data.shape)} and normalized_shape = {list(shape)}"
            )
    if len(size) < len(shape) or size[len(size) - len(shape) :] != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(size)}"
        )
    return shape


def _rms(x: Any, weight: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """x·(mean x² + ε)^−½·w over the axes, from differentiable parts."""
    y = x * rsqrt(mean(square(x), axes, keepdim=True) + eps)
    return y if weight is None else y * weight


@primitive(residuals=("rstd", "fused"), half="device", composition=_rms)
def root_mean_square(x: Any, weight: Any, *, axes: tuple[int, ...], eps: float) -> Any:
    """y = x·r·w, r = (mean x² + ε)^−½. `fused` is not None if a kernel has computed it."""
    if type(x) is not np.ndarray:
        found = cuda.launch.norm(x, weight, None, axes, eps, rms=True)
        if found is not None:
            return found[0], found[2], True
    elif x.size >= norms.SHORT:
        found = norms.rows(x, weight, None, axes, eps, False)
        if found is not None:
            return found[0], found[2], found[1]
    dtype, (x, weight) = x.dtype, widen((x, weight))
    n = x.dtype.type(math.prod([x.shape[a] for a in axes]))
    rstd = 1 / np.sqrt(reduced(np.add, x * x, axes, True) / n + x.dtype.type(eps))
    y = x * rstd
    return (y if weight is None else y * weight).astype(dtype, copy=False), rstd, None


def _rms_vjp(
    g: Any, x: Any, rstd: Any, fused: Any, weight: Any, axes: Any, needs: Any
) -> tuple[Any, Any]:
    """With x̂ = x·r:  x̄ = r (h − x̂ mean(h x̂)), h = ȳ w;  w̄ = Σ ȳ x̂."""
    if fused is not None:  # on the CPU the means: zeros
        if type(x) is not np.ndarray:
            return cuda.launch.norm_backward(g, x, weight, None, rstd, needs, rms=True)[:2]
        return norms.rows_backward(g, x, weight, fused, rstd, False)[:2]
    x_bar = weight_bar = None
    g, x, weight = widen((g, x, weight))
    normed = x * rstd
    if needs[0]:
        h = g if weight is None else g * weight
        n = x.dtype.type(math.prod([x.shape[a] for a in axes]))
        x_bar = (h - normed * (reduced(np.add, h * normed, axes, True) / n)) * rstd
    if needs[1]:
        weight_bar = sum_to_size(g * normed, size=weight.shape)
    return x_bar, weight_bar


root_mean_square.joint(_rms_vjp)
root_mean_square.primitive.node_class.__name__ = "FusedRmsNormBackward0"


@export("nn.functional.rms_norm", "rms_norm")
def rms_norm(
    input: Any, normalized_shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    """y = x / √(mean x² + ε)·w over the last dimensions (Zhang and Sennrich 2019, eq. 4).

        x̄ = r (h − x̂ mean(h x̂)), h = ȳ w, x̂ = x r;  w̄ = Σ ȳ x̂

    eps None: the machine epsilon of the dtype. RuntimeError if the shapes do not fit.
    """
    x = _floating("rms_norm", input)
    shape = _last_dimensions(x.shape, normalized_shape, weight, None)
    if eps is None:  # half precision is computed in float32
        eps = float(np.finfo(F32 if x.dtype in HALF else x.dtype).eps)
    axes = tuple(range(-len(shape), 0))
    if x.dtype.kind == "c":  # the square is x·x, as PyTorch has it: no real root mean square
        return _rms(input, weight, axes=axes, eps=eps)
    return root_mean_square(input, weight, axes=axes, eps=eps)


def _grouped(shape: tuple[int, ...], groups: int) -> tuple[Any, Any, Any]:
    """Shapes of x and of a weight with the groups in a dimension of their own, and the axes."""
    inside, ndim = shape[1] // groups, len(shape)
    per_channel = (groups, inside, *[1] * (ndim - 2))
    return (shape[0], groups, inside, *shape[2:]), per_channel, tuple(range(2, ndim + 1))


def _standardise_groups(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
    """`_standardise` of channels in groups."""
    size, per_channel, axes = _grouped(x.shape, groups)
    weight, bias = [p if p is None else reshape(p, per_channel) for p in (weight, bias)]
    return reshape(_standardise(reshape(x, size), weight, bias, axes=axes, eps=eps), x.shape)


@primitive(residuals=("normed", "kept"), composition=_standardise_groups)
def standardise_groups(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
    """y = x̂ w + b with mean and variance of groups of channels of every sample; w and b are (C).

    Kept: x̂ and rstd, or without x̂ the kernel's statistics.
    """
    found = norms.planes(x, weight, bias, groups, eps)
    if found is not None:
        return found[0], None, found[1]
    size, per_channel, axes = _grouped(x.shape, groups)
    weight, bias = [p if p is None else p.reshape(per_channel) for p in (weight, bias)]
    y, normed, rstd = _by_axes(x.reshape(size), weight, bias, axes, eps)
    return y.reshape(x.shape), normed, rstd


def _standardise_groups_vjp(
    g: Any, x: Any, normed: Any, kept: Any, weight: Any, groups: int, needs: Any
) -> tuple[Any, Any, Any]:
    if normed is None:
        return norms.planes_backward(g, x, weight, kept, groups)
    size, per_channel, axes = _grouped(x.shape, groups)
    weight = None if weight is None else weight.reshape(per_channel)
    x_bar, weight_bar, _ = _by_axes_vjp(
        g.reshape(size), normed, kept, weight, axes, (*needs[:2], False)
    )
    channels = (x.shape[1],)
    return (
        None if x_bar is None else x_bar.reshape(x.shape),
        None if weight_bar is None else weight_bar.reshape(channels),
        _channel_sums(g) if needs[2] else None,
    )


def _channel_sums(g: Any) -> Any:
    return np.add.reduce(g, (0, *range(2, g.ndim)))


standardise_groups.joint(_standardise_groups_vjp)
standardise_groups.primitive.node_class.__name__ = "NativeGroupNormBackward0"


@export("nn.functional.group_norm")
def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """Channels in groups, each group of each sample to mean 0 and variance 1 (Wu and He 2018).

    input (N, C, *), weight and bias (C). RuntimeError if C is not divisible by num_groups.
    """
    x = _floating("GroupNormKernelImpl", input)
    _check_groups(x.shape, num_groups, _size(weight), _size(bias))
    return standardise_groups(input, weight, bias, groups=num_groups, eps=eps)


@functools.lru_cache(256)
def _check_groups(shape: tuple[int, ...], num_groups: int, weight: Any, bias: Any) -> None:
    if len(shape) < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    n, c = shape[:2]
    if num_groups <= 0:
        raise RuntimeError(f"Expected num groups to be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(shape)} and num_groups={num_groups}"
        )
    _check_channels("group_norm", c, weight=weight, bias=bias)
    if n * (c // num_groups) * math.prod(shape[2:]) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )


def _size(p: Any) -> int | None:
    return None if p is None else p._data.size


def _check_count(shape: Sequence[int]) -> int:
    """The number of values per channel; ValueError for one, which has no variance."""
    count = math.prod([n for d, n in enumerate(shape) if d != 1])
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    return count


def _check_channels(name: str, channels: int, **per_channel: int | None) -> None:
    for what, size in per_channel.items():
        if size is not None and size != channels:
            raise RuntimeError(f"{name}: {what} should contain {channels} elements not {size}")


# ------------------------------------------------------------------------------ over the batch
def _channels(p: Any, x: Any) -> Any:
    """One number a channel, to be broadcast against x (N, C, ...); of arrays or Tensors."""
    if p is None or x.ndim == 2:
        return p
    return reshape(p, (x.shape[1], *[1] * (x.ndim - 2)))


def _over_batch(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _standardise_batch(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """`_standardise` of channels over the batch, with a result for the statistics."""
    weight, bias = _channels(weight, x), _channels(bias, x)
    return _standardise(x, weight, bias, axes=_over_batch(x), eps=eps), None


@primitive(residuals=("normed", "kept"), composition=_standardise_batch)
def standardise_batch(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """(y, stats): y = x̂ w + b with the statistics of each channel, w and b (C). stats (3, C), mean,
    variance and rstd in float64, has no derivative.
    """
    if type(x) is np.ndarray:
        found = norms.planes(x, weight, bias, 0, eps)
    else:
        found = cuda.batch_norm.forward(x, weight, bias, eps)
    if found is not None:
        return found, None, found[1]
    axes, shape = _over_batch(x), (x.shape[1], *[1] * (x.ndim - 2))
    count = max(x.size // max(x.shape[1], 1), 1)
    centre = np.add.reduce(x, axes, F64) / count
    normed = x - centre.astype(x.dtype).reshape(shape)
    variance = np.add.reduce(normed * normed, axes, F64) / count
    stats = np.stack([centre, variance, 1 / np.sqrt(variance + eps)])
    normed *= stats[2].astype(x.dtype).reshape(shape)
    y = normed.copy() if weight is None else normed * weight.reshape(shape)
    if bias is not None:
        y += bias.reshape(shape)
    return (y, stats), normed, stats


def _standardise_batch_vjp(
    g: Any, x: Any, normed: Any, kept: Any, weight: Any, needs: Any
) -> tuple[Any, Any, Any]:
    g = g[0]
    if normed is None:
        if type(x) is np.ndarray:
            return norms.planes_backward(g, x, weight, kept, 0)
        found = cuda.batch_norm.backward(g, x, weight, kept)
        return found[0], found[1] if needs[1] else None, found[2] if needs[2] else None
    axes, count = _over_batch(x), x.size // x.shape[1]
    shape = (x.shape[1], *[1] * (x.ndim - 2))
    products, total = np.add.reduce(g * normed, axes), np.add.reduce(g, axes)
    x_bar = None
    if needs[0]:
        x_bar = g - normed * (products / count).reshape(shape) - (total / count).reshape(shape)
        rstd = kept[2].astype(x.dtype)
        x_bar *= (rstd if weight is None else rstd * weight).reshape(shape)
    return x_bar, products if needs[1] else None, total if needs[2] else None


standardise_batch.joint(_standardise_batch_vjp)
standardise_batch.primitive.node_class.__name__ = "NativeBatchNormBackward0"


def _standardise_by(x: Any, weight: Any, bias: Any, mean: Any, var: Any, *, eps: float) -> Any:
    """(x − mean)·(var + ε)^−½·w + b with given statistics, from differentiable parts."""
    y = (x - _channels(mean, x)) * _channels(rsqrt(var + eps), x)
    y = y if weight is None else y * _channels(weight, x)
    y = y if bias is None else y + _channels(bias, x)
    return y if y.dtype == x.dtype else y.to(x.dtype)


@primitive(residuals=("kept",), composition=_standardise_by)
def standardise_by(x: Any, weight: Any, bias: Any, mean: Any, var: Any, *, eps: float) -> Any:
    """y = (x − μ)·r·w + b with r = (σ² + ε)^−½, all of each channel, given as (C).

    w̄ = Σ ȳ (x − μ) r,  b̄ = Σ ȳ,  μ̄ = −r w b̄,  and of σ²:  −½ r² w w̄
    """
    found = norms.planes(x, weight, bias, 0, eps, (mean.reshape(-1), var.reshape(-1)))
    if found is not None:
        return found
    rstd = 1 / np.sqrt(var + var.dtype.type(eps))
    shape = (x.shape[1], *[1] * (x.ndim - 2))
    y = (x - mean.reshape(shape)) * (rstd if weight is None else rstd * weight).reshape(shape)
    if bias is not None:
        y += bias.reshape(shape)
    return y.astype(x.dtype, copy=False), None


def _standardise_by_vjp(
    g: Any, x: Any, weight: Any, mean: Any, var: Any, kept: Any, eps: float, needs: Any
) -> tuple[Any, ...]:
    found = None
    if kept is not None:
        found = norms.planes_backward(g, x, weight, kept, 0, moving=False)
        if not (needs[3] or needs[4]):
            return *found, None, None
    rstd = 1 / np.sqrt(var + var.dtype.type(eps))
    scale = rstd if weight is None else rstd * weight
    if found is None:
        shape = (x.shape[1], *[1] * (x.ndim - 2))
        products = total = None
        if needs[1] or needs[4]:
            products = _channel_sums(g * (x - mean.reshape(shape))) * rstd
        if needs[2] or needs[3]:
            total = _channel_sums(g)
        found = g * scale.reshape(shape) if needs[0] else None, products, total
    x_bar, weight_bar, bias_bar = found
    return (
        x_bar,
        weight_bar if needs[1] else None,
        bias_bar if needs[2] else None,
        -scale * bias_bar if needs[3] else None,
        -0.5 * rstd * scale * weight_bar if needs[4] else None,
    )


standardise_by.joint(_standardise_by_vjp)
standardise_by.primitive.node_class.__name__ = "NativeBatchNormBackward1"


@export("nn.functional.batch_norm")
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
    """Each channel to mean 0 and variance 1 over batch and space (Ioffe and Szegedy 2015, alg. 1).

    In training by the batch's own statistics, of which running_mean and running_var become moving
    averages (the variance unbiased); otherwise by the running ones. input (N, C, *). ValueError in
    training on one value per channel and for eps that is not positive, RuntimeError if the shapes
    do not fit.
    """
    if eps < 0 or (training and eps == 0):
        kind = "positive during training" if training else "non-negative"
        raise ValueError(f"batch_norm eps must be {kind}, but got {eps}")
    x = _floating("batch_norm", input)
    each = (running_mean, running_var, weight, bias)
    count = _batch_count(x.shape, training, *[_size(p) for p in each])
    if x.ndim == 1:  # empty, or it would have been an error
        return clone(input)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when training=False"
            )
        return standardise_by(input, weight, bias, running_mean, running_var, eps=eps)
    y, stats = standardise_batch(input, weight, bias, eps=eps)
    if x.size and (running_mean is not None or running_var is not None):
        _move(running_mean, stats._data[0], momentum)
        _move(running_var, stats._data[1], momentum, count / (count - 1))
    return y


@functools.lru_cache(256)
def _batch_count(
    shape: tuple[int, ...], training: bool, mean: Any, var: Any, weight: Any, bias: Any
) -> int:
    """The number of values per channel, where sizes are found to fit."""
    count = _check_count(shape) if training else 0
    channels = shape[1] if len(shape) > 1 else 0
    _check_channels(
        "batch_norm", channels, running_mean=mean, running_var=var, weight=weight, bias=bias
    )
    if 0 not in shape:
        normalize_dim(1, len(shape))  # the channels
    return count


def move_average(running: Any, batch: Any, momentum: float, factor: float) -> None:
    """running ← (1 − momentum)·running + momentum·factor·batch, for arrays."""
    if type(running) is np.ndarray:
        norms.move(running, batch, momentum, factor)
    elif not cuda.batch_norm.move(running, batch, momentum, factor):
        running[...] = (1 - momentum) * running.astype(F64) + momentum * factor * batch


def count_up(number: Any) -> None:
    """number ← number + 1, for an array."""
    if type(number) is np.ndarray:
        number.fill(number.item() + 1)  # a 0-d array + 1 takes NumPy eight times as long
    else:
        number += 1


def count_batch(batches: Any) -> None:
    """One more batch, outside the graph."""
    count_up(batches._data)
    batches._bump()


def _move(running: Any, batch: Any, momentum: float, factor: float = 1.0) -> None:
    """A running average outside the graph."""
    if running is not None:
        move_average(running._data, batch, momentum, factor)
        running._bump()


@export("nn.functional.instance_norm")
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
    """Each channel of each sample to mean 0 and variance 1 over space (Ulyanov et al. 2016).

    input (N, C, *). Running averages (of all samples) are moved if given, and used instead of the
    sample's own with use_input_stats=False. ValueError for one value per channel.
    """
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    x = _floating("instance_norm", input)
    count = _instance_count(x.shape, *[_size(p) for p in (running_mean, running_var, weight, bias)])
    if x.size and (running_mean is not None or running_var is not None):
        axes = tuple(range(2, x.ndim))
        wide = x.astype(F64)
        _move(running_mean, wide.mean(axis=(0, *axes)), momentum)
        variance = wide.var(axis=axes).mean(axis=0) * (count / (count - 1))
        _move(running_var, variance, momentum)
    return standardise_groups(input, weight, bias, groups=max(x.shape[1], 1), eps=eps)


@functools.lru_cache(256)
def _instance_count(shape: tuple[int, ...], mean: Any, var: Any, weight: Any, bias: Any) -> int:
    """The number of values per channel of a sample, where sizes are found to fit."""
    if len(shape) < 2:
        raise RuntimeError(f"instance_norm: expected at least 2 dimensions, got {len(shape)}")
    count = math.prod(shape[2:])
    if count == 1:
        raise ValueError(
            "Expected more than 1 spatial element when training, got input size "
            f"minigrad.Size({list(shape)})"
        )
    _check_channels(
        "instance_norm", shape[1], running_mean=mean, running_var=var, weight=weight, bias=bias
    )
    return count


# ------------------------------------------------------------------------------ others
@export("nn.functional.local_response_norm")
def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """y = x / (k + α/n Σ x² over n neighbouring channels)^β (Krizhevsky et al. 2012, section 3.3).

    input (N, C, *); ValueError with fewer than 3 dimensions.
    """
    x = input._data
    if x.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {x.ndim} dimensions)")
    if x.size == 0:
        return input
    channels, squares, total = x.shape[1], square(input), None
    # a window as a difference of running sums would cancel: add `size` shifted copies instead
    for offset in range(-(size // 2), (size - 1) // 2 + 1):
        low, high = max(0, -offset), min(channels, channels - offset)
        if low < high:
            part = narrow(squares, 1, low + offset, high - low)
            part = put_range(part, dim=1, start=low, stop=high, step=1, size=x.shape)
            total = part if total is None else total + part
    return input / pow(total * (alpha / size) + k, beta)


@export("nn.functional.normalize")
def normalize(input: Any, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Any:
    """y = x / max(‖x‖_p, ε) along `dim`."""
    norm = vector_norm(input, p, dim, keepdim=True)
    return finish(input / clamp_min(norm, eps), out)


# ------------------------------------------------------------------------------ other signatures
@export("layer_norm")
def layer_norm_of(
    input: Any,
    normalized_shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    """`nn.functional.layer_norm`; cudnn_enable changes nothing here."""
    return layer_norm(input, normalized_shape, weight, bias, eps)


@export("group_norm")
def group_norm_of(
    input: Any,
    num_groups: int,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    """`nn.functional.group_norm`; cudnn_enabled changes nothing here."""
    return group_norm(input, num_groups, weight, bias, eps)


@export("batch_norm")
def batch_norm_of(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any,
    training: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.batch_norm` with the arguments in another order."""
    return batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@export("instance_norm")
def instance_norm_of(
    input: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any,
    use_input_stats: bool, momentum: float, eps: float, cudnn_enabled: bool,
) -> Any:  # fmt: skip
    """`nn.functional.instance_norm` with the arguments in another order."""
    return instance_norm(
        input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
    )
