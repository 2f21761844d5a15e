"""Attention in tiles and batched products against their formulas in NumPy."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.kernels.cpu import attention, compiler, decoding, products, threads

pytestmark = pytest.mark.skipif(not compiler.enabled(), reason="needs numba")
sdpa: Any = mg.nn.functional.scaled_dot_product_attention
few = settings(max_examples=15, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def everything_by_kernels(monkeypatch: Any) -> Any:
    monkeypatch.setattr(attention, "PARALLEL", 1)
    monkeypatch.setattr(decoding, "PARALLEL", 1)
    attention._plan.cache_clear()  # a plan says whether all threads are worth it
    monkeypatch.setattr(products, "SMALL", 1)
    yield
    attention._plan.cache_clear()
    threads.limit(threads.available())


def tensors(*arrays: Any) -> list[Any]:
    return [mg.tensor(a).requires_grad_(True) for a in arrays]


def results(arrays: Any, turned: bool, mask: Any = None, **options: Any) -> list[Any]:
    """The result and the gradients of query, key, value."""
    given = tensors(*arrays)
    qkv = [t.transpose(-3, -2) if turned else t for t in given]
    mg.manual_seed(0)
    y = sdpa(*qkv, None if mask is None else mg.tensor(mask), **options)
    weights = np.cos(np.arange(y.numel(), dtype="f")).reshape(tuple(y.shape))
    grads = mg.autograd.grad(y, given, mg.tensor(weights))
    return [y.detach().numpy(), *[g.numpy() for g in grads]]


def compare(arrays: Any, turned: bool = False, mask: Any = None, **options: Any) -> None:
    got = results(arrays, turned, mask, **options)
    with config.using(kernels="off"):
        want = results(arrays, turned, mask, **options)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@st.composite
def calls(draw: Any) -> tuple[Any, ...]:
    """(arrays, heads before lengths in memory, mask, options)."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    batch, shared = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    group = draw(st.sampled_from([1, 1, 3]))
    length, keys = draw(st.integers(1, 150)), draw(st.integers(1, 300))
    e, f = draw(st.integers(1, 20)), draw(st.integers(1, 20))
    turned = draw(st.booleans())
    shapes = [(shared * group, length, e), (shared, keys, e), (shared, keys, f)]
    arrays = []
    for heads, n, width in shapes:
        shape = (batch, n, heads, width) if turned else (batch, heads, n, width)
        arrays.append(rng.standard_normal(shape).astype("f"))
    kind = draw(st.sampled_from(["none", "causal", "bool", "float", "row", "heads"]))
    size = {"row": (1, keys), "heads": (shared * group, length, keys)}.get(kind, (length, keys))
    mask = None
    if kind in ("bool", "row"):
        mask = rng.random(size) < 0.6
    elif kind in ("float", "heads"):
        mask = rng.standard_normal(size).astype("f")
        mask[rng.random(size) < 0.2] = -np.inf
    options = {"is_causal": kind == "causal", "enable_gqa": group > 1}
    options["dropout_p"] = draw(st.sampled_from([0.0, 0.0, 0.3]))
    return arrays, turned, mask, options


@few
@given(calls())
def test_tiles_are_the_formula(call: Any) -> None:
    arrays, turned, mask, options = call
    compare(arrays, turned, mask, **options)


@few
@given(
    st.integers(1, 3), st.integers(1, 2), st.sampled_from([1, 1, 3]), st.integers(1, 70),
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 2), st.integers(0, 999),
)  # fmt: skip
def test_one_query_is_the_formula(
    batch: int, shared: int, group: int, keys: int, e: int, f: int, count: int, seed: int
) -> None:
    """Keys and values as a cache has them: the first part of longer rows."""
    rng = np.random.default_rng(seed)
    sizes = [(batch, shared * group, 1, e), (batch, shared, keys + 3, e), (batch, shared, keys, f)]
    q, k, v = [rng.standard_normal(s).astype("f") for s in sizes]
    k = k[:, :, :keys]
    v = np.ascontiguousarray(v.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
    threads.limit(count)
    assert decoding.one_query(q, k, v, 0.5) is not None
    got = decoding.one_query(q, k, v, 0.5)[0]  # type: ignore[index]
    k, v = [np.repeat(x, group, 1).astype("d") for x in (k, v)]
    scores = 0.5 * q.astype("d") @ k.swapaxes(-1, -2)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    want = weights / weights.sum(-1, keepdims=True) @ v
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_one_query_in_a_graph() -> None:
    rng = np.random.default_rng(0)
    for keys in (1, 9):
        shapes = [(2, 4, 1, 5), (2, 2, keys, 5), (2, 2, keys, 3)]
        arrays = [rng.standard_normal(s).astype("f") for s in shapes]
        compare(arrays, enable_gqa=True)


def test_queries_that_share_one_head() -> None:
    rng = np.random.default_rng(0)
    for keys in (1, 2, 40):
        shapes = [(2, 3, 7, 5), (2, 1, keys, 5), (2, 1, keys, 4)]
        compare([rng.standard_normal(s).astype("f") for s in shapes], enable_gqa=True)


@pytest.mark.parametrize("count", [1, 2])
def test_same_bits_whatever_the_number_of_threads(count: int) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 2, 300, 16)).astype("f") for _ in range(3)]
    first = results(arrays, False, is_causal=True, dropout_p=0.1)
    threads.limit(count)
    for a, b in zip(first, results(arrays, False, is_causal=True, dropout_p=0.1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -1e30])
def test_extreme_scores(value: float) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 140, 8)).astype("f") for _ in range(3)]
    mask = rng.standard_normal((140, 140)).astype("f")
    mask[3, 5] = mask[3, 130] = value
    mask[7] = value
    compare(arrays, False, mask)


def test_broadcast_keys_and_a_mask_that_learns() -> None:
    rng = np.random.default_rng(0)
    q, k, v, m = [
        rng.standard_normal(s).astype("f")
        for s in ((2, 3, 40, 8), (1, 3, 50, 8), (50, 6), (3, 40, 50))
    ]
    found = []
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            given = tensors(q, k, v, m)
            y = sdpa(*given)
            found.append([t.numpy() for t in mg.autograd.grad((y * y).sum(), given)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-4)


def test_second_derivative_after_tiles() -> None:
    q, k, v = [mg.randn(1, 20, 4).requires_grad_(True) for _ in range(3)]
    found = []
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            mg.manual_seed(1)
            y = sdpa(q, k, v, dropout_p=0.2)
            (g,) = mg.autograd.grad((y * y).sum(), [q], create_graph=True)
            found.append(mg.autograd.grad((g * g).sum(), [k])[0].numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-5)


def test_no_matrix_of_all_scores() -> None:
    n = 2048
    q, k, v = [mg.randn(1, 1, n, 16).requires_grad_(True) for _ in range(3)]
    sdpa(q, k, v).sum().backward()  # compiled
    tracemalloc.start()
    sdpa(q, k, v).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * n * n / 4


# ------------------------------------------------------------------------------ batched products
@few
@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.data())
def test_batched_products(batch: int, m: int, k: int, n: int, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def matrices(rows: int, columns: int) -> Any:
        lead = data.draw(st.sampled_from([(2, batch), (batch,), (1, batch), (2, 1)]))
        how = data.draw(st.sampled_from(["rows", "columns", "every other", "apart"]))
        if how == "columns":
            return rng.standard_normal((*lead, columns, rows)).astype("f").swapaxes(-1, -2)
        if how == "every other":
            return rng.standard_normal((*lead, rows, 2 * columns)).astype("f")[..., ::2]
        if how == "apart":
            return rng.standard_normal((*lead, rows, columns + 3)).astype("f")[..., :columns]
        return rng.standard_normal((*lead, rows, columns)).astype("f")

    a, b = matrices(m, k), matrices(k, n)
    found = products.batched(a, b)
    if found is not None:
        np.testing.assert_allclose(found, np.matmul(a, b), rtol=1e-4, atol=1e-5)
    else:
        lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        assert np.prod(lead) < threads.count() or threads.count() < 2
