"""Losses and densities: pure functions of tensors, with the equations that they are.

All are means over a batch, to be minimised. They consist of operations that a captured step
(`minigrad.compile`) can replay: no number leaves the tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..nn import functional as F
from ..ops.clamping import minimum
from ..ops.data import from_numpy
from ..ops.join import cat
from ..ops.sums import amax

LOG_2PI = math.log(2 * math.pi)


# ------------------------------------------------------------------------------ densities
@export("rl.categorical_log_prob")
def categorical_log_prob(logits: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """log π(a|s) and the entropy −Σ π log π, each (B,), of logits (B, A) and actions (B,)."""
    log_pi = F.log_softmax(logits, -1)
    chosen = log_pi.gather(1, action.unsqueeze(1)).squeeze(1)
    return chosen, -(log_pi.exp() * log_pi).sum(-1)


@export("rl.gaussian_log_prob")
def gaussian_log_prob(mean: Tensor, log_std: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """log N(a; μ, σ²) summed over dimensions, and the entropy Σ (½ log 2πe + log σ), each (B,)."""
    z = (action - mean) * (-log_std).exp()
    log_prob = (-0.5 * (z * z) - log_std - 0.5 * LOG_2PI).sum(-1)
    entropy = (log_std + 0.5 * (LOG_2PI + 1) + mean * 0).sum(-1)
    return log_prob, entropy


@export("rl.categorical_kl")
def categorical_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """E[Σ p (log p − log q)], of log-probabilities (B, A): the mean over the batch."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


@export("rl.gaussian_kl")
def gaussian_kl(mean: Tensor, log_std: Tensor, other: Tensor, other_log_std: Tensor) -> Tensor:
    """KL(N(μ, σ²) | N(μ', σ'²)) summed over dimensions, the mean over the batch:

    log σ' − log σ + (σ² + (μ − μ')²) / (2σ'²) − ½.
    """
    ratio = (2 * (log_std - other_log_std)).exp()
    z = (mean - other) * (-other_log_std).exp()
    return (other_log_std - log_std + 0.5 * (ratio + z * z) - 0.5).sum(-1).mean()


@export("rl.squashed_sample")
def squashed_sample(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """a = tanh(μ + σε) and its log-density, (B, D) and (B,); Haarnoja et al. 2018, eq. 21.

    log π(a) = log N(u; μ, σ²) − Σ log(1 − tanh²u); the last term as 2(log 2 − u − softplus(−2u)),
    which does not overflow.
    """
    u = mean + log_std.exp() * noise
    log_prob = (-0.5 * (noise * noise) - log_std - 0.5 * LOG_2PI).sum(-1)
    return u.tanh(), log_prob + 2 * (u + F.softplus(-2 * u) - math.log(2)).sum(-1)


# ------------------------------------------------------------------------------ values
@export("rl.greedy_values")
def greedy_values(values: Tensor, by: Tensor) -> Tensor:
    """values(s, argmax_a by(s, a)), (B,): Double DQN's target (van Hasselt et al. 2016, eq. 4).

    With by = values the plain maximum. Actions that tie for best share the weight.
    """
    best = (by >= amax(by, 1, keepdim=True)).to(values.dtype)
    return (values * best).sum(1) / best.sum(1)


@export("rl.td_loss")
def td_loss(q: Tensor, target: Tensor, weight: Tensor, *, huber: bool = True) -> Tensor:
    """Σ w · l(q − y) / B: l Huber's (|e| − ½ beyond 1; Mnih et al. 2015), or e²/2."""
    error = q - target
    if not huber:
        return (weight * (0.5 * (error * error))).mean()
    small = error.abs().clamp(max=1.0)
    return (weight * (small * (error.abs() - 0.5 * small))).mean()


@export("rl.value_loss")
def value_loss(value: Tensor, target: Tensor) -> Tensor:
    """½ E[(v(s) − G)²]."""
    error = value - target
    return 0.5 * (error * error).mean()


# ------------------------------------------------------------------------------ policies
@export("rl.policy_gradient_loss")
def policy_gradient_loss(log_prob: Tensor, weight: Tensor) -> Tensor:
    """−E[log π(a|s) w], whose gradient is −E[∇log π(a|s) w]: the policy gradient theorem (Zhao, eq.
    9.8) for w = q(s, a), or with a baseline (10.7) for w = q(s, a) − b(s).
    """
    return -(log_prob * weight).mean()


@export("rl.ppo_clip_loss")
def ppo_clip_loss(log_prob: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """−E[min(ρA, clip(ρ, 1 − ε, 1 + ε)A)], ρ = π/π_old; Schulman et al. 2017, eq. 7."""
    ratio = (log_prob - old).exp()
    return -minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


@export("rl.ppo_kl_loss")
def ppo_kl_loss(log_prob: Tensor, old: Tensor, advantage: Tensor, beta: Tensor) -> Tensor:
    """−E[ρA] + β E[KL(π_old | π)]; eq. 8 of the same, the KL estimated from the samples."""
    ratio = (log_prob - old).exp()
    return -(ratio * advantage).mean() + beta * approximate_kl(log_prob, old)


@export("rl.approximate_kl")
def approximate_kl(log_prob: Tensor, old: Tensor) -> Tensor:
    """E[(ρ − 1) − log ρ] ≥ 0: unbiased for KL(π_old | π), with little variance."""
    log_ratio = log_prob - old
    return (log_ratio.exp() - 1 - log_ratio).mean()


# ------------------------------------------------------------------------------ gradients
@export("rl.clip_gradients")
def clip_gradients(parameters: Iterable[Any], most: float) -> None:
    """Scale all gradients together so that their norm is at most `most` (Pascanu et al. 2013).

    As `nn.utils.clip_grad_norm_`, but no number leaves the tensors, so that it can be captured.
    """
    with no_grad():
        gradients = [p.grad for p in parameters]
        total = sum([(g * g).sum() for g in gradients])
        scale = ((total.sqrt() + 1e-6).reciprocal() * most).clamp(max=1.0)
        for g in gradients:
            g.mul_(scale)


@export("rl.flat_gradient")
def flat_gradient(parameters: Iterable[Any]) -> Tensor:
    """The gradients of all parameters as one vector."""
    return cat([p.grad.reshape(-1) for p in parameters])


@export("rl.assign_gradient")
def assign_gradient(parameters: Iterable[Any], flat: Any, most: float = math.inf) -> None:
    """Give the pieces of one vector (an array) to the parameters as gradients, the whole scaled
    down to the norm `most`.
    """
    norm = float((flat * flat).sum() ** 0.5)
    flat = flat * min(most / (norm + 1e-6), 1.0)
    start = 0
    for p in parameters:
        p.grad = from_numpy(flat[start : start + p.numel()].reshape(p.shape).astype("float32"))
        start += p.numel()


@export("rl.polyak")
def polyak(targets: Iterable[Any], sources: Iterable[Any], tau: float) -> None:
    """θ' ← (1 − τ) θ' + τ θ, in place (Lillicrap et al. 2016)."""
    with no_grad():
        for target, source in zip(targets, sources, strict=True):
            target.lerp_(source, tau)
