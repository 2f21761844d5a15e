"""A worker process: takes indices from its loader and sends batches back, one for each.

It ends when the loader's end of the channel is closed, whether the loader is done, was deleted, or
died.
"""

from __future__ import annotations

import os
import pickle
import queue
import random
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import config
from ...backend.random import manual_seed
from .channel import Channel, Message, close_inherited
from .fetch import EXHAUSTED, Recipe
from .info import WorkerInfo, set_worker_info
from .memory import Lender

ORPHAN_CHECK = 5.0  # seconds

# what a reply brings
DATA, FAILURE, END = range(3)


class Task(NamedTuple):
    """The tag of a message to a worker; the index is the message's object."""

    epoch: int
    number: int
    returned: tuple[int, ...]  # segments that are no longer read


class Reply(NamedTuple):
    """The tag of a message from a worker: one for each task."""

    epoch: int
    number: int
    kind: int


class Job(NamedTuple):
    """What all workers of a loader are told at the start."""

    recipe: Recipe
    num_workers: int
    base_seed: int
    init_fn: Callable[[int], Any] | None
    segments: int


class _VerbatimKey(str):
    """KeyError shows the repr of its argument, which would put a traceback into one line."""

    def __repr__(self) -> str:
        return str(self)


class Failure(NamedTuple):
    """An exception on its way to another process: its type and the text of its traceback."""

    type: type[BaseException]
    text: str

    @classmethod
    def of(cls, error: BaseException, worker: int) -> Failure:
        """`error`, while it is being handled in a worker."""
        lines = "".join(traceback.format_exception(error))
        kind = type(error)
        text = f"Caught {kind.__name__} in DataLoader worker process {worker}.\nOriginal {lines}"
        try:
            pickle.dumps(kind)
        except Exception:  # a class that only this process can name
            kind = RuntimeError
        return cls(kind, text)

    def reraise(self) -> None:
        """Raise the original type with the worker's traceback as message.

        RuntimeError if the type cannot be made from a message, or is StopIteration, which would
        end the loop over the loader as if all were well.
        """
        if issubclass(self.type, StopIteration):
            raise RuntimeError(self.text)
        text = _VerbatimKey(self.text) if issubclass(self.type, KeyError) else self.text
        try:
            error = self.type(text)
        except Exception:  # such as one that takes more arguments
            error = RuntimeError(text)
        raise error


class _Inbox(threading.Thread):
    """Empties the channel all the time: a loader that sends a task never waits for a worker that
    is sending a batch, which would wait for the loader.
    """

    def __init__(self, channel: Channel, lender: Lender):
        super().__init__(name="minigrad-inbox", daemon=True)
        self._channel = channel
        self._lender = lender
        self._tasks: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._epoch = 0
        self._ended = False

    def run(self) -> None:
        parent = os.getppid()
        try:
            while True:
                # A dead loader closes its end, but a process forked from it may hold a copy.
                while not self._channel.wait(ORPHAN_CHECK):
                    if os.getppid() != parent:
                        raise EOFError("the loader's process is gone")
                message = self._channel.receive()
                task: Task = message.tag
                self._lender.returned.extend(task.returned)
                self._epoch = task.epoch
                self._tasks.put(message)
        except (EOFError, OSError):
            self._ended = True
            self._tasks.put(None)

    def next(self) -> tuple[Task, Message] | None:
        """The next task of the current epoch; None when the loader is gone."""
        while (message := self._tasks.get()) is not None and not self._ended:
            task: Task = message.tag
            if task.epoch == self._epoch:
                return task, message
        return None


def run_worker(job: Job, worker: int, channel: Channel) -> None:
    """The main function of worker number `worker`."""
    close_inherited()
    _take_no_signals()
    _seed(job.base_seed, worker)
    set_worker_info(WorkerInfo(worker, job.num_workers, job.base_seed + worker, job.recipe.dataset))
    lender = Lender(job.segments)
    inbox = _Inbox(channel, lender)
    inbox.start()
    # One thread, as PyTorch's workers: kernels run in parallel, and OpenMP threads that the
    # loader's process has started do not survive a fork.
    with config.using(kernels="off"):
        try:
            _work(job, worker, channel, inbox, lender)
        except ConnectionError:
            pass  # the loader is gone


def _take_no_signals() -> None:
    """Ctrl-C reaches every process of a terminal: the loader gets it, too, and ends its workers.

    A handler that does nothing, unlike SIG_IGN, is not inherited by programs that a worker runs.
    SIGTERM ends a worker, whatever handler the loader's process has installed.
    """
    signal.signal(signal.SIGINT, lambda number, frame: None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _seed(base_seed: int, worker: int) -> None:
    """Python's, NumPy's and minigrad's generators; a fork would give all workers the same state."""
    seed = base_seed + worker
    random.seed(seed)
    manual_seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))


def _work(job: Job, worker: int, channel: Channel, inbox: _Inbox, lender: Lender) -> None:
    broken = _initialise(job, worker)
    epoch = -1
    fetch: Callable[[Any], Any] | None = None
    while (item := inbox.next()) is not None:
        task, message = item
        kind, result = FAILURE, broken
        if broken is None:
            try:
                if task.epoch != epoch or fetch is None:
                    fetch = None  # if the data set cannot be iterated over, every task says so
                    fetch, epoch = job.recipe.fetcher(), task.epoch
                result = fetch(message.load())
                kind = DATA if result is not EXHAUSTED else END
            except Exception as error:
                result = Failure.of(error, worker)
        try:
            channel.send(Reply(task.epoch, task.number, kind), result, lender)
        except ConnectionError:
            raise
        except Exception as error:  # a batch that cannot be pickled
            reply = Reply(task.epoch, task.number, FAILURE)
            channel.send(reply, Failure.of(error, worker))


def _initialise(job: Job, worker: int) -> Failure | None:
    try:
        if job.init_fn is not None:
            job.init_fn(worker)
    except Exception as error:
        return Failure.of(error, worker)
    return None
