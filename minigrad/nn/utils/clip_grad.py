"""Bounding gradients before a step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...backend.devices import array_module, device_of
from ...core.tensor import Tensor, wrap
from ...export import export
from ...kernels import cuda


def _gradients(parameters: Any) -> list[Tensor]:
    items: Iterable[Any] = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p._grad for p in items if p._grad is not None]


def _norm(x: Any, p: float) -> float:
    """(Σ |xᵢ|ᵖ)^(1/p) of one array."""
    x = x.reshape(-1)
    if x.itemsize < 4:  # sums of half-precision numbers overflow and lose their digits
        x = x.astype(np.float32)
    if array_module(x) is not np:
        x = x.get()
    if p == 2.0:  # vdot: one pass, no temporary
        square = float(np.vdot(x, x).real)
        if math.isfinite(square):
            return math.sqrt(square)
        x = x.astype(np.result_type(x, np.float64))  # squares overflow where the norm does not
        return math.sqrt(float(np.vdot(x, x).real))
    if abs(p) == math.inf:
        # max and min carry nan along; of an empty array they are what changes nothing
        pick, nothing = (np.max, 0) if p > 0 else (np.min, math.inf)
        return float(pick(np.abs(x), initial=nothing))
    return float(np.linalg.norm(x.astype(np.result_type(x, np.float64)), p))


def total_of(arrays: list[Any], p: float, error_if_nonfinite: bool) -> Any:
    """The p-norm of all arrays together, an array of no dimension."""
    total: Any
    if _on_gpu(arrays) and p in (2.0, math.inf):
        total = cuda.launch_many.norm(arrays, largest=p == math.inf)
    else:
        total = _norm(np.array([_norm(a, p) for a in arrays]), p)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {p} for gradients from `parameters` is non-finite, so"
            " it cannot be clipped. To disable this error and scale the gradients by the"
            " non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return array_module(arrays[0]).asarray(total, arrays[0].real.dtype)


def _on_gpu(arrays: list[Any]) -> bool:
    """Whether kernels take the arrays: all on one GPU, of floating dtypes."""
    first = device_of(arrays[0])
    return first.type == "cuda" and all(
        [device_of(a) is first and a.dtype.kind in "fcV" for a in arrays]
    )


def shrink(arrays: list[Any], total: Any, max_norm: float) -> None:
    """Multiply the arrays by max_norm/(total + 1e-6) if that is below 1, in place."""
    if arrays and _on_gpu([*arrays, total]):
        cuda.launch_many.shrink(arrays, total, max_norm)
        return
    scale = min(max_norm / (float(total.item()) + 1e-6), 1.0)
    if scale != 1.0:  # nan is not 1: it must show in the gradients
        for a in arrays:
            a *= a.dtype.type(scale)


@export("nn.utils.get_total_norm", "nn.utils.clip_grad.get_total_norm")
def get_total_norm(
    tensors: Any,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The p-norm of all tensors together, as if they were one vector (0-d).

    ‖(x₁, x₂, ...)‖ₚ = ‖(‖x₁‖ₚ, ‖x₂‖ₚ, ...)‖ₚ; p = ±inf are the largest and smallest element. With
    p = 0 the second norm counts, as in PyTorch, the tensors that are not zero.
    """
    items = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    p = float(norm_type)
    if not items:
        return wrap(np.zeros((), np.float32))
    return wrap(total_of([t._data for t in items], p, error_if_nonfinite))


@export("nn.utils.clip_grads_with_norm_", "nn.utils.clip_grad.clip_grads_with_norm_")
def clip_grads_with_norm_(
    parameters: Any, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Multiply all gradients by max_norm/(total_norm + 1e-6) if that is below 1, in place."""
    grads = _gradients(parameters)
    shrink([g._data for g in grads], total_norm._data, float(max_norm))
    for g in grads:
        g._bump()


@export(
    "nn.utils.clip_grad_norm_",
    "nn.utils.clip_grad.clip_grad_norm_",
    "nn.utils.clip_grad_norm",
    deprecated=["nn.utils.clip_grad_norm"],
)
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
