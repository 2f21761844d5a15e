"""Averaged SGD (Polyak and Juditsky 1992; step sizes of Bottou 2010, "Large-scale machine
learning").
"""

from __future__ import annotations

from typing import Any

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def asgd(w, g, mean, eta, shrink, mu, decay):
    """One step of size eta; mean follows w until averaging starts (mu = 1)."""
    if decay:
        g = g + w * decay
    w *= shrink
    w -= g * eta
    if mu != 1.0:
        mean += (w - mean) * mu
    else:
        mean = w
    return w, mean


@export("optim.ASGD", "optim.asgd.ASGD")
class ASGD(Elementwise):
    r"""SGD with shrinking steps; the average of the parameters is in the state "ax".

        g ← g + λ′ w                                weight_decay λ′
        w ← (1 − λ η) w − η g                       lambd λ
        ax ← ax + μ (w − ax)
        η ← γ/(1 + λ γ t)^α        μ ← 1/max(1, t − t₀)

    foreach, capturable and differentiable are accepted and change nothing.
    """

    formula = staticmethod(asgd)
    arrays = ("ax",)
    counters = ("step", "eta", "mu")
    newer = {**Elementwise.newer, "capturable": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        check_options(defaults, unchecked=("alpha",))
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"step": 0.0, "eta": number(group["lr"]), "mu": 1.0, "ax": 0.0}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr, lambd = number(group["lr"]), group["lambd"]
        t, eta, mu = counters
        t += 1
        counters[:] = (
            t,
            lr / (1 + lambd * lr * t) ** group["alpha"],
            1 / max(1, t - group["t0"]),
        )
        return eta, 1 - lambd * eta, mu, number(group["weight_decay"])
