"""Collectives made of sending and receiving: ring.py first, naive.py and tree.py beside it.

They see of the world what `Links` is: who I am, how many we are, and one operation,

    links.exchange(to, outgoing, source, incoming, combine)

which sends one array while another one comes in. Arrays are flat; results are in place.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Transport(Protocol):
    """What the algorithms need of `links.Links`."""

    rank: int
    size: int

    def exchange(
        self, to: int | None, outgoing: Any, source: int | None, incoming: Any, combine: Any = None
    ) -> None: ...


def split(array: np.ndarray, n: int) -> list[np.ndarray]:
    """The array in n parts of sizes that differ by at most one (views; some may be empty)."""
    ends = [array.size * i // n for i in range(n + 1)]
    return [array[begin:end] for begin, end in zip(ends, ends[1:], strict=False)]
