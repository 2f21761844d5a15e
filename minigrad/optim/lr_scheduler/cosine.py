"""Annealing along a cosine (Loshchilov and Hutter 2016, "SGDR")."""

from __future__ import annotations

import math
from typing import Any

from ...export import export
from ..optimizer import Optimizer
from .base import LRScheduler


def half_wave(part: float) -> float:
    """1 at 0, 0 at 1, along a cosine."""
    return (1 + math.cos(math.pi * part)) / 2


@export("optim.lr_scheduler.CosineAnnealingLR")
class CosineAnnealingLR(LRScheduler):
    """γₜ = η + (γ₀ − η)(1 + cos(π t/T_max))/2 with eta_min η; it rises again after T_max steps.

    Computed from γₜ₋₁, so that it can be chained with other schedulers.
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of step `last_epoch`."""
        self._warn_outside()
        if self._is_initial:
            return self._unchanged()
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (t - 1 - period) % (2 * period) == 0:  # it was eta_min: nothing to be multiplied
            rise = 1 - half_wave(1 / period)
            return [
                group["lr"] + (base - low) * rise
                for base, group in zip(self.base_lrs, groups, strict=True)
            ]
        ratio = half_wave(t / period) / half_wave((t - 1) / period)
        return [ratio * (group["lr"] - low) + low for group in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        height = half_wave(self.last_epoch / self.T_max)
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


@export("optim.lr_scheduler.CosineAnnealingWarmRestarts")
class CosineAnnealingWarmRestarts(LRScheduler):
    """γₜ = η + (γ₀ − η)(1 + cos(π T_cur/T_i))/2, T_cur counting from 0 after every restart.

    The first period is T_0, each further one T_mult times as long. `step(epoch)` may be given
    fractions. ValueError for T_0 or T_mult that are no positive integers.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        if T_0 <= 0 or not isinstance(T_0, int):
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if T_mult < 1 or not isinstance(T_mult, int):
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, float | int):
            raise ValueError(
                f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}"
            )
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of step `last_epoch`."""
        self._warn_outside()
        height = half_wave(self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Count one step, or go to `epoch`, which may be a fraction; ValueError if negative."""
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        else:
            self._go_to(epoch)
        self.last_epoch = math.floor(epoch)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._write(rates)

    def _go_to(self, epoch: float) -> None:
        """The period that an epoch lies in, and its place there."""
        first, growth = self.T_0, self.T_mult
        if epoch < first:
            self.T_cur, self.T_i = epoch, first
        elif growth == 1:
            self.T_cur = epoch % first
        else:  # the first n periods take T_0 (T_multⁿ − 1)/(T_mult − 1) steps
            n = int(math.log(epoch / first * (growth - 1) + 1, growth))
            self.T_cur = epoch - first * (growth**n - 1) / (growth - 1)
            self.T_i = first * growth**n
