"""The kernels of pooling against the formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.kernels.cpu import compiler, pooling, threads
from minigrad.ops import max_pool, mean_pool

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="the kernels are Numba's")


@pytest.fixture(autouse=True)
def small_arrays_too(monkeypatch):
    monkeypatch.setattr(pooling, "SMALL", 1)
    yield
    threads.limit(threads.available())


@st.composite
def windows(draw, dilated=True):
    """(shape, kernel, stride, padding, dilation, out)."""
    n = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * n))
    stride = draw(st.one_of(st.just(kernel), st.tuples(*[st.integers(1, 3)] * n)))
    dilation = draw(st.tuples(*[st.integers(1, 2)] * n)) if dilated else (1,) * n
    padding = tuple(
        draw(st.integers(0, ((k - 1) * d + 1) // 2)) for k, d in zip(kernel, dilation, strict=True)
    )
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 7))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    ceil = draw(st.booleans())
    out = max_pool.pooled_size(size, kernel, stride, padding, dilation, ceil)
    return (
        (draw(st.integers(1, 3)), draw(st.integers(1, 3)), *size),
        kernel,
        stride,
        padding,
        dilation,
        out,
    )


def _values(shape, dtype, special, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, shape).astype(dtype)  # ties
    if special:
        x.flat[rng.integers(0, x.size, 3)] = np.nan
        x.flat[rng.integers(0, x.size, 3)] = -np.inf
    return x


@settings(max_examples=80, deadline=None)
@given(windows(), st.sampled_from([np.float32, np.float64]), st.booleans(), st.integers(0, 99), st.sampled_from([1, 2]))  # fmt: skip  # noqa: E501
def test_max_pooling(how, dtype, special, seed, count):
    threads.limit(count)
    shape, kernel, stride, padding, dilation, out = how
    x = _values(shape, np.dtype(dtype), special, seed)
    options = {
        "kernel": kernel,
        "out": out,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }
    with config.using(kernels="off"):
        expected, which = max_pool.max_windows.primitive.forward(x, **options)
    y, number = pooling.max_windows(x, **options)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(number, which)
    assert number.dtype == np.uint8
    g = np.random.default_rng(seed).standard_normal(y.shape).astype(dtype)
    args = {"which": which, "size": shape[2:], **options}
    with config.using(kernels="off"):
        expected = max_pool.max_windows_vjp(g, **args)
    del args["out"]
    np.testing.assert_allclose(
        pooling.max_windows_gradient(g, **args), expected, rtol=1e-5, atol=1e-5
    )


@settings(max_examples=80, deadline=None)
@given(windows(dilated=False), st.sampled_from([np.float32, np.float64]), st.integers(0, 99), st.sampled_from([1, 2]))  # fmt: skip  # noqa: E501
def test_mean_pooling(how, dtype, seed, count):
    threads.limit(count)
    shape, kernel, stride, padding, _, out = how
    x = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    options = {"kernel": kernel, "stride": stride, "padding": padding, "divisor": 3.0}
    with config.using(kernels="off"):
        expected = mean_pool.sum_windows(x, out=out, **options)
    y = pooling.sum_windows(x, out=out, **options)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    with config.using(kernels="off"):
        expected = mean_pool.spread_windows(y, size=shape[2:], **options)
    found = pooling.spread_windows(y, size=shape[2:], **options)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found, pooling.spread_windows(y, size=shape[2:], **options))


@pytest.mark.parametrize("shape", [(3, 4, 14, 14), (2, 3, 13, 15), (2, 3, 1, 9)], ids=str)
@pytest.mark.parametrize("sizes", [1, (3, 5), (7, 7), (None, 2)], ids=str)
@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pooling(kind, shape, sizes):
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    function = getattr(mg.nn.functional, f"adaptive_{kind}_pool2d")
    results = []
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            t = mg.tensor(x).requires_grad_()
            y = function(t, sizes)
            (y * y).sum().backward()
            results.append((y.detach().numpy(), t.grad.numpy()))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_windows_of_padding_and_minus_infinity_point_into_the_image():
    """As in PyTorch: to the first element inside."""
    torch = pytest.importorskip("torch")
    x = np.full((1, 1, 4, 4), -np.inf, np.float32)
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            _, index = mg.nn.functional.max_pool2d(mg.tensor(x), 3, 2, 1, return_indices=True)
        _, expected = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
        assert index.tolist() == expected.tolist()


def test_what_is_left_to_the_formula():
    x = np.ones((1, 1, 4, 4), np.int64)
    args = TWO, TWO, TWO, (0, 0), (1, 1)
    assert pooling.max_windows(x, *args) is None
    with config.using(kernels="off"):
        assert pooling.max_windows(x.astype(np.float32), *args) is None


TWO = (2, 2)
