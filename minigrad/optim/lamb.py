"""LAMB (You et al. 2019, "Large batch optimization for deep learning"): Adam's direction, with a
step in proportion to each layer's weights.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer, gradients
from .options import check_options, counter, number


@export("optim.Lamb", "optim.LAMB", "optim.lamb.Lamb")
class Lamb(Optimizer):
    r"""Adam scaled, for each parameter tensor, by its norm over its step's norm (algorithm 2). Not
    in PyTorch.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        r = m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε) + λ w
        w ← w − γ ‖w‖/‖r‖ r          (factor 1 where a norm is zero)

    RuntimeError for complex parameters.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        *,
        maximize: bool = False,
    ):
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
        }
        check_options(defaults)
        super().__init__(params, defaults)

    def _update(self, group: dict[str, Any]) -> None:
        lr, decay, eps = number(group["lr"]), number(group["weight_decay"]), group["eps"]
        beta1, beta2 = map(number, group["betas"])
        for p, g in gradients(group):
            if p.is_complex():
                raise RuntimeError("Lamb does not support complex parameters")
            state = self.state[p]
            if not state:
                state["step"] = counter()
                state["exp_avg"] = wrap(np.zeros_like(p._data))
                state["exp_avg_sq"] = wrap(np.zeros_like(p._data))
            w, m, v = p._data, state["exp_avg"]._data, state["exp_avg_sq"]._data
            state["step"]._data += 1
            t = float(state["step"]._data)
            m += (g - m) * (1 - beta1)
            v *= beta2
            v += g * g * (1 - beta2)
            r = m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
            if decay:
                r = r + w * decay
            weight, length = _norm(w), _norm(r)
            w -= r * (lr * weight / length if weight and length else lr)
            p._bump()


def _norm(x: Any) -> float:
    return float(np.linalg.norm(array_module(x).asarray(x).reshape(-1)))
