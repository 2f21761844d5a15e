"""PPO on a language model: the third stage of RLHF (Ziegler et al. 2019, Ouyang et al. 2022)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..ops.data import tensor
from .data import check_rows
from .losses.logps import token_entropy
from .losses.policy import (
    AdaptiveKL,
    gae,
    masked_mean,
    ppo_policy_loss,
    ppo_value_loss,
    token_rewards,
    whiten,
)
from .rollout import RewardFunction, Rollout, answer_logps, sample_answers
from .training import TrainConfig, Training


@export("alignment.PPOConfig")
@dataclass
class PPOConfig(TrainConfig):
    """A step draws `batch_size` answers and goes over them `epochs` times in `minibatches` pieces,
    each an optimizer step.
    """

    lr: float = 1e-4
    schedule: str = "constant"
    max_new_tokens: int = 32
    temperature: float = 1.0
    epochs: int = 2
    minibatches: int = 2
    kl_coef: float = 0.1
    kl_target: float | None = None
    """Steer the coefficient to this KL per answer (adaptive); None keeps it."""
    kl_horizon: int = 10_000
    clip: float = 0.2
    value_clip: float | None = 0.2
    value_coef: float = 0.5
    gamma: float = 1.0
    lam: float = 0.95
    whiten_advantages: bool = True
    missing_end_penalty: float = 0.0
    """Taken off the score of an answer that was cut at max_new_tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % self.minibatches:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of minibatches={self.minibatches}"
            )
        if self.accumulation != 1:
            raise ValueError("ppo: minibatches, not accumulation, divide a step's answers")


@dataclass
class Experience:
    """A rollout and what is held fixed while learning from it, (B, N) each."""

    rollout: Rollout
    logps: Tensor
    values: Tensor
    advantages: Tensor
    returns: Tensor


def token_values(value_model: Any, rollout: Rollout) -> Tensor:
    """V at the position before each token of the answers, (B, N)."""
    n = rollout.length
    values = value_model.values(rollout.input_ids, attention_mask=rollout.attention_mask)
    return values[:, -n - 1 : -1, 0]


@export("alignment.train_ppo")
def train_ppo(
    model: Any,
    value_model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    reward: RewardFunction,
    config: PPOConfig,
    reference: Any | None = None,
    watch: Callable[[Training], None] | None = None,
) -> Training:
    """Maximise E[reward − β KL(π‖π_ref)]; policy and value model learn in place.

    `reward(prompts, answers)` gives a number for each answer, for example a reward model's
    (`reward_function`). `value_model.values` gives (B, T, 1). The reference is a frozen copy unless
    given. Metrics: score, KL per answer, losses, share of clipped ratios, entropy, tokens. `watch`
    is called after every step.
    """
    prompts = [row["prompt"] for row in check_rows(rows, "prompt")]
    if reference is None:
        reference = copy.deepcopy(model).eval().requires_grad_(False)
    run = Training(
        model, config, len(prompts), "ppo",
        extra={"value": value_model, "reference": reference}, state={"kl_coef": config.kl_coef},
    )  # fmt: skip
    for step in run:
        asked = [prompts[i] for i in run.indices(step)]
        rollout = sample_answers(model, tokenizer, asked, config.max_new_tokens, config.temperature)
        score = [float(s) for s in reward(rollout.prompts, rollout.answers)]
        experience, kl = look_back(run, rollout, score, reference, value_model)
        metrics = learn(run, experience, value_model)
        if config.kl_target is not None:
            control = AdaptiveKL(run.state["kl_coef"], config.kl_target, config.kl_horizon)
            run.state["kl_coef"] = control.update(kl, config.batch_size)
        run.advance(
            score=float(np.mean(score)), kl=kl, kl_coef=run.state["kl_coef"],
            tokens=rollout.mask.sum().item() / config.batch_size, **metrics,
        )  # fmt: skip
        if watch:
            watch(run)
    return run


def look_back(
    run: Training, rollout: Rollout, score: list[float], reference: Any, value_model: Any
) -> tuple[Experience, float]:
    """Log-probabilities, values and advantages of what was written, and its KL per answer."""
    config: Any = run.config
    penalised = [
        s - (0.0 if ended else config.missing_end_penalty)
        for s, ended in zip(score, rollout.ended, strict=True)
    ]
    run.model.eval()
    with no_grad():
        logps, _ = answer_logps(run.model, rollout, config.temperature)
        ref, _ = answer_logps(reference, rollout, config.temperature)
        values = token_values(value_model, rollout)
        scores = tensor(penalised, device=logps.device)
        rewards = token_rewards(scores, logps, ref, rollout.mask, run.state["kl_coef"])
        advantages, returns = gae(rewards, values, rollout.mask, config.gamma, config.lam)
        if config.whiten_advantages:
            advantages = whiten(advantages, rollout.mask)
    run.model.train()
    kl = ((logps - ref) * rollout.mask).sum().item() / len(score)
    return Experience(rollout, logps, values, advantages, returns), kl


def learn(run: Training, seen: Experience, value_model: Any) -> dict[str, float]:
    """The optimizer steps of one rollout; means of what they saw."""
    config: Any = run.config
    noted: list[list[float]] = []
    size = config.batch_size // config.minibatches
    for epoch in range(config.epochs):
        order = np.random.default_rng([config.seed, run.step, epoch]).permutation(config.batch_size)
        for first in range(0, config.batch_size, size):
            some = order[first : first + size].tolist()
            rollout = seen.rollout.rows(some)
            where = tensor(some, device=seen.logps.device)
            old, before, advantages, returns = (
                t.index_select(0, where)
                for t in (seen.logps, seen.values, seen.advantages, seen.returns)
            )
            with run.autocast():
                logps, logits = answer_logps(run.model, rollout, config.temperature)
                policy = ppo_policy_loss(logps, old, advantages, rollout.mask, config.clip)
                values = token_values(value_model, rollout)
                value = ppo_value_loss(values, before, returns, rollout.mask, config.value_clip)
            run.backward(policy + config.value_coef * value)
            run.optimize()
            ratio = (logps.detach() - old).exp()
            clipped = masked_mean(((ratio - 1).abs() > config.clip).float(), rollout.mask)
            entropy = masked_mean(token_entropy(logits.detach()), rollout.mask)
            noted.append([policy.item(), value.item(), clipped.item(), entropy.item()])
    names = ("policy_loss", "value_loss", "clipped", "entropy")
    return dict(zip(names, np.mean(noted, 0).tolist(), strict=True))
