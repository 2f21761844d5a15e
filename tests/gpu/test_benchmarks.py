"""The benchmark suite with device=cuda, as far as the stand-in for a GPU goes: results are right,
times come from events, and the report has all its parts. Figures mean nothing here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from benchmarks import compare, gpu, gpu_steps, report
from benchmarks.libraries import library
from benchmarks.measure import difference
from benchmarks.worker import Worker
from benchmarks.workloads import WORKLOADS
from minigrad.backend import devices

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))


@pytest.fixture
def default_device(device: Any) -> Iterator[None]:
    """The default device is the CPU again afterwards."""
    yield
    mg.set_default_device(None)


KEYS = ("add (tiny)", "softmax (tiny)", "adam (tiny)", "rl mlp, batch 64 (tiny)")


class Here:
    """A worker in this process, in the place of libraries.Process."""

    def __init__(self, name: str = "minigrad"):
        self.library, self.device = library(name), "cuda"
        self.worker = Worker(self.library, self.device)

    def ask(self, question: str, *arguments: Any) -> Any:
        return getattr(self.worker, question)(*arguments)


@pytest.mark.parametrize("key", KEYS)
def test_workloads_compute_on_the_gpu_what_they_compute_on_the_cpu(
    default_device: None, key: str
) -> None:
    want = Worker(library("minigrad")).results(key)
    launches = MACHINE.count
    worker = Here()
    got = worker.ask("results", key)
    assert MACHINE.count > launches
    assert difference(got, want, WORKLOADS[key].tolerance) is None
    median, least = worker.ask("seconds", key, 0.01)
    assert 0 < least <= median
    assert worker.ask("memory", "rl mlp, batch 1 (tiny)")["peak"] > 0


def test_inputs_of_ops_are_rotated_past_the_cache(default_device: None) -> None:
    worker = Here()
    worker.ask("results", "add (middle)")  # 256 KiB each; the stand-in's cache has 64
    assert len(worker.worker.tasks["add (middle)"]) == 1
    worker.ask("results", "add (tiny)")
    tasks = worker.worker.tasks["add (tiny)"]
    assert len(tasks) == gpu.MOST_COPIES
    turns: list[int] = []
    gpu.milliseconds(mg, [lambda i=i: turns.append(i) for i in range(3)], 7)  # type: ignore[misc]
    assert turns == [0, 1, 2, 0, 1, 2, 0]


def test_the_share_of_the_roofline() -> None:
    rates = {"bytes": 100.0, "flops": 1000.0}
    assert gpu.share(2.0, {"bytes": 100.0, "flops": 10.0}, rates) == 0.5
    assert gpu.share(2.0, {"bytes": 1.0, "flops": 1000.0}, rates) == 0.5
    assert gpu.share(2.0, {"bytes": 0.0, "flops": 0.0}, rates) is None


def test_a_report_with_rates_shares_and_flags(default_device: None) -> None:
    worker: Any = Here()
    found = {
        "libraries": ["minigrad"],
        "machine": compare.machine(),
        "settings": {"rounds": 1, "budget": 0.01, "statistic": "median", "device": "cuda"},
        "about": {"minigrad": worker.ask("describe")},
        "peaks": gpu.peaks(mg, 64, 1 << 16),
        "memory": [],
        "workloads": [compare.measure([worker], WORKLOADS[k], 1, 0.01) for k in KEYS[:2]],
    }
    text = report.as_text(found)
    assert "float32 products highest" in text and "fake device" in text
    assert "share of" in text and "add (tiny)" in text and "%" in text
    work = found["workloads"][0]["work"]  # two arguments, their gradients, the result and its own
    assert work["bytes"] == 6 * 8 * 8 * 4 and work["flops"] == 0
    assert np.isfinite(list(found["peaks"].values())).all()


def test_without_a_gpu_it_says_what_is_missing(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(devices, "_driver_device_count", lambda: 0)
    assert compare.main(["--device", "cuda", "--only", "add"]) == 1
    said = capsys.readouterr().err
    assert "needs CuPy" in said or "needs a CUDA device" in said


# ------------------------------------------------------------------------------ whole steps
def test_whole_steps_by_every_way_of_minigrad(default_device: None, monkeypatch: Any) -> None:
    name = "rl-mlp"  # the others are larger than the emulator likes
    monkeypatch.setattr(gpu_steps, "ROUNDS", 1)
    precision = mg.get_float32_matmul_precision()
    found = {}
    for way in ("minigrad", "minigrad+graph"):
        found[way] = gpu_steps.measure(name, way, tiny=True, budget=1e-3)
        assert found[way]["ms"] > 0 and found[way]["memory"] > 0
        assert "WRONG" not in gpu_steps.line(name, way, found[way], found["minigrad"]["loss"])
    assert found["minigrad"]["loss"] == found["minigrad+graph"]["loss"]
    assert MACHINE.replays > gpu_steps.COMPARED - 4
    mg.set_float32_matmul_precision(precision)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("name", gpu_steps.TRAININGS)
def test_whole_steps_are_the_same_in_both_libraries(name: str, monkeypatch: Any) -> None:
    """On the CPU, at small sizes: the models are the same ones."""
    import torch

    monkeypatch.setattr(gpu, "choose", lambda lib, device: None)
    training = gpu_steps.TRAININGS[name]
    monkeypatch.setitem(
        gpu_steps.TRAININGS, name, dataclasses.replace(training, precision="float32")
    )
    losses = {}
    for way in ("minigrad", "torch", "torch+fused"):
        _, run = gpu_steps.build(name, way, tiny=True)
        losses[way] = [float(run()) for _ in range(3)]
    np.testing.assert_allclose(losses["minigrad"], losses["torch"], rtol=1e-3)
    np.testing.assert_allclose(losses["torch+fused"], losses["torch"], rtol=1e-3)
    assert losses["torch"][0] > losses["torch"][2]
    torch.backends.cudnn.benchmark = False


def test_a_wrong_loss_and_a_failure_show() -> None:
    found = {"ms": 1.0, "least": 0.9, "host": 0.1, "memory": 1 << 20, "loss": 2.0}
    assert "WRONG LOSS" in gpu_steps.line("rl-mlp", "torch", found, 1.9)
    assert "WRONG" not in gpu_steps.line("rl-mlp", "torch", found, 2.0001)
    assert "failed: no CUDA" in gpu_steps.line("rl-mlp", "torch", {"failed": "no CUDA"}, 1.0)


def test_whole_steps_without_a_gpu(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(devices, "_driver_device_count", lambda: 0)
    assert gpu_steps.main([]) == 1
    assert "help:" in capsys.readouterr().err
