"""`minigrad.compile` on the stand-in for a GPU: CUDA graphs of whole steps, against eager steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.models.gpt2 import GPT2Config, GPT2LMHeadModel
from minigrad.nn import functional as F

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))

STEPS = 7
"""Two calls to warm up, one to capture, one to check, and replays."""

Step = Callable[..., Any]
Batches = Callable[[Any], tuple[Any, ...]]


def _batch(*arrays: Any) -> tuple[Any, ...]:
    return tuple([mg.tensor(a).cuda() for a in arrays])


def _mlp() -> tuple[Step, Any, Batches]:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 4)).cuda()
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-2)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    def batches(rng: Any) -> Any:
        return _batch(rng.normal(size=(16, 8)).astype(np.float32), rng.integers(0, 4, 16))

    return step, optimizer, batches


def _q_learning() -> tuple[Step, Any, Batches]:
    """A step of DQN: a network and one that follows it, several results."""
    online, target = (
        nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2)).cuda() for _ in range(2)
    )
    optimizer = mg.optim.Adam(online.parameters(), lr=1e-2)

    def step(state: Any, action: Any, reward: Any, later: Any, going: Any) -> Any:
        with mg.no_grad():
            best = target(later).max(1).values
            wanted = reward + 0.9 * going * best
        q = online(state).gather(1, action[:, None])[:, 0]
        loss = F.smooth_l1_loss(q, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with mg.no_grad():
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.mul_(0.9).add_(fast, alpha=0.1)
        return loss, q.detach().mean()

    def batches(rng: Any) -> Any:
        a, b = rng.normal(size=(2, 12, 4)).astype(np.float32)
        going = (rng.random(12) < 0.9).astype(np.float32)
        reward = rng.normal(size=12).astype(np.float32)
        return _batch(a, rng.integers(0, 2, 12), reward, b, going)

    return step, optimizer, batches


def _gpt() -> tuple[Step, Any, Batches]:
    config = GPT2Config(
        vocab_size=29, n_positions=8, n_embd=16, n_layer=2, n_head=2, resid_pdrop=0.1,
        embd_pdrop=0.1, attn_pdrop=0.0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).cuda()
    optimizer = mg.optim.AdamW(model.parameters(), lr=1e-3)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).reshape(-1, 29), y.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss

    def batches(rng: Any) -> Any:
        return _batch(rng.integers(0, 29, (2, 8)), rng.integers(0, 29, (2, 8)))

    return step, optimizer, batches


def _numbers(result: Any) -> list[float]:
    return [r.item() for r in (result if isinstance(result, tuple) else (result,))]


def _run(make: Any, compiled: bool) -> tuple[list[list[float]], list[Any]]:
    mg.manual_seed(0)
    step, optimizer, batches = make()
    call = mg.compile(step, fullgraph=True) if compiled else step
    rng, found = np.random.default_rng(0), []
    for t in range(STEPS):
        if t == STEPS - 2:
            optimizer.param_groups[0]["lr"] *= 0.5
        found.append(_numbers(call(*batches(rng))))
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return found, [p.detach().cpu().numpy() for p in params]


@pytest.mark.parametrize("make", [_mlp, _q_learning, _gpt])
def test_steps_are_those_of_eager_calls(device: Any, make: Any) -> None:
    """To the bit: the same kernels on the same numbers, random ones included."""
    want, weights = _run(make, compiled=False)
    got, ours = _run(make, compiled=True)
    assert got == want and MACHINE.replays == STEPS - 2
    for a, b in zip(ours, weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_replay_is_a_launch_and_a_few_copies(device: Any) -> None:
    step, optimizer, batches = _mlp()
    call, rng = mg.compile(step, fullgraph=True), np.random.default_rng(0)
    for _ in range(4):
        call(*batches(rng))
    batch, launches, reads = batches(rng), MACHINE.launches.copy(), MACHINE.reads
    call(*batch)
    # two arguments, the loss, the place in the sequence of random numbers; nothing is waited for
    assert dict(MACHINE.launches - launches) == {"setitem": 2, "copy": 1, "write_words": 1}
    assert MACHINE.reads == reads
    optimizer.param_groups[0]["lr"] = 0.5
    call(*batch)
    assert (MACHINE.launches - launches)["write_words"] == 3  # and the learning rate


def test_a_module_with_its_backward_outside(device: Any) -> None:
    mg.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).cuda()
    compiled = mg.compile(model)
    for t in range(6):
        x = mg.randn(4, 5).cuda().requires_grad_()
        for call in (model, compiled):
            x.grad = None
            model.zero_grad()
            (call(x) ** 2).sum().backward()
            found = [x.grad.clone(), *[p.grad.clone() for p in model.parameters()]]
            if call is model:
                want = found
        for a, b in zip(found, want, strict=True):
            np.testing.assert_array_equal(a.cpu().numpy(), b.cpu().numpy(), err_msg=str(t))
    assert MACHINE.replays > 2


def test_other_shapes_and_modes_are_captured_by_themselves(device: Any) -> None:
    model = nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)).cuda()
    call = mg.compile(lambda x: model(x).sum(), fullgraph=True)
    with mg.no_grad():
        for shape in ((2, 5), (4, 5)):
            for _ in range(5):
                call(mg.ones(*shape, device="cuda"))
        replays = MACHINE.replays
        assert replays == 6
        model.eval()
        x = mg.ones(2, 5, device="cuda")
        for _ in range(5):
            assert call(x).item() == pytest.approx(model(x).sum().item())
        assert MACHINE.replays == replays + 3


def test_a_parameter_that_was_replaced_is_noticed(device: Any) -> None:
    model = nn.Linear(3, 2).cuda()
    call = mg.compile(lambda x: model(x), fullgraph=True)
    x = mg.ones(1, 3, device="cuda")
    with mg.no_grad():
        for _ in range(5):
            call(x)
        model.weight.data = mg.zeros(2, 3, device="cuda")
        np.testing.assert_array_equal(call(x).cpu().numpy()[0], model.bias.detach().cpu().numpy())


def test_batch_norm_moves_its_averages_once_a_call(device: Any) -> None:
    mg.manual_seed(2)
    one, two = nn.BatchNorm1d(3).cuda(), nn.BatchNorm1d(3).cuda()
    call = mg.compile(two)
    for _ in range(6):
        x = mg.randn(8, 3).cuda()
        pairs = (call(x), one(x)), (two.running_var, one.running_var)
        for a, b in pairs:
            np.testing.assert_array_equal(a.detach().cpu().numpy(), b.detach().cpu().numpy())
    assert two.num_batches_tracked.item() == 6 and MACHINE.replays == 4


# ------------------------------------------------------------------------------ what cannot be
SCALE = mg.ones(2)


def _reads(x: Any) -> Any:
    return x * 2 if x.sum().item() > 0 else x


def _decides(x: Any) -> Any:
    return x * 2 if (x > 0).all() else x


def _chooses(x: Any) -> Any:
    return x * (2, 3)[x.argmax()]


def _draws(x: Any) -> Any:
    return x + mg.randn(2, device="cuda")


def _copies(x: Any) -> Any:
    return x * SCALE.cuda()


def _accumulates(x: Any) -> Any:
    (WEIGHT * x).sum().backward()


WEIGHT: Any = None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (_reads, r"Tensor\.item"),
        (_decides, r"Tensor\.__bool__"),
        (_chooses, r"Tensor\.__index__"),
        (_draws, "random numbers drawn in main memory"),
        (_copies, "synchronous copy"),
        (_accumulates, "added to those of an earlier call"),
    ],
)
def test_what_cannot_be_captured_runs_eagerly(device: Any, function: Any, words: str) -> None:
    global WEIGHT
    WEIGHT = mg.ones(2, device="cuda", requires_grad=True)
    call = mg.compile(function)
    x = mg.ones(2, device="cuda")
    call(x), call(x)
    with pytest.warns(UserWarning, match=words):
        call(x)
    state = mg.get_rng_state()
    for _ in range(2):
        mg.set_rng_state(state)
        got = call(x)
        mg.set_rng_state(state)
        want = function(x)
        assert (got is None and want is None) or (got == want).all().item()
    assert not mg.cuda.is_current_stream_capturing() and MACHINE.replays == 0
    if function is _accumulates:
        assert WEIGHT.grad.tolist() == [7.0, 7.0]
    with pytest.raises(RuntimeError, match=words):
        strict = mg.compile(function, fullgraph=True)
        for _ in range(3):
            strict(x)


def test_other_threads_go_on_as_usual(device: Any) -> None:
    seen = []

    def function(x: Any) -> Any:
        other = threading.Thread(target=lambda: seen.append(SCALE.sum().item()))
        other.start()
        other.join()
        return x * 2

    call = mg.compile(function, fullgraph=True)
    x = mg.ones(2, device="cuda")
    for _ in range(5):
        assert call(x).tolist() == [2.0, 2.0]
    assert MACHINE.replays == 3
    assert seen == [2.0] * 4  # two calls to warm up, one to capture, one to check


def test_an_optimizer_that_counts_in_main_memory_is_refused(device: Any) -> None:
    p = nn.Parameter(mg.ones(3, 3, device="cuda"))
    optimizer = mg.optim.Adafactor([p])

    def step() -> None:
        optimizer.zero_grad()
        (p * p).sum().backward()
        optimizer.step()

    call = mg.compile(step)
    call(), call()
    with pytest.warns(UserWarning, match="Adafactor.step, which computes in main memory"):
        call()
