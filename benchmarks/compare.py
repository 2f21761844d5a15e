"""Libraries side by side, on the same work:

    python -m benchmarks.compare                              minigrad and PyTorch, all workloads
    python -m benchmarks.compare --quick                      fewer and shorter rounds
    python -m benchmarks.compare --only 'conv.*large'         what matches
    python -m benchmarks.compare --family step minigrad minigrad+compile torch torch+compile jax
    python -m benchmarks.compare --device cuda                on a GPU (gpu.py)
    python -m benchmarks.compare --html out/report.html --png out/report.png --json out/report.json

Each library has a process of its own and its own defaults. Results are compared before anything is
timed; a library whose results differ, or that cannot run, has lost. Then they are timed in turn,
round after round. Ratios are the other library's time over the first one's: above 1, the first is
faster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import gpu
from .installed import import_seconds
from .libraries import Failure, Library, Process, library
from .measure import difference
from .report import as_html, as_text, draw_png, save_json
from .workloads import KINDS, SIZES, WORKLOADS, Workload

STATISTICS = ("median", "least")
ROUNDS, BUDGET = 3, 0.2  # a round of every library, seconds of each round
QUICK_ROUNDS, QUICK_BUDGET = 2, 0.03
REFERENCE = "torch"  # whose results are right, where it takes part

Record = dict[str, Any]


def check(processes: Sequence[Process], workload: Workload) -> tuple[list[Process], Record]:
    """Those whose results are right, and the record with the reasons of the others."""
    failed: dict[str, str] = {}
    results = {}
    for process in processes:
        name = process.library.name
        try:
            if process.ask("covers", workload.key):
                results[name] = process.ask("results", workload.key)
        except Failure as failure:
            failed[name] = str(failure)
    if results:
        reference = results.get(REFERENCE, next(iter(results.values())))
        for name, found in results.items():
            wrong = difference(found, reference, workload.tolerance)
            if wrong is not None:
                failed[name] = wrong
    good = [p for p in processes if p.library.name in results and p.library.name not in failed]
    record = {
        "key": workload.key,
        "kind": workload.kind,
        "family": workload.family,
        "size": workload.size,
        "failed": failed,
    }
    return good, record


def measure(
    processes: Sequence[Process],
    workload: Workload,
    rounds: int,
    budget: float,
    statistic: str = "median",
) -> Record:
    """One workload in all libraries: checked, then timed in turn.

    `rounds` of the record holds a median and a least time for each; `seconds` is the median of the
    medians, or the least of all.
    """
    good, record = check(processes, workload)
    seconds: dict[str, list[tuple[float, float]]] = {p.library.name: [] for p in good}
    for _ in range(rounds):
        for process in good:
            name = process.library.name
            if name in record["failed"]:
                continue
            try:
                seconds[name].append(process.ask("seconds", workload.key, budget))
            except Failure as failure:
                record["failed"][name] = str(failure)
    if any([p.device != "cpu" for p in good]):
        record["work"] = _work(good, workload)
    for process in processes:
        with contextlib.suppress(Failure):
            process.ask("forget", workload.key)
    record["rounds"] = seconds
    record["seconds"] = {
        name: statistics.median(median for median, _ in times)
        if statistic == "median"
        else min(least for _, least in times)
        for name, times in seconds.items()
        if times and name not in record["failed"]
    }
    return record


def _work(processes: Sequence[Process], workload: Workload) -> dict[str, float]:
    """Bytes and operations of a workload: the most that any library knows of."""
    known = {"bytes": 0.0, "flops": 0.0}
    for process in processes:
        with contextlib.suppress(Failure):
            found = process.ask("work", workload.key)
            known = {name: max(value, found[name]) for name, value in known.items()}
    return known


def measure_memory(libraries: Sequence[Library], workload: Workload, device: str = "cpu") -> Record:
    """Peak memory of a step, each library in a process that does nothing else."""
    record: Record = {"key": workload.key, "bytes": {}, "failed": {}}
    for one in libraries:
        with Process(one, device=device) as process:
            try:
                if process.ask("covers", workload.key):
                    record["bytes"][one.name] = process.ask("memory", workload.key)
            except Failure as failure:
                record["failed"][one.name] = str(failure)
    return record


def measure_installation(processes: Sequence[Process], rounds: int) -> dict[str, Record]:
    """Version and size of each library, and the median seconds of its import, taken in turn."""
    about: dict[str, Record] = {}
    for process in processes:
        try:
            about[process.library.name] = process.ask("describe")
        except Failure as failure:
            about[process.library.name] = {"failed": str(failure)}
    times: dict[str, list[float]] = {name: [] for name, r in about.items() if "failed" not in r}
    for _ in range(rounds):
        for name, seconds in times.items():
            seconds.append(import_seconds(library(name).module))
    for name, seconds in times.items():
        if seconds:
            about[name]["import_seconds"] = statistics.median(seconds)
    return about


def compare(
    names: Sequence[str],
    workloads: Sequence[Workload],
    *,
    rounds: int = ROUNDS,
    budget: float = BUDGET,
    statistic: str = "median",
    memory: bool = True,
    imports: int = 0,
    device: str = "cpu",
) -> Record:
    """Everything that the report needs, as JSON could hold it.

    `imports` is how often imports are timed. Interrupted, it returns what it has.
    """
    libraries = [library(name) for name in names]
    steps = [w for w in workloads if w.kind == "step"] if memory else []
    report: Record = {
        "libraries": list(names),
        "machine": machine(),
        "settings": {
            "rounds": rounds,
            "budget": budget,
            "statistic": statistic,
            "device": device,
        },
        "workloads": [],
        "memory": [],
    }
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        processes = [stack.enter_context(Process(one, device=device)) for one in libraries]
        report["about"] = measure_installation(processes, imports)
        if device != "cpu":
            report["peaks"] = _peaks(processes)
        bar = tqdm(workloads, unit="workload", dynamic_ncols=True)
        for workload in bar:
            bar.set_description(workload.key, refresh=False)
            report["workloads"].append(measure(processes, workload, rounds, budget, statistic))
        for workload in tqdm(steps, desc="memory", unit="workload", disable=not steps):
            report["memory"].append(measure_memory(libraries, workload, device))
    return report


def _peaks(processes: Sequence[Process]) -> dict[str, float]:
    """The best rates of memory and products that any of the libraries reaches."""
    best: dict[str, float] = {}
    for process in processes:
        with contextlib.suppress(Failure):
            for name, rate in process.ask("peaks").items():
                best[name] = max(rate, best.get(name, 0.0))
    return best


def machine() -> Record:
    """Where the figures come from."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"model name\s*:\s*(.*)", text)
        processor = found[1] if found else processor
    load = 0.0
    with contextlib.suppress(AttributeError, OSError):  # Windows has no such figure
        load = os.getloadavg()[0]
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "load": round(load, 1),
    }


def chosen(
    only: str | None = None,
    families: Iterable[str] | None = None,
    wanted_sizes: Iterable[str] | None = None,
) -> list[Workload]:
    """The workloads whose name matches, of these families (or kinds) and sizes; None is all."""
    return [
        w
        for w in WORKLOADS.values()
        if (only is None or re.search(only, w.key))
        and (families is None or {w.family, w.kind} & set(families))
        and (wanted_sizes is None or w.size in wanted_sizes)
    ]


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    families = sorted({w.family for w in WORKLOADS.values()} | set(KINDS))
    add = parser.add_argument
    add("libraries", nargs="*", help="the first is compared with the others")
    add("--only", metavar="RE", help="workloads whose name matches")
    add("--family", choices=families, action="append", help="may be given more than once")
    add("--size", choices=SIZES, action="append", help="may be given more than once")
    add("--rounds", type=int, help=f"rounds of every library ({ROUNDS}; quick: {QUICK_ROUNDS})")
    add(
        "--statistic", choices=STATISTICS, default="median", help="least: on a machine that is busy"
    )
    add("--quick", action="store_true", help="short rounds, no memory")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--json", type=Path, metavar="FILE", help="all figures")
    add("--html", type=Path, metavar="FILE", help="the report as a page")
    add("--png", type=Path, metavar="FILE", help="the report as a picture (needs matplotlib)")
    found = parser.parse_args(argv)
    found.libraries = found.libraries or ["minigrad", "torch"]
    try:
        for name in found.libraries:
            library(name)
        re.compile(found.only or "")
    except (ValueError, re.error) as error:
        parser.error(str(error))
    if len(set(found.libraries)) < len(found.libraries):
        parser.error("a library is named twice")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table and write the reports; 1 if nothing matches."""
    options = arguments(argv)
    workloads = chosen(options.only, options.family, options.size)
    why_not = gpu.missing() if options.device == "cuda" else None
    if why_not is not None:
        print(why_not, file=sys.stderr)
        return 1
    if not workloads:
        print("no workload matches", file=sys.stderr)
        return 1
    everything = options.only is None and options.family is None and options.size is None
    imports = 0 if not everything else 1 if options.quick else 5
    report = compare(
        options.libraries,
        workloads,
        rounds=options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        budget=QUICK_BUDGET if options.quick else BUDGET,
        statistic=options.statistic,
        memory=not options.quick,
        imports=imports,
        device=options.device,
    )
    print(as_text(report))
    for path, write in (
        (options.json, save_json),
        (options.html, as_html),
        (options.png, draw_png),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(report, path)
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
