"""LSTM and GRU sequences: every thread takes some of a batch's sequences through all of time.

Sequences do not depend on each other, so nobody waits for anybody before the end, and the matrix
that every step multiplies by is packed once (gemm.py). Forward and backward are one call each; the
formulas are those of ops/recurrent.py. Rows are sorted by time: `spans` (steps, 2) has the first
row and the number of sequences of each step, in the order of processing.

The loops over a row have few arrays each: with more, LLVM gives up proving that they do not
overlap, and they would not be SIMD.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ...backend.memory import address
from . import compiler, gemm, scalars, threads
from .compiler import kernel, prange

F32 = np.dtype(np.float32)
ONE = np.float32(1)
sigmoid, tanh = scalars.sigmoid, scalars.tanh
times: Any = gemm.times
EDGE = 6 * 64
"""Room for a tile, of any processor."""

PARALLEL = 1 << 17
"""Multiplications from which the other threads are worth waking."""
LONE = 1 << 16
"""Numbers of a matrix from which one sequence alone is quicker in BLAS, on all threads."""


# ------------------------------------------------------------------------------ LSTM
@kernel(inline=True)
def _lstm_row(gates, cell, squashed, out):
    n = cell.size
    for j in range(2 * n):
        gates[j] = sigmoid(gates[j])
    i, f, g, o = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(n):
        g[j] = tanh(g[j])
    for j in range(n):
        o[j] = sigmoid(o[j])
    for j in range(n):
        cell[j] = f[j] * cell[j] + i[j] * g[j]
    for j in range(n):
        squashed[j] = tanh(cell[j])
    for j in range(n):
        out[j] = o[j] * squashed[j]


@kernel
def _lstm(spans, gates, right, hiddens, cells, squashed, y, h, c, parts):
    total, n = c.shape
    at_gates, at_h = np.intp(gates.ctypes.data), np.intp(h.ctypes.data)
    for part in prange(parts):
        first, last = part * total // parts, (part + 1) * total // parts
        edge = np.empty(EDGE, np.float32)
        for step in range(spans.shape[0]):
            a, stop = spans[step, 0], min(spans[step, 1], last)
            if stop > first:
                to = at_gates + 16 * (a + first) * n
                times(
                    stop - first, 4 * n, n, at_h + 4 * first * n, n, right, to, 4 * n, to, 4 * n,
                    np.intp(edge.ctypes.data),
                )  # fmt: skip
                for i in range(first, stop):
                    row = a + i
                    hiddens[row] = h[i]
                    cells[row] = c[i]
                    _lstm_row(gates[row], c[i], squashed[row], y[row])
                    h[i] = y[row]
        edge[0] = ONE


@kernel(inline=True)
def _lstm_row_back(gates, before, squashed, out_bar, cell_bar, sums):
    n = cell_bar.size
    i, f, g, o = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    to_i, to_f, to_g, to_o = sums[:n], sums[n : 2 * n], sums[2 * n : 3 * n], sums[3 * n :]
    for j in range(n):
        cell_bar[j] += out_bar[j] * o[j] * (ONE - squashed[j] * squashed[j])
    for j in range(n):
        to_o[j] = out_bar[j] * squashed[j] * (o[j] * (ONE - o[j]))
    for j in range(n):
        to_i[j] = cell_bar[j] * g[j] * (i[j] * (ONE - i[j]))
    for j in range(n):
        to_f[j] = cell_bar[j] * before[j] * (f[j] * (ONE - f[j]))
    for j in range(n):
        to_g[j] = cell_bar[j] * i[j] * (ONE - g[j] * g[j])
    for j in range(n):
        cell_bar[j] *= f[j]


@kernel
def _lstm_back(spans, gates, cells, squashed, right, y_bar, h_bar, c_bar, sums, parts):
    total, n = c_bar.shape
    at_sums, at_h = np.intp(sums.ctypes.data), np.intp(h_bar.ctypes.data)
    for part in prange(parts):
        first, last = part * total // parts, (part + 1) * total // parts
        edge = np.empty(EDGE, np.float32)
        for step in range(spans.shape[0]):
            a, stop = spans[step, 0], min(spans[step, 1], last)
            for i in range(first, stop):
                row, out_bar = a + i, h_bar[i]
                if y_bar.size > 0:
                    given = y_bar[row]
                    for j in range(n):
                        out_bar[j] += given[j]
                _lstm_row_back(gates[row], cells[row], squashed[row], out_bar, c_bar[i], sums[row])
            if stop > first:
                times(
                    stop - first, n, 4 * n, at_sums + 16 * (a + first) * n, 4 * n, right, 0, 0,
                    at_h + 4 * first * n, n, np.intp(edge.ctypes.data),
                )  # fmt: skip
        edge[0] = ONE


# ------------------------------------------------------------------------------ GRU
@kernel(inline=True)
def _gru_row(gates, sums, inner, hidden, out):
    n = hidden.size
    for j in range(2 * n):
        gates[j] = sigmoid(gates[j] + sums[j])
    r, z, new, state = gates[:n], gates[n : 2 * n], gates[2 * n :], sums[2 * n :]
    for j in range(n):
        inner[j] = state[j]
    for j in range(n):
        new[j] = tanh(new[j] + r[j] * state[j])
    for j in range(n):
        hidden[j] = new[j] + z[j] * (hidden[j] - new[j])
    for j in range(n):
        out[j] = hidden[j]


@kernel
def _gru(spans, gates, right, bias, hiddens, inner, y, h, parts):
    total, n = h.shape
    at_h, at_bias = np.intp(h.ctypes.data), np.intp(bias.ctypes.data)
    for part in prange(parts):
        first, last = part * total // parts, (part + 1) * total // parts
        edge, sums = np.empty(EDGE, np.float32), np.empty((last - first, 3 * n), np.float32)
        for step in range(spans.shape[0]):
            a, stop = spans[step, 0], min(spans[step, 1], last)
            if stop > first:
                times(
                    stop - first, 3 * n, n, at_h + 4 * first * n, n, right, at_bias, 0,
                    np.intp(sums.ctypes.data), 3 * n, np.intp(edge.ctypes.data),
                )  # fmt: skip
                for i in range(first, stop):
                    row = a + i
                    hiddens[row] = h[i]
                    _gru_row(gates[row], sums[i - first], inner[row], h[i], y[row])
        edge[0] = ONE


@kernel(inline=True)
def _gru_row_back(gates, inner, before, hidden_bar, factors):
    n = hidden_bar.size
    r, z, new = gates[:n], gates[n : 2 * n], gates[2 * n :]
    to_r, to_z, to_state, to_input = (
        factors[:n], factors[n : 2 * n], factors[2 * n : 3 * n], factors[3 * n :]
    )  # fmt: skip
    for j in range(n):
        to_input[j] = hidden_bar[j] * (ONE - z[j]) * (ONE - new[j] * new[j])
    for j in range(n):
        to_state[j] = to_input[j] * r[j]
    for j in range(n):
        to_z[j] = hidden_bar[j] * (before[j] - new[j]) * (z[j] * (ONE - z[j]))
    for j in range(n):
        to_r[j] = to_state[j] * inner[j] * (ONE - r[j])
    for j in range(n):
        hidden_bar[j] *= z[j]


@kernel
def _gru_back(spans, gates, inner, hiddens, right, y_bar, h_bar, factors, parts):
    total, n = h_bar.shape
    at_factors, at_h = np.intp(factors.ctypes.data), np.intp(h_bar.ctypes.data)
    for part in prange(parts):
        first, last = part * total // parts, (part + 1) * total // parts
        edge = np.empty(EDGE, np.float32)
        for step in range(spans.shape[0]):
            a, stop = spans[step, 0], min(spans[step, 1], last)
            for i in range(first, stop):
                row, out_bar = a + i, h_bar[i]
                if y_bar.size > 0:
                    given = y_bar[row]
                    for j in range(n):
                        out_bar[j] += given[j]
                _gru_row_back(gates[row], inner[row], hiddens[row], out_bar, factors[row])
            if stop > first:
                to = at_h + 4 * first * n
                times(
                    stop - first, n, 3 * n, at_factors + 16 * (a + first) * n, 4 * n, right, to, n,
                    to, n, np.intp(edge.ctypes.data),
                )  # fmt: skip
        edge[0] = ONE


# ------------------------------------------------------------------------------ from NumPy
def fits(*arrays: Any) -> bool:
    """Whether the kernels take these: the first is W_hh, the second has a row a sequence."""
    w, state = arrays[:2]
    if not compiler.enabled() or (len(state) < 2 and w.size >= LONE) or 0 in state.shape:
        return False
    return all([type(x) is np.ndarray and x.dtype is F32 for x in arrays if x is not None])


@lru_cache(64)
def _steps(spans: tuple[tuple[int, int], ...]) -> tuple[Any, int]:
    """The first row of each step and their number, and the number of all rows."""
    steps = np.array([(a, b - a) for a, b in spans], np.int64).reshape(-1, 2)
    return steps, int(steps[:, 1].sum())


def _run(function: Any, spans: tuple[tuple[int, int], ...], w: Any, state: Any, *args: Any) -> None:
    steps, rows = _steps(spans)
    work = w.size * rows
    parts = min(threads.count(), len(state)) if work >= PARALLEL else 1
    (function.parallel if parts > 1 else function.serial)(steps, *args, parts)


def _rows_of(g: Any) -> Any:
    return np.empty((0, 0), F32) if g is None else np.ascontiguousarray(g)


def lstm(spans: Any, gates: Any, w: Any, hiddens: Any, cells: Any, squashed: Any, y: Any,
         h: Any, c: Any) -> None:  # fmt: skip
    """All steps in place: `gates` (rows, 4H) has the input's sums, h and c (N, H) the states."""
    right = gemm.packed(np.ascontiguousarray(w), True)
    _run(_lstm, spans, w, h, gates, address(right), hiddens, cells, squashed, y, h, c)


def lstm_back(spans: Any, gates: Any, cells: Any, squashed: Any, w: Any, y_bar: Any, h_bar: Any,
              c_bar: Any) -> Any:  # fmt: skip
    """The gradients of the gates' sums (rows, 4H); h_bar and c_bar become those of the first."""
    right, sums = gemm.packed(np.ascontiguousarray(w), False), np.empty_like(gates)
    y_bar = _rows_of(y_bar)
    at = address(right)
    _run(_lstm_back, spans, w, h_bar, gates, cells, squashed, at, y_bar, h_bar, c_bar, sums)
    return sums


def gru(spans: Any, gates: Any, w: Any, bias: Any, hiddens: Any, inner: Any, y: Any,
        h: Any) -> None:  # fmt: skip
    """All steps in place: `gates` (rows, 3H) has the input's sums, h (N, H) the state."""
    right = gemm.packed(np.ascontiguousarray(w), True)
    bias = np.zeros(len(w), F32) if bias is None else np.ascontiguousarray(bias)
    _run(_gru, spans, w, h, gates, address(right), bias, hiddens, inner, y, h)


def gru_back(spans: Any, gates: Any, inner: Any, hiddens: Any, w: Any, y_bar: Any,
             h_bar: Any) -> Any:  # fmt: skip
    """(rows, 4H): r̄, z̄, n̄ of the state, n̄ of the input; h_bar becomes that of the first."""
    right = gemm.packed(np.ascontiguousarray(w), False)
    factors = np.empty((len(gates), 4 * h_bar.shape[1]), F32)
    y_bar = _rows_of(y_bar)
    at = address(right)
    _run(_gru_back, spans, w, h_bar, gates, inner, hiddens, at, y_bar, h_bar, factors)
    return factors
