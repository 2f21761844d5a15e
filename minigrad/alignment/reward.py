"""Reward models: a language model with one number at its last token, learnt from comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..ops.data import tensor
from .data import check_rows, encode_completion, pad_examples
from .losses.reward import bradley_terry_loss, plackett_luce_loss
from .rollout import RewardFunction
from .training import TrainConfig, Training


@export("alignment.RewardConfig")
@dataclass
class RewardConfig(TrainConfig):
    """`center_coefficient` holds the rewards near zero; pairs may have margins."""

    lr: float = 2e-4
    center_coefficient: float = 0.0


@export("alignment.scores")
def scores(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    completions: Sequence[str],
    max_length: int = 512,
) -> Tensor:
    """The reward of each completion, (B,); gradients flow if they are on."""
    examples = [
        encode_completion(tokenizer, prompt, completion, max_length)
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    batch = pad_examples(examples, tokenizer.pad_token_id or 0)
    batch = batch.to(next(model.parameters()).device)
    return model(batch.input_ids, attention_mask=batch.attention_mask)[:, 0]


@export("alignment.reward_function")
def reward_function(model: Any, tokenizer: Any, max_length: int = 512) -> RewardFunction:
    """A reward model as a function (prompts, answers) -> scores, for PPO and GRPO."""
    model.eval()

    def reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
        with no_grad():
            return scores(model, tokenizer, prompts, answers, max_length).tolist()

    return reward


@export("alignment.train_reward")
def train_reward(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], config: RewardConfig
) -> Training:
    """Bradley-Terry on pairs, or Plackett-Luce on rankings ("ranked" in the first row).

    `model` gives (B, 1), as GPT2ForSequenceClassification with one label; it learns in place.
    ValueError names a bad row.
    """
    ranking = bool(rows) and isinstance(rows[0], dict) and "ranked" in rows[0]
    rows = check_rows(rows, "ranking" if ranking else "pair")
    run = Training(model, config, len(rows), "reward")
    for step in run:
        total, right, margin = 0.0, 0.0, 0.0
        for part in run.parts(step):
            some = [rows[i] for i in part]
            answers = [r["ranked"] if ranking else [r["chosen"], r["rejected"]] for r in some]
            with run.autocast():
                table, mask = score_table(model, tokenizer, some, answers, config.max_length)
                if ranking:
                    losses = plackett_luce_loss(table, mask)
                else:
                    asked = tensor([float(r.get("margin") or 0.0) for r in some], device=run.device)
                    losses = bradley_terry_loss(
                        table[:, 0], table[:, 1], asked, config.center_coefficient
                    )
                loss = losses.sum() / config.batch_size
            run.backward(loss)
            total += loss.item()
            gap = (table[:, 0] - table[:, 1]).detach()
            right += (gap > 0).sum().item() / config.batch_size
            margin += gap.sum().item() / config.batch_size
        run.update(loss=total, accuracy=right, margin=margin)
    return run


def score_table(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    answers: Sequence[Sequence[str]],
    max_length: int,
) -> tuple[Tensor, Tensor]:
    """Rewards (B, most answers) in one forward pass, and which of them exist."""
    most = max(map(len, answers))
    prompts, texts = [], []
    for row, some in zip(rows, answers, strict=True):
        prompts += [row["prompt"]] * most
        texts += [*some, *[some[0]] * (most - len(some))]  # fillers, masked below
    table = scores(model, tokenizer, prompts, texts, max_length).view(len(rows), most)
    mask = tensor([[i < len(some) for i in range(most)] for some in answers], device=table.device)
    return table, mask


@export("alignment.evaluate_reward")
def evaluate_reward(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], max_length: int = 512
) -> dict[str, float]:
    """On held-out pairs: how often the chosen answer scores higher, and by how much."""
    rows = check_rows(rows, "pair")
    model.eval()
    gaps: list[float] = []
    with no_grad():
        for i in range(0, len(rows), 32):
            some = rows[i : i + 32]
            answers = [[row["chosen"], row["rejected"]] for row in some]
            table, _ = score_table(model, tokenizer, some, answers, max_length)
            gaps += (table[:, 0] - table[:, 1]).tolist()
    return {"accuracy": sum(g > 0 for g in gaps) / len(gaps), "margin": sum(gaps) / len(gaps)}
