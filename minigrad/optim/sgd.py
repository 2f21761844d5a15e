"""Stochastic gradient descent (Robbins and Monro 1951), with momentum (Polyak 1964; Nesterov
1983).
"""

from __future__ import annotations

from typing import Any

from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer, add_missing, check_options, gradients, number, scaled


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

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        add_missing(self, {"nesterov": False, "maximize": False, "foreach": None})
        add_missing(self, {"differentiable": False, "fused": False})

    def _update(self, group: dict[str, Any]) -> None:
        lr, momentum, decay = number(group["lr"]), group["momentum"], group["weight_decay"]
        for p, g in gradients(group):
            w = p._data
            if decay:
                decayed = scaled(w, decay)
                decayed += g
                g = decayed
            if momentum:
                b = self._average(p, g, momentum, group["dampening"])
                if group["nesterov"]:
                    ahead = scaled(b, momentum)
                    ahead += g
                    g = ahead
                else:
                    g = b
            w -= scaled(g, lr)
            p._bump()

    def _average(self, p: Any, g: Any, momentum: float, dampening: float) -> Any:
        """The momentum of a parameter, moved on by its gradient."""
        state = self.state[p]
        buffer = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = wrap(g.copy())
            return buffer._data
        b = buffer._data
        b *= momentum
        b += scaled(g, 1 - dampening) if dampening else g
        buffer._bump()
        return b
