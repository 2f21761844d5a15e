"""Adam (Kingma and Ba 2014): steps of the gradient's mean, measured in units of its deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, check_tensor_options, number


def adam(w, g, m, v, largest, rate1, beta2, rate2, scale, eps, decay, shrink):
    """One step; rate = 1 − β. The corrections for the start at zero are in scale and eps."""
    if decay:
        g = g + w * decay
    if shrink != 1.0:
        w *= shrink
    m += (g - m) * rate1
    v *= beta2
    v += g * g * rate2
    if largest is not None:
        largest = np.maximum(largest, v)
        w -= m * scale / (np.sqrt(largest) + eps)
    else:
        w -= m * scale / (np.sqrt(v) + eps)
    return w, m, v, largest


@export("optim.Adam", "optim.adam.Adam")
class Adam(Elementwise):
    r"""Moving averages of gradient and squared gradient, corrected for their start at zero
    (algorithm 1).

        g ← g + λ w                  weight_decay λ
                                     (w ← w − γλ w instead if decoupled_weight_decay: AdamW)
        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        w ← w − γ/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)

    amsgrad uses the largest v so far (Reddi et al. 2018); maximize turns g around. The real
    and imaginary parts of a complex parameter are parameters of their own. foreach, fused,
    capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(adam)
    arrays = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    newer = {
        **Elementwise.newer,
        "amsgrad": False,
        "capturable": False,
        "fused": None,
        "decoupled_weight_decay": False,
    }

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        check_options(defaults)
        check_tensor_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        first = {"step": 0.0, "exp_avg": 0.0, "exp_avg_sq": 0.0}
        return {**first, "max_exp_avg_sq": 0.0} if group["amsgrad"] else first

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr, decay = number(group["lr"]), number(group["weight_decay"])
        beta1, beta2 = map(number, group["betas"])
        counters[0] += 1
        t = counters[0]
        # √v/√c + ε = (√v + ε√c)/√c: the correction moves into two numbers
        root = math.sqrt(1 - beta2**t)
        scale = lr / (1 - beta1**t) * root
        decay, shrink = (0.0, 1 - lr * decay) if group["decoupled_weight_decay"] else (decay, 1.0)
        return 1 - beta1, beta2, 1 - beta2, scale, group["eps"] * root, decay, shrink
