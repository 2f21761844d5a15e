"""Products with Jacobians and Hessians, functions of functions, vmap: against PyTorch and against
formulas.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
# torch.func.hessian warns about torch.jit inside torch
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
RNG = np.random.default_rng(0)
X, V, W = RNG.standard_normal(3), RNG.standard_normal(3), RNG.standard_normal((3, 2))


def pair(a):
    return mg.from_numpy(a.copy()), torch.from_numpy(a.copy())


def vector_function(x):
    return (x * x * x).sin()


def scalar_function(x):
    return (x * x * x).sum() + (x[0] * x[1]).exp()


def check(ours, theirs):
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            check(a, b)
    else:
        assert tuple(ours.shape) == tuple(theirs.shape)
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("name", ["vjp", "jvp"])
def test_products_with_the_jacobian(name):
    (x, tx), (v, tv) = pair(X), pair(V)
    ours = getattr(mg.autograd.functional, name)(vector_function, x, v)
    check(ours, getattr(torch.autograd.functional, name)(vector_function, tx, tv))


@pytest.mark.parametrize("name", ["vhp", "hvp"])
def test_products_with_the_hessian(name):
    (x, tx), (v, tv) = pair(X), pair(V)
    ours = getattr(mg.autograd.functional, name)(scalar_function, x, v)
    check(ours, getattr(torch.autograd.functional, name)(scalar_function, tx, tv))


def test_jacobian_and_hessian_of_several_inputs():
    (x, tx), (w, tw) = pair(X), pair(W)
    f = lambda a, b: ((a @ b).tanh(), a.sum() * b)  # noqa: E731
    check(
        mg.autograd.functional.jacobian(f, (x, w)), torch.autograd.functional.jacobian(f, (tx, tw))
    )
    s = lambda a, b: ((a @ b).tanh() ** 2).sum()  # noqa: E731
    check(mg.autograd.functional.hessian(s, (x, w)), torch.autograd.functional.hessian(s, (tx, tw)))


def test_jacobian_can_be_differentiated_again():
    x = mg.from_numpy(X.copy()).requires_grad_()
    j = mg.autograd.functional.jacobian(vector_function, x, create_graph=True)
    j.sum().backward()
    t = torch.from_numpy(X.copy()).requires_grad_()
    torch.autograd.functional.jacobian(vector_function, t, create_graph=True).sum().backward()
    check(x.grad, t.grad)


def test_func_transforms():
    (x, tx), (v, tv) = pair(X), pair(V)
    check(mg.func.grad(scalar_function)(x), torch.func.grad(scalar_function)(tx))
    check(mg.func.hessian(scalar_function)(x), torch.func.hessian(scalar_function)(tx))
    check(mg.func.jacrev(vector_function)(x), torch.func.jacrev(vector_function)(tx))
    check(mg.func.jacfwd(vector_function)(x), torch.func.jacfwd(vector_function)(tx))
    check(mg.func.jvp(vector_function, (x,), (v,)), torch.func.jvp(vector_function, (tx,), (tv,)))
    value, pull = mg.func.vjp(vector_function, x)
    tvalue, tpull = torch.func.vjp(vector_function, tx)
    check(value, tvalue)
    check(pull(v), tpull(tv))


def test_nested_grad_of_a_scalar():
    x = mg.tensor(0.7, dtype=mg.float64)
    third = mg.func.grad(mg.func.grad(mg.func.grad(lambda a: a.sin())))(x)
    assert third.item() == pytest.approx(-np.cos(0.7))


def test_grad_of_a_dict_of_parameters_with_aux():
    p = {"w": mg.from_numpy(W.copy()), "b": mg.zeros(2, dtype=mg.float64)}
    x = mg.from_numpy(X.copy())

    def loss(params):
        y = x @ params["w"] + params["b"]
        return (y * y).sum(), y

    grads, aux = mg.func.grad(loss, has_aux=True)(p)
    np.testing.assert_allclose(grads["b"].numpy(), 2 * (X @ W))
    np.testing.assert_allclose(grads["w"].numpy(), 2 * np.outer(X, X @ W))
    np.testing.assert_allclose(aux.detach().numpy(), X @ W)


def test_vmap_is_a_loop_that_says_so():
    (w, tw), (x, tx) = pair(W), pair(X)
    from minigrad.autograd import func

    func._told = False
    with pytest.warns(UserWarning, match="loop"):
        ours = mg.func.vmap(lambda row, v: row * v.sum(), in_dims=(0, None))(w, x)
    check(ours, torch.func.vmap(lambda row, v: row * v.sum(), in_dims=(0, None))(tw, tx))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # only once
        ours = mg.func.vmap(lambda c: c * 2, in_dims=1, out_dims=1)(w)
    check(ours, torch.func.vmap(lambda c: c * 2, in_dims=1, out_dims=1)(tw))
    with pytest.raises(ValueError, match="sizes"):
        mg.func.vmap(lambda a, b: a + b)(mg.ones(2), mg.ones(3))


def test_per_sample_gradients_by_vmap_of_grad():
    (w, tw), (x, tx) = pair(W), pair(RNG.standard_normal((5, 3)))
    loss = lambda weight, row: ((row @ weight) ** 2).sum()  # noqa: E731
    ours = mg.func.vmap(mg.func.grad(loss), in_dims=(None, 0))(w, x)
    check(ours, torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(tw, tx))


def test_gradcheck_finds_a_wrong_derivative():
    class Wrong(mg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * 2.01 * ctx.saved_tensors[0]

    x = mg.from_numpy(X.copy()).requires_grad_()
    for fast in (False, True):
        with pytest.raises(RuntimeError, match="Jacobian mismatch"):
            mg.autograd.gradcheck(Wrong.apply, (x,), fast_mode=fast)
        assert not mg.autograd.gradcheck(Wrong.apply, (x,), fast_mode=fast, raise_exception=False)
        assert mg.autograd.gradcheck(lambda t: t * t * t, (x,), fast_mode=fast)
        assert mg.autograd.gradgradcheck(lambda t: t * t * t, (x,), fast_mode=fast)


def test_gradgradcheck_finds_a_constant_that_is_not_one():
    x = mg.from_numpy(X.copy()).requires_grad_()

    class Frozen(mg.autograd.Function):  # right once, wrong twice
        @staticmethod
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t * t

        @staticmethod
        def backward(ctx, g):
            return g * 2 * ctx.saved_tensors[0].detach()

    assert mg.autograd.gradcheck(Frozen.apply, (x,))
    with pytest.raises(RuntimeError, match="mismatch"):
        mg.autograd.gradgradcheck(Frozen.apply, (x,))
