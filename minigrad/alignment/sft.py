"""Supervised fine-tuning: the first stage, and all there is to pre-training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.modes import no_grad
from ..export import export
from .data import (
    Batch,
    Example,
    check_rows,
    encode_completion,
    encode_text,
    join_packed,
    pack_examples,
    pad_examples,
)
from .losses.logps import token_logps
from .training import TrainConfig, Training


@export("alignment.SFTConfig")
@dataclass
class SFTConfig(TrainConfig):
    """`packing` fills rows of max_length tokens with several examples, which do not see each
    other; a row of a batch is then such a packed one.
    """

    lr: float = 5e-4
    packing: bool = False


def encode_rows(tokenizer: Any, rows: Sequence[dict[str, Any]], max_length: int) -> list[Example]:
    """Examples of text rows or of completion rows."""
    kind = "text" if rows and isinstance(rows[0], dict) and "text" in rows[0] else "completion"
    rows = check_rows(rows, kind)
    if kind == "text":
        return [encode_text(tokenizer, row["text"], max_length) for row in rows]
    return [
        encode_completion(tokenizer, row["prompt"], row["completion"], max_length) for row in rows
    ]


@export("alignment.train_sft")
def train_sft(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], config: SFTConfig
) -> Training:
    """Maximise Σ log π(y_t | before) of completions (or whole texts); the model learns in place.

    The loss of a step is the mean over its learnt tokens, whatever the accumulation. ValueError
    names a bad row.
    """
    examples = encode_rows(tokenizer, rows, config.max_length)
    pad = tokenizer.pad_token_id or 0
    packed = pack_examples(examples, config.max_length) if config.packing else []
    run = Training(model, config, len(packed) or len(examples), "sft")
    for step in run:
        batches = [
            join_packed([packed[i] for i in part], pad)
            if config.packing
            else pad_examples([examples[i] for i in part], pad)
            for part in run.parts(step)
        ]
        tokens = sum(int((b.labels[:, 1:] != -100).sum().item()) for b in batches)
        total = 0.0
        for batch in batches:
            batch = batch.to(run.device)
            with run.autocast():
                logits = model(batch.input_ids, attention_mask=batch.attention_mask)
                logps, _ = token_logps(logits, batch.labels)
                loss = -logps.sum() / max(tokens, 1)
            run.backward(loss)
            total += loss.item()
        run.update(loss=total, tokens=tokens)
    return run


@export("alignment.evaluate_sft")
def evaluate_sft(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], max_length: int = 512
) -> dict[str, float]:
    """The mean loss of a learnt token in nats, and how often the likeliest token is right."""
    examples, pad = encode_rows(tokenizer, rows, max_length), tokenizer.pad_token_id or 0
    model.eval()
    loss, right, count = 0.0, 0.0, 0.0
    with no_grad():
        for i in range(0, len(examples), 32):
            batch: Batch = pad_examples(examples[i : i + 32], pad)
            logits = model(batch.input_ids, attention_mask=batch.attention_mask)
            logps, mask = token_logps(logits, batch.labels)
            loss -= logps.sum().item()
            right += ((logits[:, :-1].argmax(-1) == batch.labels[:, 1:]) * mask).sum().item()
            count += mask.sum().item()
    return {"loss": loss / max(count, 1), "accuracy": right / max(count, 1), "tokens": count}
