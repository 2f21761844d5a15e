"""Adam (Kingma and Ba 2014): steps of the gradient's mean, measured in units of its deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import Tensor, wrap
from ..export import export
from .optimizer import (
    Optimizer,
    add_missing,
    check_options,
    gradients,
    new_step,
    number,
    real_view,
    scaled,
)


@export("optim.Adam", "optim.adam.Adam")
class Adam(Optimizer):
    r"""Moving averages of gradient and squared gradient, corrected for their start at zero
    (algorithm 1).

        g ← g + λ w                  weight_decay λ
                                     (w ← w − γλ w instead if decoupled_weight_decay: AdamW)
        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        w ← w − γ/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)

    amsgrad uses the largest v so far (Reddi et al. 2018); maximize turns g around. The real
    and imaginary parts of a complex parameter are parameters of their own. foreach, fused,
    capturable and differentiable are accepted and change nothing.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        add_missing(self, {"amsgrad": False, "maximize": False, "foreach": None, "fused": None})
        add_missing(self, {"capturable": False, "differentiable": False})
        add_missing(self, {"decoupled_weight_decay": False})
        for kept in self.state.values():
            if kept and not isinstance(kept.get("step"), Tensor):  # once a Python number
                kept["step"] = new_step(kept["step"])

    def _update(self, group: dict[str, Any]) -> None:
        for p, g in gradients(group):
            state = self.state[p]
            if not state:
                state["step"] = new_step()
                state["exp_avg"] = wrap(np.zeros_like(p._data))
                state["exp_avg_sq"] = wrap(np.zeros_like(p._data))
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = wrap(np.zeros_like(p._data))
            self._move(p, real_view(g), state, group)

    def _move(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one parameter, with one temporary; weight_decay as in L2 takes another."""
        w, m = real_view(p._data), real_view(state["exp_avg"]._data)
        v = real_view(state["exp_avg_sq"]._data)
        lr, decay = number(group["lr"]), group["weight_decay"]
        beta1, beta2 = map(number, group["betas"])
        state["step"]._data += 1
        t = float(state["step"]._data)
        if decay and group["decoupled_weight_decay"]:
            w *= 1 - lr * decay
        elif decay:
            decayed = scaled(w, decay)
            decayed += g
            g = decayed
        scratch = np.subtract(g, m, out=np.empty_like(m))  # out: an array even if 0-d
        scratch *= 1 - beta1
        m += scratch
        v *= beta2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - beta2
        v += scratch
        if group["amsgrad"]:
            largest = real_view(state["max_exp_avg_sq"]._data)
            v = np.maximum(largest, v, out=largest)
        denominator = np.sqrt(v, out=scratch)
        denominator /= math.sqrt(1 - beta2**t)
        denominator += group["eps"]
        step = np.divide(m, denominator, out=denominator)
        step *= lr / (1 - beta1**t)
        w -= step
        p._bump()
