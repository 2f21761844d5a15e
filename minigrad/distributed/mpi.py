"""The backend "mpi": the same collectives over MPI (mpi4py), for clusters of any size.

    mpiexec -n 8 --hosts a,b python train.py         init_process_group("mpi") needs no address

Rank and size are MPI's. all_reduce, reduce and broadcast are MPI's own where it knows the dtype;
the others, and half precision, are the ring over MPI's messages. Everything is non-blocking and
watched, so a rank that hangs or a host that goes silent is named after the timeout; as MPI cannot
go on without a rank, the process then ends the job when it exits (MPI_Abort).
"""

from __future__ import annotations

import atexit
import json
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import errors
from .backend import Backend
from .errors import DistBackendError, DistTimeoutError
from .links import grace
from .patterns import ring
from .reduce_op import Combine, ReduceOp, combine_for, finish
from .work import Lane

_AGREE, _DATA, _ROLL = 1, 2, 3  # tags of the collectives' communicator
_HEAD = struct.Struct("=I")
_STATE = {"failed": False, "hooked": False}


def library() -> Any:
    """mpi4py's MPI; ImportError says how to get it, RuntimeError if it cannot serve threads."""
    try:
        from mpi4py import MPI
    except ImportError:
        raise errors.missing_package("the backend mpi", "mpi4py", "mpi") from None
    if MPI.Query_thread() != MPI.THREAD_MULTIPLE:
        raise RuntimeError("the backend mpi: this MPI does not support MPI_THREAD_MULTIPLE")
    return MPI


def world() -> Any:
    """The communicator of all processes that mpiexec has started."""
    return library().COMM_WORLD


def make_mpi(comm: Any, timeout: float) -> MpiBackend:
    """The backend on a communicator; every rank of it calls this."""
    if not _STATE["hooked"]:
        _STATE["hooked"] = True
        atexit.register(_end_job, comm)
    return MpiBackend(MpiLinks(comm.Dup(), timeout), MpiMail(comm.Dup(), timeout))


def _end_job(comm: Any) -> None:
    """After a failure MPI_Finalize would wait for ever for whoever is gone."""
    if _STATE["failed"]:
        comm.Abort(1)


def _watch(ready: Callable[[], bool], patience: float) -> bool:
    """Ask MPI, which makes progress while it is asked, often at first; whether it became ready."""
    deadline, pause, asked = time.monotonic() + patience, 1e-5, 0
    while not ready():
        asked += 1
        if asked > 50:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, 1e-3)
    return True


def _bytes(array: Any) -> Any:
    return array.view(np.uint8)


class MpiLinks:
    """`links.Links` over MPI: agree and exchange, for the collectives."""

    def __init__(self, comm: Any, timeout: float):
        self.MPI, self.comm, self.timeout = library(), comm, timeout
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.bytes_sent = self.pieces_sent = 0  # by exchange; MPI's own collectives do not tell
        self.failed: DistBackendError | None = None

    def agree(self, text: str) -> list[str]:
        """What all ranks say at this point."""
        if self.failed is not None:
            raise type(self.failed)(f"{self.failed} (this process group has failed before)")
        data = np.frombuffer(text.encode(), np.uint8)
        others = [r for r in range(self.size) if r != self.rank]
        sends = [self.comm.Isend(data, r, _AGREE) for r in others]
        said = {self.rank: text}

        def all_said() -> bool:
            status = self.MPI.Status()
            for r in others:
                if r not in said and self.comm.Iprobe(r, _AGREE, status):
                    got = np.empty(status.Get_count(self.MPI.BYTE), np.uint8)
                    self.comm.Recv(got, r, _AGREE)
                    said[r] = got.tobytes().decode()
            return len(said) == self.size

        if not _watch(all_said, self.timeout - grace(self.timeout)):
            self.give_up([r for r in others if r not in said])
        self.finish(sends, others)
        return [said[r] for r in range(self.size)]

    def exchange(
        self, to: int | None, outgoing: Any, source: int | None, incoming: Any,
        combine: Combine | None = None,
    ) -> None:  # fmt: skip
        """Send one array while another one comes in."""
        requests, whom, target = [], [], incoming
        if source is not None and incoming.size:
            target = incoming if combine is None else np.empty_like(incoming)
            requests.append(self.comm.Irecv(_bytes(target), source, _DATA))
            whom.append(source)
        if to is not None and outgoing.size:
            requests.append(self.comm.Isend(_bytes(outgoing), to, _DATA))
            whom.append(to)
            self.bytes_sent += outgoing.nbytes
            self.pieces_sent += 1
        self.finish(requests, whom)
        if combine is not None and source is not None and incoming.size:
            combine(incoming, target, out=incoming)

    def finish(self, requests: list[Any], whom: list[int]) -> None:
        """Wait for requests that depend on some ranks."""
        testall = self.MPI.Request.Testall
        if not _watch(lambda: testall(requests), self.timeout - grace(self.timeout)):
            self.give_up(whom)

    def give_up(self, suspects: list[int]) -> None:
        """Call the roll: whoever waits, too, answers; blame a suspect that does not."""
        note = np.zeros(1, np.uint8)
        others = [r for r in range(self.size) if r != self.rank]
        requests = [self.comm.Isend(note, r, _ROLL) for r in others]
        here: set[int] = set()

        def all_here() -> bool:
            here.update(r for r in others if r not in here and self.comm.Iprobe(r, _ROLL))
            self.MPI.Request.Testall(requests)
            return len(here) == len(others)

        _watch(all_here, grace(self.timeout))
        silent = [r for r in suspects if r not in here] or [r for r in others if r not in here]
        rank = (silent or suspects)[0]
        _STATE["failed"] = True
        self.failed = DistTimeoutError(
            f"rank {rank} did not answer within the timeout of {self.timeout:g} s: it hangs, is"
            " stopped or cut off, or does not call the same operation"
        )
        raise self.failed


class MpiMail:
    """`mail.Mail` over MPI: send and recv, with dtype and shape before the bytes."""

    def __init__(self, comm: Any, timeout: float):
        self.MPI, self.comm, self.timeout = library(), comm, timeout
        self.bytes_sent = 0
        self._lanes: dict[int, Lane] = {}

    def lane(self, to: int) -> Lane:
        """The queue of what is sent to a rank."""
        return self._lanes.setdefault(to, Lane(f"mail to rank {to}"))

    def send(self, array: np.ndarray, to: int, tag: int) -> None:
        """Send the array; returns when its memory is free again."""
        head = json.dumps([array.dtype.name, array.shape]).encode()
        data = _HEAD.pack(len(head)) + head + array.tobytes()
        request = self.comm.Isend(np.frombuffer(data, np.uint8), to, tag)
        if not _watch(request.Test, self.timeout):
            _STATE["failed"] = True
            raise DistTimeoutError(f"send: rank {to} has not received within {self.timeout:g} s")
        self.bytes_sent += array.nbytes

    def receive(self, array: np.ndarray, source: int | None, tag: int) -> int:
        """Fill the array with the next message from `source` (None: anybody) with this tag."""
        status, found = self.MPI.Status(), []
        wanted = self.MPI.ANY_SOURCE if source is None else source

        def come() -> bool:
            message = self.comm.Improbe(wanted, tag, status)
            if message is not None:
                found.append(message)
            return bool(found)

        if not _watch(come, self.timeout):
            who = "any rank" if source is None else f"rank {source}"
            raise DistTimeoutError(
                f"recv: nothing came from {who} with tag {tag} within {self.timeout:g} s"
            )
        data = np.empty(status.Get_count(self.MPI.BYTE), np.uint8)
        found[0].Recv(data)
        sender = status.Get_source()
        (length,) = _HEAD.unpack_from(data)
        dtype, shape = json.loads(data[_HEAD.size : _HEAD.size + length].tobytes())
        body = data[_HEAD.size + length :]
        if dtype != array.dtype.name or body.size != array.nbytes:
            raise DistBackendError(
                f"recv: rank {sender} has sent {dtype} of shape {tuple(shape)}, but rank"
                f" {self.comm.Get_rank()} expects {array.dtype.name} of shape {array.shape}"
            )
        array.reshape(-1).view(np.uint8)[...] = body
        return sender

    def close(self) -> None:
        """Send what is queued."""
        for lane in self._lanes.values():
            lane.close(self.timeout)


class MpiBackend(Backend):
    """The base class over MPI's messages, with MPI's own reductions and broadcast."""

    name = "mpi"
    links: MpiLinks

    def _native(self, op: ReduceOp, dtype: np.dtype) -> Any:
        """MPI's operation; None where MPI does not know the dtype (half precision, bool)."""
        if dtype.kind not in "iufc" or (dtype.kind in "fc" and dtype.itemsize < 4):
            return None
        MPI = self.links.MPI
        return {
            ReduceOp.SUM: MPI.SUM, ReduceOp.AVG: MPI.SUM, ReduceOp.PRODUCT: MPI.PROD,
            ReduceOp.MIN: MPI.MIN, ReduceOp.MAX: MPI.MAX, ReduceOp.BAND: MPI.BAND,
            ReduceOp.BOR: MPI.BOR, ReduceOp.BXOR: MPI.BXOR,
        }[op]  # fmt: skip

    def _others(self) -> list[int]:
        return [r for r in range(self.size) if r != self.rank]

    def all_reduce(self, array: np.ndarray, op: ReduceOp) -> None:
        combine = combine_for(op, array.dtype)
        self.agree("all_reduce", array, reduce=op.name)
        native = self._native(op, array.dtype)
        if native is None or not array.size:
            ring.all_reduce(self.links, array, combine, op)
            return
        comm, MPI = self.links.comm, self.links.MPI
        self.links.finish([comm.Iallreduce(MPI.IN_PLACE, array, native)], self._others())
        finish(op, array, self.size)

    def reduce(self, array: np.ndarray, root: int, op: ReduceOp) -> None:
        combine = combine_for(op, array.dtype)
        self.agree("reduce", array, root=root, reduce=op.name)
        native = self._native(op, array.dtype)
        if native is None or not array.size:
            ring.reduce(self.links, array, root, combine, op)
            return
        comm, MPI = self.links.comm, self.links.MPI
        send = MPI.IN_PLACE if self.rank == root else array
        target = array if self.rank == root else None
        self.links.finish([comm.Ireduce(send, target, native, root)], self._others())
        if self.rank == root:
            finish(op, array, self.size)

    def broadcast(self, array: np.ndarray, root: int) -> None:
        self.agree("broadcast", array, root=root)
        if array.size:
            request = self.links.comm.Ibcast(_bytes(array), root)
            self.links.finish([request], self._others())

    def split(self, ranks: list[int]) -> Any:
        """A communicator of these ranks (every rank of this one calls it); None for the others."""
        MPI, comm = self.links.MPI, self.links.comm
        color = 0 if self.rank in ranks else MPI.UNDEFINED
        made = comm.Split(color, self.rank)
        return None if made == MPI.COMM_NULL else made

    def close(self) -> None:
        """Finish what is queued. The communicators end with MPI: freeing one is collective, and a
        rank that leaves early would hang.
        """
        self.mail.close()
