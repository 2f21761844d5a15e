"""Adagrad (Duchi, Hazan and Singer 2011): a learning rate for each number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def adagrad(w, g, total, rate, eps, decay):
    """One step with the learning rate `rate`."""
    if decay:
        g = g + w * decay
    total += g * g
    w -= g * rate / (np.sqrt(total) + eps)
    return w, total


@export("optim.Adagrad", "optim.adagrad.Adagrad")
class Adagrad(Elementwise):
    r"""Divide by the root of the sum of all squared gradients so far.

        g ← g + λ w
        s ← s + g²         (s = initial_accumulator_value at first)
        w ← w − γ/(1 + (t − 1) η) · g / (√s + ε)        lr_decay η

    The states exist from the beginning on, as in PyTorch. foreach, fused and differentiable are
    accepted and change nothing.
    """

    formula = staticmethod(adagrad)
    arrays = ("sum",)
    newer = {**Elementwise.newer, "fused": None}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_options(defaults)
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                self._begin(p, self._first(group))

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "sum": self.defaults["initial_accumulator_value"]}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        rate = number(group["lr"]) / (1 + counters[0] * group["lr_decay"])
        counters[0] += 1
        return rate, group["eps"], number(group["weight_decay"])

    def share_memory(self) -> None:
        """Nothing: data loading and training here do not share optimizers between processes."""
