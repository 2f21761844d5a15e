"""Lazy layers against PyTorch's: shapes from the first input, state dicts before and after."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn

torch = pytest.importorskip("torch")

LAYERS: list[tuple[str, tuple, dict, tuple]] = [
    ("LazyLinear", (4,), {}, (3, 5)),
    ("LazyLinear", (4, False), {}, (2, 3, 5)),
    ("LazyConv1d", (4, 3), {"padding": 1}, (2, 3, 8)),
    ("LazyConv2d", (4, 3), {"bias": False, "stride": 2}, (2, 3, 8, 7)),
    ("LazyConv2d", (4, 3), {"groups": 2}, (2, 8, 7)),
    ("LazyConv3d", (4, 2), {}, (2, 3, 4, 4, 4)),
    ("LazyConvTranspose1d", (4, 3), {"output_padding": 1, "stride": 2}, (2, 3, 8)),
    ("LazyConvTranspose2d", (4, 3), {"groups": 2}, (1, 6, 4, 5)),
    ("LazyConvTranspose3d", (4, 2), {"bias": False}, (2, 3, 3, 3, 3)),
    ("LazyBatchNorm1d", (), {}, (6, 3)),
    ("LazyBatchNorm2d", (), {"affine": False}, (6, 3, 4, 4)),
    ("LazyBatchNorm3d", (), {"track_running_stats": False}, (3, 3, 2, 2, 2)),
    ("LazyBatchNorm1d", (), {"bias": False}, (6, 3, 2)),
    ("LazyInstanceNorm1d", (), {}, (2, 3, 6)),
    ("LazyInstanceNorm2d", (), {"affine": False, "momentum": 0.3}, (2, 3, 4, 4)),
    ("LazyInstanceNorm3d", (), {"track_running_stats": False}, (2, 3, 2, 2, 2)),
]
each = pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS)


def data(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@each
def test_first_call(name: str, args: tuple, kwargs: dict, shape: tuple) -> None:
    ours, theirs = getattr(nn, name)(*args, **kwargs), getattr(torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.has_uninitialized_params() == theirs.has_uninitialized_params()
    x = data(*shape)
    kinds = {k: type(v).__name__ for k, v in theirs.named_parameters()}
    assert {k: type(v).__name__ for k, v in ours.named_parameters()} == kinds
    parameters = list(ours.parameters())
    theirs(torch.from_numpy(x))
    ours(mg.from_numpy(x))
    assert [p is q for p, q in zip(parameters, ours.parameters(), strict=True)] == [True] * len(
        parameters
    )
    assert type(ours).__name__ == type(theirs).__name__ == name.removeprefix("Lazy")
    assert repr(ours) == repr(theirs)
    fresh = getattr(nn, name)(*args, **kwargs)
    state = {k: mg.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    fresh.load_state_dict(state)
    assert not fresh.has_uninitialized_params()
    y, t = fresh(mg.from_numpy(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), t.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert repr(fresh) == repr(theirs)
    for p, q in zip(fresh.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-4, atol=1e-5)


@each
def test_values_are_drawn(name: str, args: tuple, kwargs: dict, shape: tuple) -> None:
    layer = getattr(nn, name)(*args, **kwargs)
    layer(mg.from_numpy(data(*shape)))
    for key, p in layer.named_parameters():
        assert np.isfinite(p.detach().numpy()).all()
        if "Norm" in name:
            assert (p.detach().numpy() == (1 if key == "weight" else 0)).all()
        else:
            assert 0 < p.abs().max().item() <= 1


def model() -> Any:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))


def test_state_dicts() -> None:
    x = mg.randn(2, 3, 5, 5)
    waiting, ready = model(), model()
    ready(x)
    state = waiting.state_dict()
    assert isinstance(state["0.weight"], nn.UninitializedParameter)
    other = model()
    other.load_state_dict(state)  # nothing is known: nothing happens
    assert list(other.state_dict()) == list(state)
    assert other[0].has_uninitialized_params()
    other.load_state_dict(ready.state_dict())
    ready.eval()
    other.eval()
    np.testing.assert_array_equal(other(x).detach().numpy(), ready(x).detach().numpy())
    with pytest.raises(RuntimeError, match="uninitialized"):
        ready.load_state_dict(state)
    partly = model()
    with pytest.raises(RuntimeError, match="Missing key"):
        partly.load_state_dict({"0.weight": ready[0].weight.detach()})


def test_casts_copies_and_pickles_wait_too() -> None:
    lazy = model().double()
    assert lazy[0].weight.dtype == mg.float64
    assert lazy[1].running_mean.dtype == mg.float64
    for twin in (copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        y = twin(mg.randn(2, 3, 5, 5, dtype=mg.float64))
        assert y.dtype == mg.float64
        assert lazy[0].has_uninitialized_params()
        assert not any(isinstance(p, nn.UninitializedParameter) for p in twin.parameters())
    frozen = nn.LazyLinear(3).requires_grad_(False)
    frozen(mg.ones(1, 2))
    assert not frozen.weight.requires_grad


def test_a_waiting_parameter_cannot_be_used() -> None:
    for p in (nn.UninitializedParameter(), nn.UninitializedBuffer()):
        assert nn.parameter.is_lazy(p)
        assert repr(p) == f"<{type(p).__name__}>"
        assert p.dtype == mg.float32
        with pytest.raises(RuntimeError, match="shape"):
            _ = p.shape
        with pytest.raises(RuntimeError, match="share"):
            p.share_memory_()
        for use in (lambda p=p: p + 1, lambda p=p: p.sum(), lambda p=p: mg.zeros_like(p)):
            with pytest.raises(ValueError, match="uninitialized"):
                use()
        p.materialize((2, 3))
        assert p.shape == (2, 3)
        assert not nn.parameter.is_lazy(p)
    assert type(p) is mg.Tensor
    q = nn.UninitializedParameter(requires_grad=False, dtype=mg.float64)
    q.materialize((2,), dtype=mg.float16)
    assert type(q) is nn.Parameter
    assert q.dtype == mg.float16
    assert not q.requires_grad


def test_errors() -> None:
    with pytest.raises(RuntimeError, match="Expected 3D"):
        nn.LazyConv2d(2, 3)(mg.ones(5, 5))
    with pytest.raises(ValueError, match="divisible"):
        nn.LazyConv2d(2, 3, groups=2)(mg.ones(1, 3, 5, 5))
    lazy = nn.LazyLinear(2)
    lazy.load_state_dict(nn.Linear(3, 2).state_dict())
    with pytest.raises(AssertionError, match="in_features"):
        lazy(mg.ones(1, 4))
    with pytest.raises(ValueError, match="uninitialized"):
        nn.utils.spectral_norm(nn.LazyLinear(2))


class Scale(nn.modules.lazy.LazyModuleMixin, nn.Module):
    """A lazy layer of a user's own, which stays what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.UninitializedParameter()
        self.calls = 0

    def initialize_parameters(self, x: Any) -> None:
        self.calls += 1
        self.weight.materialize((x.shape[-1],))
        nn.init.ones_(self.weight)

    def forward(self, x: Any) -> Any:
        return x * self.weight


def test_a_lazy_layer_of_ones_own() -> None:
    scale, x = Scale(), mg.randn(2, 3)
    seen: list[str] = []
    scale.register_forward_pre_hook(lambda module, args: seen.append("pre"))
    for _ in range(2):
        assert mg.equal(scale(x), x)
    assert scale.calls == 1
    assert seen == ["pre", "pre"]

    class Forgetful(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.UninitializedParameter()

        def initialize_parameters(self, x: Any) -> None:
            pass

    with pytest.raises(RuntimeError, match="not been fully initialized"):
        Forgetful()(x)
    with pytest.raises(NotImplementedError):
        nn.modules.lazy.LazyModuleMixin().initialize_parameters()
