"""Adam (Kingma and Ba 2014): steps of the gradient's mean, measured in units of its deviation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer, check_betas, check_non_negative, gradients, new_step, number


@export("optim.Adam", "optim.adam.Adam")
class Adam(Optimizer):
    r"""Moving averages of gradient and squared gradient, corrected for their start at zero
    (algorithm 1).

        g ← g + λ w                          weight_decay λ; or w ← w − γλ w if
        decoupled_weight_decay (AdamW) m ← β₁ m + (1 − β₁) g                v ← β₂ v + (1 − β₂) g² w
        ← w − γ/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)

    amsgrad uses the largest v so far (Reddi et al. 2018); maximize turns g around. foreach, fused,
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
        check_non_negative(lr=lr, eps=eps, weight_decay=weight_decay)
        check_betas(betas)
        super().__init__(
            params,
            {
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
            },
        )

    def _update(self, group: dict[str, Any]) -> None:
        for p, g in gradients(group, group["maximize"]):
            state = self.state[p]
            if not state:
                state["step"] = new_step()
                state["exp_avg"] = wrap(np.zeros_like(p._data))
                state["exp_avg_sq"] = wrap(np.zeros_like(p._data))
                if group["amsgrad"]:
                    state["max_exp_avg_sq"] = wrap(np.zeros_like(p._data))
            self._move(p, g, state, group)

    def _move(self, p: Any, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one parameter, with two temporaries."""
        w, m, v = p._data, state["exp_avg"]._data, state["exp_avg_sq"]._data
        lr, (beta1, beta2), decay = number(group["lr"]), group["betas"], group["weight_decay"]
        state["step"]._data += 1
        t = float(state["step"]._data)
        if decay:
            if group["decoupled_weight_decay"]:
                w *= w.dtype.type(1 - lr * decay)
            else:
                g = g + decay * w
        scratch = np.subtract(g, m, out=np.empty_like(m))  # out: an array even if 0-d
        scratch *= 1 - beta1
        m += scratch
        v *= beta2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - beta2
        v += scratch
        if group["amsgrad"]:
            largest = state["max_exp_avg_sq"]._data
            v = np.maximum(largest, v, out=largest)
        denominator = np.sqrt(v, out=scratch)
        denominator /= math.sqrt(1 - beta2**t)
        denominator += group["eps"]
        step = np.divide(m, denominator, out=denominator)
        step *= lr / (1 - beta1**t)
        w -= step
        p._bump()
