"""Losses: how far a prediction is from its target, element by element, then averaged, summed or left alone."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from ..backend.dtypes import from_numpy_dtype
from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .activation import log_sigmoid, softplus
from .compare import gt
from .elementwise import abs, clamp_min, exp, log, mul, square, sub, where, xlogy
from .reduction import mean, sum, vector_norm
from .shape import broadcast_tensors, reshape, unsqueeze
from .softmax import log_softmax_along


def reduced(loss: Any, reduction: str, batch_dim: bool = False) -> Any:
    """`mean`, `sum` or `none` of a loss; ValueError for another word."""
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    if reduction == "batchmean" and batch_dim:
        return sum(loss) / loss._data.shape[0]
    raise ValueError(f"{reduction} is not a valid value for reduction")


def legacy_reduction(size_average: Any, reduce: Any, reduction: str) -> str:
    """PyTorch's old pair of flags, still accepted, with its warning."""
    if size_average is None and reduce is None:
        return reduction
    average = True if size_average is None else size_average
    chosen = ("mean" if average else "sum") if (True if reduce is None else reduce) else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{chosen}' instead.", stacklevel=3
    )
    return chosen


def _same_size(name: str, input: Any, target: Any) -> tuple[Any, Any]:
    """Warn about broadcasting, as PyTorch does: it is almost always a mistake in a loss."""
    if target._data.shape != input._data.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). This will "
            "likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )
    return broadcast_tensors(input, target)


def _weighted(loss: Any, weight: Any) -> Any:
    return loss if weight is None else mul(loss, weight)


# ------------------------------------------------------------------------------ regression
@export("nn.functional.mse_loss")
def mse_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """(x − t)², reduced."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = _same_size("mse_loss", input, target)
    return _weighted_reduction(square(sub(input, target)), weight, reduction)


def _weighted_reduction(loss: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return reduced(loss, reduction)
    if weight._data.shape != loss._data.shape:
        raise ValueError("Inputs and weights must have the same size.")
    loss = mul(loss, weight)
    return sum(loss) / sum(weight) if reduction == "mean" else reduced(loss, reduction)


@export("nn.functional.l1_loss")
def l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    weight: Any = None,
) -> Any:  # fmt: skip
    """|x − t|, reduced; the derivative at 0 is 0."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    input, target = _same_size("l1_loss", input, target)
    return _weighted_reduction(abs(sub(input, target)), weight, reduction)


@export("nn.functional.smooth_l1_loss")
def smooth_l1_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    beta: float = 1.0,
) -> Any:  # fmt: skip
    """d²/2β where d = |x − t| < β, else d − β/2 (Girshick 2015, eq. 3)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    input, target = _same_size("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    d = abs(sub(input, target))
    return reduced(where(d < beta, square(d) * (0.5 / beta), d - 0.5 * beta), reduction)


@export("nn.functional.huber_loss")
def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0, weight: Any = None) -> Any:
    """d²/2 where d = |x − t| ≤ δ, else δ(d − δ/2) (Huber 1964)."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    input, target = _same_size("huber_loss", input, target)
    d = abs(sub(input, target))
    return _weighted_reduction(where(d <= delta, square(d) * 0.5, (d - 0.5 * delta) * delta), weight, reduction)


@export("nn.functional.gaussian_nll_loss")
def gaussian_nll_loss(
    input: Any, target: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Any:
    """½(log σ² + (x − t)²/σ²), plus ½ log 2π if full; σ² is clamped to ε, without a gradient of the clamp."""
    if not isinstance(var, Tensor):
        var = wrap(np.full(input._data.shape, var, input._data.dtype))
    shape, got = input._data.shape, var._data.shape
    if got != shape:
        if shape[:-1] == got:
            var = unsqueeze(var, -1)
        elif not (shape[:-1] == got[:-1] and got[-1:] == (1,)) and np.broadcast_shapes(shape, got) != shape:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not valid")
    if var._data.size and (var._data < 0).any():
        raise ValueError("var has negative entry/entries")
    var = var + wrap(np.maximum(var._data, var._data.dtype.type(eps)) - var._data)
    loss = (log(var) + square(input - target) / var) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)


@export("nn.functional.poisson_nll_loss")
def poisson_nll_loss(
    input: Any, target: Any, log_input: bool = True, full: bool = False, size_average: Any = None,
    eps: float = 1e-8, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """eˣ − t x (or x − t log(x + ε) if not log_input), with Stirling's log t! for t > 1 if full."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(reduction + " is not a valid value for reduction")
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        t = target
        stirling = t * log(t) - t + 0.5 * log(t * (2 * math.pi))
        loss = loss + where(gt(t, 1), stirling, 0.0)
    return reduced(loss, reduction)


# ------------------------------------------------------------------------------ probabilities
@export("nn.functional.kl_div")
def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:  # fmt: skip
    """t (log t − x) for log-probabilities x: the divergence of x from t; `batchmean` divides by the batch."""
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce, reduction)
    loss = exp(target) * (target - input) if log_target else xlogy(target, target) - target * input
    return reduced(loss, reduction, batch_dim=True)


@export("nn.functional.binary_cross_entropy")
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """−(t log p + (1 − t) log(1 − p)), each logarithm at least −100, as in PyTorch. p outside [0, 1]: RuntimeError."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target._data.shape != input._data.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is "
            "deprecated. Please ensure they have the same size."
        )
    p = input._data
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    return reduced(_weighted(bce(input, target), weight), reduction)


@primitive
def bce(p: Any, t: Any) -> Any:
    """y = −(t max(log p, −100) + (1 − t) max(log(1 − p), −100));  p̄ = ȳ (p − t)/max(p(1 − p), 1e-12)."""
    return (t - 1) * np.maximum(np.log1p(-p), -100) - t * np.maximum(np.log(p), -100)


bce.vjp(
    p=lambda g, p, t: g * (p - t) / clamp_min(p * (1 - p), 1e-12),
    t=lambda g, p: g * (clamp_min(log(1 - p), -100.0) - clamp_min(log(p), -100.0)),
)


@export("nn.functional.binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """−(w₊ t log σ(x) + (1 − t) log(1 − σ(x))), from the logits, without overflow."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if target._data.shape != input._data.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    log_p = log_sigmoid(input)
    if pos_weight is None:
        loss = (1 - target) * input - log_p
    else:
        loss = (1 - target) * input - ((pos_weight - 1) * target + 1) * log_p
    return reduced(_weighted(loss, weight), reduction)


@export("nn.functional.nll_loss")
def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """−w_t x_t for log-probabilities x (N, C, *) and classes t (N, *); the mean is over the weights in use."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    _check_classes("nll_loss", input, target, weight)
    return _nll(input, target, weight, ignore_index, reduction)


def _check_classes(name: str, input: Any, target: Any, weight: Any) -> None:
    x, t = input._data, target._data
    if x.ndim == 0:
        raise ValueError(f"Expected 1 or more dimensions (got {x.ndim})")
    if x.ndim > 1 and x.shape[0] != (t.shape[0] if t.ndim else None):
        raise ValueError(
            f"Expected input batch_size ({x.shape[0]}) to match target batch_size "
            f"({t.shape[0] if t.ndim else 0})."
        )
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if t.shape != expected:
        raise RuntimeError(
            f"Expected target size {list(expected)}, got {list(t.shape)} (input has size {list(x.shape)})"
        )
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
            f"of shape: {list(weight._data.shape)}"
        )
    if t.dtype != np.int64 and t.dtype != np.uint8:
        raise RuntimeError(f"expected scalar type Long but found {from_numpy_dtype(t.dtype).name}")


@primitive
def pick_class(x: Any, *, target: Any, scale: Any) -> Any:
    """y_n = −s_n x[n, t_n], zero where s_n = 0;  x̄[n, t_n] = −s_n ȳ_n. x (N, C, M), t and s (N, M)."""
    picked = np.take_along_axis(x, target[:, None], axis=1)[:, 0]
    return np.where(scale == 0, x.dtype.type(0), -scale * picked)


@primitive
def put_class(g: Any, *, target: Any, scale: Any, classes: int) -> Any:
    """The adjoint of pick_class."""
    out = np.zeros((g.shape[0], classes, g.shape[1]), g.dtype)
    np.put_along_axis(out, target[:, None], (-scale * g)[:, None], axis=1)
    return out


pick_class.vjp(
    x=lambda g, target, scale, x_shape: put_class(g, target=target, scale=scale, classes=x_shape[1])
)
put_class.vjp(g=lambda g, target, scale: pick_class(g, target=target, scale=scale))
pick_class.primitive.node_class.__name__ = "NllLossBackward0"


def _flat_classes(input: Any, target: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """(N, C, *) and (N, *) as (N, C, M) and (N, M)."""
    x, t = input._data, target._data
    if x.ndim == 1:
        return reshape(input, (1, x.shape[0], 1)), t.reshape(1, 1), ()
    n, c = x.shape[:2]
    m = math.prod(x.shape[2:])
    return reshape(input, (n, c, m)), t.reshape(n, m), t.shape


def _nll(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    flat, t, shape = _flat_classes(input, target)
    dtype = input._data.dtype
    classes = flat._data.shape[1]
    used = t != ignore_index
    if ((t < 0) | (t >= classes))[used].any():
        bad = t[used][((t < 0) | (t >= classes))[used]][0]
        raise IndexError(f"Target {bad} is out of bounds.")
    t = np.where(used, t, 0).astype(np.int64)
    w = np.ones(classes, dtype) if weight is None else weight._data
    scale = np.where(used, w[t], 0).astype(dtype)
    loss = pick_class(flat, target=t, scale=scale)
    if reduction == "mean":
        total = scale.sum(dtype=np.float64)
        return sum(loss) / (float(total) if total else math.nan)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return reshape(loss, shape)
    raise ValueError(f"{reduction} is not a valid value for reduction")


@export("nn.functional.cross_entropy")
def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """−Σ_c t_c log softmax(x)_c for logits x (C), (N, C) or (N, C, *).

    target: class indices (N, *), or probabilities of x's shape. label_smoothing ε mixes t with the uniform
    distribution: (1 − ε) t + ε/C (Szegedy et al. 2016). Class weights multiply each class; ignore_index counts
    neither in the sum nor in the mean.
    """
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    x, t = input._data, target._data
    class_dim = 0 if x.ndim == 1 else 1
    if x.shape == t.shape and t.dtype.kind not in "iu":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, class_dim)
    _check_classes("cross_entropy", input, target, weight)
    log_p = log_softmax_along(input, axis=class_dim)
    nll = _nll(log_p, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return nll
    return nll * (1 - label_smoothing) + label_smoothing / x.shape[class_dim] * _smooth_part(
        log_p, target, weight, ignore_index, reduction, class_dim
    )


def _smooth_part(log_p: Any, target: Any, weight: Any, ignore_index: int, reduction: str, class_dim: int) -> Any:
    """−Σ_c w_c log p_c at every place that is not ignored."""
    dtype = log_p._data.dtype
    used = target._data != ignore_index
    each = -sum(log_p if weight is None else log_p * _per_class(weight, log_p._data.ndim, class_dim), class_dim)
    each = where(wrap(used), each, 0.0)
    if reduction == "mean":
        w = np.ones((), dtype) if weight is None else weight._data[np.where(used, target._data, 0)]
        total = float(np.where(used, w, 0).sum(dtype=np.float64))
        return sum(each) / (total if total else math.nan)
    return sum(each) if reduction == "sum" else each


def _per_class(weight: Any, ndim: int, class_dim: int) -> Any:
    return reshape(weight, [-1 if i == class_dim else 1 for i in range(ndim)])


def _soft_cross_entropy(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float, class_dim: int
) -> Any:
    classes = input._data.shape[class_dim]
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got "
            f"weight tensor of shape: {list(weight._data.shape)}"
        )
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = log_softmax_along(input, axis=class_dim)
    if weight is not None:
        log_p = log_p * _per_class(weight, log_p._data.ndim, class_dim)
    loss = -sum(log_p * target, class_dim)
    if reduction == "mean":
        # PyTorch divides by the batch and the positions, whatever the weights
        count = math.prod(s for i, s in enumerate(input._data.shape) if i != class_dim)
        return sum(loss) / (count if count else math.nan)
    return reduced(loss, reduction)


# ------------------------------------------------------------------------------ margins
@export("nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """x where t = 1, max(0, margin − x) where t = −1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    negative = where(target != 1, clamp_min(margin - input, 0), 0.0)
    positive = where(target != -1, input, 0.0)
    return reduced(negative + positive, reduction)


@export("nn.functional.margin_ranking_loss")
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, −t (x₁ − x₂) + margin)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if not input1._data.ndim == input2._data.ndim == target._data.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduced(clamp_min(-target * (input1 - input2) + margin, 0), reduction)


@export("nn.functional.soft_margin_loss")
def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """log(1 + e^{−t x})."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    return reduced(softplus(-target * input, threshold=math.inf), reduction)


@export("nn.functional.cosine_similarity")
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    """x₁·x₂ / (max(‖x₁‖, ε) max(‖x₂‖, ε)) along `dim`."""
    x1, x2 = broadcast_tensors(x1, x2)
    n1 = clamp_min(vector_norm(x1, 2, dim, keepdim=True), eps)
    n2 = clamp_min(vector_norm(x2, 2, dim, keepdim=True), eps)
    return sum((x1 / n1) * (x2 / n2), dim)


@export("nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """1 − cos(x₁, x₂) where t = 1, max(0, cos(x₁, x₂) − margin) where t = −1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    a, b, t = input1._data, input2._data, target._data
    if t.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if t.ndim == 1 and (a.ndim != 2 or b.ndim != 2):
        raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs with sizes "
                           f"{list(a.shape)} and {list(b.shape)}.")  # fmt: skip
    if t.ndim == 0 and (a.ndim != 1 or b.ndim != 1):
        raise RuntimeError("0D target tensor expects 1D input tensors, but found inputs with sizes "
                           f"{list(a.shape)} and {list(b.shape)}.")  # fmt: skip
    # PyTorch's own formula here: the product of the squared norms, each moved from zero
    small = 1e-12
    dim = t.ndim
    cos = sum(input1 * input2, dim) / ((sum(input1 * input1, dim) + small) * (sum(input2 * input2, dim) + small)) ** 0.5
    loss = where(target == 1, 1 - cos, 0.0) + where(target == -1, clamp_min(cos - margin, 0), 0.0)
    return reduced(loss, reduction)


@export("nn.functional.pairwise_distance", "pairwise_distance")
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """‖x₁ − x₂ + ε‖_p over the last dimension."""
    return vector_norm(x1 - x2 + eps, p, -1, keepdim)


@export("nn.functional.triplet_margin_loss")
def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2, eps: float = 1e-6,
    swap: bool = False, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """max(0, d(a, p) − d(a, n) + margin); swap uses min(d(a, n), d(p, n)) (Balntas et al. 2016)."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor._data.ndim == positive._data.ndim == negative._data.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor._data.ndim}D, positive {positive._data.ndim}D, and negative {negative._data.ndim}D inputs"
        )
    return _triplet(
        anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction
    )


def _triplet(a: Any, p: Any, n: Any, distance: Any, margin: float, swap: bool, reduction: str) -> Any:
    near, far = distance(a, p), distance(a, n)
    if swap:
        other = distance(p, n)
        far = where(other < far, other, far)
    return reduced(clamp_min(near - far + margin, 0), reduction)


@export("nn.functional.triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None, margin: float = 1.0,
    swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """The triplet loss with a distance of the caller's own."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


@export("nn.functional.multi_margin_loss")
def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """Σ_{c≠t} max(0, margin − x_t + x_c)^p / C, times the weight of class t."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    x, t = input._data, target._data
    rows = x.shape[0] if x.ndim == 2 else 1
    if x.ndim > 2 or x.size == 0 and x.ndim < 2:
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x.shape)}")
    if t.ndim > 1 or t.size != rows:
        raise RuntimeError(f"inconsistent target size, expected {rows} but got {list(t.shape)}")
    classes = x.shape[-1] if x.ndim else 1
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(f"inconsistent weight size, expected {classes} but got {list(weight._data.shape)}")
    index = t.reshape(rows)
    if index.size and (index.min() < 0 or index.max() >= classes):
        raise RuntimeError("target out of range")
    flat = reshape(input, (rows, classes, 1))
    ones = np.ones((rows, 1), x.dtype)
    own = -pick_class(flat, target=index[:, None], scale=ones)
    z = clamp_min(margin - reshape(own, (rows, 1)) + reshape(flat, (rows, classes)), 0)
    z = z if p == 1 else square(z)
    if weight is not None:
        z = z * wrap(weight._data[index][:, None])
    others = wrap(np.arange(classes)[None] != index[:, None])
    loss = sum(where(others, z, 0.0), 1) / classes
    return reduced(reshape(loss, t.shape if x.ndim > 1 else ()), reduction)


@export("nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """Σ over target classes j and other classes i of max(0, 1 − (x_j − x_i)) / C; targets end at the first −1."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    x, t = input._data, target._data
    if x.ndim > 2 or t.shape != x.shape:
        raise RuntimeError(f"inconsistent target size: {list(t.shape)} for input of size: {list(x.shape)}")
    rows, classes = (x.shape[0], x.shape[1]) if x.ndim == 2 else (1, x.size)
    index = t.reshape(rows, classes)
    if index.size and (index.min() < -1 or index.max() >= classes):
        raise RuntimeError("target out of range")
    valid = np.cumprod(index >= 0, axis=1).astype(bool)
    is_target = np.zeros((rows, classes), bool)
    r, c = np.nonzero(valid)
    is_target[r, index[r, c]] = True
    flat = reshape(input, (rows, classes))
    picked = -pick_class(
        reshape(flat, (rows, classes, 1)).expand(rows, classes, classes),
        target=np.where(valid, index, 0), scale=valid.astype(x.dtype),
    )  # fmt: skip
    z = clamp_min(1 - unsqueeze(picked, 2) + unsqueeze(flat, 1), 0)
    pairs = wrap(valid[:, :, None] & ~is_target[:, None, :])
    loss = sum(where(pairs, z, 0.0), (1, 2)) / classes
    return reduced(loss if x.ndim == 2 else reshape(loss, ()), reduction)


@export("nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """Mean over classes of −(t log σ(x) + (1 − t) log σ(−x))."""
    reduction = legacy_reduction(size_average, reduce, reduction)
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    return reduced(mean(_weighted(loss, weight), -1), reduction)


