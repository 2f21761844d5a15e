"""Iterating over a DataLoader with worker processes.

Task number n (the indices of batch n) goes to worker n mod num_workers, `prefetch_factor` tasks per
worker ahead; every task has exactly one reply. Replies are given out in the order of their tasks,
and the next task is sent when one is given out: which worker does what depends on no clock, and a
seeded run is the same every time.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import selectors
import shutil  # noqa: F401 (see below)
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Iterator
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any

# multiprocessing imports shutil when the program ends, and that (a namedtuple in it evaluates a
# string) makes Python forget that a Ctrl-C is the reason: it would exit with 1 instead of SIGINT.
from .channel import Channel, Message, Selector, pair
from .iterator import LoaderIterator
from .memory import Borrower
from .worker import DATA, END, FAILURE, Job, Reply, Task, run_worker

GRACE = 2.0  # seconds for a worker to end by itself when its loader is done
LOOK = 1.0  # seconds between looks at the processes, should a death not show in the channel
_NO_MORE: Any = object()


def start_context(wanted: BaseContext | None) -> Any:
    """How workers are started: as asked, as `multiprocessing.set_start_method` says, or by fork on
    Linux, where a data set that cannot be pickled, or is large, then costs nothing.
    """
    if wanted is not None:
        return wanted
    unset = multiprocessing.get_start_method(allow_none=True) is None
    return multiprocessing.get_context("fork" if unset and sys.platform == "linux" else None)


class Crew:
    """The worker processes of one iterator, and the channels to them."""

    def __init__(self, job: Job, context: BaseContext | None):
        self.closed = False
        self._owner = os.getpid()
        self._processes: list[BaseProcess] = []
        self._channels: list[Channel] = []
        self._borrowers: list[Borrower] = []
        self._selector = Selector()
        try:
            for worker in range(job.num_workers):
                self._start(job, worker, start_context(context))
        except BaseException:
            self.close()
            raise

    def _start(self, job: Job, worker: int, context: Any) -> None:
        ours, theirs = pair()
        self._channels.append(ours)
        self._borrowers.append(Borrower())
        self._selector.register(ours.sock, selectors.EVENT_READ, worker)
        try:
            process = context.Process(target=run_worker, args=(job, worker, theirs), daemon=True)
            with warnings.catch_warnings():
                # Python 3.12 warns of a fork beside threads, and NumPy's BLAS always has some.
                warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
                process.start()
            self._processes.append(process)
        finally:
            theirs.close()  # so that the worker's end is the only one

    def send(self, worker: int, epoch: int, number: int, index: Any) -> None:
        """Give a worker a task; RuntimeError if it is dead."""
        task = Task(epoch, number, self._borrowers[worker].returns())
        with self._whole_messages(worker):
            self._channels[worker].send(task, index)

    def receive(self, timeout: float) -> list[Message]:
        """The replies that have come, one per worker at most; waits for the first.

        RuntimeError if a worker is dead.
        """
        messages = []
        for key, _ in self._selector.select(timeout):
            with self._whole_messages(key.data):
                messages.append(self._channels[key.data].receive(self._borrowers[key.data]))
        return messages

    @contextlib.contextmanager
    def _whole_messages(self, worker: int) -> Iterator[None]:
        """Half a message (Ctrl-C, a worker's death) makes a channel useless: that ends the crew."""
        try:
            yield
        except (EOFError, ConnectionError):
            raise self._obituary(worker) from None
        except BaseException:
            self.close()
            raise

    def look(self) -> None:
        """RuntimeError if a worker is dead."""
        for worker, process in enumerate(self._processes):
            if process.exitcode is not None:
                raise self._obituary(worker)

    def _obituary(self, worker: int) -> RuntimeError:
        """What happened to a worker that is no longer there; the others are ended."""
        process = self._processes[worker]
        process.join(GRACE)
        code, who = process.exitcode, f"DataLoader worker (pid {process.pid})"
        self.close()
        if code is None or code >= 0:
            how = "closed its channel" if code is None else f"with exit code {code}"
            return RuntimeError(f"{who} exited unexpectedly {how}.")
        try:
            name = f"{signal.Signals(-code).name} ({signal.strsignal(-code)})"
        except ValueError:
            name = str(-code)
        text = f"{who} is killed by signal: {name}."
        if name.startswith("SIGKILL"):
            text += "\n  help: Linux kills processes so when memory runs out: see `dmesg`"
        return RuntimeError(text)

    def close(self) -> None:
        """End all workers, at the latest after GRACE, and leave no zombie."""
        if self.closed or os.getpid() != self._owner:  # a fork of the loader's process owns none
            return
        self.closed = True
        self._selector.close()
        for channel in self._channels:
            channel.close()
        try:
            deadline = time.monotonic() + GRACE
            for process in self._processes:
                process.join(max(0.0, deadline - time.monotonic()))
        finally:
            for process in self._processes:
                if process.is_alive():
                    process.kill()
                process.join()


class ParallelIterator(LoaderIterator):
    """Batches made ahead by worker processes, which may stay for one epoch after another."""

    def __init__(self, loader: Any):
        super().__init__(loader)
        n, ahead = loader.num_workers, loader.prefetch_factor
        # A segment for every batch made ahead, the one being made, and the one being used.
        job = Job(self._recipe, n, self._base_seed, loader.worker_init_fn, segments=ahead + 2)
        self._crew = Crew(job, loader.multiprocessing_context)
        # At exit, too: an iterator may be alive then.
        self._finalizer = weakref.finalize(self, self._crew.close)
        self._timeout: float = loader.timeout
        self._in_order: bool = loader.in_order
        self._persistent: bool = loader.persistent_workers
        self._ahead = ahead * n
        self._epoch = -1
        self._begin()

    @property
    def alive(self) -> bool:
        """Whether the workers can be used for another epoch."""
        return not self._crew.closed

    def restart(self, loader: Any) -> None:
        """Another epoch by the same workers, wherever the last one was left."""
        self._sampler = iter(self._index_sampler)
        self._expected = loader._expected_batches
        self._count = 0
        self._begin()

    def _begin(self) -> None:
        self._epoch += 1  # replies to older tasks are thrown away
        self._doers: dict[int, int] = {}  # tasks without a reply given out, oldest first: worker
        self._replies: dict[int, Message] = {}
        self._numbers = itertools.count()
        self._active = [True] * self._num_workers
        self._turns = itertools.cycle(range(self._num_workers))
        for _ in range(self._ahead):
            self._assign(None)

    def _assign(self, worker: int | None) -> None:
        """Send the next task, if there is one: to `worker`, or to the one whose turn it is."""
        if not any(self._active):
            return
        index = next(self._sampler, _NO_MORE)
        if index is _NO_MORE:
            return
        while worker is None or not self._active[worker]:
            worker = next(self._turns)
        number = next(self._numbers)
        self._crew.send(worker, self._epoch, number, index)
        self._doers[number] = worker

    def _next_data(self) -> Any:
        while self._doers:
            reply, message, worker = self._next_reply()
            if reply.kind == END:
                self._active[worker] = False
            self._assign(None if self._in_order else worker)
            if reply.kind == DATA:
                return message.load()
            if reply.kind == FAILURE:
                message.load().reraise()
        if not self._persistent:
            self._crew.close()
        raise StopIteration

    def _next_reply(self) -> tuple[Reply, Message, int]:
        """The reply whose turn it is, waiting for it if need be."""
        if self._crew.closed:
            raise RuntimeError("DataLoader: the workers of this iterator have ended early")
        self._collect(0.0)  # a worker's death is noticed although its batches are here
        deadline = time.monotonic() + self._timeout if self._timeout else float("inf")
        while (number := self._number_in_turn()) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
            self._collect(min(left, LOOK))
        message = self._replies.pop(number)
        return message.tag, message, self._doers.pop(number)

    def _number_in_turn(self) -> int | None:
        """The oldest task if it has a reply; without order any task that has one."""
        number = next(iter(self._doers if self._in_order else self._replies), None)
        return number if number in self._replies else None

    def _collect(self, timeout: float) -> None:
        messages = self._crew.receive(timeout)
        if timeout and not messages:
            self._crew.look()
        for message in messages:
            reply: Reply = message.tag
            if reply.epoch == self._epoch:
                self._replies[reply.number] = message
