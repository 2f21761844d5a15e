"""Where values live that do not all live at the same time: one block of memory for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

ALIGNMENT = 64


class Span(NamedTuple):
    """A value of `size` bytes, needed from step `first` to step `last`, both included."""

    first: int
    last: int
    size: int


def place(spans: Sequence[Span]) -> tuple[list[int], int]:
    """Where each value starts in the block, and how long the block is.

    Values that live at the same time do not overlap. The largest comes first, and each goes to the
    smallest gap that is free for as long as it lives ("greedy by size", Pisarchyk and Lee 2020,
    Efficient Memory Management for Deep Neural Net Inference, section 5.2).
    """
    starts = [0] * len(spans)
    placed: list[int] = []
    length = 0
    for i in sorted(range(len(spans)), key=lambda i: -spans[i].size):
        span = spans[i]
        size = -(-span.size // ALIGNMENT) * ALIGNMENT
        taken = sorted(
            (starts[j], starts[j] + spans[j].size)
            for j in placed
            if spans[j].first <= span.last and span.first <= spans[j].last
        )
        end, best, room = 0, -1, -1
        for low, high in taken:
            gap = low - end
            if gap >= size and (best < 0 or gap < room):
                best, room = end, gap
            end = max(end, -(-high // ALIGNMENT) * ALIGNMENT)
        starts[i] = end if best < 0 else best
        length = max(length, starts[i] + size)
        placed.append(i)
    return starts, length
