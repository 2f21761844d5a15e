"""Language models made to follow preferences: SFT, reward models, PPO, GRPO, DPO and their kin.

losses/       pure functions of log-probabilities, each with its equation: read preference.py first
data.py       rows of text to batches: reading, checking, padding, packing
training.py   what the loops share: steps, metrics, checkpoints
sft.py reward.py dpo.py kto.py ppo.py grpo.py    a trainer each, and its loop
rollout.py    answers of a policy, and how far it is from its reference
experiment.py frontier.py   preferences that can be checked: DPO beside PPO, by one command
cli.py        the command line

Imported at the first use of `minigrad.alignment`. `python -m minigrad.alignment --help` runs the
trainers from a shell.
"""

from __future__ import annotations

from .data import (
    check_rows,
    encode_completion,
    encode_text,
    join_packed,
    pack_examples,
    pad_examples,
    read_jsonl,
)
from .dpo import DPOConfig, evaluate_dpo, pair_logps, train_dpo
from .grpo import GRPOConfig, train_grpo
from .kto import KTOConfig, train_kto
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
from .ppo import PPOConfig, train_ppo
from .reward import RewardConfig, evaluate_reward, reward_function, scores, train_reward
from .rollout import answer_logps, measure_policy, sample_answers
from .sft import SFTConfig, evaluate_sft, train_sft
from .training import TrainConfig, plot_metrics

__all__ = [
    "AdaptiveKL",
    "DPOConfig",
    "GRPOConfig",
    "KTOConfig",
    "PPOConfig",
    "RewardConfig",
    "SFTConfig",
    "TrainConfig",
    "alpha_po_loss",
    "answer_logps",
    "apo_zero_unpaired_loss",
    "bco_loss",
    "bradley_terry_loss",
    "check_rows",
    "concatenated",
    "cpo_loss",
    "dpo_gradient_weight",
    "dpo_loss",
    "encode_completion",
    "encode_text",
    "evaluate_dpo",
    "evaluate_reward",
    "evaluate_sft",
    "f_divergence_score",
    "gae",
    "group_advantages",
    "grpo_loss",
    "join_packed",
    "kl_estimate",
    "kto_loss",
    "kto_reference_point",
    "ld_logps",
    "masked_mean",
    "measure_policy",
    "mirror_descent_loss",
    "orpo_loss",
    "pack_examples",
    "pad_examples",
    "pair_logps",
    "pairwise_ranking_loss",
    "plackett_luce_loss",
    "plot_metrics",
    "ppo_policy_loss",
    "ppo_value_loss",
    "read_jsonl",
    "reinforce_loss",
    "reward_function",
    "rloo_advantages",
    "rloo_loss",
    "sample_answers",
    "scores",
    "sequence_logps",
    "simpo_loss",
    "token_entropy",
    "token_logps",
    "token_rewards",
    "train_dpo",
    "train_grpo",
    "train_kto",
    "train_ppo",
    "train_reward",
    "train_sft",
    "whiten",
    "wpo_weights",
]
