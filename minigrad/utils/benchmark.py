"""How long a statement takes: `Timer`, as timeit's, with medians and tables."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..export import export
from ..kernels.cpu import threads


@export("utils.benchmark.Measurement")
@dataclass
class Measurement:
    """Times of one statement: `times` are the seconds of one run in each of the measurements."""

    number_per_run: int
    raw_times: list[float]
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1
    stmt: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def times(self) -> list[float]:
        """Seconds per run, of each measurement."""
        return [t / self.number_per_run for t in self.raw_times]

    @property
    def median(self) -> float:
        """The median of `times`."""
        return float(np.median(self.times))

    @property
    def mean(self) -> float:
        """The mean of `times`."""
        return float(np.mean(self.times))

    @property
    def iqr(self) -> float:
        """The distance between the quartiles of `times`."""
        if len(self.times) < 2:
            return 0.0
        first, third = np.percentile(self.times, (25, 75)).tolist()
        return third - first

    @property
    def title(self) -> str:
        """Label and sub-label, or the statement."""
        return ": ".join(t for t in (self.label or self.stmt, self.sub_label) if t)

    def __repr__(self) -> str:
        runs = f"{len(self.raw_times)} measurements of {self.number_per_run} runs"
        return (
            f"<minigrad.utils.benchmark.Measurement>\n{self.title}\n{self.description or ''}\n"
            f"  median {spelled(self.median)}, IQR {spelled(self.iqr)}\n"
            f"  {runs}, {self.num_threads} threads"
        )


def spelled(seconds: float) -> str:
    """A time with a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds / 1e-9:.2f} ns"


@export("utils.benchmark.Timer")
class Timer:
    """Measures a statement (text, run with `globals` after `setup`) on `num_threads` threads.

    `Timer("x + x", globals={"x": x}).blocked_autorange()` repeats it until the clock is precise
    enough; `timeit(n)` runs it n times.
    """

    def __init__(
        self, stmt: str = "pass", setup: str = "pass", global_setup: str = "",
        timer: Callable[[], float] = timeit.default_timer, globals: dict[str, Any] | None = None,
        label: str | None = None, sub_label: str | None = None, description: str | None = None,
        env: str | None = None, num_threads: int = 1, language: str = "py",
    ):  # fmt: skip
        if language not in ("py", "python"):
            raise ValueError(f"Timer: minigrad runs Python, not {language!r}")
        self._timer = timeit.Timer(stmt, setup, timer, dict(globals or {}))
        self._threads = num_threads
        self._about: dict[str, Any] = {
            "label": label, "sub_label": sub_label, "description": description, "env": env,
            "num_threads": num_threads, "stmt": stmt,
        }  # fmt: skip

    def _time(self, number: int) -> float:
        before = threads.count()
        if before != self._threads:
            threads.limit(self._threads)
        try:
            return self._timer.timeit(number)
        finally:
            if before != self._threads:
                threads.limit(before)

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One measurement of `number` runs, after some to warm up."""
        self._time(max(number // 100, 1))
        return Measurement(number, [self._time(number)], **self._about)

    def blocked_autorange(
        self, callback: Callable[[int, float], None] | None = None, min_run_time: float = 0.2
    ) -> Measurement:
        """Measurements of so many runs that the clock is precise, for `min_run_time` seconds."""
        number = 1
        while (taken := self._time(number)) < min(min_run_time, 0.2) / 10:
            number = max(number * 2, int(number * 0.01 / max(taken, 1e-9)))
        times: list[float] = []
        while sum(times) < min_run_time:
            times.append(self._time(number))
            if callback is not None:
                callback(number, times[-1])
        return Measurement(number, times, **self._about)

    def adaptive_autorange(
        self, threshold: float = 0.1, *, min_run_time: float = 0.01, max_run_time: float = 10.0,
        callback: Callable[[int, float], None] | None = None,
    ) -> Measurement:  # fmt: skip
        """`blocked_autorange` until the quartiles are within `threshold` of the median."""
        found = self.blocked_autorange(callback, min_run_time)
        while found.iqr > threshold * found.median and sum(found.raw_times) < max_run_time:
            found.raw_times += self.blocked_autorange(callback, min_run_time).raw_times
        return found


@export("utils.benchmark.Compare")
class Compare:
    """A table of measurements: a row for each sub-label, a column for each description."""

    def __init__(self, results: Iterable[Measurement]):
        self._results = list(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        """Add measurements."""
        self._results += results

    def trim_significant_figures(self) -> None:
        """Nothing: times are spelled with three figures."""

    def colorize(self, rowwise: bool = False) -> None:
        """Nothing: the table is plain text."""

    def highlight_warnings(self) -> None:
        """Nothing: the table is plain text."""

    def __str__(self) -> str:
        columns = list(dict.fromkeys(r.description or "" for r in self._results))
        rows = list(dict.fromkeys((r.num_threads, r.sub_label or r.stmt) for r in self._results))
        cells = {
            ((r.num_threads, r.sub_label or r.stmt), r.description or ""): spelled(r.median)
            for r in self._results
        }
        labels = " / ".join(dict.fromkeys(r.label for r in self._results if r.label))
        table = [["", *columns]] + [
            [f"{name} ({n} threads)", *(cells.get(((n, name), c), "") for c in columns)]
            for n, name in rows
        ]
        widths = [max(len(row[i]) for row in table) for i in range(len(columns) + 1)]
        lines = [
            " | ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(pairs))
            for pairs in (zip(row, widths, strict=True) for row in table)
        ]
        return "\n".join([f"[ {labels} ]", *lines])

    def print(self) -> None:
        """Print the table."""
        print(self)
