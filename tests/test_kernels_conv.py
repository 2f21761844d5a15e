"""The kernels of convolution against the formulas, which run in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.kernels.cpu import compiler, convolution, threads, winograd
from minigrad.ops import correlation

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="the kernels are Numba's")

DIRECT = 3e-6
"""Error relative to the largest result: sums of up to a few thousand products in float32."""
WINOGRAD = 3e-5
"""The same for F(4x4, 3x3): about 1e-6 times the root of the number of channels, at most."""


@pytest.fixture(autouse=True)
def all_threads_afterwards():
    yield
    threads.limit(threads.available())


@st.composite
def layers(draw):
    """(input's shape, weight's shape, stride, padding, dilation, groups) of a small convolution."""
    n = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 5]))
    channels = groups * draw(st.sampled_from([1, 2, 3, 7]))
    outputs = groups * draw(st.sampled_from([1, 2, 9, 17]))
    each = st.tuples(*[st.integers(1, 3)] * n)
    kernel = draw(st.tuples(*[st.integers(1, 4)] * n))
    stride, dilation = draw(each), draw(each)
    padding = draw(st.tuples(*[st.integers(0, 3)] * n))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 9))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    x = (draw(st.sampled_from([1, 2, 5])), channels, *size)
    return x, (outputs, channels // groups, *kernel), stride, padding, dilation, groups


def _values(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _out(x, w, stride, padding, dilation):
    sizes = zip(x[2:], w[2:], stride, padding, dilation, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes)


def _close(found, expected, tolerance):
    assert found is not None
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    scale = abs(expected).max(initial=0) + 1e-30
    assert abs(found - expected).max(initial=0) <= tolerance * scale


def _all_three(x, w, stride, padding, dilation, groups, tolerance=DIRECT, seed=0):
    out = _out(x, w, stride, padding, dilation)
    g = _values((x[0], w[0], *out), seed + 2)
    x, w, b = _values(x, seed), _values(w, seed + 1), _values((w[0], *[1] * len(out)), seed + 3)
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    with config.using(kernels="off"):
        wide = [a.astype(np.float64) for a in (x, w, b, g)]
        y = correlation.conv(*wide[:3], **how)
        gx = correlation.conv_input(wide[3], wide[1], size=x.shape[2:], **how)
        gw = correlation.conv_weight(wide[0], wide[3], kernel=w.shape[2:], **how)
    args = stride, padding, dilation, groups
    _close(convolution.forward(x, w, b, out, *args), y, tolerance)
    _close(convolution.input_gradient(g, w, None, x.shape[2:], *args), gx, tolerance)
    _close(convolution.weight_gradient(x, g, w.shape[2:], *args), gw, DIRECT)


@settings(max_examples=60, deadline=None)
@given(layers(), st.sampled_from([1, 2]))
def test_equal_to_the_formula(layer, count):
    threads.limit(count)
    _all_three(*layer)


ONE, TWO = (1, 1), (2, 2)
LARGER = [  # enough work for two threads, several boxes, several images in a buffer
    ((9, 3, 33, 31), (20, 3, 5, 5), ONE, TWO, ONE, 1),
    ((16, 40, 7, 7), (72, 40, 3, 3), ONE, ONE, ONE, 1),
    ((3, 64, 40, 40), (12, 64, 1, 1), ONE, (0, 0), ONE, 1),
    ((4, 16, 41, 40), (24, 16, 3, 3), TWO, ONE, ONE, 1),
    ((2, 24, 30, 30), (24, 1, 3, 3), TWO, ONE, ONE, 24),
    ((2, 24, 60, 60), (24, 1, 3, 3), ONE, ONE, ONE, 24),
    ((1, 2, 300_000), (3, 2, 9), (4,), (4,), (1,), 1),
    ((1, 8, 12, 40, 40), (9, 8, 3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 1),
    ((1, 30, 100, 100), (30, 30, 2, 2), ONE, ONE, ONE, 1),
]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("layer", LARGER, ids=str)
def test_larger_layers(layer, count):
    threads.limit(count)
    _all_three(*layer)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4), st.sampled_from([32, 35, 64]), st.sampled_from([32, 33, 65]),
    st.tuples(st.integers(12, 40), st.integers(12, 40)), st.tuples(*[st.integers(0, 2)] * 2),
    st.integers(0, 99), st.sampled_from([1, 2]),
)  # fmt: skip
def test_winograd_is_as_exact_as_stated(n, channels, outputs, out, padding, seed, count):
    threads.limit(count)
    size = tuple(o + 2 - 2 * p for o, p in zip(out, padding, strict=True))
    found = winograd.tiling(n, channels, outputs, size, padding, out, False, count)
    assert found is not None
    layer = (n, channels, *size), (outputs, channels, 3, 3), ONE, padding, ONE, 1
    _all_three(*layer, tolerance=WINOGRAD, seed=seed)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_winograd_leaves_what_is_not_finite_to_the_direct_sum(value):
    x, w = _values((1, 32, 16, 16)), _values((32, 32, 3, 3), 1)
    x[0, 3, 8, 8] = value
    args = (1, 1), (1, 1), (1, 1), 1
    y = convolution.forward(x, w, None, (16, 16), *args)
    with config.using(kernels="off"):
        expected = correlation.conv(x, w, stride=ONE, padding=ONE, dilation=ONE, groups=1)
    np.testing.assert_array_equal(np.isfinite(y), np.isfinite(expected))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert np.isfinite(y).sum() >= y.size - 9 * 32


def test_arrays_that_do_not_lie_in_one_piece():
    x, w = (
        _values((4, 9, 8, 6)).transpose(1, 2, 3, 0)[::-1],
        _values((5, 3, 3, 8)).transpose(0, 3, 1, 2),
    )
    args = ONE, ONE, ONE, 1
    expected = convolution.forward(x.copy(), w.copy(), None, (6, 4), *args)
    np.testing.assert_array_equal(convolution.forward(x, w, None, (6, 4), *args), expected)
    g = np.broadcast_to(np.float32(1), expected.shape)
    gw = convolution.weight_gradient(x, g, (3, 3), *args)
    np.testing.assert_array_equal(gw, convolution.weight_gradient(x, g.copy(), (3, 3), *args))


@pytest.mark.parametrize("count", [1, 2])
def test_the_same_bits_every_time(count):
    threads.limit(count)
    x, w, g = _values((7, 33, 20, 20)), _values((40, 33, 3, 3)), _values((7, 40, 20, 20))
    for call in (
        lambda: convolution.forward(x, w, None, (20, 20), ONE, ONE, ONE, 1),
        lambda: convolution.input_gradient(g, w, None, (20, 20), ONE, ONE, ONE, 1),
        lambda: convolution.weight_gradient(x, g, (3, 3), ONE, ONE, ONE, 1),
        lambda: convolution.channel_sums(g),
    ):
        np.testing.assert_array_equal(call(), call())


def test_what_is_left_to_the_formula():
    x, w = _values((1, 1, 4, 4)), _values((1, 1, 3, 3))
    args = (2, 2), ONE, (0, 0), ONE, 1
    assert convolution.forward(x.astype(np.float64), w.astype(np.float64), None, *args) is None
    assert convolution.forward(x[:0], w, None, *args) is None
    with config.using(kernels="off"):
        assert convolution.forward(x, w, None, *args) is None


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_through_the_public_functions(transposed):
    """Bias included, with and without kernels."""
    name = "conv_transpose2d" if transposed else "conv2d"
    function = getattr(mg.nn.functional, name)
    w = (6, 5, 3, 3) if transposed else (5, 6, 3, 3)
    arrays = [_values((8, 6, 17, 15)), _values(w, 1), _values((5,), 2)]
    results = []
    for kernels in ("auto", "off"):
        with config.using(kernels=kernels):
            tensors = [mg.tensor(a).requires_grad_() for a in arrays]
            y = function(*tensors, stride=2, padding=1)
            (y * y).sum().backward()
            results.append([y.detach().numpy(), *[t.grad.numpy() for t in tensors]])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_channel_sums():
    g = _values((5, 7, 40, 41))
    np.testing.assert_allclose(
        convolution.channel_sums(g), g.astype(np.float64).sum((0, 2, 3)), rtol=1e-5, atol=1e-3
    )
    small = g[:1, :, :2, :2]
    np.testing.assert_allclose(convolution.channel_sums(small), small.sum((0, 2, 3)), rtol=1e-5)
