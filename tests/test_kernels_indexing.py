"""Picking, sorting, copying and dropping elements: kernels against NumPy and their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.backend import sampling
from minigrad.kernels.cpu import compiler, copying, indexing, random, sorting, threads

pytestmark = pytest.mark.skipif(not compiler.enabled(), reason="needs numba")
few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 1 << 16)
F = mg.nn.functional


@pytest.fixture(autouse=True)
def everything_by_kernels(monkeypatch: Any) -> Any:
    monkeypatch.setattr(indexing, "SMALL", 1)
    monkeypatch.setattr(sorting, "SMALL", 1)
    monkeypatch.setattr(copying, "SMALL", 1)
    monkeypatch.setattr(copying, "SMALL_ROWS", 1)
    monkeypatch.setattr(copying, "SMALL_PIECE", 1)
    monkeypatch.setattr(copying, "SHORTEST_ROW", 4)
    monkeypatch.setattr(threads, "PARALLEL", 64)
    copying._plan.cache_clear()  # they know these numbers
    yield
    copying._plan.cache_clear()
    threads.limit(threads.available())


def both(call: Any, *arrays: Any) -> None:
    """Value and gradients of call(*tensors), by kernels (twice: the same bits) and by formulas."""
    found = []
    for kernels, count in (("off", 2), ("auto", 2), ("auto", 2)):
        threads.limit(count)
        with config.using(kernels=kernels):
            ts = [mg.tensor(a) for a in arrays]
            floats = [t.requires_grad_(True) for t in ts if t.is_floating_point()]
            y = call(*ts)
            weights = np.cos(np.arange(y.numel())).astype(y.detach().numpy().dtype)
            grads = mg.autograd.grad(y, floats, mg.tensor(weights.reshape(tuple(y.shape))))
            found.append([y.detach().numpy(), *[g.numpy() for g in grads]])
    for a, b, c in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(b, c)


def floats(rng: Any, *shape: int) -> Any:
    return rng.standard_normal(shape).astype("f")


@few
@given(seeds, st.integers(1, 40), st.integers(1, 70), st.integers(1, 300))
def test_rows_of_a_table(seed: int, rows: int, width: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    w, i = floats(rng, rows, width), rng.integers(0, rows, (count, 2))
    skip = seed % rows
    both(lambda w, i: F.embedding(i, w), w, i)
    both(lambda w, i: F.embedding(i, w, skip, scale_grad_by_freq=seed % 2 == 0), w, i)
    both(lambda w, i: F.embedding_bag(i, w, mode="mean", padding_idx=skip), w, i)
    starts = np.unique(np.append(0, rng.integers(0, 2 * count, 5)))
    both(lambda w, i, o: F.embedding_bag(i.reshape(-1), w, o, mode="sum"), w, i, starts)
    both(lambda w, i: w[i - rows], w, i)
    both(lambda w, i, s: w.index_add(0, i[:, 0], s), w, i, floats(rng, count, width))


@few
@given(seeds, st.integers(1, 12), st.integers(1, 40), st.integers(1, 12), st.integers(1, 60))
def test_one_index_for_a_dimension(seed: int, a: int, n: int, b: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    x, i = floats(rng, a, n, b), rng.integers(0, n, count)
    both(lambda x, i: x.index_select(1, i), x, i)
    both(lambda x, i: x[:, i], x, i)
    both(lambda x, i: x.transpose(0, 1)[i - n], x, i)
    j, k = rng.integers(-a, a, (2, count)), rng.integers(-n, n, (2, count))
    both(lambda x, j, k: x[j, k], x, j, k)
    both(lambda x, j, k, s: x.index_put((j, k), s, accumulate=True), x, j, k, floats(rng, b))


@few
@given(seeds, st.integers(1, 12), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2))
def test_one_index_for_every_element(seed: int, a: int, n: int, b: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    x, source = floats(rng, a, n, b), floats(rng, a, n, b)
    i = rng.integers(0, x.shape[dim], x.shape)
    both(lambda x, i: x.gather(dim, i), x, i)
    both(lambda x, i: mg.take_along_dim(x, i, dim), x, i)
    both(lambda x, i, s: x.scatter_add(dim, i, s), x, i, source)
    both(lambda x, i: x.scatter(dim, i, 2.0), x, i)
    once = np.argsort(rng.random(x.shape), dim)
    both(lambda x, i, s: x.scatter(dim, i, s), x, once, source)


@few
@given(seeds, st.integers(0, 2), st.integers(1, 9), st.integers(1, 9), st.integers(1, 60))
def test_pairs_of_indices(seed: int, dim: int, n: int, m: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    shape = [3, 2, n, m, 4][2 - dim :]
    i, j = rng.integers(-n, n, count), rng.integers(-m, m, count)
    g = rng.standard_normal((*shape[:dim], count, *shape[dim + 2 :])).astype("fd"[seed % 2])
    right = np.zeros(shape, g.dtype)
    np.add.at(right, (*[slice(None)] * dim, i, j), g)
    for layout in (g, np.asfortranarray(g)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads, "PARALLEL", 1 << 16)
            y = indexing.pairs_back(layout, i, j, dim, tuple(shape))
            np.testing.assert_allclose(y, right, rtol=1e-5, atol=1e-5)
            j[seed % count] = m
            assert indexing.pairs_back(layout, i, j, dim, tuple(shape)) is None
            j[seed % count] = m - 1
            right = np.zeros(shape, g.dtype)
            np.add.at(right, (*[slice(None)] * dim, i, j), g)


@few
@given(seeds, st.integers(1, 300), st.integers(1, 200), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_masks(seed: int, n: int, m: int, p: float) -> None:
    rng = np.random.default_rng(seed)
    x, mask = floats(rng, n, m), rng.random((n, m)) < p
    x[0] = np.nan  # must not leak into what is left out
    both(lambda x, k: x[k], x, mask)
    both(lambda x, k: x.t().masked_select(k.t()), x, mask)
    both(lambda x, k: x[k], x, mask[:, 0])
    both(lambda x, k: x.masked_fill(k, -1.0), x, mask)


def test_an_index_out_of_range_is_refused() -> None:
    x: Any = mg.randn(10, 10)
    for bad in (10, -11):
        i = mg.tensor([0] * 99 + [bad])
        with pytest.raises(IndexError):
            x[i]
        with pytest.raises(IndexError):
            x[i, i]
    with pytest.raises(IndexError):
        F.embedding(mg.tensor([[0, 10]]), x)
    before = x.clone()
    with pytest.raises(IndexError):
        x.index_put_((mg.tensor([1, 10]),), mg.ones(2, 10), accumulate=True)
    assert (x == before).all()


# ------------------------------------------------------------------------------ orders
DTYPES = [np.float32, np.int64, np.int32, np.uint8, np.int8, bool]


@few
@given(seeds, st.sampled_from(DTYPES), st.booleans(), st.integers(0, 2), st.integers(1, 200))
def test_orders(seed: int, dtype: Any, descending: bool, dim: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    shape = [2, 3, 2]
    shape[dim] = n
    x = (rng.integers(-9, 9, shape) / (2 if dtype == np.float32 else 1)).astype(dtype)
    if dtype == np.float32:
        special = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 1e-45], "f")
        x = np.where(rng.random(shape) < 0.2, rng.choice(special, shape), x)
    found = sorting.order(x, dim, descending)
    k = rng.integers(1, n + 1)
    first = sorting.first(x, int(k), dim, descending)
    with config.using(kernels="off"):
        want = mg.argsort(mg.tensor(x), dim, descending, stable=True).numpy()
    np.testing.assert_array_equal(found, want)
    assert found.dtype == first.dtype == np.int64
    np.testing.assert_array_equal(first, want.take(np.arange(k), dim))


def test_integers_too_far_apart_are_left_to_numpy() -> None:
    x = np.array([2**40, -(2**40), 3, 3], np.int64)
    assert sorting.order(x, 0, False) is None
    assert mg.sort(mg.tensor(x))[1].tolist() == [1, 2, 3, 0]


# ------------------------------------------------------------------------------ copies
@settings(max_examples=40, deadline=None, derandomize=True)
@given(seeds, st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from("fd"))
def test_copies(seed: int, shape: list[int], dtype: str) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 99, shape).astype(dtype).transpose(rng.permutation(len(shape)))
    if rng.random() < 0.4:
        x = x[tuple([slice(None, None, int(rng.choice([1, 1, 2, -1]))) for _ in shape])]
    if rng.random() < 0.4:
        x = np.broadcast_to(x, (3, *x.shape))
    y = copying.contiguous(x)
    if y is not None:
        assert y.flags.c_contiguous
        np.testing.assert_array_equal(y, x)
    for z in (np.zeros_like(x, order="C"), np.zeros_like(x, order="K")):
        if copying.place(z, x):
            np.testing.assert_array_equal(z, x)
    lower = copying.triangle(np.ascontiguousarray(x), 1, True) if x.ndim > 1 else None
    if lower is not None:
        np.testing.assert_array_equal(lower, np.tril(x, 1))
        upper = copying.triangle(np.ascontiguousarray(x), -1, False)
        np.testing.assert_array_equal(upper, np.triu(x, -1))


def test_large_transpositions_are_by_kernel() -> None:
    x = np.arange(60 * 70, dtype="f").reshape(60, 70)
    y = copying.contiguous(x.T)
    assert y is not None and (y == x.T).all()


@few
@given(seeds, st.integers(0, 2), st.integers(1, 3))
def test_joined_and_repeated(seed: int, dim: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 3)
    xs = [floats(rng, *shape) for _ in range(count)]
    xs.append(np.swapaxes(floats(rng, *shape[::-1]), 0, 2))
    both(lambda *ts: mg.cat(ts, dim), *xs)
    both(lambda *ts: mg.stack(ts, dim), *xs)
    both(lambda x: x.repeat(2, 1, 3), xs[0])
    both(lambda x: x.repeat_interleave(3, dim), xs[0])
    both(lambda x: x.permute(2, 0, 1).contiguous(), xs[0])
    both(lambda x: x[:, :1].expand(-1, 5, -1).contiguous(), xs[0])
    both(lambda x: x.permute(2, 0, 1).reshape(shape[2], -1), xs[0])
    both(lambda x: mg.flip(x, (dim, (dim + 1) % 3)), xs[0])
    both(lambda x: mg.roll(x, (count, -3, 2), (dim, 0, 2)), xs[0])
    both(lambda x: mg.roll(x, 5), xs[0])
    both(lambda x: x.narrow(dim, 0, 1) + x, xs[0])
    both(lambda x: x[1:, :, :-1], floats(rng, *shape + 1))
    both(lambda x: x[None, ::2, ..., :4], floats(rng, *shape + 1))
    both(lambda x: x[0, 1:], floats(rng, *shape + 1))
    both(lambda x: mg.cat(x.chunk(count, dim)[::-1], dim), xs[0])


# ------------------------------------------------------------------------------ dropout
@few
@given(seeds, st.integers(1, 9000), st.sampled_from([0.01, 0.3, 0.5, 0.99]))
def test_dropout_is_the_mask_of_its_seed(seed: int, n: int, p: float) -> None:
    x = np.random.default_rng(seed).standard_normal(n).astype("f")
    rows = -(-n // random.ROW)
    kept = sampling.keep_mask(seed * 0x1234567890AB, rows, random.ROW, p).reshape(-1)[:n]
    want = np.where(kept, x * np.float32(1 / (1 - p)), np.float32(0))
    for count in (1, 2):
        threads.limit(count)
        np.testing.assert_array_equal(random.drop(x, seed * 0x1234567890AB, p), want)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64])
def test_dropout_drops_the_same_elements_backward(p: float, dtype: Any) -> None:
    x = mg.ones(300, 400, dtype=dtype, requires_grad=True)
    y = F.dropout(x, p)
    y.backward(mg.ones_like(y))
    assert (x.grad == y).all()
    kept = (y.detach() > 0).numpy()
    assert abs(kept.mean() - (1 - p)) < 5 * (p * (1 - p) / kept.size) ** 0.5
    for shifted in (kept[1:] & kept[:-1], kept[:, 1:] & kept[:, :-1]):
        assert abs(shifted.mean() - (1 - p) ** 2) < 0.01
    with config.using(kernels="off"):
        mg.manual_seed(7)
        first = F.dropout(x, p)
    mg.manual_seed(7)
    np.testing.assert_allclose(F.dropout(x, p).detach().numpy(), first.detach().numpy(), rtol=1e-6)
