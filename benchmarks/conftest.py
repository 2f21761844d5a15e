"""pytest benchmarks: timing is on here, though the project's settings turn it off for the tests."""

from __future__ import annotations

from typing import Any

DEFAULTS = {"benchmark_max_time": 1.0, "benchmark_min_rounds": 5}
QUICKER = {"benchmark_max_time": 0.2, "benchmark_min_rounds": 3}


def pytest_configure(config: Any) -> None:
    """Hundreds of workloads in two libraries: each gets less time, unless the command says it."""
    config.option.benchmark_enable = True
    for name, default in DEFAULTS.items():
        if float(getattr(config.option, name)) == default:
            setattr(config.option, name, QUICKER[name])
