"""The elementwise part of recurrent cells: one time step of all sequences, arrays in place.

Everything else of a recurrent layer is matrix products (recurrent.py). Each function here is one
pass over arrays with rows of equal meaning, so that a compiled loop can take its place. What the
chain rule multiplies does not depend on the gradient that arrives; `..._factors` computes it for
all time steps at once, and a step back in time is then two or three products.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import array_module


def _logistic(x: Any) -> None:
    """x ← 1/(1 + e⁻ˣ); e⁻ˣ may overflow to ∞, which gives the right limit 0."""
    np.negative(x, out=x)
    np.exp(x, out=x)
    x += 1
    np.divide(1, x, out=x)


def _blocks(x: Any) -> list[slice]:
    """Rows of x in parts of a quarter of a megabyte, which stay in the cache from pass to pass."""
    rows = max(1, (1 << 18) // max(1, x.shape[1] * x.itemsize))
    return [slice(a, a + rows) for a in range(0, len(x), rows)]


# ------------------------------------------------------------------------------ LSTM
def lstm_step(gates: Any, cell: Any, squashed: Any, out: Any) -> None:
    """From the sums of the gates (B, 4H), in the order i f g o, to the new states; all in place.

    gates ← σ(i) σ(f) tanh(g) σ(o);  cell ← f·cell + i·g;  squashed ← tanh(cell);
    out ← o·squashed. `cell`, `squashed` and `out` are (B, H).
    """
    n = cell.shape[1]
    candidate = np.tanh(gates[:, 2 * n : 3 * n])
    _logistic(gates)  # of the candidate as well: four passes over whole rows beat eight over parts
    gates[:, 2 * n : 3 * n] = candidate
    candidate *= gates[:, :n]
    cell *= gates[:, n : 2 * n]
    cell += candidate
    np.tanh(cell, out=squashed)
    np.multiply(gates[:, 3 * n :], squashed, out=out)


def lstm_factors(gates: Any, before: Any, squashed: Any) -> tuple[Any, Any]:
    """(factors, slope) of all time steps: what cell and hidden gradients are multiplied by.

    factors (rows, 4H) = g·i(1 − i), c·f(1 − f), i(1 − g²) for c̄, and tanh(c')·o(1 − o) for h̄;
    slope (rows, H) = o·(1 − tanh²c'), which carries h̄ to c̄'. `before` is c, `squashed` tanh c'.
    """
    xp = array_module(gates)
    factors, slope = xp.empty_like(gates), xp.empty_like(squashed)
    for part in _blocks(gates):
        _lstm_factors(gates[part], before[part], squashed[part], factors[part], slope[part])
    return factors, slope


def _lstm_factors(gates: Any, before: Any, squashed: Any, factors: Any, slope: Any) -> None:
    n = before.shape[1]
    np.subtract(1, gates, out=factors)
    factors *= gates
    i, f, g, o = [gates[:, k * n : (k + 1) * n] for k in range(4)]
    factors[:, :n] *= g
    factors[:, n : 2 * n] *= before
    candidate = factors[:, 2 * n : 3 * n]
    np.multiply(g, g, out=candidate)
    np.subtract(1, candidate, out=candidate)
    candidate *= i
    factors[:, 3 * n :] *= squashed
    np.multiply(squashed, squashed, out=slope)
    np.subtract(1, slope, out=slope)
    slope *= o


def lstm_step_back(factors: Any, slope: Any, forget: Any, out_bar: Any, cell_bar: Any) -> None:
    """factors (B, 4H) become the gradients of the gates' sums, cell_bar that of the cell before.

    `out_bar` is h̄ without projection, `cell_bar` c̄' on entry; slope is used up.
    """
    n = cell_bar.shape[1]
    slope *= out_bar
    cell_bar += slope
    factors[:, : 3 * n].reshape(-1, 3, n)[...] *= cell_bar[:, None]
    factors[:, 3 * n :] *= out_bar
    cell_bar *= forget


# ------------------------------------------------------------------------------ GRU
def gru_step(gates: Any, inner: Any, hidden: Any) -> None:
    """From the sums of the input (B, 3H) and of the state, in the order r z n, to the new state.

    gates ← σ(r) σ(z) tanh(n + r·inner_n);  hidden ← n + z·(hidden − n), all in place.
    """
    n = hidden.shape[1]
    both, candidate = gates[:, : 2 * n], gates[:, 2 * n :]
    both += inner[:, : 2 * n]
    _logistic(both)
    candidate += both[:, :n] * inner[:, 2 * n :]
    np.tanh(candidate, out=candidate)
    hidden -= candidate
    hidden *= both[:, n:]
    hidden += candidate


def gru_factors(gates: Any, inner: Any, before: Any) -> Any:
    """What h̄ is multiplied by, for all time steps (rows, 4H): r̄, z̄, n̄ of the state, n̄ of input.

    n̄ = (1 − z)(1 − n²),  n̄ of the state = n̄·r,  z̄ = (h − n) z(1 − z),  r̄ = n̄·inner·r(1 − r);
    `inner` (rows, H) is the state's part of n, `before` is h.
    """
    factors = array_module(gates).empty((len(gates), 4 * before.shape[1]), gates.dtype)
    for part in _blocks(factors):
        _gru_factors(gates[part], inner[part], before[part], factors[part])
    return factors


def _gru_factors(gates: Any, inner: Any, before: Any, factors: Any) -> None:
    n = before.shape[1]
    r, z, candidate = [gates[:, k * n : (k + 1) * n] for k in range(3)]
    r_bar, z_bar, state_bar, input_bar = [factors[:, k * n : (k + 1) * n] for k in range(4)]
    rest = 1 - z
    np.multiply(candidate, candidate, out=input_bar)
    np.subtract(1, input_bar, out=input_bar)
    input_bar *= rest
    np.multiply(input_bar, r, out=state_bar)
    np.subtract(before, candidate, out=z_bar)
    z_bar *= z
    z_bar *= rest
    np.subtract(1, r, out=r_bar)
    r_bar *= state_bar
    r_bar *= inner


def gru_step_back(factors: Any, keep: Any, hidden_bar: Any) -> None:
    """factors (B, 4H) become the gradients of the sums; hidden_bar ← h̄·z, the direct way back."""
    n = hidden_bar.shape[1]
    factors.reshape(-1, 4, n)[...] *= hidden_bar[:, None]
    hidden_bar *= keep


# ------------------------------------------------------------------------------ plain
def rnn_step(sums: Any, nonlinearity: str) -> None:
    """sums ← tanh(sums) or max(sums, 0)."""
    if nonlinearity == "tanh":
        np.tanh(sums, out=sums)
    else:
        np.maximum(sums, 0, out=sums)


def rnn_factors(states: Any, nonlinearity: str) -> Any:
    """The derivative of the nonlinearity by its results: 1 − h², or 1 where h > 0."""
    if nonlinearity == "tanh":
        slope = states * states
        np.subtract(1, slope, out=slope)
        return slope
    return (states > 0).astype(states.dtype)
