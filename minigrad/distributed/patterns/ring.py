"""The ring: everybody sends to the right and receives from the left, all at the same time.

Four ranks reduce an array of four parts; `abc` is a part to which a, b and c were added:

              rank 0          rank 1          rank 2          rank 3
    start     a a a a         b b b b         c c c c         d d d d
    step 1    a . . ad        ab b . .        . bc c .        . . cd d       reduce-scatter:
    step 2    a . acd ad      ab b . abd      abc bc c .      . bcd cd d     the part travels and
    step 3    a ABCD . .      . b ABCD .      . . c ABCD      ABCD . . d     grows, N-1 steps
    steps 4-6 ABCD everywhere: the finished parts go round once more         all-gather, N-1 steps

In each of the 2(N-1) steps every rank sends 1/N of the array, so it sends 2(N-1)/N of its bytes
however many ranks there are: the least that is possible (P. Patarasu, X. Yuan, Bandwidth optimal
all-reduce algorithms for clusters of workstations, 2009). A part is summed in one place, in one
order, and then copied: the result is the same to the last bit on every rank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..reduce_op import Combine, ReduceOp, finish
from . import Transport, split

BLOCK = 1 << 20  # bytes of a message that travels down a chain while the next one is received


def all_reduce(links: Transport, array: np.ndarray, combine: Combine, op: ReduceOp) -> None:
    """Every rank's array becomes the combination of all."""
    parts = split(array, links.size)
    mine = (links.rank + 1) % links.size
    _reduce_parts(links, parts, combine, first=links.rank)
    finish(op, parts[mine], links.size)
    _gather_parts(links, parts, first=mine)


def _reduce_parts(
    links: Transport, parts: Sequence[np.ndarray], combine: Combine, first: int
) -> None:
    """N-1 steps: send part `first`, then the one before it...; part first+1 ends up complete."""
    n, right, left = links.size, (links.rank + 1) % links.size, (links.rank - 1) % links.size
    for step in range(n - 1):
        outgoing, incoming = parts[(first - step) % n], parts[(first - step - 1) % n]
        links.exchange(right, outgoing, left, incoming, combine)


def _gather_parts(links: Transport, parts: Sequence[np.ndarray], first: int) -> None:
    """N-1 steps: send part `first`, which is complete, and pass on what comes."""
    n, right, left = links.size, (links.rank + 1) % links.size, (links.rank - 1) % links.size
    for step in range(n - 1):
        outgoing, incoming = parts[(first - step) % n], parts[(first - step - 1) % n]
        links.exchange(right, outgoing, left, incoming)


def reduce_scatter(
    links: Transport, parts: Sequence[np.ndarray], combine: Combine, op: ReduceOp
) -> np.ndarray:
    """Part `rank` of the combination; the other parts are used as work space."""
    _reduce_parts(links, parts, combine, first=(links.rank - 1) % links.size)
    mine = parts[links.rank]
    finish(op, mine, links.size)
    return mine


def all_gather(links: Transport, parts: Sequence[np.ndarray]) -> None:
    """Every rank gives its part `rank` and receives the others."""
    _gather_parts(links, parts, first=links.rank)


def broadcast(links: Transport, array: np.ndarray, root: int) -> None:
    """The root's array to all, down the chain root, root+1, ...: blocks follow each other, so that
    all links are busy at once.
    """
    n, place = links.size, (links.rank - root) % links.size
    right, left = (links.rank + 1) % n, (links.rank - 1) % n
    step = max(1, BLOCK // array.itemsize)
    for at in range(0, array.size, step):
        block = array[at : at + step]
        if place > 0:
            links.exchange(None, None, left, block)
        if place < n - 1:
            links.exchange(right, block, None, None)


def reduce(links: Transport, array: np.ndarray, root: int, combine: Combine, op: ReduceOp) -> None:
    """The root's array becomes the combination; that of the others is used as work space."""
    parts = split(array, links.size)
    _reduce_parts(links, parts, combine, first=(links.rank - 1) % links.size)
    finish(op, parts[links.rank], links.size)
    gather(links, parts if links.rank == root else [parts[links.rank]], root)


def gather(links: Transport, parts: Sequence[np.ndarray], root: int) -> None:
    """The parts of all ranks to the root, which has a place for each; the others give their own."""
    if links.rank != root:
        links.exchange(root, parts[0], None, None)
        return
    for rank in range(links.size):
        if rank != root:
            links.exchange(None, None, rank, parts[rank])


def scatter(links: Transport, parts: Sequence[np.ndarray], root: int) -> None:
    """The root's part i to rank i; the others have one place."""
    if links.rank != root:
        links.exchange(None, None, root, parts[0])
        return
    for rank in range(links.size):
        if rank != root:
            links.exchange(rank, parts[rank], None, None)


def all_to_all(
    links: Transport, outputs: Sequence[np.ndarray], inputs: Sequence[np.ndarray]
) -> None:
    """inputs[i] to rank i, outputs[i] from rank i; in step k to the rank k places to the right."""
    n, rank = links.size, links.rank
    outputs[rank][...] = inputs[rank]
    for step in range(1, n):
        to, source = (rank + step) % n, (rank - step) % n
        links.exchange(to, inputs[to], source, outputs[source])
