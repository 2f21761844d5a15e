"""Operations under way: a Work is a promise, a Lane the thread that keeps it.

All collectives of a group run one after the other, in the order in which they were asked for, which
is the same on every rank. An operation that is waited for at once runs in the caller's own thread
if nothing is before it: that saves two hand-overs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from ..futures import Future
from .store import seconds


class Work:
    """What `async_op=True` returns: `wait()` until it is done, and raise if it failed."""

    def __init__(self, result: Any = None):
        self._future = Future()
        self._result = result

    def wait(self, timeout: timedelta | float | None = None) -> bool:
        """True when done; raises the error of the operation, TimeoutError after `timeout`."""
        self._future.wait(None if timeout is None else seconds(timeout))
        return True

    def is_completed(self) -> bool:
        """Whether it has ended, well or not."""
        return self._future.done()

    def is_success(self) -> bool:
        """Whether it has ended well."""
        return self._future.done() and self._future.exception() is None

    def exception(self) -> BaseException | None:
        """The error of the operation, or None."""
        return self._future.exception()

    def result(self) -> Any:
        """The tensors that the operation wrote to; waits."""
        self.wait()
        return self._result

    def get_future(self) -> Future:
        """A Future of the tensors, for `then`."""
        return self._future.then(lambda done: (done.value(), self._result)[1])

    def source_rank(self) -> int:
        """For a receive from any rank: who has sent; waits."""
        return self._future.wait()

    def run(self, task: Callable[[], Any]) -> None:
        """Do it now and remember how it went."""
        try:
            value = task()
        except BaseException as error:
            self._future.set_exception(error)
        else:
            self._future.set_result(value)


class Lane:
    """A queue of tasks and the thread that does them, started with the first that needs it."""

    def __init__(self, name: str):
        self._name = name
        self._state = threading.Condition()
        self._tasks: deque[tuple[Work, Callable[[], Any]]] = deque()
        self._busy = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, task: Callable[[], Any], result: Any = None) -> Work:
        """Do it after all that came before."""
        work = Work(result)
        with self._state:
            if self._closed:
                raise RuntimeError("the process group has been destroyed")
            self._tasks.append((work, task))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()
            self._state.notify_all()
        return work

    def call(self, task: Callable[[], Any]) -> Any:
        """Do it after all that came before, and wait for it."""
        with self._state:
            inline = not self._busy and not self._tasks and not self._closed
            if inline:
                self._busy = True
        if not inline:
            return self.submit(task)._future.wait()
        try:
            return task()
        finally:
            with self._state:
                self._busy = False
                self._state.notify_all()

    def idle(self) -> bool:
        """Whether nothing is under way or waiting."""
        with self._state:
            return not self._busy and not self._tasks

    def _loop(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._closed or (self._tasks and not self._busy))
                if not self._tasks:
                    return
                if self._busy:  # closed while a caller's own task runs
                    self._state.wait_for(lambda: not self._busy)
                work, task = self._tasks.popleft()
                self._busy = True
            work.run(task)
            del work, task  # what they hold may be large
            with self._state:
                self._busy = False
                self._state.notify_all()

    def close(self, timeout: float | None = None) -> None:
        """Let what is queued end, then stop; after `timeout` leave the thread alone."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)
