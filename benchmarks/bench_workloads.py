"""The workloads under asv: how long minigrad takes, how much memory, how it compares.

    asv run --quick --python=same       this checkout, in the environment of the current Python
    asv publish && asv preview          the pages

Times and memory are minigrad's, taken by asv in a process of their own. Ratios come from one quick
run of compare.py, in which the libraries work in separate processes in turn.
"""

from __future__ import annotations

import importlib
from typing import Any

from .compare import QUICK_BUDGET, QUICK_ROUNDS, compare
from .installed import import_seconds, installed_bytes
from .libraries import Library
from .measure import warm_up
from .summary import overall, rows
from .workloads import WORKLOADS

OURS, PEER = Library("minigrad"), "torch"
OPS = [key for key, w in WORKLOADS.items() if w.kind == "op"]
MODELS = [key for key, w in WORKLOADS.items() if w.kind != "op"]
STEPS = [key for key, w in WORKLOADS.items() if w.kind == "step"]
SUMS = ["all ops", "tiny ops", "middle ops", "large ops", "training steps", "rl mlp steps"]


class Workloads:
    """What those share that build one workload and run it."""

    param_names = ("workload",)

    def setup(self, key: str) -> None:
        self.run = OURS.setup(WORKLOADS[key]).run
        warm_up(self.run)


class Ops(Workloads):
    """Seconds of an op, forward and backward."""

    params = (OPS,)

    def time_op(self, key: str) -> None:
        self.run()


class Models(Workloads):
    """Seconds of a training step, or of one use of a model."""

    params = (MODELS,)

    def time_model(self, key: str) -> None:
        self.run()


class Steps(Workloads):
    """Peak resident memory of a process that trains."""

    params = (STEPS,)

    def peakmem_step(self, key: str) -> None:
        self.run()


class Against:
    """Ratios to PyTorch, above 1 where minigrad is faster; 0 where it could not run."""

    timeout = 1800.0

    def setup_cache(self) -> dict[str, Any]:
        try:
            importlib.import_module(PEER)
        except ImportError as error:
            raise NotImplementedError(f"{PEER} is not installed") from error
        return compare(
            [OURS.name, PEER],
            list(WORKLOADS.values()),
            rounds=QUICK_ROUNDS,
            budget=QUICK_BUDGET,
            memory=False,
        )

    setup_cache.timeout = 1800.0  # type: ignore[attr-defined]


class Ratios(Against):
    """One workload."""

    params = (list(WORKLOADS),)
    param_names = ("workload",)
    unit = "times PyTorch's speed"

    def track_ratio(self, report: dict[str, Any], key: str) -> float:
        found = {row.key: row for row in rows(report, PEER)}
        return found[key].ratio or 0.0


class Means(Against):
    """The geometric mean of a group."""

    params = (SUMS,)
    param_names = ("group",)
    unit = "times PyTorch's speed"

    def track_mean(self, report: dict[str, Any], group: str) -> float:
        means = {mean.name: mean for mean in overall(rows(report, PEER))}
        return means[group].value or 0.0


class Installation:
    """What minigrad costs before it computes."""

    def track_import(self) -> float:
        return min(import_seconds(OURS.module) for _ in range(5))

    track_import.unit = "seconds"  # type: ignore[attr-defined]

    def track_size(self) -> int:
        return installed_bytes(OURS.module)

    track_size.unit = "bytes"  # type: ignore[attr-defined]
