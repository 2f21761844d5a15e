"""Maps of whole image planes: rows and columns mixed by short sums (resizing, shares, padding by
copies), frames of one value, and pixels dealt out between channels.

A sparse matrix is taken as two parts (`Columns`): for every result the same number of entries,
which vectors run over, and what is left of the few results that have more. Results with fewer
entries read a zero that is kept behind the line.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from . import compiler
from .compiler import REASSOCIATE, kernel, prange
from .copying import move

ndarray = np.ndarray
F32, F64 = np.dtype(np.float32), np.dtype(np.float64)


class Rows(NamedTuple):
    """A sparse matrix by rows: row i has the entries start[i] .. start[i + 1]."""

    start: Any
    column: Any
    weight: Any


class Columns(NamedTuple):
    """A sparse matrix as (entries, rows) of columns and weights, and (row, column, weight) more.

    first, end, shift: results that are only copies of neighbours, result j of element j + shift;
    where there are many of those, the first part has no entries.
    """

    first: int
    end: int
    shift: int
    column: Any
    weight: Any
    row: Any
    more_column: Any
    more_weight: Any


def rows_of(row: Any, column: Any, weight: Any, count: int) -> Rows:
    """Entries sorted by row, as Rows."""
    start = np.searchsorted(row, np.arange(count + 1)).astype(np.int64)
    return Rows(start, column.astype(np.int64), np.ascontiguousarray(weight))


def columns_of(row: Any, column: Any, weight: Any, count: int, size: int) -> Columns:
    """Entries sorted by row, as Columns; `size`: elements of a line."""
    row, column = row.astype(np.int64), column.astype(np.int64)
    start = np.searchsorted(row, np.arange(count))
    place = np.arange(len(row)) - start[row]
    run = first, end, _ = _longest_run(row, column, weight, place, count)
    if end - first > count // 2:
        copied = (place == 0) & (row >= first) & (row < end)
        rest, k = ~copied, 0
    else:
        run = 0, 0, 0
        most = int(place.max(initial=0)) + 1
        costs = [count * k + 4 * int(np.sum(place >= k)) for k in range(1, most + 1)]
        k = int(np.argmin(costs)) + 1
        rest = place >= k
    columns = np.full((k, count), size, np.uint32)
    weights = np.zeros((k, count), weight.dtype)
    if k:
        columns[place[~rest], row[~rest]] = column[~rest]
        weights[place[~rest], row[~rest]] = weight[~rest]
    more = row[rest].astype(np.uint32), column[rest].astype(np.uint32), weight[rest]
    return Columns(*run, columns, weights, *[np.ascontiguousarray(m) for m in more])


def _longest_run(
    row: Any, column: Any, weight: Any, place: Any, count: int
) -> tuple[int, int, int]:
    """The most results in turn whose first entry copies element row + shift, for one shift."""
    shifts = np.full(count, np.iinfo(np.int64).max)
    plain = (place == 0) & (weight == 1)
    shifts[row[plain]] = column[plain] - row[plain]
    ends = np.flatnonzero(np.append(np.diff(shifts) != 0, True)) + 1
    best = (0, 0, 0)
    for first, end in zip([0, *ends[:-1]], ends, strict=True):
        if end - first > best[1] - best[0] and count and shifts[first] < 1 << 40:
            best = int(first), int(end), int(shifts[first])
    return best


@kernel(flags=REASSOCIATE)
def _mix(x, y, start, column, weight, height, width, out):
    """y[n, i, :] = sum over the entries of row i of weight x[n, column, :]."""
    for n in prange(x.size // (height * width)):
        for i in range(out):
            line = y[(n * out + i) * width :][:width]
            if start[i] == start[i + 1]:
                line[:] = 0
            for e in range(start[i], start[i + 1]):
                source = x[(n * height + column[e]) * width :][:width]
                w = weight[e]
                if e == start[i]:
                    for j in range(width):
                        line[j] = w * source[j]
                else:
                    for j in range(width):
                        line[j] += w * source[j]


@kernel(flags=REASSOCIATE)
def _mix_both(
    x, y, start, column, weight, first, end, shift, columns, weights, row, more_column,
    more_weight, height, width, out, wide,
):  # fmt: skip
    """The same, and then along the rows: two sparse matrices from both sides of each plane."""
    for n in prange(x.size // (height * width)):
        mixed = np.zeros(width + 1, x.dtype)  # the last one stays zero
        for i in range(out):
            target = y[(n * out + i) * wide :][:wide]
            count = start[i + 1] - start[i]
            if i > 0 and count == 1 and start[i] - start[i - 1] == 1:
                if column[start[i]] == column[start[i - 1]]:
                    if weight[start[i]] == weight[start[i - 1]]:
                        before = y[(n * out + i - 1) * wide :][:wide]
                        for j in range(wide):
                            target[j] = before[j]
                        continue
            line = mixed
            if count == 1 and weight[start[i]] == 1 and end > first:
                line = x[(n * height + column[start[i]]) * width :][:width]
            else:
                for e in range(start[i], start[i + 1]):
                    source = x[(n * height + column[e]) * width :][:width]
                    w = weight[e]
                    if e == start[i]:
                        for j in range(width):
                            mixed[j] = w * source[j]
                    else:
                        for j in range(width):
                            mixed[j] += w * source[j]
            if count == 0:
                for j in range(wide):
                    target[j] = 0
                continue
            if end > first:
                for j in range(first):
                    target[j] = 0
                same, here = target[first:end], line[first + shift : end + shift]
                for j in range(end - first):
                    same[j] = here[j]
                for j in range(end, wide):
                    target[j] = 0
            for k in range(columns.shape[0]):
                places, factors = columns[k], weights[k]
                if k == 0:
                    for j in range(wide):
                        target[j] = factors[j] * line[places[j]]
                else:
                    for j in range(wide):
                        target[j] += factors[j] * line[places[j]]
            for e in range(row.size):
                target[row[e]] += more_weight[e] * line[more_column[e]]


def usable(x: Any) -> bool:
    """Whether the kernels are there for this array."""
    return (
        type(x) is ndarray and (x.dtype is F32 or x.dtype is F64) and x.size > 0
        and compiler.enabled()
    )  # fmt: skip


def _flat(x: Any) -> Any:
    return (x if x.flags.c_contiguous else np.ascontiguousarray(x)).reshape(-1)


def mix_rows(x: Any, axis: int, rows: Rows) -> Any:
    """The matrix times x along one axis, not the last."""
    out, height, width = rows.start.size - 1, x.shape[axis], prod(x.shape[axis + 1 :])
    y = np.empty((*x.shape[:axis], out, *x.shape[axis + 1 :]), x.dtype)
    _mix.run(max(x.size, y.size), _flat(x), y.reshape(-1), *rows, height, width, out)
    return y


def mix_planes(x: Any, rows: Rows, columns: Columns) -> Any:
    """Two matrices times the last two dimensions of x."""
    height, width = x.shape[-2:]
    out, wide = rows.start.size - 1, columns.column.shape[1]
    y = np.empty((*x.shape[:-2], out, wide), x.dtype)
    sizes = height, width, out, wide
    _mix_both.run(2 * max(x.size, y.size), _flat(x), y.reshape(-1), *rows, *columns, *sizes)
    return y


@kernel
def _frame(x, y, value, height, width, out, wide, top, left):
    first, end = min(max(left, 0), wide), max(min(left + width, wide), 0)
    size = x.itemsize
    for n in prange(y.size // (out * wide)):
        for i in range(out):
            target = y[(n * out + i) * wide :][:wide]
            if i < top or i >= top + height or first >= end:
                for j in range(wide):
                    target[j] = value
                continue
            for j in range(first):
                target[j] = value
            source = x.ctypes.data + ((n * height + i - top) * width + first - left) * size
            move(target.ctypes.data + first * size, source, (end - first) * size)
            for j in range(end, wide):
                target[j] = value


def frame(x: Any, sides: tuple[int, ...], value: float) -> Any:
    """The last two dimensions extended by `value`, or cut: sides are (left, right, top, bottom).

    None for an empty result.
    """
    left, right, top, bottom = sides
    height, width = x.shape[-2:]
    out, wide = height + top + bottom, width + left + right
    if not out * wide:
        return None
    y = np.empty((*x.shape[:-2], out, wide), x.dtype)
    sizes = height, width, out, wide, top, left
    _frame.run(y.size, _flat(x), y.reshape(-1), x.dtype.type(value), *sizes)
    return y


@kernel
def _shuffle(x, y, r, height, width):
    for task in prange(y.size // (r * width)):
        i, rest = task % r, task // r
        h, plane = rest % height, rest // height
        target = y[task // (r * height) * (r * height * r * width) + (h * r + i) * r * width :]
        target = target[: r * width]
        if r == 2:
            a = x[((plane * 2 + i) * 2 * height + h) * width :][:width]
            b = x[(((plane * 2 + i) * 2 + 1) * height + h) * width :][:width]
            for w in range(width):
                target[2 * w] = a[w]
                target[2 * w + 1] = b[w]
            continue
        for j in range(r):
            a = x[(((plane * r + i) * r + j) * height + h) * width :][:width]
            for w in range(width):
                target[w * r + j] = a[w]


@kernel
def _unshuffle(y, x, r, height, width):
    for task in prange(y.size // (r * width)):
        i, rest = task % r, task // r
        h, plane = rest % height, rest // height
        source = y[task // (r * height) * (r * height * r * width) + (h * r + i) * r * width :]
        source = source[: r * width]
        if r == 2:
            a = x[((plane * 2 + i) * 2 * height + h) * width :][:width]
            b = x[(((plane * 2 + i) * 2 + 1) * height + h) * width :][:width]
            for w in range(width):
                a[w] = source[2 * w]
                b[w] = source[2 * w + 1]
            continue
        for j in range(r):
            a = x[(((plane * r + i) * r + j) * height + h) * width :][:width]
            for w in range(width):
                a[w] = source[w * r + j]


def shuffle(x: Any, r: int) -> Any:
    """(n, c r r, h, w) to (n, c, h r, w r)."""
    n, c, h, w = x.shape
    y = np.empty((n, c // (r * r), h * r, w * r), x.dtype)
    _shuffle.run(x.size, _flat(x), y.reshape(-1), r, h, w)
    return y


def unshuffle(y: Any, r: int) -> Any:
    """(n, c, h r, w r) to (n, c r r, h, w)."""
    n, c, h, w = y.shape
    x = np.empty((n, c * r * r, h // r, w // r), y.dtype)
    _unshuffle.run(y.size, _flat(y), x.reshape(-1), r, h // r, w // r)
    return x
