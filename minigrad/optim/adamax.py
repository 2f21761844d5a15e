"""Adamax (Kingma and Ba 2014, section 7.1): Adam with the largest gradient for the deviation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def adamax(w, g, m, u, rate1, beta2, scale, eps, decay):
    """One step; rate1 = 1 − β₁, scale = γ/(1 − β₁ᵗ)."""
    if decay:
        g = g + w * decay
    m += (g - m) * rate1
    u = np.maximum(u * beta2, np.abs(g) + eps)
    w -= m * scale / u
    return w, m, u


@export("optim.Adamax", "optim.adamax.Adamax")
class Adamax(Elementwise):
    r"""The limit of Adam for the p-norm of past gradients as p grows (algorithm 2).

        g ← g + λ w
        m ← β₁ m + (1 − β₁) g        u ← max(β₂ u, |g| + ε)
        w ← w − γ/(1 − β₁ᵗ) · m / u

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(adamax)
    arrays = ("exp_avg", "exp_inf")
    newer = {**Elementwise.newer, "capturable": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "exp_avg": 0.0, "exp_inf": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        beta1, beta2 = map(number, group["betas"])
        counters[0] += 1
        scale = number(group["lr"]) / (1 - beta1 ** counters[0])
        return 1 - beta1, beta2, scale, group["eps"], number(group["weight_decay"])
