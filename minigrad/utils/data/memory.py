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
from typing import NamedTuple

import numpy as np

SMALLEST = 1 << 14  # bytes; less than that is sent faster than lent
_LINE = 64  # arrays start on cache lines


class Loan(NamedTuple):
    """What the reader must know: where the bytes are, and which segments are no more."""

    segment: int
    capacity: int
    is_new: bool  # its file comes along
    dropped: tuple[int, ...]


class _Segment(NamedTuple):
    number: int
    memory: mmap.mmap


def _offsets(sizes: Sequence[int]) -> list[int]:
    """Where buffers of these sizes start in a segment, and behind them where the last one ends."""
    padded = [-(-size // _LINE) * _LINE for size in sizes]
    return [0, *itertools.accumulate(padded)]


class Lender:
    """The worker's side: at most `limit` segments, each lent or free."""

    def __init__(self, limit: int):
        self._limit = limit if hasattr_memfd() else 0
        self._lent: dict[int, _Segment] = {}
        self._free: list[_Segment] = []
        self._numbers = itertools.count()
        self.returned: deque[int] = deque()  # filled by another thread

    def lend(self, buffers: Sequence[memoryview]) -> tuple[Loan, int | None] | None:
        """Copy buffers into a segment; its file, too, if it is new. None: they must be sent."""
        while self.returned:
            self._free.append(self._lent.pop(self.returned.popleft()))
        *starts, total = _offsets([buffer.nbytes for buffer in buffers])
        if total < SMALLEST:
            return None
        fits = [s for s in self._free if len(s.memory) >= total]
        dropped: tuple[int, ...] = ()
        file = None
        if fits:
            segment = min(fits, key=lambda s: len(s.memory))
            self._free.remove(segment)
        else:
            if len(self._lent) + len(self._free) >= self._limit:
                if not self._free:
                    return None
                dropped = (self._free.pop(0).number,)
            file = _new_file(total)
            if file is None:
                self._limit = 0
                return None
            segment = _Segment(next(self._numbers), mmap.mmap(file, os.fstat(file).st_size))
        for start, buffer in zip(starts, buffers, strict=True):
            segment.memory[start : start + buffer.nbytes] = buffer
        self._lent[segment.number] = segment
        return Loan(segment.number, len(segment.memory), file is not None, dropped), file
