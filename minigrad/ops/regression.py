"""Losses of numbers against numbers, and how every loss is reduced.

Each compares element by element, then averages, sums or leaves the elements alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F32, F64
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from ..kernels.cpu import losses
from .compare import gt
from .elementwise import abs, exp, log, mul, square, sub, where
from .reduction import mean, sum
from .shape import broadcast_tensors, unsqueeze


# ------------------------------------------------------------------------------ reductions
def reduced(loss: Any, reduction: str) -> Any:
    """The `mean` or `sum` of a loss, or with `none` itself; ValueError for another word."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def chosen(size_average: Any, reduce: Any, reduction: str) -> str:
    """The reduction, which PyTorch's old pair of flags overrides, with its warning."""
    if size_average is None and reduce is None:
        if reduction not in ("mean", "sum", "none", "batchmean"):  # the last is kl_div's own
            raise ValueError(f"{reduction} is not a valid value for reduction")
        return reduction
    word = "mean" if size_average is None or size_average else "sum"
    word = word if reduce is None or reduce else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{word}' instead.",
        stacklevel=3,
    )
    return word


def _weighted(loss: Any, weight: Any, input: Any) -> Any:
    if weight is None:
        return loss
    if weight._data.shape != input._data.shape:
        raise ValueError("Weights and input must have the same size.")
    return mul(loss, weight)


def _reduced_by_weight(loss: Any, weight: Any, input: Any, reduction: str) -> Any:
    """As `reduced`; with weights the mean is Σ w·l / Σ w."""
    loss = _weighted(loss, weight, input)
    if weight is not None and reduction == "mean":
        return sum(loss) / sum(weight)
    return reduced(loss, reduction)


def _matched(input: Any, target: Any) -> tuple[Any, Any]:
    """Both in one shape; a warning if they were not, which in a loss is mostly a mistake."""
    if target._data.shape == input._data.shape:
        return input, target
    warnings.warn(
        f"Using a target size ({target.shape}) that is different to the input size ({input.shape})."
        " This will likely lead to incorrect results due to broadcasting. Please ensure they have "
        "the same size.",
        stacklevel=3,
    )
    return broadcast_tensors(input, target)


@primitive
def at_least(x: Any, *, low: float) -> Any:
    """y = max(x, low);  x̄ = ȳ everywhere: a guard, not a part of the formula."""
    return array_module(x).maximum(x, x.dtype.type(low))


at_least.vjp(x=lambda g: g)


# ------------------------------------------------------------------------------ in one pass
def pairwise(
    name: str, title: str, value: Callable, slope: Callable, parts: Callable, pair: losses.Pair,
    symmetric: bool = True, batchmean: bool = False,
) -> Any:  # fmt: skip
    """A function for the sum of `value(x, t, number)` over all elements, divided by what the
    reduction says: a primitive that reads them once.

    value and slope (its derivative in x) take arrays, parts is value for Tensors; pair has both as
    kernels. Of a symmetric loss, the derivative in t is −slope.
    """

    def composition(x: Any, t: Any, *, number: float, over: int) -> Any:
        total = reduced(parts(x, t, number), "sum")
        return total if over == 1 else total / over

    def forward(x: Any, t: Any, *, number: float, over: int) -> Any:
        total = pair.sum(x, t, number)
        if total is None:
            total = np.add.reduce(value(x, t, number), None)
        return np.asarray(total / over, x.dtype)

    def rule(g: Any, x: Any, t: Any, number: float, over: int, needs: Any) -> Any:
        g = g / x.dtype.type(over)
        x_bar = pair.gradient(g, x, t, number)
        if x_bar is None:
            x_bar = slope(x, t, number)
            x_bar *= g
        return x_bar, (-x_bar if needs[1] else None)

    forward.__name__ = name
    made = primitive(composition=composition)(forward)
    made.joint(rule)
    made.primitive.node_class.__name__ = title

    def call(input: Any, target: Any, reduction: str, number: float = 0.0) -> Any:
        """The loss, or None where it is not elements of one floating dtype against as many."""
        x, t = input._data, target._data
        if (
            x.shape != t.shape
            or x.dtype is not t.dtype
            or not (x.dtype is F32 or x.dtype is F64)
            or reduction not in _OVER
            or (reduction == "batchmean" and not batchmean)
            or not x.size
            or not (symmetric or not target.requires_grad)
        ):
            return None
        return made(input, target, number=number, over=_OVER[reduction](x))

    return call


_OVER: dict[str, Callable[[Any], int]] = {
    "sum": lambda x: 1,
    "mean": lambda x: x.size,
    "batchmean": lambda x: x.shape[0] if x.ndim else 1,
}


# ------------------------------------------------------------------------------ distances
def _square(x: Any, t: Any, number: float) -> Any:
    d = x - t
    return d * d


def _smooth_parts(x: Any, t: Any, beta: float) -> Any:
    e = sub(x, t)  # whose square, unlike that of |e|, has the right second derivative at 0
    d = abs(e)
    near = where(d < beta, e, 0.0)
    return where(d < beta, square(near) * (0.5 / beta), d - 0.5 * beta)


def _smooth(x: Any, t: Any, beta: float) -> Any:
    d = np.abs(x - t)
    return np.where(d < beta, d * d * (0.5 / beta), d - 0.5 * beta)


def _smooth_slope(x: Any, t: Any, beta: float) -> Any:
    return np.clip((x - t) / beta, -1, 1)


def _huber_parts(x: Any, t: Any, delta: float) -> Any:
    e = sub(x, t)
    d = abs(e)
    near = where(d <= delta, e, 0.0)  # no ∞ on the side not taken, whose slope would be 0 · ∞
    return where(d <= delta, square(near) * 0.5, (d - 0.5 * delta) * delta)


def _huber(x: Any, t: Any, delta: float) -> Any:
    d = np.abs(x - t)
    return np.where(d <= delta, d * d * 0.5, (d - 0.5 * delta) * delta)


_squared = pairwise(
    "mse", "MseLossBackward0", _square, lambda x, t, _: 2 * (x - t),
    lambda x, t, _: square(sub(x, t)), losses.squares,
)  # fmt: skip
_absolute = pairwise(
    "l1", "MeanAbsoluteErrorBackward0", lambda x, t, _: np.abs(x - t),
    lambda x, t, _: np.nan_to_num(np.sign(x - t)), lambda x, t, _: abs(sub(x, t)), losses.distances,
)  # fmt: skip
_smoothed = pairwise(
    "smooth_l1", "SmoothL1LossBackward0", _smooth, _smooth_slope, _smooth_parts, losses.smooth
)
_hubers = pairwise(
    "huber", "HuberLossBackward0", _huber, lambda x, t, delta: np.clip(x - t, -delta, delta),
    _huber_parts, losses.huber,
)  # fmt: skip


@export("nn.functional.mse_loss")
def mse_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """Squared error.

        l = (x − t)²,  x̄ = 2 l̄ (x − t) = −t̄

    weight: of the same shape; the mean is then Σ w·l / Σ w. ValueError for another reduction.
    """
    reduction = chosen(size_average, reduce, reduction)
    if weight is None and (y := _squared(input, target, reduction)) is not None:
        return y
    x, target = _matched(input, target)
    return _reduced_by_weight(square(sub(x, target)), weight, input, reduction)


@export("nn.functional.l1_loss")
def l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """Absolute error:  l = |x − t|,  x̄ = l̄ sign(x − t) = −t̄ (0 at 0). weight as in `mse_loss`."""
    reduction = chosen(size_average, reduce, reduction)
    if weight is None and (y := _absolute(input, target, reduction)) is not None:
        return y
    x, target = _matched(input, target)
    return _reduced_by_weight(abs(sub(x, target)), weight, input, reduction)


@export("nn.functional.smooth_l1_loss")
def smooth_l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Any:  # fmt: skip
    """l = d²/2β where d = |x − t| < β, else d − β/2 (Girshick 2015, eq. 3); β = 0: l1_loss.

    RuntimeError for β < 0.
    """
    reduction = chosen(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta and (y := _smoothed(input, target, reduction, float(beta))) is not None:
        return y
    input, target = _matched(input, target)
    if beta == 0:
        return reduced(abs(sub(input, target)), reduction)
    return reduced(_smooth_parts(input, target, beta), reduction)


@export("nn.functional.huber_loss")
def huber_loss(
    input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    """l = d²/2 where d = |x − t| ≤ δ, else δ(d − δ/2) (Huber 1964).

    weight multiplies each l; unlike in `mse_loss` the mean is Σ w·l / n. RuntimeError for δ ≤ 0.
    """
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    if weight is None and (y := _hubers(input, target, reduction, float(delta))) is not None:
        return y
    x, target = _matched(input, target)
    return reduced(_weighted(_huber_parts(x, target, delta), weight, input), reduction)


# ------------------------------------------------------------------------------ likelihoods
@export("nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """−log of a normal density:  l = ½(log σ² + (x − t)²/σ²), plus ½ log 2π if full.

    σ² is at least ε; that guard has no derivative. ValueError for a negative variance or one whose
    shape is not the input's, but for one dimension that is 1 or missing at the end.
    """
    if not isinstance(var, Tensor):
        var = wrap(np.full(input._data.shape, var, input._data.dtype))
    if var._data.size and (var._data < 0).any():
        raise ValueError("var has negative entry/entries")
    shape, got = input._data.shape, var._data.shape
    if got != shape:
        if shape[:-1] == got:
            var = unsqueeze(var, -1)
        else:
            others = [n for m, n in zip(shape, got, strict=False) if m != n]
            if len(shape) != len(got) or others != [1]:
                raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    var = at_least(var, low=eps)
    loss = (log(var) + square(input - target) / var) * 0.5
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@export("nn.functional.poisson_nll_loss")
def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """−log of a Poisson probability:  l = eˣ − t x, or x − t log(x + ε) if not log_input.

    full adds Stirling's t log t − t + ½ log 2πt for t > 1. ValueError for another reduction.
    """
    reduction = chosen(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not a valid value for reduction")
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = gt(target, 1)
        t = where(large, target, 1)
        stirling = t * log(t) - t + 0.5 * log(t * (2 * math.pi))
        loss = loss + where(large, stirling, 0)
    return reduced(loss, reduction)
