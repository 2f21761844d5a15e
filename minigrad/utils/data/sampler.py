"""Samplers: in which order, and how often, the samples of a data set are visited.

Random numbers are drawn when they are needed: asking a sampler for 10^10 samples costs nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from ...backend.random import Generator, rng_of
from ...backend.sampling import multinomial, randperm
from ...core.tensor import Tensor, wrap
from ...export import export

T_co = TypeVar("T_co", covariant=True)

_BLOCK = 32  # indices drawn with replacement at a time


@export("utils.data.Sampler")
class Sampler(Generic[T_co]):
    """Base class: `__iter__` gives indices, or lists of them; `__len__` says how many, if known."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError


@export("utils.data.SequentialSampler")
class SequentialSampler(Sampler[int]):
    """0, 1, ..., len(data_source) - 1."""

    data_source: Sized

    def __init__(self, data_source: Sized):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def draw_seed(generator: Generator | None) -> int:
    """A seed for another generator, in [0, 2^63 - 2^32): there is room to add a worker's number."""
    return int(rng_of(generator).integers(2**63 - 2**32))


@export("utils.data.RandomSampler")
class RandomSampler(Sampler[int]):
    """Indices in random order; with `replacement`, each drawn independently of the others.

    `num_samples` (default: as many as there are) may be larger than the data set: without
    replacement one permutation follows the other. Without a generator each iteration seeds one of
    its own from the default generator. TypeError or ValueError for arguments without sense.
    """

    data_source: Sized
    replacement: bool

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not isinstance(replacement, bool):
            raise TypeError(
                f"replacement should be a boolean value, but got replacement={replacement}"
            )
        _positive("num_samples", self.num_samples)

    @property
    def num_samples(self) -> int:
        """How many indices an iteration gives; follows a data set that grows."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        n, count, gen = len(self.data_source), self.num_samples, self.generator
        if gen is None:
            gen = Generator().manual_seed(draw_seed(None))
        if n == 0:
            raise ValueError(f"RandomSampler: cannot draw {count} samples from no data")
        while count > 0:
            if self.replacement:
                block = gen.numpy.integers(n, size=min(_BLOCK, count))
            else:
                block = randperm(n, gen=gen)[:count]
            yield from block.tolist()
            count -= len(block)

    def __len__(self) -> int:
        return self.num_samples


@export("utils.data.SubsetRandomSampler")
class SubsetRandomSampler(Sampler[Any]):
    """The given indices in random order, each once."""

    indices: Sequence[Any]

    def __init__(self, indices: Sequence[Any], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[Any]:
        for i in randperm(len(self.indices), gen=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


@export("utils.data.WeightedRandomSampler")
class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, drawn with probabilities proportional to `weights`.

    ValueError for arguments without sense; RuntimeError, when iterated, for weights that are
    negative or all zero, and for more samples than weights without replacement.
    """

    weights: Tensor
    num_samples: int
    replacement: bool

    def __init__(
        self,
        weights: Any,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        _positive("num_samples", num_samples)
        _boolean("replacement", replacement)
        array = np.asarray(weights._data if isinstance(weights, Tensor) else weights, np.float64)
        if array.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {array.shape}"
            )
        self.weights = wrap(array)
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = multinomial(self.weights._data, self.num_samples, self.replacement, self.generator)
        yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


@export("utils.data.BatchSampler")
class BatchSampler(Sampler[list[Any]]):
    """Lists of `batch_size` indices of another sampler; the last may be shorter, or is dropped.

    ValueError for a batch size that is no positive int, or a drop_last that is no bool.
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool):
        _positive("batch_size", batch_size)
        _boolean("drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[Any]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)  # type: ignore[arg-type]
        return full if self.drop_last or not rest else full + 1


def _positive(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")


def _boolean(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} should be a boolean value, but got {name}={value}")
