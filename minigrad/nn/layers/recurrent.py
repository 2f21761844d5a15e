"""Recurrent layers: RNN, LSTM and GRU over whole sequences."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

from ...export import export
from ...ops import rnn_layers as F
from ...ops.creation import empty
from ...ops.filled import zeros
from ...ops.rows import index_select
from ...ops.shape import squeeze, unsqueeze
from ..module import Module
from ..parameter import Parameter
from ..sequences import PackedSequence
from .cells import draw_uniform

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_FUNCTIONS = {"LSTM": F.lstm, "GRU": F.gru, "RNN_TANH": F.rnn_tanh, "RNN_RELU": F.rnn_relu}


def _check_options(
    input_size: Any, hidden_size: Any, num_layers: int, bias: Any, batch_first: Any, dropout: Any,
    proj_size: int,
) -> None:  # fmt: skip
    is_number = isinstance(dropout, numbers.Real) and not isinstance(dropout, bool)
    if not is_number or not 0 <= dropout <= 1:
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element"
            " being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
            f"expects num_layers greater than 1, but got dropout={dropout} and "
            f"num_layers={num_layers}",
            stacklevel=4,
        )
    for name, value in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(value, int):
            raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


@export("nn.RNNBase")
class RNNBase(Module):
    """What RNN, LSTM and GRU share: parameters weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
    of each layer, with "_reverse" of the way back; weight_hr_l0 projects. U(±1/√hidden_size).
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        _check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _GATES:
            raise ValueError(f"Unrecognized RNN mode: {mode}")
        self.mode, self.input_size, self.hidden_size = mode, input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional, self.proj_size = float(dropout), bidirectional, proj_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse") if bidirectional else ("",):
                self._all_weights.append(self._make_weights(layer, suffix, device, dtype))
        self.reset_parameters()

    def _make_weights(self, layer: int, suffix: str, device: Any, dtype: Any) -> list[str]:
        """The parameters of one direction of one layer; their names."""
        gates, width = _GATES[self.mode] * self.hidden_size, self.proj_size or self.hidden_size
        below = self.input_size if layer == 0 else width * (2 if self.bidirectional else 1)
        shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, below)}
        shapes["weight_hh"] = (gates, width)
        if self.bias:
            shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        names = []
        for stem, shape in shapes.items():
            name = f"{stem}_l{layer}{suffix}"
            setattr(self, name, Parameter(empty(*shape, device=device, dtype=dtype)))
            names.append(name)
        return names

    def reset_parameters(self) -> None:
        """Draw all parameters from U(±1/√hidden_size)."""
        draw_uniform(self)

    def flatten_parameters(self) -> None:
        """Nothing to do: the weights are used where they lie."""

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters of each direction of each layer."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    # ---------------------------------------------------------------- checks
    def check_input(self, input: Any, batch_sizes: Any) -> None:
        """ValueError for another dtype than the weights', RuntimeError for a shape that does not
        fit.
        """
        dtype = getattr(self, self._all_weights[0][0]).dtype
        if input.dtype != dtype:
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({input.dtype})"
            )
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if input.size(-1) != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. Expected "
                f"{self.input_size}, got {input.size(-1)}"
            )

    def get_expected_hidden_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """(layers·directions, N, width of h)."""
        return self._state_size(input, batch_sizes, self.proj_size or self.hidden_size)

    def _state_size(self, input: Any, batch_sizes: Any, width: int) -> tuple[int, int, int]:
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.size(0) if self.batch_first else input.size(1)
        return self.num_layers * (2 if self.bidirectional else 1), batch, width

    def check_hidden_size(
        self,
        hx: Any,
        expected_hidden_size: tuple[int, int, int],
        msg: str = "Expected hidden size {}, got {}",
    ) -> None:
        """RuntimeError unless the state has the expected shape."""
        if hx._data.shape != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Check the input, then the states against it."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """The states of the sequences in another order."""
        return hx if permutation is None else index_select(hx, 1, permutation)

    # ---------------------------------------------------------------- running
    def _first_states(self, input: Any, batch_sizes: Any) -> Any:
        size = self.get_expected_hidden_size(input, batch_sizes)
        return zeros(size, dtype=input.dtype, device=input.device)

    def _unbatched(self, hx: Any) -> Any:
        if hx.dim() != 2:
            raise RuntimeError(
                f"For unbatched 2-D input, hx should also be 2-D but got {hx.dim()}-D tensor"
            )
        return unsqueeze(hx, 1)

    def _check_batched(self, hx: Any) -> None:
        if hx.dim() != 3:
            raise RuntimeError(
                f"For batched 3-D input, hx should also be 3-D but got {hx.dim()}-D tensor"
            )

    def _without_batch(self, hx: Any) -> Any:
        return squeeze(hx, 1)

    def _options(self) -> tuple[Any, ...]:
        return self.bias, self.num_layers, self.dropout, self.training, self.bidirectional

    def _run(self, *args: Any) -> tuple[Any, Any]:
        """(y, states) of the function; one state or a tuple of two, as the layer takes them."""
        return _FUNCTIONS[self.mode](*args)  # type: ignore[return-value]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        if input.dim() not in (2, 3):
            got = f"{input.dim()}D tensor" if self.mode.startswith("RNN") else f"{input.dim()}D"
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {got} instead"
            )
        batch_dim, batched = 0 if self.batch_first else 1, input.dim() == 3
        if not batched:
            input = unsqueeze(input, batch_dim)
            hx = None if hx is None else self._unbatched(hx)
        elif hx is not None:
            self._check_batched(hx)
        hx = self._first_states(input, None) if hx is None else hx
        self.check_forward_args(input, hx, None)
        y, last = self._run(input, hx, self._flat_weights, *self._options(), self.batch_first)
        if batched:
            return y, last
        return squeeze(y, batch_dim), self._without_batch(last)

    def _forward_packed(self, input: PackedSequence, hx: Any) -> tuple[Any, Any]:
        data, sizes, order, back = input
        if hx is None:
            hx = self._first_states(data, sizes)
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(data, hx, sizes)
        y, last = self._run(data, sizes, hx, self._flat_weights, *self._options())
        return PackedSequence(y, sizes, order, back), self.permute_hidden(last, back)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        for name in ("bias", "batch_first", "dropout", "bidirectional"):
            value = getattr(self, name)
            if value != (name == "bias"):
                text += f", {name}={value}"
        return text


def _refuse_projection(options: dict[str, Any]) -> None:
    if "proj_size" in options:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


@export("nn.RNN")
class RNN(RNNBase):
    """h_t = φ(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh) in each layer, φ = tanh or relu (Elman 1990).

    RNN(input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False,
    dropout=0.0, bidirectional=False). input (T, N, I), (N, T, I) if batch_first, (T, I), or packed;
    hx (layers·directions, N, H), zeros if not given. Result: (y of the last layer, h of all).
    """

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse_projection(kwargs)
        if len(args) > 3:
            nonlinearity, args = args[3], (*args[:3], *args[4:])
        else:
            nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(f"RNN_{nonlinearity.upper()}", *args, **kwargs)
        self.nonlinearity = nonlinearity


@export("nn.LSTM")
class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997): `lstm_sequence` has the formula.

    LSTM(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False, proj_size=0). input (T, N, I), (N, T, I) if batch_first, (T, I), or packed;
    hx = (h, c), zeros if not given: h (layers·directions, N, proj_size or H), c the same with H.
    Result: (y of the last layer, (h, c) of all).
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def get_expected_cell_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """(layers·directions, N, H)."""
        return self._state_size(input, batch_sizes, self.hidden_size)

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """Check the input, then both states against it."""
        self.check_input(input, batch_sizes)
        sizes = (
            self.get_expected_hidden_size(input, batch_sizes),
            self.get_expected_cell_size(input, batch_sizes),
        )
        for i in (0, 1):
            self.check_hidden_size(hidden[i], sizes[i], f"Expected hidden[{i}] size {{}}, got {{}}")

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """Both states of the sequences in another order."""
        if permutation is None:
            return hx
        return index_select(hx[0], 1, permutation), index_select(hx[1], 1, permutation)

    def _first_states(self, input: Any, batch_sizes: Any) -> Any:
        size = self.get_expected_cell_size(input, batch_sizes)
        cell = zeros(size, dtype=input.dtype, device=input.device)
        return super()._first_states(input, batch_sizes), cell

    def _check_ranks(self, hx: Any, rank: int, what: str) -> None:
        if hx[0].dim() != rank or hx[1].dim() != rank:
            raise RuntimeError(
                f"For {what} {rank}-D input, hx and cx should also be {rank}-D but got "
                f"({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
            )

    def _unbatched(self, hx: Any) -> Any:
        self._check_ranks(hx, 2, "unbatched")
        return unsqueeze(hx[0], 1), unsqueeze(hx[1], 1)

    def _check_batched(self, hx: Any) -> None:
        self._check_ranks(hx, 3, "batched")

    def _without_batch(self, hx: Any) -> Any:
        return squeeze(hx[0], 1), squeeze(hx[1], 1)

    def _run(self, *args: Any) -> tuple[Any, Any]:
        y, h, c = F.lstm(*args)
        return y, (h, c)


@export("nn.GRU")
class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014): `gru_sequence` has the formula.

    GRU(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0,
    bidirectional=False). Input, hx and result as RNN.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse_projection(kwargs)
        super().__init__("GRU", *args, **kwargs)
