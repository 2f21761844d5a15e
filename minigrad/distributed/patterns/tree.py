"""All-reduce up and down a binary tree: 2 log2(N) steps, each with the whole array.

    5 ranks      0 <- 1, 2 <- 3        then 0 <- 2        then 0 <- 4, and back the same way

For small arrays the number of steps is what costs, and the tree has the fewest; for large ones it
is the bytes: rank 0 and the links to it carry everything, where the ring spreads the load.
"""

from __future__ import annotations

import numpy as np

from ..reduce_op import Combine, ReduceOp, finish
from . import Transport


def all_reduce(links: Transport, array: np.ndarray, combine: Combine, op: ReduceOp) -> None:
    """Every rank's array becomes the combination of all."""
    n, rank = links.size, links.rank
    distance, children, parent = 1, [], None
    while distance < n and parent is None:
        if rank & distance:
            parent = rank - distance
        elif rank + distance < n:
            children.append(rank + distance)
        distance *= 2
    for child in children:
        links.exchange(None, None, child, array, combine)
    if parent is not None:
        links.exchange(parent, array, None, None)
        links.exchange(None, None, parent, array)
    else:
        finish(op, array, n)
    for child in reversed(children):
        links.exchange(child, array, None, None)
