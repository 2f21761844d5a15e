"""Starting the kernels of many.py: gradients clipped, and a whole optimizer moved, in one launch
each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...backend.devices import array_module, cuda_module
from . import many
from .launch import blocks, start, ticket
from .source import Source

_SOURCES: dict[Any, Source] = {}


class Tables:
    """The table of some tensors of one dtype, in as many pieces as one launch each takes.

    columns[a][k] is array a of tensor k: flat, and all arrays of a tensor of one size.
    """

    def __init__(self, columns: Sequence[Sequence[Any]]):
        self.columns = list(columns)  # what is pointed at stays
        self.width = len(columns)
        self.count = len(columns[0])
        self.k = many.capacity(self.count, self.width)
        self.pieces: list[tuple[int, int, int, Any]] = []  # first tensor, how many, chunks, table
        for begin in range(0, self.count, self.k):
            sizes = [x.size for x in columns[0][begin : begin + self.k]]
            table = np.zeros(1, many.table_type(self.width, self.k))
            chunks = np.cumsum([0, *[-(-n // many.CHUNK) for n in sizes]])
            table["size"][0, : len(sizes)] = sizes
            table["first"][0, : len(sizes) + 1] = chunks
            self.pieces.append((begin, len(sizes), int(chunks[-1]), table))
        for a, column in enumerate(columns):
            self.point(a, column)

    def point(self, a: int, arrays: Sequence[Any]) -> None:
        """Let array a of every tensor be this one."""
        self.columns[a] = arrays
        for begin, count, _, table in self.pieces:
            table["at"][0, a, :count] = [x.data.ptr for x in arrays[begin : begin + count]]

    def start(self, source: Source, arguments: Callable[[bool], list[Any]]) -> None:
        """Start a kernel for every piece; `arguments(last)` are those between counts and table."""
        for i, (_, count, chunks, table) in enumerate(self.pieces):
            head = [np.int32(count), np.int32(chunks)]
            last = i == len(self.pieces) - 1
            start(source, (blocks(max(chunks, 1), 1),), [*head, *arguments(last), table])


def flat(x: Any) -> Any:
    """An array as one row of real numbers: the same memory if it is in one piece."""
    x = array_module(x).ascontiguousarray(x).reshape(-1)
    return x.view(x.real.dtype) if x.dtype.kind == "c" else x


# ------------------------------------------------------------------------------ gradients
def _tables_by_dtype(arrays: list[Any]) -> list[Tables]:
    alike: dict[Any, list[Any]] = {}
    for x in arrays:
        alike.setdefault(x.dtype, []).append(x)
    return [Tables([members]) for members in alike.values()]


def norm(arrays: list[Any], largest: bool = False) -> Any:
    """The 2-norm of all arrays together, or their largest magnitude, as an array of no dimension in
    the dtype of the first: a launch for each dtype.
    """
    xp, given = cuda_module(), [flat(x) for x in arrays]
    out = xp.empty((), given[0].dtype)
    before, mark = None, ticket()
    for tables in _tables_by_dtype(given):
        name = tables.columns[0][0].dtype.name
        source = many.norm(name, tables.k, result=out.dtype.name, largest=largest)
        for _, count, chunks, table in tables.pieces:
            grid = blocks(max(chunks, 1), 1)
            total, parts = xp.empty(1, np.float64), xp.empty(grid, np.float64)
            head = [np.int32(count), np.int32(chunks), before, parts, mark, total, out]
            start(source, (grid,), [*head, table])
            before = total
    return out


def shrink(arrays: list[Any], total: Any, bound: float) -> None:
    """All arrays times bound / (total + 1e-6) if that is below 1, in place; nothing is read."""
    given = [flat(x) for x in arrays]
    for tables in _tables_by_dtype(given):
        name = tables.columns[0][0].dtype.name
        source = many.shrink(name, tables.k, result=total.dtype.name)
        tables.start(source, lambda last: [np.float64(bound), total])
    write_back(arrays, given)


def unscale(arrays: list[Any], scale: Any, found: Any) -> None:
    """All arrays divided by `scale`, in place; found = 1 if one element is inf or nan."""
    given = [flat(x) for x in arrays]
    for tables in _tables_by_dtype(given):
        source = many.unscale(tables.columns[0][0].dtype.name, tables.k)
        tables.start(source, lambda last: [scale, found])
    write_back(arrays, given)


def update_scale(
    scale: Any, tracker: Any, found: Any, growth: float, backoff: float, interval: int
) -> None:
    """A gradient scaler's update, from what `unscale` has found; nothing is read."""
    numbers = [np.float64(growth), np.float64(backoff), np.int32(interval)]
    start(many.update_scale(), (1,), [scale, tracker, found, *numbers])


def write_back(arrays: list[Any], flats: list[Any]) -> None:
    """What was computed in a copy, because the array was not in one piece."""
    for x, y in zip(arrays, flats, strict=True):
        if not x.flags.c_contiguous:
            x[...] = y.view(x.dtype).reshape(x.shape)


# ------------------------------------------------------------------------------ optimizers
def step_source(formula: Callable, owner: type, key: tuple[Any, ...], **how: Any) -> Source:
    """`many.step`, made once for each key; NoScalarForm if the formula has no form for the GPU."""
    known = (formula, owner, *key)
    if known not in _SOURCES:
        _SOURCES[known] = many.step(formula, **how)
    return _SOURCES[known]


def fixed_options(group: Mapping[str, Any]) -> tuple[Any, ...]:
    """The options that a step's text depends on: all that are no numbers."""
    return tuple([(k, v) for k, v in group.items() if isinstance(v, (bool, str)) or v is None])
