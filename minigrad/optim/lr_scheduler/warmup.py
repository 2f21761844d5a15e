"""Rates for training from scratch: a linear warm-up, then constant or falling. Not in PyTorch.

In all of them γₜ = γ₀ f(t), and the warm-up is f(t) = (t + 1)/warmup_iters for t < warmup_iters:
the first step already moves, and the last one of the warm-up has the full rate.
"""

from __future__ import annotations

import math
from typing import Any

from ...export import export
from ..optimizer import Optimizer
from .base import LRScheduler
from .cosine import half_wave


@export("optim.lr_scheduler.WarmupLR")
class WarmupLR(LRScheduler):
    """Warm-up, then the full rate. ValueError for negative warmup_iters."""

    def __init__(self, optimizer: Optimizer, warmup_iters: int, last_epoch: int = -1):
        if warmup_iters < 0:
            raise ValueError(f"warmup_iters must not be negative, but is {warmup_iters}")
        self.warmup_iters = warmup_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of step `last_epoch`."""
        self._warn_outside()
        return self._get_closed_form_lr()

    def _get_closed_form_lr(self) -> list[Any]:
        t, first = self.last_epoch, self.warmup_iters
        factor = (t + 1) / first if t < first else self._after(t - first)
        return [base * factor for base in self.base_lrs]

    def _after(self, t: int) -> float:
        """The factor t steps after the warm-up."""
        return 1.0


class _Falling(WarmupLR):
    """Warm-up, then a fall that ends after total_iters steps at min_factor of the rate."""

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_iters: int,
        total_iters: int,
        min_factor: float = 0.0,
        last_epoch: int = -1,
    ):
        if total_iters <= warmup_iters:
            raise ValueError(
                f"total_iters must be more than warmup_iters, but is {total_iters} with"
                f" {warmup_iters}"
            )
        self.total_iters = total_iters
        self.min_factor = min_factor
        super().__init__(optimizer, warmup_iters, last_epoch)

    def _part(self, t: int) -> float:
        return min(1.0, t / (self.total_iters - self.warmup_iters))

    def _fallen(self, height: float) -> float:
        return self.min_factor + (1.0 - self.min_factor) * height


@export("optim.lr_scheduler.WarmupLinearLR")
class WarmupLinearLR(_Falling):
    """Warm-up, then a line down to min_factor at total_iters (BERT: Devlin et al. 2018)."""

    def _after(self, t: int) -> float:
        return self._fallen(1.0 - self._part(t))


@export("optim.lr_scheduler.WarmupCosineLR")
class WarmupCosineLR(_Falling):
    """Warm-up, then half a cosine down to min_factor at total_iters (GPT-3: Brown et al. 2020)."""

    def _after(self, t: int) -> float:
        return self._fallen(half_wave(self._part(t)))


@export("optim.lr_scheduler.InverseSqrtLR")
class InverseSqrtLR(WarmupLR):
    """Warm-up, then √(warmup_iters/(t + 1)) (Transformer: Vaswani et al. 2017, section 5.3)."""

    def _after(self, t: int) -> float:
        first = max(1, self.warmup_iters)
        return math.sqrt(first / (t + first))


@export("optim.lr_scheduler.WSDLR")
class WSDLR(WarmupLR):
    """Warm-up, stable, decay (MiniCPM: Hu et al. 2024): the length need not be known beforehand.

    The full rate for stable_iters steps after the warm-up, then down to min_factor in decay_iters:
    with part x of the decay done, 1 − x ("linear"), 1 − √x ("sqrt": Hägele et al. 2024), half a
    cosine ("cosine") or 0.5^(10 x) ("exponential"). ValueError for another decay_type.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_iters: int,
        stable_iters: int,
        decay_iters: int,
        min_factor: float = 0.0,
        decay_type: str = "linear",
        last_epoch: int = -1,
    ):
        if decay_type not in _DECAYS:
            raise ValueError(f"decay_type must be one of {list(_DECAYS)}, but is {decay_type!r}")
        if stable_iters < 0 or decay_iters <= 0:
            raise ValueError(
                "stable_iters must not be negative and decay_iters positive, but they are"
                f" {stable_iters} and {decay_iters}"
            )
        self.stable_iters = stable_iters
        self.decay_iters = decay_iters
        self.min_factor = min_factor
        self.decay_type = decay_type
        super().__init__(optimizer, warmup_iters, last_epoch)

    def _after(self, t: int) -> float:
        t -= self.stable_iters
        if t <= 0:
            return 1.0
        height = _DECAYS[self.decay_type](min(1.0, t / self.decay_iters))
        return self.min_factor + (1.0 - self.min_factor) * height


_DECAYS = {
    "linear": lambda x: 1.0 - x,
    "sqrt": lambda x: 1.0 - math.sqrt(x),
    "cosine": half_wave,
    "exponential": lambda x: 0.5 ** (10.0 * x),
}
