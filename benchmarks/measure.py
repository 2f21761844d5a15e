"""How things are measured: seconds of a call, memory of a step, equality of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SAMPLE = 1e-3  # seconds: what is read off the clock at once, thousands of times the clock's cost
LEAST = 3  # samples, however long they take
WARM_STEPS, MEASURED_STEPS = 5, 3


def seconds_per_call(run: Callable[[], Any], budget: float) -> tuple[float, float]:
    """The median and the least of as many samples as fit into `budget` seconds.

    A sample is one call, or so many that they take a millisecond. Before them comes a fifth of the
    budget untimed: caches warm up, and threads that another process left spinning fall asleep.
    """
    clock = time.perf_counter
    start = clock()
    calls = 0
    while calls == 0 or clock() - start < budget / 5:
        run()
        calls += 1
    loop = range(max(1, round(SAMPLE * calls / (clock() - start))))
    samples: list[float] = []
    start = clock()
    while len(samples) < LEAST or clock() - start < budget:
        before = clock()
        for _ in loop:
            run()
        samples.append((clock() - before) / len(loop))
    return float(np.median(samples)), min(samples)


def warm_up(run: Callable[[], Any], calls: int = 3, limit: float = 1.0) -> None:
    """The first calls, which compile kernels, capture programs and fill caches."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
        if time.perf_counter() - start > limit:
            return


def status(field: str) -> int | None:
    """Bytes of `field` of this process (VmRSS, VmHWM), or None where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def forget_peak() -> None:
    """Let VmHWM, the largest resident size so far, start again from the present one (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        raise NotImplementedError("this system cannot reset the peak of a process") from error


def peak_of_steps(build: Callable[[], Callable[[], Any]]) -> dict[str, int]:
    """Resident bytes in this fresh process: `peak` during steps that have warmed up, and `above`,
    what of it came after the import. Compilers at work in the first steps are not counted.
    """
    imported = status("VmRSS")
    run = build()
    for _ in range(WARM_STEPS):
        run()
    forget_peak()
    for _ in range(MEASURED_STEPS):
        run()
    peak = status("VmHWM")
    if imported is None or peak is None:
        raise NotImplementedError("this system does not tell the memory of a process")
    return {"peak": peak, "above": peak - imported}


def difference(
    results: Sequence[np.ndarray], reference: Sequence[np.ndarray], tolerance: float
) -> str | None:
    """What is wrong with `results`, or None if all shapes and dtypes are those of the reference and
    no number is off by more than `tolerance` of the largest one in its array.
    """
    if len(results) != len(reference):
        return f"{len(results)} results instead of {len(reference)}"
    for i, (x, y) in enumerate(zip(results, reference, strict=True)):
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"result {i} is {x.dtype}{x.shape} instead of {y.dtype}{y.shape}"
        if x.size == 0:
            continue
        x, y = x.astype(np.float64), y.astype(np.float64)
        finite = np.isfinite(y)
        if not np.array_equal(x[~finite], y[~finite], equal_nan=True):
            return f"result {i} is finite where it should not be"
        largest = max(float(np.abs(y[finite]).max(initial=0.0)), sys.float_info.min)
        off = float(np.abs(x[finite] - y[finite]).max(initial=0.0)) / largest
        if not off <= tolerance:
            return f"result {i} differs by {off:.1e} of its largest number"
    return None
