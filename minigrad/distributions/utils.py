"""What distributions share: parameters of one shape, probabilities and logits, lazy values."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from numbers import Number
from typing import Any

from ..export import export
from ._functions import (
    Tensor,
    arange,
    broadcast_tensors,
    enable_grad,
    finfo,
    get_default_dtype,
    is_tensor,
    randn,
    tensor,
    zeros,
)

euler_constant = 0.57721566490153286060
"""Euler–Mascheroni constant γ, the mean of the standard Gumbel distribution."""


@export("distributions.utils.broadcast_all")
def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """The values as tensors of one shape; numbers take the dtype of the first tensor.

    ValueError for what is neither a number nor a tensor.
    """
    if not all(is_tensor(v) or isinstance(v, Number) for v in values):
        raise ValueError(
            "Input arguments must all be instances of Number or minigrad.Tensor, but got "
            + ", ".join(type(v).__name__ for v in values)
        )
    first = next((v for v in values if is_tensor(v)), None)
    if first is None:
        dtype, device = get_default_dtype(), None
    else:
        dtype, device = first.dtype, first.device
    made = [v if is_tensor(v) else tensor(v, dtype=dtype, device=device) for v in values]
    return tuple(broadcast_tensors(*made))


@export("distributions.utils.clamp_probs")
def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept an epsilon of their dtype away from 0 and 1, so that logs are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


@export("distributions.utils.probs_to_logits")
def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """log(p/(1 − p)) of independent events if is_binary, else log p of the last dimension."""
    kept = clamp_probs(probs)
    return kept.log() - (-kept).log1p() if is_binary else kept.log()


@export("distributions.utils.logits_to_probs")
def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """σ(logits) of independent events if is_binary, else the softmax of the last dimension."""
    return logits.sigmoid() if is_binary else logits.softmax(-1)


@export("distributions.utils.lazy_property")
class lazy_property:
    """A property computed at the first look, with gradients, and kept as an attribute then."""

    def __init__(self, wrapped: Callable[[Any], Any]):
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


@export("distributions.utils.tril_matrix_to_vec")
def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangle of (*, n, n), up to diagonal `diag`, row by row: (*, D)."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows = arange(n)
    kept = rows < rows.view(-1, 1) + (diag + 1)
    return mat[..., kept]


@export("distributions.utils.vec_to_tril_matrix")
def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The lower triangular (*, n, n) whose triangle, up to diagonal `diag`, is (*, D) row by row.

    ValueError if D is the size of no triangle.
    """
    size = vec.shape[-1]
    # D = n(n+1)/2 + n·diag − diag(diag+1)/2 for diag >= 0, solved for n; also right for diag < 0
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * size + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    eps = finfo(vec.dtype).eps
    if round(n) - n > eps:
        raise ValueError(
            f"The size of last dimension is {size} which cannot be expressed as the lower "
            "triangular part of a square D x D matrix."
        )
    n = round(n)
    mat = zeros(vec.shape[:-1] + (n, n), dtype=vec.dtype, device=vec.device)
    rows = arange(n)
    mat[..., rows < rows.view(-1, 1) + (diag + 1)] = vec
    return mat


def sum_rightmost(value: Any, dims: int) -> Any:
    """The sum over the last `dims` dimensions of a tensor; a number stays as it is."""
    if dims == 0 or not is_tensor(value):
        return value
    return value.reshape(value.shape[:-dims] + (-1,)).sum(-1)


def standard_normal(shape: Any, like: Tensor) -> Tensor:
    """N(0, 1) numbers in the dtype and on the device of `like`."""
    return randn(shape, dtype=like.dtype, device=like.device)
