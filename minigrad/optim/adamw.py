"""AdamW (Loshchilov and Hutter 2017): weight decay beside the gradient, not inside it."""

from __future__ import annotations

from typing import Any

from ..export import export
from .adam import Adam


@export("optim.AdamW", "optim.adamw.AdamW")
class AdamW(Adam):
    r"""Adam whose decay shrinks the weights themselves (algorithm 2): w ← (1 − γλ) w, then Adam's
    step.

    In Adam with L2 the decay is divided by the gradient's deviation like the gradient: weights with
    large gradients are decayed less. Here all are decayed at one rate.
    """

    def __init__(
        self,
        params: Any,
        lr: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
