"""Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms")."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def lion(w, g, m, lr, rate1, rate2, shrink):
    """One step; rate = 1 − β."""
    w *= shrink
    u = m + (g - m) * rate1
    w -= np.where(u > 0, lr, np.where(u < 0, -lr, u * 0.0))
    m += (g - m) * rate2
    return w, m


@export("optim.Lion", "optim.lion.Lion")
class Lion(Elementwise):
    r"""Steps of one size in the direction of a momentum's sign (program 1). Not in PyTorch.

        w ← (1 − γλ) w − γ sign(β₁ m + (1 − β₁) g)        weight_decay λ
        m ← β₂ m + (1 − β₂) g

    One state instead of Adam's two; learning rates are 3 to 10 times smaller than Adam's, weight
    decay as much larger.
    """

    formula = staticmethod(lion)
    arrays = ("exp_avg",)
    counters = ()

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"exp_avg": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr = number(group["lr"])
        beta1, beta2 = map(number, group["betas"])
        return lr, 1 - beta1, 1 - beta2, 1 - lr * number(group["weight_decay"])
