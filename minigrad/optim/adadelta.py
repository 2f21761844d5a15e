"""Adadelta (Zeiler 2012): steps in the units of the parameters, without a learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def adadelta(w, g, v, a, lr, rho, rate, eps, decay):
    """One step; rate = 1 − ρ."""
    if decay:
        g = g + w * decay
    v *= rho
    v += g * g * rate
    delta = np.sqrt(a + eps) / np.sqrt(v + eps) * g
    a *= rho
    a += delta * delta * rate
    w -= delta * lr
    return w, v, a


@export("optim.Adadelta", "optim.adadelta.Adadelta")
class Adadelta(Elementwise):
    r"""Gradients divided by their recent size and multiplied by that of recent steps
    (algorithm 1).

        g ← g + λ w
        v ← ρ v + (1 − ρ) g²
        Δ = √(a + ε)/√(v + ε) · g        a ← ρ a + (1 − ρ) Δ²
        w ← w − γ Δ

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(adadelta)
    arrays = ("square_avg", "acc_delta")
    newer = {**Elementwise.newer, "capturable": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        check_options(defaults)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "square_avg": 0.0, "acc_delta": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        counters[0] += 1
        rho = group["rho"]
        return number(group["lr"]), rho, 1 - rho, group["eps"], number(group["weight_decay"])
