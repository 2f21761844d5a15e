"""Dropout with the random bits of a counter: no state but a seed and an offset."""

from __future__ import annotations

from .source import TYPES, Source, from_file

UNROLL = 4
"""Numbers that one call of Philox gives, and a thread takes."""


def dropout(dtype: str, *, wide: bool = True) -> Source:
    """(n, keep, seed, ahead, base, x, y): x / keep where a random number says so, else 0."""
    v = UNROLL if wide else 1
    name = f"dropout_{dtype}_v{v}"
    kind = TYPES[dtype]
    types = {"T": kind.stored, "A": kind.computed}
    return Source(name, from_file("dropout.cuh", name, types, {"V": v}))


def advance(n: int, threads: int) -> int:
    """How far the offset moves on, so that no number is used twice: PyTorch's rule."""
    return ((n - 1) // (threads * UNROLL) + 1) * UNROLL
