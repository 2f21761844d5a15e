"""Rprop (Riedmiller and Braun 1993): only the signs of gradients count; for whole data sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def rprop(w, g, before, size, slower, faster, smallest, largest):
    """One step; `before` is the last gradient, zero where it was taken back."""
    turn = g * before
    size = np.where(turn > 0, size * faster, np.where(turn < 0, size * slower, size))
    size = np.minimum(np.maximum(size, smallest), largest)
    g = np.where(turn < 0, g * 0.0, g)
    w -= np.where(g > 0, size, np.where(g < 0, -size, size * 0.0))  # none where g is nan
    return w, g, size


@export("optim.Rprop", "optim.rprop.Rprop")
class Rprop(Elementwise):
    r"""Step sizes that grow while a gradient keeps its sign and shrink when it turns.

        s ← s η₊ if g g′ > 0,  s η₋ if g g′ < 0   (g′: the last gradient; s = lr at first),
            kept within step_sizes
        g ← 0 if g g′ < 0:  no step where the gradient has just turned
        w ← w − sign(g) s

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(rprop)
    arrays = ("prev", "step_size")
    newer = {**Elementwise.newer, "capturable": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_options(defaults)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "prev": 0.0, "step_size": number(group["lr"])}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        counters[0] += 1
        return *group["etas"], *group["step_sizes"]
