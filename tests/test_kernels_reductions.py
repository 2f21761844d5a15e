"""Sums, extrema and moments: compiled kernels against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import config
from minigrad.core.chores import sum_to_size
from minigrad.kernels.cpu import compiler, moments, reductions, threads

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")
np.seterr(all="ignore")


@pytest.fixture(autouse=True)
def every_size(monkeypatch: Any) -> None:
    """Kernels at the sizes of tests, threads and pieces from the first elements on."""
    monkeypatch.setattr(reductions, "SMALL", 1)
    monkeypatch.setattr(reductions, "PIECE", 1 << 11)
    monkeypatch.setattr(threads, "PARALLEL", 1)


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, tuple[int, ...], bool]:
    """An array with any strides, axes, and whether they are kept."""
    shape = draw(st.sampled_from(
        [(7, 300), (300, 7), (700, 33), (1, 5000), (5000, 1), (9, 30, 40), (3, 5, 17, 19), (9000,)]
    ))  # fmt: skip
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    x = rng.standard_normal(shape).astype(dtype) + dtype(draw(st.sampled_from([0, 10])))
    special = draw(st.sampled_from([None, None, None, np.nan, -np.nan, np.inf, -np.inf, -0.0]))
    if special is not None:
        x.reshape(-1)[:: draw(st.integers(1, 400))] = special
    kind = draw(st.sampled_from(["plain", "plain", "transposed", "sliced"]))
    if kind == "transposed":
        x = np.asfortranarray(x)
    elif kind == "sliced":
        x = np.repeat(x, 2, 0)[::2]
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    return x, tuple(sorted(axes)), draw(st.booleans())


def pair(f: Any, x: np.ndarray, count: int) -> tuple[list[Any], list[Any]]:
    """Result and gradient with kernels (twice the same), and without."""
    found = []
    for kernels in ("auto", "auto", "off"):
        threads.limit(count)
        try:
            with config.using(kernels=kernels):
                a = mg.from_numpy(x).detach().requires_grad_()
                y = f(a)
                g = np.random.default_rng(1).standard_normal(y.shape).astype(x.dtype)
                y.backward(mg.from_numpy(g.reshape(y.shape)))
                assert a.grad is not None
                found.append([y.detach().numpy(), a.grad.numpy()])
        finally:
            threads.limit(threads.available())
    for first, second in zip(found[0], found[1], strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == x.dtype
    return found[0], found[2]


@settings(max_examples=120, deadline=None)
@given(cases(), st.sampled_from(["sum", "mean", "var", "std", "amax", "amin"]), st.integers(1, 2))
def test_kernel_is_its_formula(case, name, count):
    x, axes, keepdim = case
    ours, formula = pair(lambda a: getattr(a, name)(dim=axes, keepdim=keepdim), x, count)
    exact = name in ("amax", "amin")
    rtol = 0 if exact else 1e-3 if x.dtype == np.float32 else 1e-10
    for a, b in zip(ours, formula, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=max(rtol, 1e-6), atol=2 * rtol)


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from(["max", "min"]), st.integers(1, 2))
def test_places(case, name, count):
    x, axes, keepdim = case
    dim = axes[0]
    ours, formula = pair(lambda a: getattr(a, name)(dim, keepdim).values, x, count)
    for a, b in zip(ours, formula, strict=True):
        np.testing.assert_array_equal(a, b)
    place = getattr(mg.from_numpy(x), f"arg{name}")(dim).numpy()
    np.testing.assert_array_equal(place, getattr(x, f"arg{name}")(dim))
    ours, formula = pair(lambda a: getattr(a, name)(), x, count)
    for a, b in zip(ours, formula, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(cases(), st.integers(0, 4))
def test_sum_to_size(case, lead):
    x, axes, _ = case
    size = tuple(1 if d in axes else n for d, n in enumerate(x.shape))[min(lead, x.ndim - 1) :]
    if x.shape == size:
        return
    ours = sum_to_size(x, size=size)
    with config.using(kernels="off"):
        formula = sum_to_size(x, size=size)
    assert ours.shape == size and ours.dtype == x.dtype
    rtol = 1e-3 if x.dtype == np.float32 else 1e-10
    np.testing.assert_allclose(ours, formula, rtol=rtol, atol=10 * rtol)


@pytest.mark.parametrize("shape, axis", [((1 << 20,), 0), ((40, 30000), 1), ((30000, 40), 0)])
def test_sums_are_exact_to_the_last_digits(shape, axis):
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    exact = x.sum(axis, dtype=np.float64)
    y = reductions.sum(x, (axis,), False)
    np.testing.assert_allclose(y, exact, rtol=1.5e-7)
    np.testing.assert_allclose(
        moments.variance(x, (axis,), False, shape[axis]),
        x.var(axis, dtype=np.float64),
        rtol=1e-6,
    )


def test_results_do_not_depend_on_threads():
    x = np.random.default_rng(0).standard_normal((300, 500)).astype(np.float32)
    found = []
    for count in (1, 2):
        threads.limit(count)
        found.append([reductions.sum(x, axes, False) for axes in ((0,), (1,), (0, 1))])
    threads.limit(threads.available())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.integers(0, 999), st.integers(1, 9), st.integers(1, 40), st.booleans(), st.integers(0, 2),
    st.sampled_from([np.float32, np.float64]), st.booleans(),
)  # fmt: skip
def test_small_variances_are_their_formula(
    seed: int, n: int, m: int, keep: bool, correction: int, dtype: Any, turned: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reductions, "SMALL", 1 << 14)
        x = np.random.default_rng(seed).standard_normal((n, m)).astype(dtype) + dtype(100)
        x = np.asfortranarray(x) if turned else x
        for axis in (0, 1):
            y = moments.variance(x, (axis,), keep, max(x.shape[axis] - correction, 0))
            if y is None:  # columns, and lines of one, are left to NumPy
                assert axis == (1 if turned else 0) or x.shape[axis] == 1
                continue
            wide = x.astype(np.float64)
            right = np.square(wide - wide.mean(axis, keepdims=True)).sum(axis, keepdims=keep)
            assert y.dtype == dtype and y.shape == right.shape and y.flags.c_contiguous
            if x.shape[axis] > correction:
                right /= x.shape[axis] - correction
                np.testing.assert_allclose(y, right, rtol=1e-4, atol=1e-5)
