"""Contractions of two tensors and products with a vector: against NumPy, to any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg

some = settings(max_examples=60, deadline=None, derandomize=True)
SIZES = dict(zip("abcdefgh", (2, 3, 1, 4, 2, 3, 1, 2), strict=True))


@st.composite
def equations(draw: Any) -> str:
    """Two terms and a result, letters in any order; some only in one of them."""
    groups = [draw(st.sets(st.sampled_from("abcdefgh"), max_size=3)) for _ in range(4)]
    batch, summed, rows, columns = [sorted(g) for g in groups]
    left = draw(st.permutations(sorted({*batch, *summed, *rows})))
    right = draw(st.permutations(sorted({*batch, *summed, *columns})))
    result = draw(st.permutations(sorted(({*batch, *rows, *columns}) - {*summed} | {*batch})))
    return f"{''.join(left)},{''.join(right)}->{''.join(result)}"


@some
@given(equations(), st.sampled_from(["f", "d", "D"]), st.integers(0, 999))
def test_a_pair_is_its_sum(equation: str, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    left, right, result = equation.replace("->", ",").split(",")

    def draw(letters: str) -> Any:
        shape = [SIZES[c] for c in letters]
        x = rng.standard_normal(shape)
        return np.asarray(x + 1j * rng.standard_normal(shape) if dtype == "D" else x, dtype)

    a, b, g = draw(left), draw(right), draw(result)
    x, y = mg.tensor(a, requires_grad=True), mg.tensor(b, requires_grad=True)
    z = mg.einsum(equation, x, y)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == "f" else {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(z.detach().numpy(), np.einsum(equation, a, b), **tolerance)
    z.backward(mg.tensor(g))
    for own, other, letters, name, grad in (
        (a, b, left, right, x.grad), (b, a, right, left, y.grad)
    ):  # fmt: skip
        lone = [c for c in letters if c not in name + result]
        ones = np.ones([SIZES[c] for c in lone], dtype)
        expected = np.einsum(f"{result},{name},{''.join(lone)}->{letters}", g, np.conj(other), ones)
        assert grad.shape == own.shape
        np.testing.assert_allclose(grad.numpy(), expected, **tolerance)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_their_derivatives_have_derivatives(dtype: str) -> None:
    def leaf(*shape: int) -> Any:
        return mg.randn(*shape, dtype=mg.__dict__[dtype]).requires_grad_()

    check = mg.autograd.gradgradcheck
    assert check(
        lambda a, b: mg.einsum("bihd,bjhd->bhij", a, b), (leaf(2, 3, 2, 2), leaf(2, 2, 2, 2))
    )
    assert check(lambda a, b: mg.einsum("ab,bc->abc", a, b), (leaf(2, 3), leaf(3, 2)))
    assert check(lambda a, x: a @ x, (leaf(3, 2), leaf(2)))
    assert check(lambda a, x: a.mT @ x, (leaf(3, 2), leaf(3)))


@some
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 999), st.sampled_from("fd"))
def test_matrix_times_vector(n: int, m: int, seed: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    a, v, g = [rng.standard_normal(shape).astype(dtype) for shape in ((n, m), m, n)]
    for turned in (False, True):
        x = mg.tensor(a.T.copy() if turned else a, requires_grad=True)
        w = mg.tensor(v, requires_grad=True)
        y = (x.T if turned else x) @ w
        y.backward(mg.tensor(g))
        np.testing.assert_allclose(y.detach().numpy(), a @ v, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(w.grad.numpy(), a.T @ g, rtol=1e-4, atol=1e-4)
        grad = x.grad.numpy().T if turned else x.grad.numpy()
        np.testing.assert_allclose(grad, np.outer(g, v), rtol=1e-4, atol=1e-4)
