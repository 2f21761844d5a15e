"""From logits to the next token: temperature, top-k, top-p, min-p, repetition penalty."""

from __future__ import annotations

import math

from ..backend.random import Generator
from ..core.tensor import Tensor
from ..export import export
from ..ops.piecewise import where
from ..ops.random import multinomial

MINUS_INFINITY = -math.inf


@export("models.warp_logits")
def warp_logits(
    logits: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
) -> Tensor:
    """Logits (B, V) divided by the temperature, with −inf for tokens that are not to be drawn.

    In turn: all but the `top_k` largest; all beyond the fewest whose probability reaches `top_p`
    (Holtzman et al. 2020, arXiv:1904.09751); all below `min_p` times the largest probability
    (Nguyen et al. 2024, arXiv:2407.01082). The likeliest token always stays, and equal logits
    share their fate in top-k, as in transformers. ValueError for values out of range.
    """
    if temperature <= 0:
        raise ValueError(
            f"temperature must be positive; got {temperature} (greedy: do_sample=False)"
        )
    logits = logits / temperature
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1; got {top_k}")
        least = logits.topk(min(top_k, logits.shape[-1]), -1)[0][:, -1:]
        logits = logits.masked_fill(logits < least, MINUS_INFINITY)
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1]; got {top_p}")
        sorted_logits, order = logits.sort(-1)
        # ascending: what lies below the nucleus has at most 1 − top_p of the probability together
        outside = sorted_logits.softmax(-1).cumsum(-1) <= 1 - top_p
        outside[:, -1] = False
        logits = logits.masked_fill(outside.scatter(1, order, outside), MINUS_INFINITY)
    if min_p is not None:
        if not 0 <= min_p <= 1:
            raise ValueError(f"min_p must be in [0, 1]; got {min_p}")
        p = logits.softmax(-1)
        logits = logits.masked_fill(p < min_p * p.max(-1, keepdim=True)[0], MINUS_INFINITY)
    return logits


def penalize_repetition(
    logits: Tensor, seen: Tensor, penalty: float, mask: Tensor | None = None
) -> Tensor:
    """Positive logits of tokens seen (B, T) divided by the penalty, negative ones multiplied
    (Keskar et al. 2019, arXiv:1909.05858, section 4.1, in transformers' form).

    Where the mask is 0 stands padding, which nobody has written; the last token is a real one.
    """
    if mask is not None:
        seen = where(mask != 0, seen, seen[:, -1:])
    if penalty <= 0:
        raise ValueError(f"repetition_penalty must be positive; got {penalty}")
    score = logits.gather(1, seen)
    return logits.scatter(1, seen, where(score < 0, score * penalty, score / penalty))


def draw(logits: Tensor, generator: Generator | None = None) -> Tensor:
    """One token a row, (B, 1), in proportion to e^logits."""
    return multinomial(logits.softmax(-1), 1, generator=generator)
