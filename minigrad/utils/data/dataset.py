"""Data sets: what `data[i]`, `len(data)` and `iter(data)` mean, and how to join and cut them.

A map-style set answers `data[i]`; one that also has `__getitems__(indices) -> list of samples` is
asked for whole batches. An iterable-style set only has `__iter__`.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ...backend.random import Generator
from ...backend.sampling import randperm
from ...core.tensor import Tensor, wrap
from ...export import export

T_co = TypeVar("T_co", covariant=True)


@export("utils.data.Dataset")
class Dataset(Generic[T_co]):
    """A map from keys to samples: subclasses define `__getitem__`, and `__len__` for most samplers.

    `a + b` is a `ConcatDataset`.
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError("Subclasses of Dataset should implement __getitem__.")

    def __add__(self, other: Dataset[Any]) -> Any:
        return ConcatDataset([self, other])


@export("utils.data.IterableDataset")
class IterableDataset(Dataset[T_co], Iterable[T_co]):
    """A stream of samples: subclasses define `__iter__`, and `__len__` if the length is known.

    Each worker process of a DataLoader iterates over a copy of its own: `get_worker_info()` tells
    `__iter__` which share of the stream is wanted, or every sample comes once per worker.
    """

    def __add__(self, other: Dataset[Any]) -> Any:
        return ChainDataset([self, other])


@export("utils.data.TensorDataset")
class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Sample i is the tuple of `tensor[i]` for each of the tensors.

    AssertionError if their first dimensions differ.
    """

    tensors: tuple[Tensor, ...]

    def __init__(self, *tensors: Tensor):
        if any(t.size(0) != tensors[0].size(0) for t in tensors):
            raise AssertionError("Size mismatch between tensors")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)  # type: ignore[index]

    def __len__(self) -> int:
        return self.tensors[0].size(0)

    def _gather(self, indices: np.ndarray) -> list[Tensor] | None:
        plain = all(type(t._data) is np.ndarray and not t.requires_grad for t in self.tensors)
        if type(self).__getitem__ is not TensorDataset.__getitem__ or not plain:
            return None
        return [wrap(t._data.take(indices, axis=0)) for t in self.tensors]


def gather(dataset: Any, indices: Any) -> list[Tensor] | None:
    """What default_collate makes of the samples, by one look-up per tensor; None if that is unsafe.

    For `TensorDataset`, and `Subset`s of it. 64 samples of two tensors take 12 us instead of 750.
    """
    if not isinstance(dataset, (TensorDataset, Subset)) or not isinstance(indices, list):
        return None
    if not indices or not all(type(i) is int for i in indices):
        return None
    return dataset._gather(np.array(indices))


@export("utils.data.StackDataset")
class StackDataset(Dataset[Any]):
    """Data sets of one length side by side: sample i is the tuple, or the dict, of their samples i.

    `StackDataset(images, labels)` gives tuples, `StackDataset(image=images, label=labels)` dicts.
    ValueError for both at once, for none, and for lengths that differ.
    """

    datasets: tuple[Any, ...] | dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        if args and kwargs:
            raise ValueError("StackDataset: give data sets by position or by name, not both")
        if not args and not kwargs:
            raise ValueError("At least one dataset should be passed")
        self.datasets = args or kwargs
        lengths = [len(dataset) for dataset in args or kwargs.values()]
        if any(length != lengths[0] for length in lengths):
            raise ValueError("Size mismatch between datasets")
        self._length = lengths[0]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: Sequence[Any]) -> list[Any]:
        """The samples of a batch; members that have `__getitems__` are asked once."""
        if isinstance(self.datasets, dict):
            columns = [_items(dataset, indices) for dataset in self.datasets.values()]
            return [
                dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)
            ]
        columns = [_items(dataset, indices) for dataset in self.datasets]
        return list(zip(*columns, strict=True))

    def __len__(self) -> int:
        return self._length


def _items(dataset: Any, indices: Sequence[Any]) -> Sequence[Any]:
    fetch = batch_getter(dataset)
    if fetch is None:
        return [dataset[i] for i in indices]
    items = fetch(indices)
    if len(items) != len(indices):
        raise ValueError(
            f"Nested dataset's output size mismatch. Expected {len(indices)}, got {len(items)}"
        )
    return items


def batch_getter(dataset: Any) -> Callable[[Any], Any] | None:
    """The data set's `__getitems__`, if it has one that can be called."""
    method = getattr(dataset, "__getitems__", None)
    return method if callable(method) else None


@export("utils.data.ConcatDataset")
class ConcatDataset(Dataset[T_co]):
    """Map-style data sets one after the other.

    AssertionError if there are none or one is an IterableDataset; indexing: ValueError below
    -len(self), IndexError at len(self) and above.
    """

    datasets: list[Any]
    cumulative_sizes: list[int]

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise AssertionError("ConcatDataset does not support IterableDataset")
        self.cumulative_sizes = self.cumsum(self.datasets)

    @staticmethod
    def cumsum(sequence: Iterable[Any]) -> list[int]:
        """Where each of the data sets ends."""
        return list(itertools.accumulate(len(part) for part in sequence))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, idx: Any) -> T_co:
        if idx < 0:
            if -idx > len(self):
                raise ValueError("absolute value of index should not exceed dataset length")
            idx += len(self)
        part = bisect.bisect_right(self.cumulative_sizes, idx)
        start = self.cumulative_sizes[part - 1] if part else 0
        return self.datasets[part][idx - start]


@export("utils.data.ChainDataset")
class ChainDataset(IterableDataset[T_co]):
    """Streams one after the other; nothing is read before its turn.

    AssertionError, when its turn comes, for a member that is no IterableDataset.
    """

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = datasets

    def _streams(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise AssertionError("ChainDataset only supports IterableDataset")
            yield dataset

    def __iter__(self) -> Iterator[T_co]:
        for stream in self._streams():
            yield from stream

    def __len__(self) -> int:
        return sum(len(stream) for stream in self._streams())  # type: ignore[arg-type]


@export("utils.data.Subset")
class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order.

    A subclass that overrides `__getitem__` must override `__getitems__`, too (else
    NotImplementedError): batches are read through the latter.
    """

    dataset: Any
    indices: Sequence[Any]

    def __init__(self, dataset: Any, indices: Sequence[Any]):
        self.dataset = dataset
        self.indices = indices
        cls = type(self)
        if self._overrides_item() and cls.__getitems__ is Subset.__getitems__:
            raise NotImplementedError(
                f"{cls.__name__} overrides __getitem__ but not __getitems__\n"
                "  help: def __getitems__(self, indices): return [self[i] for i in indices]"
            )

    def _overrides_item(self) -> bool:
        return type(self).__getitem__ is not Subset.__getitem__

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, list):
            return self.dataset[[self.indices[i] for i in idx]]
        return self.dataset[self.indices[idx]]

    def __getitems__(self, indices: Sequence[Any]) -> Sequence[T_co]:
        """The samples of a batch, by the inner data set's `__getitems__` if it has one."""
        inner = [self.indices[i] for i in indices]
        fetch = batch_getter(self.dataset)
        return [self.dataset[i] for i in inner] if fetch is None else fetch(inner)

    def __len__(self) -> int:
        return len(self.indices)

    def _gather(self, indices: np.ndarray) -> list[Tensor] | None:
        if self._overrides_item() or type(self).__getitems__ is not Subset.__getitems__:
            return None
        return gather(self.dataset, [self.indices[i] for i in indices])


@export("utils.data.random_split")
def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset[Any]]:
    """Cut `dataset` at random into `Subset`s of the given lengths, or fractions that add up to 1.

    Fractions are rounded down; what is left over goes to the parts in turn, one sample each. A
    UserWarning for a fraction that comes to nothing. ValueError for a fraction outside [0, 1] and
    for lengths whose sum is not len(dataset).
    """
    n = len(dataset)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        lengths = _whole_numbers(lengths, n)
    if sum(lengths) != n:
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = randperm(n, gen=generator).tolist()
    ends: Iterable[Any] = itertools.accumulate(lengths)
    cuts: Iterable[Any] = zip(ends, lengths, strict=True)
    return [Subset(dataset, order[end - length : end]) for end, length in cuts]


def _whole_numbers(fractions: Sequence[float], n: int) -> list[int]:
    for i, fraction in enumerate(fractions):
        if not 0 <= fraction <= 1:
            raise ValueError(f"Fraction at index {i} is not between 0 and 1")
    lengths = [math.floor(n * fraction) for fraction in fractions]
    for i in range(n - sum(lengths)):
        lengths[i % len(lengths)] += 1
    for i, length in enumerate(lengths):
        if length == 0:
            warnings.warn(
                f"Length of split at index {i} is 0. This might result in an empty dataset.",
                stacklevel=3,
            )
    return lengths
