"""Reductions, sorting and scans beyond the cases: accuracy, ties, third derivatives, memory."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad


def test_third_derivative_of_the_nuclear_norm_is_refused() -> None:
    x = minigrad.tensor(np.random.default_rng(0).standard_normal((3, 2)), requires_grad=True)
    (grad,) = minigrad.autograd.grad(minigrad.norm(x, "nuc"), x, create_graph=True)
    (second,) = minigrad.autograd.grad(grad.square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="derivative for 'polar_slope: x'"):
        minigrad.autograd.grad(second.square().sum(), x)


def test_third_derivative_of_cumprod_at_zeros() -> None:
    """d³(x₁x₂x₃)/dx₁dx₂dx₃ = 1, whatever the factors are."""
    x = minigrad.zeros(3, dtype=minigrad.float64, requires_grad=True)
    for last in (minigrad.cumprod(x, 0)[2], minigrad.prod(x)):
        y = last
        for k in range(3):
            y = minigrad.autograd.grad(y, x, create_graph=True)[0][k]
        assert float(y) == 1.0


def test_variance_of_large_numbers() -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(10_000) + 10_000).astype(np.float32)
    assert float(minigrad.var(minigrad.tensor(x))) == pytest.approx(
        x.astype(np.float64).var(ddof=1), rel=1e-4
    )


def test_long_sums() -> None:
    x = minigrad.full((1_000_000,), 0.1)
    assert float(x.sum()) == pytest.approx(100_000, rel=1e-6)
    assert float(x.cumsum(0)[-1]) == pytest.approx(100_000, rel=1e-6)
    half = minigrad.full((10_000,), 0.1, dtype=minigrad.float16)
    assert float(half.sum()) == pytest.approx(1000, rel=1e-3)


def test_gradient_of_ties() -> None:
    """Of all elements ties share, along a dimension the first one takes all."""
    x = minigrad.tensor([1.0, 2.0, 2.0], requires_grad=True)
    (shared,) = minigrad.autograd.grad(x.max(), x)
    (first,) = minigrad.autograd.grad(x.max(0).values, x)
    assert shared.tolist() == [0.0, 0.5, 0.5] and first.tolist() == [0.0, 1.0, 0.0]


def test_sort_is_stable_both_ways() -> None:
    x = minigrad.tensor(np.random.default_rng(0).integers(0, 3, 1000))
    for descending in (False, True):
        values, indices = x.sort(descending=descending)
        same = values[1:] == values[:-1]
        assert bool((indices[1:] > indices[:-1])[same].all())


def test_topk_of_every_size() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (3, 40)).astype(np.float32)
    for largest in (True, False):
        ordered = np.sort(x, 1)[:, ::-1] if largest else np.sort(x, 1)
        for k in range(41):
            values, indices = minigrad.tensor(x).topk(k, 1, largest)
            np.testing.assert_array_equal(values.numpy(), ordered[:, :k])
            np.testing.assert_array_equal(np.take_along_axis(x, indices.numpy(), 1), values.numpy())


def test_recurrence_both_ways_agree() -> None:
    """Step by step or by doubling: the same numbers."""
    from minigrad.ops import products

    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 7, 64, 100):
        a, b = rng.standard_normal((2, n, 5))
        steps = products._loop(a, b, 0, n)
        np.testing.assert_allclose(products._double(a, b, 0, n), steps, rtol=1e-9, atol=1e-9)
        found = products.recurrence(a, b, dim=0, reverse=False)
        np.testing.assert_allclose(found, steps, rtol=1e-9, atol=1e-9)
        turned = products.recurrence(a[::-1], b[::-1], dim=0, reverse=True)
        np.testing.assert_allclose(turned[::-1], steps, rtol=1e-9, atol=1e-9)
