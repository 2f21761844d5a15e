"""Shared memory that a worker fills and its loader reads in place: a batch is copied once.

A worker owns a few segments and lends them: each batch goes into a free one, and the loader says,
with the next task, which ones are no longer read. A segment is reused when the last array that
looks into it is gone, so what a program does with its batches needs no thought. A program that
keeps its batches keeps the segments; the worker then sends by the socket (channel.py).

The segments are anonymous files (memfd_create, Linux): they have no name that could be left behind,
no limit but the memory's (/dev/shm is 64 MB in many containers), and outlive the worker.

One batch of uint8 from one worker, in milliseconds on two cores of a Zen 3, nothing computed:

                                                64 KB       1 MB     64 MB
    pickle through a pipe                        0.13       7.2      248
    pickle 5, buffers by a socket                0.11       0.85      58
    multiprocessing.shared_memory                0.24       4.0       84
    a new segment for each batch                 0.9        1.2       81
    lent segments                                0.04       0.16       7.2
    lent segments, copied by the reader          0.03       0.22      24
"""

from __future__ import annotations

import itertools
import mmap
import os
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

SMALLEST = 1 << 14  # bytes; less than that is sent faster than lent
_LINE = 64  # arrays start on cache lines


_memfd_create = getattr(os, "memfd_create", None)


class Loan(NamedTuple):
    """What the reader must know: which segment, and which ones are no more."""

    segment: int
    capacity: int
    is_new: bool  # its file comes along
    dropped: tuple[int, ...]


class _Segment(NamedTuple):
    number: int
    memory: mmap.mmap


def _layout(sizes: Sequence[int]) -> list[int]:
    """Where buffers of these sizes start in a segment; behind them, where the last one ends."""
    return [0, *itertools.accumulate(-(-size // _LINE) * _LINE for size in sizes)]


class Lender:
    """The worker's side: at most `limit` segments, each lent or free."""

    def __init__(self, limit: int):
        self._limit = limit if _memfd_create is not None else 0
        self._lent: dict[int, _Segment] = {}
        self._free: list[_Segment] = []
        self._numbers = itertools.count()
        self.returned: deque[int] = deque()  # filled by another thread

    def lend(self, buffers: Sequence[memoryview]) -> tuple[Loan, int | None] | None:
        """Copy buffers into a segment; its file, too, if it is new. None: they must be sent."""
        *starts, total = _layout([buffer.nbytes for buffer in buffers])
        if total < SMALLEST or not self._limit:
            return None
        while self.returned:
            self._free.append(self._lent.pop(self.returned.popleft()))
        dropped: tuple[int, ...] = ()
        file = None
        fits = [segment for segment in self._free if len(segment.memory) >= total]
        if fits:
            segment = min(fits, key=lambda s: len(s.memory))
            self._free.remove(segment)
        elif len(self._lent) + len(self._free) < self._limit or self._free:
            try:
                segment, file = self._new_segment(total)
            except OSError:  # no such files on this system, or no more of them: send, from now on
                self._limit = 0
                return None
            if len(self._lent) + len(self._free) >= self._limit:
                dropped = (self._free.pop(0).number,)
        else:
            return None
        for start, buffer in zip(starts, buffers, strict=True):
            segment.memory[start : start + buffer.nbytes] = buffer
        self._lent[segment.number] = segment
        return Loan(segment.number, len(segment.memory), file is not None, dropped), file

    def _new_segment(self, size: int) -> tuple[_Segment, int]:
        # A power of two fits batches that vary; pages that are never written take no memory.
        capacity = 1 << (size - 1).bit_length()
        file = _memfd_create("minigrad-batch")  # type: ignore[misc]
        try:
            os.ftruncate(file, capacity)
            return _Segment(next(self._numbers), mmap.mmap(file, capacity)), file
        except BaseException:
            os.close(file)
            raise


class Borrower:
    """The loader's side: segments of one worker as arrays, and when they are read no more."""

    def __init__(self) -> None:
        self._memory: dict[int, mmap.mmap] = {}
        self._watches: dict[int, weakref.ref[Any]] = {}
        self._read: deque[int] = deque()

    def borrow(self, loan: Loan, file: int | None, sizes: Sequence[int]) -> list[np.ndarray]:
        """The buffers of a loan, writable, nothing copied."""
        for segment in loan.dropped:
            del self._memory[segment]
        if file is not None:
            self._memory[loan.segment] = mmap.mmap(file, loan.capacity)
        # NumPy makes every view of a view refer to this array, so it lives as long as any of them.
        whole = np.frombuffer(self._memory[loan.segment], np.uint8)
        number, read = loan.segment, self._read
        self._watches[number] = weakref.ref(whole, lambda _: read.append(number))
        *starts, _ = _layout(sizes)
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    def returns(self) -> tuple[int, ...]:
        """Segments whose last array has gone since the last call."""
        return tuple(self._read.popleft() for _ in range(len(self._read)))
