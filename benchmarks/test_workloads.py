"""minigrad beside PyTorch, workload by workload, under pytest-benchmark:

    pytest benchmarks --benchmark-group-by=param:key
    pytest benchmarks --benchmark-group-by=param:key -k 'conv and large'

Results are compared first. Both libraries live in one process here, so a figure may carry the
other's threads and memory: compare.py is the judge. asv reads this file too, in environments that
lack pytest; so it imports none.
"""

from __future__ import annotations

import functools
import importlib
import unittest
from typing import Any

from .measure import difference, warm_up
from .workloads import WORKLOADS, Results, Task

LIBRARIES = ("minigrad", "torch")


def pytest_generate_tests(metafunc: Any) -> None:
    pairs = [(key, library) for key in WORKLOADS for library in LIBRARIES]
    ids = [f"{key}-{library}" for key, library in pairs]
    metafunc.parametrize(("key", "library"), pairs, ids=ids)


def built(key: str, library: str) -> Task:
    """The workload in a library; skipped where that is not installed."""
    try:
        lib = importlib.import_module(library)
    except ImportError as error:
        raise unittest.SkipTest(f"needs {library}") from error
    return WORKLOADS[key].setup(lib)


@functools.lru_cache(maxsize=1)
def reference(key: str) -> Results:
    """PyTorch's results, kept for the two tests that follow one another."""
    return built(key, "torch").results()


def test_workload(key: str, library: str, benchmark: Any) -> None:
    task = built(key, library)
    wrong = difference(task.results(), reference(key), WORKLOADS[key].tolerance)
    assert wrong is None, f"{library}: {wrong}"
    warm_up(task.run)
    benchmark(task.run)
