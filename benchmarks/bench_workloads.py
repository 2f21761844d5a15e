"""The workloads under asv: how long minigrad takes, how much memory, how it compares.

    asv run --quick --python=same       this checkout, in the environment of the current Python
    asv publish && asv preview          the pages

All times come from one quick run of compare.py, in which the libraries work in separate processes
in turn; they are the least that was seen, which other programs disturb the least. asv would start
a process for each of hundreds of workloads, and spend ten times as long on starting as on
measuring.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from .compare import QUICK_BUDGET, QUICK_ROUNDS, compare
from .installed import import_seconds, installed_bytes
from .libraries import Library
from .measure import warm_up
from .summary import overall, rows
from .workloads import WORKLOADS

OURS, PEER = Library("minigrad"), "torch"
STEPS = [key for key, w in WORKLOADS.items() if w.kind == "step"]
SUMS = ["all ops", "tiny ops", "middle ops", "large ops", "training steps", "rl mlp steps"]


class Measured:
    """What all of these read: the report of one run, made once for all of them."""

    timeout = 1800.0

    def setup_cache(self) -> dict[str, Any]:
        peers = [PEER] if importlib.util.find_spec(PEER) is not None else []
        return compare(
            [OURS.name, *peers],
            list(WORKLOADS.values()),
            rounds=QUICK_ROUNDS,
            budget=QUICK_BUDGET,
            statistic="least",
            memory=False,
        )

    setup_cache.timeout = 1800.0  # type: ignore[attr-defined]


class Times(Measured):
    """Seconds of an op, forward and backward, of a training step, of one use of a model."""

    params = (list(WORKLOADS),)
    param_names = ("workload",)
    unit = "seconds"

    def track_seconds(self, report: dict[str, Any], key: str) -> float:
        found = {record["key"]: record["seconds"] for record in report["workloads"]}
        return found[key][OURS.name]


class Against(Measured):
    """Ratios to PyTorch, above 1 where minigrad is faster; 0 where it could not run."""

    unit = "times PyTorch's speed"

    def setup(self, report: dict[str, Any], *_: Any) -> None:
        if PEER not in report["libraries"]:
            raise NotImplementedError(f"{PEER} is not installed")


class Ratios(Against):
    """One workload."""

    params = (list(WORKLOADS),)
    param_names = ("workload",)

    def track_ratio(self, report: dict[str, Any], key: str) -> float:
        found = {row.key: row for row in rows(report, PEER)}
        return found[key].ratio or 0.0


class Means(Against):
    """The geometric mean of a group."""

    params = (SUMS,)
    param_names = ("group",)

    def track_mean(self, report: dict[str, Any], group: str) -> float:
        means = {mean.name: mean for mean in overall(rows(report, PEER))}
        return means[group].value or 0.0


class Steps:
    """Peak resident memory of a process that trains."""

    params = (STEPS,)
    param_names = ("workload",)

    def setup(self, key: str) -> None:
        self.run = OURS.setup(WORKLOADS[key]).run
        warm_up(self.run)

    def peakmem_step(self, key: str) -> None:
        self.run()


class Installation:
    """What minigrad costs before it computes."""

    def track_import(self) -> float:
        return min(import_seconds(OURS.module) for _ in range(5))

    track_import.unit = "seconds"  # type: ignore[attr-defined]

    def track_size(self) -> int:
        return installed_bytes(OURS.module)

    track_size.unit = "bytes"  # type: ignore[attr-defined]
