"""From logits to log-probabilities of answers."""

from __future__ import annotations

from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...export import export
from ...ops.clamping import minimum
from ...ops.classification import cross_entropy
from ...ops.join import cat

IGNORED = -100
"""The label of tokens that no loss counts, as in cross_entropy."""


@export("alignment.token_logps")
def token_logps(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """log π(label_t | before) and the mask of tokens that count, (B, T − 1) each.

    logits (B, T, V) at a position speak of the next label: both are shifted by one here. Labels
    (B, T) of −100 have log-probability 0 and mask 0. log_softmax in float32 at least.
    """
    if logits.shape[:2] != labels.shape:
        raise ValueError(
            f"token_logps: logits {tuple(logits.shape)} do not fit labels {tuple(labels.shape)}"
        )
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    mask = (labels[:, 1:] != IGNORED).to(logits.dtype)
    # the labels are shifted, not the logits: (B, T, V) is neither copied nor normalised
    following = cat([labels[:, 1:], labels.new_full((labels.shape[0], 1), IGNORED)], 1)
    loss = cross_entropy(
        logits.flatten(0, 1), following.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -loss.view(labels.shape)[:, :-1], mask


@export("alignment.sequence_logps")
def sequence_logps(logits: Tensor, labels: Tensor, average: bool = False) -> Tensor:
    """log π(y|x), (B,): the sum over counted labels, or their average (SimPO, ORPO)."""
    logps, mask = token_logps(logits, labels)
    return logps.sum(1) / mask.sum(1).clamp(min=1) if average else logps.sum(1)


@export("alignment.ld_logps")
def ld_logps(
    chosen: Tensor, chosen_mask: Tensor, rejected: Tensor, rejected_mask: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    """Sums in which the part of an answer beyond the other's length counts `alpha` (LD-DPO, Liu et
    al. 2024, arXiv:2409.06411, eq. 9): (B,) each, of token log-probabilities and masks (B, T).
    """
    shared = minimum(chosen_mask.sum(1), rejected_mask.sum(1))[:, None]

    def weigh(logps: Tensor, mask: Tensor) -> Tensor:
        early = (mask.cumsum(1) <= shared).to(logps.dtype)
        return (logps * mask * (early + alpha * (1 - early))).sum(1)

    return weigh(chosen, chosen_mask), weigh(rejected, rejected_mask)


@export("alignment.wpo_weights")
def wpo_weights(logits: Tensor, labels: Tensor) -> Tensor:
    """How much on-policy an answer is, (B,): exp of the mean of log π(y_t) − log Σ_v π(v)² (WPO,
    Zhou et al. 2024, arXiv:2406.11827, eq. 2). The product over a pair weighs its loss; a constant.
    """
    with no_grad():
        logps, mask = token_logps(logits, labels)
        spread = (2 * logits[:, :-1].log_softmax(-1)).logsumexp(-1)
        return (((logps - spread) * mask).sum(1) / mask.sum(1).clamp(min=1)).exp()


@export("alignment.token_entropy")
def token_entropy(logits: Tensor) -> Tensor:
    """−Σ π log π of each position, (B, T), of logits (B, T, V)."""
    logp = logits.log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


@export("alignment.concatenated")
def concatenated(chosen: Tensor, rejected: Tensor, pad: int) -> Tensor:
    """(2B, T): both halves of a batch in one, padded on the right with `pad` to one length, so that
    the model runs once.
    """
    length = max(chosen.shape[1], rejected.shape[1])

    def widen(x: Tensor) -> Tensor:
        missing = length - x.shape[1]
        return cat([x, x.new_full((x.shape[0], missing), pad)], 1) if missing else x

    return cat([widen(chosen), widen(rejected)], 0)
