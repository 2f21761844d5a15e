"""Learning-rate schedulers: after every optimizer step, `scheduler.step()` sets the next rate.

base         LRScheduler
factors      rates that are changed by a factor from step to step
cosine       annealing along a cosine, with restarts
cycles       rates that rise and fall, momentum the other way: CyclicLR, OneCycleLR
plateau      ReduceLROnPlateau
combined     several schedulers together or one after the other
warmup       rates for training from scratch: warm-up, then constant, cosine, 1/√t, or WSD
"""

from __future__ import annotations

from . import base, combined, cosine, cycles, factors, plateau, warmup

__all__ = ["base", "combined", "cosine", "cycles", "factors", "plateau", "warmup"]
