"""The backend "nccl": tensors on GPUs, by NVIDIA's library through CuPy.

Rank and address come by the store; the arrays are CuPy's, on the device that is current when the
group is made (minigrad.cuda.set_device(local_rank) first). Operations are put on a stream of the
group, which waits for the current one, and the current one waits for it: the host does not wait.
As in PyTorch ranks are not compared before each operation; a hung rank is found by `barrier`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import errors
from .backend import Backend
from .errors import DistTimeoutError
from .reduce_op import ReduceOp, combine_for
from .store import PrefixStore, Store, poll
from .work import Lane


def library() -> Any:
    """CuPy; ImportError says how to get it, RuntimeError if it has no NCCL."""
    try:
        import cupy
    except ImportError:
        raise errors.missing_package("the backend nccl", "cupy", "cuda") from None
    from cupy.cuda import nccl

    if not nccl.available:
        raise RuntimeError("the backend nccl: this CuPy has been built without NCCL")
    return cupy


def make_nccl(store: Store, rank: int, size: int, timeout: float) -> NcclBackend:
    """The backend of one group; every rank of it calls this."""
    cupy = library()
    nccl = cupy.cuda.nccl
    if rank == 0:
        unique = nccl.get_unique_id()  # a tuple of small numbers; bytes since CuPy 14
        store.set("nccl", json.dumps([type(unique) is bytes, [int(i) for i in unique]]))
    in_bytes, numbers = json.loads(store.get("nccl"))
    unique = bytes(numbers) if in_bytes else tuple(numbers)
    comm = nccl.NcclCommunicator(size, unique, rank)
    return NcclBackend(NcclLinks(store, rank, size, timeout), comm, cupy)


class NcclLinks:
    """Who is there, by the store: a count for each barrier."""

    def __init__(self, store: Store, rank: int, size: int, timeout: float):
        self.store, self.rank, self.size, self.timeout = (
            PrefixStore("calls", store),
            rank,
            size,
            timeout,
        )
        self.bytes_sent = self.calls = 0

    def agree(self, text: str) -> list[str]:
        """What all ranks say; DistTimeoutError names one that does not come."""
        self.calls += 1
        keys = [f"{self.calls}/{r}" for r in range(self.size)]
        self.store.set(keys[self.rank], text)
        if not poll(lambda: self.store.check(keys), self.timeout):
            missing = next(r for r in range(self.size) if not self.store.check([keys[r]]))
            raise DistTimeoutError(
                f"rank {missing} did not answer within the timeout of {self.timeout:g} s"
            )
        return [self.store.get(key).decode() for key in keys]


class _NcclMail:
    """The lanes that `isend` and `irecv` ask for; NCCL itself carries the messages."""

    bytes_sent = 0

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}

    def lane(self, to: int) -> Lane:
        return self._lanes.setdefault(to, Lane(f"nccl to rank {to}"))

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close(1.0)


class NcclBackend(Backend):
    """Collectives on CuPy arrays."""

    name = "nccl"

    def __init__(self, links: NcclLinks, comm: Any, cupy: Any):
        super().__init__(links, _NcclMail())
        self.comm, self.cupy = comm, cupy
        self.device = cupy.cuda.Device()
        self.stream = cupy.cuda.Stream(non_blocking=True)
        nccl = cupy.cuda.nccl
        self._types = {
            "int8": nccl.NCCL_INT8, "uint8": nccl.NCCL_UINT8, "bool": nccl.NCCL_UINT8,
            "int32": nccl.NCCL_INT32, "int64": nccl.NCCL_INT64, "float16": nccl.NCCL_FLOAT16,
            "float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64,
            "bfloat16": nccl.NCCL_BFLOAT16,
        }  # fmt: skip
        self._ops = {
            ReduceOp.SUM: nccl.NCCL_SUM, ReduceOp.AVG: nccl.NCCL_SUM,
            ReduceOp.PRODUCT: nccl.NCCL_PROD, ReduceOp.MIN: nccl.NCCL_MIN,
            ReduceOp.MAX: nccl.NCCL_MAX,
        }  # fmt: skip

    # ------------------------------------------------------------ one call
    def _type(self, array: Any) -> int:
        found = self._types.get(array.dtype.name)
        if found is None:
            raise RuntimeError(f"nccl: no operations on {array.dtype}")
        return found

    def _op(self, op: ReduceOp, array: Any) -> int:
        combine_for(op, np.dtype(array.dtype))  # the same errors as elsewhere
        if op not in self._ops:
            raise RuntimeError(f"nccl: no ReduceOp.{op.name}")
        return self._ops[op]

    def _run(self, call: Any, *arrays: Any) -> None:
        """The call on the group's stream, after what the current stream has been given so far.

        A lane's thread has device 0 and its default stream current: the device is set here, and
        arrays are kept until the stream has passed them.
        """
        cuda = self.cupy.cuda
        with self.device:
            current = cuda.get_current_stream()
            self.stream.wait_event(current.record())
            call(self.stream.ptr)
            current.wait_event(self.stream.record())
            self.stream.synchronize()  # a lane's Work is done when the data are there

    def barrier(self) -> None:
        with self.device:
            self.stream.synchronize()
        self.agree("barrier")

    def all_reduce(self, array: Any, op: ReduceOp) -> None:
        kind, code = self._type(array), self._op(op, array)
        pointer, n = array.data.ptr, array.size
        self._run(lambda s: self.comm.allReduce(pointer, pointer, n, kind, code, s))
        self._finish(op, array)

    def _finish(self, op: ReduceOp, array: Any) -> None:
        if op is ReduceOp.AVG and self.size > 1:
            with self.device:
                if array.dtype.kind in "iub":
                    array[...] = self.cupy.trunc(array / self.size).astype(array.dtype)
                else:
                    array /= self.size
                self.cupy.cuda.get_current_stream().synchronize()

    def reduce(self, array: Any, root: int, op: ReduceOp) -> None:
        kind, code = self._type(array), self._op(op, array)
        pointer, n = array.data.ptr, array.size
        self._run(lambda s: self.comm.reduce(pointer, pointer, n, kind, code, root, s))
        if self.rank == root:
            self._finish(op, array)

    def broadcast(self, array: Any, root: int) -> None:
        pointer, n, kind = array.data.ptr, array.size, self._type(array)
        self._run(lambda s: self.comm.broadcast(pointer, pointer, n, kind, root, s))

    def reduce_scatter(self, array: Any, inputs: Sequence[Any], op: ReduceOp) -> None:
        kind, code = self._type(array), self._op(op, array)
        with self.device:
            whole = self.cupy.concatenate(list(inputs))
        a, b, n = whole.data.ptr, array.data.ptr, array.size
        self._run(lambda s: self.comm.reduceScatter(a, b, n, kind, code, s))
        self._finish(op, array)

    def all_gather(self, outputs: Sequence[Any], array: Any) -> None:
        with self.device:
            whole = self.cupy.empty(self.size * array.size, array.dtype)
        a, b, n, kind = array.data.ptr, whole.data.ptr, array.size, self._type(array)
        self._run(lambda s: self.comm.allGather(a, b, n, kind, s))
        for i, output in enumerate(outputs):
            output[...] = whole[i * n : (i + 1) * n]

    # ------------------------------------------------------------ made of messages
    def _messages(self, sends: list[tuple[Any, int]], receives: list[tuple[Any, int]]) -> None:
        """All at once: NCCL matches them inside one group call."""
        nccl = self.cupy.cuda.nccl

        def call(stream: int) -> None:
            nccl.groupStart()
            for array, to in sends:
                self.comm.send(array.data.ptr, array.size, self._type(array), to, stream)
            for array, source in receives:
                self.comm.recv(array.data.ptr, array.size, self._type(array), source, stream)
            nccl.groupEnd()

        self._run(call)

    def gather(self, outputs: Sequence[Any] | None, array: Any, root: int) -> None:
        if outputs is None:
            self._messages([(array, root)], [])
            return
        outputs[root][...] = array
        self._messages([], [(o, r) for r, o in enumerate(outputs) if r != root])

    def scatter(self, array: Any, inputs: Sequence[Any] | None, root: int) -> None:
        if inputs is None:
            self._messages([], [(array, root)])
            return
        array[...] = inputs[root]
        self._messages([(x, r) for r, x in enumerate(inputs) if r != root], [])

    def all_to_all(self, outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
        outputs[self.rank][...] = inputs[self.rank]
        others = [r for r in range(self.size) if r != self.rank]
        self._messages([(inputs[r], r) for r in others], [(outputs[r], r) for r in others])

    def send(self, array: Any, to: int, tag: int) -> None:
        self._messages([(array.reshape(-1), to)], [])

    def recv(self, array: Any, source: int | None, tag: int) -> int:
        if source is None:
            raise RuntimeError("nccl: recv needs the rank to receive from")
        self._messages([], [(array.reshape(-1), source)])
        return source

    def close(self) -> None:
        self.mail.close()
        self.comm.destroy()
