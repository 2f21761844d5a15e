"""Messages between two ranks: `send` and `recv`, beside the collectives.

A message is a header (JSON: tag, dtype, shape) and the bytes, over a Unix socket of its own for
each two ranks. What arrives before it is asked for waits in the inbox. A thread a peer sends what
`isend` was asked for, another one receives; both are started when first needed.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from typing import NamedTuple

import numpy as np

from .errors import DistBackendError, DistTimeoutError
from .links import accept, call, listen, remove
from .store import Store
from .work import Lane

_LENGTH = struct.Struct("=IQ")


class Message(NamedTuple):
    """One that has arrived."""

    source: int
    tag: int
    dtype: str
    shape: tuple[int, ...]
    data: bytearray


class Mail:
    """The sockets of one group, its inbox, and its threads."""

    def __init__(self, store: Store, rank: int, size: int, timeout: float):
        self.rank, self.size, self.timeout = rank, size, timeout
        self.bytes_sent = 0
        self._sockets = _connect(store, rank, size, timeout)
        self._inbox: list[Message] = []
        self._arrived = threading.Condition()
        self._listening: set[int] = set()
        self._gone: set[int] = set()
        self._out = {r: Lane(f"mail to rank {r}") for r in self._sockets}

    def lane(self, to: int) -> Lane:
        """The queue of what is sent to a rank."""
        return self._out[to]

    def send(self, array: np.ndarray, to: int, tag: int) -> None:
        """Send the contiguous array; returns when it is on its way."""
        head = json.dumps([tag, array.dtype.name, array.shape]).encode()
        sock = self._sockets[to]
        try:
            sock.sendall(_LENGTH.pack(len(head), array.nbytes) + head)
            sock.sendall(memoryview(array.reshape(-1).view(np.uint8)))
        except TimeoutError as error:
            raise DistTimeoutError(
                f"send: rank {to} has not received within {self.timeout:g} s"
            ) from error
        except OSError as error:
            raise DistBackendError(f"send: rank {to} died: {error}") from error
        self.bytes_sent += array.nbytes

    def receive(self, array: np.ndarray, source: int | None, tag: int) -> int:
        """Fill the array with the oldest message from `source` (None: anybody) with this tag; who
        sent it. DistBackendError if that message has another dtype or number of elements.
        """
        for rank in self._sockets if source is None else [source]:
            self._listen(rank)
        deadline = time.monotonic() + self.timeout
        with self._arrived:
            while (message := self._find(source, tag)) is None:
                left = deadline - time.monotonic()
                gone = self._gone if source is None else self._gone & {source}
                if source in gone or len(gone) == len(self._sockets):
                    raise DistBackendError(f"recv: rank {min(gone)} died or has left the group")
                if left <= 0:
                    who = "any rank" if source is None else f"rank {source}"
                    raise DistTimeoutError(
                        f"recv: nothing came from {who} with tag {tag} within {self.timeout:g} s"
                    )
                self._arrived.wait(left)
        if message.dtype != array.dtype.name or len(message.data) != array.nbytes:
            raise DistBackendError(
                f"recv: rank {message.source} has sent {message.dtype} of shape"
                f" {message.shape}, but rank {self.rank} expects {array.dtype.name} of shape"
                f" {array.shape}"
            )
        array.reshape(-1).view(np.uint8)[...] = np.frombuffer(message.data, np.uint8)
        return message.source

    def _find(self, source: int | None, tag: int) -> Message | None:
        for i, message in enumerate(self._inbox):
            if message.tag == tag and source in (None, message.source):
                return self._inbox.pop(i)
        return None

    def _listen(self, rank: int) -> None:
        with self._arrived:
            if rank in self._listening:
                return
            self._listening.add(rank)
        thread = threading.Thread(target=self._receive_from, args=(rank,), daemon=True)
        thread.start()

    def _receive_from(self, rank: int) -> None:
        sock = self._sockets[rank]
        while True:
            try:
                head, size = _LENGTH.unpack(_read(sock, _LENGTH.size))
                tag, dtype, shape = json.loads(_read(sock, head))
                data = _read(sock, size)
            except (OSError, ValueError):
                break
            with self._arrived:
                self._inbox.append(Message(rank, tag, dtype, tuple(shape), data))
                self._arrived.notify_all()
        with self._arrived:
            self._gone.add(rank)
            self._arrived.notify_all()

    def close(self) -> None:
        """Send what is queued, then close."""
        for lane in self._out.values():
            lane.close(self.timeout)
        for sock in self._sockets.values():
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was first
            sock.close()


def _read(sock: socket.socket, count: int) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    bell = select.poll()  # waits for ever; the timeout of the socket is that of the sender
    bell.register(sock, select.POLLIN)
    while done < count:
        bell.poll()
        got = sock.recv_into(view[done:], 0, socket.MSG_DONTWAIT)
        if not got:
            raise ConnectionResetError("closed")
        done += got
    return data


def _connect(store: Store, rank: int, size: int, timeout: float) -> dict[int, socket.socket]:
    listener, address, token = listen(store, rank, "mail")
    made: dict[int, socket.socket] = {}
    try:
        for other in range(rank):
            made[other] = call(store, other, rank, timeout, "mail")
        while len(made) < size - 1:
            other, sock = accept(listener, token, timeout, rank, size, made)
            made[other] = sock
    finally:
        listener.close()
        remove(address)
    return made
