"""Optimizers on the stand-in for a GPU: one launch a step, nothing read, results as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.kernels.cuda import many
from minigrad.kernels.cuda.expressions import NoScalarForm

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))

SHAPES: tuple[tuple[int, ...], ...] = ((3, 5), (20000,), (7,), ())
"""Several chunks, a tail that is no multiple of 16 bytes, less than a pack."""

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adam": lambda p: optim.Adam(p, lr=1e-2),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "amsgrad": lambda p: optim.Adam(p, amsgrad=True, weight_decay=0.1, maximize=True),
    "sgd": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
    "nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "sgdw": lambda p: optim.SGDW(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nadam": lambda p: optim.NAdam(p),
    "radam": lambda p: optim.RAdam(p),
    "rprop": lambda p: optim.Rprop(p),
    "asgd": lambda p: optim.ASGD(p, lr=0.1, t0=1),
    "adamax": lambda p: optim.Adamax(p),
    "adagrad": lambda p: optim.Adagrad(p, lr_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
    "adadelta": lambda p: optim.Adadelta(p),
    "lion": lambda p: optim.Lion(p, weight_decay=0.1),
}


def _parameters(place: str, shapes: Any = SHAPES) -> list[Any]:
    rng = np.random.default_rng(0)
    drawn = [np.asarray(rng.normal(size=s), np.float32) for s in shapes]
    return [nn.Parameter(mg.tensor(x).to(place)) for x in drawn]


def _give_gradients(*sets: list[Any], rng: Any) -> None:
    for together in zip(*sets, strict=True):
        g = mg.tensor(np.asarray(rng.normal(size=together[0].shape), np.float32))
        for p in together:
            p.grad = g.to(p.device)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_launch_a_step_and_nothing_read(device: Any, name: str) -> None:
    rng = np.random.default_rng(1)
    here, there = _parameters("cpu"), _parameters("cuda")
    ours, theirs = OPTIMIZERS[name](there), OPTIMIZERS[name](here)
    for t in range(7):
        if t == 5:  # a scheduler's doing: told with one more launch, of a copy
            for optimizer in (ours, theirs):
                optimizer.param_groups[0]["lr"] *= 0.5
        _give_gradients(here, there, rng=rng)
        theirs.step()
        reads, launches = MACHINE.reads, MACHINE.launches.copy()
        ours.step()
        if t:
            assert MACHINE.reads == reads
            done = MACHINE.launches - launches
            assert sum(done.values()) == (2 if t == 5 else 1), done
    for p, q in zip(there, here, strict=True):
        np.testing.assert_allclose(
            p.detach().cpu().numpy(), q.detach().numpy(), rtol=1e-5, atol=2e-6
        )
        assert list(ours.state[p]) == list(theirs.state[q])
        for key, value in theirs.state[q].items():
            got = ours.state[p][key]
            assert got.is_cuda and got.shape == value.shape and got.dtype == value.dtype
            np.testing.assert_allclose(got.cpu().numpy(), value.numpy(), rtol=1e-4, atol=1e-5)


def test_many_tensors_take_few_launches(device: Any) -> None:
    """More than the table of one launch holds, and two dtypes."""
    count = many.most(4) + 3
    halves = [nn.Parameter(p.detach().to(mg.bfloat16)) for p in _parameters("cuda", [(5,)] * 3)]
    params = [*_parameters("cuda", [(2,)] * count), *halves]
    optimizer = optim.AdamW(params)
    for _ in range(2):
        for p in params:
            p.grad = mg.ones_like(p)
        before = MACHINE.launches.copy()
        optimizer.step()
    assert sum((MACHINE.launches - before).values()) == 3
    assert all(optimizer.state[p]["step"].item() == 2 for p in params)


def test_state_dicts_go_from_one_device_to_the_other(device: Any) -> None:
    rng = np.random.default_rng(2)
    here, there = _parameters("cpu"), _parameters("cuda")
    a, b = optim.Adam(here), optim.Adam(there)
    for _ in range(3):
        _give_gradients(here, rng=rng)
        a.step()
    for p, q in zip(here, there, strict=True):
        q.data.copy_(p.data.cuda())
    b.load_state_dict(a.state_dict())
    _give_gradients(here, there, rng=rng)
    a.step()
    b.step()
    assert b.state[there[0]]["step"].item() == 4
    for p, q in zip(here, there, strict=True):
        np.testing.assert_allclose(q.detach().cpu().numpy(), p.detach().numpy(), rtol=1e-5)


def test_parameters_that_are_not_in_one_piece(device: Any) -> None:
    base = mg.randn(4, 6)
    p, q = nn.Parameter(base.t()), nn.Parameter(base.cuda().t())
    assert not q._data.flags.c_contiguous
    for x in (p, q):
        optimizer = optim.AdamW([x], lr=0.1)
        x.grad = mg.ones(4, 6).to(x.device).t()
        optimizer.step()
    np.testing.assert_allclose(q.detach().cpu().numpy(), p.detach().numpy(), rtol=1e-6)


def test_one_of_several_parameters_is_not_in_one_piece(device: Any) -> None:
    rng = np.random.default_rng(4)
    shapes = ((6, 4), (4, 6))
    here, there = _parameters("cpu", shapes), _parameters("cuda", shapes)
    for params in (here, there):
        params[1] = nn.Parameter(params[1].detach().t())
    a, b = optim.AdamW(here, lr=0.1), optim.AdamW(there, lr=0.1)
    for _ in range(2):
        _give_gradients(here, there, rng=rng)
        a.step()
        b.step()
    assert not there[1]._data.flags.c_contiguous
    for p, q in zip(here, there, strict=True):
        np.testing.assert_allclose(q.detach().cpu().numpy(), p.detach().numpy(), rtol=1e-5)


def test_counters_of_two_dtypes_have_two_kernels() -> None:
    optimizer = optim.Adam([nn.Parameter(mg.zeros(1))])
    steps = [
        many.step(
            optimizer.formula, "110", "float32", 16, optimizer._numbers,
            optimizer.param_groups[0], counters=[dtype],
        )
        for dtype in ("float32", "float64")
    ]  # fmt: skip
    assert steps[0].name != steps[1].name


def test_a_formula_without_a_kernel_says_so(device: Any) -> None:
    class Sorted(optim.SGD):
        formula = staticmethod(lambda w, g, *rest: (np.sort(w), rest[0]))

    p = nn.Parameter(mg.ones(3, device="cuda"))
    p.grad = mg.ones_like(p)
    with pytest.raises(NoScalarForm):
        Sorted([p]).step()


def test_a_step_is_skipped_where_found_inf_says_so(device: Any) -> None:
    params = _parameters("cuda")
    optimizer = optim.Adam(params)
    optimizer.found_inf = mg.zeros(1, device="cuda")
    for step, found in enumerate((0.0, 1.0, 0.0)):
        optimizer.found_inf.fill_(found)
        before = params[0].detach().clone()
        for p in params:
            p.grad = mg.ones_like(p)
        optimizer.step()
        assert (before != params[0]).any().item() is (found == 0.0)
        assert optimizer.state[params[0]]["step"].item() == (1, 1, 2)[step]


def test_a_graph_counts_and_hears_of_the_learning_rate(device: Any) -> None:
    here, there = _parameters("cpu"), _parameters("cuda")
    a, b = optim.NAdam(here), optim.NAdam(there)
    for p, q in zip(here, there, strict=True):
        p.grad, q.grad = mg.ones_like(p), mg.ones_like(q)
    a.step()
    b.step()
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        b.step()
    for lr in (0.01, 0.01, 0.5):
        a.param_groups[0]["lr"] = b.param_groups[0]["lr"] = lr
        a.step()
        graph.replay()
    for p, q in zip(here, there, strict=True):
        np.testing.assert_allclose(q.detach().cpu().numpy(), p.detach().numpy(), rtol=1e-5)
        assert b.state[q]["step"].item() == 4


# ------------------------------------------------------------------------------ gradients
@pytest.mark.parametrize("p", [2.0, float("inf"), 1.0])
@pytest.mark.parametrize("bound", [0.5, 1e6])
def test_clipping_the_norm_takes_two_launches(device: Any, p: float, bound: float) -> None:
    here, there = _parameters("cpu"), _parameters("cuda")
    _give_gradients(here, there, rng=np.random.default_rng(3))
    want = nn.utils.clip_grad_norm_(here, bound, p)
    nn.utils.get_total_norm([there[0].grad], p)  # memory for this stream is made once
    before, reads = MACHINE.launches.copy(), MACHINE.reads
    got = nn.utils.clip_grad_norm_(there, bound, p)
    if p != 1.0:
        assert MACHINE.reads == reads
        done = MACHINE.launches - before
        assert sum(done.values()) == 2, done
    assert got.is_cuda and got.shape == ()
    np.testing.assert_allclose(got.item(), want.item(), rtol=1e-6)
    for q, r in zip(there, here, strict=True):
        np.testing.assert_allclose(q.grad.cpu().numpy(), r.grad.numpy(), rtol=1e-6)


def test_a_norm_that_is_nan_shows(device: Any) -> None:
    p = _parameters("cuda")[:2]
    for q in p:
        q.grad = mg.ones_like(q)
    p[1].grad[7] = float("nan")
    assert np.isnan(nn.utils.clip_grad_norm_(p, 1.0).item())
    assert np.isnan(p[0].grad.cpu().numpy()).all()
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)


def test_gradients_of_two_dtypes(device: Any) -> None:
    a, b = _parameters("cuda")[:2]
    b = nn.Parameter(b.detach().to(mg.bfloat16))
    a.grad, b.grad = mg.full((3, 5), 2.0, device="cuda"), mg.ones_like(b)
    assert nn.utils.clip_grad_norm_([a, b], 1.0).item() == pytest.approx((60 + 20000) ** 0.5)
    assert b.grad[0].item() == pytest.approx(1 / (60 + 20000) ** 0.5, rel=4e-3)
