"""Losses of single answers labelled good or bad: KTO, APO-zero, BCO. Each gives (B,)."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...export import export
from ...ops.piecewise import where
from ...ops.sigmoidal import logsigmoid


@export("alignment.kto_reference_point")
def kto_reference_point(mismatched: Tensor, ref_mismatched: Tensor) -> Tensor:
    """z = max(0, mean log π(y'|x)/π_ref(y'|x)): an estimate of the KL from answers of other prompts
    in the batch (Ethayarajh et al. 2024, arXiv:2402.01306, section 4.1); a constant, ().
    """
    return (mismatched - ref_mismatched).mean().clamp(min=0).detach()


@export("alignment.kto_loss")
def kto_loss(
    logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    reference_point: Tensor | float,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """λ(1 − σ(β(c − z))) of good answers, λ(1 − σ(β(z − r))) of bad ones (arXiv:2402.01306, eq. 7).

    `desirable` is boolean, (B,), and log-probabilities are summed. Loss aversion is a larger
    weight of the undesirable; the paper keeps λ_D n_D/(λ_U n_U) between 1 and 4/3.
    """
    gain = beta * (logps - ref_logps - reference_point)
    return where(
        desirable,
        desirable_weight * (1 - gain.sigmoid()),
        undesirable_weight * (1 - (-gain).sigmoid()),
    )


@export("alignment.apo_zero_unpaired_loss")
def apo_zero_unpaired_loss(
    logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    beta: float = 0.1,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> Tensor:
    """λ(1 − σ(βc)) of good answers, λσ(βr) of bad ones: KTO at z = 0 (D'Oosterlinck et al. 2024,
    arXiv:2408.06266, eq. 7).
    """
    return kto_loss(logps, ref_logps, desirable, 0.0, beta, desirable_weight, undesirable_weight)


@export("alignment.bco_loss")
def bco_loss(
    logps: Tensor,
    ref_logps: Tensor,
    desirable: Tensor,
    beta: float = 0.1,
    delta: float | Tensor = 0.0,
) -> Tensor:
    """−log σ(±(βx − δ)): a classifier with the reward as logit, δ the running mean of both classes'
    rewards (Jung et al. 2024, arXiv:2404.04656, eqs. 7 and 8).
    """
    logit = beta * (logps - ref_logps) - delta
    return -logsigmoid(where(desirable, logit, -logit))
