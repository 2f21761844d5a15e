"""Recurrent sequences: RNN, LSTM and GRU over all time steps, each one primitive.

Sequences are rows sorted by time: `sizes[t]` rows belong to time t, the longest sequences first, so
that padded and packed input are the same thing. Every function multiplies all rows of the input by
one matrix product, then goes through time with one product each. Backward, too, is one product for
each time step, and one for each weight over all rows at the end:

    X̄ = S̄ W_ih,  W̄_ih = S̄ᵀ X,  W̄_hh = S̄ᵀ H₋₁,  b̄ = Σ S̄

with S̄ the gradients of the gates' sums (rows, G·H) and H₋₁ the states before each step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..core.primitive import primitive
from ..kernels import cuda
from ..kernels.cpu import recurrent as kernels
from .activation import relu
from .cells import (
    gru_factors,
    gru_step,
    gru_step_back,
    lstm_factors,
    lstm_step,
    lstm_step_back,
    rnn_factors,
    rnn_step,
)
from .elementwise import sigmoid, tanh
from .join import cat
from .matmul import linear
from .matrix_product import matrices
from .shape import reshape
from .slices import narrow


def _times(a: Any, b: Any, out: Any = None, add: bool = False, bias: Any = None) -> Any:
    """a b + bias; or a b in `out`, or added to what is there."""
    if out is None:
        return matrices(a, b, bias)
    if type(a) is not np.ndarray:
        return cuda.gemm.matmul(a, b, out=out, beta=float(add))
    if add:
        out += np.matmul(a, b)
        return out
    return np.matmul(a, b, out=out)


@lru_cache(maxsize=64)
def _spans(sizes: tuple[int, ...], reverse: bool) -> tuple[tuple[int, int], ...]:
    """(first, last + 1) row of each time step, in the order of processing."""
    spans, start = [], 0
    for size in sizes:
        spans.append((start, start + size))
        start += size
    return tuple(spans[::-1] if reverse else spans)


# ------------------------------------------------------------------------------ what they share
def _rows(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1])


def _sums(x: Any, weight: Any, *biases: Any) -> Any:
    """x Wᵀ + b for all rows of x."""
    given = [bias for bias in biases if bias is not None]
    bias = given[0] + given[1] if len(given) == 2 else given[0] if given else None
    return _times(_rows(x), weight.T, bias=bias)


def _transposed(weight: Any) -> Any:
    """Wᵀ laid out for the products of the single steps."""
    return array_module(weight).ascontiguousarray(weight.T)


def _given(g: Any, like: Any) -> Any:
    """A gradient to add to, zeros if there is none."""
    return np.zeros_like(like, order="C") if g is None else g.copy("C")


def _weight_bars(
    sums: Any, inner: Any, x: Any, before: Any, w_ih: Any, needs: tuple[bool, ...]
) -> tuple[Any, ...]:
    """Gradients of x, w_ih, w_hh, b_ih, b_hh; `sums` belong to the input, `inner` to the state."""
    x_bar = _times(sums, w_ih).reshape(x.shape) if needs[0] else None
    ih_bar = _times(sums.T, _rows(x)) if needs[1] else None
    hh_bar = _times(inner.T, before) if needs[2] else None
    b_ih_bar = sums.sum(axis=0) if needs[3] else None
    if inner is sums and b_ih_bar is not None:
        return x_bar, ih_bar, hh_bar, b_ih_bar, b_ih_bar if needs[4] else None
    return x_bar, ih_bar, hh_bar, b_ih_bar, inner.sum(axis=0) if needs[4] else None


def _through_time(
    cell: Callable[..., tuple],
    x: Any,
    states: tuple,
    w_ih: Any,
    b_ih: Any,
    sizes: tuple[int, ...],
    reverse: bool,
) -> tuple[Any, ...]:
    """A sequence from differentiable parts: cell(sums of the input, *states) gives new states."""
    sums = linear(reshape(x, (-1, x.shape[-1])), w_ih, b_ih)
    found = {}
    for a, b in _spans(sizes, reverse):
        n = b - a
        new = cell(narrow(sums, 0, a, n), *[narrow(s, 0, 0, n) for s in states])
        states = tuple([_replaced(s, part) for s, part in zip(states, new, strict=True)])
        found[a] = new[0]
    y = cat([found[a] for a in sorted(found)])
    return reshape(y, (*x.shape[:-1], y.shape[-1])), *states


def _replaced(state: Any, rows: Any) -> Any:
    """The state with its first rows replaced: sequences that have ended keep theirs."""
    n, total = rows.shape[0], state.shape[0]
    return rows if n == total else cat([rows, narrow(state, 0, n, total - n)])


# ------------------------------------------------------------------------------ LSTM
def _lstm_parts(
    x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any,
    *, sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """The same sequence from differentiable parts."""
    n = c0.shape[1]

    def cell(sums: Any, h: Any, c: Any) -> tuple[Any, Any]:
        sums = sums + linear(h, w_hh, b_hh)
        i, f, g, o = [narrow(sums, 1, k * n, n) for k in range(4)]
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        return (h if w_hr is None else linear(h, w_hr)), c

    return _through_time(cell, x, (h0, c0), w_ih, b_ih, sizes, reverse)


@primitive(residuals=("gates", "hiddens", "cells", "squashed"), composition=_lstm_parts)
def lstm_sequence(
    x: Any, h0: Any, c0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any,
    *, sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000): (h of all t, h, c).

        i f g o = σ σ tanh σ (W_ih x + b_ih + W_hh h + b_hh);  c ← f·c + i·g;  h ← o·tanh c

    x (rows, I) or (T, N, I), w_ih (4H, I), w_hh (4H, R), states (N, R) and (N, H). w_hr (R, H)
    projects h (Sak et al. 2014); without it R = H and w_hr is None.
    """
    xp = array_module(x)
    gates = _sums(x, w_ih, b_ih, b_hh)
    rows, width = len(gates), h0.shape[1]
    hiddens, y = xp.empty((rows, width), gates.dtype), xp.empty((rows, width), gates.dtype)
    cells, squashed = [xp.empty((rows, c0.shape[1]), gates.dtype) for _ in range(2)]
    h, c = h0.copy("C"), c0.copy("C")
    if w_hr is None and kernels.fits(w_hh, h, gates):
        kernels.lstm(_spans(sizes, reverse), gates, w_hh, hiddens, cells, squashed, y, h, c)
        return (y.reshape(*x.shape[:-1], width), h, c), gates, hiddens, cells, squashed
    w = _transposed(w_hh)
    for a, b in _spans(sizes, reverse):
        h_t, c_t = h[: b - a], c[: b - a]
        hiddens[a:b], cells[a:b] = h_t, c_t
        _times(h_t, w, gates[a:b], add=True)
        if w_hr is None:
            lstm_step(gates[a:b], c_t, squashed[a:b], y[a:b])
        else:
            full = xp.empty_like(c_t)
            lstm_step(gates[a:b], c_t, squashed[a:b], full)
            _times(full, w_hr.T, y[a:b])
        h_t[...] = y[a:b]
    return (y.reshape(*x.shape[:-1], width), h, c), gates, hiddens, cells, squashed


def _lstm_vjp(
    g: Any, gates: Any, hiddens: Any, cells: Any, squashed: Any, x: Any, h0: Any, c0: Any,
    w_ih: Any, w_hh: Any, w_hr: Any, sizes: Any, reverse: bool, needs: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """c̄ += h̄·o(1 − tanh²c);  S̄ = (c̄·g·i(1 − i), c̄·c·f(1 − f), c̄·i(1 − g²), h̄·tanh c·o(1 − o));
    then c̄ ← c̄·f and h̄ ← S̄ W_hh, one step earlier.
    """
    n = c0.shape[1]
    y_bar = None if g[0] is None else _rows(g[0])
    h_bar, c_bar = _given(g[1], h0), _given(g[2], c0)
    spans = _spans(sizes, not reverse)
    projected = None if w_hr is None else array_module(x).empty_like(hiddens)
    if w_hr is None and kernels.fits(w_hh, h_bar, gates, y_bar, c_bar):
        sums = kernels.lstm_back(spans, gates, cells, squashed, w_hh, y_bar, h_bar, c_bar)
    else:
        sums, slope = lstm_factors(gates, cells, squashed)
        for a, b in spans:
            h_t = h_bar[: b - a]
            if y_bar is not None:
                h_t += y_bar[a:b]
            out_bar = h_t
            if projected is not None:
                projected[a:b] = h_t
                out_bar = _times(h_t, w_hr)
            forget = gates[a:b, n : 2 * n]
            lstm_step_back(sums[a:b], slope[a:b], forget, out_bar, c_bar[: b - a])
            _times(sums[a:b], w_hh, h_t)
    x_bar, *weights = _weight_bars(sums, sums, x, hiddens, w_ih, (needs[0], *needs[3:7]))
    hr_bar = None
    if projected is not None and needs[7]:
        hr_bar = _times(projected.T, gates[:, 3 * n :] * squashed)
    return x_bar, h_bar, c_bar, *weights, hr_bar


lstm_sequence.joint(_lstm_vjp)


# ------------------------------------------------------------------------------ GRU
def _gru_parts(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    *, sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """The same sequence from differentiable parts."""
    n = h0.shape[1]

    def cell(sums: Any, h: Any) -> tuple[Any]:
        inner = linear(h, w_hh, b_hh)
        r, z = [sigmoid(narrow(sums, 1, k * n, n) + narrow(inner, 1, k * n, n)) for k in (0, 1)]
        new = tanh(narrow(sums, 1, 2 * n, n) + r * narrow(inner, 1, 2 * n, n))
        return (new + z * (h - new),)

    return _through_time(cell, x, (h0,), w_ih, b_ih, sizes, reverse)


@primitive(residuals=("gates", "hiddens", "inner"), composition=_gru_parts)
def gru_sequence(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    *, sizes: tuple[int, ...], reverse: bool,
) -> Any:  # fmt: skip
    """Cho et al. 2014, with the reset gate behind the product: (h of all t, last h).

        s = W_ih x + b_ih,  u = W_hh h + b_hh;  r = σ(s_r + u_r),  z = σ(s_z + u_z)
        n = tanh(s_n + r·u_n);  h ← (1 − z)·n + z·h

    x (rows, I) or (T, N, I), w_ih (3H, I), w_hh (3H, H), state (N, H).
    """
    xp = array_module(x)
    gates = _sums(x, w_ih, b_ih)
    shape = (len(gates), h0.shape[1])
    hiddens, inner, y = [xp.empty(shape, gates.dtype) for _ in range(3)]
    h = h0.copy("C")
    if kernels.fits(w_hh, h, gates, b_hh):
        kernels.gru(_spans(sizes, reverse), gates, w_hh, b_hh, hiddens, inner, y, h)
        return (y.reshape(*x.shape[:-1], shape[1]), h), gates, hiddens, inner
    w = _transposed(w_hh)
    for a, b in _spans(sizes, reverse):
        h_t = h[: b - a]
        hiddens[a:b] = h_t
        u = _times(h_t, w)
        if b_hh is not None:
            u += b_hh
        inner[a:b] = u[:, 2 * shape[1] :]
        gru_step(gates[a:b], u, h_t)
        y[a:b] = h_t
    return (y.reshape(*x.shape[:-1], shape[1]), h), gates, hiddens, inner


def _gru_vjp(
    g: Any, gates: Any, hiddens: Any, inner: Any, x: Any, h0: Any, w_ih: Any, w_hh: Any,
    sizes: Any, reverse: bool, needs: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """n̄ = h̄(1 − z)(1 − n²),  z̄ = h̄(h − n) z(1 − z),  r̄ = n̄ u_n r(1 − r);  h̄ ← h̄·z + Ū W_hh."""
    n = h0.shape[1]
    y_bar = None if g[0] is None else _rows(g[0])
    h_bar = _given(g[1], h0)
    spans = _spans(sizes, not reverse)
    if kernels.fits(w_hh, h_bar, gates, y_bar):
        factors = kernels.gru_back(spans, gates, inner, hiddens, w_hh, y_bar, h_bar)
    else:
        factors = gru_factors(gates, inner, hiddens)
        for a, b in spans:
            h_t = h_bar[: b - a]
            if y_bar is not None:
                h_t += y_bar[a:b]
            gru_step_back(factors[a:b], gates[a:b, n : 2 * n], h_t)
            _times(factors[a:b, : 3 * n], w_hh, h_t, add=True)
    sums = array_module(x).empty_like(gates)
    sums[:, : 2 * n], sums[:, 2 * n :] = factors[:, : 2 * n], factors[:, 3 * n :]
    wanted = (needs[0], *needs[2:])
    x_bar, *weights = _weight_bars(sums, factors[:, : 3 * n], x, hiddens, w_ih, wanted)
    return x_bar, h_bar, *weights


gru_sequence.joint(_gru_vjp)


# ------------------------------------------------------------------------------ plain
def _rnn_parts(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    *, sizes: tuple[int, ...], reverse: bool, nonlinearity: str,
) -> Any:  # fmt: skip
    """The same sequence from differentiable parts."""
    act = tanh if nonlinearity == "tanh" else relu

    def cell(sums: Any, h: Any) -> tuple[Any]:
        return (act(sums + linear(h, w_hh, b_hh)),)

    return _through_time(cell, x, (h0,), w_ih, b_ih, sizes, reverse)


@primitive(residuals=("states", "hiddens"), composition=_rnn_parts)
def rnn_sequence(
    x: Any, h0: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    *, sizes: tuple[int, ...], reverse: bool, nonlinearity: str,
) -> Any:  # fmt: skip
    """Elman 1990: h ← φ(W_ih x + b_ih + W_hh h + b_hh), φ = tanh or relu: (h of all t, last h).

    x (rows, I) or (T, N, I), w_ih (H, I), w_hh (H, H), state (N, H).
    """
    states, w = _sums(x, w_ih, b_ih, b_hh), _transposed(w_hh)
    hiddens, h = array_module(x).empty_like(states), h0.copy()
    for a, b in _spans(sizes, reverse):
        h_t, s = h[: b - a], states[a:b]
        hiddens[a:b] = h_t
        _times(h_t, w, s, add=True)
        rnn_step(s, nonlinearity)
        h_t[...] = s
    # a copy: the result may be changed in place before backward needs the states
    return (states.reshape(*x.shape[:-1], h.shape[1]).copy(), h), states, hiddens


def _rnn_vjp(
    g: Any, states: Any, hiddens: Any, x: Any, h0: Any, w_ih: Any, w_hh: Any,
    sizes: Any, reverse: bool, nonlinearity: str, needs: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """S̄ = h̄·φ'(S);  h̄ ← S̄ W_hh."""
    y_bar = None if g[0] is None else _rows(g[0])
    h_bar = _given(g[1], h0)
    sums = rnn_factors(states, nonlinearity)
    for a, b in _spans(sizes, not reverse):
        h_t = h_bar[: b - a]
        if y_bar is not None:
            h_t += y_bar[a:b]
        sums[a:b] *= h_t
        _times(sums[a:b], w_hh, h_t)
    wanted = (needs[0], *needs[2:])
    x_bar, *weights = _weight_bars(sums, sums, x, hiddens, w_ih, wanted)
    return x_bar, h_bar, *weights


rnn_sequence.joint(_rnn_vjp)
