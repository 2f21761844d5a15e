"""Captured steps: the same results as eager, the warnings and errors, the ways back to eager."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import config
from minigrad.compiler.captured import Captured
from minigrad.kernels.cpu import compiler

F = mg.nn.functional


def stage(f: Any) -> list[str]:
    """How far each variant has come."""
    captured: Captured = f._captured if isinstance(f, mg.nn.Module) else f
    return [v.run.__name__ for v in captured.variants.values()]


def mlp(width: int = 16, activation: Callable = mg.nn.Tanh) -> mg.nn.Module:
    mg.manual_seed(0)
    return mg.nn.Sequential(mg.nn.Linear(4, width), activation(), mg.nn.Linear(width, 3))


def training(net: mg.nn.Module, make: Callable, loss_of: Callable) -> Callable:
    optimizer = make(net.parameters())

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


OPTIMIZERS = {
    "sgd": lambda p: mg.optim.SGD(p, lr=0.1),
    "momentum": lambda p: mg.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda p: mg.optim.Adam(p, lr=0.01),
    "adamw": lambda p: mg.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: mg.optim.RMSprop(p, lr=0.01, maximize=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kernels", ["auto", "off"])
def test_training_step_is_the_eager_one(name, kernels):
    rng = np.random.default_rng(0)
    data = [
        (mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32),
         mg.tensor(rng.standard_normal((8, 3)), dtype=mg.float32))
        for _ in range(12)
    ]  # fmt: skip
    ours, theirs = mlp(), mlp()
    eager = training(theirs, OPTIMIZERS[name], F.mse_loss)
    step = mg.compile(training(ours, OPTIMIZERS[name], F.mse_loss))
    with config.using(kernels=kernels), warnings.catch_warnings():
        warnings.simplefilter("error")
        for x, y in data:
            np.testing.assert_allclose(step(x, y).item(), eager(x, y).item(), rtol=1e-4)
    assert stage(step) == ["_replay"]
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradients_that_lie_across_are_stepped_with_by_a_call(name):
    """Beside updates that are loops: the gradient of w in x @ w.t() is a transposed array."""
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32)
    start = [rng.standard_normal(size).astype(np.float32) for size in ((3,), (5, 4), (3, 5))]

    def make() -> Any:
        bias, *weights = params = [mg.nn.Parameter(mg.tensor(a)) for a in start]
        optimizer = OPTIMIZERS[name](params)

        def step() -> Any:
            optimizer.zero_grad()
            y = x
            for w in weights:
                y = y @ w.t()
            loss = ((y + bias) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        return params, step

    (ours, step), (theirs, eager) = make(), make()
    step = mg.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(6):
            np.testing.assert_allclose(step().item(), eager().item(), rtol=1e-4)
    assert stage(step) == ["_replay"]
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clipping_and_a_schedule_between_calls_are_part_of_the_step(name):
    """Clipping is replayed; a learning rate that a scheduler changes between calls is honoured."""
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32)
    y = mg.tensor(rng.standard_normal((8, 3)) * 10, dtype=mg.float32)

    def make() -> Any:
        net = mlp()
        optimizer = OPTIMIZERS[name](net.parameters())
        schedule = mg.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), y)
            loss.backward()
            norm = mg.nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
            return loss.detach(), norm

        return net, step, schedule

    (ours, step, our_schedule), (theirs, eager, their_schedule) = make(), make()
    step = mg.compile(step)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(9):
            before = [p.detach().clone() for p in ours.parameters()]
            for got, want in zip(step(x, y), eager(x, y), strict=True):
                np.testing.assert_allclose(got.item(), want.item(), rtol=1e-4)
            our_schedule.step()
            their_schedule.step()
    assert stage(step) == ["_replay"]
    clipped = mg.nn.utils.get_total_norm([p.grad for p in ours.parameters()])
    np.testing.assert_allclose(clipped.item(), 0.5, rtol=1e-4)
    moved = [(p.detach() - b).norm().item() for p, b in zip(ours.parameters(), before, strict=True)]
    assert max(moved) < 0.1  # the rate has fallen to 1/256 of the first
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-5)


MODULES = {
    "relu": lambda: mlp(activation=mg.nn.ReLU),
    "gelu": lambda: mlp(activation=mg.nn.GELU),
    "layer norm": lambda: mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.LayerNorm(8), mg.nn.SiLU()),
    "softmax": lambda: mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.Softmax(-1)),
}


@pytest.mark.parametrize("name", MODULES)
def test_module_with_gradients_of_arguments(name):
    net = MODULES[name]()
    compiled = mg.compile(net)
    for i in range(6):
        x = mg.randn(5, 4, generator=mg.Generator().manual_seed(i)).requires_grad_()
        u = x.detach().requires_grad_()
        grads = []
        for f, leaf in ((compiled, x), (net, u)):
            net.zero_grad()
            y = f(leaf)
            (y * y).sum().backward()
            grads.append([p.grad.clone() for p in (*net.parameters(), leaf)] + [y.detach()])
        for a, b in zip(*grads, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
    assert stage(compiled) == ["_replay"]
    assert list(compiled.state_dict()) == ["_orig_mod." + k for k in net.state_dict()]


def test_two_calls_before_a_backward():
    net = mlp()
    compiled = mg.compile(net)
    xs = [mg.randn(5, 4) for _ in range(8)]
    for x in xs[:4]:
        compiled(x).sum().backward()
    net.zero_grad()
    (compiled(xs[4]).sum() * 2 + compiled(xs[5]).sum() * 3).backward()
    ours = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    (net(xs[4]).sum() * 2 + net(xs[5]).sum() * 3).backward()
    for a, p in zip(ours, net.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), p.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_backward_twice_and_second_derivative_are_refused():
    net = mlp()
    compiled = mg.compile(net)
    for _ in range(4):
        y = compiled(mg.ones(2, 4)).sum()
        y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    y = compiled(mg.ones(2, 4)).sum()
    with pytest.raises(RuntimeError, match="once, not twice"):
        mg.autograd.grad(y, list(net.parameters()), create_graph=True)


def test_every_shape_dtype_mode_and_argument_is_a_variant():
    f = mg.compile(lambda x, n=2: x.exp() * n)
    for _ in range(5):
        for x in (mg.ones(3), mg.ones(4), mg.ones(3, dtype=mg.float64)):
            np.testing.assert_allclose(f(x).numpy(), x.exp().mul(2).numpy(), rtol=1e-6)
            assert f(x).dtype == x.dtype
        np.testing.assert_allclose(f(mg.ones(3), n=3).numpy(), np.exp(np.ones(3)) * 3, rtol=1e-6)
    assert stage(f) == ["_replay"] * 4


def test_training_flag_and_buffers():
    mg.manual_seed(0)
    ours = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.BatchNorm1d(8), mg.nn.ReLU())
    theirs = mg.nn.Sequential(mg.nn.Linear(4, 8), mg.nn.BatchNorm1d(8), mg.nn.ReLU())
    theirs.load_state_dict(ours.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = mg.compile(ours)
        for i in range(8):
            ours.train(i % 4 < 2)
            theirs.train(i % 4 < 2)
            x = mg.randn(6, 4)
            with mg.no_grad():
                a, b = compiled(x), theirs(x)
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_dropout_draws_anew():
    f = mg.compile(lambda x: F.dropout(x, 0.5))
    x = mg.ones(1000)
    drawn = [tuple(f(x).tolist()) for _ in range(6)]
    assert len(set(drawn)) == 6
    assert stage(f) == ["_replay"]
    assert all(set(d) == {0.0, 2.0} for d in drawn)


def test_results_are_the_callers():
    f = mg.compile(lambda x: x + 1)
    results = [f(mg.full((3,), float(i))) for i in range(6)]
    assert [r.tolist() for r in results] == [[i + 1.0] * 3 for i in range(6)]
    x = mg.zeros(3)
    f(x).add_(5)
    assert x.tolist() == [0, 0, 0] and f(x).tolist() == [1, 1, 1]


def test_moved_parameters_are_noticed():
    net = mlp()
    compiled = mg.compile(net)
    x = mg.randn(2, 4)
    with mg.no_grad():
        for _ in range(5):
            compiled(x)
        net[0].weight.data = net[0].weight.data * 2
        np.testing.assert_allclose(compiled(x).numpy(), net(x).numpy(), rtol=1e-5)
        net[0].weight.mul_(3)
        np.testing.assert_allclose(compiled(x).numpy(), net(x).numpy(), rtol=1e-5)


def noisy(x: Any) -> Any:
    return x * x.sum().item()


def with_hook(x: Any) -> Any:
    w = mg.ones(3, requires_grad=True)
    y = (x * w).sum()
    w.register_hook(lambda g: g * 2)
    y.backward()
    return w.grad


def chosen(x: Any) -> Any:
    return x * (2, 3, 4)[x.argmax()]


def counted(x: Any) -> Any:
    return sum([x + i for i in range(x.argmax())])


def outside(x: Any) -> Any:
    return x + mg.from_numpy(np.asarray(x.numpy()) * 2)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (noisy, "Tensor.item"),
        (with_hook, "hook"),
        (outside, "Tensor.numpy"),
        (chosen, "Tensor.__index__"),
        (counted, "Tensor.__index__"),
    ],
)
def test_what_cannot_be_captured_runs_eagerly_with_one_warning(function, what):
    f = mg.compile(function)
    x = mg.tensor([1.0, 2.0, 3.0])
    with pytest.warns(UserWarning, match=what) as caught:
        for _ in range(4):
            assert f(x).tolist() == function(x).tolist()
    assert len([w for w in caught if "runs eagerly" in str(w.message)]) == 1
    with pytest.raises(RuntimeError, match=what):
        for _ in range(3):
            mg.compile(function, fullgraph=True)(x)


def test_an_effect_that_is_not_noted_is_found_out():
    """State kept as a NumPy array behind minigrad's back: the first replay differs."""
    memory = [np.zeros(3, np.float32)]
    t = mg.from_numpy(memory[0])

    def f(x: Any) -> Any:
        memory[0] += 1  # not a tensor's operation
        return x + t

    g = mg.compile(f)
    with pytest.warns(UserWarning, match="same results"):
        for i in range(5):
            assert g(mg.zeros(3)).tolist() == [i + 1.0] * 3


def test_gradients_that_add_up_run_eagerly():
    net = mlp()

    def step(x: Any) -> Any:
        loss = net(x).sum()
        loss.backward()
        return loss

    compiled = mg.compile(step)
    x = mg.ones(2, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(5):
            compiled(x)
            if i == 0:
                once = net[0].bias.grad.clone()
    np.testing.assert_allclose(net[0].bias.grad.numpy(), 5 * once.numpy(), rtol=1e-4)


def test_as_decorator_and_refusals():
    @mg.compile
    def f(x: Any) -> Any:
        return x * 2

    @mg.compile(fullgraph=True)
    def g(x: Any) -> Any:
        return x * 3

    for _ in range(4):
        assert f(mg.ones(2)).tolist() == [2, 2]
        assert g(mg.ones(2)).tolist() == [3, 3]
    assert f.__name__ == "f"
    with pytest.raises(RuntimeError, match="expected a function"):
        mg.compile(3)
    assert mg.compile(noisy, disable=True) is noisy


def test_values_of_actions_and_their_loss_are_part_of_the_compiled_step():
    """gather, mse and their gradients stand between two layers of a network."""
    rng = np.random.default_rng(0)
    ours, theirs = mlp(), mlp()

    def step_of(net: Any) -> Callable:
        def loss_of(values: Any, batch: Any) -> Any:
            return F.mse_loss(values.gather(1, batch[0]), batch[1])

        return training(net, OPTIMIZERS["adam"], loss_of)

    eager, step = step_of(theirs), mg.compile(step_of(ours))
    for _ in range(8):
        x = mg.tensor(rng.standard_normal((8, 4)), dtype=mg.float32)
        actions = mg.tensor(rng.integers(0, 3, (8, 2)))  # some twice: their gradients add up
        targets = mg.tensor(rng.standard_normal((8, 2)), dtype=mg.float32)
        np.testing.assert_allclose(
            step(x, (actions, targets)).item(), eager(x, (actions, targets)).item(), rtol=1e-4
        )
    assert stage(step) == ["_replay"]
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-3, atol=1e-5)
    program = next(iter(step.variants.values())).run.__self__.replay.program
    assert program.groups[0] == (2 if compiler.enabled() else program.count)  # check, the rest


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_gather_and_its_gradient_along_any_dimension(dim):
    rng = np.random.default_rng(0)
    shape = (3, 4, 5)
    size = [2 if d == dim else n for d, n in enumerate(shape)]
    index = mg.tensor(rng.integers(0, shape[dim], size))

    def f(x: Any, index: Any) -> Any:
        return (x * 2).gather(dim, index) * 3

    captured = mg.compile(f)
    for _ in range(4):
        x = mg.tensor(rng.standard_normal(shape), dtype=mg.float32).requires_grad_()
        y, z = captured(x, index), f(x, index)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-6)
        (a,), (b,) = [mg.autograd.grad((t * t).sum(), x) for t in (y, z)]
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)
    assert stage(captured) == ["_replay"]


def test_an_index_out_of_range_is_refused_after_the_capture_too():
    captured = mg.compile(lambda x, i: x.gather(1, i) + 1)
    x = mg.zeros(3, 4)
    for _ in range(4):
        captured(x, mg.zeros(3, 1, dtype=mg.int64))
    for bad in (4, -1, 1 << 40):
        with pytest.raises(RuntimeError, match="out of bounds"):
            captured(x, mg.full((3, 1), bad))


def test_batch_norm_and_chosen_places_are_captured():
    def step_of() -> tuple[mg.nn.Module, Callable]:
        mg.manual_seed(0)
        net = mg.nn.Sequential(mg.nn.Conv2d(2, 4, 3), mg.nn.BatchNorm2d(4), mg.nn.ReLU())

        def loss_of(y: Any, k: int) -> Any:
            rows = y.flatten(1)
            best = rows.topk(k, 1)[0].sum() + rows.gather(1, rows.argmax(1, keepdim=True)).sum()
            return best + rows.sort(1)[0][:, -1].sum()

        return net, training(net, OPTIMIZERS["momentum"], loss_of)

    (ours, step), (theirs, eager) = step_of(), step_of()
    captured = mg.compile(step)
    rng = np.random.default_rng(0)
    for _ in range(6):
        x = mg.tensor(rng.standard_normal((4, 2, 6, 6)), dtype=mg.float32)
        np.testing.assert_allclose(captured(x, 3).item(), eager(x, 3).item(), rtol=1e-3)
    assert stage(captured) == ["_replay"]
    for p, q in zip(ours.buffers(), theirs.buffers(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-3, atol=1e-5)
