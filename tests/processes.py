"""Several processes for one test: started, watched, and ended whatever happens.

    def work(rank, size, ...):              # at the top of a module, so that it can be found
        return dist.get_rank()

    assert run(work, 3) == [0, 1, 2]

The processes are forked from a server that has imported minigrad, Numba and PyTorch: a start costs
milliseconds, and no rank imports while another one waits for it. A process that is not done in
time is killed and the test fails.
"""

from __future__ import annotations

import faulthandler
import functools
import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

LIMIT = 240.0  # seconds for everything: other programs may want the machine, too


@functools.cache
def context() -> Any:
    """Where processes come from."""
    for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(pool, "1")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(
        ["minigrad.distributed", "minigrad.nn.parallel", "numba", "torch", "pytest"]
    )
    return made


class Died(Exception):
    """A process ended without a result; its exit code."""


def _enter(
    work: Callable[..., Any], rank: int, size: int, init: dict[str, Any] | None,
    args: Sequence[Any], results: Connection,
) -> None:  # fmt: skip
    faulthandler.dump_traceback_later(float(os.environ.get("TRACE_AFTER", LIMIT - 5)), exit=False)
    try:
        if init is not None:
            import minigrad.distributed as dist

            dist.init_process_group(rank=rank, world_size=size, **init)
        value = work(rank, size, *args)
        if init is not None:
            if dist.is_initialized():
                dist.destroy_process_group()
        results.send(("value", value))
    except BaseException as error:
        results.send(("error", error.__class__.__name__, str(error), traceback.format_exc()))
    results.close()


class Failed(Exception):
    """What a process raised: `.kind` is the name of its class."""

    def __init__(self, kind: str, text: str, trace: str):
        super().__init__(f"{kind}: {text}\n{trace}")
        self.kind, self.text = kind, text


class Group:
    """Processes under way."""

    def __init__(
        self, work: Callable[..., Any], size: int, *args: Any, init: Any = True, **options: Any
    ):
        self.folder = tempfile.TemporaryDirectory(prefix="minigrad-test-")
        if init is True:
            init = {
                "init_method": f"file://{self.folder.name}/rendezvous",
                "timeout": 100,
                **options,
            }
        self.processes, self.pipes = [], []
        for rank in range(size):
            receiver, sender = context().Pipe(False)
            process = context().Process(
                target=_enter, args=(work, rank, size, init or None, args, sender)
            )
            process.start()
            sender.close()
            self.processes.append(process)
            self.pipes.append(receiver)

    def kill(self, rank: int, how: int = signal.SIGKILL) -> None:
        """Send a signal to one of them."""
        os.kill(self.processes[rank].pid, how)

    def outcomes(self, limit: float = LIMIT) -> list[Any]:
        """The value of each, or Failed or Died; all processes have ended afterwards."""
        found: dict[int, Any] = {}
        deadline = time.monotonic() + limit
        try:
            while len(found) < len(self.pipes):
                pending = {p: i for i, p in enumerate(self.pipes) if i not in found}
                ready = wait(list(pending), max(0.0, deadline - time.monotonic()))
                if not ready:
                    hanging = sorted(pending.values())
                    raise AssertionError(f"ranks {hanging} were not done in {limit} s: {found}")
                for pipe in ready:
                    found[pending[pipe]] = self._outcome(pending[pipe])  # type: ignore[index]
            for process in self.processes:
                process.join(max(0.1, deadline - time.monotonic()))
                assert process.exitcode is not None, "a process did not end"
        finally:
            self.end()
        return [found[rank] for rank in range(len(self.pipes))]

    def _outcome(self, rank: int) -> Any:
        try:
            kind, *rest = self.pipes[rank].recv()
        except EOFError:
            return Died()
        return rest[0] if kind == "value" else Failed(*rest)

    def end(self) -> None:
        """Kill those that are left."""
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()
        self.folder.cleanup()


def run(
    work: Callable[..., Any], size: int, *args: Any, limit: float = LIMIT, **options: Any
) -> Any:
    """work(rank, size, *args) in `size` processes of one group; the values, or the first error."""
    found = Group(work, size, *args, **options).outcomes(limit)
    for value in found:
        if isinstance(value, Exception):
            raise value
    return found
