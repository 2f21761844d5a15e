"""A stand-in for cupy.cuda.nccl among threads of one process, each of which is a rank.

A communicator's calls wait for those of the other ranks, as NCCL's kernels do; they get addresses
and counts, and copy between those. A call that not all ranks make ends with an error.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

KINDS = "INT8 UINT8 INT32 INT64 FLOAT16 FLOAT32 FLOAT64 BFLOAT16".split()
DTYPES = [np.dtype(getattr(ml_dtypes if k == "BFLOAT16" else np, k.lower())) for k in KINDS]
OPS = {"SUM": np.add, "PROD": np.multiply, "MIN": np.minimum, "MAX": np.maximum}
PATIENCE = 20.0


class World:
    """What the ranks with one unique id share."""

    known: dict[Any, World] = {}

    def __init__(self, size: int):
        self.barrier = threading.Barrier(size, timeout=PATIENCE)
        self.given: list[Any] = [None] * size
        self.mail: dict[tuple[int, int], list[np.ndarray]] = {}
        self.arrived = threading.Condition()

    def exchange(self, rank: int, mine: Any) -> list[Any]:
        """What every rank gives to this call."""
        self.given[rank] = mine
        self.barrier.wait()
        found = list(self.given)
        self.barrier.wait()
        return found


def at(address: int, count: int, kind: int) -> np.ndarray:
    """The numbers that lie there."""
    dtype = DTYPES[kind]
    raw = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(raw, dtype, count)


class NcclCommunicator:
    """As CuPy's, in the calls that minigrad makes."""

    def __init__(self, size: int, unique: bytes, rank: int):
        assert isinstance(unique, bytes), "CuPy 14 wants bytes"
        self.world = World.known.setdefault(unique, World(size))
        self.rank, self.size = rank, size

    def _reduced(self, source: int, count: int, kind: int, op: int) -> np.ndarray:
        parts = self.world.exchange(self.rank, at(source, count, kind).copy())
        function: Callable = list(OPS.values())[op]
        total = parts[0].copy()
        for part in parts[1:]:
            total = function(total, part)
        return total

    def allReduce(self, source: int, to: int, count: int, kind: int, op: int, stream: int) -> None:
        at(to, count, kind)[...] = self._reduced(source, count, kind, op)

    def reduce(
        self, source: int, to: int, count: int, kind: int, op: int, root: int, stream: int
    ) -> None:
        total = self._reduced(source, count, kind, op)
        if self.rank == root:
            at(to, count, kind)[...] = total

    def broadcast(
        self, source: int, to: int, count: int, kind: int, root: int, stream: int
    ) -> None:
        parts = self.world.exchange(self.rank, at(source, count, kind).copy())
        at(to, count, kind)[...] = parts[root]

    def reduceScatter(
        self, source: int, to: int, count: int, kind: int, op: int, stream: int
    ) -> None:
        total = self._reduced(source, count * self.size, kind, op)
        at(to, count, kind)[...] = total[self.rank * count : (self.rank + 1) * count]

    def allGather(self, source: int, to: int, count: int, kind: int, stream: int) -> None:
        parts = self.world.exchange(self.rank, at(source, count, kind).copy())
        at(to, count * self.size, kind)[...] = np.concatenate(parts)

    def send(self, source: int, count: int, kind: int, to: int, stream: int) -> None:
        with self.world.arrived:
            letters = self.world.mail.setdefault((self.rank, to), [])
            letters.append(at(source, count, kind).copy())
            self.world.arrived.notify_all()

    def recv(self, to: int, count: int, kind: int, source: int, stream: int) -> None:
        letters = self.world.mail.setdefault((source, self.rank), [])
        with self.world.arrived:
            assert self.world.arrived.wait_for(lambda: bool(letters), PATIENCE), "no message"
            at(to, count, kind)[...] = letters.pop(0)

    def destroy(self) -> None:
        pass


def namespace() -> Any:
    """The module cupy.cuda.nccl."""
    from types import SimpleNamespace

    names = {f"NCCL_{k}": i for i, k in enumerate(KINDS)}
    names |= {f"NCCL_{o}": i for i, o in enumerate(OPS)}
    numbers = iter(range(1 << 30))
    return SimpleNamespace(
        **names, available=True, NcclCommunicator=NcclCommunicator,
        get_unique_id=lambda: bytes([next(numbers) % 256]) * 128,
        groupStart=lambda: None, groupEnd=lambda: None,
    )  # fmt: skip
