"""Losses of probabilities against classes: cross entropies in all their forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.dtypes import F64, I64
from ..core.primitive import primitive
from ..core.tensor import wrap
from ..export import export
from .activation import log_sigmoid
from .elementwise import clamp_min, exp, log, mul, where, xlogy
from .matmul import linear
from .piecewise import dtype_title, zeros_as
from .reduction import sum
from .regression import chosen, reduced
from .shape import reshape, view_
from .softmax import log_softmax_along


def _weighted(loss: Any, weight: Any) -> Any:
    return loss if weight is None else mul(loss, weight)


# ------------------------------------------------------------------------------ two classes
@primitive
def bernoulli_nll(p: Any, t: Any) -> Any:
    """y = −(t max(log p, −100) + (1 − t) max(log(1 − p), −100));  p̄ = ȳ (p − t)/(p (1 − p))."""
    return (t - 1) * np.maximum(np.log1p(-p), -100) - t * np.maximum(np.log(p), -100)


bernoulli_nll.vjp(
    p=lambda g, p, t: g * (p - t) / clamp_min(p * (1 - p), 1e-12),
    t=lambda g, p: g * (clamp_min(log(1 - p), -100.0) - clamp_min(log(p), -100.0)),
)
bernoulli_nll.primitive.node_class.__name__ = "BinaryCrossEntropyBackward0"


@export("nn.functional.binary_cross_entropy")
def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = −(t log p + (1 − t) log(1 − p)) for probabilities p, each logarithm at least −100.

        p̄ = l̄ (p − t)/(p (1 − p))

    ValueError for different shapes, RuntimeError for p outside [0, 1].
    """
    reduction = chosen(size_average, reduce, reduction)
    if target._data.shape != input._data.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    p = input._data
    if p.dtype != target._data.dtype:
        raise RuntimeError(
            f"Found dtype {dtype_title(target._data.dtype)} but expected {dtype_title(p.dtype)}"
        )
    if p.size and not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("all elements of input should be between 0 and 1")
    return reduced(_weighted(bernoulli_nll(input, target), weight), reduction)


@export("nn.functional.binary_cross_entropy_with_logits")
def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """l = −(w₊ t log σ(x) + (1 − t) log(1 − σ(x))) from logits, without overflow.

        x̄ = l̄ (σ(x) − t) for w₊ = 1

    ValueError for different shapes.
    """
    reduction = chosen(size_average, reduce, reduction)
    if target._data.shape != input._data.shape:
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    log_p = log_sigmoid(input)
    if pos_weight is not None:
        log_p = ((pos_weight - 1) * target + 1) * log_p
    return reduced(_weighted((1 - target) * input - log_p, weight), reduction)


@export("nn.functional.kl_div")
def kl_div(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean",
    log_target: bool = False,
) -> Any:  # fmt: skip
    """Divergence of log-probabilities x from t:  l = t (log t − x), or eᵗ(t − x) if log_target.

    `batchmean` divides the sum by the batch, as the definition has it. ValueError for other words.
    """
    reduction = chosen(size_average, reduce, reduction)
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        total = sum(loss)
        return total / input._data.shape[0] if input._data.ndim else total
    return reduced(loss, reduction)


# ------------------------------------------------------------------------------ the target's class
def _at_class(x: Any, target: Any) -> Any:
    if x.ndim == 2:
        return x[np.arange(x.shape[0]), target]
    return np.take_along_axis(x, target[:, None], axis=1)[:, 0]


@primitive
def pick_class(x: Any, target: Any, scale: Any) -> Any:
    """y_n = −s_n x[n, t_n], 0 where s_n = 0;  x̄[n, t_n] = −s_n ȳ_n.  x (N, C) or (N, C, M)."""
    return np.where(scale == 0, x.dtype.type(0), -scale * _at_class(x, target))


@primitive
def put_class(g: Any, x: Any, target: Any, scale: Any) -> Any:
    """Zeros of x's shape but for −s_n g_n at class t_n: the adjoint of pick_class."""
    values = np.where(scale == 0, g.dtype.type(0), -scale * g)
    y = np.zeros(x.shape, g.dtype)
    if y.ndim == 2:
        y[np.arange(y.shape[0]), target] = values
    else:
        np.put_along_axis(y, target[:, None], values[:, None], axis=1)
    return y


pick_class.vjp(x=lambda g, x, target, scale: put_class(g, x, target, scale))
put_class.vjp(g=lambda g, target, scale: pick_class(g, target, scale), x=lambda g, x: zeros_as(x))
pick_class.primitive.node_class.__name__ = "NllLossBackward0"
put_class.primitive.node_class.__name__ = "NllLossBackwardBackward0"


def _pick_log_softmax(x: Any, target: Any, scale: Any) -> Any:
    """−s_n log softmax(x)[n, t_n] from differentiable parts."""
    return pick_class(log_softmax_along(x, axis=1), target, scale)


@primitive(residuals=("norm",), composition=_pick_log_softmax)
def softmax_nll(x: Any, target: Any, scale: Any) -> Any:
    """y_n = s_n (log Σ_c e^{x_c} − x[n, t_n]);  x̄ = s_n ȳ_n (softmax(x) − [c = t_n]).

    Only the logits and log Σ e^x are kept: no array of the logits' size is stored.
    """
    top = np.max(x, axis=1, keepdims=True)
    norm = np.log(np.sum(np.exp(x - top), axis=1, keepdims=True)) + top
    y = scale * (norm[:, 0] - _at_class(x, target))
    return np.where(scale == 0, x.dtype.type(0), y), norm


def _softmax_nll_vjp(g: Any, x: Any, target: Any, scale: Any, norm: Any) -> Any:
    each = np.where(scale == 0, g.dtype.type(0), scale * g)
    x_bar = np.exp(x - norm)
    x_bar *= each[:, None]
    if x.ndim == 2:
        x_bar[np.arange(x.shape[0]), target] -= each
    else:
        place = target[:, None]
        np.put_along_axis(x_bar, place, np.take_along_axis(x_bar, place, 1) - each[:, None], 1)
    return x_bar


softmax_nll.vjp(x=_softmax_nll_vjp)
softmax_nll.primitive.node_class.__name__ = "CrossEntropyLossBackward0"


# ------------------------------------------------------------------------------ class numbers
def _check_classes(input: Any, target: Any, weight: Any) -> None:
    x, t = input._data, target._data
    if x.ndim == 0:
        raise ValueError(f"Expected 1 or more dimensions (got {x.ndim})")
    if x.ndim > 1:
        rows = t.shape[0] if t.ndim else 0
        if x.shape[0] != rows:
            raise ValueError(
                f"Expected input batch_size ({x.shape[0]}) to match target batch_size ({rows})."
            )
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if t.shape != expected and not (x.ndim == 1 and t.shape == (1,)):
        raise RuntimeError(
            f"Expected target size {list(expected)}, got {list(t.shape)} (input {list(x.shape)})"
        )
    classes = x.shape[1] if x.ndim > 1 else x.shape[0]
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but "
            f"got weight tensor of shape: {list(weight._data.shape)}"
        )
    if weight is not None and weight._data.dtype != x.dtype:
        raise RuntimeError(
            f"expected scalar type {dtype_title(x.dtype)} but found "
            f"{dtype_title(weight._data.dtype)}"
        )
    if t.dtype != I64 and t.dtype != np.uint8:
        raise RuntimeError(f"expected scalar type Long but found {dtype_title(t.dtype)}")


def _rows_of(input: Any, target: Any) -> tuple[Any, Any]:
    """Input and target (an array) as (N, C) and (N), or (N, C, M) and (N, M)."""
    x, t = input._data, target._data
    if x.ndim == 1:
        return view_(input, size=(1, x.shape[0])), t.reshape(1)
    if x.ndim == 2:
        return input, t
    n, c, m = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    return reshape(input, (n, c, m)), t.reshape(n, m)


def _nll(op: Any, input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """`op` (pick_class or softmax_nll) at the target, reduced; the mean is over weights in use."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    rows, t = _rows_of(input, target)
    dtype, classes = input._data.dtype, rows._data.shape[1]
    used = t != ignore_index
    outside = ((t < 0) | (t >= classes)) & used
    if outside.any():
        raise IndexError(f"Target {t[outside][0]} is out of bounds.")
    t = np.where(used, t, 0).astype(I64)
    if weight is None:
        scale = used.astype(dtype)
    else:
        scale = np.where(used, weight._data[t], 0).astype(dtype)
    if not classes:
        loss = wrap(np.zeros(t.shape, dtype))
    else:
        loss = op(rows, t, scale)
    if reduction == "none":
        return view_(loss, size=target._data.shape)
    if reduction == "sum":
        return sum(loss)
    total = float(scale.sum(dtype=F64))
    return sum(loss) / (total if total else math.nan)


@export("nn.functional.nll_loss")
def nll_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = −w_t x_t for log-probabilities x (C), (N, C) or (N, C, *) and classes t.

        x̄_t = −w_t l̄, 0 elsewhere

    The mean divides by the weights in use; ignore_index is not in use. IndexError for a class that
    is not there, ValueError or RuntimeError for shapes that do not fit.
    """
    reduction = chosen(size_average, reduce, reduction)
    _check_classes(input, target, weight)
    return _nll(pick_class, input, target, weight, ignore_index, reduction)


@export("nn.functional.cross_entropy")
def cross_entropy(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, ignore_index: int = -100,
    reduce: Any = None, reduction: str = "mean", label_smoothing: float = 0.0,
) -> Any:  # fmt: skip
    """l = −Σ_c w_c t_c log softmax(x)_c for logits x (C), (N, C) or (N, C, *).

        x̄ = l̄ (softmax(x) − t) for w = 1

    target: class numbers, or probabilities in x's shape. label_smoothing ε replaces t by
    (1 − ε) t + ε/C (Szegedy et al. 2016, section 7). Places with ignore_index count neither in the
    sum nor in the mean. Errors as `nll_loss`.
    """
    reduction = chosen(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    x, t = input._data, target._data
    class_dim = 0 if x.ndim == 1 else 1
    if x.shape == t.shape and x.ndim:
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _soft(input, target, weight, reduction, label_smoothing, class_dim)
    _check_classes(input, target, weight)
    nll = _nll(softmax_nll, input, target, weight, ignore_index, reduction)
    if label_smoothing == 0.0:
        return nll
    even = _even(input, target, weight, ignore_index, reduction, class_dim)
    return nll * (1 - label_smoothing) + even * (label_smoothing / x.shape[class_dim])


def _even(
    input: Any, target: Any, weight: Any, ignore_index: int, reduction: str, class_dim: int
) -> Any:
    """−Σ_c w_c log p_c at every place in use: the part that label smoothing adds."""
    log_p = log_softmax_along(input, axis=class_dim)
    used = (target._data != ignore_index).reshape(target._data.shape if class_dim else ())
    if weight is not None:
        log_p = log_p * _per_class(weight, log_p._data.ndim, class_dim)
    each = where(wrap(used), -sum(log_p, class_dim), 0.0)
    if reduction != "mean":
        return reduced(each, reduction)
    if weight is None:
        total = float(used.sum())
    else:
        t = np.where(used, target._data.reshape(used.shape), 0)
        total = float(np.where(used, weight._data[t], 0).sum(dtype=F64))
    return sum(each) / (total if total else math.nan)


def _per_class(weight: Any, ndim: int, class_dim: int) -> Any:
    return reshape(weight, [-1 if i == class_dim else 1 for i in range(ndim)])


def _soft(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float, class_dim: int
) -> Any:
    """Cross entropy with probabilities as targets; the mean is over places, not weights."""
    if target._data.dtype.kind in "biu":
        raise RuntimeError(
            "Expected floating point type for target with class probabilities, got "
            f"{dtype_title(target._data.dtype)}"
        )
    classes = input._data.shape[class_dim]
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: weight tensor should be defined either for all {classes} classes or "
            f"no classes but got weight tensor of shape: {list(weight._data.shape)}"
        )
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = log_softmax_along(input, axis=class_dim)
    if weight is not None:
        log_p = log_p * _per_class(weight, log_p._data.ndim, class_dim)
    loss = -sum(log_p * target, class_dim)
    if reduction != "mean":
        return reduced(loss, reduction)
    return sum(loss) / (loss._data.size if input._data.size else math.nan)


@export("nn.functional.linear_cross_entropy")
def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Any:
    """`cross_entropy` of the logits x Wᵀ + b, for input (in) or (N, in) and W (C, *, in).

    options say how PyTorch cuts the work into chunks; the result does not depend on them.
    RuntimeError for shapes that do not fit, and for an ignore_index with probabilities.
    """
    x, w = input._data.shape, linear_weight._data.shape
    _check_linear(x, w, None if linear_bias is None else linear_bias._data.shape)
    shape = (*x[:-1], *w[:-1])
    if target._data.shape == shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    outputs = math.prod(w[:-1])
    bias = None if linear_bias is None else reshape(linear_bias, (outputs,))
    logits = linear(input, reshape(linear_weight, (outputs, x[-1])), bias)
    return cross_entropy(
        reshape(logits, shape),
        target,
        weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _check_linear(x: tuple[int, ...], w: tuple[int, ...], bias: tuple[int, ...] | None) -> None:
    if len(x) not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {len(x)}")
    if len(w) < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {len(w)}")
    if x[-1] != w[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{x[-1]} and {w[-1]}, respectively"
        )
    if bias is not None and bias != w[:-1]:
        raise RuntimeError(f"expected linear_bias shape {w[:-1]}, got {bias}")
    if len(w) > 2 and len(x) == 1:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {w} requires batched input, "
            f"(N, {x[-1]}), got unbatched input with shape {x}"
        )
