"""The kernels of resizing, padding and pixel shuffles against the formulas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import config
from minigrad.kernels.cpu import compiler, planes, threads
from minigrad.ops import pixels
from minigrad.ops.pad import pad_constant
from minigrad.ops.taps import Copies, Resize, apply_all, entries

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="the kernels are Numba's")

RESIZES = ("nearest", "nearest-exact", "linear", "cubic", "triangle", "keys", "area")


@pytest.fixture(autouse=True)
def all_threads_afterwards():
    yield
    threads.limit(threads.available())


def _both(function):
    found = function()
    with config.using(kernels="off"):
        return found, function()


@st.composite
def maps(draw):
    n = draw(st.integers(1, 9))
    kind = draw(st.sampled_from([*RESIZES, "reflect", "replicate", "circular", None]))
    if kind is None:
        return n, None
    if kind in RESIZES:
        return n, Resize(kind, n, draw(st.integers(1, 20)))
    before, after = draw(st.integers(-1, n - 1)), draw(st.integers(-1, n - 1))
    if n + min(before, 0) + min(after, 0) < 1 or n + before + after < 1:
        before = after = 0
    if kind == "circular":
        left = n + min(before, 0) + min(after, 0)
        before, after = min(before, left), min(after, left)
    return n, Copies(kind, n, before, after)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(maps(), min_size=1, max_size=3), st.sampled_from([np.float32, np.float64]),
    st.booleans(), st.integers(0, 99), st.sampled_from([1, 2]),
)  # fmt: skip
def test_maps_of_the_last_dimensions(chosen, dtype, transpose, seed, count):
    threads.limit(count)
    sizes = [n if how is None or not transpose else how.out for n, how in chosen]
    x = np.random.default_rng(seed).standard_normal((2, 3, *sizes)).astype(dtype)
    hows = tuple([how for _, how in chosen])
    found, expected = _both(lambda: apply_all(x, hows, transpose))
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_copies_are_copies_and_their_adjoint_adds(mode):
    """Against NumPy's own padding; the adjoint by the transposed matrix."""
    x = np.random.default_rng(0).standard_normal((2, 7, 9)).astype(np.float32)
    x[0, 0, 0], x[1, 3, 4] = np.inf, np.nan
    hows = (Copies(mode, 7, 2, 3), Copies(mode, 9, 1, 4))
    name = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    expected = np.pad(x, ((0, 0), (2, 3), (1, 4)), name)
    np.testing.assert_array_equal(apply_all(x, hows), expected)
    g = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
    matrices = []
    for how in hows:
        e = entries(how, "float64")
        matrix = np.zeros((e.rows, e.columns))
        np.add.at(matrix, (e.row, e.column), e.weight)
        matrices.append(matrix)
    adjoint = np.einsum("ia,jb,nij->nab", *matrices, g)
    np.testing.assert_allclose(apply_all(g, hows, transpose=True), adjoint, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 4), st.tuples(*[st.integers(-4, 9)] * 4), st.integers(0, 9))
def test_frames(shape, sides, seed):
    left, right, top, bottom = sides
    for n, a, b in ((shape[3], left, right), (shape[2], top, bottom)):
        if n + min(a, 0) + min(b, 0) < 1 or n + a + b < 1:
            return
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    forward = pad_constant.primitive.forward
    found, expected = _both(lambda: forward(x, sides=sides, value=2.5))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("r", [1, 2, 3, 4])
def test_pixels(r):
    x = np.random.default_rng(0).standard_normal((2, 5 * r * r, 7, 17)).astype(np.float32)
    y, expected = _both(lambda: pixels.shuffle_pixels.primitive.forward(x, r=r))
    np.testing.assert_array_equal(y, expected)
    for back in _both(lambda: pixels.unshuffle_pixels.primitive.forward(y, r=r)):
        np.testing.assert_array_equal(back, x)


def test_the_same_bits_whatever_the_number_of_threads():
    x = np.random.default_rng(0).standard_normal((8, 16, 33, 47)).astype(np.float32)
    hows = (Resize("linear", 33, 80), Resize("cubic", 47, 20))
    threads.limit(1)
    one = apply_all(x, hows)
    threads.limit(2)
    np.testing.assert_array_equal(apply_all(x, hows), one)


def test_what_is_left_to_the_formula():
    assert not planes.usable(np.zeros((2, 2), np.int64))
    assert not planes.usable(np.zeros((0, 2), np.float32))
    whole = np.arange(6).reshape(1, 2, 3)
    found = apply_all(whole, (Copies("reflect", 3, 1, 1),))
    np.testing.assert_array_equal(found, np.pad(whole, ((0, 0), (0, 0), (1, 1)), "reflect"))
