"""Direct preference optimisation: pairs in, a policy out, no reward model and no sampling between.

The loop is `train_dpo`; the losses, with their equations, are in losses/preference.py and
losses/reference_free.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..models.lora import lora_disabled, lora_layers
from ..ops.data import tensor
from ..ops.join import cat
from .data import Batch, Example, check_rows, encode_completion, pad_examples
from .losses.logps import ld_logps, token_logps, wpo_weights
from .losses.preference import LOSS_TYPES, check_options, dpo_loss
from .losses.reference_free import alpha_po_loss, cpo_loss, orpo_loss, simpo_loss
from .training import TrainConfig, Training

REFERENCE_FREE = ("cpo", "simpo", "alpha_po", "orpo")
OF_AVERAGES = ("simpo", "alpha_po", "orpo")


@export("alignment.DPOConfig")
@dataclass
class DPOConfig(TrainConfig):
    """`loss_type` is a name of `dpo_loss` or one of cpo, simpo, alpha_po, orpo, or a mapping of
    `dpo_loss`'s names to weights.

    `reference` is "frozen" (a copy), "precomputed" (its log-probabilities alone), "sync" (a copy
    that follows: TR-DPO, Gorbatovski et al. 2024, arXiv:2404.09656), or "adapter" (the model
    without its LoRA).
    """

    lr: float = 5e-5
    beta: float = 0.1
    loss_type: str | dict[str, float] = "sigmoid"
    label_smoothing: float = 0.0
    f_divergence: str = "reverse_kl"
    f_alpha: float = 0.5
    discopop_tau: float = 0.05
    length_alpha: float = 0.01
    gamma: float = 0.5
    """SimPO's margin."""
    po_alpha: float = 0.25
    """AlphaPO's α."""
    nll_weight: float | None = None
    """The chosen answers' loss, added: 1 for orpo and cpo, 0 otherwise unless given."""
    reference: str = "frozen"
    sync_every: int = 512
    sync_mix: float = 0.6
    ld_alpha: float | None = None
    """LD-DPO: the weight of tokens beyond the shorter answer's length."""
    wpo: bool = False
    """WPO: pairs weighed by how likely the policy itself would write them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one = isinstance(self.loss_type, str)
        known = (*LOSS_TYPES, *REFERENCE_FREE) if one else LOSS_TYPES
        for kind in [self.loss_type] if one else self.loss_type:
            if kind not in known:
                raise ValueError(f"loss_type must be one of {', '.join(known)}; got {kind!r}")
            if kind in LOSS_TYPES:
                smoothing = self.label_smoothing if one else None
                check_options(kind, self.beta, smoothing, self.f_divergence)
        if self.reference not in ("frozen", "precomputed", "sync", "adapter"):
            raise ValueError(
                f"reference must be frozen, precomputed, sync or adapter; got {self.reference!r}"
            )


class Pairs(NamedTuple):
    """Of each pair, (B,): log-probabilities of both answers, their lengths, a weight."""

    chosen: Tensor
    rejected: Tensor
    chosen_lengths: Tensor
    rejected_lengths: Tensor
    weights: Tensor | None = None


@export("alignment.pair_logps")
def pair_logps(model: Any, batch: Batch, ld_alpha: float | None = None, wpo: bool = False) -> Pairs:
    """Summed log-probabilities of a batch whose first half are chosen answers, its second half the
    rejected ones of the same pairs: one forward pass for both.
    """
    logits = model(batch.input_ids, attention_mask=batch.attention_mask)
    logps, mask = token_logps(logits, batch.labels)
    (w, v), (w_mask, v_mask) = logps.chunk(2), mask.chunk(2)
    if ld_alpha is None:
        chosen, rejected = w.sum(1), v.sum(1)
    else:
        chosen, rejected = ld_logps(w, w_mask, v, v_mask, ld_alpha)
    weights = None
    if wpo:
        a, b = wpo_weights(logits, batch.labels).chunk(2)
        weights = a * b
    return Pairs(chosen, rejected, w_mask.sum(1), v_mask.sum(1), weights)


@dataclass
class Reference:
    """How likely the model that training starts from finds answers; see `DPOConfig.reference`."""

    model: Any
    config: DPOConfig
    copy: Any = None
    table: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        kind = self.config.reference
        if kind in ("frozen", "sync"):
            self.copy = copy.deepcopy(self.model).eval().requires_grad_(False)
        elif kind == "adapter" and not lora_layers(self.model):
            raise ValueError("reference='adapter' needs a model with LoRA; see models.add_lora")

    def precompute(self, encoded: Sequence[tuple[Example, Example]], pad: int) -> None:
        """Note the log-probabilities of all pairs: afterwards no copy is needed."""
        training = self.model.training
        self.model.eval()
        with no_grad():
            for i in range(0, len(encoded), 32):
                batch = pair_batch(encoded[i : i + 32], pad)
                batch = batch.to(next(self.model.parameters()).device)
                found = pair_logps(self.model, batch, self.config.ld_alpha)
                self.table += zip(found.chosen.tolist(), found.rejected.tolist(), strict=True)
        self.model.train(training)

    def logps(self, batch: Batch, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """(B,) each of chosen and rejected answers; constants."""
        if self.config.reference == "precomputed":
            found = tensor([self.table[i] for i in rows], device=batch.input_ids.device)
            return found[:, 0], found[:, 1]
        with no_grad():
            if self.config.reference == "adapter":
                training = self.model.training
                self.model.eval()
                with lora_disabled(self.model):
                    pairs = pair_logps(self.model, batch, self.config.ld_alpha)
                self.model.train(training)
            else:
                pairs = pair_logps(self.copy, batch, self.config.ld_alpha)
        return pairs.chosen, pairs.rejected

    def synchronise(self, step: int) -> None:
        """ref ← mix π + (1 − mix) ref, every `sync_every` steps (TR-DPO, eq. 4)."""
        if self.config.reference != "sync" or (step + 1) % self.config.sync_every:
            return
        mix = self.config.sync_mix
        with no_grad():
            for mine, its in zip(self.model.parameters(), self.copy.parameters(), strict=True):
                its.copy_(mix * mine + (1 - mix) * its)


def pair_batch(encoded: Sequence[tuple[Example, Example]], pad: int) -> Batch:
    """Chosen answers, then the rejected ones, in one padded batch."""
    return pad_examples([w for w, _ in encoded] + [v for _, v in encoded], pad)


def encode_pairs(
    tokenizer: Any, rows: Sequence[dict[str, Any]], max_length: int
) -> list[tuple[Example, Example]]:
    """(chosen, rejected) examples of each row."""

    def encode(row: dict[str, Any], key: str) -> Example:
        return encode_completion(tokenizer, row["prompt"], row[key], max_length)

    rows = check_rows(rows, "pair")
    return [(encode(row, "chosen"), encode(row, "rejected")) for row in rows]


def averages(pairs: Pairs) -> tuple[Tensor, Tensor]:
    """Log-probabilities per token of chosen and rejected answers, (B,) each."""
    return (
        pairs.chosen / pairs.chosen_lengths.clamp(min=1),
        pairs.rejected / pairs.rejected_lengths.clamp(min=1),
    )


def losses_of(pairs: Pairs, reference: tuple[Tensor, Tensor] | None, config: DPOConfig) -> Tensor:
    """The loss of each pair, (B,), as the configuration says."""
    kind, beta = config.loss_type, config.beta
    average = averages(pairs)
    weight = config.nll_weight
    if weight is None:
        weight = 1.0 if kind in ("orpo", "cpo") else 0.0
    nll = weight * -pairs.chosen.sum() / pairs.chosen_lengths.sum().clamp(min=1) if weight else 0.0
    if kind == "orpo":
        return orpo_loss(*average, beta, nll)
    if kind == "cpo":
        return cpo_loss(pairs.chosen, pairs.rejected, beta, config.label_smoothing, nll=nll)
    if kind == "simpo":
        return simpo_loss(*average, beta, config.gamma, config.label_smoothing, nll)
    if kind == "alpha_po":
        return alpha_po_loss(*average, beta, config.gamma, config.po_alpha) + nll
    assert reference is not None
    losses = dpo_loss(
        pairs.chosen, pairs.rejected, *reference, beta, config.label_smoothing, kind,
        chosen_lengths=pairs.chosen_lengths, rejected_lengths=pairs.rejected_lengths,
        f_divergence=config.f_divergence, f_alpha=config.f_alpha,
        discopop_tau=config.discopop_tau, length_alpha=config.length_alpha,
    )  # fmt: skip
    losses = losses if pairs.weights is None else losses * pairs.weights
    return losses + nll


@export("alignment.train_dpo")
def train_dpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    config: DPOConfig,
    watch: Callable[[Training], None] | None = None,
) -> Training:
    """Learn from pairs with the chosen loss, in place.

    Metrics: loss, implicit rewards of both answers, their margin, how often it is positive, and
    log-probabilities. The rewards are β log π/π_ref; without a reference β log π, per token but for
    cpo. `watch` is called after every step. ValueError names a bad row.
    """
    encoded, pad = encode_pairs(tokenizer, rows, config.max_length), tokenizer.pad_token_id or 0
    free = config.loss_type in REFERENCE_FREE
    reference = None if free else Reference(model, config)
    if reference and config.reference == "precomputed":
        reference.precompute(encoded, pad)
    run = Training(
        model, config, len(encoded), "dpo",
        extra={"reference": reference.copy} if reference and reference.copy else {},
    )  # fmt: skip
    for step in run:
        seen: list[list[float]] = []
        for part in run.parts(step):
            batch = pair_batch([encoded[i] for i in part], pad).to(run.device)
            with run.autocast():
                pairs = pair_logps(model, batch, config.ld_alpha, config.wpo)
                ref = reference.logps(batch, part) if reference else None
                loss = losses_of(pairs, ref, config).mean() * (len(part) / config.batch_size)
            run.backward(loss)
            base = ref or (0.0 * pairs.chosen.detach(),) * 2
            mine = averages(pairs) if config.loss_type in OF_AVERAGES else pairs[:2]
            gains = [config.beta * (a.detach() - b) for a, b in zip(mine, base, strict=True)]
            seen.append([loss.item() * config.batch_size, *_sums(gains), *_sums(pairs[:2])])
            seen[-1].append((gains[0] > gains[1]).sum().item())
        total = [sum(column) / config.batch_size for column in zip(*seen, strict=True)]
        norm = run.optimize()
        if reference:  # before the step ends: it may end with a checkpoint
            reference.synchronise(step)
        run.advance(
            loss=total[0], accuracy=total[5], margin=total[1] - total[2],
            reward_chosen=total[1], reward_rejected=total[2],
            logp_chosen=total[3], logp_rejected=total[4], grad_norm=norm,
        )  # fmt: skip
        if watch:
            watch(run)
    return run


def _sums(tensors: Any) -> list[float]:
    return [t.detach().sum().item() for t in tensors]


@export("alignment.evaluate_dpo")
def evaluate_dpo(
    model: Any,
    tokenizer: Any,
    rows: Sequence[dict[str, Any]],
    reference: Any | None = None,
    beta: float = 0.1,
    max_length: int = 512,
) -> dict[str, float]:
    """On held-out pairs: how often the chosen answer has the higher implicit reward, by how much.

    Without a reference model the rewards are log-probabilities per token (SimPO's, ORPO's).
    """
    encoded, pad = encode_pairs(tokenizer, rows, max_length), tokenizer.pad_token_id or 0
    model.eval()
    gaps: list[Tensor] = []
    with no_grad():
        for i in range(0, len(encoded), 32):
            batch = pair_batch(encoded[i : i + 32], pad).to(next(model.parameters()).device)
            mine = pair_logps(model, batch)
            if reference is None:
                gap = mine.chosen / mine.chosen_lengths - mine.rejected / mine.rejected_lengths
            else:
                its = pair_logps(reference, batch)
                gap = (mine.chosen - its.chosen) - (mine.rejected - its.rejected)
            gaps.append(beta * gap)
    gap = cat(gaps, 0)
    return {"accuracy": (gap > 0).float().mean().item(), "margin": gap.mean().item()}
