"""Losses of reward models: which of two answers is better, in which order several are."""

from __future__ import annotations

from ...core.tensor import Tensor
from ...export import export
from ...ops.sigmoidal import logsigmoid


@export("alignment.bradley_terry_loss")
def bradley_terry_loss(
    chosen: Tensor,
    rejected: Tensor,
    margin: Tensor | float = 0.0,
    center_coefficient: float = 0.0,
) -> Tensor:
    """−log σ(r_w − r_l − m) + c(r_w + r_l)², (B,), of rewards (B,).

    Without extras it is the likelihood of Bradley and Terry (1952; Ouyang et al. 2022,
    arXiv:2203.02155, eq. 1). A margin m asks more of pairs that differ more (Touvron et al. 2023,
    arXiv:2307.09288, eq. 2); c holds the mean reward, which pairs leave open, near zero (Eisenstein
    et al. 2023, arXiv:2312.09244, eq. 2).
    """
    loss = -logsigmoid(chosen - rejected - margin)
    return loss + center_coefficient * (chosen + rejected) ** 2 if center_coefficient else loss


@export("alignment.plackett_luce_loss")
def plackett_luce_loss(scores: Tensor, mask: Tensor | None = None) -> Tensor:
    """−Σ_k log exp(s_k)/Σ_{j≥k} exp(s_j), (B,): scores (B, K) of answers, best first (Plackett
    1975; arXiv:2305.18290, eq. 18).

    With K = 2 it is Bradley-Terry. `mask`, boolean (B, K), marks the answers that exist, which
    stand before the others. Given β log π/π_ref as scores it is DPO for rankings (eq. 20).
    """
    if scores.dim() != 2:
        raise ValueError(f"plackett_luce_loss: scores must be (B, K); got {tuple(scores.shape)}")
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)  # not −inf: its gradient would be nan
    loss = scores.flip(1).logcumsumexp(1).flip(1) - scores
    return (loss if mask is None else loss.masked_fill(~mask, 0.0)).sum(1)


@export("alignment.pairwise_ranking_loss")
def pairwise_ranking_loss(scores: Tensor) -> Tensor:
    """The mean of −log σ(s_i − s_j) over all pairs i < j, (B,), of scores (B, K) of answers, best
    first: InstructGPT's use of rankings (arXiv:2203.02155, eq. 1).
    """
    k = scores.shape[1]
    return sum(
        (-logsigmoid(scores[:, i : i + 1] - scores[:, i + 1 :]).sum(1) for i in range(k - 1)),
        0.0 * scores[:, 0],
    ) * (2 / (k * (k - 1)))
