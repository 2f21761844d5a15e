"""RAdam (Liu et al. 2019): Adam that uses its deviations only once it has seen enough steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def radam(w, g, m, v, rate1, beta2, rate2, rectified, scale, eps, decay, shrink):
    """One step; rate = 1 − β. Not yet rectified, it is a step of plain momentum."""
    if decay:
        g = g + w * decay
    if shrink != 1.0:
        w *= shrink
    m += (g - m) * rate1
    v *= beta2
    v += g * g * rate2
    w -= m * scale / (np.sqrt(v) + eps) if rectified else m * scale
    return w, m, v


@export("optim.RAdam", "optim.radam.RAdam")
class RAdam(Elementwise):
    r"""Adam with its variance rectified (algorithm 2): a warm-up that needs no setting.

        g ← g + λ w        (w ← w − γλ w instead if decoupled_weight_decay)
        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²        m̂ = m/(1 − β₁ᵗ)
        ρ = 2/(1 − β₂) − 1           ρₜ = ρ − 2 t β₂ᵗ/(1 − β₂ᵗ)
        w ← w − γ m̂ √(1 − β₂ᵗ)/(√v + ε) · √((ρₜ−4)(ρₜ−2)ρ / ((ρ−4)(ρ−2)ρₜ))    if ρₜ > 5
        w ← w − γ m̂                                                             otherwise

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(radam)
    arrays = ("exp_avg", "exp_avg_sq")
    newer = {**Elementwise.newer, "capturable": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        beta1, beta2 = map(number, group["betas"])
        counters[0] += 1
        t = counters[0]
        left = 1 - beta2**t
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / left
        scale = lr / (1 - beta1**t)
        rectified = length > 5
        if rectified:
            ratio = (length - 4) * (length - 2) * longest
            ratio /= (longest - 4) * (longest - 2) * length
            scale *= math.sqrt(left) * math.sqrt(ratio)
        decay, shrink = (0.0, 1 - lr * decay) if group["decoupled_weight_decay"] else (decay, 1.0)
        return 1 - beta1, beta2, 1 - beta2, rectified, scale, group["eps"], decay, shrink
