"""SWALR, the schedule of stochastic weight averaging. The average itself is a module:
minigrad/nn/averaging.py.
"""

from __future__ import annotations

import math
from typing import Any

from ..export import export
from .lr_scheduler.base import LRScheduler, for_groups
from .optimizer import Optimizer


@export("optim.swa_utils.SWALR")
class SWALR(LRScheduler):
    """From the present rates to swa_lr in anneal_epochs steps, then constant (Izmailov et al.
    2018).

        γₜ = a swa_lr + (1 − a) γ₀        a = (1 − cos(π x))/2 ("cos") or x ("linear"),
                                          x = min(1, t/anneal_epochs)

    Computed from γₜ₋₁, so that it can follow another scheduler. ValueError for an unknown
    anneal_strategy or anneal_epochs that is no integer ≥ 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ):
        rates = for_groups("swa_lr", optimizer, swa_lr)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _weight(self, step: int) -> float:
        """How much of swa_lr there is at a step."""
        x = max(0, min(1, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * x)) / 2 if self._anneal_strategy == "cos" else x

    def get_lr(self) -> list[Any]:
        """The rates of this step."""
        self._warn_outside()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._weight(step - 1), self._weight(step)
        rates = []
        for group in self.optimizer.param_groups:
            lr, target = group["lr"], group["swa_lr"]
            first = target if before == 1 else (lr - before * target) / (1 - before)
            rates.append(target * now + first * (1 - now))
        return rates
