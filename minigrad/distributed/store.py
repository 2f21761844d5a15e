"""Stores: the small dictionary through which processes find each other.

    store.set("key", "value")     store.get("key") -> b"value", waiting until somebody has set it
    store.add("count", 1)         the new sum, atomically: the one primitive that settles races

Everything else that processes agree on before they are connected (addresses, who is there, group
names) is made of these. A TCPStore (tcp_store.py) lives in a thread of rank 0, a FileStore in a
file, a HashStore in one process.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from .. import errors
from .errors import DistStoreError

DEFAULT_TIMEOUT = timedelta(minutes=5)
Value = str | bytes


def seconds(timeout: timedelta | float, name: str = "timeout") -> float:
    """A timeout as seconds; TypeError or ValueError if it is none."""
    if isinstance(timeout, timedelta):
        timeout = timeout.total_seconds()
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise errors.type_error(name, "timeout", "a timedelta or seconds", timeout)
    if timeout <= 0:
        raise errors.value_error(name, expected="more than zero seconds", actual=timeout)
    return float(timeout)


def as_bytes(value: Value) -> bytes:
    """A value as it is stored; TypeError for anything but str and bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise errors.type_error("Store", "value", "str or bytes", value)


class Table:
    """The operations on a dict, each atomic under the caller's lock. All stores run on it."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    def set(self, key: str, value: bytes) -> None:
        self.values[key] = value

    def add(self, key: str, amount: int) -> int:
        total = int(self.values.get(key, b"0")) + amount
        self.values[key] = str(total).encode()
        return total

    def append(self, key: str, value: bytes) -> None:
        self.values[key] = self.values.get(key, b"") + value

    def compare_set(self, key: str, expected: bytes, desired: bytes) -> bytes:
        """PyTorch's rule: a key that is not there is set if nothing was expected."""
        current = self.values.get(key)
        if current == expected or (current is None and not expected):
            self.values[key] = desired
            return desired
        return expected if current is None else current

    def delete(self, key: str) -> bool:
        return self.values.pop(key, None) is not None


class Store:
    """What all stores can do. Keys are str, values str or bytes; `get` returns bytes.

    Subclasses define `_call(operation, *arguments)`, one of Table's operations or "get" (None if
    the key is not there), "has" and "count"; and may wait better than by asking again.
    """

    def __init__(self, timeout: timedelta | float = DEFAULT_TIMEOUT):
        self._timeout = seconds(timeout)

    def _call(self, operation: str, *arguments: Any) -> Any:
        raise NotImplementedError

    @property
    def timeout(self) -> timedelta:
        """How long `get` and `wait` wait."""
        return timedelta(seconds=self._timeout)

    def set_timeout(self, timeout: timedelta | float) -> None:
        """Wait so long from now on."""
        self._timeout = seconds(timeout)

    def set(self, key: str, value: Value) -> None:
        """Give the key a value, or another one."""
        self._call("set", key, as_bytes(value))

    def get(self, key: str) -> bytes:
        """The value of the key; DistStoreError if nobody sets it within the timeout."""
        self.wait([key])
        value = self._call("get", key)
        if value is None:
            raise DistStoreError(f"Store.get: the key {key!r} was deleted")
        return value

    def add(self, key: str, amount: int) -> int:
        """Add to a counter (0 before the first) and return the sum; one process at a time."""
        return self._call("add", key, int(amount))

    def append(self, key: str, value: Value) -> None:
        """Put the value behind the one that is there."""
        self._call("append", key, as_bytes(value))

    def compare_set(self, key: str, expected_value: Value, desired_value: Value) -> bytes:
        """Set the key to `desired_value` if it is `expected_value`; the value that it then has."""
        return self._call("compare_set", key, as_bytes(expected_value), as_bytes(desired_value))

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all keys are there."""
        return all(self._call("has", key) for key in keys)

    def delete_key(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return self._call("delete", key)

    def num_keys(self) -> int:
        """How many keys there are."""
        return self._call("count")

    def multi_get(self, keys: Sequence[str]) -> list[bytes]:
        """The values of several keys."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        """Set several keys."""
        for key, value in zip(keys, values, strict=True):
            self.set(key, value)

    def wait(self, keys: Sequence[str], timeout: timedelta | float | None = None) -> None:
        """Wait until all keys are there; DistStoreError names those that are missing in the end."""
        patience = self._timeout if timeout is None else seconds(timeout)
        if not poll(lambda: self.check(keys), patience):
            missing = [key for key in keys if not self.check([key])]
            raise DistStoreError(
                f"Store.wait: nobody has set {', '.join(map(repr, missing))} within {patience:g} s"
            )


def poll(ready: Callable[[], bool], patience: float) -> bool:
    """Ask until it is so, less and less often; whether it was so within `patience` seconds."""
    deadline, pause = time.monotonic() + patience, 0.0005
    while not ready():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, 0.02)
    return True


def apply(table: Table, operation: str, arguments: Sequence[Any]) -> Any:
    """One operation on a table."""
    if operation == "get":
        return table.values.get(arguments[0])
    if operation == "has":
        return arguments[0] in table.values
    if operation == "count":
        return len(table.values)
    if operation == "set":
        return table.set(*arguments)
    if operation == "add":
        return table.add(*arguments)
    if operation == "append":
        return table.append(*arguments)
    if operation == "compare_set":
        return table.compare_set(*arguments)
    if operation == "delete":
        return table.delete(*arguments)
    raise ValueError(f"Store: no operation {operation!r}")


class HashStore(Store):
    """A store for the threads of one process."""

    def __init__(self, timeout: timedelta | float = DEFAULT_TIMEOUT):
        super().__init__(timeout)
        self._table, self._lock = Table(), threading.Lock()

    def _call(self, operation: str, *arguments: Any) -> Any:
        with self._lock:
            return apply(self._table, operation, arguments)


class PrefixStore(Store):
    """Another store, every key with `prefix` and a slash before it: a room of one's own."""

    def __init__(self, prefix: str, store: Store):
        super().__init__(store.timeout)
        self.prefix, self.underlying_store = prefix, store

    def _call(self, operation: str, *arguments: Any) -> Any:
        if arguments:
            arguments = (f"{self.prefix}/{arguments[0]}", *arguments[1:])
        return self.underlying_store._call(operation, *arguments)


class FileStore(Store):
    """A store in a file that all processes can lock (a local or a shared file system).

    The file is a log: one JSON line a change, appended under an exclusive lock, and everybody reads
    what was appended since. With `world_size` the last one to `close` removes it. Unix only.
    """

    def __init__(
        self,
        file_name: str | os.PathLike[str],
        world_size: int = -1,
        timeout: timedelta | float = DEFAULT_TIMEOUT,
    ):
        super().__init__(timeout)
        self.path, self.world_size = os.fspath(file_name), world_size
        self._table, self._read, self._lock = Table(), 0, threading.Lock()
        self._closed = False
        folder = os.path.dirname(os.path.abspath(self.path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"FileStore: there is no folder {folder}")

    @contextmanager
    def _locked(self) -> Iterator[Any]:
        import fcntl  # not on Windows

        with self._lock:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(self._read)
                for line in file.read().splitlines():
                    key, value = json.loads(line)
                    if value is None:
                        self._table.delete(key)
                    else:
                        self._table.set(key, value.encode("latin-1"))
                self._read = file.tell()
                yield file  # closing the file gives the lock back

    def _call(self, operation: str, *arguments: Any) -> Any:
        with self._locked() as file:
            result = apply(self._table, operation, arguments)
            if operation not in ("get", "has", "count"):
                value = self._table.values.get(arguments[0])
                text = None if value is None else value.decode("latin-1")
                self._read += file.write(json.dumps([arguments[0], text]).encode() + b"\n")
            return result

    def close(self) -> None:
        """Say that this process is done; the last of `world_size` removes the file."""
        if self._closed or self.world_size < 1:
            return
        self._closed = True
        if self.add("closed", 1) >= self.world_size:
            os.unlink(self.path)
