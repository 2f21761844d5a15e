"""GRPO and its variants: a group of answers to one prompt replaces the value network.

Per-token tensors are (B, T), with a mask that is 1 on the tokens of the answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...export import export
from ...ops.clamping import minimum
from ...ops.piecewise import where
from .policy import kl_estimate

LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")
SCALES = ("group", "batch", "none")


@export("alignment.group_advantages")
def group_advantages(rewards: Tensor, scale: str = "group") -> Tensor:
    """(R − mean of the group)/(std + 10⁻⁴), (N, G), of rewards (N, G) of G answers to each of N
    prompts (Shao et al. 2024, arXiv:2402.03300, section 4.1).

    The deviation is the sample's: of the "group", of the whole "batch" (Hu et al. 2025), or "none",
    which is Dr. GRPO's (Liu et al. 2025, arXiv:2503.20783). ValueError for another scale or a group
    of one.
    """
    if scale not in SCALES:
        raise ValueError(f"group_advantages: scale must be group, batch or none; got {scale!r}")
    if rewards.dim() != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"group_advantages: rewards must be (prompts, answers ≥ 2); got {tuple(rewards.shape)}"
        )
    advantages = rewards - rewards.mean(1, keepdim=True)
    if scale == "none":
        return advantages
    deviation = rewards.std(1, keepdim=True) if scale == "group" else rewards.std()
    return advantages / (deviation + 1e-4)


@export("alignment.grpo_loss")
def grpo_loss(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
    loss_type: str = "dapo",
    *,
    level: str = "token",
    epsilon: float = 0.2,
    epsilon_high: float | None = None,
    delta: float | None = None,
    beta: float = 0.0,
    ref_logps: Tensor | None = None,
    max_length: int | None = None,
    num_tokens: int | float | None = None,
    sapo_temperatures: tuple[float, float] = (1.0, 1.05),
    vespo: tuple[float, float, float, float] = (2.0, 3.0, 3.0, 2.0),
) -> Tensor:
    """The loss, (), of log-probabilities (B, T) and advantages (B,) or (B, T).

    With ρ = π/π_old, a token costs
        grpo, bnpo, dr_grpo, dapo, luspo   −min(ρA, clip(ρ, 1 − ε, 1 + ε_high)A)
        cispo   −sg[min(ρ, ε_high)] A log π              (MiniMax 2025, arXiv:2506.13585, eq. 4)
        sapo    −4σ(τ(ρ − 1))/τ · A, τ by A's sign       (Gao et al. 2025, arXiv:2511.20347)
        vespo   −sg[φ(W)] A log π, W the answer's ratio, φ(W) = W^k e^(λ(1 − W)), (k, λ) by A's sign
    plus β times the k3 estimate of KL(π‖π_ref). Reduced by `reduce_tokens`.

    level="sequence" is GSPO: ρ is the geometric mean over the answer (Zheng et al. 2025,
    arXiv:2507.18071, eq. 7). ε_high > ε is DAPO's clip-higher (Yu et al. 2025, arXiv:2503.14476,
    eq. 10); for cispo it is the upper bound itself. `delta` bounds ρ where A < 0 (two-sided clip).
    `num_tokens` replaces the batch's own count of tokens in dapo, cispo and vespo, for accumulated
    batches; `max_length` is needed by dr_grpo.

    ValueError for an unknown type or level, or if what one needs is missing.
    """
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"loss_type must be one of {', '.join(LOSS_TYPES)}; got {loss_type!r}")
    if beta and ref_logps is None:
        raise ValueError("grpo_loss: beta > 0 needs ref_logps")
    A = advantages[:, None] if advantages.dim() == 1 else advantages
    high = epsilon if epsilon_high is None else epsilon_high
    ratio = importance_ratio(logps, old_logps, mask, level)
    match loss_type:
        case "cispo":
            loss = -ratio.clamp(max=high).detach() * A * logps
        case "sapo":
            loss = -soft_gate(ratio, A, *sapo_temperatures) * A
        case "vespo":
            loss = -gamma_weight(logps, old_logps, A, mask, *vespo) * A * logps
        case _:
            clipped = ratio.clamp(1 - epsilon, 1 + high)
            if delta is not None:
                ratio = ratio.clamp(max=delta)
            loss = -minimum(ratio * A, clipped * A)
    if beta:
        loss = loss + beta * kl_estimate(logps, ref_logps, "k3")
    return reduce_tokens(loss, mask, loss_type, max_length=max_length, num_tokens=num_tokens)


def importance_ratio(
    logps: Tensor, old_logps: Tensor, mask: Tensor, level: str = "token"
) -> Tensor:
    """π/π_old of each token, (B, T), or of each answer as a geometric mean over its tokens, (B, 1)
    (GSPO, arXiv:2507.18071, eq. 7).
    """
    log_ratio = logps - old_logps
    if level == "sequence":
        log_ratio = (log_ratio * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
    elif level != "token":
        raise ValueError(f"level must be 'token' or 'sequence'; got {level!r}")
    return log_ratio.exp()


def soft_gate(ratio: Tensor, advantages: Tensor, positive: float, negative: float) -> Tensor:
    """4σ(τ(ρ − 1))/τ: SAPO's smooth clip, with slope 1 at ρ = 1."""
    tau = where(advantages > 0, positive, negative).to(ratio.dtype)
    return (tau * (ratio - 1)).sigmoid() * 4 / tau


def gamma_weight(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
    k_pos: float,
    lambda_pos: float,
    k_neg: float,
    lambda_neg: float,
) -> Tensor:
    """VESPO's φ(W) = W^k e^(λ(1 − W)) of whole answers, (B, 1), which is 1 at W = 1; a constant."""
    with no_grad():
        log_w = ((logps - old_logps).clamp(-20, 20) * mask).sum(1, keepdim=True)
        log_w = log_w.clamp(math.log(1e-8), 20)
        good = advantages >= 0
        k = where(good, k_pos, k_neg).to(logps.dtype)
        lam = where(good, lambda_pos, lambda_neg).to(logps.dtype)
        return (lam + k * log_w - lam * log_w.exp()).exp()


def reduce_tokens(
    loss: Tensor,
    mask: Tensor,
    loss_type: str,
    *,
    max_length: int | None = None,
    num_tokens: int | float | None = None,
) -> Tensor:
    """Token losses (B, T) or (B, 1) to one: what the variants differ in.

    grpo, sapo           mean over each answer, then over answers (long ones count less a token)
    bnpo                 mean over the batch's tokens
    dapo, cispo, vespo   sum/number of tokens of the whole (accumulated) batch
    dr_grpo              sum/(B · max_length): a constant, so length has no pull
    luspo                sum over each answer, mean over answers
    """
    total = loss * mask
    means: dict[str, Callable[[], Tensor]] = {
        "bnpo": lambda: total.sum() / mask.sum().clamp(min=1),
        "luspo": lambda: total.sum(1).mean(),
    }
    if loss_type in means:
        return means[loss_type]()
    if loss_type in ("grpo", "sapo"):
        return (total.sum(1) / mask.sum(1).clamp(min=1)).mean()
    if loss_type == "dr_grpo":
        if max_length is None:
            raise ValueError("grpo_loss: 'dr_grpo' needs max_length, the longest answer allowed")
        return total.sum() / (loss.shape[0] * max_length)
    return total.sum() / (mask.sum().clamp(min=1) if num_tokens is None else num_tokens)


@export("alignment.mirror_descent_loss")
def mirror_descent_loss(
    logps: Tensor, old_logps: Tensor, rewards: Tensor, tau: float = 0.1
) -> Tensor:
    """(r − τ log Z − τ log π/π_i)², mean, (): Kimi k1.5's policy step (Kimi Team 2025,
    arXiv:2501.12599, eq. 3), whose optimum is π_i e^(r/τ)/Z.

    Summed log-probabilities and rewards (N, G) of G answers to each of N prompts; Z is estimated by
    the group's mean of e^(r/τ).
    """
    log_z = (rewards / tau).logsumexp(1, keepdim=True) - math.log(rewards.shape[1])
    return ((rewards - tau * log_z - tau * (logps - old_logps)) ** 2).mean()
