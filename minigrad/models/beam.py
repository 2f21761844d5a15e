"""Beam search: the best continuations kept side by side."""

from __future__ import annotations

from typing import Any

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..ops.data import tensor
from ..ops.join import cat
from .cache import Cache
from .sampling import penalize_repetition


class _Finished:
    """The best `size` finished continuations of one prompt; score = log p / length^penalty."""

    def __init__(self, size: int, length_penalty: float):
        self.size, self.length_penalty = size, length_penalty
        self.found: list[tuple[float, list[int]]] = []

    def score(self, logp: float, length: int) -> float:
        return logp / length**self.length_penalty

    def add(self, tokens: list[int], logp: float, length: int) -> None:
        self.found.append((self.score(logp, length), tokens))
        self.found.sort(key=lambda pair: -pair[0])
        del self.found[self.size :]

    def complete(self, best_running: float, length: int) -> bool:
        """Whether no running beam, at its present length, beats the worst that is kept."""
        full = len(self.found) == self.size
        return full and self.found[-1][0] >= self.score(best_running, length)


def beam_search(
    model: Any,
    input_ids: Tensor,
    mask: Tensor | None,
    max_new_tokens: int,
    beams: int,
    length_penalty: float,
    ends: tuple[int, ...],
    pad: int,
    repetition_penalty: float = 1.0,
) -> Tensor:
    """The best of `beams` continuations of every prompt, (B, longest), filled up with `pad`.

    Each step takes the 2 × beams best extensions of a prompt's beams; those that end are set aside,
    the best others go on (transformers' rule, early_stopping=False). Scores are log p divided by
    the number of new tokens to the power `length_penalty`.
    """
    rows, prompt = input_ids.shape
    finished = [_Finished(beams, length_penalty) for _ in range(rows)]
    with no_grad():
        sequence = input_ids.repeat_interleave(beams, 0)
        mask = None if mask is None else mask.repeat_interleave(beams, 0)
        # all beams begin alike: only the first counts, or they would stay alike
        logp = [[0.0] + [-1e9] * (beams - 1) for _ in range(rows)]
        open_rows = set(range(rows))
        cache, new = Cache(), sequence
        for step in range(1, max_new_tokens + 1):
            scores = model(new, attention_mask=mask, cache=cache)[:, -1].float().log_softmax(-1)
            if repetition_penalty != 1.0:
                scores = penalize_repetition(scores, sequence, repetition_penalty, mask)
            total = scores + tensor(logp, dtype=scores.dtype).view(-1, 1)
            vocab = total.shape[1]
            best, where = total.view(rows, -1).topk(min(2 * beams, beams * vocab), -1)
            parents, tokens = [], []
            for row in range(rows):
                kept = _advance(
                    finished[row], best[row].tolist(), where[row].tolist(), vocab, beams, ends,
                    sequence[row * beams : (row + 1) * beams, prompt:].tolist(), step,
                    row in open_rows,
                )  # fmt: skip
                logp[row] = [score for score, _, _ in kept]
                parents += [row * beams + parent for _, parent, _ in kept]
                tokens += [token for _, _, token in kept]
                if finished[row].complete(max(logp[row]), step):
                    open_rows.discard(row)
            order = tensor(parents)
            new = tensor(tokens)[:, None]
            sequence = cat([sequence.index_select(0, order), new], 1)
            cache.select(order)
            if mask is not None:
                mask = cat([mask.index_select(0, order), mask[:, -1:]], 1)
            if not open_rows:
                break
        written = sequence[:, prompt:].tolist()
        for row in open_rows:
            for beam in range(beams):
                tokens = written[row * beams + beam]
                finished[row].add(tokens, logp[row][beam], len(tokens))
    best_tokens = [f.found[0][1] for f in finished]
    longest = max(map(len, best_tokens))
    filled = [tokens + [pad] * (longest - len(tokens)) for tokens in best_tokens]
    return cat([input_ids, tensor(filled)], 1)


def _advance(
    finished: _Finished,
    best: list[float],
    where: list[int],
    vocab: int,
    beams: int,
    ends: tuple[int, ...],
    written: list[list[int]],
    step: int,
    is_open: bool,
) -> list[tuple[float, int, int]]:
    """(log p, parent, token) of the beams that go on; those that end are added to `finished`."""
    kept: list[tuple[float, int, int]] = []
    for rank, (score, place) in enumerate(zip(best, where, strict=True)):
        parent, token = divmod(place, vocab)
        if token in ends:
            if is_open and rank < beams:
                finished.add([*written[parent], token], score, step)
        elif len(kept) < beams:
            kept.append((score, parent, token))
    while len(kept) < beams:  # a vocabulary smaller than the beams
        kept.append((-1e9, kept[0][1] if kept else 0, kept[0][2] if kept else 0))
    return kept
