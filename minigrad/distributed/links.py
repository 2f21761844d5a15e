"""Connections of one process to the other ranks on its machine: shared memory and sockets.

Between each two ranks there is one Unix socket and one block of shared memory with a row of slots
for each direction:

    sender     waits for a free slot, copies a piece into it, writes the frame DATA to the socket
    receiver   reads the frame, adds (or copies) the piece from the slot, writes the frame FREE

The socket is the doorbell: who waits sleeps in `poll`, and the kernel wakes him. It is also how a
death is noticed: a process that ends, in whatever way, closes its sockets. The shared memory has no
name (memfd, or a file that is unlinked at once), so nothing is left behind by a kill either.

Before an operation every rank tells every other one what it is about to do (`agree`). Ranks that
call with other shapes learn it there, all of them, and a rank that does not come is known by name.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import socket
import struct
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .errors import DistBackendError, DistTimeoutError
from .reduce_op import Combine
from .store import Store

AGREE, DATA, INLINE, FREE, BLAME, LEAVE = range(6)
_FRAME = struct.Struct("=BI")
SMALL = 4096  # bytes that travel in the frame itself


class Peer:
    """One other rank: the socket, both rows of slots, and the frames that have come from it."""

    def __init__(self, rank: int, sock: socket.socket, memory: mmap.mmap, first: bool, slots: int):
        self.rank, self.socket = rank, sock
        whole = np.frombuffer(memory, np.uint8).reshape(2, slots, -1)
        self.outgoing, self.incoming = (whole[0], whole[1]) if first else (whole[1], whole[0])
        self.free = self.slots = slots
        self.next_out = self.next_in = 0
        self.unread = bytearray()
        self.data: deque[tuple[int, Any]] = deque()  # DATA and INLINE, in order
        self.agreed: deque[bytes] = deque()
        self.blames: int | None = None  # whom that rank is waiting for in vain
        self.left = self.closed = self.died = False  # said goodbye; and closed; closed without

    def has_agreed(self) -> bool:
        """Whether it has come to an operation that this rank has not finished."""
        return bool(self.agreed)

    def send_frame(self, kind: int, payload: bytes = b"") -> None:
        try:
            self.socket.sendall(_FRAME.pack(kind, len(payload)) + payload)
        except OSError:
            pass  # what this means is found when it is read from

    def read(self) -> None:
        """Take in what the socket has, without waiting."""
        try:
            data = self.socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            self.died = not self.left
        self.unread += data
        at, unread = 0, self.unread
        while len(unread) - at >= _FRAME.size:
            kind, length = _FRAME.unpack_from(unread, at)
            if len(unread) - at - _FRAME.size < length:
                break
            at += _FRAME.size + length
            self._take(kind, bytes(unread[at - length : at]))
        del unread[:at]

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == FREE:
            self.free += 1
        elif kind == DATA:
            self.data.append((kind, int.from_bytes(payload, "little")))
        elif kind == INLINE:
            self.data.append((kind, payload))
        elif kind == AGREE:
            self.agreed.append(payload)
        elif kind == BLAME:
            self.blames = int.from_bytes(payload, "little", signed=True)
        elif kind == LEAVE:
            self.left = True

    def put(self, piece: np.ndarray) -> None:
        """Send one piece; there must be a free slot."""
        if piece.nbytes <= SMALL:
            self.send_frame(INLINE, piece.tobytes())
            return
        slot = self.outgoing[self.next_out, : piece.nbytes]
        slot.view(piece.dtype)[...] = piece
        self.next_out = (self.next_out + 1) % self.slots
        self.free -= 1
        self.send_frame(DATA, piece.nbytes.to_bytes(4, "little"))

    def take(self, target: np.ndarray, combine: Combine | None) -> None:
        """Receive one piece into `target`, combined with what is there; it must have come."""
        kind, payload = self.data.popleft()
        if kind == INLINE:
            piece = np.frombuffer(payload, target.dtype)
        else:
            piece = self.incoming[self.next_in, :payload].view(target.dtype)
            self.next_in = (self.next_in + 1) % self.slots
        if combine is None:
            target[...] = piece
        else:
            combine(target, piece, out=target)
        if kind == DATA:
            self.send_frame(FREE)


def grace(timeout: float) -> float:
    """The last seconds of a timeout, in which the ranks tell each other whom they wait for."""
    return min(10.0, timeout / 4)


class Links:
    """All peers of one group, on this machine. `bytes_sent` counts what was sent to them."""

    def __init__(
        self, store: Store, rank: int, size: int, timeout: float, slot_bytes: int, slots: int
    ):
        self.rank, self.size, self.timeout = rank, size, timeout
        self.slot_bytes = slot_bytes
        self.bytes_sent = self.pieces_sent = 0
        self.failed: DistBackendError | None = None
        made = connect_all(store, rank, size, timeout, slots * slot_bytes)
        self.peers = {r: Peer(r, s, m, rank < r, slots) for r, (s, m) in made.items()}
        self._poll = select.poll()
        self._by_descriptor = {p.socket.fileno(): p for p in self.peers.values()}
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.POLLIN)

    # ------------------------------------------------------------ sending and receiving
    def exchange(
        self,
        to: int | None,
        outgoing: np.ndarray | None,
        source: int | None,
        incoming: np.ndarray | None,
        combine: Combine | None = None,
    ) -> None:
        """Send the array `outgoing` to one rank while another one's comes into `incoming`.

        Both are contiguous and flat. With `combine` what comes is combined with what is there.
        Large arrays go in pieces the size of a slot, so the two directions and the copying on both
        sides overlap.
        """
        out = None if to is None else self.peers[to]
        inn = None if source is None else self.peers[source]
        to_send = _pieces(outgoing, self.slot_bytes)
        to_get = _pieces(incoming, self.slot_bytes)
        while to_send or to_get:
            moved = False
            if to_send and out is not None and out.free:
                piece = to_send.popleft()
                out.put(piece)
                self.bytes_sent += piece.nbytes
                self.pieces_sent += 1
                moved = True
            if to_get and inn is not None and inn.data:
                inn.take(to_get.popleft(), combine)
                moved = True
            if not moved:
                self._wait_room(out if to_send else None, inn if to_get else None)

    def _wait_room(self, out: Peer | None, inn: Peer | None) -> None:
        """Until a slot of `out` is free or a piece of `inn` has come."""

        def ready() -> bool:
            return bool((out is not None and out.free) or (inn is not None and inn.data))

        self._wait_for(ready, [p for p in (inn, out) if p is not None])

    def agree(self, text: str) -> list[str]:
        """What all ranks say at this point, in the order of ranks: each sends its text to each.

        Afterwards every rank knows that every rank is there.
        """
        self.check()
        data = text.encode()
        for peer in self.peers.values():
            peer.send_frame(AGREE, data)
        said = []
        for rank in range(self.size):
            if rank == self.rank:
                said.append(text)
                continue
            peer = self.peers[rank]
            self._wait_for(peer.has_agreed, [peer])
            said.append(peer.agreed.popleft().decode())
        return said

    # ------------------------------------------------------------ waiting, and giving up
    def _wait_for(self, ready: Callable[[], bool], whom: list[Peer]) -> None:
        """Sleep until `ready`; DistBackendError if that cannot be any more, or takes too long."""
        deadline = 0.0
        while not ready():
            everybody = self.peers.values()
            gone = [p for p in everybody if p.died or (p.left and p in whom)]
            if gone or any(p.blames is not None for p in everybody):
                self._give_up((gone or whom)[0], time.monotonic())
            now = time.monotonic()
            deadline = deadline or now + self.timeout - grace(self.timeout)
            if now >= deadline:
                self._give_up(whom[0], now)
            self._read(deadline - now)

    def _read(self, patience: float) -> None:
        """Wait for frames of anybody and take them in."""
        for descriptor, _ in self._poll.poll(max(1, int(patience * 1000))):
            peer = self._by_descriptor[descriptor]
            peer.read()
            if peer.died or peer.closed:
                self._poll.unregister(descriptor)

    def _give_up(self, peer: Peer, now: float) -> NoReturn:
        """Find out who is to blame, together with the others, and raise the same on every rank.

        Who waits in vain for B may do so because B waits for C. So each tells all whom it waits
        for; whoever is blamed and blames nobody, not even now that he is told, is the culprit.
        """
        message = peer.rank.to_bytes(4, "little", signed=True)
        for other in self.peers.values():
            other.send_frame(BLAME, message)
        blames = {self.rank: peer.rank}
        # of a death all know at once; a silence they notice one after the other
        deadline = now + min(1.0 if peer.closed else 10.0, grace(self.timeout))
        while time.monotonic() < deadline:
            blames.update({p.rank: p.blames for p in self.peers.values() if p.blames is not None})
            if all(p.closed or p.rank in blames for p in self.peers.values()):
                break
            self._read(min(0.05, deadline - time.monotonic()))
        silent = sorted({r for r in blames.values() if r not in blames})
        dead = [r for r in silent if self.peers[r].died]
        culprit = (dead or silent or [peer.rank])[0]
        who = self.peers[culprit]
        if who.died:
            error = DistBackendError(
                f"rank {who.rank} died: its connection was closed, as by a crash, an exit or a kill"
            )
        elif who.left:
            error = DistBackendError(f"rank {who.rank} has left the group: destroy_process_group()")
        else:
            error = DistTimeoutError(
                f"rank {who.rank} did not answer within the timeout of {self.timeout:g} s: it"
                " hangs, is stopped, or does not call the same operation"
            )
        self.fail(error)
        raise error

    def fail(self, error: DistBackendError) -> None:
        """From now on every operation raises this error: the ranks are no longer in step."""
        self.failed = self.failed or error

    def check(self) -> None:
        """Raise the error that this group has failed with, if it has."""
        if self.failed is not None:
            raise type(self.failed)(f"{self.failed} (this process group has failed before)")

    def close(self, *, leave: bool = True) -> None:
        """Say goodbye and close the sockets; the memory goes with the last array that uses it."""
        for peer in self.peers.values():
            if leave and not self.failed:
                peer.send_frame(LEAVE)
            peer.socket.close()
        self.peers = {}


def _pieces(array: np.ndarray | None, slot_bytes: int) -> deque[np.ndarray]:
    """The flat array in pieces that fit into a slot."""
    if array is None:
        return deque()
    step = slot_bytes // array.itemsize
    return deque(array[at : at + step] for at in range(0, array.size, step))


# ------------------------------------------------------------------------------ connecting
def connect_all(
    store: Store, rank: int, size: int, timeout: float, row_bytes: int
) -> dict[int, tuple[socket.socket, mmap.mmap]]:
    """A socket and a block of two rows for each other rank: the higher rank of two calls.

    Addresses and a token go through the store; who does not know the token is hung up on.
    """
    listener, address, token = listen(store, rank)
    made: dict[int, tuple[socket.socket, mmap.mmap]] = {}
    try:
        for other in range(rank):
            sock = call(store, other, rank, timeout)
            descriptor = shared_block(2 * row_bytes)
            socket.send_fds(sock, [b"m"], [descriptor])
            made[other] = sock, mmap.mmap(descriptor, 2 * row_bytes)
            os.close(descriptor)
        while len(made) < size - 1:
            other, sock = accept(listener, token, timeout, rank, size, made)
            _, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
            made[other] = sock, mmap.mmap(descriptors[0], 2 * row_bytes)
            os.close(descriptors[0])
    finally:
        listener.close()
        remove(address)
    for sock, _ in made.values():
        sock.settimeout(timeout)
    return made


def listen(store: Store, rank: int, kind: str = "links") -> tuple[socket.socket, str, bytes]:
    """A listening Unix socket whose address and token stand in the store."""
    token = os.urandom(16)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if sys.platform == "linux":
        # an abstract name: no file to be left over
        address = f"\0minigrad-{os.getpid()}-{os.urandom(16).hex()}"
    else:
        address = os.path.join(tempfile.mkdtemp(prefix="minigrad-"), "socket")
    listener.bind(address)
    listener.listen(128)
    store.set(f"{kind}/{rank}", json.dumps([address, token.hex()]))
    return listener, address, token


def remove(address: str) -> None:
    """Remove the file of a listener, where there is one."""
    if not address.startswith("\0"):
        os.unlink(address)
        os.rmdir(os.path.dirname(address))


def call(store: Store, other: int, rank: int, timeout: float, kind: str = "links") -> socket.socket:
    """A connection to another rank's socket."""
    store.wait([f"{kind}/{other}"], timeout)
    address, token = json.loads(store.get(f"{kind}/{other}"))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(timeout)
    try:
        sock.connect(address)
        sock.sendall(bytes.fromhex(token) + rank.to_bytes(4, "little"))
    except OSError as error:
        raise DistBackendError(f"rank {other} is gone before all were connected") from error
    return sock


def accept(
    listener: socket.socket, token: bytes, timeout: float, rank: int, size: int, made: Any
) -> tuple[int, socket.socket]:
    """The next rank that calls and knows the token."""
    listener.settimeout(timeout)
    while True:
        try:
            sock, _ = listener.accept()
        except TimeoutError:
            missing = [r for r in range(rank + 1, size) if r not in made]
            raise DistTimeoutError(
                f"rank {', '.join(map(str, missing))} did not connect within {timeout:g} s"
            ) from None
        sock.settimeout(timeout)
        said = sock.recv(20, socket.MSG_WAITALL)
        if said[:16] == token and len(said) == 20:
            return int.from_bytes(said[16:], "little"), sock
        sock.close()


def shared_block(size: int) -> int:
    """A descriptor of nameless memory."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("minigrad", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp(prefix="minigrad-")
        os.unlink(path)
    os.ftruncate(descriptor, size)
    return descriptor
