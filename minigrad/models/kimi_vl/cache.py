"""What a language model remembers of the tokens before: per layer one latent vector a token.

Multi-head attention would keep keys and values of all heads; latent attention keeps the compressed
vector that all of them are made of, and the one turned key that the heads share.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.tensor import wrap
from ...export import export


@export("models.kimi_vl.LatentCache")
class LatentCache:
    """Latents of the tokens seen so far, (B, tokens, kv_lora_rank + qk_rope_head_dim) a layer.

    `length` tokens are held; `append` grows the memory by doubling. `valid` (B, length) is False
    for padding. Made by the model's `new_cache()`.
    """

    def __init__(self, layers: int, width: int):
        self.layers, self.width = layers, width
        self.length = 0
        self.valid: np.ndarray | None = None
        self._memory: list[np.ndarray | None] = [None] * layers

    def append(self, layer: int, latents: Any) -> Any:
        """Put latents (B, T, width) of T new tokens behind `length`; all of them, (B, S, width).

        ValueError for another batch size or width than before, RuntimeError for latents that want
        a gradient, which would be lost. `length` grows in `advance`, when all layers have appended.
        """
        if latents.requires_grad:
            raise RuntimeError("LatentCache: nothing flows back through a cache; use no_grad()")
        new = latents._data
        batch, count, width = new.shape
        memory, stop = self._memory[layer], self.length + count
        if width != self.width or (memory is not None and memory.shape[0] != batch):
            held = (memory.shape[0] if memory is not None else batch, "T", self.width)
            raise ValueError(f"LatentCache: holds {held} a layer, but got {tuple(new.shape)}")
        if memory is None or memory.shape[1] < stop:
            room = max(stop, 16) if memory is None else max(stop, 2 * memory.shape[1])
            grown = np.empty((batch, room, width), new.dtype)
            if memory is not None:
                grown[:, : self.length] = memory[:, : self.length]
            self._memory[layer] = memory = grown
        memory[:, self.length : stop] = new
        return wrap(memory[:, :stop])

    def advance(self, valid: np.ndarray) -> None:
        """The tokens of one call, whose validity is (B, T), belong to the past from now on."""
        self.valid = valid if self.valid is None else np.concatenate([self.valid, valid], axis=1)
        self.length += valid.shape[1]

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        if not 0 <= length <= self.length:
            raise ValueError(f"LatentCache: cannot keep {length} of {self.length} tokens")
        self.length = length
        if self.valid is not None:
            self.valid = self.valid[:, :length]

    def reorder(self, rows: Any) -> None:
        """Keep these rows of the batch, in this order (beam search; samples that are finished)."""
        rows = np.asarray(rows)
        self._memory = [m if m is None else m[rows] for m in self._memory]
        if self.valid is not None:
            self.valid = self.valid[rows]

    @property
    def values_per_token(self) -> int:
        """Numbers kept for each token, all layers together."""
        return self.layers * self.width

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held (not of the room behind them)."""
        held = [m[:, : self.length].nbytes for m in self._memory if m is not None]
        return sum(held)
