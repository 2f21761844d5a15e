"""From indices to a batch: what a loader does in its own process, or a worker in another."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

from .collate import default_collate
from .dataset import batch_getter, gather


class Exhausted(enum.Enum):
    """What a fetcher returns when an iterable data set has ended."""

    EXHAUSTED = enum.auto()


EXHAUSTED = Exhausted.EXHAUSTED  # the same object in every process


class Recipe(NamedTuple):
    """How the samples of a loader become batches."""

    dataset: Any
    iterable: bool
    batched: bool
    collate_fn: Callable[[Any], Any]
    drop_last: bool

    def fetcher(self) -> Callable[[Any], Any]:
        """A function from what the loader's sampler gives to data; for one epoch."""
        return self._stream() if self.iterable else self._look_up

    def _look_up(self, index: Any) -> Any:
        if not self.batched:
            return self.collate_fn(self.dataset[index])
        if self.collate_fn is default_collate:
            ready = gather(self.dataset, index)
            if ready is not None:
                return ready
        fetch = batch_getter(self.dataset)
        samples = [self.dataset[i] for i in index] if fetch is None else fetch(index)
        return self.collate_fn(samples)

    def _stream(self) -> Callable[[Any], Any]:
        samples = iter(self.dataset)
        ended = False

        def fetch(index: Any) -> Any:
            nonlocal ended
            wanted = len(index) if self.batched else 1
            batch = []
            while not ended and len(batch) < wanted:
                sample = next(samples, EXHAUSTED)
                ended = sample is EXHAUSTED
                if not ended:
                    batch.append(sample)
            if not batch or (self.drop_last and len(batch) < wanted):
                return EXHAUSTED
            return self.collate_fn(batch if self.batched else batch[0])

        return fetch
