"""Adam that only moves the rows of a table that a batch has used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.tensor import wrap
from ..export import export
from .optimizer import Optimizer, gradients
from .options import check_lr, number


@export("optim.SparseAdam", "optim.sparse_adam.SparseAdam")
class SparseAdam(Optimizer):
    r"""Adam for embeddings: rows without a gradient keep their values and moments.

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        w ← w − γ √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)        in the rows that g has

    Gradients are dense here, so a row counts as absent where it is all zero; PyTorch asks for
    sparse gradients and refuses dense ones. t counts steps, not a row's uses. ValueError for
    complex parameters.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ):
        check_lr(lr)
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        for i, beta in enumerate(betas):
            if not 0.0 <= beta < 1.0:
                raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        found = [
            [i, j]
            for i, group in enumerate(self.param_groups)
            for j, p in enumerate(group["params"])
            if p.is_complex()
        ]
        if found:
            raise ValueError(
                f"Complex params at indices {found}: SparseAdam does not support complex parameters"
            )

    def _update(self, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        group.setdefault("maximize", False)
        for p, g in gradients(group):
            state = self.state[p]
            if not state:
                state["step"] = 0
                state["exp_avg"] = wrap(np.zeros_like(p._data))
                state["exp_avg_sq"] = wrap(np.zeros_like(p._data))
            state["step"] += 1
            t = state["step"]
            w, g, m, v = map(_rows, (p._data, g, state["exp_avg"]._data, state["exp_avg_sq"]._data))
            used = np.flatnonzero((g != 0).any(tuple(range(1, g.ndim))))
            if not len(used):
                continue
            g, mean, square = g[used], m[used], v[used]
            mean += (g - mean) * (1 - beta1)
            square += (g * g - square) * (1 - beta2)
            m[used], v[used] = mean, square
            scale = number(group["lr"]) * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            w[used] -= mean * scale / (np.sqrt(square) + group["eps"])
            p._bump()


def _rows(x: Any) -> Any:
    """The same memory with at least one dimension."""
    return x if x.ndim else x.reshape(1)
