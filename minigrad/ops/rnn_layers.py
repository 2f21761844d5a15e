"""Recurrent functions as PyTorch names them: one cell, and layers of sequences in both directions.

A list of parameters has, for each layer and in it for each direction, w_ih, w_hh, then b_ih and
b_hh if there are biases, then w_hr if the LSTM projects its state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.chores import take_slice
from ..core.tensor import Tensor
from ..core.views import unlinked
from ..export import export
from .dropout import dropout as drop
from .join import cat, stack
from .matmul import same_dtype
from .recurrent import gru_sequence, lstm_sequence, rnn_sequence
from .shape import transpose, unsqueeze_

_PADDED = ("input", "hx", "params", "has_biases", "num_layers", "dropout", "train",
           "bidirectional", "batch_first")  # fmt: skip
_PACKED = ("data", "batch_sizes", "hx", "params", "has_biases", "num_layers", "dropout", "train",
           "bidirectional")  # fmt: skip


# ------------------------------------------------------------------------------ one cell
def _check_cell(input: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, gates: int) -> None:
    """RuntimeError for sizes or dtypes that do not fit, as PyTorch words it."""
    x = input._data
    if x.shape[1] != w_ih._data.shape[1]:
        raise RuntimeError(
            f"input has inconsistent input_size: got {x.shape[1]} expected {w_ih._data.shape[1]}"
        )
    hidden = w_hh._data.shape[0] // gates
    for i, state in enumerate(states):
        size = state._data.shape
        if size[0] != x.shape[0]:
            raise RuntimeError(
                f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {size[0]}"
            )
        if size[1] != hidden:
            raise RuntimeError(
                f"hidden{i} has inconsistent hidden_size: got {size[1]}, expected {hidden}"
            )
    same_dtype(input, *states, w_ih, w_hh)


@export("lstm_cell")
def lstm_cell(
    input: Any, hx: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> tuple[Any, Any]:
    """One step of an LSTM: input (N, I) and the states h, c (N, H) to the new h, c.

        i f g o = σ σ tanh σ (W_ih x + b_ih + W_hh h + b_hh);  c ← f·c + i·g;  h ← o·tanh c

    RuntimeError if sizes or dtypes do not fit. Derivative: see `lstm_sequence`.
    """
    if len(hx) != 2:
        raise RuntimeError("lstm_cell expects two hidden states")
    _check_cell(input, hx, w_ih, w_hh, 4)
    sizes = (input._data.shape[0],)
    _, h, c = lstm_sequence(input, *hx, w_ih, w_hh, b_ih, b_hh, None, sizes=sizes, reverse=False)
    return h, c


@export("gru_cell")
def gru_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """One step of a GRU: input (N, I) and the state h (N, H) to the new h.

        r, z = σ(s + u);  n = tanh(s_n + r·u_n);  h ← (1 − z)·n + z·h
        with s = W_ih x + b_ih and u = W_hh h + b_hh

    RuntimeError if sizes or dtypes do not fit. Derivative: see `gru_sequence`.
    """
    _check_cell(input, (hx,), w_ih, w_hh, 3)
    sizes = (input._data.shape[0],)
    return gru_sequence(input, hx, w_ih, w_hh, b_ih, b_hh, sizes=sizes, reverse=False)[1]


def _rnn_cell(nonlinearity: str, input: Any, hx: Any, w_ih: Any, w_hh: Any, *biases: Any) -> Any:
    _check_cell(input, (hx,), w_ih, w_hh, 1)
    return rnn_sequence(
        input, hx, w_ih, w_hh, *biases,
        sizes=(input._data.shape[0],), reverse=False, nonlinearity=nonlinearity,
    )[1]  # fmt: skip


@export("rnn_tanh_cell")
def rnn_tanh_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    """h ← tanh(W_ih x + b_ih + W_hh h + b_hh): input (N, I) and h (N, H) to the new h (N, H).

    RuntimeError if sizes or dtypes do not fit. Derivative: see `rnn_sequence`.
    """
    return _rnn_cell("tanh", input, hx, w_ih, w_hh, b_ih, b_hh)


@export("rnn_relu_cell")
def rnn_relu_cell(
    input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None
) -> Any:
    """h ← max(W_ih x + b_ih + W_hh h + b_hh, 0): input (N, I) and h (N, H) to the new h (N, H).

    RuntimeError if sizes or dtypes do not fit. Derivative: see `rnn_sequence`.
    """
    return _rnn_cell("relu", input, hx, w_ih, w_hh, b_ih, b_hh)


# ------------------------------------------------------------------------------ layers
def _layers(
    sequence: Callable[..., tuple],
    x: Any,
    states: Sequence[Any],
    params: Sequence[Any],
    sizes: tuple[int, ...],
    *,
    directions: int,
    num_layers: int,
    dropout: float,
) -> tuple[Any, ...]:
    """All layers of a network: y and the last states, each (layers·directions, N, H)."""
    each = len(params) // (num_layers * directions)
    finals = []
    for layer in range(num_layers):
        results = []
        for direction in range(directions):
            k = layer * directions + direction
            given = [take_slice(s, dim=0, index=k) for s in states]
            weights = params[k * each : (k + 1) * each]
            y, *last = sequence(x, given, weights, sizes=sizes, reverse=direction == 1)
            results.append(y)
            finals.append(last)
        x = results[0] if directions == 1 else cat(results, -1)
        if dropout > 0 and layer < num_layers - 1:
            x = drop(x, dropout)
    if len(finals) == 1:
        return x, *[unlinked(unsqueeze_(last, dim=0)) for last in finals[0]]
    return x, *[stack(last) for last in zip(*finals, strict=True)]


def _lstm_with(
    has_biases: bool, x: Any, states: list[Any], weights: Any, *, sizes: Any, reverse: bool
) -> Any:
    w_ih, w_hh, *rest = weights
    b_ih, b_hh = rest[:2] if has_biases else (None, None)
    w_hr = rest[-1] if len(weights) % 2 else None
    return lstm_sequence(x, *states, w_ih, w_hh, b_ih, b_hh, w_hr, sizes=sizes, reverse=reverse)


def _other_with(
    sequence: Any, has_biases: bool, x: Any, states: list[Any], weights: Any, **options: Any
) -> Any:
    biases = () if has_biases else (None, None)
    return sequence(x, *states, *weights, *biases, **options)


def _arguments(name: str, args: tuple, kwargs: dict, packed: bool) -> dict[str, Any]:
    """PyTorch has two signatures, for padded and for packed sequences; the arguments by name."""
    names = _PACKED if packed else _PADDED
    given = dict(zip(names, args, strict=False))
    if len(args) > len(names) or given.keys() & kwargs or {*given, *kwargs} != set(names):
        raise TypeError(f"{name}() received an invalid combination of arguments; expected {names}")
    return given | kwargs


def _run(name: str, make: Any, hidden_states: int, per_direction: Any, a: dict[str, Any]) -> Any:
    """One of the functions below, from its arguments `a`."""
    states = a["hx"] if hidden_states == 2 else [a["hx"]]
    if len(states) != hidden_states:
        raise RuntimeError(f"{name} expects two hidden states")
    directions, count = 2 if a["bidirectional"] else 1, a["num_layers"]
    params = list(a["params"])
    wanted = [n * count * directions for n in per_direction[bool(a["has_biases"])]]
    if len(params) not in wanted:
        raise RuntimeError("got an incorrect number of RNN parameters")
    x = a.get("data", a.get("input"))
    same_dtype(x, *states, *params)
    batch_first = a.get("batch_first", False)
    if "data" in a:
        sizes = tuple(a["batch_sizes"]._data.tolist())
    else:
        x = transpose(x, 0, 1) if batch_first else x
        length, batch = x._data.shape[:2]
        sizes = (batch,) * length
    if not sizes:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    y, *last = _layers(
        make(a["has_biases"]), x, states, params, sizes,
        directions=directions, num_layers=count, dropout=a["dropout"] if a["train"] else 0.0,
    )  # fmt: skip
    return transpose(y, 0, 1) if batch_first else y, *last


_COUNTS = {True: (4,), False: (2,)}  # parameters of a direction of a layer, by has_biases


@export("lstm")
def lstm(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    """Layers of LSTM: (y, h, c).

    lstm(input, (h, c), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)
    for input (T, N, I), or (N, T, I) if batch_first; lstm(data, batch_sizes, (h, c), params,
    has_biases, num_layers, dropout, train, bidirectional) for packed sequences. RuntimeError for
    dtypes, numbers of states or of parameters that do not fit; TypeError for other arguments.
    """
    packed = "batch_sizes" in kwargs or (len(args) > 1 and isinstance(args[1], Tensor))
    counts = {True: (4, 5), False: (2, 3)}
    given = _arguments("lstm", args, kwargs, packed)
    return _run("lstm", lambda biases: partial(_lstm_with, biases), 2, counts, given)


def _is_packed(args: tuple, kwargs: dict) -> bool:
    return "batch_sizes" in kwargs or (len(args) > 2 and isinstance(args[2], Tensor))


@export("gru")
def gru(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Layers of GRU: (y, h).

    gru(input, h, params, has_biases, num_layers, dropout, train, bidirectional, batch_first) or,
    for packed sequences, gru(data, batch_sizes, h, params, has_biases, num_layers, dropout, train,
    bidirectional). Errors as `lstm`.
    """
    given = _arguments("gru", args, kwargs, _is_packed(args, kwargs))
    make = lambda biases: partial(_other_with, gru_sequence, biases)  # noqa: E731
    return _run("gru", make, 1, _COUNTS, given)


def _plain(name: str, nonlinearity: str, args: tuple, kwargs: dict) -> tuple[Any, Any]:
    given = _arguments(name, args, kwargs, _is_packed(args, kwargs))
    sequence = partial(rnn_sequence, nonlinearity=nonlinearity)
    return _run(name, lambda biases: partial(_other_with, sequence, biases), 1, _COUNTS, given)


@export("rnn_tanh")
def rnn_tanh(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Layers of h ← tanh(W_ih x + b_ih + W_hh h + b_hh): (y, h). Arguments as `gru`."""
    return _plain("rnn_tanh", "tanh", args, kwargs)


@export("rnn_relu")
def rnn_relu(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Layers of h ← max(W_ih x + b_ih + W_hh h + b_hh, 0): (y, h). Arguments as `gru`."""
    return _plain("rnn_relu", "relu", args, kwargs)
