"""Averaged models against PyTorch: parameters, buffers, functions, statistics of batch norm."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")


def model(L: Any) -> Any:
    net = L.nn.Sequential(L.nn.Linear(3, 4), L.nn.BatchNorm1d(4), L.nn.ReLU(), L.nn.Linear(4, 2))
    fill(L, net, 0)
    return net


def fill(L: Any, net: Any, seed: int) -> None:
    """The same numbers for both libraries, through memory that the parameters share."""
    rng = np.random.default_rng(seed)
    state = net.state_dict()
    for key in sorted(state):
        if key.endswith("num_batches_tracked"):
            state[key].fill_(seed)
        else:
            values = np.abs(rng.standard_normal(tuple(state[key].shape))).astype(np.float32)
            state[key].copy_(L.from_numpy(values))


def numbers(net: Any) -> dict[str, np.ndarray]:
    return {k: np.asarray(v.detach().numpy()) for k, v in net.state_dict().items()}


def ways(L: Any) -> dict[str, dict[str, Any]]:
    swa = L.optim.swa_utils
    return {
        "default": {},
        "buffers": {"use_buffers": True},
        "ema": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.8)},
        "ema buffers": {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.8), "use_buffers": True},
        "swa": {"multi_avg_fn": swa.get_swa_multi_avg_fn()},
        "ema one": {"avg_fn": swa.get_ema_avg_fn(0.7)},
        "swa one": {"avg_fn": swa.get_swa_avg_fn(), "use_buffers": False},
        "own": {"avg_fn": lambda average, current, n: average + current * n},
        "device": {"device": "cpu"},
    }


@pytest.mark.parametrize("way", list(ways(mg)))
def test_averages(way: str) -> None:
    results = []
    for L in (mg, torch):
        net = model(L)
        average = L.optim.swa_utils.AveragedModel(net, **ways(L)[way])
        seen = [numbers(average)]
        for seed in range(1, 5):
            fill(L, net, seed)
            average.update_parameters(net)
            seen.append(numbers(average))
        results.append(seen)
    for ours, theirs in zip(*results, strict=True):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert ours[key].dtype == theirs[key].dtype
            if "num_batches" in key and "buffers" in way:
                continue  # an average of integers: what is cut off differs
            np.testing.assert_allclose(ours[key], theirs[key], rtol=1e-5, err_msg=key)


def test_it_is_a_module_of_its_own() -> None:
    net = model(mg)
    average = mg.optim.swa_utils.AveragedModel(net)
    x = mg.randn(5, 3)
    average.eval()
    net.eval()
    assert average(x).tolist() == net(x).tolist()
    assert average.module is not net and average.n_averaged.item() == 0
    average.update_parameters(net)
    versions = [p._version for p in average.parameters()]
    other = mg.optim.swa_utils.AveragedModel(model(mg))
    other.load_state_dict(copy.deepcopy(average.state_dict()))
    assert other.n_averaged.item() == 1 and other.n_averaged.dtype is mg.int64
    average.update_parameters(net)
    assert all(p._version > v for p, v in zip(average.parameters(), versions, strict=True))
    assert all(p.requires_grad for p in average.parameters())


def test_averages_of_integers() -> None:
    average, current = mg.tensor([4, 8]), mg.tensor([8, 8])
    mg.optim.swa_utils.get_swa_multi_avg_fn()([average], [current], mg.tensor(1))
    assert average.tolist() == [6, 8] and average.dtype is mg.int64


@pytest.mark.parametrize("bad", [-0.1, 1.1])
@pytest.mark.parametrize("name", ["get_ema_avg_fn", "get_ema_multi_avg_fn"])
def test_decay(name: str, bad: float) -> None:
    said = []
    for L in (mg, torch):
        with pytest.raises(ValueError) as error:
            getattr(L.optim.swa_utils, name)(bad)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_two_functions() -> None:
    with pytest.raises(AssertionError, match="Only one of"):
        mg.optim.swa_utils.AveragedModel(model(mg), None, lambda *a: a, lambda *a: None)


@pytest.mark.parametrize("pairs", [False, True])
def test_update_bn(pairs: bool) -> None:
    results = []
    batches = np.random.default_rng(0).standard_normal((4, 6, 3)).astype(np.float32)
    for L in (mg, torch):
        net = model(L)
        net.eval()
        net[1].momentum = 0.3
        given = [L.from_numpy(b.copy()) for b in batches]
        loader = [(x, None) for x in given] if pairs else given
        L.optim.swa_utils.update_bn(loader, net, device="cpu")
        assert not net.training and not net[1].training and net[1].momentum == 0.3
        results.append(numbers(net))
    for key, value in results[1].items():
        np.testing.assert_allclose(results[0][key], value, rtol=1e-5, err_msg=key)


def test_update_bn_without_batch_norm() -> None:
    net = mg.nn.Linear(3, 2)
    mg.optim.swa_utils.update_bn(iter(["never looked at"]), net)


def test_training_with_an_average() -> None:
    """The recipe of the paper: SGD, then a constant rate and an average, then statistics."""
    results = []
    data = np.random.default_rng(0).standard_normal((8, 6, 3)).astype(np.float32)
    for L in (mg, torch):
        net = model(L)
        optimizer = L.optim.SGD(net.parameters(), lr=0.1)
        average = L.optim.swa_utils.AveragedModel(net)
        swa = L.optim.swa_utils.SWALR(optimizer, swa_lr=0.02, anneal_epochs=3)
        for epoch in range(6):
            for x in data:
                optimizer.zero_grad()
                (net(L.from_numpy(x)) ** 2).mean().backward()
                optimizer.step()
            if epoch >= 2:
                average.update_parameters(net)
                swa.step()
        L.optim.swa_utils.update_bn([L.from_numpy(x) for x in data], average)
        results.append(numbers(average))
    for key, value in results[1].items():
        np.testing.assert_allclose(results[0][key], value, rtol=1e-3, atol=1e-5, err_msg=key)
