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
    """Latents of the tokens seen so far: (B, length, kv_lora_rank + qk_rope_head_dim) a layer.

    Made by the model's `new_cache()`. Memory grows by doubling, so that a token costs no copy of
    those before it. Models take any object with `length` and `update(layer, latents)`.
    """

    def __init__(self, layers: int, width: int):
        self.width = width
        self._memory: list[np.ndarray | None] = [None] * layers
        self._lengths = [0] * layers

    @property
    def length(self) -> int:
        """How many tokens are remembered."""
        return self._lengths[0]

    def update(self, layer: int, latents: Any) -> tuple[Any]:
        """Put latents (B, T, width) of new tokens behind those of a layer; all of them, as a tuple.

        ValueError for another batch size or width than before, RuntimeError for latents that want
        a gradient, which would be lost.
        """
        if latents.requires_grad:
            raise RuntimeError("LatentCache: nothing flows back through a cache; use no_grad()")
        new, memory, past = latents._data, self._memory[layer], self._lengths[layer]
        batch, count, width = new.shape
        if width != self.width or (memory is not None and len(memory) != batch):
            held = (len(memory) if memory is not None else batch, "T", self.width)
            raise ValueError(f"LatentCache: holds {held} a layer, but got {tuple(new.shape)}")
        stop = self._lengths[layer] = past + count
        if memory is None or memory.shape[1] < stop:
            room = max(stop, 16 if memory is None else 2 * memory.shape[1])
            grown = np.empty((batch, room, width), new.dtype)
            if memory is not None:
                grown[:, :past] = memory[:, :past]
            self._memory[layer] = memory = grown
        memory[:, past:stop] = new
        return (wrap(memory[:, :stop]),)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens; ValueError if there are fewer."""
        if not 0 <= length <= self.length:
            raise ValueError(f"LatentCache: cannot keep {length} of {self.length} tokens")
        self._lengths = [length] * len(self._lengths)

    def select(self, rows: Any) -> None:
        """Keep these rows of the batch, in this order (beam search)."""
        rows = np.asarray(rows)
        self._memory = [m if m is None else m[rows] for m in self._memory]

    @property
    def values_per_token(self) -> int:
        """Numbers kept for each token, all layers together."""
        return len(self._memory) * self.width

    @property
    def nbytes(self) -> int:
        """Bytes of the tokens held (not of the room behind them)."""
        return sum(m[:, : self.length].nbytes for m in self._memory if m is not None)
