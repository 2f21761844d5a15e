"""GRPO, its variants and RLOO: groups of answers in place of a value model."""

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
from .losses.group import LOSS_TYPES, SCALES, group_advantages, grpo_loss
from .losses.logps import token_entropy
from .losses.policy import kl_estimate, masked_mean, rloo_advantages, rloo_loss
from .rollout import RewardFunction, Rollout, answer_logps, sample_answers
from .training import TrainConfig, Training


@export("alignment.GRPOConfig")
@dataclass
class GRPOConfig(TrainConfig):
    """A step draws `group_size` answers to each of batch_size/group_size prompts and learns from
    them `epochs` times.

    `loss_type` is one of `grpo_loss`'s (dr_grpo goes with scale="none") or "rloo". GSPO is
    level="sequence". `beta` weighs the KL to the reference: in the loss, or in RLOO's reward.
    """

    lr: float = 1e-4
    schedule: str = "constant"
    group_size: int = 8
    max_new_tokens: int = 32
    temperature: float = 1.0
    epochs: int = 1
    loss_type: str = "dapo"
    scale: str = "group"
    level: str = "token"
    epsilon: float = 0.2
    epsilon_high: float | None = None
    delta: float | None = None
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group_size < 2 or self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size={self.batch_size} must be a multiple of group_size={self.group_size}, "
                "which is 2 at least"
            )
        if self.loss_type not in (*LOSS_TYPES, "rloo"):
            raise ValueError(
                f"loss_type must be one of {', '.join((*LOSS_TYPES, 'rloo'))}; "
                f"got {self.loss_type!r}"
            )
        if self.scale not in SCALES:
            raise ValueError(f"scale must be one of {', '.join(SCALES)}; got {self.scale!r}")


@export("alignment.train_grpo")
def train_grpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    reward: RewardFunction,
    config: GRPOConfig,
    reference: Any | None = None,
    watch: Callable[[Training], None] | None = None,
) -> Training:
    """Make answers likelier that beat their group; the policy learns in place.

    `reward(prompts, answers)` gives a number for each answer. The reference is a frozen copy unless
    given, and there is none with beta = 0. Metrics: score, its deviation within groups, KL per
    answer (if there is a reference), loss, entropy, tokens. `watch` is called after every step.
    """
    prompts = [row["prompt"] for row in check_rows(rows, "prompt")]
    if reference is None and config.beta:
        reference = copy.deepcopy(model).eval().requires_grad_(False)
    run = Training(
        model, config, len(prompts), config.loss_type,
        extra={"reference": reference} if reference is not None else {},
    )  # fmt: skip
    groups = config.batch_size // config.group_size
    for step in run:
        asked = [prompts[i] for i in run.indices(step, groups) for _ in range(config.group_size)]
        rollout = sample_answers(model, tokenizer, asked, config.max_new_tokens, config.temperature)
        score = tensor([float(s) for s in reward(rollout.prompts, rollout.answers)])
        with no_grad():
            old = answer_logps(model.eval(), rollout, config.temperature)[0]
            ref = answer_logps(reference, rollout, config.temperature)[0] if reference else None
        model.train()
        advantages = weigh(score.to(run.device), old, ref, config)
        metrics = learn(run, rollout, old, ref, advantages)
        if ref is not None:
            metrics["kl"] = ((old - ref) * rollout.mask).sum().item() / config.batch_size
        run.advance(
            score=score.mean().item(),
            deviation=score.view(groups, -1).std(1).mean().item(),
            tokens=rollout.mask.sum().item() / config.batch_size,
            **metrics,
        )
        if watch:
            watch(run)
    return run


def weigh(score: Tensor, old: Tensor, ref: Tensor | None, config: GRPOConfig) -> Tensor:
    """The advantage of each answer, (B,)."""
    grouped = score.view(-1, config.group_size)
    if config.loss_type != "rloo":
        return group_advantages(grouped, config.scale).flatten()
    if ref is not None:  # RLOO's KL stands in the reward (Ahmadian et al. 2024, eq. 2)
        grouped = grouped - config.beta * (old - ref).sum(1).view(grouped.shape)
    return rloo_advantages(grouped).flatten()


def learn(
    run: Training, rollout: Rollout, old: Tensor, ref: Tensor | None, advantages: Tensor
) -> dict[str, float]:
    """`epochs` optimizer steps on one rollout, each accumulated; means of what they saw."""
    config: Any = run.config
    tokens, rows = rollout.mask.sum().item(), len(rollout.prompts)
    noted: list[list[float]] = []
    for _ in range(config.epochs):
        for part in np.array_split(np.arange(rows), config.accumulation):
            where = tensor(part.tolist(), device=old.device)
            some, share = rollout.rows(part.tolist()), len(part) / rows
            before, gain = old.index_select(0, where), advantages.index_select(0, where)
            with run.autocast():
                logps, logits = answer_logps(run.model, some, config.temperature)
                if config.loss_type == "rloo":
                    loss = share * rloo_loss(logps.sum(1), before.sum(1), gain, config.epsilon)
                else:
                    by_rows = config.loss_type not in ("dapo", "cispo", "vespo")
                    loss = grpo_loss(
                        logps, before, gain, some.mask, config.loss_type,
                        level=config.level, epsilon=config.epsilon,
                        epsilon_high=config.epsilon_high, delta=config.delta, beta=config.beta,
                        ref_logps=None if ref is None else ref.index_select(0, where),
                        max_length=config.max_new_tokens, num_tokens=tokens,
                    ) * (share if by_rows else 1.0)  # fmt: skip
            run.backward(loss)
            entropy = masked_mean(token_entropy(logits.detach()), some.mask).item()
            drift = masked_mean(kl_estimate(logps.detach(), before), some.mask).item()
            noted.append([loss.item() / share, entropy, drift])
        run.optimize()
    return dict(zip(("loss", "entropy", "drift"), np.mean(noted, 0).tolist(), strict=True))
