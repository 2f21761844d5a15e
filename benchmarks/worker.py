"""The process in which one library works: reads requests from stdin, answers on stdout, in pickles.

Started by libraries.Process as `python -m benchmarks.worker torch`; not meant to be run by hand.
"""

from __future__ import annotations

import importlib
import os
import pickle
import platform
import sys
from typing import Any

from . import gpu
from .installed import installed_bytes
from .libraries import Library, library
from .measure import peak_of_steps, seconds_per_call, warm_up
from .workloads import WORKLOADS, Results, Task


class Worker:
    """Answers questions about workloads, which it keeps from `results` until `forget`."""

    def __init__(self, library: Library, device: str = "cpu") -> None:
        self.library = library
        self.device = device
        self.tasks: dict[str, list[Task]] = {}

    @property
    def module(self) -> Any:
        """The library, making its tensors on the device."""
        module = importlib.import_module(self.library.module)
        if self.device != "cpu":
            gpu.choose(module, self.device)
        return module

    def describe(self) -> dict[str, Any]:
        module = self.module
        return {
            "flags": gpu.flags(module) if self.device != "cpu" else {},
            "version": str(module.__version__),
            "python": platform.python_version(),
            "installed_bytes": installed_bytes(self.library.module),
        }

    def covers(self, key: str) -> bool:
        return self.library.covers(WORKLOADS[key])

    def results(self, key: str) -> Results:
        module, workload = self.module, WORKLOADS[key]
        before = gpu.in_use(module) if self.device != "cpu" else 0
        task = self.library.setup(workload)
        self.tasks[key] = [task]
        found = task.results()
        if self.device != "cpu" and workload.kind == "op":
            more = gpu.copies(module, gpu.in_use(module) - before) - 1
            self.tasks[key] += [self.library.setup(workload) for _ in range(more)]
        for each in self.tasks[key]:
            warm_up(each.run)
        return found

    def seconds(self, key: str, budget: float) -> tuple[float, float]:
        runs = [task.run for task in self.tasks[key]]
        if self.device != "cpu":
            return gpu.seconds_per_call(self.module, runs, budget)
        return seconds_per_call(runs[0], budget)

    def peaks(self) -> dict[str, float]:
        return gpu.peaks(self.module)

    def work(self, key: str) -> dict[str, float]:
        """Bytes and operations of a workload, as far as they are known."""
        task = self.tasks[key][0]
        return {"bytes": task.touched, "flops": gpu.flops(self.module, task.run)}

    def forget(self, key: str) -> None:
        self.tasks.pop(key, None)

    def memory(self, key: str) -> dict[str, int]:
        module = self.module
        if self.device != "cpu":
            return gpu.peak_of_steps(module, self.library.setup(WORKLOADS[key]).run)
        return peak_of_steps(lambda: self.library.setup(WORKLOADS[key]).run)


def main() -> None:
    """Answer until stdin ends. What a library prints goes to stderr: stdout carries answers."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        worker = Worker(library(sys.argv[1]), *sys.argv[2:])
        while True:
            try:
                question, arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            try:
                answer: tuple[bool, Any] = True, getattr(worker, question)(*arguments)
            except Exception as error:  # whatever a library raises is an answer
                text = str(error).strip().splitlines() or [""]
                answer = False, f"{type(error).__name__}: {text[0][:200]}"
            pickle.dump(answer, answers)
            answers.flush()


if __name__ == "__main__":
    main()
