"""PPO and REINFORCE for language models: per-token rewards, advantages, losses.

A sequence is an episode and a token an action. All per-token tensors are (B, T), with a mask that
is 1 on the tokens of the answer; answers are followed, never preceded, by padding.
"""

from __future__ import annotations

import math

from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...export import export
from ...ops.clamping import maximum, minimum
from ...ops.join import stack

KL_ESTIMATORS = ("k1", "k2", "k3")


@export("alignment.kl_estimate")
def kl_estimate(logps: Tensor, ref_logps: Tensor, estimator: str = "k3") -> Tensor:
    """KL(π‖π_ref) from samples of π, token by token (Schulman 2020, *Approximating KL divergence*).

    With x = log π/π_ref: k1 = x (unbiased, high variance), k2 = x²/2 (biased), k3 = e^(−x) + x − 1
    (unbiased, never negative). ValueError for another name.
    """
    x = logps - ref_logps
    match estimator:
        case "k1":
            return x
        case "k2":
            return x * x / 2
        case "k3":
            return (-x).exp() + x - 1
    raise ValueError(f"kl_estimate: estimator must be k1, k2 or k3; got {estimator!r}")


@export("alignment.token_rewards")
def token_rewards(
    scores: Tensor, logps: Tensor, ref_logps: Tensor, mask: Tensor, kl_coef: float
) -> Tensor:
    """−β(log π − log π_ref) at every token, and the score (B,) at the last one (Ziegler et al.
    2019, arXiv:1909.08593, eq. 2; Ouyang et al. 2022): rewards (B, T).
    """
    last = mask * (mask.flip(1).cumsum(1).flip(1) == 1)
    return -kl_coef * (logps - ref_logps) * mask + scores[:, None] * last


@export("alignment.gae")
def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, (B, T) each (Schulman et al. 2016, arXiv:1506.02438, eq. 16):

        δ_t = r_t + γV_{t+1} − V_t,   A_t = δ_t + γλA_{t+1},   R_t = A_t + V_t

    V is 0 behind the last token. Constants: nothing flows back through them.
    """
    with no_grad():
        advantages, following, value = [], 0.0 * values[:, 0], 0.0 * values[:, 0]
        for t in reversed(range(rewards.shape[1])):
            delta = rewards[:, t] + gamma * value - values[:, t]
            following = (delta + gamma * lam * following) * mask[:, t]
            value = values[:, t] * mask[:, t]
            advantages.append(following)
        advantage = stack(advantages[::-1], 1)
        return advantage, (advantage + values) * mask


@export("alignment.masked_mean")
def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean of x where mask is 1, (): every token of the batch counts the same."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


@export("alignment.whiten")
def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """x with mean 0 (if shifted) and variance 1 over the mask, as PPO's advantages are used."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    y = (x - mean) / (variance + 1e-8).sqrt()
    return (y if shift_mean else y + mean) * mask


@export("alignment.ppo_policy_loss")
def ppo_policy_loss(
    logps: Tensor, old_logps: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2
) -> Tensor:
    """−E min(ρA, clip(ρ, 1 − ε, 1 + ε)A), ρ = π/π_old (Schulman et al. 2017, arXiv:1707.06347,
    eq. 7): () over the tokens of the mask.
    """
    ratio = (logps - old_logps).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -masked_mean(minimum(ratio * advantages, clipped * advantages), mask)


@export("alignment.ppo_value_loss")
def ppo_value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2
) -> Tensor:
    """½E max((V − R)², (V_old + clip(V − V_old, ±ε) − R)²): () over the tokens of the mask (the
    clipping is that of OpenAI's ppo2; None leaves it out).
    """
    error = (values - returns) ** 2
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        error = maximum(error, (near - returns) ** 2)
    return 0.5 * masked_mean(error, mask)


@export("alignment.AdaptiveKL")
class AdaptiveKL:
    """A KL coefficient that steers towards a target (arXiv:1909.08593, section 2.2):

        e = clip((KL − target)/target, −0.2, 0.2),   β ← β(1 + e n/horizon)

    ValueError if an argument is not positive.
    """

    def __init__(self, coefficient: float = 0.1, target: float = 6.0, horizon: int = 10_000):
        if coefficient <= 0 or target <= 0 or horizon <= 0:
            raise ValueError("AdaptiveKL: coefficient, target and horizon must be positive")
        self.coefficient, self.target, self.horizon = coefficient, target, horizon

    def update(self, kl: float, samples: int) -> float:
        """Take in a mean KL per sequence over `samples` sequences; the new coefficient."""
        if not math.isfinite(kl):
            raise ValueError(f"AdaptiveKL: the measured KL is {kl}")
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.coefficient *= 1 + error * samples / self.horizon
        return self.coefficient


@export("alignment.rloo_advantages")
def rloo_advantages(rewards: Tensor, normalize: bool = False) -> Tensor:
    """R_i − mean_{j≠i} R_j, (N, G), of rewards (N, G) of G answers to each of N prompts (Kool et
    al. 2019; Ahmadian et al. 2024, arXiv:2402.14740, eq. 8); `normalize` whitens them over all.
    """
    group = rewards.shape[1]
    if group < 2:
        raise ValueError(f"rloo_advantages: needs two answers to a prompt or more; got {group}")
    advantages = rewards - (rewards.sum(1, keepdim=True) - rewards) / (group - 1)
    if normalize:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-4)
    return advantages


@export("alignment.rloo_loss")
def rloo_loss(logps: Tensor, old_logps: Tensor, advantages: Tensor, clip: float = 0.2) -> Tensor:
    """PPO's loss with whole answers as actions: summed log-probabilities and advantages (B,), the
    mean, (), as TRL's RLOO. Its gradient at π = π_old is REINFORCE's.
    """
    ratio = (logps - old_logps).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -minimum(ratio * advantages, clipped * advantages).mean()


@export("alignment.reinforce_loss")
def reinforce_loss(logps: Tensor, advantages: Tensor) -> Tensor:
    """−E A log π, (), of summed log-probabilities and advantages (B,) (Williams 1992, eq. 11)."""
    return -(advantages.detach() * logps).mean()
