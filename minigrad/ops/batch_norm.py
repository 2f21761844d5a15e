"""Normalisation over the batch and, with the same running averages, of every channel by itself.

What it shares with the other normalisations, and its mathematics, is in norm.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend.dtypes import F64
from ..core.primitive import primitive
from ..core.tensor import normalize_dim
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import norms
from .elementwise import rsqrt
from .norm import (
    channel_sums,
    check_channels,
    floating,
    size_of,
    standardise_groups,
    standardise_parts,
)
from .shape import reshape
from .views import clone


def _check_count(shape: Sequence[int]) -> int:
    """The number of values per channel; ValueError for one, which has no variance."""
    count = math.prod([n for d, n in enumerate(shape) if d != 1])
    if count == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {list(shape)}"
        )
    return count


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
    return standardise_parts(x, weight, bias, axes=_over_batch(x), eps=eps), None


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
            products = channel_sums(g * (x - mean.reshape(shape))) * rstd
        if needs[2] or needs[3]:
            total = channel_sums(g)
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
    x = floating("batch_norm", input)
    each = (running_mean, running_var, weight, bias)
    count = _batch_count(x.shape, training, *[size_of(p) for p in each])
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
    check_channels(
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
    x = floating("instance_norm", input)
    count = _instance_count(
        x.shape, *[size_of(p) for p in (running_mean, running_var, weight, bias)]
    )
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
    check_channels(
        "instance_norm", shape[1], running_mean=mean, running_var=var, weight=weight, bias=bias
    )
    return count


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
