"""NAdam (Dozat 2016): Adam whose momentum looks one step ahead, as Nesterov's does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import as_counted, check_options, number


def nadam(w, g, m, v, rate1, beta2, rate2, now, ahead, eps, decay, shrink):
    """One step; rate = 1 − β, now and ahead are the factors of g and m."""
    if decay:
        g = g + w * decay
    if shrink != 1.0:
        w *= shrink
    m += (g - m) * rate1
    v *= beta2
    v += g * g * rate2
    w -= (g * now + m * ahead) / (np.sqrt(v) + eps)
    return w, m, v


@export("optim.NAdam", "optim.nadam.NAdam")
class NAdam(Elementwise):
    r"""Adam with Nesterov's momentum, which grows slowly to its full value.

        g ← g + λ w        (w ← w − γλ w instead if decoupled_weight_decay)
        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        μₜ = β₁ (1 − 0.96^(tψ) / 2)   momentum_decay ψ,    πₜ = μ₁ μ₂ ... μₜ
        w ← w − γ ((1 − μₜ)/(1 − πₜ) g + μₜ₊₁/(1 − πₜ₊₁) m) / (√v/√(1 − β₂ᵗ) + ε)

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(nadam)
    arrays = ("exp_avg", "exp_avg_sq")
    counters = ("step", "mu_product")
    newer = {**Elementwise.newer, "capturable": False, "decoupled_weight_decay": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "mu_product": 1.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        beta1, beta2 = map(number, group["betas"])
        counters[0] += 1
        t = counters[0]
        mu, later = (beta1 * (1 - 0.5 * 0.96 ** (s * group["momentum_decay"])) for s in (t, t + 1))
        product = counters[1] = as_counted(counters[1] * as_counted(mu))
        root = math.sqrt(1 - beta2**t)  # √v/√c + ε = (√v + ε√c)/√c
        now = lr * (1 - mu) / (1 - product) * root
        ahead = lr * later / (1 - product * later) * root
        decay, shrink = (0.0, 1 - lr * decay) if group["decoupled_weight_decay"] else (decay, 1.0)
        return 1 - beta1, beta2, 1 - beta2, now, ahead, group["eps"] * root, decay, shrink
