"""Shared memory that a worker fills and its loader reads in place: a batch is copied once.

A worker owns a few segments and lends them: each batch goes into a free one, and the loader says,
with the next task, which ones are no longer read. A segment is reused when the last array that
looks into it is gone, so what a program does with its batches needs no thought. A program that
keeps its batches keeps the segments; the worker then sends by the socket (channel.py).

The segments are anonymous files (memfd_create, Linux): they have no name that could be left behind,
no limit but the memory's (/dev/shm is 64 MB in many containers), and outlive the worker.

One batch of uint8 from one worker that had it ready, milliseconds on two cores of a Zen 3:

                                                64 KB       1 MB     64 MB
    pickle through a pipe                        0.13       7.2      248
    pickle 5, buffers through a socket           0.11       0.85      58
    multiprocessing.shared_memory                0.24       4.0       84
    a new segment each time, memory              0.13       1.2       81
    a new segment each time, file                0.09       0.41      42
    lent segments                                0.04       0.16       7.2
    lent segments, copied by the reader          0.03       0.22      24

And with batches of 64 MB from a DataLoader with two workers, milliseconds of CPU a batch: 1 in the
loader's process and 27 in the workers; by the socket 22 and 25; PyTorch 7 and 47.
"""

from __future__ import annotations

import errno
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
    """What the reader must know: which segment, and which one is no more."""

    segment: int
    capacity: int
    is_new: bool  # its file comes along
    dropped: int | None


def _layout(sizes: Sequence[int]) -> list[int]:
    """Where buffers of these sizes start in a segment; behind them, where the last one ends."""
    return [0, *itertools.accumulate(-(-size // _LINE) * _LINE for size in sizes)]


class _Segment:
    """A file without a name. OSError if there is none to be had."""

    file = -1

    def __init__(self, number: int, size: int):
        self.number = number
        # A power of two fits batches that vary; pages that are never written take no memory.
        self.capacity = 1 << (size - 1).bit_length()
        self.file = _memfd_create("minigrad-batch")  # type: ignore[misc]
        self._memory: mmap.mmap | None = None
        os.ftruncate(self.file, self.capacity)

    def fill(self, starts: Sequence[int], buffers: Sequence[memoryview]) -> None:
        """For the first time: through the file, twice as fast as touching pages not yet there."""
        for start, buffer in zip(starts, buffers, strict=True):
            written = 0
            while written < buffer.nbytes:
                written += os.pwrite(self.file, buffer[written:], start + written)

    def refill(self, starts: Sequence[int], buffers: Sequence[memoryview]) -> None:
        """Later: in memory, which is twice as fast when the pages are there."""
        if self._memory is None:
            self._memory = mmap.mmap(self.file, self.capacity)
        for start, buffer in zip(starts, buffers, strict=True):
            self._memory[start : start + buffer.nbytes] = buffer

    def __del__(self) -> None:
        if self.file >= 0:
            os.close(self.file)


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
        # The last that came back: the fewer are in use, the more of them are in the cache.
        fits = [segment for segment in self._free if segment.capacity >= total]
        dropped = None
        if fits:
            segment = fits[-1]
            segment.refill(starts, buffers)
            self._free.remove(segment)
        elif self._free or len(self._lent) < self._limit:
            try:
                segment = _Segment(next(self._numbers), total)
                segment.fill(starts, buffers)
            except OSError:  # no such files on this system, or no more of them: send from now on
                self._limit = 0
                return None
            if len(self._lent) + len(self._free) >= self._limit:
                dropped = self._free.pop(0).number
        else:
            return None
        self._lent[segment.number] = segment
        loan = Loan(segment.number, segment.capacity, not fits, dropped)
        return loan, None if fits else segment.file


class Borrower:
    """The loader's side: segments of one worker as arrays, and when they are read no more."""

    def __init__(self) -> None:
        self._memory: dict[int, mmap.mmap] = {}
        self._watches: dict[int, weakref.ref[Any]] = {}
        self._read: deque[int] = deque()

    def borrow(self, loan: Loan, file: int | None, sizes: Sequence[int]) -> list[np.ndarray]:
        """The buffers of a loan, writable, nothing copied."""
        if loan.dropped is not None:
            del self._memory[loan.dropped]
        if loan.is_new:
            if file is None:  # the kernel drops a file for which there is no room in the table
                raise OSError(errno.EMFILE, "DataLoader: too many open files: see `ulimit -n`")
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
