"""The profiler: what it records, that it adds up, and that it leaves nothing behind."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad
from minigrad.core.primitive import REGISTRY
from minigrad.core.recording import PrimitiveNode
from minigrad.core.walk import accumulate
from minigrad.profiler import (
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    tensorboard_trace_handler,
)


def work() -> None:
    x = minigrad.randn(16, 8)
    w = minigrad.randn(8, 4, requires_grad=True)
    (x @ w).tanh().sum().backward()


def names(prof: Any) -> list[str]:
    return [e.name for e in prof.events()]


def test_forward_and_backward_are_recorded() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        work()
    found = names(prof)
    for name in ("tanh", "TanhBackward0", "AccumulateGrad", "normal"):
        assert name in found
    assert any(n.startswith("M") and n.endswith("mBackward0") or "Product" in n for n in found)
    for e in prof.events():
        assert e.cpu_time_total >= e.self_cpu_time_total >= -1e-6
        for child in e.cpu_children:
            assert child.time_range.start >= e.time_range.start
            assert child.time_range.end <= e.time_range.end


def test_nothing_is_left_behind() -> None:
    before = {name: p.forward for name, p in REGISTRY.items()}
    run, step = PrimitiveNode.run, minigrad.optim.SGD.step
    with pytest.raises(KeyError), profile():
        work()
        raise KeyError
    assert {name: p.forward for name, p in REGISTRY.items()} == before
    assert PrimitiveNode.run is run and minigrad.optim.SGD.step is step
    assert minigrad.core.walk.accumulate is accumulate
    with profile() as prof:
        pass
    assert names(prof) == []
    with record_function("outside"):
        pass
    assert names(prof) == []


def test_results_are_the_same() -> None:
    def run() -> list[np.ndarray]:
        minigrad.manual_seed(0)
        x = minigrad.randn(5, 5, requires_grad=True)
        y = (x.softmax(-1) @ x).sum()
        y.backward()
        return [y.detach().numpy(), x.grad.numpy()]

    plain = run()
    with profile(record_shapes=True, profile_memory=True, with_stack=True, with_flops=True):
        measured = run()
    for a, b in zip(plain, measured, strict=True):
        np.testing.assert_array_equal(a, b)


def test_self_times_add_up_to_the_outermost() -> None:
    with profile() as prof:
        with record_function("outer"):
            work()
    outer = prof.events()[0]
    assert outer.name == "outer" and outer.cpu_parent is None
    total = sum(e.self_cpu_time_total for e in prof.events())
    assert abs(total - outer.cpu_time_total) < 1e-3 * outer.cpu_time_total


def test_key_averages_and_table() -> None:
    with profile(record_shapes=True, profile_memory=True) as prof:
        for n in (3, 3, 5):
            minigrad.ones(n).exp()
    averages = {e.key: e for e in prof.key_averages()}
    assert averages["exp"].count == 3
    by_shape = [e for e in prof.key_averages(group_by_input_shape=True) if e.key == "exp"]
    assert sorted((e.input_shapes, e.count) for e in by_shape) == [([[3]], 2), ([[5]], 1)]
    table = prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=1)
    assert "Self CPU %" in table and "# of Calls" in table and "CPU Mem" in table
    assert table.count("\n") == 6
    with pytest.raises(AttributeError):
        prof.key_averages().table(sort_by="nonsense")
    assert prof.key_averages().total_average().count >= 3
    assert str(prof.key_averages())


def test_memory_of_results_is_counted_and_given_back() -> None:
    x = minigrad.ones(1000)
    with profile(profile_memory=True) as prof:
        y = x.exp()
        with record_function("free"):
            del y
        view = x.view(10, 100)
    by_name = {e.name: e for e in prof.events()}
    assert by_name["exp"].self_cpu_memory_usage == 4000
    assert by_name["free"].self_cpu_memory_usage == -4000
    assert sum(e.own_memory for e in prof.events() if e.name not in ("exp", "free")) == 0
    assert view.shape == (10, 100)


def test_chrome_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with profile(record_shapes=True, profile_memory=True) as prof:
        with record_function("mine"):
            work()
    prof.add_metadata("k", "v")
    prof.add_metadata_json("n", "[1, 2]")
    prof.export_chrome_trace(str(path))
    trace = json.loads(path.read_text())
    assert trace["k"] == "v" and trace["n"] == [1, 2]
    events = {e["name"]: e for e in trace["traceEvents"]}
    assert events["mine"]["cat"] == "user_annotation"
    assert events["tanh"]["args"]["Input Dims"] == [[16, 4]]
    assert events["TanhBackward0"]["dur"] > 0
    assert events["[memory]"]["ph"] == "i"
    prof.export_chrome_trace(str(path) + ".gz")
    with gzip.open(str(path) + ".gz", "rt") as file:
        assert json.load(file)["traceEvents"]


def test_stacks(tmp_path: Path) -> None:
    with profile(with_stack=True) as prof:
        work()
    event = next(e for e in prof.events() if e.name == "tanh")
    assert event.stack[0].split(": ")[-1] == "work" and "test_profiler.py(" in event.stack[0]
    assert prof.key_averages(group_by_stack_n=1)
    prof.export_stacks(str(tmp_path / "stacks"))
    line = (tmp_path / "stacks").read_text().splitlines()[0]
    assert ";" in line and line.rsplit(" ", 1)[1].isdigit()


@pytest.mark.filterwarnings("ignore:Profiler won't be using warmup")
def test_schedule_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for kwargs in (
        {"wait": 1, "warmup": 1, "active": 2},
        {"wait": 0, "warmup": 0, "active": 1, "repeat": 2},
        {"wait": 2, "warmup": 1, "active": 3, "repeat": 2, "skip_first": 3},
        {"wait": 2, "warmup": 1, "active": 3, "skip_first": 2, "skip_first_wait": 1},
    ):
        mine, theirs = schedule(**kwargs), torch.profiler.schedule(**kwargs)
        assert [mine(i).name for i in range(30)] == [theirs(i).name for i in range(30)]
    with pytest.raises(AssertionError):
        schedule(wait=0, warmup=0, active=0)
    assert ProfilerAction.RECORD_AND_SAVE.value == 3


def test_scheduled_profile_calls_back_after_each_active_stretch(tmp_path: Path) -> None:
    ready = []

    def on_ready(prof: Any) -> None:
        ready.append((prof.step_num, [n for n in names(prof) if n.startswith("ProfilerStep")]))
        tensorboard_trace_handler(str(tmp_path / "log"), "worker")(prof)

    with profile(
        schedule=schedule(wait=1, warmup=1, active=2, repeat=2), on_trace_ready=on_ready
    ) as prof:
        for _ in range(10):
            minigrad.ones(3).exp()
            prof.step()
    assert ready == [(4, ["ProfilerStep#2", "ProfilerStep#3"]),
                     (8, ["ProfilerStep#6", "ProfilerStep#7"])]  # fmt: skip
    files = list((tmp_path / "log").iterdir())
    assert len(files) == 2
    assert all(f.name.startswith("worker.") and f.name.endswith(".pt.trace.json") for f in files)


def test_decorator_and_optimizer_and_functions() -> None:
    class Double(minigrad.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 2

    w = minigrad.ones(3, requires_grad=True)
    opt = minigrad.optim.SGD([w], lr=0.1)

    @record_function("train")
    def train() -> None:
        opt.zero_grad()
        Double.apply(w).sum().backward()
        opt.step()

    with profile() as prof:
        train()
    found = names(prof)
    assert found[0] == "train"
    assert "DoubleBackward" in found and "Optimizer.step#SGD.step" in found
    assert "Optimizer.zero_grad#SGD.zero_grad" in found


def test_threads_have_their_own_nesting() -> None:
    with profile() as prof, record_function("main"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    main = prof.events()[0]
    others = [e for e in prof.events() if e.thread != main.thread]
    assert others and all(e.cpu_parent is not main for e in others)


def test_one_profiler_at_a_time() -> None:
    with profile(), pytest.raises(RuntimeError):
        profile().start()
    with profile() as prof:
        minigrad.ones(3).exp()
    assert "exp" in names(prof)
    with pytest.raises(AssertionError):
        profile().key_averages()


def test_older_profiler() -> None:
    from minigrad.autograd import profiler

    with profiler.profile(record_shapes=True) as prof:
        with profiler.record_function("block"):
            minigrad.ones(4).exp()
    assert prof.key_averages().table(sort_by="cpu_time_total")
    assert prof.self_cpu_time_total > 0 and prof.function_events[0].name == "block"
    assert "block" in prof.table()
    with profiler.profile(enabled=False) as nothing:
        assert nothing is None
