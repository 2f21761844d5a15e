"""Adafactor (Shazeer and Stern 2018): deviations of a matrix kept as one row and one column."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..backend.dtypes import finfo
from ..core.tensor import Tensor, wrap
from ..export import export
from .optimizer import Optimizer, gradients
from .options import check_lr, counter, number


@export("optim.Adafactor", "optim.adafactor.Adafactor")
class Adafactor(Optimizer):
    r"""Memory for a matrix of n x m is n + m (algorithms 4 and 5; without momentum).

        ρ = min(γ, 1/√t)      α = max(ε₂, RMS(w)) ρ      β = t^beta2_decay
        w ← w − γ λ w
        r ← r + β (mean of g² over columns − r),   c likewise over rows,   v = r cᵀ / mean(r)
            (vectors: v ← v + β (g² − v))
        u = g / max(√v, ε₁)                              eps = (ε₁, ε₂); None: the dtype's
        w ← w − α u / max(1, RMS(u)/d)

    RuntimeError for complex parameters. foreach is accepted and changes nothing.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("foreach", None)
        for kept in self.state.values():
            if "step" in kept and not isinstance(kept["step"], Tensor):
                kept["step"] = counter(kept["step"])

    def _update(self, group: dict[str, Any]) -> None:
        for p, g in gradients(group):
            if p.is_complex():
                raise RuntimeError("Adafactor does not support complex parameters")
            state = self.state[p]
            if not state:
                state["step"] = counter()
                if g.ndim > 1:
                    state["row_var"] = wrap(np.zeros_like(g, shape=(*g.shape[:-1], 1)))
                    shape = (*g.shape[:-2], 1, g.shape[-1])
                    state["col_var"] = wrap(np.zeros_like(g, shape=shape))
                else:
                    state["variance"] = wrap(np.zeros_like(g))
            self._move(p, g, state, group)

    def _move(self, p: Tensor, g: Any, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step of one parameter."""
        w, lr, (eps1, eps2) = p._data, number(group["lr"]), group["eps"]
        if eps1 is None:
            eps1 = finfo(p.dtype).eps
        state["step"]._data += 1
        t = float(state["step"]._data)
        size = max(eps2, _root_mean_square(w)) * min(lr, 1 / math.sqrt(t))
        if group["weight_decay"]:
            w *= 1 - lr * number(group["weight_decay"])
        beta = t ** group["beta2_decay"]
        square = g * g
        if g.ndim > 1:
            row, col = state["row_var"]._data, state["col_var"]._data
            row += (square.mean(-1, keepdims=True) - row) * beta
            col += (square.mean(-2, keepdims=True) - col) * beta
            v = row * col / np.maximum(row.mean(-2, keepdims=True), eps1)
        else:
            v = state["variance"]._data
            v += (square - v) * beta
        u = g / np.sqrt(np.maximum(v, eps1 * eps1))
        w -= u * (size / max(1.0, _root_mean_square(u) / group["d"]))
        p._bump()


def _root_mean_square(x: Any) -> float:
    x = array_module(x).asarray(x).reshape(-1)
    return float(np.linalg.norm(x)) / math.sqrt(x.size) if x.size else 0.0
