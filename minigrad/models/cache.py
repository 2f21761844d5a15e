"""What a model remembers of the tokens it has read, so that the next one costs one position."""

from __future__ import annotations

from ..core.tensor import Tensor
from ..export import export
from ..ops.join import cat


@export("models.Cache")
class Cache:
    """Tensors of every layer that grow along dimension −2: keys and values, or MLA's latents.

    A model's attention calls `update(layer, k, v)` and gets all positions so far; `length` is their
    number. The same object serves any model, and any number of tensors a layer.
    """

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, ...]] = []

    @property
    def length(self) -> int:
        """How many positions are remembered."""
        return self.layers[0][0].shape[-2] if self.layers else 0

    def update(self, layer: int, *new: Tensor) -> tuple[Tensor, ...]:
        """Append (..., T, E) tensors to those of a layer; all of them, (..., length, E)."""
        if layer == len(self.layers):
            self.layers.append(new)
        elif layer < len(self.layers):
            old = self.layers[layer]
            self.layers[layer] = tuple(cat([a, b], -2) for a, b in zip(old, new, strict=True))
        else:
            raise IndexError(f"Cache: layer {layer} comes before layer {len(self.layers)}")
        return self.layers[layer]

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch, in this order (beam search)."""
        self.layers = [tuple(t.index_select(0, rows) for t in layer) for layer in self.layers]
