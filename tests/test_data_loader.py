"""minigrad.utils.data.DataLoader: what it gives and refuses, with and without workers."""

from __future__ import annotations

import itertools
import os
import random
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad.utils.data as data
from minigrad.backend import sampling
from minigrad.backend.random import Generator, manual_seed
from minigrad.core.tensor import Tensor, wrap

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")

BOTH = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture(scope="module")
def torch_data() -> Any:
    """torch.utils.data, the reference."""
    pytest.importorskip("torch")
    import torch.utils.data

    return torch.utils.data


class Rows(data.Dataset):
    """Sample i is a row of i and the number i; some take longer than others."""

    def __init__(self, n: int, wait: float = 0.0):
        self.n = n
        self.wait = wait

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        time.sleep(self.wait * (i * 7 % 5))
        return np.full(3, i, np.float32), i


class Stream(data.IterableDataset):
    """start, ..., stop - 1, shared out among the workers if asked to."""

    def __init__(self, start: int, stop: int, share: bool = True):
        self.range = range(start, stop)
        self.share = share

    def __iter__(self) -> Iterator[int]:
        info = data.get_worker_info()
        if info is None or not self.share:
            return iter(self.range)
        return iter(self.range[info.id :: info.num_workers])

    def __len__(self) -> int:
        return len(self.range)


class Dice(data.Dataset):
    """Random numbers of all generators, and which worker drew them."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> list[int]:
        info = data.get_worker_info()
        assert info is not None and info.num_workers == 2 and len(info.dataset) == 8
        own = int(sampling.randint((), 0, 2**31))
        return [info.id, info.seed, random.getrandbits(31), np.random.randint(2**31), own]


def numbers(loader: Any) -> list[list[int]]:
    """The batches of a loader as lists, whatever they hold beside numbers."""
    batches = []
    for batch in loader:
        last = batch[-1] if isinstance(batch, list) else batch
        batches.append(last._data.tolist())
    return batches


# ------------------------------------------------------------------------------------ batches


@BOTH
def test_batches_in_order(workers: int) -> None:
    loader = data.DataLoader(Rows(11, wait=0.004 if workers else 0), 3, num_workers=workers)
    for _ in range(2):  # epochs
        batches = list(loader)
        assert [b[1]._data.tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
        rows, _ = batches[1]
        assert isinstance(batches[1], list) and isinstance(rows, Tensor)
        assert rows.dtype.name == "float32" and rows.shape == (3, 3)
        np.testing.assert_array_equal(rows._data[:, 0], [3, 4, 5])


@BOTH
def test_drop_last(workers: int) -> None:
    loader = data.DataLoader(Rows(11), 3, num_workers=workers, drop_last=True)
    assert numbers(loader) == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@BOTH
def test_shuffle(workers: int) -> None:
    def epochs(seed: int) -> list[Any]:
        generator = Generator().manual_seed(seed)
        loader = data.DataLoader(
            Rows(12), 4, shuffle=True, num_workers=workers, generator=generator
        )
        return [numbers(loader), numbers(loader)]

    first, second = epochs(0)
    assert sorted(sum(first, [])) == sorted(sum(second, [])) == list(range(12))
    assert first != second
    assert epochs(0) == [first, second] != epochs(1)


def test_shuffle_is_the_same_with_and_without_workers() -> None:
    def order(workers: int) -> Any:
        manual_seed(0)
        return numbers(data.DataLoader(Rows(12), 4, shuffle=True, num_workers=workers))

    assert order(0) == order(2) == order(1)


@BOTH
def test_no_batches(workers: int) -> None:
    loader = data.DataLoader(Rows(3), batch_size=None, num_workers=workers)
    samples = list(loader)
    assert len(loader) == len(samples) == 3
    row, number = samples[2]  # default_convert
    assert isinstance(row, Tensor) and row.shape == (3,) and number == 2


@BOTH
def test_samplers_and_collate_fn(workers: int) -> None:
    def ids(samples: list[Any]) -> list[int]:
        return [i for _, i in samples]

    options: dict[str, Any] = dict(num_workers=workers, collate_fn=ids)
    assert list(data.DataLoader(Rows(9), 2, sampler=[5, 0, 8], **options)) == [[5, 0], [8]]
    batches = data.DataLoader(Rows(9), batch_sampler=[[1, 2, 3], [8]], **options)
    assert list(batches) == [[1, 2, 3], [8]] and len(batches) == 2
    assert batches.batch_size is None
    weighted = data.WeightedRandomSampler([0.0, 0.0, 1.0], 3)
    assert list(data.DataLoader(Rows(9), 2, sampler=weighted, **options)) == [[2, 2], [2]]


def test_anything_with_items_is_a_data_set() -> None:
    assert numbers(data.DataLoader([3, 1, 4], 2)) == [[3, 1], [4]]
    letters = data.DataLoader({"a": 1, "b": 2}, 2, sampler=["b", "a"])
    assert numbers(letters) == [[2, 1]]
    assert list(data.DataLoader([])) == []


def test_getitems_is_asked_for_whole_batches() -> None:
    class Whole(Rows):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [i + 100 for i in indices]

    assert numbers(data.DataLoader(Whole(3), 2)) == [[100, 101], [102]]
    assert numbers(data.DataLoader(data.Subset(Whole(3), [2, 0]), 2)) == [[102, 100]]
    assert list(data.DataLoader(Whole(2), batch_size=None))[1][1] == 1


@BOTH
def test_next_and_two_iterators_at_once(workers: int) -> None:
    loader = data.DataLoader(Rows(6), 2, num_workers=workers)
    a, b = iter(loader), iter(loader)
    assert next(a)[1]._data.tolist() == [0, 1]
    assert next(a)[1]._data.tolist() == [2, 3]
    assert next(b)[1]._data.tolist() == [0, 1]
    assert next(a)[1]._data.tolist() == [4, 5]
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(a)
    assert numbers(b) == [[2, 3], [4, 5]]
    assert len(a) == 3


# ------------------------------------------------------------------------------ tensors at once


def tensors(n: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets."""
    return wrap(np.arange(n * 6.0, dtype=np.float32).reshape(n, 2, 3)), wrap(np.arange(n))


@BOTH
@pytest.mark.parametrize("subset", [False, True])
def test_tensors_are_gathered_by_batch(workers: int, subset: bool) -> None:
    x, y = tensors(10)
    source: Any = data.TensorDataset(x, y)
    order = [7, 1, 1, 9, 0]
    if subset:
        source, order = data.Subset(data.Subset(source, range(9, -1, -1)), [2, 8, 8, 0, 9]), order
    sampler = range(5) if subset else order
    loader = data.DataLoader(source, 2, sampler=sampler, num_workers=workers)
    batches = list(loader)
    assert [type(b) for b in batches] == [list] * 3
    np.testing.assert_array_equal(np.concatenate([b[1]._data for b in batches]), order)
    np.testing.assert_array_equal(np.concatenate([b[0]._data for b in batches]), x._data[order])
    batches[0][0]._data[:] = -1  # a copy, as if stacked
    assert x._data.min() == 0


def test_gathering_leaves_alone_what_is_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Negative(data.TensorDataset):
        def __getitem__(self, index: int) -> Any:
            return [-t._data[index] for t in self.tensors]

    x, y = tensors(4)
    negative = Negative(x, y)
    assert numbers(data.DataLoader(negative, 4)) == [[0, -1, -2, -3]]
    assert numbers(data.DataLoader(data.Subset(negative, [3]), 4)) == [[-3]]
    seen = []
    loader = data.DataLoader(negative, 2, collate_fn=lambda samples: seen.extend(samples))
    list(loader)
    assert len(seen) == 4


def test_gathering_out_of_range() -> None:
    with pytest.raises(IndexError):
        list(data.DataLoader(data.TensorDataset(*tensors(3)), 2, sampler=[0, 3]))


# ------------------------------------------------------------------------------------ streams


def test_stream() -> None:
    assert numbers(data.DataLoader(Stream(0, 7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert numbers(data.DataLoader(Stream(0, 7), 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert list(data.DataLoader(Stream(0, 2), batch_size=None)) == [0, 1]
    assert list(data.DataLoader(Stream(0, 0), 3)) == []


def test_stream_by_workers() -> None:
    loader = data.DataLoader(Stream(0, 9), 2, num_workers=2)
    # workers take turns; the first has 0 2 4 6 8, the second 1 3 5 7
    assert numbers(loader) == [[0, 2], [1, 3], [4, 6], [5, 7], [8]]
    short = data.DataLoader(Stream(0, 9), 2, num_workers=2, drop_last=True)
    assert numbers(short) == [[0, 2], [1, 3], [4, 6], [5, 7]]
    alone = data.DataLoader(Stream(0, 1), 2, num_workers=2)
    assert numbers(alone) == [[0]]


def test_stream_read_by_every_worker() -> None:
    loader = data.DataLoader(Stream(0, 3, share=False), num_workers=2)
    assert numbers(loader) == [[0], [0], [1], [1], [2], [2]]


def test_streams_of_unequal_length(torch_data: Any) -> None:
    class Uneven(data.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            info = data.get_worker_info()
            first = info is not None and info.id == 0
            return iter(range(1) if first else range(10, 15))

    class TorchUneven(torch_data.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            first = torch_data.get_worker_info().id == 0
            return iter(range(1) if first else range(10, 15))

    mine = numbers(data.DataLoader(Uneven(), 2, num_workers=2))
    theirs = [b.tolist() for b in torch_data.DataLoader(TorchUneven(), 2, num_workers=2)]
    assert mine == theirs == [[0], [10, 11], [12, 13], [14]]


@pytest.mark.parametrize("size, drop_last", [(1, False), (3, False), (3, True), (None, False)])
def test_stream_longer_than_it_said(size: int | None, drop_last: bool) -> None:
    class Liar(Stream):
        def __len__(self) -> int:
            return 5

    loader = data.DataLoader(Liar(0, 12), size, drop_last=drop_last)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(loader)  # nobody has asked
    assert len(loader) == {1: 5, 3: 1 if drop_last else 2, None: 5}[size]
    with pytest.warns(UserWarning, match="was reported to mean"):
        list(loader)


def test_stream_read_by_every_worker_is_longer_than_it_said() -> None:
    loader = data.DataLoader(Stream(0, 3, share=False), num_workers=2)
    assert len(loader) == 3
    with pytest.warns(UserWarning, match="get_worker_info"):
        list(loader)


@pytest.mark.parametrize("n", [0, 1, 6, 7, 8])
@pytest.mark.parametrize("size", [None, 1, 3, 7])
@pytest.mark.parametrize("drop_last", [False, True])
def test_length(n: int, size: int | None, drop_last: bool, torch_data: Any) -> None:
    if size is None and drop_last:
        return
    for stream in (False, True):
        mine: Any = Stream(0, n) if stream else Rows(n)
        theirs: Any = range(n)
        if stream:

            class TorchStream(torch_data.IterableDataset):
                def __len__(self) -> int:
                    return n

                def __iter__(self) -> Iterator[int]:
                    return iter(range(n))

            theirs = TorchStream()
        loader = data.DataLoader(mine, size, drop_last=drop_last)
        assert len(loader) == len(torch_data.DataLoader(theirs, size, drop_last=drop_last))
        assert len(loader) == len(list(loader))


def test_length_that_nobody_knows() -> None:
    class Endless(data.IterableDataset):
        def __iter__(self) -> Iterator[int]:
            return itertools.count()

    loader = data.DataLoader(Endless(), 2, num_workers=1)
    with pytest.raises(TypeError):
        len(loader)
    assert numbers(itertools.islice(loader, 2)) == [[0, 1], [2, 3]]


# ------------------------------------------------------------------------------------ options

CONFLICTS: dict[str, dict[str, Any]] = {
    "workers": dict(num_workers=-1),
    "timeout": dict(timeout=-1),
    "prefetch without workers": dict(prefetch_factor=2),
    "prefetch": dict(prefetch_factor=-1, num_workers=1),
    "persistent without workers": dict(persistent_workers=True),
    "sampler and shuffle": dict(sampler=[1], shuffle=True),
    "batch_sampler and batch_size": dict(batch_sampler=[[1]], batch_size=2),
    "batch_sampler and shuffle": dict(batch_sampler=[[1]], shuffle=True),
    "batch_sampler and sampler": dict(batch_sampler=[[1]], sampler=[1]),
    "batch_sampler and drop_last": dict(batch_sampler=[[1]], drop_last=True),
    "drop_last without batches": dict(batch_size=None, drop_last=True),
    "batch_size": dict(batch_size=0),
    "context without workers": dict(multiprocessing_context="fork"),
    "context": dict(multiprocessing_context="spork", num_workers=1),
    "context type": dict(multiprocessing_context=3, num_workers=1),
}
STREAM_CONFLICTS: dict[str, dict[str, Any]] = {
    "shuffle": dict(shuffle=True),
    "sampler": dict(sampler=[1]),
    "batch_sampler": dict(batch_sampler=[[1]]),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_conflicts(name: str, torch_data: Any) -> None:
    with pytest.raises(Exception) as mine:
        data.DataLoader(Rows(3), **CONFLICTS[name])
    with pytest.raises(Exception) as theirs:
        torch_data.DataLoader(range(3), **CONFLICTS[name])
    assert mine.type is theirs.type


@pytest.mark.parametrize("name", STREAM_CONFLICTS)
def test_stream_conflicts(name: str) -> None:
    with pytest.raises(ValueError, match=f"unspecified {name} option"):
        data.DataLoader(Stream(0, 3), **STREAM_CONFLICTS[name])
    data.DataLoader(Stream(0, 3), shuffle=False)


def test_timeout_needs_workers(torch_data: Any) -> None:
    for library, source in ((data, Rows(3)), (torch_data, range(3))):
        loader = library.DataLoader(source, timeout=1)
        with pytest.raises(AssertionError):
            iter(loader)


@pytest.mark.parametrize(
    "name", ["batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"]
)
def test_fixed_attributes(name: str) -> None:
    loader = data.DataLoader(Rows(3))
    before = getattr(loader, name)
    with pytest.raises(ValueError, match="should not be set"):
        setattr(loader, name, None)
    assert getattr(loader, name) is before
    loader.num_workers = 0  # others may be


def test_attributes_and_defaults() -> None:
    rows = Rows(3)
    loader = data.DataLoader(rows)
    assert len(loader.dataset) == 3 and loader.dataset is rows
    assert loader.batch_size == 1 and loader.num_workers == 0 and not loader.pin_memory
    assert isinstance(loader.sampler, data.SequentialSampler)
    assert isinstance(loader.batch_sampler, data.BatchSampler)
    assert loader.prefetch_factor is None
    assert data.DataLoader(rows, num_workers=1).prefetch_factor == 2
    assert isinstance(data.DataLoader(rows, shuffle=True).sampler, data.RandomSampler)
    assert data.DataLoader[int] is not None


def test_pin_memory_does_no_harm() -> None:
    assert numbers(data.DataLoader(Rows(3), 3, pin_memory=True)) == [[0, 1, 2]]


def test_too_many_workers() -> None:
    with pytest.warns(UserWarning, match="9999 worker processes"):
        data.DataLoader(Rows(3), num_workers=9999)


def test_no_worker_here() -> None:
    assert data.get_worker_info() is None


# ------------------------------------------------------------------------------ random numbers


def test_workers_draw_the_same_for_a_seed() -> None:
    def draw(seed: int | None) -> np.ndarray:
        generator = None if seed is None else Generator().manual_seed(seed)
        loader = data.DataLoader(Dice(), 2, num_workers=2, generator=generator)
        return np.concatenate([np.stack([c._data for c in batch], 1) for batch in loader])

    first = draw(0)
    np.testing.assert_array_equal(first[:, 0], [0, 0, 1, 1, 0, 0, 1, 1])
    seeds = first[:, 1]
    assert set(seeds - first[:, 0]) == {seeds[0]}  # base_seed + id
    assert len(set(first[:, 2:].ravel())) == 24
    np.testing.assert_array_equal(draw(0), first)
    assert not (draw(1)[:, 2:] == first[:, 2:]).any()
    manual_seed(1)
    default = draw(None)
    assert not (draw(None) == default)[:, 1:].any()  # another epoch
    manual_seed(1)
    np.testing.assert_array_equal(draw(None), default)


def test_an_epoch_takes_as_much_from_the_generator_with_workers_as_without() -> None:
    def state_after(workers: int) -> np.ndarray:
        generator = Generator().manual_seed(0)
        list(data.DataLoader(Rows(5), shuffle=True, num_workers=workers, generator=generator))
        return generator.get_state()

    np.testing.assert_array_equal(state_after(0), state_after(2))


def test_worker_init_fn() -> None:
    def mark(worker: int) -> None:
        info = data.get_worker_info()
        assert info is not None and info.id == worker
        info.dataset.n = 100 + worker
        np.random.seed(worker)

    def look(samples: list[Any]) -> tuple[int, int]:
        info = data.get_worker_info()
        assert info is not None
        return info.dataset.n, np.random.randint(2**31)

    rows = Rows(4)
    loader = data.DataLoader(rows, 1, num_workers=2, worker_init_fn=mark, collate_fn=look)
    found = list(loader)
    assert [n for n, _ in found] == [100, 101, 100, 101]
    assert found[0][1] == np.random.RandomState(0).randint(2**31)
    assert rows.n == 4  # each worker has a copy


def test_worker_info_cannot_be_changed() -> None:
    def collate(samples: list[Any]) -> str:
        info: Any = data.get_worker_info()
        try:
            info.id = 3
        except AttributeError as error:
            return type(error).__name__
        return "changed"

    loader = data.DataLoader(Rows(1), num_workers=1, collate_fn=collate)
    assert list(loader) == ["FrozenInstanceError"]


# -------------------------------------------------------------------------- several epochs, order


def pids(loader: Any) -> set[int]:
    """The processes that made the batches of an epoch."""
    return {int(pid) for batch in loader for pid in batch}


def own_pid(samples: list[Any]) -> list[int]:
    return [os.getpid()]


def test_persistent_workers_stay() -> None:
    loader = data.DataLoader(Rows(8), 2, num_workers=2, persistent_workers=True, collate_fn=own_pid)
    first = pids(loader)
    assert len(first) == 2 and os.getpid() not in first
    assert pids(loader) == first
    changing = data.DataLoader(Rows(8), 2, num_workers=2, collate_fn=own_pid)
    assert not pids(changing) & pids(changing)


def test_persistent_workers_after_a_break() -> None:
    loader = data.DataLoader(Rows(20), 2, num_workers=2, persistent_workers=True, shuffle=False)
    full = numbers(loader)
    for taken in (1, 3, 0):
        assert numbers(itertools.islice(loader, taken)) == full[:taken]
        assert numbers(loader) == full
    shuffled = data.DataLoader(Rows(20), 2, True, num_workers=2, persistent_workers=True)
    for _ in range(10):  # no batch that was made for an epoch left early comes in the next one
        next(iter(shuffled))
        assert sorted(sum(numbers(shuffled), [])) == list(range(20))
    streams = data.DataLoader(Stream(0, 8), 2, num_workers=2, persistent_workers=True)
    for _ in range(3):
        next(iter(streams))
        assert numbers(streams) == [[0, 2], [1, 3], [4, 6], [5, 7]]


def test_persistent_workers_leave_an_old_epoch_at_once() -> None:
    class Slow(Rows):
        def __getitem__(self, i: int) -> int:
            time.sleep(0.3)
            return i

    options: dict[str, Any] = dict(num_workers=1, persistent_workers=True, prefetch_factor=10)
    loader = data.DataLoader(Slow(10), **options)
    next(iter(loader))
    start = time.monotonic()
    next(iter(loader))
    assert time.monotonic() - start < 1.2  # the sample that was begun, and one; not nine


def test_out_of_order() -> None:
    class Slow(Rows):
        def __getitem__(self, i: int) -> Any:
            time.sleep(0.2 if i == 0 else 0)
            return i

    loader = data.DataLoader(Slow(8), 1, num_workers=2, in_order=False)
    got = sum(numbers(loader), [])
    assert sorted(got) == list(range(8)) and got[0] != 0
    ordered = data.DataLoader(Slow(8), 1, num_workers=2)
    assert sum(numbers(ordered), []) == list(range(8))
    stream = data.DataLoader(Stream(0, 7), 2, num_workers=2, in_order=False)
    assert sorted(sum(numbers(stream), [])) == list(range(7))


@pytest.mark.parametrize("factor", [1, 5])
def test_prefetch_factor(factor: int) -> None:
    asked: list[int] = []

    def sampler() -> Iterator[int]:
        for i in range(30):
            asked.append(i)
            yield i

    class Sampler(data.Sampler):
        def __iter__(self) -> Iterator[int]:
            return sampler()

    loader = data.DataLoader(Rows(30), 1, sampler=Sampler(), num_workers=2, prefetch_factor=factor)
    batches = iter(loader)
    assert len(asked) == 2 * factor
    next(batches)
    assert len(asked) == 2 * factor + 1
    assert numbers(batches) == [[i] for i in range(1, 30)]
