"""KTO: learning from single answers that are labelled good or bad."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..ops.data import tensor
from .data import Example, check_rows, encode_completion, pad_examples
from .losses.logps import sequence_logps
from .losses.unpaired import apo_zero_unpaired_loss, kto_loss, kto_reference_point
from .training import TrainConfig, Training


@export("alignment.KTOConfig")
@dataclass
class KTOConfig(TrainConfig):
    """`loss_type` is "kto" or "apo_zero_unpaired"."""

    lr: float = 5e-5
    beta: float = 0.1
    loss_type: str = "kto"
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_type not in ("kto", "apo_zero_unpaired"):
            raise ValueError(f"loss_type must be kto or apo_zero_unpaired; got {self.loss_type!r}")


def logps_of(model: Any, examples: Sequence[Example], pad: int) -> Tensor:
    """log π(y|x) of each example, (B,)."""
    batch = pad_examples(examples, pad).to(next(model.parameters()).device)
    logits = model(batch.input_ids, attention_mask=batch.attention_mask)
    return sequence_logps(logits, batch.labels)


@export("alignment.train_kto")
def train_kto(
    model: Any, tokenizer: Any, rows: Sequence[dict[str, Any]], config: KTOConfig
) -> Training:
    """Learn from labelled answers, in place; the reference is a frozen copy.

    The KL is estimated on answers of the batch under the next row's prompt, as the paper does
    (arXiv:2402.01306, section 4.1); needs pieces of two rows or more. ValueError names a bad row.
    """
    rows = check_rows(rows, "label")
    if config.loss_type == "kto" and config.batch_size < 2 * config.accumulation:
        raise ValueError("kto: the KL is estimated between rows: two at least in every piece")

    def encode(prompt: str, completion: str) -> Example:
        return encode_completion(tokenizer, prompt, completion, config.max_length)

    pad = tokenizer.pad_token_id or 0
    reference = copy.deepcopy(model).eval().requires_grad_(False)
    run = Training(model, config, len(rows), "kto", extra={"reference": reference})
    weights = (config.desirable_weight, config.undesirable_weight)
    for step in run:
        total = dict.fromkeys(("loss", "kl", "reward_good", "reward_bad"), 0.0)
        for part in run.parts(step):
            some = [rows[i] for i in part]
            mine = [encode(row["prompt"], row["completion"]) for row in some]
            other = [
                encode(row["prompt"], following["completion"])
                for row, following in zip(some, [*some[1:], some[0]], strict=True)
            ]
            good = tensor([bool(row["label"]) for row in some], device=run.device)
            with run.autocast():
                logps = logps_of(model, mine, pad)
                with no_grad():
                    ref = logps_of(reference, mine, pad)
                if config.loss_type == "kto":
                    with no_grad():
                        z = kto_reference_point(
                            logps_of(model, other, pad), logps_of(reference, other, pad)
                        )
                    losses = kto_loss(logps, ref, good, z, config.beta, *weights)
                    total["kl"] += z.item() * len(part) / config.batch_size
                else:
                    losses = apo_zero_unpaired_loss(logps, ref, good, config.beta, *weights)
                loss = losses.sum() / config.batch_size
            run.backward(loss)
            total["loss"] += loss.item()
            gain = config.beta * (logps.detach() - ref)
            total["reward_good"] += (gain * good).sum().item() / config.batch_size
            total["reward_bad"] += (gain * ~good).sum().item() / config.batch_size
        run.update(**total)
    return run
