"""Sentences to vectors with a BERT-style encoder (Reimers and Gurevych 2019, arXiv:1908.10084)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import nn
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..ops.join import cat


@export("models.embed_sentences")
def embed_sentences(
    model: Any,
    tokenizer: Any,
    sentences: Sequence[str],
    *,
    normalize: bool = True,
    max_length: int = 256,
    batch_size: int = 32,
) -> Tensor:
    """The mean of the states of a sentence's real tokens, (N, hidden_size), of length 1 if
    normalised: inner products are then cosines.
    """
    if isinstance(sentences, str) or not sentences:
        raise ValueError("embed_sentences: expected a list of sentences, at least one")
    model.eval()
    parts = []
    with no_grad():
        for i in range(0, len(sentences), batch_size):
            ids, mask = tokenizer.batch(
                sentences[i : i + batch_size], padding_side="right", max_length=max_length
            )
            states = model(ids, attention_mask=mask)
            weight = mask.to(states.dtype)[:, :, None]
            parts.append((states * weight).sum(1) / weight.sum(1))
    vectors = cat(parts, 0)
    return nn.functional.normalize(vectors, dim=1) if normalize else vectors
