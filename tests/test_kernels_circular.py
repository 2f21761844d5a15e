"""sin and cos of float32 numbers of any size against float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels.cpu import circular, compiler, threads

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")
SIDES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 524288, 524289, -524288.5, 3.4e38]


def exact(x: Any, quarter: int) -> Any:
    with np.errstate(invalid="ignore"):
        z = x.astype(np.float64)
        return [np.sin(z), np.cos(z), -np.sin(z)][quarter]


def ulps(ours: Any, theirs: Any) -> float:
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    known = ~np.isnan(theirs)
    return np.max(np.abs(ours - theirs)[known] / np.spacing(np.abs(theirs[known]).astype("f")))


@pytest.mark.parametrize("quarter", [0, 1, 2])
def test_every_kind_of_float_is_exact_to_two_ulp(quarter):
    rng = np.random.default_rng(quarter)
    anything = rng.integers(0, 1 << 32, 1 << 17, np.uint64).astype(np.uint32).view(np.float32)
    near_zeros = (rng.integers(0, 400_000, 1 << 15) * (np.pi / 2)).astype(np.float32)
    x = np.concatenate([anything, near_zeros, np.array(SIDES, np.float32)])
    assert ulps(circular.wave(x, quarter), exact(x, quarter)) < 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32), min_size=1, max_size=30),
    st.integers(circular.SMALL, 3 * threads.PARALLEL),
    st.integers(0, 2),
    st.booleans(),
)
def test_any_numbers_sizes_and_factors(numbers, n, quarter, scaled):
    x = np.resize(np.array(numbers, np.float32), n)
    g = np.linspace(-2, 2, n, dtype=np.float32) if scaled else None
    y = circular.wave(x, quarter, g)
    expected = exact(x, quarter)
    if g is not None:
        with np.errstate(over="ignore", under="ignore"):
            expected = expected.astype(np.float32).astype(np.float64) * g
    np.testing.assert_allclose(y, expected, rtol=4e-7, atol=1e-44)


def test_negative_zero_stays_and_other_arrays_are_for_numpy():
    assert np.signbit(circular.wave(np.full(5000, -0.0, np.float32), 0)).all()
    assert circular.wave(np.zeros(5000), 0) is None
    assert circular.wave(np.zeros((5000, 2), np.float32)[:, 0], 0) is None
    assert circular.wave(np.zeros(10, np.float32), 0) is None


@pytest.mark.parametrize("f", ["sin", "cos"])
@pytest.mark.parametrize("size", [10, 5000])
def test_gradients_at_any_size(f, size):
    x = mg.linspace(-50, 50, size, requires_grad=True)
    getattr(mg, f)(x).backward(mg.full((size,), 2.0))
    slope = np.cos(x.detach().numpy()) if f == "sin" else -np.sin(x.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), 2 * slope, rtol=1e-5, atol=1e-6)
