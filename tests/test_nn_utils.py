"""nn.utils against PyTorch's: weight and spectral norm, pruning, fusion, functional calls."""

from __future__ import annotations

import copy
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
import torch.nn.utils.prune  # noqa: E402, F811

RNG = np.random.default_rng(0)


def data(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def load(ours: Any, theirs: Any) -> None:
    """Give our module the state of theirs; the names must be the same."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    state = {k: mg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)


def close(a: Any, b: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=tolerance)


def compare(ours: Any, theirs: Any, *shape: int) -> None:
    """Outputs, gradients of the input and of all parameters, and buffers afterwards."""
    x = data(*shape)
    a, b = mg.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
    y, t = ours(a), theirs(b)
    close(y, t)
    weight = data(*t.shape)
    y.backward(mg.from_numpy(weight))
    t.backward(torch.from_numpy(weight))
    close(a.grad, b.grad)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        if p.grad is not None:
            close(p.grad, q.grad, 1e-4)
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        close(p, q)


def pair(make: Any) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        ours, theirs = make(mg), make(torch)
    load(ours, theirs)
    return ours, theirs


LAYERS = {
    "linear": (lambda m: m.nn.Linear(5, 4), (3, 5)),
    "conv": (lambda m: m.nn.Conv2d(3, 4, 3), (2, 3, 6, 6)),
    "transposed": (lambda m: m.nn.ConvTranspose2d(3, 4, 3), (2, 3, 4, 4)),
}


# ------------------------------------------------------------------------------ weight norm
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("new", [False, True])
def test_weight_norm(layer: str, dim: int | None, new: bool) -> None:
    build, shape = LAYERS[layer]

    def make(m: Any) -> Any:
        utils = m.nn.utils.parametrizations if new else m.nn.utils
        return utils.weight_norm(build(m), dim=dim)

    ours, theirs = pair(make)
    compare(ours, theirs, *shape)


def test_weight_norm_loads_the_older_form() -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        old = mg.nn.utils.weight_norm(mg.nn.Linear(3, 2))
    new = mg.nn.utils.parametrizations.weight_norm(mg.nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = mg.randn(4, 3)
    close(new(x), old(x))


def test_remove_weight_norm() -> None:
    with pytest.warns(FutureWarning):
        layer = mg.nn.utils.weight_norm(mg.nn.Linear(3, 2))
    x = mg.randn(4, 3)
    before = layer(x)
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match="two weight_norm"):
        mg.nn.utils.weight_norm(layer)
    mg.nn.utils.remove_weight_norm(layer)
    assert sorted(n for n, _ in layer.named_parameters()) == ["bias", "weight"]
    close(layer(x), before)
    with pytest.raises(ValueError, match="not found"):
        mg.nn.utils.remove_weight_norm(layer)


# ------------------------------------------------------------------------------ spectral norm
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("new", [False, True])
def test_spectral_norm(layer: str, new: bool) -> None:
    build, shape = LAYERS[layer]

    def make(m: Any) -> Any:
        utils = m.nn.utils.parametrizations if new else m.nn.utils
        return utils.spectral_norm(build(m), n_power_iterations=2)

    ours, theirs = pair(make)
    compare(ours, theirs, *shape)
    ours.eval()
    theirs.eval()
    compare(ours, theirs, *shape)


def test_spectral_norm_finds_the_largest_singular_value() -> None:
    layer = mg.nn.utils.parametrizations.spectral_norm(mg.nn.Linear(20, 30))
    for _ in range(60):
        weight = layer.weight
    assert np.linalg.norm(weight.detach().numpy(), 2) == pytest.approx(1, abs=1e-3)
    vector = mg.nn.utils.parametrizations.spectral_norm(mg.nn.LayerNorm(7))
    assert vector.weight.norm().item() == pytest.approx(1, abs=1e-6)


def test_spectral_norm_twice_before_backward() -> None:
    layer = mg.nn.utils.spectral_norm(mg.nn.Linear(3, 2))
    (layer(mg.ones(1, 3)) - layer(mg.zeros(1, 3))).sum().backward()
    assert layer.weight_orig.grad is not None
    x = mg.randn(2, 3)
    layer.eval()
    before = layer(x)
    mg.nn.utils.remove_spectral_norm(layer)
    close(layer(x), before)
    assert list(layer.state_dict()) == ["bias", "weight"]
    assert not list(layer.buffers())


ERRORS = [
    lambda m: m.nn.utils.spectral_norm(m.nn.Linear(3, 2), n_power_iterations=0),
    lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(3, 2), n_power_iterations=0),
    lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(3, 2), dim=2),
    lambda m: m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(3, 2), "other"),
    lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.Linear(3, 2), "bias"),
    lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.Linear(3, 2), "other"),
    lambda m: m.nn.utils.parametrizations.orthogonal(m.nn.Linear(3, 2), orthogonal_map="qr"),
    lambda m: m.nn.utils.spectral_norm(m.nn.utils.spectral_norm(m.nn.Linear(3, 2))),
    lambda m: m.nn.utils.remove_spectral_norm(m.nn.Linear(3, 2)),
    lambda m: m.nn.utils.prune.remove(m.nn.Linear(3, 2), "weight"),
    lambda m: m.nn.utils.prune.l1_unstructured(m.nn.Linear(3, 2), "weight", 7),
    lambda m: m.nn.utils.prune.l1_unstructured(m.nn.Linear(3, 2), "weight", 1.5),
    lambda m: m.nn.utils.prune.l1_unstructured(m.nn.Linear(3, 2), "weight", -1),
    lambda m: m.nn.utils.prune.l1_unstructured(m.nn.Linear(3, 2), "weight", "all"),
    lambda m: m.nn.utils.prune.ln_structured(m.nn.Linear(3, 2), "bias", 1, 2, 0),
    lambda m: m.nn.utils.prune.ln_structured(m.nn.Linear(3, 2), "weight", 1, 2, 2),
    lambda m: m.nn.utils.prune.custom_from_mask(m.nn.Linear(3, 2), "weight", m.ones(3)),
    lambda m: m.nn.utils.prune.global_unstructured(1, m.nn.utils.prune.L1Unstructured, amount=1),
    lambda m: m.nn.utils.skip_init(int),
    lambda m: m.nn.utils.skip_init(m.nn.ReLU),
    lambda m: m.nn.utils.vector_to_parameters([1.0], []),
    lambda m: m.func.functional_call(m.nn.Linear(3, 2), 1, m.ones(1, 3)),
    lambda m: m.func.functional_call(m.nn.Linear(3, 2), {"weight": 1}, m.ones(1, 3)),
    lambda m: m.func.functional_call(m.nn.Linear(3, 2), {}, m.ones(1, 3), strict=True),
    lambda m: m.func.functional_call(m.nn.Linear(3, 2), [{"a": m.ones(1)}] * 2, m.ones(1, 3)),
    lambda m: m.func.stack_module_state([]),
    lambda m: m.func.stack_module_state([m.nn.Linear(2, 2), m.nn.ReLU()]),
    lambda m: m.func.stack_module_state([m.nn.Linear(2, 2), m.nn.Linear(2, 2).eval()]),
    lambda m: m.nn.utils.fuse_conv_bn_eval(m.nn.Conv2d(1, 1, 1), m.nn.BatchNorm2d(1)),
    lambda m: m.nn.utils.fuse_linear_bn_eval(m.nn.Linear(3, 2).eval(), m.nn.BatchNorm1d(3).eval()),
]


@pytest.mark.parametrize("call", ERRORS)
def test_errors_are_those_of_torch(call: Any) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011
        call(torch)
    with pytest.raises(theirs.type):
        call(mg)


# ------------------------------------------------------------------------------ pruning
def prune_many(m: Any) -> Any:
    prune, layer = m.nn.utils.prune, m.nn.Linear(6, 5)
    prune.l1_unstructured(layer, "weight", 0.2)
    prune.ln_structured(layer, "weight", amount=2, n=2, dim=0)
    return prune.identity(layer, "bias")


PRUNED = {
    "l1": lambda m, layer: m.nn.utils.prune.l1_unstructured(layer, "weight", 0.3),
    "l1 count": lambda m, layer: m.nn.utils.prune.l1_unstructured(layer, "bias", 2),
    "l1 none": lambda m, layer: m.nn.utils.prune.l1_unstructured(layer, "bias", 0),
    "ln": lambda m, layer: m.nn.utils.prune.ln_structured(layer, "weight", 0.4, 2, 0),
    "ln last": lambda m, layer: m.nn.utils.prune.ln_structured(layer, "weight", 2, 1, -1),
    "identity": lambda m, layer: m.nn.utils.prune.identity(layer, "weight"),
    "mask": lambda m, layer: m.nn.utils.prune.custom_from_mask(
        layer, "bias", m.tensor([1, 0, 1, 0, 1])
    ),
    "twice": lambda m, layer: m.nn.utils.prune.ln_structured(
        m.nn.utils.prune.l1_unstructured(layer, "weight", 0.2), "weight", 2, 2, 0
    ),
    "thrice": lambda m, layer: m.nn.utils.prune.l1_unstructured(
        m.nn.utils.prune.ln_structured(
            m.nn.utils.prune.l1_unstructured(layer, "weight", 0.2), "weight", 2, 2, 1
        ),
        "weight",
        0.5,
    ),
    "global": lambda m, layer: m.nn.utils.prune.global_unstructured(
        [(layer, "weight"), (layer, "bias")], m.nn.utils.prune.L1Unstructured, amount=0.5
    ),
}


@pytest.mark.parametrize("how", PRUNED)
def test_pruning(how: str) -> None:
    ours, theirs = mg.nn.Linear(6, 5), torch.nn.Linear(6, 5)
    load(ours, theirs)
    PRUNED[how](mg, ours)
    PRUNED[how](torch, theirs)
    assert mg.nn.utils.prune.is_pruned(ours)
    assert sorted(ours.state_dict()) == sorted(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        close(ours.state_dict()[name], value)
    for name in ("weight", "bias"):
        close(getattr(ours, name), getattr(theirs, name))
    x = data(3, 6)
    close(ours(mg.from_numpy(x)), theirs(torch.from_numpy(x)))
    ours(mg.from_numpy(x)).sum().backward()
    theirs(torch.from_numpy(x)).sum().backward()
    for name, p in ours.named_parameters():
        close(p.grad, dict(theirs.named_parameters())[name].grad)
    for name in ("weight", "bias"):
        if name + "_orig" in dict(ours.named_parameters()):
            value = getattr(ours, name).detach().numpy().copy()
            mg.nn.utils.prune.remove(ours, name)
            np.testing.assert_array_equal(getattr(ours, name).detach().numpy(), value)
    assert not mg.nn.utils.prune.is_pruned(ours)
    assert sorted(ours.state_dict()) == ["bias", "weight"]


def test_random_pruning_takes_as_many_as_it_is_told() -> None:
    prune, layer = mg.nn.utils.prune, mg.nn.Linear(10, 8)
    prune.random_unstructured(layer, "weight", 0.25)
    assert (layer.weight_mask == 0).sum().item() == 20
    other = prune.random_structured(mg.nn.Linear(10, 8), "weight", 3, dim=1)
    columns = other.weight_mask.sum(0)
    assert sorted(columns.tolist()) == [0.0] * 3 + [8.0] * 7


def test_a_failed_pruning_changes_nothing() -> None:
    layer = mg.nn.Linear(3, 2)
    keys = list(layer.state_dict())
    with pytest.raises(ValueError, match="smaller"):
        mg.nn.utils.prune.l1_unstructured(layer, "weight", 7)
    assert list(layer.state_dict()) == keys
    mg.nn.utils.prune.identity(layer, "weight")
    with pytest.raises(AssertionError):
        mg.nn.utils.prune.custom_from_mask(layer, "weight", mg.ones(3))
    mg.nn.utils.prune.remove(layer, "weight")


# ------------------------------------------------------------------------------ fusion
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_fusion(kind: str, bias: bool, affine: bool) -> None:
    nn = mg.nn
    layer, bn, x = {
        "linear": lambda: (nn.Linear(5, 4, bias), nn.BatchNorm1d(4, affine=affine), mg.randn(3, 5)),
        "conv": lambda: (
            nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine), mg.randn(2, 3, 6, 6),
        ),
        "transposed": lambda: (
            nn.ConvTranspose2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine),
            mg.randn(2, 3, 4, 4),
        ),
    }[kind]()  # fmt: skip
    bn.running_mean.normal_()
    bn.running_var.uniform_(0.5, 2)
    if affine:
        nn.init.normal_(bn.weight)
        nn.init.normal_(bn.bias)
    layer.eval()
    bn.eval()
    if kind == "linear":
        fused = nn.utils.fuse_linear_bn_eval(layer, bn)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, bn, transpose=kind == "transposed")
    close(fused(x), bn(layer(x)))
    assert isinstance(fused.weight, nn.Parameter) and fused is not layer


# ------------------------------------------------------------------------------ functional calls
def test_functional_call() -> None:
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.BatchNorm1d(4), mg.nn.Linear(4, 2))
    params = {k: p.detach() * 2 for k, p in model.named_parameters()}
    buffers = {k: b.clone() for k, b in model.named_buffers()}
    x = mg.randn(5, 3)
    twin = copy.deepcopy(model)
    for k, p in twin.named_parameters():
        p.data = params[k].clone()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    y = mg.func.functional_call(model, (params, buffers), x)
    close(y, twin(x))
    for k, v in model.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), before[k].numpy())
    assert buffers["1.num_batches_tracked"].item() == 1
    # gradients reach what was given
    loss = lambda p: mg.func.functional_call(model.eval(), p, (x,)).square().sum()  # noqa: E731
    grads = mg.func.grad(loss)(params)
    assert grads["0.weight"].shape == (4, 3)
    assert all(p.grad is None for p in model.parameters())


def test_functional_call_restores_after_an_error() -> None:
    layer = mg.nn.Linear(3, 2)
    own = layer.weight
    with pytest.raises(RuntimeError):
        mg.func.functional_call(layer, {"weight": mg.ones(2, 4)}, mg.ones(1, 3))
    assert layer.weight is own


class Tied(mg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = mg.nn.Linear(3, 3, bias=False)
        self.b = self.a

    def forward(self, x: Any) -> Any:
        return self.b(self.a(x))


def test_functional_call_with_tied_weights() -> None:
    model, x = Tied(), mg.randn(2, 3)
    w = mg.randn(3, 3)
    close(mg.func.functional_call(model, {"a.weight": w}, x), x @ w.T @ w.T)
    with pytest.raises(ValueError, match="tied"):
        mg.func.functional_call(model, {"a.weight": w, "b.weight": w.clone()}, x)


def test_stacked_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["minigrad.autograd.func"], "_told", False)  # it warns once
    models = [mg.nn.Linear(3, 2) for _ in range(4)]
    params, buffers = mg.func.stack_module_state(models)
    assert params["weight"].shape == (4, 2, 3)
    assert params["weight"].is_leaf and params["weight"].requires_grad
    assert buffers == {}
    x = mg.randn(5, 3)
    call = lambda p: mg.func.functional_call(models[0], p, (x,))  # noqa: E731
    with pytest.warns(UserWarning, match="loop"):
        together = mg.func.vmap(call)(params)
    for y, m in zip(together, models, strict=True):
        close(y, m(x))


# ------------------------------------------------------------------------------ building
def test_skip_init() -> None:
    mg.manual_seed(0)
    layer = mg.nn.utils.skip_init(mg.nn.Linear, 3, 2, bias=False)
    assert type(layer) is mg.nn.Linear
    assert layer.weight.shape == (2, 3)
    drawn = mg.rand(1)
    mg.manual_seed(0)
    assert mg.equal(drawn, mg.rand(1))  # nothing was drawn
    assert mg.nn.Linear(3, 2).weight.abs().sum().item() > 0


def test_memory_format() -> None:
    layer = mg.nn.Conv2d(3, 4, 3)
    x, weight = mg.randn(1, 3, 5, 5), layer.weight
    before = layer(x)
    assert mg.nn.utils.convert_conv2d_weight_memory_format(layer, mg.channels_last) is layer
    assert layer.weight is weight
    assert layer.weight.stride() == (27, 1, 9, 3)
    close(layer(x), before)


def test_vectors() -> None:
    layer = mg.nn.Linear(3, 2)
    vector = mg.nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (8,)
    mg.nn.utils.vector_to_parameters(vector * 2, layer.parameters())
    close(mg.nn.utils.parameters_to_vector(layer.parameters()), vector * 2)
