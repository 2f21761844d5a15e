"""Parametrized parameters: what is computed, what is learned, and the way back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.utils import parametrize
from minigrad.nn.utils.parametrizations import orthogonal

torch = pytest.importorskip("torch")
import torch.nn.utils.parametrizations  # noqa: E402, F811
import torch.nn.utils.parametrize  # noqa: E402, F811


class Symmetric(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x: Any) -> Any:
        return x.triu()


class Exp(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.exp()

    def right_inverse(self, y: Any) -> Any:
        return y.log()


class Sum(nn.Module):
    def forward(self, a: Any, b: Any) -> Any:
        return a + b

    def right_inverse(self, y: Any) -> Any:
        return y * 0.25, y * 0.75


class Half(nn.Module):
    def forward(self, x: Any) -> Any:
        return x[:1]


def square() -> Any:
    mg.manual_seed(0)
    layer = nn.Linear(3, 3)
    nn.init.uniform_(layer.weight, 0.5, 2.0)
    return layer


def test_register_and_remove() -> None:
    layer = square()
    parameter, kind = layer.weight, type(layer)
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert mg.equal(layer.weight, layer.weight.mT)
    assert parametrize.is_parametrized(layer)
    assert parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias")
    assert isinstance(layer, kind)
    assert type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is kind
    assert layer.parametrizations.weight.original is parameter  # optimizers hold it
    assert sorted(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    layer(mg.randn(2, 3)).sum().backward()
    assert parameter.grad is not None
    value = layer.weight.detach()
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is kind
    assert layer.weight is parameter
    assert mg.equal(layer.weight, value)
    assert not parametrize.is_parametrized(layer)
    assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_remove_and_leave_what_is_learned() -> None:
    layer = square()
    original = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Exp())
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    np.testing.assert_allclose(layer.weight.detach().numpy(), original.log().numpy(), rtol=1e-6)


def test_assignment_goes_through_the_inverse() -> None:
    layer = square()
    parametrize.register_parametrization(layer, "weight", Exp())
    new = mg.rand(3, 3) + 1
    layer.weight = new
    np.testing.assert_allclose(layer.weight.detach().numpy(), new.numpy(), rtol=1e-6)
    parametrize.register_parametrization(layer, "bias", Half(), unsafe=True)
    with pytest.raises(RuntimeError, match="right_inverse"):
        layer.bias = mg.ones(3)


def test_several_learned_tensors() -> None:
    layer = square()
    before = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Sum())
    names = [name for name, _ in layer.named_parameters()]
    assert names == [
        "bias", "parametrizations.weight.original0", "parametrizations.weight.original1",
    ]  # fmt: skip
    np.testing.assert_allclose(layer.weight.detach().numpy(), before.numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="leave_parametrized"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    layer.weight = before * 2
    parametrize.remove_parametrizations(layer, "weight")
    np.testing.assert_allclose(layer.weight.detach().numpy(), 2 * before.numpy(), rtol=1e-6)
    assert isinstance(layer.weight, nn.Parameter)


def test_one_after_the_other() -> None:
    layer = square()
    x = layer.weight.detach().clone()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.register_parametrization(layer, "weight", Exp())
    want = (x.triu() + x.triu(1).mT).exp()
    np.testing.assert_allclose(layer.weight.detach().numpy(), want.numpy(), rtol=1e-6)
    assert len(layer.parametrizations.weight) == 2


def test_buffers() -> None:
    bn = nn.BatchNorm1d(3)
    parametrize.register_parametrization(bn, "running_var", Exp())
    assert "parametrizations.running_var.original" in bn.state_dict()
    np.testing.assert_allclose(bn.running_var.numpy(), np.ones(3))
    parametrize.remove_parametrizations(bn, "running_var")
    assert "running_var" in dict(bn.named_buffers())


def test_cached() -> None:
    layer = square()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert layer.weight is not layer.weight
    with parametrize.cached():
        kept = layer.weight
        with parametrize.cached():
            assert layer.weight is kept
        assert layer.weight is kept
    assert layer.weight is not kept


def test_copies_and_pickles() -> None:
    layer = square()
    parametrize.register_parametrization(layer, "weight", Symmetric())
    twin = copy.deepcopy(layer)
    assert mg.equal(twin.weight, layer.weight)
    with mg.no_grad():
        twin.parametrizations.weight.original.add_(1)
    assert not mg.equal(twin.weight, layer.weight)
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(layer)
    parametrize.remove_parametrizations(twin, "weight")
    assert parametrize.is_parametrized(layer)


def test_transfer() -> None:
    layer, other = square(), nn.Linear(3, 3)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    parametrize.transfer_parametrizations_and_params(layer, other)
    assert mg.equal(other.weight, layer.weight)


@pytest.mark.parametrize("lib", ["minigrad", "torch"])
def test_errors(lib: str) -> None:
    m: Any = mg if lib == "minigrad" else torch
    p = m.nn.utils.parametrize

    class Part(m.nn.Module):
        def forward(self, x: Any) -> Any:
            return x[:1]

    class Wide(m.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.double()

    class Number(m.nn.Module):
        def forward(self, x: Any) -> Any:
            return 1.0

    layer = m.nn.Linear(3, 2)
    for wrong in (Part(), Wide(), Number()):
        with pytest.raises(ValueError):
            p.register_parametrization(layer, "weight", wrong)
        assert not p.is_parametrized(layer)
    with pytest.raises(ValueError):
        p.register_parametrization(layer, "other", Part())
    with pytest.raises(ValueError):
        p.remove_parametrizations(layer, "weight")
    with pytest.raises(ValueError):
        p.ParametrizationList([], layer.weight)
    assert sorted(layer.state_dict()) == ["bias", "weight"]


# ------------------------------------------------------------------------------ orthogonal
MAPS = ["matrix_exp", "cayley", "householder"]


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal(shape: tuple[int, int], kind: str, trivial: bool) -> None:
    mg.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0]).double()
    orthogonal(layer, orthogonal_map=kind, use_trivialization=trivial)
    optimizer = mg.optim.SGD([layer.parametrizations.weight.original], 0.05)
    target = mg.randn(*shape, dtype=mg.float64)
    losses = []
    for _ in range(5):
        w = layer.weight
        gram = (w @ w.mT if shape[0] < shape[1] else w.mT @ w).detach().numpy()
        np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-10)
        loss = (w - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal_agrees_with_torch(shape: tuple[int, int], kind: str, trivial: bool) -> None:
    torch.manual_seed(0)
    theirs = torch.nn.Linear(shape[1], shape[0]).double()
    torch.nn.utils.parametrizations.orthogonal(
        theirs, orthogonal_map=kind, use_trivialization=trivial
    )
    learned = theirs.parametrizations.weight.original
    with torch.no_grad():  # away from the start, where much is 0; keep the signs on the diagonal
        if kind == "householder":
            learned += 0.3 * torch.randn(shape, dtype=torch.float64).tril(-1)
        else:
            learned += 0.3 * torch.randn(shape, dtype=torch.float64)
    ours = nn.Linear(shape[1], shape[0]).double()
    orthogonal(ours, orthogonal_map=kind, use_trivialization=trivial)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(
        {k: mg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    )
    weight = np.random.default_rng(0).standard_normal(shape)
    a, b = ours.weight, theirs.weight
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-10)
    (a * mg.tensor(weight)).sum().backward()
    (b * torch.tensor(weight)).sum().backward()
    mine = ours.parametrizations.weight.original.grad.numpy()
    np.testing.assert_allclose(mine, learned.grad.numpy(), atol=1e-9)


def test_orthogonal_matrices_can_be_assigned() -> None:
    mg.manual_seed(0)
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    for kind in MAPS:
        layer = orthogonal(nn.Linear(5, 5).double(), orthogonal_map=kind)
        layer.weight = mg.tensor(q)
        np.testing.assert_allclose(layer.weight.detach().numpy(), q, atol=1e-10)
        with pytest.raises(ValueError, match="shape"):
            layer.weight = mg.ones(4, 5)
    free = orthogonal(
        nn.Linear(5, 5).double(), orthogonal_map="householder", use_trivialization=False
    )
    free.weight = mg.tensor(q)
    np.testing.assert_allclose(free.weight.detach().numpy(), q, atol=1e-10)
    free = orthogonal(nn.Linear(5, 5), orthogonal_map="cayley", use_trivialization=False)
    with pytest.raises(NotImplementedError):
        free.weight = mg.ones(5, 5)


def test_orthogonal_has_second_derivatives() -> None:
    mg.manual_seed(0)
    for kind in MAPS:
        layer = orthogonal(nn.Linear(3, 3).double(), orthogonal_map=kind, use_trivialization=False)
        maker = layer.parametrizations.weight[0]
        x = mg.randn(3, 3, dtype=mg.float64).tril(-1).requires_grad_()
        function = lambda t, f=maker: f(t.tril(-1) + mg.eye(3, dtype=t.dtype))  # noqa: E731
        assert mg.autograd.gradcheck(function, (x,))
        assert mg.autograd.gradgradcheck(function, (x,))
