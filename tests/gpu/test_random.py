"""Random numbers that kernels draw: dropout by Philox, its generators, and graphs of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import random as generators
from minigrad.nn import functional as F

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))


def _same(a: mg.Tensor, b: mg.Tensor) -> bool:
    return bool((a == b).all().item())


def test_dropout_is_one_launch_and_keeps_no_mask(device: Any) -> None:
    x = mg.randn(3000).cuda().requires_grad_()
    before, used = MACHINE.count, mg.cuda.memory_allocated()
    y = F.dropout(x, 0.3)
    assert MACHINE.count == before + 1
    assert mg.cuda.memory_allocated() - used == 12288  # y, in blocks of 512 bytes, and nothing else
    y.backward(mg.ones(3000, device="cuda"))
    assert MACHINE.launches["dropout_float32_v4"] == 2
    kept = y.detach().cpu().numpy() != 0
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.cpu().numpy(), kept * np.float32(1 / 0.7))
    assert abs(kept.mean() - 0.7) < 0.03  # 3.5 standard deviations


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_all_or_nothing(device: Any, p: float) -> None:
    x = mg.ones(9, device="cuda")
    assert F.dropout(x, p).tolist() == [1 - p] * 9


def test_whole_channels(device: Any) -> None:
    y = F.dropout2d(mg.ones(40, 8, 3, 3, device="cuda"), 0.5).cpu().numpy().reshape(320, 9)
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0.0, 2.0}


def test_a_seed_gives_the_same_masks(device: Any) -> None:
    x = mg.ones(2000, device="cuda")
    mg.manual_seed(5)
    first, second = F.dropout(x), F.dropout(x)
    assert not _same(first, second)
    mg.manual_seed(5)
    assert _same(F.dropout(x), first) and _same(F.dropout(x), second)
    mg.cuda.manual_seed(5)
    assert _same(F.dropout(x), first) and mg.cuda.initial_seed() == 5
    own = mg.Generator("cuda").manual_seed(5)
    assert _same(F.dropout(x, generator=own), first)


def test_states_of_a_gpu_s_generator(device: Any) -> None:
    x = mg.ones(2000, device="cuda")
    F.dropout(x)
    state, states = mg.cuda.get_rng_state(), mg.cuda.get_rng_state_all()
    want = F.dropout(x)
    mg.cuda.set_rng_state(state)
    assert _same(F.dropout(x), want)
    mg.cuda.set_rng_state_all(states)
    assert _same(F.dropout(x), want)
    mg.cuda.set_rng_state(state)
    with mg.random.fork_rng():
        assert _same(F.dropout(x), want)
    assert _same(F.dropout(x), want)
    with pytest.raises(TypeError):
        mg.cuda.set_rng_state(mg.zeros(3))


@pytest.fixture
def unused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel has drawn a number yet."""
    monkeypatch.setattr(generators, "_cuda_generators", {})


def test_a_checkpointed_segment_draws_the_same_again(device: Any, unused: None) -> None:
    x = mg.ones(2000, device="cuda", requires_grad=True)
    for _ in range(2):  # the first makes the generator
        x.grad = None
        y = mg.utils.checkpoint.checkpoint(lambda v: F.dropout(v), x)
        F.dropout(x)
        y.sum().backward()
        assert x.grad is not None and _same(x.grad, y.detach())


def test_a_checkpointed_segment_of_a_graph_draws_the_same_again(device: Any) -> None:
    x, ones = mg.ones(2000, device="cuda", requires_grad=True), mg.ones(2000, device="cuda")

    def work() -> tuple[mg.Tensor, mg.Tensor]:
        x.grad = None
        y = mg.utils.checkpoint.checkpoint(lambda v: F.dropout(v), x)
        y.backward(ones)
        assert x.grad is not None
        return y.detach(), x.grad

    work()
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        y, grad = work()
    for _ in range(2):
        graph.replay()
        assert _same(grad, y)


def test_a_generator_made_in_fork_rng_is_at_its_start_afterwards(device: Any, unused: None) -> None:
    x = mg.ones(2000, device="cuda")
    mg.manual_seed(1)
    with mg.random.fork_rng():
        mg.manual_seed(2)
        F.dropout(x)
    got = F.dropout(x)
    mg.manual_seed(1)
    assert _same(got, F.dropout(x))


def test_every_replay_of_a_graph_draws_what_eager_calls_would(device: Any) -> None:
    x = mg.ones(2000, device="cuda", requires_grad=True)

    def work() -> tuple[mg.Tensor, mg.Tensor]:
        x.grad = None
        y = F.dropout(F.dropout(x, 0.2), 0.4)
        y.backward(ones)
        assert x.grad is not None
        return y.detach(), x.grad

    ones = mg.ones(2000, device="cuda")
    work()
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        noted = work()
    mg.manual_seed(1)
    want = [[t.clone() for t in work()] for _ in range(3)]
    mg.manual_seed(1)
    for masks in want:
        graph.replay()
        assert all(_same(a, b) for a, b in zip(noted, masks, strict=True))
    assert not _same(want[0][0], want[1][0])


# ------------------------------------------------------------------------------ from main memory
def _there(*size: int) -> Any:
    return mg.ones(*size, device="cuda")


SAMPLES: dict[str, Any] = {
    "normal_": lambda: _there(3).normal_(),
    "bernoulli_": lambda: _there(3).bernoulli_(_there(3) / 2),
    "random_": lambda: _there(3).random_(5),
    "exponential_": lambda: _there(3).exponential_(),
    "bernoulli": lambda: mg.bernoulli(_there(3) / 2),
    "multinomial": lambda: mg.multinomial(_there(3), 2),
    "poisson": lambda: mg.poisson(_there(3)),
    "normal": lambda: mg.normal(_there(3), _there(3)),
    "randn_like": lambda: mg.randn_like(_there(3)),
    "randperm": lambda: mg.randperm(4, device="cuda"),
    "rrelu": lambda: F.rrelu(-_there(3), training=True),
    "gumbel_softmax": lambda: F.gumbel_softmax(_there(2, 3)),
    "alpha_dropout": lambda: F.alpha_dropout(_there(3), training=True),
    "kaiming_uniform_": lambda: mg.nn.init.kaiming_uniform_(_there(3, 4)),
    "orthogonal_": lambda: mg.nn.init.orthogonal_(_there(3, 4)),
    "trunc_normal_": lambda: mg.nn.init.trunc_normal_(_there(3, 4)),
}
"""The same numbers as on the CPU: they are drawn there."""


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_those_of_the_cpu(device: Any, name: str, monkeypatch: Any) -> None:
    mg.manual_seed(3)
    got = SAMPLES[name]()
    assert got.is_cuda
    monkeypatch.setitem(globals(), "_there", mg.ones)
    if name != "randperm":
        mg.manual_seed(3)
        np.testing.assert_allclose(got.cpu().numpy(), SAMPLES[name]().numpy(), rtol=1e-6)


def test_modules_are_made_on_the_gpu(device: Any) -> None:
    with mg.device("cuda"):
        for module in (mg.nn.Linear(3, 4), mg.nn.Conv2d(3, 4, 3), mg.nn.LSTM(3, 4)):
            assert all(p.is_cuda for p in module.parameters())
