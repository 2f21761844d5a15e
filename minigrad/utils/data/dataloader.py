"""DataLoader: a data set, a sampler and a collate function make an iterable of batches."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ...backend.devices import cuda_is_available
from ...backend.random import Generator
from ...export import export
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .info import get_worker_info
from .iterator import LoaderIterator, SerialIterator
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

if TYPE_CHECKING:
    from .parallel import ParallelIterator
    from .pinning import PinningIterator

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

T_co = TypeVar("T_co", covariant=True)
_FIXED = frozenset(
    ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
)


class _Endless(Sampler[None]):
    """The sampler of an iterable data set, which has no indices and ends when it ends."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


@export("utils.data.DataLoader")
class DataLoader(Generic[T_co]):
    """Batches of a data set; iterating again is another epoch.

    Batches of `batch_size` samples, in order or `shuffle`d, or as a `sampler` (of indices) or
    `batch_sampler` (of lists of indices) says; the last one may be shorter unless `drop_last`.
    `batch_size=None`: single samples. `collate_fn` makes a batch of a list of samples (default:
    `default_collate`).

    With `num_workers` > 0, that many processes prepare `prefetch_factor` (2) batches each ahead;
    they come in order (unless `in_order` is False) and, given the seed of `generator` (default: the
    default generator), always the same: worker i seeds `random`, NumPy and minigrad with
    base_seed + i, then calls `worker_init_fn(i)`. A worker's exception is raised here with its
    traceback, a worker that dies is a RuntimeError, as is a batch that takes longer than `timeout`
    seconds. Workers end with the iterator, or stay for the next epoch if `persistent_workers`.

    With `pin_memory` batches are in pinned memory, if there is a GPU, so that `to("cuda",
    non_blocking=True)` need not be waited for; where there are workers, a thread sees to it.
    ValueError for options that contradict each other.
    """

    _ready = False

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset = dataset
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        _check_sampling(batch_size, shuffle, sampler, batch_sampler, drop_last)
        if sampler is None:
            if self._iterable:
                sampler = _Endless()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_sampler is not None:
            batch_size = None
        elif batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._expected_batches: int | None = None
        self._iterator: ParallelIterator | None = None
        self._pinning: PinningIterator | None = None
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in _FIXED:
            raise ValueError(
                f"{name} attribute should not be set after {type(self).__name__} is initialized"
            )
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self) -> Any:
        """How workers are started, if not by the default: a context of `multiprocessing`.

        May be set to one or to "fork", "spawn", "forkserver". ValueError for another name or
        without workers, TypeError for what is no context.
        """
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context: Any) -> None:
        self._context = None if context is None else _context(context, self.num_workers)

    @property
    def _auto_collation(self) -> bool:
        return self.batch_sampler is not None

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> LoaderIterator | PinningIterator:
        if self.num_workers == 0:
            return SerialIterator(self)
        if self._pinning is not None:
            self._pinning.close()  # it may still ask the workers that are wanted now
        found = self._parallel()
        if not self.pins:
            return found
        from .pinning import PinningIterator

        self._pinning = PinningIterator(found)
        return self._pinning

    @property
    def pins(self) -> bool:
        """Whether batches are pinned: if that is wanted and there is a GPU."""
        return bool(self.pin_memory) and cuda_is_available()

    def _parallel(self) -> ParallelIterator:
        # Here, because multiprocessing takes a tenth of the time of `import minigrad`.
        from .parallel import ParallelIterator

        if not self.persistent_workers:
            return ParallelIterator(self)
        if self._iterator is not None and self._iterator.alive:
            self._iterator.restart(self)
        else:
            self._iterator = ParallelIterator(self)
        return self._iterator

    def __len__(self) -> int:
        """The number of batches. For an IterableDataset, what its own length promises."""
        if not self._iterable:
            return len(self._index_sampler)
        samples = len(self.dataset)
        size = self.batch_size or 1
        batches = samples // size if self.drop_last else math.ceil(samples / size)
        # Workers that share a stream may each end with a shorter batch.
        shorter = max(self.num_workers - 1, 0) if size > 1 and not self.drop_last else 0
        self._expected_batches = batches + shorter
        return batches


def _check_workers(workers: int, timeout: float, prefetch: int | None, persistent: bool) -> None:
    if workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to disable "
            f"multiprocessing, but got num_workers={workers}"
        )
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative, but got timeout={timeout}")
    if prefetch is not None and not workers:
        raise ValueError("prefetch_factor option needs num_workers > 0")
    if prefetch is not None and prefetch < 1:
        raise ValueError(f"prefetch_factor option should be positive, but got {prefetch}")
    if persistent and not workers:
        raise ValueError("persistent_workers option needs num_workers > 0")
    cores = _cores()
    if workers > cores:
        warnings.warn(
            f"This DataLoader will create {workers} worker processes in total, but this process "
            f"may use {cores} CPU cores: more workers than cores may be slower",
            stacklevel=3,
        )


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_iterable(shuffle: Any, sampler: Any, batch_sampler: Any) -> None:
    given = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"DataLoader with IterableDataset: expected unspecified {name} option, "
                f"but got {name}={value}"
            )


def _check_sampling(
    batch_size: int | None, shuffle: Any, sampler: Any, batch_sampler: Any, drop_last: bool
) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, "
                "and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )


def _context(context: Any, num_workers: int) -> Any:
    """A multiprocessing context from its name; see `DataLoader.multiprocessing_context`."""
    if not num_workers:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading "
            f"(num_workers > 0), but got num_workers={num_workers}"
        )
    import multiprocessing
    from multiprocessing.context import BaseContext

    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                "multiprocessing_context option should specify a valid start method in "
                f"{methods!r}, but got multiprocessing_context={context!r}"
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string "
            f"specifying the start method, but got multiprocessing_context={context}"
        )
    return context
