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

from .installed import installed_bytes
from .libraries import Library, library
from .measure import peak_of_steps, seconds_per_call, warm_up
from .workloads import WORKLOADS, Results, Task


class Worker:
    """Answers questions about workloads, which it keeps from `results` until `forget`."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.tasks: dict[str, Task] = {}

    def describe(self) -> dict[str, Any]:
        module = importlib.import_module(self.library.module)
        return {
            "version": str(module.__version__),
            "python": platform.python_version(),
            "installed_bytes": installed_bytes(self.library.module),
        }

    def covers(self, key: str) -> bool:
        return self.library.covers(WORKLOADS[key])

    def results(self, key: str) -> Results:
        task = self.tasks[key] = self.library.setup(WORKLOADS[key])
        found = task.results()
        warm_up(task.run)
        return found

    def seconds(self, key: str, budget: float) -> tuple[float, float]:
        return seconds_per_call(self.tasks[key].run, budget)

    def forget(self, key: str) -> None:
        self.tasks.pop(key, None)

    def memory(self, key: str) -> dict[str, int]:
        importlib.import_module(self.library.module)
        return peak_of_steps(lambda: self.library.setup(WORKLOADS[key]).run)


def main() -> None:
    """Answer until stdin ends. What a library prints goes to stderr: stdout carries answers."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        worker = Worker(library(sys.argv[1]))
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
