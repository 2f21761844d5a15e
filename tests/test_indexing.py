"""Subscripts read and written under autograd: against PyTorch, at random and in special cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.core.tensor import wrap

torch = pytest.importorskip("torch")

Pair = tuple[Any, Any]


def pair(values: Any, requires_grad: bool = False) -> Pair:
    """The same array as a minigrad and as a PyTorch tensor, each with its own memory."""
    x = np.array(values)
    return wrap(x.copy(), requires_grad), torch.from_numpy(x.copy()).requires_grad_(requires_grad)


def same(ours: Any, theirs: Any) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    assert str(ours.dtype).rpartition(".")[2] == str(theirs.dtype).rpartition(".")[2]
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-6)


# ------------------------------------------------------------ random indices
def random_index(rng: np.random.Generator, shape: tuple[int, ...]) -> list[Any]:
    """Parts of an index of this shape; arrays are ndarrays here."""
    parts: list[Any] = []
    length = int(rng.integers(1, 4))
    dim = 0
    dots = False
    while dim < len(shape):
        kind, n = rng.integers(0, 9), shape[dim]
        if kind == 0:
            parts.append(int(rng.integers(-n, n)))
        elif kind <= 2:
            low, high = [int(v) for v in rng.integers(-n - 1, n + 2, 2)]
            parts.append(slice(low, high, int(rng.integers(1, 3))))
        elif kind == 3:
            parts.append(None)
            continue
        elif kind == 4 and not dots:
            parts.append(Ellipsis)
            dots = True
            dim = len(shape) - int(rng.integers(0, len(shape) - dim + 1))
            continue
        elif kind <= 6:
            parts.append(rng.integers(-n, n, (length,) if rng.integers(2) else (2, 1)))
        elif kind == 7:
            mask = np.zeros(n, bool)
            mask[rng.permutation(n)[: min(length, n)]] = True
            parts.append(mask if min(length, n) == length else slice(None))
        else:
            break
        dim += 1
    return parts


def of(parts: list[Any], make: Callable[[Any], Any]) -> Any:
    made = tuple([make(p) if isinstance(p, np.ndarray) else p for p in parts])
    return made[0] if len(made) == 1 else made


SEEDS = range(300)


def random_case(seed: int) -> tuple[np.random.Generator, np.ndarray, Any, Any]:
    rng = np.random.default_rng(seed)
    shape = tuple([int(n) for n in rng.integers(1, 6, rng.integers(1, 5))])
    parts = random_index(rng, shape)
    ours, theirs = of(parts, lambda p: wrap(p.copy())), of(parts, torch.from_numpy)
    return rng, rng.standard_normal(shape), ours, theirs


def test_reading() -> None:
    for seed in SEEDS:
        rng, values, i, j = random_case(seed)
        x, z = pair(values, True)
        try:
            want = z[j]
        except IndexError:
            with pytest.raises(IndexError):
                x[i]
            continue
        got = x[i]
        same(got, want)
        w = rng.standard_normal(want.shape)
        got.backward(wrap(w))
        want.backward(torch.from_numpy(w))
        same(x.grad, z.grad)


@pytest.mark.parametrize("layout", ["plain", "view", "transposed"])
def test_writing(layout: str) -> None:
    """x[i] = v where x is a tensor, a slice of one, or one with other strides; gradients of all."""
    for seed in SEEDS:
        rng, values, i, j = random_case(seed)
        base = np.stack([values, values]) if layout == "view" else values
        base = base.T.copy() if layout == "transposed" else base
        (x, z), places = pair(base, True), torch.from_numpy(np.arange(values.size))
        shape = tuple(values.shape)
        try:
            hit = places.reshape(shape)[j]
        except IndexError:
            continue
        unique = hit.unique().numel() == hit.numel()
        value = rng.standard_normal(hit.shape if unique and hit.ndim else ())
        (v, u) = pair(value, True)
        results = []
        for t, k, s in ((x, i, v), (z, j, u)):
            whole = t * 1
            part = whole[1] if layout == "view" else whole
            part = part.permute(*reversed(range(part.ndim))) if layout == "transposed" else part
            part[k] = s
            results.append(whole)
        same(*results)
        w = rng.standard_normal(base.shape)
        results[0].backward(wrap(w))
        results[1].backward(torch.from_numpy(w))
        same(x.grad, z.grad)
        same(v.grad if v.grad is not None else wrap(np.zeros(v.shape)), u.grad)


# ------------------------------------------------------------ special cases
WRITES: dict[str, Callable[[Any, Any], None]] = {
    "number": lambda m, x: x.__setitem__(0, 5),
    "number at mask": lambda m, x: x.__setitem__(x > 4, 0),
    "number at tensor": lambda m, x: x.__setitem__(m.tensor([0, 2]), 1.5),
    "bool": lambda m, x: x.__setitem__(1, True),
    "cast": lambda m, x: x.__setitem__(1, m.arange(4)),
    "cast at mask": lambda m, x: x.__setitem__(x > 4, m.tensor(3)),
    "leading ones": lambda m, x: x.__setitem__(0, m.ones(1, 1, 4)),
    "leading ones picked": lambda m, x: x.__setitem__(m.tensor([0, 1]), m.ones(1, 1, 2, 4)),
    "True": lambda m, x: x.__setitem__(True, 2),
    "False": lambda m, x: x.__setitem__(False, 2),
    "None": lambda m, x: x.__setitem__(None, 3),
    "nothing": lambda m, x: x.__setitem__((), 3),
    "dots": lambda m, x: x.__setitem__(..., 3),
    "repeated": lambda m, x: x.__setitem__(m.tensor([0, 0]), m.tensor([[1.0], [2.0]])),
    "list": lambda m, x: x.__setitem__([0, 2], 9),
    "list of bools": lambda m, x: x.__setitem__([True, False, True], 9),
    "row of mask": lambda m, x: x.__setitem__(m.tensor([True, False, True]), m.ones(2, 4)),
    "own values": lambda m, x: x.__setitem__(slice(1, None), x[:-1].clone()),
    "flipped": lambda m, x: x.__setitem__(m.tensor([2, 1, 0]), x.clone()),
    "negative": lambda m, x: x.__setitem__((m.tensor([-1, 0]), -2), m.tensor([1.0, 2.0])),
    "numpy index": lambda m, x: x.__setitem__((np.array([0, 1]), np.int64(1)), 4.0),
    "empty": lambda m, x: x.__setitem__(slice(0, 0), 4.0),
}


@pytest.mark.parametrize("name", WRITES)
def test_write(name: str) -> None:
    x, z = pair(np.arange(12, dtype=np.float32).reshape(3, 4))
    WRITES[name](minigrad, x)
    WRITES[name](torch, z)
    same(x, z)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float16", "bfloat16", "complex64"])
def test_dtypes(dtype: str) -> None:
    found = []
    for m in (minigrad, torch):
        x = m.zeros(3, 4, dtype=getattr(m, dtype))
        x[0] = 1
        x[m.tensor([1]), 2] = 3.7 if dtype != "bool" else True
        x[x == 0] = 2
        y = x[m.tensor([2, 0, 2]), 1:]
        y = y.to(getattr(m, "complex64" if dtype == "complex64" else "float32"))
        found.append((x.to(y.dtype).numpy(), y.numpy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_views_share_memory() -> None:
    x = minigrad.arange(12.0).reshape(3, 4)
    for view in (x[0], x[:, 1], x[1:], x[..., 2], x[None], x[1, ::2], x[minigrad.tensor(1)]):
        assert view._base is x._base and np.shares_memory(view.numpy(), x.numpy())
        before = float(view.sum())
        view += 1
        assert float(view.sum()) == before + view.numel()
    assert not np.shares_memory(x[[0, 1]].numpy(), x.numpy())


def test_membership() -> None:
    x = minigrad.tensor([1.0, 2.0])
    assert 2 in x and 3 not in x and minigrad.tensor(1.0) in x
    with pytest.raises(RuntimeError):
        assert "a" in x


def test_writes_are_counted() -> None:
    x = minigrad.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y[0] = 5.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_changed_indices_are_noticed() -> None:
    x = minigrad.ones(3, requires_grad=True)
    index = minigrad.tensor([0, 1])
    y = x[index]
    index += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_no_copy_of_the_whole() -> None:
    """A write records only what is written: memory stays, also under autograd."""
    x = minigrad.ones(1000, 1000, requires_grad=True) * 1
    memory = x._data
    x[minigrad.tensor([3]), 5] = minigrad.ones(1, requires_grad=True)
    x[2] = 7.0
    x.index_add_(0, minigrad.tensor([1]), minigrad.ones(1, 1000))
    x.masked_fill_(x > 6, 0.0)
    assert x._data is memory
    import tracemalloc

    tracemalloc.start()
    x[minigrad.tensor([4]), 5] = 1.0
    x.scatter_(0, minigrad.tensor([[1, 2]]), 3.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000


# ------------------------------------------------------------ what is refused
def x34(m: Any) -> Any:
    return m.arange(12.0).reshape(3, 4)


REFUSED: dict[str, Callable[[Any], Any]] = {
    "out of range": lambda m: x34(m)[3],
    "below range": lambda m: x34(m)[-4],
    "second dimension": lambda m: x34(m)[0, 4],
    "tensor out of range": lambda m: x34(m)[m.tensor([0, 3])],
    "tensor below range": lambda m: x34(m)[:, m.tensor([-5])],
    "too many": lambda m: x34(m)[0, 0, 0],
    "too many slices": lambda m: x34(m)[:, :, :],
    "of a number": lambda m: m.tensor(1.0)[0],
    "slice of a number": lambda m: m.tensor(1.0)[:],
    "negative step": lambda m: x34(m)[::-1],
    "zero step": lambda m: x34(m)[::0],
    "float": lambda m: x34(m)[1.0],
    "float slice": lambda m: x34(m)[0:1.5],
    "float tensor": lambda m: x34(m)[m.tensor([1.0])],
    "int16 tensor": lambda m: x34(m)[m.tensor([1], dtype=m.int16)],
    "complex": lambda m: x34(m)[1j],
    "set": lambda m: x34(m)[{1}],
    "mask shape": lambda m: x34(m)[m.ones(4, dtype=m.bool)],
    "mask rank": lambda m: x34(m)[m.ones(3, 4, 1, dtype=m.bool)],
    "no broadcast": lambda m: x34(m)[m.tensor([0, 1]), m.tensor([0, 1, 2])],
    "empty dimension": lambda m: m.zeros(0, 3)[m.tensor([0])],
    "delete": lambda m: x34(m).__delitem__(0),
    "write out of range": lambda m: x34(m).__setitem__(3, 1.0),
    "write tensor out of range": lambda m: x34(m).__setitem__(m.tensor([7]), 1.0),
    "write shape": lambda m: x34(m).__setitem__(0, m.ones(3)),
    "write rank": lambda m: x34(m).__setitem__(0, m.ones(2, 4)),
    "write into nothing": lambda m: x34(m).__setitem__(slice(0, 0), m.ones(3, 4)),
    "write picked shape": lambda m: x34(m).__setitem__(m.tensor([0, 1]), m.ones(3)),
    "write mask shape": lambda m: x34(m).__setitem__(x34(m) > 5, m.ones(5)),
    "write picked dtype": lambda m: x34(m).__setitem__(m.tensor([0]), m.ones(4, dtype=m.float64)),
    "write list": lambda m: x34(m).__setitem__(0, [1.0, 2, 3, 4]),
    "write ndarray": lambda m: x34(m).__setitem__(0, np.ones(4)),
    "write string": lambda m: x34(m).__setitem__(0, "a"),
    "write None": lambda m: x34(m).__setitem__(0, None),
    "write overflow": lambda m: m.zeros(3, dtype=m.uint8).__setitem__(0, 256),
    "write nan": lambda m: m.zeros(3, dtype=m.int64).__setitem__(0, float("nan")),
    "write complex": lambda m: x34(m).__setitem__(0, 1j),
    "write leaf": lambda m: m.ones(3, requires_grad=True).__setitem__(0, 1.0),
    "write view of leaf": lambda m: m.ones(3, 2, requires_grad=True)[0].__setitem__(0, 1.0),
    "write repeated cells": lambda m: m.ones(1, 3).expand(2, 3).__setitem__(slice(None), 1.0),
    "write view from no_grad": lambda m: _no_grad_view(m).__setitem__(0, 1.0),
    "gather range": lambda m: x34(m).gather(0, m.tensor([[5]])),
    "gather negative": lambda m: x34(m).gather(0, m.tensor([[-1]])),
    "gather rank": lambda m: x34(m).gather(0, m.tensor([0])),
    "gather size": lambda m: x34(m).gather(0, m.zeros(2, 5, dtype=m.int64)),
    "gather dtype": lambda m: x34(m).gather(0, m.zeros(2, 4)),
    "gather dim": lambda m: x34(m).gather(2, m.zeros(2, 4, dtype=m.int64)),
    "scatter range": lambda m: x34(m).scatter(0, m.tensor([[3]]), 1.0),
    "scatter src": lambda m: x34(m).scatter(0, m.zeros(2, 4, dtype=m.int64), m.ones(2, 3)),
    "scatter dtype": lambda m: x34(m).scatter(
        0, m.zeros(2, 4, dtype=m.int64), m.ones(2, 4, dtype=m.float64)
    ),
    "scatter reduce": lambda m: x34(m).scatter(0, m.tensor([[0]]), 1.0, reduce="max"),
    "scatter_add number": lambda m: x34(m).scatter_add(0, m.tensor([[0]]), 1.0),
    "scatter_reduce": lambda m: x34(m).scatter_reduce(0, m.tensor([[0]]), m.ones(1, 1), "most"),
    "index_select range": lambda m: x34(m).index_select(0, m.tensor([3])),
    "index_select negative": lambda m: x34(m).index_select(0, m.tensor([-1])),
    "index_select rank": lambda m: x34(m).index_select(0, m.tensor([[0]])),
    "index_select dtype": lambda m: x34(m).index_select(0, m.tensor([0.0])),
    "index_add count": lambda m: x34(m).index_add(0, m.tensor([0]), m.ones(2, 4)),
    "index_add shape": lambda m: x34(m).index_add(0, m.tensor([0]), m.ones(1, 3)),
    "index_add range": lambda m: x34(m).index_add(0, m.tensor([3]), m.ones(1, 4)),
    "index_add dtype": lambda m: x34(m).index_add(0, m.tensor([0]), m.ones(1, 4, dtype=m.float64)),
    "index_copy count": lambda m: x34(m).index_copy(0, m.tensor([0]), m.ones(2, 4)),
    "index_copy shape": lambda m: x34(m).index_copy(0, m.tensor([0]), m.ones(1, 3)),
    "index_copy range": lambda m: x34(m).index_copy(0, m.tensor([3]), m.ones(1, 4)),
    "index_copy dtype": lambda m: x34(m).index_copy(0, m.tensor([0], dtype=m.int32), m.ones(1, 4)),
    "index_fill range": lambda m: x34(m).index_fill(0, m.tensor([3]), 1.0),
    "index_fill value": lambda m: x34(m).index_fill(0, m.tensor([0]), m.ones(2)),
    "index_reduce": lambda m: x34(m).index_reduce(0, m.tensor([0]), m.ones(1, 4), "sum"),
    "index_put many": lambda m: x34(m).index_put([m.tensor([0])] * 3, m.ones(1)),
    "take": lambda m: x34(m).take(m.tensor([12])),
    "take dtype": lambda m: x34(m).take(m.tensor([1], dtype=m.int32)),
    "put": lambda m: x34(m).put(m.tensor([12]), m.ones(1)),
    "put count": lambda m: x34(m).put(m.tensor([1]), m.ones(2)),
    "put dtype": lambda m: x34(m).put(m.tensor([1]), m.ones(1, dtype=m.float64)),
    "take_along_dim": lambda m: m.take_along_dim(x34(m), m.tensor([0]), 1),
    "masked_fill mask": lambda m: x34(m).masked_fill(m.ones(4), 1.0),
    "masked_fill value": lambda m: x34(m).masked_fill(x34(m) > 1, m.ones(2)),
    "masked_fill shape": lambda m: x34(m).masked_fill(m.ones(3, dtype=m.bool), 1.0),
    "masked_fill_ shape": lambda m: x34(m)[0].masked_fill_(x34(m) > 1, 1.0),
    "masked_select": lambda m: x34(m).masked_select(m.ones(4)),
    "masked_scatter": lambda m: x34(m).masked_scatter(x34(m) > 5, m.ones(5)),
    "masked_scatter dtype": lambda m: x34(m).masked_scatter(x34(m) > 5, m.arange(12)),
    "nonzero_static": lambda m: m.nonzero_static(x34(m), size=-1),
    "unravel_index": lambda m: m.unravel_index(m.tensor([1.0]), (3, 4)),
    "unravel_index shape": lambda m: m.unravel_index(m.tensor([1]), (3, -4)),
    "select_scatter": lambda m: m.select_scatter(x34(m), m.ones(4), 1, 0),
    "slice_scatter": lambda m: m.slice_scatter(x34(m), m.ones(3, 3), 1, 0, 2),
    "diagonal_scatter": lambda m: m.diagonal_scatter(x34(m), m.ones(4)),
}


def _no_grad_view(m: Any) -> Any:
    base = m.ones(3, 2, requires_grad=True) * 1
    with m.no_grad():
        return base[0]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    with pytest.raises(Exception) as expected:  # noqa: PT011 - PyTorch says which
        REFUSED[name](torch)
    with pytest.raises(expected.type) as found:
        REFUSED[name](minigrad)
    assert type(found.value) is expected.type


@pytest.mark.parametrize("name", [n for n in REFUSED if n.startswith("write") and "leaf" not in n])
def test_failed_writes_change_nothing(name: str) -> None:
    made: list[Any] = []

    class Library:
        def __getattr__(self, attribute: str) -> Any:
            return getattr(minigrad, attribute)

        def arange(self, *args: Any) -> Any:
            made.append(minigrad.arange(*args))
            return made[-1]

    with pytest.raises(Exception):  # noqa: B017, PT011
        REFUSED[name](Library())
    for t in made[:1]:
        np.testing.assert_array_equal(t.numpy(), np.arange(12.0))
