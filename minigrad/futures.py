"""A value that another thread will have: PyTorch's `torch.futures.Future`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from .export import export


@export("futures.Future")
class Future:
    """Set once, by `set_result` or `set_exception`; `wait` blocks until then.

    RuntimeError for a second result, and from `value` before there is one.
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._ready = threading.Condition()
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def wait(self, timeout: float | None = None) -> Any:
        """The result, waited for; raises the exception, or TimeoutError after `timeout` seconds."""
        with self._ready:
            if not self._ready.wait_for(lambda: self._done, timeout):
                raise TimeoutError(f"Future.wait: no result within {timeout} s")
        return self.value()

    def value(self) -> Any:
        """The result (or its exception, raised); RuntimeError before it is there."""
        if not self._done:
            raise RuntimeError("Future.value: there is no result yet; use wait()")
        if self._error is not None:
            raise self._error
        return self._value

    def exception(self) -> BaseException | None:
        """The exception that was set, or None."""
        return self._error

    def set_result(self, result: Any) -> None:
        """Give the value, wake those who wait and call the callbacks."""
        self._set(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Fail; TypeError for what is no exception."""
        if not isinstance(result, BaseException):
            raise TypeError(f"Future.set_exception: {result!r} is no exception")
        self._set(None, result)

    def _set(self, value: Any, error: BaseException | None) -> None:
        with self._ready:
            if self._done:
                raise RuntimeError("Future can only be marked completed once")
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._ready.notify_all()
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """callback(self) when done, by the thread that sets the result; at once if it is done."""
        with self._ready:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """A Future of callback(self); an exception in the callback is that Future's."""
        following = Future()

        def run(done: Future) -> None:
            try:
                result = callback(done)
            except Exception as error:
                following.set_exception(error)
            else:
                following.set_result(result)

        self.add_done_callback(run)
        return following


@export("futures.wait_all")
def wait_all(futures: Iterable[Future]) -> list[Any]:
    """The results of all, waited for in order; the first exception is raised."""
    return [future.wait() for future in futures]
