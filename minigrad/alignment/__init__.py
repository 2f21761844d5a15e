"""Language models made to follow preferences: SFT, reward models, PPO, GRPO, DPO and their kin.

losses/       pure functions of log-probabilities, each with its equation: read preference.py first

Imported at the first use of `minigrad.alignment`. `python -m minigrad.alignment --help` runs the
trainers from a shell.
"""

from __future__ import annotations

from .losses.divergence import f_divergence_score
from .losses.group import group_advantages, grpo_loss, mirror_descent_loss
from .losses.logps import (
    concatenated,
    ld_logps,
    sequence_logps,
    token_entropy,
    token_logps,
    wpo_weights,
)
from .losses.policy import (
    AdaptiveKL,
    gae,
    kl_estimate,
    masked_mean,
    ppo_policy_loss,
    ppo_value_loss,
    reinforce_loss,
    rloo_advantages,
    rloo_loss,
    token_rewards,
    whiten,
)
from .losses.preference import dpo_gradient_weight, dpo_loss
from .losses.reference_free import alpha_po_loss, cpo_loss, orpo_loss, simpo_loss
from .losses.reward import bradley_terry_loss, pairwise_ranking_loss, plackett_luce_loss
from .losses.unpaired import apo_zero_unpaired_loss, bco_loss, kto_loss, kto_reference_point

__all__ = [
    "AdaptiveKL",
    "alpha_po_loss",
    "apo_zero_unpaired_loss",
    "bco_loss",
    "bradley_terry_loss",
    "concatenated",
    "cpo_loss",
    "dpo_gradient_weight",
    "dpo_loss",
    "f_divergence_score",
    "gae",
    "group_advantages",
    "grpo_loss",
    "kl_estimate",
    "kto_loss",
    "kto_reference_point",
    "ld_logps",
    "masked_mean",
    "mirror_descent_loss",
    "orpo_loss",
    "pairwise_ranking_loss",
    "plackett_luce_loss",
    "ppo_policy_loss",
    "ppo_value_loss",
    "reinforce_loss",
    "rloo_advantages",
    "rloo_loss",
    "sequence_logps",
    "simpo_loss",
    "token_entropy",
    "token_logps",
    "token_rewards",
    "whiten",
    "wpo_weights",
]
