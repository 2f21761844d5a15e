"""Linear algebra where a table of samples is not enough: what is determined up to a sign or phase,
what holds for Hermitian matrices only, and tuples of results. Values, first and second derivatives
are PyTorch's, in double precision, real and complex.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def matrix(shape: tuple[int, ...], complex_: bool, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return a + 1j * rng.standard_normal(shape) if complex_ else a


def positive(m: Any, a: Any) -> Any:
    return a @ a.mH + m.eye(a.shape[-1], dtype=a.dtype)


def sizes(*xs: Any) -> list[Any]:
    """The moduli: they do not depend on signs or phases."""
    return [abs(x) for x in xs]


Function = Callable[[Any, Any], Any]

SQUARE: dict[str, Function] = {
    "cholesky": lambda m, a: m.linalg.cholesky(positive(m, a)),
    "cholesky upper": lambda m, a: m.linalg.cholesky(positive(m, a), upper=True),
    "cholesky of a triangle": lambda m, a: m.linalg.cholesky(a.tril() + 9 * m.eye(3)),
    "cholesky_ex": lambda m, a: m.linalg.cholesky_ex(positive(m, a))[0],
    "cholesky_inverse": lambda m, a: m.cholesky_inverse(m.linalg.cholesky(positive(m, a))),
    "cholesky_solve": lambda m, a: m.cholesky_solve(a, m.linalg.cholesky(positive(m, a))),
    "eigh": lambda m, a: sizes(*m.linalg.eigh(a + a.mH)),
    "eigh upper": lambda m, a: sizes(*m.linalg.eigh(a + a.mH, "U")),
    "eigh of a triangle": lambda m, a: sizes(*m.linalg.eigh(a)),
    "eigenvectors alone": lambda m, a: abs(m.linalg.eigh(a + a.mH)[1]),
    "eigvalsh": lambda m, a: m.linalg.eigvalsh(a + a.mH),
    "eig": lambda m, a: abs(m.linalg.eig(a)[1]) ** 2 @ abs(m.linalg.eig(a)[0]).unsqueeze(-1),
    "eigvals": lambda m, a: (m.linalg.eigvals(a) ** 3).sum(-1).real,
    "pinv hermitian": lambda m, a: m.linalg.pinv(a + a.mH, hermitian=True),
    "cond nuc": lambda m, a: m.linalg.cond(a, "nuc"),
    "lu_factor and lu_solve": lambda m, a: m.linalg.lu_solve(*m.linalg.lu_factor(a), a.mH),
    "logdet": lambda m, a: m.logdet(positive(m, a)),
    "slogdet": lambda m, a: m.linalg.slogdet(a),
    "matrix_exp": lambda m, a: m.linalg.matrix_exp(a * 3),
    "fractions": lambda m, a: m.linalg.solve(a, m.linalg.inv(a) @ a),
}
ANY_SHAPE: dict[str, Function] = {
    "svd": lambda m, a: sizes(*m.linalg.svd(a, full_matrices=False)),
    "svd U": lambda m, a: abs(m.linalg.svd(a, full_matrices=False)[0]),
    "svd V": lambda m, a: abs(m.linalg.svd(a, full_matrices=False)[2]),
    "svd UV": lambda m, a: (lambda u, s, vh: u @ vh)(*m.linalg.svd(a, full_matrices=False)),
    "svd full": lambda m, a: abs(m.linalg.svd(a)[0][..., : min(a.shape[-2:])]),
    "svd older": lambda m, a: sizes(*m.svd(a)),
    "svdvals": lambda m, a: m.linalg.svdvals(a),
    "qr": lambda m, a: m.linalg.qr(a),
    "lu": lambda m, a: m.linalg.lu(a)[1:],
    "lu_unpack": lambda m, a: m.lu_unpack(*m.linalg.lu_factor(a))[1:],
    "pinv": lambda m, a: m.linalg.pinv(a),
    "pinv of low rank": lambda m, a: m.linalg.pinv(a[..., :1] @ a[..., :1, :]),
    "nuclear norm": lambda m, a: m.linalg.matrix_norm(a, "nuc"),
    "spectral norm": lambda m, a: m.linalg.matrix_norm(a, 2),
    "lstsq": lambda m, a: m.linalg.lstsq(a, a[..., :2] * 2)[0],
}
CALLS = [
    *[(name, f, (3, 3)) for name, f in SQUARE.items()],
    *[(name, f, (2, 3, 3)) for name, f in SQUARE.items()],
    *[(name, f, s) for name, f in ANY_SHAPE.items() for s in ((4, 3), (3, 4), (2, 3, 3))],
]


def tensors(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def numbers(x: Any) -> np.ndarray:
    return x.detach().resolve_conj().numpy()


def loss(m: Any, outputs: list[Any], seed: int) -> Any:
    """A random linear function of the outputs, real."""
    rng, total = np.random.default_rng(seed), 0
    for y in outputs:
        w = rng.standard_normal(tuple(y.shape))
        if y.is_complex():
            w = w + 1j * rng.standard_normal(tuple(y.shape))
            total = total + (m.tensor(w) * y).real.sum()
        else:
            total = total + (m.tensor(w) * y).sum()
    return total


def derivatives(m: Any, f: Function, a: np.ndarray) -> list[np.ndarray]:
    x = m.tensor(a, requires_grad=True)
    ys = tensors(f(m, x))
    values = [numbers(y) for y in ys]
    (first,) = m.autograd.grad(loss(m, [y for y in ys if y.requires_grad], 1), x, create_graph=True)
    (second,) = m.autograd.grad(loss(m, [first], 2), x)
    return [*values, numbers(first), numbers(second)]


@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize(
    ("f", "shape"),
    [c[1:] for c in CALLS],
    ids=[f"{n}-{'x'.join(map(str, s))}" for n, _, s in CALLS],
)
def test_values_and_two_derivatives(f: Function, shape: tuple[int, ...], complex_: bool) -> None:
    a = matrix(shape, complex_)
    try:
        expected = derivatives(torch, f, a)
    except RuntimeError as error:  # PyTorch changes what it saved (cond of complex matrices)
        assert "modified by an inplace operation" in str(error)
        pytest.skip("PyTorch cannot differentiate this")
    for ours, theirs in zip(derivatives(minigrad, f, a), expected, strict=True):
        assert ours.dtype == theirs.dtype
        scale = np.abs(theirs).max(initial=1)
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-8 * scale)


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eig", "svd", "cond nuc", "lu", "qr"])
def test_derivatives_against_differences(name: str) -> None:
    f = (SQUARE | ANY_SHAPE)[name]
    x = minigrad.tensor(matrix((3, 3), False), requires_grad=True)

    def run(a: Any) -> Any:
        return tuple(tensors(f(minigrad, a)))

    assert minigrad.autograd.gradcheck(run, (x,))
    assert minigrad.autograd.gradgradcheck(run, (x,))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_determinant_of_singular_matrices(rank: int) -> None:
    """Two derivatives exist for every rank: those of a polynomial."""
    a = matrix((3, rank), False) @ matrix((rank, 3), False, 1)
    x = minigrad.tensor(a, requires_grad=True)
    assert minigrad.autograd.gradcheck(minigrad.linalg.det, (x,), atol=1e-6)
    assert minigrad.autograd.gradgradcheck(minigrad.linalg.det, (x,), atol=1e-6)


def test_determinant_has_a_third_derivative() -> None:
    def third(m: Any) -> np.ndarray:
        g = x = m.tensor(matrix((3, 3), False), requires_grad=True)
        g = m.linalg.det(x)
        for seed in (1, 2, 3):
            (g,) = m.autograd.grad(loss(m, [g], seed), x, create_graph=True)
        return numbers(g)

    np.testing.assert_allclose(third(minigrad), third(torch), rtol=1e-9)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("complex_", [False, True])
def test_ldl(hermitian: bool, complex_: bool) -> None:
    a = matrix((4, 6, 6), complex_)
    turned = np.swapaxes(a, -1, -2)
    a = a + (turned.conj() if hermitian else turned)
    a[:, 0, 0] = 0  # asks for blocks of two
    b = matrix((4, 6, 2), complex_, 1)
    results = []
    for m in (minigrad, torch):
        ld, pivots = m.linalg.ldl_factor(m.tensor(a), hermitian=hermitian)
        x = m.linalg.ldl_solve(ld, pivots, m.tensor(b), hermitian=hermitian)
        results.append([numbers(v) for v in (ld, pivots, x)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(a @ results[0][2], b, atol=1e-9)


@pytest.mark.parametrize("name", ["svd_lowrank", "pca_lowrank"])
@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (2, 7, 6)])
def test_low_rank(name: str, shape: tuple[int, ...]) -> None:
    """A matrix of rank two is found again, up to rounding."""
    low = matrix((*shape[:-1], 2), False) @ matrix((*shape[:-2], 2, shape[-1]), False, 1)
    u, s, v = getattr(minigrad, name)(minigrad.tensor(low), q=4)
    wanted = low - low.mean(-2, keepdims=True) if name.startswith("pca") else low
    np.testing.assert_allclose(numbers((u * s.unsqueeze(-2)) @ v.mH), wanted, atol=1e-9)
    assert u.shape == (*shape[:-1], 4) and v.shape == (*shape[:-2], shape[-1], 4)


def test_low_rank_of_a_difference() -> None:
    a, mean = matrix((6, 4), False), matrix((1, 4), False, 1)
    u, s, v = minigrad.svd_lowrank(minigrad.tensor(a), q=4, M=minigrad.tensor(mean))
    np.testing.assert_allclose(numbers((u * s) @ v.mT), a - mean, atol=1e-9)


NAMED = (
    "linalg.svd linalg.eig linalg.eigh linalg.qr linalg.slogdet linalg.inv_ex linalg.cholesky_ex"
    " linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.ldl_factor linalg.ldl_factor_ex svd qr"
    " slogdet geqrf"
).split()


@pytest.mark.filterwarnings("ignore:torch.qr is deprecated")
@pytest.mark.parametrize("name", NAMED)
def test_names_of_results(name: str) -> None:
    results = []
    for m in (minigrad, torch):
        function: Any = m
        for part in name.split("."):
            function = getattr(function, part)
        results.append(function(m.eye(3)))
    ours, theirs = results
    assert type(ours).__name__ == type(theirs).__name__
    for field, value in zip(ours._fields, ours, strict=True):
        other = getattr(theirs, field)
        assert getattr(ours, field) is value
        assert tuple(value.shape) == tuple(other.shape)
        assert str(value.dtype).split(".")[1] == str(other.dtype).split(".")[1]


OUT: dict[str, tuple[int, Function]] = {
    "inv": (1, lambda m, out: m.linalg.inv(m.eye(2) * 2, out=out[0])),
    "solve": (1, lambda m, out: m.linalg.solve(m.eye(2) * 2, m.ones(2), out=out[0])),
    "svd": (3, lambda m, out: m.linalg.svd(m.eye(2) * 2, out=out)),
    "qr": (2, lambda m, out: m.linalg.qr(m.eye(2) * 2, out=out)),
    "eigh": (2, lambda m, out: m.linalg.eigh(m.eye(2) * 2, out=out)),
    "lu": (3, lambda m, out: m.linalg.lu(m.eye(2) * 2, out=out)),
    "slogdet": (2, lambda m, out: m.linalg.slogdet(m.eye(2) * 2, out=out)),
    "cond": (1, lambda m, out: m.linalg.cond(m.eye(2) * 2, out=out[0])),
    "matrix_norm": (1, lambda m, out: m.linalg.matrix_norm(m.eye(2) * 2, out=out[0])),
}


@pytest.mark.parametrize("name", OUT)
def test_out(name: str) -> None:
    count, call = OUT[name]
    out = tuple([minigrad.empty(0) for _ in range(count)])
    result = tensors(call(minigrad, out))
    expected = tensors(call(torch, tuple([torch.empty(0) for _ in range(count)])))
    for given, got, want in zip(out, result, expected, strict=True):
        assert got is given
        np.testing.assert_allclose(np.abs(numbers(given)), np.abs(numbers(want)), atol=1e-6)
