"""The benchmark suite: every workload computes in minigrad what it computes in PyTorch, and the
machinery that compares them counts right."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import bench_workloads, compare, libraries, measure, report, summary
from benchmarks.installed import import_seconds, installed_bytes
from benchmarks.workloads import KINDS, SIZES, WORKLOADS, Workload


def marked(workload: Workload) -> Any:
    """The tiny ones are quick; the others take a minute or two together."""
    marks = () if workload.size == "tiny" else (pytest.mark.slow,)
    return pytest.param(workload, id=workload.key, marks=marks)


@pytest.mark.torch
@pytest.mark.parametrize("workload", [marked(w) for w in WORKLOADS.values()])
def test_minigrad_computes_what_torch_computes(workload: Workload) -> None:
    import torch

    import minigrad

    reference = workload.setup(torch, lambda f: f).results()
    task = workload.setup(minigrad, lambda f: f)
    assert measure.difference(task.results(), reference, workload.tolerance) is None
    task.run()


@pytest.mark.slow
@pytest.mark.parametrize(
    "workload",
    [pytest.param(w, id=w.key) for w in WORKLOADS.values() if w.kind == "step"],
)
@pytest.mark.filterwarnings("ignore:compile")  # a step that it leaves eager
def test_compiled_steps_compute_what_eager_ones_compute(workload: Workload) -> None:
    import minigrad

    eager = workload.setup(minigrad, lambda f: f).results()
    compiled = workload.setup(minigrad, minigrad.compile).results()
    assert measure.difference(compiled, eager, workload.tolerance) is None


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
@pytest.mark.slow
def test_jax_computes_the_same_steps() -> None:
    import minigrad

    jax = libraries.library("jax")
    covered = [w for w in WORKLOADS.values() if jax.covers(w)]
    assert len(covered) == 3
    for workload in covered:
        reference = workload.setup(minigrad, lambda f: f).results()
        results = jax.setup(workload).results()
        assert measure.difference(results, reference, workload.tolerance) is None


def test_every_family_has_every_size() -> None:
    for family in {w.family for w in WORKLOADS.values()}:
        assert {w.size for w in WORKLOADS.values() if w.family == family} == set(SIZES), family
    assert {w.kind for w in WORKLOADS.values()} == set(KINDS)


def test_inputs_are_the_same_every_time_and_differ_between_workloads() -> None:
    import minigrad

    def y(key: str) -> np.ndarray:
        return WORKLOADS[key].setup(minigrad, lambda f: f).results()[0]

    np.testing.assert_array_equal(y("relu (tiny)"), y("relu (tiny)"))
    assert not np.array_equal(y("abs (tiny)"), abs(y("scale and shift (tiny)") - 1) / 2)


# --- equality


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([np.ones(3)], None),
        ([np.ones(3) + 1e-7], None),
        ([], "0 results instead of 1"),
        ([np.ones(2)], "float64(2,) instead of float64(3,)"),
        ([np.ones(3, np.float32)], "float32(3,) instead of float64(3,)"),
        ([np.array([1, 1, 1.1])], "differs by 1.0e-01"),
        ([np.array([1, 1, np.nan])], "differs by nan"),
    ],
)
def test_difference(found: list[np.ndarray], expected: str | None) -> None:
    wrong = measure.difference(found, [np.ones(3)], 1e-6)
    assert wrong is None if expected is None else expected in (wrong or "")


def test_difference_of_empty_and_of_equal_not_finite_results() -> None:
    empty, inf = np.zeros((0, 3)), np.array([np.inf, 1.0])
    assert measure.difference([empty, inf], [empty, inf], 1e-6) is None
    assert "finite" in (measure.difference([-inf], [inf], 1e-6) or "")
    assert "finite" in (measure.difference([np.ones(2)], [inf], 1e-6) or "")


# --- sums


def made_up() -> dict[str, Any]:
    """Five workloads: twice as fast, half as fast, failed, failed in the peer, not asked."""

    def record(key: str, seconds: dict[str, float], failed: dict[str, str]) -> dict[str, Any]:
        return {
            "key": key,
            "kind": "op",
            "family": "conv" if key < "c" else "pool",
            "size": "tiny",
            "seconds": seconds,
            "failed": failed,
        }

    return {
        "libraries": ["minigrad", "torch"],
        "machine": {"processor": "P<1>", "cores": 2, "system": "Linux", "load": 3.0},
        "settings": {"rounds": 1, "budget": 0.1, "statistic": "median"},
        "about": {"minigrad": {"version": "1", "import_seconds": 0.1, "installed_bytes": 2**20}},
        "memory": [
            {
                "key": "m",
                "bytes": {"minigrad": {"peak": 2**21, "above": 2**20}},
                "failed": {"torch": "RuntimeError: no memory"},
            }
        ],
        "workloads": [
            record("a", {"minigrad": 1e-3, "torch": 4e-3}, {}),
            record("b", {"minigrad": 2e-6, "torch": 1e-6}, {}),
            record("c", {"torch": 1.0}, {"minigrad": "RuntimeError: <no>"}),
            record("d", {"minigrad": 1.0}, {"torch": "the process died"}),
            record("e", {"minigrad": 1.0}, {}),
        ],
    }


def test_rows_come_losers_first() -> None:
    found = summary.rows(made_up(), "torch")
    assert [row.key for row in found] == ["c", "b", "a", "d"]
    assert [row.lost for row in found] == [True, True, False, False]


def test_means_count_what_failed() -> None:
    (conv, pool) = sorted(
        summary.families(summary.rows(made_up(), "torch")), key=lambda mean: mean.name
    )
    assert conv.value == pytest.approx(math.sqrt(4 * 0.5))
    assert (conv.count, conv.slower, conv.failed) == (2, 1, 0)
    assert (pool.value, pool.count, pool.failed) == (None, 0, 1)
    assert str(pool) == "- and 1 failed"


def test_asv_reads_times_and_ratios_from_one_report() -> None:
    made = made_up()
    assert bench_workloads.Times().track_seconds(made, "b") == 2e-6
    with pytest.raises(KeyError):  # which asv shows as a failure
        bench_workloads.Times().track_seconds(made, "c")
    ratios, means = bench_workloads.Ratios(), bench_workloads.Means()
    ratios.setup(made, "a")
    assert [ratios.track_ratio(made, key) for key in "abc"] == [4.0, 0.5, 0.0]
    assert means.track_mean(made, "tiny ops") == pytest.approx(math.sqrt(4 * 0.5))
    with pytest.raises(NotImplementedError):  # which asv shows as not applicable
        ratios.setup(made | {"libraries": ["minigrad"]}, "a")


def test_reports(tmp_path: Path) -> None:
    text = report.as_text(made_up())
    assert "2 of 4 workloads lost" in text and "BUSY (load 3.0)" in text
    assert text.index("RuntimeError: <no>") < text.index("1 ms")
    report.save_json(made_up(), tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == made_up()
    report.as_html(made_up(), tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "RuntimeError: &lt;no&gt;" in page and "P&lt;1&gt;" in page and "<no>" not in page


@pytest.mark.slow
def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report.draw_png(made_up(), tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


# --- processes


def test_environment_of_a_process() -> None:
    given = {"OMP_NUM_THREADS": "1", "MINIGRAD_DEBUG": "1", "HOME": "h", "KMP_BLOCKTIME": "0"}
    ours = libraries.environment("minigrad", given, ["x", ""])
    theirs = libraries.environment("torch", given, ["x", ""])
    assert theirs == {"HOME": "h", "PYTHONPATH": os.pathsep.join(["x", str(libraries.ROOT)])}
    assert ours == theirs | {"MINIGRAD_DEBUG": "1"}


@pytest.mark.parametrize("name", ["tensorflow", "torch+", "torch+jit", "jax+compile", ""])
def test_unknown_library(name: str) -> None:
    with pytest.raises(ValueError, match="unknown library|always compiled"):
        libraries.library(name)
    with pytest.raises(SystemExit):
        compare.arguments([name or "+"])


def test_a_process_answers_fails_and_comes_back() -> None:
    with libraries.Process(libraries.library("minigrad")) as process:
        assert process.ask("covers", "relu (tiny)")
        (y, grad) = process.ask("results", "relu (tiny)")
        assert y.shape == grad.shape == (8, 8)
        median, least = process.ask("seconds", "relu (tiny)", 0.01)
        assert 0 < least <= median < 0.1
        process.ask("forget", "relu (tiny)")
        with pytest.raises(libraries.Failure, match="KeyError"):
            process.ask("seconds", "relu (tiny)", 0.01)
        assert process.process is not None
        os.kill(process.process.pid, signal.SIGKILL)
        with pytest.raises(libraries.Failure, match="died"):
            process.ask("describe")
        assert process.ask("covers", "relu (tiny)")


def test_a_silent_process_is_given_up() -> None:
    with (
        libraries.Process(libraries.library("minigrad"), limit=0.001) as process,
        pytest.raises(libraries.Failure, match="no answer"),
    ):
        process.ask("describe")


@pytest.mark.torch
def test_compare_from_end_to_end(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "sub" / "r.json"
    code = compare.main(["--quick", "--only", r"^add \(tiny\)", "--json", str(path)])
    assert code == 0
    (record,) = json.loads(path.read_text())["workloads"]
    assert set(record["seconds"]) == {"minigrad", "torch"} and not record["failed"]
    for name, times in record["rounds"].items():
        assert len(times) == 2
        assert record["seconds"][name] == pytest.approx(sum(median for median, _ in times) / 2)
    assert "tiny ops" in capsys.readouterr().out


def test_what_cannot_run_is_a_failure() -> None:
    workload = WORKLOADS["add (tiny)"]

    class Broken(libraries.Process):
        def ask(self, question: str, *arguments: Any) -> Any:
            if question == "results":
                return [np.zeros((8, 8), np.float32)]
            return super().ask(question, *arguments)

    ours = libraries.library("minigrad")
    with libraries.Process(ours) as right, Broken(ours) as wrong:
        wrong.ask("covers", workload.key)
        wrong.library = libraries.Library("wrong")
        good, record = compare.check([right, wrong], workload)
    assert good == [right] and "results" in record["failed"]["wrong"]


def test_choosing_workloads(capsys: pytest.CaptureFixture[str]) -> None:
    assert {w.size for w in compare.chosen("^add ", None, ["tiny"])} == {"tiny"}
    assert {w.family for w in compare.chosen(None, ["conv", "pool"])} == {"conv", "pool"}
    assert {w.kind for w in compare.chosen(None, ["step"])} == {"step"}
    assert compare.main(["--only", "no such thing"]) == 1
    assert "no workload matches" in capsys.readouterr().err


# --- cost


def test_median_of_calls() -> None:
    calls = []
    median, least = measure.seconds_per_call(lambda: calls.append(0), 0.01)
    assert 0 < least <= median < 1e-4 and len(calls) > 1000


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux' /proc")
def test_peak_of_steps_sees_memory_that_was_freed() -> None:
    with libraries.Process(libraries.library("minigrad")) as process:
        peak = process.ask("memory", "rl mlp, batch 1 (tiny)")
    assert 0 < peak["above"] < peak["peak"] < 2**31

    def step() -> None:
        np.ones(2**23).sum()  # 64 MB for a moment

    before = measure.status("VmRSS") or 0
    assert measure.peak_of_steps(lambda: step)["peak"] >= before + 60 * 2**20
    assert measure.peak_of_steps(lambda: lambda: None)["peak"] < before + 60 * 2**20


def test_installation() -> None:
    assert 0 < import_seconds("minigrad") < 30
    assert installed_bytes("minigrad") > installed_bytes("numpy") > 2**20
    assert installed_bytes("no-such-package") == 0
