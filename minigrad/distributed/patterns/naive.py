"""All-reduce as one would first write it: everybody sends everything to everybody.

Each rank sends (N-1) times its bytes, where the ring sends less than twice. All add in the order of
ranks, so the results are the same to the last bit here, too.
"""

from __future__ import annotations

import numpy as np

from ..reduce_op import Combine, ReduceOp, finish
from . import Transport


def all_reduce(links: Transport, array: np.ndarray, combine: Combine, op: ReduceOp) -> None:
    """Every rank's array becomes the combination of all."""
    n, rank = links.size, links.rank
    given = [array.copy() if r == rank else np.empty_like(array) for r in range(n)]
    for step in range(1, n):
        to, source = (rank + step) % n, (rank - step) % n
        links.exchange(to, given[rank], source, given[source])
    array[...] = given[0]
    for other in given[1:]:
        combine(array, other, out=array)
    finish(op, array, n)
