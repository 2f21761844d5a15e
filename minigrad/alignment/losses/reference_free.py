"""Preference losses without a reference model: ORPO, CPO, SimPO, AlphaPO; see preference.py.

Each gives the loss of every pair, (B,). ORPO, SimPO and AlphaPO take log-probabilities averaged
over tokens, CPO summed ones.
"""

from __future__ import annotations

import math

from ...core.tensor import Tensor
from ...export import export
from ...ops.piecewise import where
from ...ops.sigmoidal import logsigmoid
from .preference import cdpo_loss, hinge_loss, ipo_loss


def log1mexp(x: Tensor) -> Tensor:
    """log(1 − eˣ) for x < 0 without cancellation (Mächler 2012, eq. 7): split at −log 2."""
    small = x < -math.log(2)
    # each branch sees only arguments that suit it: an inf in the other would make the gradient nan
    far, near = where(small, x, -1.0), where(small, -0.5, x)
    return where(small, (-far.exp()).log1p(), (-near.expm1()).log())


@export("alignment.orpo_loss")
def orpo_loss(
    chosen: Tensor, rejected: Tensor, beta: float = 0.1, nll: Tensor | float = 0.0
) -> Tensor:
    """nll − β log σ(log odds(y_w)/odds(y_l)), odds = p/(1 − p) (Hong et al. 2024, arXiv:2403.07691,
    eqs. 6 and 7), of mean log-probabilities; `nll` is the chosen answers' loss.
    """
    log_odds = (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))
    return nll - beta * logsigmoid(log_odds)


@export("alignment.cpo_loss")
def cpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss_type: str = "sigmoid",
    nll: Tensor | float = 0.0,
) -> Tensor:
    """nll − log σ(β(log π(y_w) − log π(y_l))) (Xu et al. 2024, arXiv:2401.08417, eq. 3), of summed
    log-probabilities; "hinge" and "ipo" put the other losses in place of the logistic one.

    ValueError for another `loss_type`.
    """
    d = chosen - rejected
    match loss_type:
        case "sigmoid":
            return nll + cdpo_loss(d, beta, label_smoothing)
        case "hinge":
            return nll + hinge_loss(d, beta)
        case "ipo":
            return nll + ipo_loss(d, beta)
    raise ValueError(f"cpo_loss: loss_type must be sigmoid, hinge or ipo; got {loss_type!r}")


@export("alignment.simpo_loss")
def simpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float = 2.0,
    gamma: float = 0.5,
    label_smoothing: float = 0.0,
    nll: Tensor | float = 0.0,
) -> Tensor:
    """nll − log σ(β(avg_w − avg_l) − γ) (Meng et al. 2024, arXiv:2405.14734, eq. 6), of mean
    log-probabilities. With `nll` it is CPO-SimPO.
    """
    return nll + cdpo_loss(chosen - rejected - gamma / beta, beta, label_smoothing)


@export("alignment.alpha_po_loss")
def alpha_po_loss(
    chosen: Tensor,
    rejected: Tensor,
    beta: float = 2.0,
    gamma: float = 0.5,
    alpha: float = 0.25,
) -> Tensor:
    """SimPO with the reward (1 − p^(−α))/α, p the mean token's probability (Gupta et al. 2025,
    arXiv:2501.03884, eq. 9); α = 0 is SimPO.
    """
    if alpha == 0:
        return simpo_loss(chosen, rejected, beta, gamma)
    w, l = ((1 - (-alpha * x).exp()) / alpha for x in (chosen, rejected))  # noqa: E741
    return simpo_loss(w, l, beta, gamma)
