"""RMSprop (Hinton 2012, lecture 6e of "Neural networks for machine learning")."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def rmsprop(w, g, v, b, mean, lr, alpha, rate, eps, momentum, decay):
    """One step; rate = 1 − α. b is None without momentum, mean is None unless centered."""
    if decay:
        g = g + w * decay
    v *= alpha
    v += g * g * rate
    if mean is not None:
        mean += (g - mean) * rate
        g = g / (np.sqrt(v - mean * mean) + eps)
    else:
        g = g / (np.sqrt(v) + eps)
    if b is not None:
        b *= momentum
        b += g
        g = b
    w -= g * lr
    return w, v, b, mean


@export("optim.RMSprop", "optim.rmsprop.RMSprop")
class RMSprop(Elementwise):
    r"""Gradients divided by the root of their recent mean square.

        g ← g + λ w
        v ← α v + (1 − α) g²
        u = g / (√v + ε)            or, centered (Graves 2013):
                                    ḡ ← α ḡ + (1 − α) g,  u = g / (√(v − ḡ²) + ε)
        b ← μ b + u                 momentum μ
        w ← w − γ b                 (γ u without momentum)

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(rmsprop)
    arrays = ("square_avg", "momentum_buffer", "grad_avg")
    newer = {**Elementwise.newer, "momentum": 0, "centered": False, "capturable": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        first = {"step": 0.0, "square_avg": 0.0}
        if group["momentum"] > 0:
            first["momentum_buffer"] = 0.0
        if group["centered"]:
            first["grad_avg"] = 0.0
        return first

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        counters[0] += 1
        lr, alpha, decay = number(group["lr"]), group["alpha"], number(group["weight_decay"])
        return lr, alpha, 1 - alpha, group["eps"], group["momentum"], decay
