"""minigrad.utils.data without workers: data sets, samplers and collation, against PyTorch's."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import minigrad.utils.data as data
from minigrad.backend.random import Generator, manual_seed
from minigrad.core.tensor import Tensor, wrap

Point = namedtuple("Point", "x y")


@pytest.fixture(scope="module")
def torch_data() -> Any:
    """torch.utils.data, the reference."""
    pytest.importorskip("torch")
    import torch.utils.data

    return torch.utils.data


def like_torch(x: Any) -> Any:
    """The same structure of torch tensors."""
    import torch

    if isinstance(x, Tensor):
        return torch.from_numpy(x._data)
    if isinstance(x, (list, tuple)):
        items = [like_torch(item) for item in x]
        return type(x)(*items) if isinstance(x, Point) else type(x)(items)
    if isinstance(x, dict):
        return type(x)((key, like_torch(value)) for key, value in x.items())
    return x


def assert_same(mine: Any, theirs: Any) -> None:
    """Equal types, dtypes, shapes and values, with minigrad's tensors for PyTorch's."""
    if isinstance(mine, Tensor):
        assert f"torch.{mine.dtype.name}" == str(theirs.dtype)
        assert tuple(mine.shape) == tuple(theirs.shape)
        assert type(mine._data) is np.ndarray
        np.testing.assert_array_equal(mine._data, theirs.numpy())
        return
    assert type(mine) is type(theirs)
    if isinstance(mine, (dict, UserDict)):
        assert list(mine) == list(theirs)
        for key in mine:
            assert_same(mine[key], theirs[key])
    elif isinstance(mine, (list, tuple)):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert_same(a, b)
    else:
        assert mine == theirs


def outcome(call: Callable[[], Any]) -> Any:
    """What a call gives, or the type of what it raises."""
    try:
        return call()
    except Exception as error:
        return type(error)


class Squares(data.Dataset):
    """i -> i^2."""

    def __init__(self, n: int):
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> int:
        if not 0 <= i < self.n:
            raise IndexError(i)
        return i * i


class Count(data.IterableDataset):
    """start, ..., stop - 1."""

    def __init__(self, start: int, stop: int):
        self.range = range(start, stop)

    def __iter__(self) -> Iterator[int]:
        return iter(self.range)

    def __len__(self) -> int:
        return len(self.range)


class InBatches(Squares):
    """Squares that are looked up a batch at a time; remembers what was asked."""

    def __init__(self, n: int):
        super().__init__(n)
        self.asked: list[Any] = []

    def __getitems__(self, indices: list[int]) -> list[int]:
        self.asked.append(list(indices))
        return [i * i for i in indices]


# ------------------------------------------------------------------------------------- data sets


def test_base_classes() -> None:
    with pytest.raises(NotImplementedError):
        data.Dataset()[0]
    with pytest.raises(TypeError):
        len(data.Dataset())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        data.IterableDataset()  # type: ignore[abstract]
    assert data.Dataset[int] is not None


def test_tensor_dataset() -> None:
    x, y = np.arange(12.0).reshape(4, 3), np.arange(4)
    tensors = data.TensorDataset(wrap(x), wrap(y))
    assert len(tensors) == 4
    assert tensors.tensors[0]._data is x
    with pytest.raises(AssertionError, match="Size mismatch"):
        data.TensorDataset(wrap(x), wrap(y[:3]))
    sample = tensors[2]
    assert isinstance(sample, tuple)
    np.testing.assert_array_equal(sample[0]._data, x[2])
    assert sample[1]._data.item() == 2


def test_concat() -> None:
    joined = Squares(3) + Squares(0) + Squares(4)
    assert len(joined) == 7
    assert [joined[i] for i in range(7)] == [0, 1, 4, 0, 1, 4, 9]
    assert [joined[i] for i in range(-7, 0)] == [0, 1, 4, 0, 1, 4, 9]
    assert data.ConcatDataset([Squares(3), Squares(4)]).cumulative_sizes == [3, 7]
    with pytest.raises(ValueError, match="absolute value"):
        joined[-8]
    with pytest.raises(IndexError):
        joined[7]
    with pytest.raises(AssertionError):
        data.ConcatDataset([])
    with pytest.raises(AssertionError):
        data.ConcatDataset([Squares(3), Count(0, 2)])


def test_chain() -> None:
    chained = Count(0, 2) + Count(5, 8)
    assert isinstance(chained, data.ChainDataset)
    assert list(chained) == [0, 1, 5, 6, 7]
    assert len(chained) == 5
    mixed = data.ChainDataset([Count(0, 2), Squares(3)])
    stream = iter(mixed)
    assert [next(stream), next(stream)] == [0, 1]
    with pytest.raises(AssertionError):
        next(stream)
    with pytest.raises(AssertionError):
        len(mixed)


def test_stack() -> None:
    pairs = data.StackDataset(Squares(4), InBatches(4))
    assert len(pairs) == 4
    assert pairs[3] == (9, 9)
    assert pairs.__getitems__([1, 2]) == [(1, 1), (4, 4)]
    assert isinstance(pairs.datasets, tuple)
    assert pairs.datasets[1].asked == [[1, 2]]
    named = data.StackDataset(a=Squares(4), b=Squares(4))
    assert named[2] == {"a": 4, "b": 4}
    assert named.__getitems__([1, 2]) == [{"a": 1, "b": 1}, {"a": 4, "b": 4}]
    for wrong in (
        lambda: data.StackDataset(),
        lambda: data.StackDataset(Squares(2), Squares(3)),
        lambda: data.StackDataset(a=Squares(2), b=Squares(3)),
        lambda: data.StackDataset(Squares(2), b=Squares(2)),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_stack_checks_what_members_return() -> None:
    class Short(InBatches):
        def __getitems__(self, indices: list[int]) -> list[int]:
            return [0]

    with pytest.raises(ValueError, match="Expected 2, got 1"):
        data.StackDataset(Short(4)).__getitems__([1, 2])


def test_subset() -> None:
    inner = InBatches(10)
    part = data.Subset(inner, [7, 1, 3])
    assert len(part) == 3
    assert [part[0], part[2], part[-1]] == [49, 9, 9]
    assert part.__getitems__([2, 0]) == [9, 49]
    assert inner.asked == [[3, 7]]
    assert data.Subset(part, [2, 1]).__getitems__([0, 1]) == [9, 1]
    assert data.Subset(np.arange(10) * 2, [1, 5, 7])[[0, 2]].tolist() == [2, 14]


def test_subset_that_overrides_half() -> None:
    class Half(data.Subset):
        def __getitem__(self, idx: Any) -> Any:
            return -super().__getitem__(idx)

    class Whole(Half):
        def __getitems__(self, indices: Any) -> Any:
            return [self[i] for i in indices]

    with pytest.raises(NotImplementedError, match="__getitems__"):
        Half(Squares(4), [1])
    assert Whole(Squares(4), [3]).__getitems__([0]) == [-9]


@pytest.mark.parametrize(
    "n, lengths",
    [
        (10, [3, 7]), (10, [10]), (10, [0, 10]), (10, [0.3, 0.3, 0.4]), (11, [0.5, 0.5]),
        (10, [1.0]), (7, [0.1] * 10), (1, [1]), (5, [1]), (0, [0]), (3, [0.5, 0.5, 0.0]),
    ],
)  # fmt: skip
def test_random_split_lengths(n: int, lengths: list[Any], torch_data: Any) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        mine = [len(part) for part in data.random_split(Squares(n), lengths)]
        count = len(seen)
        assert mine == [len(part) for part in torch_data.random_split(range(n), lengths)]
        assert count == len(seen) - count  # as many warnings of empty parts


def test_random_split_contents() -> None:
    parts = data.random_split(Squares(20), [5, 15], generator=Generator().manual_seed(1))
    again = data.random_split(Squares(20), [5, 15], generator=Generator().manual_seed(1))
    other = data.random_split(Squares(20), [5, 15], generator=Generator().manual_seed(2))
    assert [p.indices for p in parts] == [p.indices for p in again] != [p.indices for p in other]
    assert sorted([*parts[0].indices, *parts[1].indices]) == list(range(20))
    assert all(type(i) is int for i in parts[0].indices)
    manual_seed(3)
    default = data.random_split(Squares(20), [5, 15])[0].indices
    manual_seed(3)
    assert data.random_split(Squares(20), [5, 15])[0].indices == default


@pytest.mark.parametrize("lengths", [[3, 6], [0.5, 0.6], [-0.5, 1.5], [0.3, 0.3], []])
def test_random_split_errors(lengths: list[Any], torch_data: Any) -> None:
    mine = outcome(lambda: data.random_split(Squares(10), lengths))
    assert mine is outcome(lambda: torch_data.random_split(range(10), lengths)) is ValueError


# -------------------------------------------------------------------------------------- samplers


def test_sequential() -> None:
    assert list(data.SequentialSampler(Squares(4))) == [0, 1, 2, 3]
    assert len(data.SequentialSampler([])) == 0
    with pytest.raises(NotImplementedError):
        iter(data.Sampler())


def test_random_is_a_permutation_and_repeats_with_its_seed() -> None:
    sampler = data.RandomSampler(range(50), generator=Generator().manual_seed(0))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert list(data.RandomSampler(range(50), generator=Generator().manual_seed(0))) == first
    assert all(type(i) is int for i in first)


def test_random_without_a_generator_follows_manual_seed() -> None:
    manual_seed(5)
    first = list(data.RandomSampler(range(50)))
    manual_seed(5)
    stream = iter(data.RandomSampler(range(50)))
    assert [next(stream) for _ in range(3)] == first[:3]
    from minigrad.backend.random import default_generator

    state = default_generator.get_state()
    list(stream)  # one seed was drawn at the start, however much is used
    np.testing.assert_array_equal(default_generator.get_state(), state)


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 50, 123])
def test_random_counts(replacement: bool, count: int) -> None:
    sampler = data.RandomSampler(range(50), replacement=replacement, num_samples=count)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == count
    assert set(drawn) <= set(range(50))
    if not replacement:  # whole permutations, then a part of one
        times = Counter(drawn).values()
        assert max(times) - min(times) <= 1 and (count < 50 or len(times) == 50)


def test_random_is_lazy() -> None:
    sampler = data.RandomSampler(range(7), replacement=True, num_samples=int(1e10))
    assert len(sampler) == 10**10
    assert len(list(itertools.islice(sampler, 1000))) == 1000
    loader = data.DataLoader(Squares(7), batch_size=5, sampler=sampler)
    assert len(loader) == 2 * 10**9
    assert next(iter(loader)).shape == (5,)


def test_random_is_uniform() -> None:
    drawn = list(data.RandomSampler(range(4), replacement=True, num_samples=8000))
    assert all(abs(n - 2000) < 200 for n in Counter(drawn).values())
    starts = [next(iter(data.RandomSampler(range(4)))) for _ in range(2000)]
    assert all(abs(n - 500) < 110 for n in Counter(starts).values())


def test_random_follows_a_data_set_that_grows() -> None:
    items = [1, 2]
    sampler = data.RandomSampler(items)
    items.append(3)
    assert len(sampler) == 3 and sorted(sampler) == [0, 1, 2]


def test_subset_random() -> None:
    sampler = data.SubsetRandomSampler([5, 9, 2], generator=Generator().manual_seed(0))
    assert len(sampler) == 3
    assert sorted(sampler) == [2, 5, 9]
    orders = {tuple(sampler) for _ in range(100)}
    assert len(orders) == 6


def test_weighted() -> None:
    sampler = data.WeightedRandomSampler([0.0, 1.0, 3.0], 8000)
    counts = Counter(sampler)
    assert counts[0] == 0 and abs(counts[1] - 2000) < 200 and len(sampler) == 8000
    assert sampler.weights.dtype.name == "float64"
    few = data.WeightedRandomSampler(wrap(np.array([1.0, 0.0, 2.0])), 2, replacement=False)
    assert sorted(few) == [0, 2]
    with pytest.raises(RuntimeError):
        list(data.WeightedRandomSampler([1.0, 2.0], 3, replacement=False))
    with pytest.raises(RuntimeError):
        list(data.WeightedRandomSampler([1.0, -2.0], 3))


@pytest.mark.parametrize("n", [0, 1, 5, 6, 7])
@pytest.mark.parametrize("size", [1, 3, 6, 10])
@pytest.mark.parametrize("drop_last", [False, True])
def test_batches(n: int, size: int, drop_last: bool, torch_data: Any) -> None:
    mine = data.BatchSampler(data.SequentialSampler(range(n)), size, drop_last)
    theirs = torch_data.BatchSampler(torch_data.SequentialSampler(range(n)), size, drop_last)
    assert list(mine) == list(theirs)
    assert len(mine) == len(theirs) == len(list(mine))


SAMPLER_ERRORS: dict[str, Callable[[Any], Any]] = {
    "num_samples 0": lambda d: d.RandomSampler(range(3), num_samples=0),
    "num_samples float": lambda d: d.RandomSampler(range(3), num_samples=2.0),
    "no data": lambda d: d.RandomSampler([]),
    "replacement": lambda d: d.RandomSampler(range(3), replacement=1),
    "weighted, num_samples": lambda d: d.WeightedRandomSampler([1.0], True),
    "weighted, replacement": lambda d: d.WeightedRandomSampler([1.0], 1, replacement=0),
    "weighted, shape": lambda d: d.WeightedRandomSampler([[1.0]], 1),
    "batch_size 0": lambda d: d.BatchSampler(range(3), 0, False),
    "batch_size bool": lambda d: d.BatchSampler(range(3), True, False),
    "batch_size float": lambda d: d.BatchSampler(range(3), 2.0, False),
    "drop_last": lambda d: d.BatchSampler(range(3), 2, 0),
    "len of a generator": lambda d: len(d.BatchSampler(iter(range(3)), 2, False)),
    "rank": lambda d: d.DistributedSampler(range(3), num_replicas=2, rank=2),
    "negative rank": lambda d: d.DistributedSampler(range(3), num_replicas=2, rank=-1),
    "no process group": lambda d: d.DistributedSampler(range(3)),
}


@pytest.mark.parametrize("name", SAMPLER_ERRORS)
def test_sampler_errors(name: str, torch_data: Any) -> None:
    mine = outcome(lambda: SAMPLER_ERRORS[name](data))
    assert isinstance(mine, type) and issubclass(mine, Exception)
    assert mine is outcome(lambda: SAMPLER_ERRORS[name](torch_data))


def test_distributed_example() -> None:
    def shares(**options: Any) -> list[list[int]]:
        return [
            list(data.DistributedSampler(range(10), 3, rank, shuffle=False, **options))
            for rank in range(3)
        ]

    assert shares() == [[0, 3, 6, 9], [1, 4, 7, 0], [2, 5, 8, 1]]
    assert shares(drop_last=True)[2] == [2, 5, 8]


@pytest.mark.parametrize("n", [0, 1, 2, 9, 10, 11])
@pytest.mark.parametrize("replicas", [1, 3, 4, 25])
@pytest.mark.parametrize("drop_last", [False, True])
def test_distributed_shares(n: int, replicas: int, drop_last: bool, torch_data: Any) -> None:
    for rank in {0, replicas // 2, replicas - 1}:
        options: dict[str, Any] = dict(
            num_replicas=replicas, rank=rank, shuffle=False, drop_last=drop_last
        )
        mine = data.DistributedSampler(range(n), **options)
        theirs = torch_data.DistributedSampler(range(n), **options)
        assert len(mine) == len(theirs)
        if n:  # PyTorch divides by n
            assert list(mine) == list(theirs)


def test_distributed_shuffles_alike_on_all_ranks() -> None:
    samplers = [data.DistributedSampler(range(12), 3, rank, seed=4) for rank in range(3)]
    first = [list(s) for s in samplers]
    assert sorted(sum(first, [])) == list(range(12))
    assert [list(s) for s in samplers] == first
    for s in samplers:
        s.set_epoch(1)
    second = [list(s) for s in samplers]
    assert sorted(sum(second, [])) == list(range(12)) and second != first
    # epoch 1 of seed 4 is epoch 0 of seed 5
    assert list(data.DistributedSampler(range(12), 3, 0, seed=5)) == second[0]


# --------------------------------------------------------------------------------------- collate

BATCHES: dict[str, list[Any]] = {
    "ints": [1, 2, 3],
    "floats": [1.5, 2.0],
    "float first": [2.5, 1],
    "int first": [1, 2.5],
    "bools": [True, False],
    "bool and int": [True, 2],
    "strings": ["a", "b"],
    "bytes": [b"a", b"b"],
    "tensors": [wrap(np.ones((2, 3), np.float32)), wrap(np.zeros((2, 3), np.float32))],
    "tensors 0-d": [wrap(np.array(1, np.int16)), wrap(np.array(2, np.int16))],
    "tensors empty": [wrap(np.ones((0, 3))), wrap(np.ones((0, 3)))],
    "tensors strided": [wrap(np.arange(12.0).reshape(3, 4).T[::2]) for _ in range(3)],
    "arrays": [np.arange(3), np.arange(3) + 1],
    "arrays 0-d": [np.array(1.0), np.array(2.0)],
    "arrays of 8 bits": [np.arange(4, dtype=np.uint8).reshape(2, 2)] * 2,
    "arrays complex": [np.ones(2, np.complex64)],
    "numpy float64": [np.float64(1), np.float64(2)],
    "numpy float32": [np.float32(1), np.float32(2)],
    "numpy float16": [np.float16(1)],
    "numpy int32": [np.int32(1), np.int32(2)],
    "numpy bool": [np.bool_(True), np.bool_(False)],
    "numpy mixed": [np.float32(1), np.float64(2)],
    "numpy and int": [np.float64(1), 2],
    "numpy int and float": [np.int64(3), 2.5],
    "tuples": [(1, 2.0), (3, 4.0)],
    "tuples empty": [(), ()],
    "lists": [[1, "a"], [2, "b"]],
    "nested": [{"x": [1, (2, 3)]}, {"x": [4, (5, 6)]}],
    "dicts": [{"a": 1, "b": 2.0}, {"b": 3.0, "a": 4, "c": 0}],
    "ordered": [OrderedDict(b=1, a=2), OrderedDict(b=3, a=4)],
    "namedtuples": [Point(1, 2.0), Point(3, 4.0)],
    "ranges": [range(2), range(2)],
    "one": [7],
}


@pytest.mark.parametrize("name", BATCHES)
def test_collate(name: str, torch_data: Any) -> None:
    theirs = torch_data.default_collate(like_torch(BATCHES[name]))
    assert_same(data.default_collate(BATCHES[name]), theirs)


def test_collate_keeps_containers() -> None:
    joined = data.default_collate([defaultdict(list, a=1), defaultdict(list, a=2)])
    assert isinstance(joined, defaultdict) and joined["missing"] == []
    frozen = data.default_collate([MappingProxyType({"a": 1}), MappingProxyType({"a": 2})])
    assert isinstance(frozen, MappingProxyType)
    user = data.default_collate([UserDict(a=1), UserDict(a=2)])
    assert isinstance(user, UserDict)
    original = [1, 2]
    assert data.default_collate([original, [3, 4]]) is not original and original == [1, 2]


def test_collate_makes_plain_arrays(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "x", np.float32, "w+", shape=(3,))
    swapped = np.arange(3, dtype=np.dtype(np.float32).newbyteorder())
    for samples in ([mapped, mapped], [swapped, swapped]):
        joined = data.default_collate(samples)
        assert type(joined._data) is np.ndarray
        assert joined._data.dtype == np.float32 and joined._data.dtype.isnative
        np.testing.assert_array_equal(joined._data, np.stack(samples))


def test_collate_copies() -> None:
    x = np.zeros(3)
    joined = data.default_collate([x])
    joined._data[:] = 1
    assert not x.any()


def test_collate_keeps_gradients() -> None:
    x = wrap(np.ones(3), requires_grad=True)
    assert data.default_collate([x, x]).requires_grad


COLLATE_ERRORS: dict[str, list[Any]] = {
    "shapes": [wrap(np.zeros(2)), wrap(np.zeros(3))],
    "array shapes": [np.zeros(2), np.zeros(3)],
    "lengths": [[1, 2], [3]],
    "None": [None],
    "set": [{1}],
    "complex": [1j],
    "string arrays": [np.array("a")],
    "object arrays": [np.array([None])],
    "dates": [np.datetime64("2020")],
    "too large": [2**70],
    "int and str": [1, "a"],
    "keys": [{"a": 1, "b": 2}, {"a": 2}],
    "nothing": [],
}


@pytest.mark.parametrize("name", COLLATE_ERRORS)
def test_collate_errors(name: str, torch_data: Any) -> None:
    mine = outcome(lambda: data.default_collate(COLLATE_ERRORS[name]))
    assert isinstance(mine, type) and issubclass(mine, Exception)
    assert mine is outcome(lambda: torch_data.default_collate(like_torch(COLLATE_ERRORS[name])))


CONVERTED: dict[str, Any] = {
    "int": 1,
    "float": 1.5,
    "str": "a",
    "None": None,
    "array": np.arange(3),
    "strings": np.array(["a"]),
    "numpy number": np.float32(2),
    "numpy bool": np.bool_(True),
    "tuple": (np.ones(1), 2),
    "list": [np.ones(1), "a"],
    "dict": {"a": np.ones(1), "b": 1},
    "namedtuple": Point(np.ones(1), 1),
    "range": range(3),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_convert(name: str, torch_data: Any) -> None:
    assert_same(data.default_convert(CONVERTED[name]), torch_data.default_convert(CONVERTED[name]))


def test_convert_shares_memory() -> None:
    x = np.zeros(3)
    assert data.default_convert(x)._data is x
