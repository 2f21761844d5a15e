"""Sums, extrema and products over an array or one of its dimensions, the same in every run.

An array in one piece is [outer, n, inner], reduced along n. Where the rows are few and long,
several groups of threads share each, and a second launch of the same kernel reduces their results:
no atomic operation, whose order would change from run to run.
"""

from __future__ import annotations

from .source import TYPES, Source, from_file, row_group, width

OPS = {"sum": "Add", "prod": "Multiply", "max": "Maximum", "min": "Minimum"}
MAPS = {"": 0, "squares": 1, "magnitudes": 2}
"""What is done to an element first: Σ x² and max |x| of gradients need no array of their own."""


def rows(
    dtype: str, n: int, op: str, *, result: str | None = None, of: str = "", wide: bool = True
) -> Source:
    """(rows, n, parts, scale, x, out): along neighbours, times `scale` (a mean's 1/n)."""
    group = row_group(n)
    return _reduction("reduce_rows", dtype, n, op, result, of, wide, {"GROUP": group})


def columns(
    dtype: str, inner: int, op: str, *, result: str | None = None, of: str = "", wide: bool = True
) -> Source:
    """(outer, n, inner, parts, scale, x, out), on a grid of (inner / 32V, outer · parts)."""
    return _reduction("reduce_columns", dtype, inner, op, result, of, wide, {})


def _reduction(
    file: str,
    dtype: str,
    length: int,
    op: str,
    result: str | None,
    of: str,
    wide: bool,
    numbers: dict[str, int],
) -> Source:
    kind, result = TYPES[dtype], result or dtype
    v = width(kind.size)
    numbers = {"V": v if wide and length % v == 0 else 1, "MAP": MAPS[of], **numbers}
    group = f"_g{numbers['GROUP']}" if "GROUP" in numbers else ""
    name = f"{file}_{op}{of and '_' + of}_{dtype}_{result}_v{numbers['V']}{group}"
    types = {"T": kind.stored, "A": kind.computed, "R": TYPES[result].stored}
    text = from_file(f"{file}.cuh", name, types, numbers)
    alias = f"template <typename X> using OP = {OPS[op]}<X>;\n"
    return Source(name, text.replace("\n", "\n" + alias, 1))
