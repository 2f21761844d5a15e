"""Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers"): momentum made orthogonal."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer
from .options import check_lr, number

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of x ← a x + b x³ + c x⁵, which drives numbers in (0, 1] to about 1, fastest near 0."""


@export("optim.Muon", "optim.muon.Muon")
class Muon(Optimizer):
    r"""For matrices: the momentum with all singular values replaced by about one.

        b ← b + (1 − μ)(g − b)        u = g + μ (b − g)  if nesterov else b
        x = u/‖u‖,  then ns_steps times  x ← a x + (b′ A + c A²) x  with A = x xᵀ
        w ← (1 − γ λ) w − γ s x       s = √max(1, rows/columns), or with
                                      adjust_lr_fn="match_rms_adamw" 0.2 √max(rows, columns)
                                      (Liu et al. 2025)

    The iteration is run in float32 (float64 for such parameters), where PyTorch rounds to bfloat16.
    ValueError for parameters that are no matrices, RuntimeError for complex ones.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(
                        "Muon only supports 2D parameters whereas we found a parameter with size:"
                        f" {p.size()}"
                    )

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum = number(group["lr"]), group["momentum"]
        for p in group["params"]:
            if p._grad is None:
                continue
            if p.is_complex():
                raise RuntimeError("Muon does not support complex parameters")
            w, g = p._data, p._grad._data
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = wrap(np.zeros_like(g))
            b = state["momentum_buffer"]._data
            b += (g - b) * (1 - momentum)
            u = g + (b - g) * momentum if group["nesterov"] else b
            x = orthogonal(u, group["ns_coefficients"], group["ns_steps"], group["eps"])
            w *= 1 - lr * number(group["weight_decay"])
            w -= (x * (lr * _scale(group["adjust_lr_fn"], w.shape))).astype(w.dtype, copy=False)
            p._bump()


def orthogonal(u: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """The matrix nearest to u, up to its length, whose singular values are all about 1.

    A few Newton-Schulz iterations; ValueError for a hundred or more, or other than 3 coefficients.
    """
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    wide = u.shape[0] <= u.shape[1]  # x xᵀ is the smaller product
    x = (u if wide else u.T).astype(np.result_type(u.dtype, np.float32))
    x /= max(float(np.linalg.norm(x)), eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.T


def _scale(rule: str | None, shape: tuple[int, ...]) -> float:
    rows, columns = shape
    if rule == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))
