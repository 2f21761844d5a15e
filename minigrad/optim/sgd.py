"""Stochastic gradient descent (Robbins and Monro 1951), with momentum (Polyak 1964; Nesterov
1983).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer, check_non_negative, gradients, number


@export("optim.SGD", "optim.sgd.SGD")
class SGD(Optimizer):
    r"""Descend along the gradient, smoothed by momentum.

        g ← g + λ w                              weight_decay λ
        b ← μ b + (1 − τ) g     (b = g at first)  momentum μ, dampening τ
        w ← w − γ (g + μ b  if nesterov else b)   lr γ

    maximize turns g around. foreach and fused are accepted and change nothing. (Sutskever et al.
    2013)
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
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
        check_non_negative(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
                "foreach": foreach,
                "differentiable": differentiable,
                "fused": fused,
            },
        )

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum, decay = number(group["lr"]), group["momentum"], group["weight_decay"]
        for p, g in gradients(group, group["maximize"]):
            w = p._data
            if decay:
                g = g + decay * w
            if momentum:
                state = self.state[p]
                buffer = state.get("momentum_buffer")
                if buffer is None:
                    buffer = state["momentum_buffer"] = wrap(np.array(g))
                else:
                    b = buffer._data
                    b *= momentum
                    b += (1 - group["dampening"]) * g
                    buffer._bump()
                g = g + momentum * buffer._data if group["nesterov"] else buffer._data
            w -= np.asarray(lr * g, w.dtype)
            p._bump()
