"""Answers of a policy to prompts, with what learning from them needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..backend.dtypes import int64
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..models.generation import cut_text, generate
from ..ops.data import tensor
from ..ops.join import cat
from .losses.logps import token_logps

RewardFunction = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""(prompts, answers) -> one number for each answer."""


class Rollout(NamedTuple):
    """Prompts padded on the left, answers of up to N tokens behind them.

    `mask` is 1 on an answer's tokens, its end of sequence included.
    """

    input_ids: Tensor  # (B, P + N)
    attention_mask: Tensor  # (B, P + N)
    mask: Tensor  # (B, N)
    prompts: list[str]
    answers: list[str]
    ended: list[bool]  # whether an answer has an end of sequence

    @property
    def length(self) -> int:
        """N."""
        return self.mask.shape[1]

    def rows(self, chosen: Sequence[int]) -> Rollout:
        """Some of the rows."""
        where = tensor(list(chosen), dtype=int64)
        tensors = (t.index_select(0, where.to(t.device)) for t in self[:3])
        return Rollout(*tensors, *([part[i] for i in chosen] for part in self[3:]))


@export("alignment.sample_answers")
def sample_answers(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    max_new_tokens: int,
    temperature: float = 1.0,
    **options: Any,
) -> Rollout:
    """One answer to each prompt, drawn from the policy; further options as `models.generate`."""
    training = model.training
    model.eval()
    ids, mask = tokenizer.batch(prompts, padding_side="left")
    device = next(model.parameters()).device
    end = tokenizer.eos_token_id
    whole = generate(
        model, ids.to(device), attention_mask=mask.to(device), max_new_tokens=max_new_tokens,
        do_sample=True, temperature=temperature, eos_token_id=end,
        pad_token_id=tokenizer.pad_token_id, **options,
    )  # fmt: skip
    model.train(training)
    start = ids.shape[1]
    rows, marks, ended = whole[:, start:].tolist(), [], []
    for row in rows:
        length = row.index(end) + 1 if end in row else len(row)
        marks.append([1] * length + [0] * (len(row) - length))
        ended.append(end in row)
    marked = tensor(marks, dtype=int64, device=device)
    answers = [cut_text(tokenizer, row, () if end is None else (end,)) for row in rows]
    attention = cat([mask.to(device), marked], 1)
    return Rollout(whole, attention, marked.float(), list(prompts), answers, ended)


@export("alignment.answer_logps")
def answer_logps(model: Any, rollout: Rollout, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log π of the answers' tokens, (B, N), and the logits they come from, (B, N, V).

    Divided by the temperature they were drawn at, so that π is the policy that wrote them.
    """
    n = rollout.length
    logits = model(rollout.input_ids, attention_mask=rollout.attention_mask)[:, -n - 1 :]
    if temperature != 1.0:
        logits = logits / temperature
    labels = rollout.input_ids[:, -n - 1 :]
    return token_logps(logits, labels)[0] * rollout.mask, logits[:, :-1]


@export("alignment.measure_policy")
def measure_policy(
    model: Any,
    reference: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    reward: RewardFunction,
    max_new_tokens: int,
    batch_size: int = 64,
    **options: Any,
) -> dict[str, float]:
    """Over answers drawn to these prompts: mean reward, KL to the reference per answer (the mean of
    log π/π_ref, k1), tokens, and how many end.
    """
    rewards: list[float] = []
    kl, tokens, ended = 0.0, 0.0, 0
    with no_grad():
        for i in range(0, len(prompts), batch_size):
            rollout = sample_answers(
                model, tokenizer, prompts[i : i + batch_size], max_new_tokens, **options
            )
            rewards += reward(rollout.prompts, rollout.answers)
            mine, its = answer_logps(model, rollout)[0], answer_logps(reference, rollout)[0]
            kl += (mine - its).sum().item()
            tokens += rollout.mask.sum().item()
            ended += sum(rollout.ended)
    n = len(prompts)
    return {
        "reward": sum(rewards) / n, "kl": kl / n, "tokens": tokens / n, "ended": ended / n,
    }  # fmt: skip
