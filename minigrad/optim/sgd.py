"""Stochastic gradient descent (Robbins and Monro 1951), with momentum (Polyak 1964; Nesterov
1983).
"""

from __future__ import annotations

from typing import Any

from ..export import export
from .elementwise import Elementwise
from .options import check_options, number


def sgd(w, g, b, lr, momentum, damped, decay, nesterov):
    """One step; damped is 1 − dampening. b is None without momentum."""
    if decay:
        g = g + w * decay
    if b is not None:
        b *= momentum
        b += g * damped
        g = g + b * momentum if nesterov else b
    w -= g * lr
    return w, b


def sgdw(w, g, b, lr, momentum, damped, shrink, nesterov):
    """One step; damped is 1 − dampening, shrink 1 − lr·weight_decay."""
    w *= shrink
    if b is not None:
        b *= momentum
        b += g * damped
        g = g + b * momentum if nesterov else b
    w -= g * lr
    return w, b


@export("optim.SGD", "optim.sgd.SGD")
class SGD(Elementwise):
    r"""Descend along the gradient, smoothed by momentum.

        g ← g + λ w                              weight_decay λ
        b ← μ b + (1 − τ) g     (b = g at first)  momentum μ, dampening τ
        w ← w − γ (g + μ b  if nesterov else b)   lr γ

    maximize turns g around. foreach and fused are accepted and change nothing. (Sutskever et al.
    2013)
    """

    formula = staticmethod(sgd)
    arrays = ("momentum_buffer",)
    counters = ()
    newer = {**Elementwise.newer, "nesterov": False, "fused": False}

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        check_options(defaults)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, defaults)

    def _first(self, group: dict[str, Any]) -> dict[str, float]:
        return {"momentum_buffer": 0.0} if group["momentum"] else {}

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        damped = 1.0 if fresh else 1.0 - group["dampening"]
        decay = number(group["weight_decay"])
        return number(group["lr"]), group["momentum"], damped, decay, group["nesterov"]


@export("optim.SGDW", "optim.sgd.SGDW")
class SGDW(SGD):
    r"""SGD whose decay shrinks the weights themselves (algorithm 1): w ← (1 − γλ) w, then SGD's
    step. Not in PyTorch.

    With momentum, SGD's decay goes through the buffer; this one does not. As in AdamW it is scaled
    by lr, in the paper only by the schedule. (Loshchilov and Hutter 2019)
    """

    formula = staticmethod(sgdw)

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 1e-2,
        nesterov: bool = False,
        **options: Any,
    ):
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, **options)

    def _numbers(self, group: dict[str, Any], counters: list[float], fresh: bool) -> tuple:
        lr, momentum, damped, decay, nesterov = super()._numbers(group, counters, fresh)
        return lr, momentum, damped, 1 - lr * decay, nesterov
