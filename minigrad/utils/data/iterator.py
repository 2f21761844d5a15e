"""Iterating over a DataLoader in one process, and what all iterators have in common."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from .fetch import EXHAUSTED, Recipe
from .sampler import draw_seed


class LoaderIterator(Iterator[Any]):
    """One pass over a loader. It knows nothing of the loader, so each can be deleted alone."""

    def __init__(self, loader: Any):
        self._index_sampler = loader._index_sampler
        self._recipe = Recipe(
            loader.dataset,
            loader._iterable,
            loader._auto_collation,
            loader.collate_fn,
            loader.drop_last,
        )
        self._num_workers = loader.num_workers
        self._sampler = iter(self._index_sampler)
        self._base_seed = draw_seed(loader.generator)
        self._expected = loader._expected_batches
        self._count = 0

    def __next__(self) -> Any:
        data = self._next_data()
        self._count += 1
        if self._expected is not None and self._count > self._expected:
            self._warn_of_length()
        return data

    def __len__(self) -> int:
        return len(self._index_sampler)

    def _next_data(self) -> Any:
        raise NotImplementedError

    def _warn_of_length(self) -> None:
        text = (
            f"Length of IterableDataset {self._recipe.dataset} was reported to mean "
            f"{self._expected} batches (when accessing len(dataloader)), but {self._count} "
            "have been fetched."
        )
        if self._num_workers:
            text += (
                "\n  help: every worker iterates over a copy of the data set; let each read its "
                "own share, by minigrad.utils.data.get_worker_info()"
            )
        warnings.warn(text, stacklevel=3)


class SerialIterator(LoaderIterator):
    """Batches made when they are asked for, in the loader's own process."""

    def __init__(self, loader: Any):
        super().__init__(loader)
        if loader.timeout:
            raise AssertionError("DataLoader: timeout needs num_workers > 0")
        self._fetch = self._recipe.fetcher()
        self._pins = loader.pins

    def _next_data(self) -> Any:
        data = self._fetch(next(self._sampler))
        if data is EXHAUSTED:
            raise StopIteration
        if self._pins:
            from .pinning import pin  # where there is a GPU

            data = pin(data)
        return data
