"""What SyncBatchNorm computes where there are several processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.devices import array_module
from ...core.function import Function
from ...core.modes import no_grad
from ...core.tensor import wrap
from ...distributed import all_gather_into_tensor, all_reduce
from ...distributed.group import resolve


def _sums(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


class _SyncBatchNorm(Function):
    """(y, mean, variance, count): y = x̂ w + b, x̂ = (x - μ) / √(σ² + ε) over all ranks' batches.

    Means of means: with n, m, s the count, mean and sum of squared differences of each rank,

        μ = Σ n m / N        σ² = Σ (s + n (m - μ)²) / N        N = Σ n

    Backward needs two more sums over all ranks, those of g and of g x̂:

        dx = w / √(σ² + ε) · (g - Σ g / N - x̂ Σ(g x̂) / N)
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, eps: float, group: Any) -> Any:
        data, axes = x._data, _sums(x._data)
        xp = array_module(data)
        channels = (1, -1, *[1] * (data.ndim - 2))
        count = data.size // max(data.shape[1], 1)
        mean = data.mean(axes, dtype=np.float64) if count else xp.zeros(data.shape[1])
        centred = data - mean.astype(data.dtype).reshape(channels)
        squares = (centred * centred).sum(axes, dtype=np.float64)
        mine = xp.concatenate([mean, squares, xp.full(1, float(count))])
        every = wrap(xp.empty((group.size(), mine.size)))
        all_gather_into_tensor(every, wrap(mine), group)
        c = data.shape[1]
        means, spreads, counts = every._data[:, :c], every._data[:, c : 2 * c], every._data[:, -1:]
        total = float(counts.sum())
        if total <= 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size"
                f" {list(data.shape)} on rank {group.rank()} and nothing on the others"
            )
        mu = (counts * means).sum(0) / total
        variance = (spreads + counts * (means - mu) ** 2).sum(0) / total
        rstd = (1 / np.sqrt(variance + eps)).astype(data.dtype).reshape(channels)
        normed = (data - mu.astype(data.dtype).reshape(channels)) * rstd
        w = None if weight is None else weight._data.reshape(channels)
        y = normed if w is None else normed * w
        if bias is not None:
            y = y + bias._data.reshape(channels)
        ctx.normed, ctx.rstd, ctx.w = normed, rstd, w
        ctx.total, ctx.group, ctx.has_bias = total, group, bias is not None
        statistics = wrap(mu), wrap(variance), wrap(xp.asarray(total))
        ctx.mark_non_differentiable(*statistics)
        return wrap(y), *statistics

    @staticmethod
    def backward(ctx: Any, g: Any, *_: Any) -> Any:
        g, normed = g._data, ctx.normed
        axes, channels = _sums(g), (1, -1, *[1] * (g.ndim - 2))
        xp = array_module(g)
        sum_g, sum_gx = g.sum(axes, dtype=np.float64), (g * normed).sum(axes, dtype=np.float64)
        both = wrap(xp.concatenate([sum_g, sum_gx]))
        all_reduce(both, group=ctx.group)
        mean_g, mean_gx = (both._data / ctx.total).astype(g.dtype).reshape(2, *channels)
        scale = ctx.rstd if ctx.w is None else ctx.rstd * ctx.w
        dx = scale * (g - mean_g - normed * mean_gx)
        dw = None if ctx.w is None else wrap(sum_gx.astype(g.dtype))
        db = wrap(sum_g.astype(g.dtype)) if ctx.has_bias else None
        return wrap(dx), dw, db, None, None


def sync_batch_norm(layer: Any, x: Any) -> Any:
    """The layer's forward in training: normalise, and move the running statistics."""
    group = resolve(layer.process_group)
    y, mean, variance, total = _SyncBatchNorm.apply(x, layer.weight, layer.bias, layer.eps, group)
    if layer.track_running_stats:
        with no_grad():
            layer.num_batches_tracked.add_(1)
            count = float(layer.num_batches_tracked)
            momentum = 1 / count if layer.momentum is None else layer.momentum
            n = float(total)
            for buffer, new in (
                (layer.running_mean, mean._data),
                (layer.running_var, variance._data * (n / max(n - 1, 1))),
            ):
                buffer._data[...] = (1 - momentum) * buffer._data + momentum * new
                buffer._bump()
    return y
