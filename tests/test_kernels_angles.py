"""Cosines of rows and their gradients against float64 formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.kernels.cpu import angles, compiler, threads

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")


def exact(g: Any, x1: Any, x2: Any, eps: float) -> list[tuple[Any, float]]:
    """y, x̄₁, x̄₂ by the formula of the docstring, each with the size of the terms it is made of."""
    r1, r2 = [np.linalg.norm(x, axis=-1, keepdims=True) for x in (x1, x2)]
    n1, n2 = np.maximum(r1, eps), np.maximum(r2, eps)
    y = np.sum(x1 * x2, -1, keepdims=True) / (n1 * n2)
    unit1, unit2 = [
        np.divide(x, r, out=np.zeros_like(x), where=r > 0) for x, r in ((x1, r1), (x2, r2))
    ]
    g = g[..., None]
    first, second = g / n1 * (x2 / n2 - y * unit1), g / n2 * (x1 / n1 - y * unit2)
    sizes = [np.abs(v).max() for v in (1.0, g / n1 * x2 / n2, g / n2 * x1 / n1)]
    return list(zip((y[..., 0], first, second), sizes, strict=True))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=3),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from([1e-8, 0.5]),
    st.integers(0, 1000),
    st.sampled_from([1, 1 << 40]),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
def test_any_rows(shape, dtype, eps, seed, parallel, needs):
    rng = np.random.default_rng(seed)
    x1, x2 = [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
    if seed % 3 == 0:
        x1[..., :] = 0 if seed % 2 else 1e-12
    if seed % 5 == 0:  # any strides
        x1, x2 = x1[..., ::-1], np.asfortranarray(x2)
    g = rng.standard_normal(shape[:-1]).astype(dtype)
    before, threads.PARALLEL = threads.PARALLEL, parallel
    try:
        y, r1, r2 = angles.cosine(x1, x2, eps)
        bars = angles.cosine_back(g, x1, x2, y, r1, r2, eps, needs)
    finally:
        threads.PARALLEL = before
    wanted = exact(*[v.astype(np.float64) for v in (g, x1, x2)], eps)
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    for ours, (theirs, size), need in zip([y, *bars], wanted, (True, *needs), strict=True):
        assert (ours is not None) == need
        if need:
            assert ours.dtype == dtype and ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_squares_do_not_overflow(kernels: str) -> None:
    x = mg.tensor([[1e30, 1e30], [1e-30, 0.0]])
    with mg.config.using(kernels=kernels):
        y = mg.cosine_similarity(x, x, -1, eps=1e-38)
    np.testing.assert_allclose(y.numpy(), 1, rtol=1e-6)
