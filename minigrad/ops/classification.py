"""Losses of probabilities against classes: cross entropies in all their forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import F64, I64
from ..core.primitive import as_array, primitive
from ..core.tensor import wrap
from ..core.views import unlinked
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import losses
from .activation import log_sigmoid
from .elementwise import clamp_min, exp, log, mul, sigmoid, where, xlogy
from .matmul import linear
from .piecewise import data_of, dtype_title, zeros_as
from .reduction import sum
from .regression import chosen, pairwise, reduced
from .shape import reshape, view_
from .softmax import log_softmax_along
from .sums import reduced as reduced_by


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


_bernoulli = pairwise(
    "bernoulli", "BinaryCrossEntropyBackward0", lambda p, t, _: bernoulli_nll(p, t),
    lambda p, t, _: (p - t) / np.maximum(p * (1 - p), 1e-12),
    lambda p, t, _: bernoulli_nll(p, t), losses.bernoulli, symmetric=False,
)  # fmt: skip


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
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise RuntimeError("all elements of input should be between 0 and 1")
    if weight is None and (y := _bernoulli(input, target, reduction)) is not None:
        return y
    return reduced(_weighted(bernoulli_nll(input, target), weight), reduction)


def _logit_values(x: Any, t: Any, number: float) -> Any:
    return (1 - t) * x + (np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x))))


_logits = pairwise(
    "logits_bernoulli", "BinaryCrossEntropyWithLogitsBackward0", _logit_values,
    lambda x, t, _: sigmoid(x) - t, lambda x, t, _: (1 - t) * x - log_sigmoid(x), losses.logits,
    symmetric=False,
)  # fmt: skip


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
    if weight is None and pos_weight is None:
        y = _logits(input, target, reduction)
        if y is not None:
            return y
    log_p = log_sigmoid(input)
    if pos_weight is not None:
        log_p = ((pos_weight - 1) * target + 1) * log_p
    return reduced(_weighted((1 - target) * input - log_p, weight), reduction)


_divergence = pairwise(
    "divergence", "KlDivBackward0", lambda x, t, _: xlogy(t, t) - t * x, lambda x, t, _: -t,
    lambda x, t, _: xlogy(t, t) - t * x, losses.divergence, symmetric=False, batchmean=True,
)  # fmt: skip


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
        if (y := _divergence(input, target, reduction)) is not None:
            return y
        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        total = sum(loss)
        return total / input._data.shape[0] if input._data.ndim else total
    return reduced(loss, reduction)


# ------------------------------------------------------------------------------ the target's class
def _at_class(x: Any, target: Any) -> Any:
    if x.ndim == 2:
        return x[array_module(x).arange(x.shape[0]), target]
    return np.take_along_axis(x, target[:, None], axis=1)[:, 0]


@primitive
def pick_class(x: Any, target: Any, scale: Any) -> Any:
    """y_n = −s_n x[n, t_n], 0 where s_n = 0;  x̄[n, t_n] = −s_n ȳ_n.  x (N, C) or (N, C, M)."""
    return np.where(scale == 0, x.dtype.type(0), -scale * _at_class(x, target))


@primitive
def put_class(g: Any, x: Any, target: Any, scale: Any) -> Any:
    """Zeros of x's shape but for −s_n g_n at class t_n: the adjoint of pick_class."""
    values = np.where(scale == 0, g.dtype.type(0), -scale * g)
    xp = array_module(x)
    y = xp.zeros(x.shape, g.dtype)
    if y.ndim == 2:
        y[xp.arange(y.shape[0]), target] = values
    else:
        xp.put_along_axis(y, target[:, None], values[:, None], axis=1)
    return y


pick_class.vjp(x=lambda g, x, target, scale: put_class(g, x, target, scale))
put_class.vjp(g=lambda g, target, scale: pick_class(g, target, scale), x=lambda g, x: zeros_as(x))
pick_class.primitive.node_class.__name__ = "NllLossBackward0"
put_class.primitive.node_class.__name__ = "NllLossBackwardBackward0"


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


def _scales(t: Any, weight: Any, ignore_index: int, classes: int, dtype: Any) -> tuple[Any, Any]:
    """(classes, weights) of every place, both 0 where the class is to be ignored. IndexError for a
    class that is not there.
    """
    used = t != ignore_index
    outside = ((t < 0) | (t >= classes)) & used
    if outside.any():
        raise IndexError(f"Target {t[outside][0]} is out of bounds.")
    t = np.where(used, t, 0).astype(I64)
    if weight is None:
        return t, used.astype(dtype)
    return t, np.where(used, weight[t] if classes else 0, 0).astype(dtype)


def _total(scale: Any) -> float:
    """What a mean divides by: the weights in use, or nan if there are none."""
    return float(np.add.reduce(scale, None, F64)) or math.nan


def _nll(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """pick_class at the target, reduced; the mean is over weights in use."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    rows, t = _rows_of(input, target)
    dtype, classes = input._data.dtype, rows._data.shape[1]
    raw = None if weight is None else weight._data
    t, scale = _scales(t, raw, ignore_index, classes, dtype)
    loss = pick_class(rows, t, scale) if classes else wrap(np.zeros(t.shape, dtype))
    if reduction == "none":
        return unlinked(view_(loss, size=target._data.shape))
    return sum(loss) if reduction == "sum" else sum(loss) / _total(scale)


# ------------------------------------------------------------------------------ softmax and nll
def _class_parts(
    x: Any, target: Any, weight: Any, *, ignore_index: int, smoothing: float, reduction: str
) -> Any:
    """`class_cross_entropy` from differentiable parts."""
    t, raw = data_of(target), None if weight is None else data_of(weight)
    rows, t = _rows_of(x, wrap(t))
    t, scale = _scales(t, raw, ignore_index, rows.shape[1], x._data.dtype)
    log_p = log_softmax_along(rows, axis=1)
    loss = pick_class(log_p, t, scale) * (1 - smoothing)
    if smoothing:
        each = log_p if raw is None else log_p * raw.reshape(-1, *[1] * (log_p.ndim - 2))
        used = (data_of(target) != ignore_index).reshape(t.shape)
        loss = loss + where(wrap(used), sum(each, 1), 0.0) * (-smoothing / rows.shape[1])
    if reduction == "none":
        return view_(loss, size=data_of(target).shape)
    return sum(loss) if reduction == "sum" else sum(loss) / _total(scale)


@primitive(residuals=("norm", "scale", "total", "fused"), composition=_class_parts)
def class_cross_entropy(
    x: Any, target: Any, weight: Any, *, ignore_index: int, smoothing: float, reduction: str
) -> Any:
    """l = (1−ε) w_t (log Σ e^x − x_t) + ε/C Σ_c w_c (log Σ e^x − x_c) of every place, reduced.

        x̄ = l̄ (softmax(x)·((1−ε) w_t + ε/C Σ w) − (1−ε) w_t [c = t] − ε/C w_c)

    Only the logits and log Σ e^x are kept: no array of the logits' size is stored.
    """
    if type(x) is not np.ndarray and weight is None:
        found = cuda.launch.cross_entropy(x, target, ignore_index, smoothing)
        if found is not None:
            return _on_device(x, target, *found, ignore_index, reduction)
    found = losses.cross_entropy(x, target, weight, ignore_index, smoothing)
    if found is not None:
        loss, norm, scale = found
        y, total, least = losses.totals(loss, scale)
        if least == -math.inf:
            _scales(target, weight, ignore_index, x.shape[1], x.dtype)  # raises
        if reduction != "none":
            total = (total or math.nan) if reduction == "mean" else 1.0
            return np.asarray(y / total, x.dtype), norm, scale, total, True
    else:
        z, t = _plain_rows(x, target)
        if weight is None and not smoothing and _all_used(t, z.shape[1], ignore_index):
            loss, norm = _plain_losses(z, t)
            loss = loss.reshape(target.shape)
            total = float(loss.size) if reduction == "mean" else None
            if reduction == "none":
                return loss, norm, None, None, False
            y = loss.sum()
            return as_array(y / total if total else y).astype(x.dtype), norm, None, total, False
        t, scale = _scales(t, weight, ignore_index, z.shape[1], z.dtype)
        loss, norm = _class_losses(z, t, scale, weight, smoothing)
        if smoothing:
            loss = np.where(target.reshape(t.shape) != ignore_index, loss, z.dtype.type(0))
        loss = loss.reshape(target.shape)
    if reduction == "none":
        return loss, norm, scale, None, found is not None
    y, total = loss.sum(dtype=F64), 1.0
    if reduction == "mean":
        total = _total(scale)
    return as_array(y / total).astype(x.dtype), norm, scale, total, False


def _on_device(
    x: Any, target: Any, loss: Any, norm: Any, ignore_index: int, reduction: str
) -> tuple[Any, ...]:
    """What the kernel of a GPU has computed, reduced there: nothing waits for a number."""
    if reduction == "none":
        return loss.astype(x.dtype, copy=False), norm, None, None, True
    y, total = cuda.launch.mean_loss(x, loss, target, ignore_index, reduction == "mean")
    return y, norm, None, total, True


def _all_used(t: Any, classes: int, ignore_index: int) -> bool:
    """Whether no place is to be ignored and every class is there."""
    return (
        t.size > 0
        and t.min() >= 0
        and t.max() < classes
        and not (0 <= ignore_index < classes and (t == ignore_index).any())
    )


def _plain_losses(x: Any, t: Any) -> tuple[Any, Any]:
    """`_class_losses` where all weights are 1."""
    top = reduced_by(np.maximum, x, (1,), True)
    shifted = x - top
    off = np.log(reduced_by(np.add, np.exp(shifted), (1,), True))
    return off[:, 0] - _at_class(shifted, t), off + top


def _plain_slope(g: Any, x: Any, t: Any, norm: Any) -> Any:
    """softmax(x) − [c = t], times g."""
    x_bar = np.exp(x - norm)
    if x.ndim == 2:
        x_bar[array_module(x).arange(x.shape[0]), t] -= 1
    else:
        place = t[:, None]
        array_module(x).put_along_axis(x_bar, place, np.take_along_axis(x_bar, place, 1) - 1, 1)
    x_bar *= g if not g.ndim else g.reshape(t.shape)[:, None]
    return x_bar


def _class_losses(x: Any, t: Any, scale: Any, weight: Any, smoothing: float) -> tuple[Any, Any]:
    """The loss of every place, and log Σ e^x."""
    top = np.max(x, axis=1, keepdims=True)
    shifted = x - top
    off = np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    zero = x.dtype.type(0)
    y = np.where(scale == 0, zero, scale * (off[:, 0] - _at_class(shifted, t)))
    if smoothing:
        each = off - shifted
        if weight is not None:
            each *= weight.reshape(-1, *[1] * (x.ndim - 2))
        y = y * (1 - smoothing) + np.sum(each, axis=1) * (smoothing / x.shape[1])
    return y, off + top


def _plain_rows(x: Any, target: Any) -> tuple[Any, Any]:
    """`_rows_of` for arrays."""
    if x.ndim == 1:
        return x.reshape(1, -1), target.reshape(1)
    if x.ndim == 2:
        return x, target
    size = (x.shape[0], x.shape[1], math.prod(x.shape[2:]))
    return x.reshape(size), target.reshape(size[0], size[2])


def _class_cross_entropy_vjp(
    g: Any, x: Any, target: Any, weight: Any, norm: Any, scale: Any, total: Any, fused: bool,
    ignore_index: int, smoothing: float,
) -> Any:  # fmt: skip
    if fused and type(x) is not np.ndarray:
        each = g if total is None else g / total
        return cuda.launch.cross_entropy_backward(each, x, target, ignore_index, smoothing, norm)
    each = g if total is None else g / g.dtype.type(total)
    if fused:
        return losses.cross_entropy_backward(
            each, x, target, weight, ignore_index, smoothing, norm, scale
        )
    z, t = _plain_rows(x, target)
    if scale is None:
        return _plain_slope(each, z, t, norm).reshape(x.shape)
    used = t != ignore_index
    zero = z.dtype.type(0)
    each = np.broadcast_to(as_array(each), target.shape).astype(z.dtype).reshape(t.shape)
    at_class = np.where(scale == 0, zero, scale * each * z.dtype.type(1 - smoothing))
    even = z.dtype.type(smoothing / z.shape[1])
    per_class = None if weight is None else weight.reshape(-1, *[1] * (z.ndim - 2))
    everywhere = at_class
    if smoothing:
        whole = z.shape[1] if weight is None else weight.sum()
        spread = np.where(used, each * even, zero)[:, None]
        everywhere = at_class + spread[:, 0] * z.dtype.type(whole)
    x_bar = np.exp(z - norm)
    x_bar *= everywhere[:, None]
    if smoothing:
        x_bar -= spread if per_class is None else spread * per_class
    x_bar = np.where(used[:, None], x_bar, zero)
    t = np.where(used, t, 0).astype(I64, copy=False)
    if z.ndim == 2:
        x_bar[array_module(z).arange(z.shape[0]), t] -= at_class
    else:
        place = t[:, None]
        values = np.take_along_axis(x_bar, place, 1) - at_class[:, None]
        array_module(x).put_along_axis(x_bar, place, values, 1)
    return x_bar.reshape(x.shape)


class_cross_entropy.vjp(x=_class_cross_entropy_vjp)
class_cross_entropy.primitive.node_class.__name__ = "CrossEntropyLossBackward0"


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
    return _nll(input, target, weight, ignore_index, reduction)


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
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if not x.shape[class_dim]:
        return _nll(input, target, weight, ignore_index, reduction)
    return class_cross_entropy(
        input, target, None if weight is None else weight.detach(),
        ignore_index=ignore_index, smoothing=float(label_smoothing), reduction=reduction,
    )  # fmt: skip


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
