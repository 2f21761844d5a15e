"""A socket between a loader and one worker that carries pickled objects, arrays out of band.

A frame is its length (8 bytes), an envelope, and what the envelope announces: the bytes of the
arrays, or nothing if a shared-memory segment holds them (memory.py); the file of a new segment
comes with the length.
"""

from __future__ import annotations

import io
import os
import pickle
import selectors
import socket
import struct
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .memory import Borrower, Lender

_LENGTH = struct.Struct("<Q")
# Unlike select, poll counts to any number of files; unlike epoll, it leaves nothing to a fork.
Selector: type[selectors.BaseSelector] = getattr(
    selectors, "PollSelector", selectors.SelectSelector
)
_recv_fds = getattr(socket, "recv_fds", None)  # Windows sends no files, nor has it segments
_loader_ends: weakref.WeakSet[socket.socket] = weakref.WeakSet()


class Message(NamedTuple):
    """A tag that could be read at once, and an object that is unpickled when asked for."""

    tag: Any
    body: Any  # bytes-like
    buffers: Sequence[Any]

    def load(self) -> Any:
        """The object."""
        return pickle.loads(self.body, buffers=self.buffers)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        """An array with gaps would be copied into the stream: close the gaps, and it stays out."""
        if type(obj) is np.ndarray and not obj.flags.forc and not obj.dtype.hasobject:
            return np.ascontiguousarray(obj).__reduce_ex__(5)
        return NotImplemented


def _pickled(obj: Any) -> tuple[memoryview, list[memoryview]]:
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    _Pickler(stream, 5, buffer_callback=buffers.append).dump(obj)
    return stream.getbuffer(), [buffer.raw() for buffer in buffers]


class Channel:
    """One end of the socket. Either end meets EOFError or OSError when the other is gone."""

    def __init__(self, sock: socket.socket):
        self.sock = sock

    def send(self, tag: Any, obj: Any, lender: Lender | None = None) -> None:
        """Send an object. If it cannot be pickled, that error is raised and nothing is sent."""
        body, buffers = _pickled(obj)
        lent = lender.lend(buffers) if lender is not None and buffers else None
        loan, file = (None, None) if lent is None else lent
        sizes = [buffer.nbytes for buffer in buffers]
        envelope = pickle.dumps((tag, body.nbytes, sizes, loan), 5)
        length = _LENGTH.pack(len(envelope))
        if file is not None:
            socket.send_fds(self.sock, [length], [file])
            length = b""
        self.sock.sendall(length + envelope + body)
        for buffer in buffers if loan is None else ():
            self.sock.sendall(buffer)

    def receive(self, borrower: Borrower | None = None) -> Message:
        """The next object; waits for it."""
        length, file = self._length()
        try:
            tag, body_size, sizes, loan = pickle.loads(self._bytes(length))
            body = self._bytes(body_size)
            if loan is not None and borrower is not None:
                return Message(tag, body, borrower.borrow(loan, file, sizes))
        finally:
            if file is not None:
                os.close(file)
        return Message(tag, body, [self._bytes(size) for size in sizes])

    def _length(self) -> tuple[int, int | None]:
        """The length of the next envelope, and the file that came with it."""
        if _recv_fds is None:
            start, files = self.sock.recv(_LENGTH.size), []
        else:
            start, files, _, _ = _recv_fds(self.sock, _LENGTH.size, 1)
        if not start:
            raise EOFError("the other end of the channel is closed")
        start += self._bytes(_LENGTH.size - len(start)).tobytes()
        return _LENGTH.unpack(start)[0], files[0] if files else None

    def _bytes(self, count: int) -> memoryview:
        memory: Any = np.empty(count, np.uint8)  # unlike a bytearray, not filled with zeros
        whole = rest = memoryview(memory)
        while rest:
            got = self.sock.recv_into(rest)
            if not got:
                raise EOFError("the other end of the channel was closed within a message")
            rest = rest[got:]
        return whole

    def wait(self, timeout: float) -> bool:
        """Whether there is something to receive (or the other end is gone) within the time."""
        with Selector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return bool(selector.select(timeout))

    def close(self) -> None:
        """The other end meets the end of the stream."""
        self.sock.close()


def pair() -> tuple[Channel, Channel]:
    """A loader's end and a worker's end."""
    ours, theirs = socket.socketpair()
    _loader_ends.add(ours)
    return Channel(ours), Channel(theirs)


def close_inherited() -> None:
    """In a forked worker: close what belongs to the loader, or no worker notices its end."""
    for sock in list(_loader_ends):
        sock.close()
