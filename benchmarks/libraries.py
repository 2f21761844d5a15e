"""The libraries that can be compared, and the processes in which they work.

A library is written `minigrad`, `torch`, `jax`, or with its compiler `minigrad+compile`,
`torch+compile`. Every library lives in a process of its own: what it does to threads, allocators
and the environment stays there. This file imports none of them.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .workloads import Task, Workload, plain

ROOT = Path(__file__).resolve().parents[1]
KNOWN = ("minigrad", "torch", "jax")
# Who measures may have set these for other programs; here every library has its own defaults.
THREADS = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMBA_", "BLIS_", "VECLIB_")
TIME_LIMIT = 300.0  # seconds for one request: compiling a training step may take minutes


@dataclass(frozen=True)
class Library:
    """A library as written on the command line, in the process that is to run it."""

    name: str

    @property
    def module(self) -> str:
        return self.name.partition("+")[0]

    @property
    def compiled(self) -> bool:
        return self.name.endswith("+compile")

    def covers(self, workload: Workload) -> bool:
        """Whether it can be asked at all: compilers take training steps, JAX what is written for
        it."""
        if self.module == "jax":
            from .workloads import jax_steps

            return workload.key in jax_steps.SETUPS
        return workload.kind == "step" or not self.compiled

    def setup(self, workload: Workload) -> Task:
        """The workload, built for this library; ImportError if it is not installed."""
        lib = importlib.import_module(self.module)
        if self.module == "jax":
            from .workloads import jax_steps

            return jax_steps.SETUPS[workload.key](workload.setup)
        return workload.setup(lib, lib.compile if self.compiled else plain)


def library(name: str) -> Library:
    """The library called `name`; ValueError if nobody knows it."""
    found = Library(name)
    if found.module not in KNOWN or name not in (found.module, f"{found.module}+compile"):
        raise ValueError(f"unknown library {name!r}: use one of {', '.join(KNOWN)}, or +compile")
    if name == "jax+compile":
        raise ValueError("jax is always compiled: write jax")
    return found


def environment(
    module: str, inherited: Mapping[str, str] = os.environ, path: list[str] | None = None
) -> dict[str, str]:
    """The environment of a library's process: the present one without what sets threads, and
    without minigrad's switches unless it is minigrad's. It finds the packages that we find, and
    this one after them."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(THREADS)
        and (module == "minigrad" or not name.startswith("MINIGRAD_"))
    }
    folders = [p for p in (sys.path if path is None else path) if p]
    return kept | {"PYTHONPATH": os.pathsep.join([*folders, str(ROOT)])}


class Failure(Exception):
    """A library could not do what it was asked; the message says why in a line."""


class Process:
    """A process that holds one library and answers requests (worker.py), one at a time.

    It lives until `close`; one that dies, or is killed after `limit` seconds of silence, makes the
    request a Failure, and the next request starts another.
    """

    def __init__(self, library: Library, limit: float = TIME_LIMIT, device: str = "cpu") -> None:
        self.library = library
        self.limit = limit
        self.device = device
        self.log = tempfile.TemporaryFile()
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.log.close()

    def start(self) -> subprocess.Popen:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", self.library.name, self.device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=environment(self.library.module),
        )
        return self.process

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer to `question`, a method of worker.Worker."""
        process = self.process or self.start()
        assert process.stdin is not None and process.stdout is not None  # both are pipes
        late = threading.Event()

        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self.limit, give_up)
        timer.start()
        try:
            pickle.dump((question, arguments), process.stdin)
            process.stdin.flush()
            good, answer = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            self.close()
            reason = f"no answer in {self.limit:.0f} s" if late.is_set() else "the process died"
            raise Failure(f"{reason}{self.last_words()}") from None
        finally:
            timer.cancel()
        if not good:
            raise Failure(answer)
        return answer

    def last_words(self) -> str:
        """The end of what the process wrote to stderr, as part of a sentence."""
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def close(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
