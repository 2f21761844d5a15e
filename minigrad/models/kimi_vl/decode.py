"""Token by token: greedy, or drawn from the likeliest tokens, with a cache of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core.modes import no_grad
from ...core.tensor import wrap
from ...export import export


@export("models.kimi_vl.generate")
@no_grad()
def generate(
    model: Any,
    input_ids: Any,
    max_new_tokens: int,
    attention_mask: Any = None,
    *,
    temperature: float = 0.0,
    top_p: float = 1.0,
    eos: int | Sequence[int] = (),
    pad: int = 0,
    seed: int | None = None,
    **images: Any,
) -> Any:
    """New tokens (B, n), n ≤ max_new_tokens, after input_ids (B, T); images as in `forward`.

    temperature 0 takes the likeliest token; else one is drawn from softmax(logits/temperature),
    cut to the smallest set of tokens that has probability top_p. A row ends with a token of `eos`
    and is filled with `pad`. ValueError for settings out of range.
    """
    if temperature < 0 or not 0 < top_p <= 1 or max_new_tokens < 0:
        raise ValueError(
            "generate: expected temperature >= 0, 0 < top_p <= 1 and max_new_tokens >= 0, but got"
            f" {temperature}, {top_p} and {max_new_tokens}"
        )
    rng, ends = np.random.default_rng(seed), [eos] if isinstance(eos, int) else list(eos)
    cache, found = model.new_cache(), []
    running = np.ones(input_ids.shape[0], bool)
    ids, mask, one = input_ids, attention_mask, np.ones((len(running), 1), np.int64)
    for _ in range(max_new_tokens):
        logits = model(ids, mask, cache=cache, **images)[:, -1].float().numpy()
        tokens = logits.argmax(-1) if temperature == 0 else _draw(logits, temperature, top_p, rng)
        tokens = np.where(running, tokens, pad)
        found.append(tokens)
        running &= ~np.isin(tokens, ends)
        if not running.any():
            break
        ids, images = wrap(tokens[:, None]), {}
        mask = mask if mask is None else wrap(np.concatenate([mask.numpy(), one], axis=1))
    return wrap(np.stack(found, 1) if found else np.empty((len(running), 0), np.int64))


def _draw(logits: np.ndarray, temperature: float, top_p: float, rng: Any) -> np.ndarray:
    """One token a row; those beyond the likeliest ones that make up top_p are left out."""
    scaled = (logits - logits.max(-1, keepdims=True)).astype(np.float64) / temperature
    p = np.exp(scaled)
    p /= p.sum(-1, keepdims=True)
    order = np.argsort(-p, axis=-1, kind="stable")
    sorted_p = np.take_along_axis(p, order, -1)
    before = np.cumsum(sorted_p, -1) - sorted_p
    sorted_p[before >= top_p] = 0
    total = np.cumsum(sorted_p, -1)
    place = (total > rng.random((len(p), 1)) * total[:, -1:]).argmax(-1)
    return np.take_along_axis(order, place[:, None], -1)[:, 0]
