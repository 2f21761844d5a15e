"""The gradient of an embedding: rows of the gradient added up by the row that was looked up."""

from __future__ import annotations

from .source import INDICES, TYPES, Source, from_file, width


def embedding_backward(dtype: str, n: int, *, index: str = "int64", wide: bool = True) -> Source:
    """(count, n, rows, position, padding, g, weight_bar), on a grid of (·, columns / 32V)."""
    kind = TYPES[dtype]
    v = width(kind.size)
    v = v if wide and n % v == 0 else 1
    name = f"embedding_{dtype}_{INDICES[index]}_v{v}"
    types = {"T": kind.stored, "A": kind.computed, "I": INDICES[index]}
    return Source(name, from_file("embedding.cuh", name, types, {"V": v}))
