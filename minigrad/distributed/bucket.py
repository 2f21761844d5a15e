"""GradBucket: what a communication hook of DistributedDataParallel gets."""

from __future__ import annotations

import numpy as np

from ..core.tensor import Tensor, wrap


class GradBucket:
    """Gradients of some parameters in one flat tensor, `buffer()`; a hook may read and write it."""

    def __init__(
        self, index: int, array: np.ndarray, parameters: list[Tensor], ends: list[int], last: bool
    ):
        self._index, self._array, self._last = index, array, last
        self._parameters, self._ends = parameters, ends

    def index(self) -> int:
        """Its number; bucket 0 has the gradients that come first."""
        return self._index

    def buffer(self) -> Tensor:
        """All gradients, flat; the memory itself."""
        return wrap(self._array)

    def gradients(self) -> list[Tensor]:
        """The gradients in the shapes of the parameters: views of the buffer."""
        return [
            wrap(self._array[end - p.numel() : end].reshape(p._data.shape))
            for p, end in zip(self._parameters, self._ends, strict=True)
        ]

    def parameters(self) -> list[Tensor]:
        """The parameters."""
        return list(self._parameters)

    def is_last(self) -> bool:
        """Whether no other bucket comes after it in this step."""
        return self._last

    def set_buffer(self, buffer: Tensor) -> None:
        """Put other numbers into the buffer."""
        self._array[...] = buffer._data
