"""Matrix products and recurrent sequences by kernels against their formulas in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.kernels.cpu import compiler, gemm, products, recurrent, threads

pytestmark = pytest.mark.skipif(not compiler.enabled(), reason="needs numba")
few = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.fixture(autouse=True)
def everything_by_kernels(monkeypatch: Any) -> Any:
    monkeypatch.setattr(gemm, "SMALL", 1)
    monkeypatch.setattr(gemm, "SHARED", 1)
    monkeypatch.setattr(products, "OUTER", 1)
    monkeypatch.setattr(recurrent, "PARALLEL", 1)
    yield
    threads.limit(threads.available())


def numbers(draw: Any, *shape: int) -> np.ndarray:
    """A float32 matrix in row-major order, transposed, or with gaps between its rows."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    kind = draw(st.sampled_from(["rows", "columns", "gaps"]))
    if kind == "columns":
        return rng.standard_normal(shape[::-1], dtype=np.float32).T
    gap = draw(st.integers(1, 5)) if kind == "gaps" else 0
    return rng.standard_normal((shape[0], shape[1] + gap), dtype=np.float32)[:, : shape[1]]


@few
@given(st.data())
def test_products_of_matrices(data: Any) -> None:
    """Sizes around the tile, the vector, the block of rows and the block of terms."""
    sizes = st.sampled_from([*range(6, 20), 31, 33, 95, 96, 97, 103])
    m, n = data.draw(sizes), data.draw(sizes) + 2
    k = data.draw(st.sampled_from([8, 9, 15, 64, 255, 256, 257, 300, 513]))
    a, b = numbers(data.draw, m, k), numbers(data.draw, k, n)
    bias = np.linspace(-9, 9, n, dtype=np.float32) if data.draw(st.booleans()) else None
    threads.limit(data.draw(st.integers(1, 2)))
    c = gemm.product(a, b, bias)
    want = a.astype(np.float64) @ b + (0 if bias is None else bias)
    np.testing.assert_allclose(c, want, rtol=1e-5, atol=2e-6 * k)


@few
@given(st.data())
def test_one_row_times_a_layer(data: Any) -> None:
    """Any number of weights, with and without biases, float32 and float64, one thread and two."""
    k, n = [data.draw(st.integers(0, 70)) for _ in range(2)]
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    a, w = np.ones((1, k), dtype), numbers(data.draw, n, k).astype(dtype, order="C")
    a *= np.linspace(-1, 1, k, dtype=dtype)
    bias = np.linspace(-9, 9, n, dtype=dtype) if data.draw(st.booleans()) else None
    threads.limit(data.draw(st.integers(1, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "ONE_ROW", data.draw(st.sampled_from([0, 1 << 17])))
        c = products.one_row(a, w.T, bias)
    want = a.astype(np.float64) @ w.T + (0 if bias is None else bias)
    assert c.dtype == dtype
    np.testing.assert_allclose(c, want, rtol=1e-5, atol=1e-5)


@few
@given(st.data())
def test_gradients_of_a_layer(data: Any) -> None:
    """Each of the gradients alone and together, on one thread and two."""
    sizes = st.sampled_from([*range(1, 20), 31, 64, 79])  # within products.LAYER
    m, n, k = [data.draw(sizes) for _ in range(3)]
    g, x, w = [
        np.ascontiguousarray(numbers(data.draw, *shape)) for shape in ((m, n), (m, k), (n, k))
    ]
    needs = tuple(data.draw(st.tuples(*[st.booleans()] * 3)))
    threads.limit(data.draw(st.integers(1, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "SHARED_LAYER", data.draw(st.sampled_from([1, 1 << 17])))
        found = products.layer_gradients(g, x, w if needs[0] else None, needs)
    wide = g.astype(np.float64)
    for got, want, needed in zip(found, (wide @ w, wide.T @ x, wide.sum(0)), needs, strict=True):
        assert (got is not None) == needed
        if needed:
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-4)


@few
@given(st.data())
def test_matrices_of_any_size(data: Any) -> None:
    m, k, n = [data.draw(st.integers(1, 12)) for _ in range(3)]
    a, b = numbers(data.draw, m, k), numbers(data.draw, k, n)
    dtype = data.draw(st.sampled_from(["float32", "float64", "int64"]))
    a, b = [(x * 4).astype(dtype) for x in (a, b)]
    bias = np.arange(n).astype(dtype)
    np.testing.assert_allclose(products.matrices(a, b, bias), a @ b + bias, rtol=1e-4, atol=1e-4)


def test_threads_and_runs_give_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    a, b = [rng.standard_normal((150, 150), dtype=np.float32) for _ in range(2)]
    found = []
    for count in (1, 2, 2):
        threads.limit(count)
        found.append(gemm.product(a, b))
    assert np.array_equal(found[0], found[1]) and np.array_equal(found[1], found[2])


def test_what_is_left_to_numpy() -> None:
    a = np.ones((64, 64), np.float32)
    assert gemm.product(a.astype(np.float64), a) is None
    assert gemm.product(a, a[:, ::2]) is None  # columns with gaps
    assert gemm.product(a[:1], a) is None
    with pytest.raises(ValueError, match="not aligned"):
        products.matrices(a, a[:3])
    with config.using(kernels="off"):
        assert gemm.product(a, a) is None
    odd = np.ones((64, 65), np.float32)[:, 1:]
    odd[3, 5] = np.nan
    assert np.isnan(gemm.product(odd, a)).sum() == 64


# ------------------------------------------------------------------------------ LSTM and GRU
def sequence(kind: str, lengths: list[int], sizes: tuple[int, int], bias: bool, both: bool) -> Any:
    """Results and gradients of a packed batch of sequences."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    layer = getattr(mg.nn, kind)(*sizes, bias=bias, bidirectional=both)
    x = mg.tensor(rng.standard_normal((max(lengths), len(lengths), sizes[0])), dtype=mg.float32)
    x.requires_grad_()
    packed = mg.nn.utils.rnn.pack_padded_sequence(x, lengths)
    y, last = layer(packed)
    states = last if kind == "LSTM" else (last,)
    loss = (y.data * y.data).sum() + sum([(s * 0.5).sum() for s in states])
    loss.backward()
    return [t.detach().numpy() for t in (y.data, *states)] + [
        t.grad.numpy() for t in (x, *layer.parameters())
    ]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(["LSTM", "GRU"]),
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=9),
    sizes=st.sampled_from([(3, 5), (8, 16), (4, 33), (2, 70)]),
    bias=st.booleans(),
    both=st.booleans(),
    count=st.integers(1, 2),
)
def test_sequences_are_the_formula(
    kind: str, lengths: list[int], sizes: tuple[int, int], bias: bool, both: bool, count: int
) -> None:
    lengths = sorted(lengths, reverse=True)
    threads.limit(count)
    got = sequence(kind, lengths, sizes, bias, both)
    with config.using(kernels="off"):
        want = sequence(kind, lengths, sizes, bias, both)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
