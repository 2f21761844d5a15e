"""Python's multiprocessing under PyTorch's name, and `spawn`.

Everything of Python's module is here. Tensors that are sent to another process are copied.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .export import export


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # not before it is wanted: the import takes longer than that of many ops
    return getattr(importlib.import_module("multiprocessing"), name)


@export("multiprocessing.get_all_sharing_strategies")
def get_all_sharing_strategies() -> set[str]:
    """The ways in which tensors travel between processes."""
    return {"file_system"}


@export("multiprocessing.get_sharing_strategy")
def get_sharing_strategy() -> str:
    """The way in which tensors travel between processes."""
    return "file_system"


@export("multiprocessing.set_sharing_strategy")
def set_sharing_strategy(new_strategy: str) -> None:
    """Nothing: tensors are copied. ValueError for a word that PyTorch does not have either."""
    if new_strategy not in ("file_system", "file_descriptor"):
        raise ValueError(f"no sharing strategy {new_strategy!r}")


@export("multiprocessing.ProcessRaisedException")
class ProcessRaisedException(RuntimeError):
    """A process that `spawn` started raised an exception; the message has its traceback."""


@export("multiprocessing.ProcessExitedException")
class ProcessExitedException(RuntimeError):
    """A process that `spawn` started ended with another exit code than 0."""


@export("multiprocessing.SpawnContext")
class SpawnContext:
    """Processes that `spawn` started; `join` waits for them."""

    def __init__(self, processes: list[Any], errors: list[Any]):
        self.processes = processes
        self.errors = dict(enumerate(errors))  # pipes that have not been read
        self.tracebacks: dict[int, str] = {}

    def pids(self) -> list[int | None]:
        """The ids of the processes."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None, grace_period: float | None = None) -> bool:
        """Wait until one has failed or all have ended; True if they have.

        A failure ends the others and is raised: ProcessRaisedException, ProcessExitedException.
        """
        connection = importlib.import_module("multiprocessing.connection")
        alive = [p.sentinel for p in self.processes if p.is_alive()]
        if alive:  # with nothing to wait for it would wait for ever
            # a long traceback fills the pipe, and its process ends only when it is read
            connection.wait([*alive, *self.errors.values()], timeout)
        self._read()
        failed = [
            i
            for i, p in enumerate(self.processes)
            if i in self.tracebacks or p.exitcode not in (0, None)
        ]
        if not failed:
            return all(p.exitcode == 0 for p in self.processes)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join()
        self._read()
        first = failed[0]
        if first in self.tracebacks:
            raise ProcessRaisedException(
                f"\n\n-- Process {first} terminated with the following error:\n"
                f"{self.tracebacks[first]}"
            )
        raise ProcessExitedException(
            f"process {first} terminated with exit code {self.processes[first].exitcode}"
        )

    def _read(self) -> None:
        for i, pipe in list(self.errors.items()):
            if pipe.poll():
                del self.errors[i]
                try:
                    self.tracebacks[i] = pipe.recv()
                except EOFError:
                    pass  # it has ended without one


def _run(fn: Any, i: int, args: tuple[Any, ...], errors: Any) -> None:
    _end_with_parent()
    try:
        fn(i, *args)
    except BaseException:
        import traceback

        errors.send(traceback.format_exc())
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """Ask the kernel for SIGINT when the parent dies, as PyTorch does: no orphan goes on alone."""
    if sys.platform == "linux":
        ctypes, signal = importlib.import_module("ctypes"), importlib.import_module("signal")
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


@export("multiprocessing.start_processes")
def start_processes(
    fn: Any, args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:  # fmt: skip
    """Call fn(i, *args) for i < nprocs, each in a process of its own; wait for them if `join`.

    An exception in one of them ends the others and is raised here, with its traceback.
    """
    context = importlib.import_module("multiprocessing").get_context(start_method)
    processes, errors = [], []
    for i in range(nprocs):
        receiver, sender = context.Pipe(False)
        process = context.Process(target=_run, args=(fn, i, args, sender), daemon=daemon)
        process.start()
        processes.append(process)
        errors.append(receiver)
    started = SpawnContext(processes, errors)
    if not join:
        return started
    while not started.join():
        pass
    return None


@export("multiprocessing.spawn")
def spawn(
    fn: Any, args: tuple[Any, ...] = (), nprocs: int = 1, join: bool = True, daemon: bool = False,
    start_method: str = "spawn",
) -> SpawnContext | None:  # fmt: skip
    """`start_processes` with fresh interpreters."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)
