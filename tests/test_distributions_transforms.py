"""Transforms and constraints against PyTorch: values, inverses, log-determinants, shapes, reprs."""
# ruff: noqa: E501

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad
import minigrad.distributions as D

torch = pytest.importorskip("torch")
T = torch.distributions
A = np.array
REAL = A([[-2.0, -0.3, 0.0], [0.4, 1.5, 3.0]])
MATRIX = A([[0.5, 0.1, -0.2], [0.3, -0.4, 0.6], [-0.1, 0.2, 0.7]])

# (name, constructor, values of the domain)
TRANSFORMS: list[tuple[str, Callable[[Any, Any], Any], np.ndarray]] = [
    ("exp", lambda lib, d: d.ExpTransform(), REAL),
    ("power", lambda lib, d: d.PowerTransform(lib.tensor(A([0.5, 2.0, -1.5]))), np.exp(REAL)),
    ("sigmoid", lambda lib, d: d.SigmoidTransform(), REAL),
    ("tanh", lambda lib, d: d.TanhTransform(), REAL),
    ("softplus", lambda lib, d: d.SoftplusTransform(), REAL),
    ("affine", lambda lib, d: d.AffineTransform(1.0, -2.0), REAL),
    ("affine1", lambda lib, d: d.AffineTransform(lib.tensor(A([1.0, 2.0, 3.0])),
                                                 lib.tensor(A([1.0, -2.0, 0.5])), event_dim=1), REAL),
    ("softmax", lambda lib, d: d.SoftmaxTransform(), REAL),
    ("stick", lambda lib, d: d.StickBreakingTransform(), REAL),
    ("cholesky", lambda lib, d: d.LowerCholeskyTransform(), MATRIX),
    ("definite", lambda lib, d: d.PositiveDefiniteTransform(), MATRIX),
    ("corr", lambda lib, d: d.CorrCholeskyTransform(), REAL),
    ("abs", lambda lib, d: d.AbsTransform(), REAL),
    ("cdf", lambda lib, d: d.CumulativeDistributionTransform(d.Normal(0.5, 2.0)), REAL),
    ("compose", lambda lib, d: d.ComposeTransform([d.AffineTransform(0.5, 2.0), d.TanhTransform()]), REAL),
    ("compose2", lambda lib, d: d.ComposeTransform([d.AffineTransform(0.5, 2.0), d.StickBreakingTransform()]), REAL),
    ("independent", lambda lib, d: d.IndependentTransform(d.ExpTransform(), 1), REAL),
    ("reshape", lambda lib, d: d.ReshapeTransform((2, 3), (3, 2)), REAL),
    ("cat", lambda lib, d: d.CatTransform([d.ExpTransform(), d.TanhTransform()], dim=-1, lengths=[2, 1]), REAL),
    ("stack", lambda lib, d: d.StackTransform([d.ExpTransform(), d.TanhTransform()], dim=0), REAL),
    ("identity", lambda lib, d: d.identity_transform, REAL),
    ("inverse", lambda lib, d: d.ExpTransform().inv, np.exp(REAL)),
]  # fmt: skip
each = pytest.mark.parametrize(
    ("name", "make", "value"), TRANSFORMS, ids=[name for name, _, _ in TRANSFORMS]
)


def ask(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (NotImplementedError, ValueError) as error:
        return type(error)


def same(mine: Any, theirs: Any) -> None:
    if isinstance(theirs, type):
        assert mine is theirs
        return
    assert tuple(mine.shape) == tuple(theirs.shape)
    np.testing.assert_allclose(
        mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-10
    )


@each
def test_values_inverses_and_log_determinants(name: str, make: Any, value: np.ndarray) -> None:
    results = []
    for lib, mod in ((minigrad, D), (torch, T)):
        t, x = make(lib, mod), lib.tensor(value, requires_grad=True)
        y = t(x)
        ladj = ask(lambda t=t, x=x, y=y: t.log_abs_det_jacobian(x, y))
        back = ask(lambda t=t, y=y: t.inv(y))
        total = y.pow(2).sum() + (0 if isinstance(ladj, type) else ladj.sum())
        grad = lib.autograd.grad(total, x)[0]
        shapes = [tuple(t.forward_shape(x.shape)), tuple(t.inverse_shape(y.shape))]
        kinds = [repr(t), t.bijective, ask(lambda t=t: t.event_dim), t.domain.event_dim,
                 t.codomain.event_dim, bool(t.codomain.check(y).all())]  # fmt: skip
        results.append((y, ladj, back, grad, shapes, kinds))
    (y, ladj, back, grad, *plain), (y2, ladj2, back2, grad2, *plain2) = results
    for mine, theirs in ((y, y2), (ladj, ladj2), (back, back2), (grad, grad2)):
        same(mine, theirs)
    assert plain == plain2


@each
def test_log_determinant_is_that_of_the_jacobian(name: str, make: Any, value: np.ndarray) -> None:
    t = make(minigrad, D)
    if t.domain.event_dim != 0 or t.codomain.event_dim != 0:
        pytest.skip("elementwise transforms only")
    x = minigrad.tensor(value, requires_grad=True)
    y = t(x)
    ladj = ask(lambda: t.log_abs_det_jacobian(x, y))
    if isinstance(ladj, type):
        pytest.skip("not one-to-one")
    (slope,) = minigrad.autograd.grad(y.sum(), x)
    np.testing.assert_allclose(
        ladj.detach().numpy(), np.log(np.abs(slope.numpy())), rtol=1e-7, atol=1e-9
    )


def test_cache_inverse_equality_and_pickle() -> None:
    t = D.SigmoidTransform(cache_size=1)
    x = minigrad.randn(3)
    y = t(x)
    assert t.inv(y) is x and t(x) is y
    assert t.inv.inv is t and t.with_cache(0)._cache_size == 0
    assert D.ExpTransform() == D.ExpTransform() and D.ExpTransform() != D.TanhTransform()
    assert D.AffineTransform(0, 1) == D.AffineTransform(0, 1)
    assert D.AffineTransform(0, 1) != D.AffineTransform(0, 2)
    again = pickle.loads(pickle.dumps(D.ExpTransform()))
    assert again == D.ExpTransform()
    with pytest.raises(ValueError):
        D.ExpTransform(cache_size=2)
    with pytest.raises(ValueError):
        D.ReshapeTransform((2, 3), (4,))


CONSTRAINTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("real", lambda c: c.real), ("real_vector", lambda c: c.real_vector),
    ("positive", lambda c: c.positive), ("nonnegative", lambda c: c.nonnegative),
    ("unit", lambda c: c.unit_interval), ("boolean", lambda c: c.boolean),
    ("count", lambda c: c.nonnegative_integer), ("positive_integer", lambda c: c.positive_integer),
    ("integers", lambda c: c.integer_interval(0, 2)), ("interval", lambda c: c.interval(-1.0, 2.0)),
    ("half open", lambda c: c.half_open_interval(0.0, 1.0)), ("greater", lambda c: c.greater_than(1)),
    ("greater_eq", lambda c: c.greater_than_eq(1)), ("less", lambda c: c.less_than(0.5)),
    ("simplex", lambda c: c.simplex), ("one_hot", lambda c: c.one_hot),
    ("multinomial", lambda c: c.multinomial(3)), ("lower", lambda c: c.lower_triangular),
    ("lower_cholesky", lambda c: c.lower_cholesky), ("corr", lambda c: c.corr_cholesky),
    ("square", lambda c: c.square), ("symmetric", lambda c: c.symmetric),
    ("semidefinite", lambda c: c.positive_semidefinite), ("definite", lambda c: c.positive_definite),
    ("independent", lambda c: c.independent(c.positive, 1)),
    ("cat", lambda c: c.cat([c.positive, c.real], dim=-1, lengths=[1, 2])),
    ("stack", lambda c: c.stack([c.positive, c.real, c.boolean], dim=-1)),
]  # fmt: skip
VALUES = [
    np.eye(3), MATRIX, MATRIX @ MATRIX.T, np.tril(MATRIX) + np.eye(3), A([[0.2, 0.3, 0.5]] * 3),
    A([[0.0, 1.0, 2.0]] * 3), -np.eye(3), A([[1.0, 0, 0], [0.6, 0.8, 0], [0, 0.6, 0.8]]),
    np.full((3, 3), np.nan),
]  # fmt: skip


@pytest.mark.parametrize("make", [m for _, m in CONSTRAINTS], ids=[n for n, _ in CONSTRAINTS])
def test_constraints(make: Any) -> None:
    mine, theirs = make(D.constraints), make(T.constraints)
    assert repr(mine) == repr(theirs)
    assert mine.event_dim == theirs.event_dim and mine.is_discrete == theirs.is_discrete
    for value in VALUES:
        p, q = ask(lambda v=value: mine.check(minigrad.tensor(v))), None
        q = ask(lambda v=value: theirs.check(torch.tensor(v)))
        np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("make", [m for _, m in CONSTRAINTS], ids=[n for n, _ in CONSTRAINTS])
def test_registries(make: Any, registry: str) -> None:
    mine = ask(lambda: getattr(D, registry)(make(D.constraints)))
    theirs = ask(lambda: getattr(T, registry)(make(T.constraints)))
    if isinstance(theirs, type):
        assert mine is theirs
        return
    assert type(mine).__name__ == type(theirs).__name__
    if "Cat" in type(mine).__name__ or "Stack" in type(mine).__name__:
        return
    value = MATRIX if mine.domain.event_dim == 2 else REAL
    same(mine(minigrad.tensor(value)), theirs(torch.tensor(value)))


def test_dependent_constraints() -> None:
    c = D.constraints
    assert c.is_dependent(c.dependent) and not c.is_dependent(c.real)
    assert c.is_dependent(D.Uniform.support) and not c.is_dependent(D.Uniform(0.0, 1.0).support)
    assert c.dependent(event_dim=1).event_dim == 1
    with pytest.raises(NotImplementedError):
        _ = c.dependent.event_dim
    with pytest.raises(ValueError):
        c.dependent.check(minigrad.ones(2))
    with pytest.raises(TypeError):
        D.biject_to.register(3, None or (lambda c: c))


def test_utilities() -> None:
    from minigrad.distributions import utils

    a, b = utils.broadcast_all(minigrad.ones(3, dtype=minigrad.float64), 2)
    assert b.shape == (3,) and b.dtype is minigrad.float64
    mat = minigrad.tensor(MATRIX)
    for diag in (-1, 0, 1):
        vec = utils.tril_matrix_to_vec(mat, diag)
        theirs = T.utils.tril_matrix_to_vec(torch.tensor(MATRIX), diag)
        same(vec, theirs)
        same(utils.vec_to_tril_matrix(vec, diag), T.utils.vec_to_tril_matrix(theirs, diag))
    p = minigrad.tensor(A([0.0, 0.3, 1.0]))
    q = torch.tensor(A([0.0, 0.3, 1.0]))
    for binary in (True, False):
        same(utils.probs_to_logits(p, binary), T.utils.probs_to_logits(q, binary))
        same(utils.logits_to_probs(p, binary), T.utils.logits_to_probs(q, binary))
