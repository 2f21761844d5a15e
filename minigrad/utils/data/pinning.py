"""Batches in pinned memory, from which a GPU copies them while the program goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...backend.devices import cuda_module
from ...core.tensor import Tensor


def pin(data: Any) -> Any:
    """The batch with its tensors in pinned memory, wherever they are in it; what has a method
    `pin_memory` is asked for it. Tuples become lists, as in PyTorch.
    """
    if isinstance(data, Tensor):
        return data.pin_memory()  # type: ignore[attr-defined]
    if isinstance(data, (str, bytes)):
        return data
    if isinstance(data, Mapping):
        found = {key: pin(value) for key, value in data.items()}
        try:
            return type(data)(found)  # type: ignore[call-arg]
        except TypeError:
            return found
    if isinstance(data, tuple) and type(data) is not tuple:  # a named one
        return type(data)(*[pin(value) for value in data])
    if isinstance(data, tuple):
        return [pin(value) for value in data]
    if isinstance(data, Sequence):
        try:
            return type(data)([pin(value) for value in data])  # type: ignore[call-arg]
        except TypeError:
            return [pin(value) for value in data]
    own = getattr(data, "pin_memory", None)
    return own() if callable(own) else data


class PinningIterator(Iterator[Any]):
    """The batches of an iterator, pinned by a thread that is a few of them ahead."""

    AHEAD = 2

    def __init__(self, inner: Any):
        self._inner = inner
        self._queue: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(self.AHEAD)
        self._stop = threading.Event()
        place = cuda_module().cuda.Device()
        arguments = (inner, self._queue, self._stop, place)
        self._thread = threading.Thread(target=_pin_all, args=arguments, daemon=True)
        self._thread.start()

    def __next__(self) -> Any:
        if self._stop.is_set():
            raise StopIteration
        data, error = self._queue.get()
        if error is not None:
            self._stop.set()
            self._thread.join()
            raise error
        return data

    def __len__(self) -> int:
        return len(self._inner)

    def close(self) -> None:
        """Let the thread end; the iterator that it asks is left where it is."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)
            except queue.Empty:
                pass

    def __del__(self) -> None:
        self._stop.set()


def _pin_all(inner: Any, out: Any, stop: threading.Event, place: Any) -> None:
    """The thread: it knows nothing of its PinningIterator, which can be deleted."""
    with place:
        while not stop.is_set():
            found: tuple[Any, BaseException | None]
            try:
                found = pin(next(inner)), None
            except BaseException as error:  # StopIteration, too: the reader raises it
                found = None, error
            while not stop.is_set():
                try:
                    out.put(found, timeout=0.05)
                    break
                except queue.Full:
                    continue
            if found[1] is not None:
                return
