"""Bounding gradients before a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...core.tensor import Tensor, wrap
from ...export import export


def _gradients(parameters: Any) -> list[Tensor]:
    items: Iterable[Any] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p._grad for p in items if p._grad is not None]


@export("nn.utils.get_total_norm")
def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of all tensors together, as if they were one vector (0-d)."""
    items = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    p = float(norm_type)
    if not items:
        return wrap(np.zeros((), np.float32))
    arrays = [t._data for t in items]
    if p == 2.0:  # vdot: one pass, no temporary
        total = math.sqrt(sum(float(np.vdot(a, a).real) for a in arrays))
        if not math.isfinite(total):  # float32 sums of squares may overflow where the norm does not
            total = math.sqrt(sum(float(np.sum(np.abs(a.astype(np.float64)) ** 2)) for a in arrays))
    elif p == math.inf:
        total = max((float(np.max(np.abs(a), initial=0)) for a in arrays), default=0.0)
    else:
        total = sum(
            float(np.linalg.norm(a.reshape(-1).astype(np.float64), p)) ** p for a in arrays
        ) ** (1 / p)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so"
            " it cannot be clipped. To disable this error and scale the gradients by the"
            " non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return wrap(np.asarray(total, arrays[0].real.dtype))


@export("nn.utils.clip_grads_with_norm_")
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply all gradients by max_norm/(total_norm + 1e-6) if that is below 1, in place."""
    scale = min(float(max_norm) / (float(total_norm.item()) + 1e-6), 1.0)
    for g in _gradients(parameters):
        if scale != 1.0:  # nan is not 1: it must show in the gradients
            g._data *= g._data.dtype.type(scale)
            g._bump()


@export("nn.utils.clip_grad_norm_", "nn.utils.clip_grad.clip_grad_norm_")
def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients together so that their norm is at most max_norm (Pascanu et al. 2013);
    the norm before.
    """
    items = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    total = get_total_norm(_gradients(items), norm_type, error_if_nonfinite)
    clip_grads_with_norm_(items, max_norm, total)
    return total


@export("nn.utils.clip_grad_value_", "nn.utils.clip_grad.clip_grad_value_")
def clip_grad_value_(parameters: Any, clip_value: float, foreach: bool | None = None) -> None:
    """Clip every element of every gradient to [−clip_value, clip_value], in place."""
    bound = float(clip_value)
    for g in _gradients(parameters):
        np.clip(g._data, -bound, bound, out=g._data)
        g._bump()
