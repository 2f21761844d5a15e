"""Tiny ops under asv: the workloads of tiny.py, each forward and backward.

make bench          (asv run; asv publish makes the pages)
"""

from __future__ import annotations

import importlib
from typing import Any

from .tiny import NAMES, workloads


class Tiny:
    """Seconds for one forward and backward of an op with next to nothing to compute."""

    params = (["minigrad", "torch"], list(NAMES))
    param_names = ("library", "workload")

    def setup(self, library: str, workload: str) -> None:
        try:
            lib: Any = importlib.import_module(library)
        except ImportError as error:
            raise NotImplementedError(f"{library} is not installed") from error
        self.run, _ = workloads(lib)[workload]
        self.run()

    def time_forward_backward(self, library: str, workload: str) -> None:
        self.run()
