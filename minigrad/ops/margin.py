"""Losses with a margin: no cost beyond it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import wrap
from ..core.views import unlinked
from ..export import export
from .activation import log_sigmoid, relu_, softplus
from .arguments import dtype_title
from .classification import pick_class
from .distance import pairwise_distance
from .elementwise import clamp_min, minimum, mul, square, where
from .embedding import lookup
from .reduction import sum
from .regression import chosen, reduced
from .shape import reshape, unsqueeze


# ------------------------------------------------------------------------------ signs as targets
@export("nn.functional.hinge_embedding_loss")
def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = x where t = 1, max(0, margin − x) where t = −1."""
    reduction = chosen(size_average, reduce, reduction)
    negative = where(target != 1, clamp_min(margin - input, 0), 0.0)
    positive = where(target != -1, input, 0.0)
    return reduced(negative + positive, reduction)


@export("nn.functional.margin_ranking_loss")
def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = max(0, −t (x₁ − x₂) + margin): x₁ should rank above x₂ where t = 1, below where t = −1.

    RuntimeError if the numbers of dimensions differ.
    """
    reduction = chosen(size_average, reduce, reduction)
    if not input1._data.ndim == input2._data.ndim == target._data.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced(clamp_min(-target * (input1 - input2) + float(margin), 0), reduction)


@export("nn.functional.soft_margin_loss")
def soft_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """l = log(1 + e^{−t x}),  x̄ = −t σ(−t x)·l̄."""
    reduction = chosen(size_average, reduce, reduction)
    return reduced(softplus(-target * input, threshold=math.inf), reduction)


@export("nn.functional.cosine_embedding_loss")
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0, size_average: Any = None,
    reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = 1 − cos(x₁, x₂) where t = 1, max(0, cos(x₁, x₂) − margin) where t = −1.

    Vectors (D) with a 0-d target, or (N, D) with (N); else RuntimeError.
    """
    reduction = chosen(size_average, reduce, reduction)
    a, b, t = input1._data, input2._data, target._data
    if t.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if a.ndim != t.ndim + 1 or b.ndim != t.ndim + 1:
        raise RuntimeError(
            f"{t.ndim}D target tensor expects {t.ndim + 1}D input tensors, but found inputs with "
            f"sizes {list(a.shape)} and {list(b.shape)}."
        )
    # PyTorch's guard here: the squared norms are moved from zero by 1e-12
    n1, n2 = sum(square(input1), t.ndim) + 1e-12, sum(square(input2), t.ndim) + 1e-12
    cosine = sum(mul(input1, input2), t.ndim) / (n1 * n2) ** 0.5
    near = where(target == 1, 1 - cosine, 0.0)
    return reduced(near + where(target == -1, clamp_min(cosine - margin, 0), 0.0), reduction)


# ------------------------------------------------------------------------------ triplets
@export("nn.functional.triplet_margin_loss")
def triplet_margin_loss(
    anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2,
    eps: float = 1e-6, swap: bool = False, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = max(0, d(a, p) − d(a, n) + margin) with the p-norm distance d (Balntas et al. 2016).

    swap: d(a, n) is replaced by d(p, n) where that is smaller. ValueError for a margin ≤ 0,
    RuntimeError for different numbers of dimensions.
    """
    reduction = chosen(size_average, reduce, reduction)

    def distance(x: Any, y: Any) -> Any:
        return pairwise_distance(x, y, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(
    a: Any, p: Any, n: Any, distance: Any, margin: float, swap: bool, reduction: str
) -> Any:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not a._data.ndim == p._data.ndim == n._data.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {a._data.ndim}D, positive {p._data.ndim}D, and negative "
            f"{n._data.ndim}D inputs"
        )
    near, far = distance(a, p), distance(a, n)
    if swap:
        far = minimum(far, distance(p, n))
    return reduced(clamp_min(near - far + margin, 0), reduction)


@export("nn.functional.triplet_margin_with_distance_loss")
def triplet_margin_with_distance_loss(
    anchor: Any, positive: Any, negative: Any, *, distance_function: Any = None,
    margin: float = 1.0, swap: bool = False, reduction: str = "mean",
) -> Any:  # fmt: skip
    """`triplet_margin_loss` with the caller's distance; ValueError for another reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    distance = pairwise_distance if distance_function is None else distance_function
    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


# ------------------------------------------------------------------------------ several classes
@export("nn.functional.multi_margin_loss")
def multi_margin_loss(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = Σ_{c≠t} w_t max(0, margin − x_t + x_c)^p / C for scores x (C) or (N, C) and classes t.

    ValueError for p other than 1 and 2, RuntimeError for shapes and classes that do not fit.
    """
    reduction = chosen(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight._data.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x, t = input._data, target._data
    rows, classes = (x.shape[0] if x.ndim == 2 else 1), (x.shape[-1] if x.ndim else 1)
    if x.ndim > 2 or classes == 0:
        raise RuntimeError(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
            f"{list(x.shape)}"
        )
    if t.ndim > 1 or t.size != rows:
        raise RuntimeError(f"inconsistent target size, expected {rows} but got {list(t.shape)}")
    if weight is not None and weight._data.shape != (classes,):
        raise RuntimeError(
            f"inconsistent weight size, expected {classes} but got {list(weight._data.shape)}"
        )
    index = t.reshape(rows).copy()  # the node's own
    if index.size and (index.min() < 0 or index.max() >= classes):
        raise RuntimeError("target out of range")
    flat = reshape(input, (rows, classes))
    minus_own = pick_class(flat, index, np.ones(rows, x.dtype))
    z = relu_(margin + unsqueeze(minus_own, 1) + flat)
    z = z if p == 1 else square(z)
    if weight is not None:
        z = z * wrap(weight._data[index][:, None])
    others = wrap(np.arange(classes) != index[:, None])
    loss = sum(where(others, z, 0.0), 1) / classes
    return reduced(unlinked(reshape(loss, t.shape)), reduction)


@export("nn.functional.multilabel_margin_loss")
def multilabel_margin_loss(
    input: Any, target: Any, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Any:
    """l = Σ over target classes j and other classes i of max(0, 1 − x_j + x_i) / C.

    Scores (C) or (N, C); the targets are class numbers, ended by the first −1. RuntimeError for
    shapes and classes that do not fit.
    """
    reduction = chosen(size_average, reduce, reduction)
    x, t = input._data, target._data
    if t.dtype != np.int64:
        raise RuntimeError(f"expected scalar type Long but found {dtype_title(t.dtype)}")
    if x.ndim > 2 or t.shape != x.shape or (x.ndim and x.shape[-1] == 0):
        raise RuntimeError(
            f"inconsistent target size: {list(t.shape)} for input of size: {list(x.shape)}"
        )
    rows, classes = x.shape if x.ndim == 2 else (1, x.size)
    index = t.reshape(rows, classes)
    if index.size and (index.min() < -1 or index.max() >= classes):
        raise RuntimeError("target out of range")
    listed = np.cumprod(index >= 0, axis=1).astype(bool)
    is_target = np.zeros((rows, classes), bool)
    row, place = np.nonzero(listed)
    is_target[row, index[row, place]] = True
    cell = np.where(listed, index, 0) + np.arange(rows)[:, None] * classes
    own = lookup(reshape(input, (rows * classes,)), cell, padding_idx=None, by_frequency=False)
    z = relu_(1 - unsqueeze(own, 2) + unsqueeze(reshape(input, (rows, classes)), 1))
    pairs = wrap(listed[:, :, None] & ~is_target[:, None, :])
    loss = sum(where(pairs, z, 0.0), (1, 2)) / classes
    return reduced(loss if x.ndim == 2 else reshape(loss, ()), reduction)


@export("nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """l = −Σ_c (t log σ(x) + (1 − t) log σ(−x)) / C over the last dimension.

    ValueError for another reduction.
    """
    reduction = chosen(size_average, reduce, reduction)
    loss = -(target * log_sigmoid(input) + (1 - target) * log_sigmoid(-input))
    loss = loss if weight is None else loss * weight
    return reduced(sum(loss, -1) / input._data.shape[-1], reduction)
