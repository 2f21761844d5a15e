"""Recurrent cells: one time step of RNN, LSTM and GRU."""

from __future__ import annotations

import math
from typing import Any

from ...export import export
from ...ops import rnn_layers as F
from ...ops.creation import empty
from ...ops.filled import zeros
from ...ops.shape import squeeze, unsqueeze
from .. import init
from ..module import Module
from ..parameter import Parameter


def draw_uniform(module: Any) -> None:
    """All parameters from U(±1/√hidden_size)."""
    bound = 1.0 / math.sqrt(module.hidden_size) if module.hidden_size > 0 else 0
    for weight in module.parameters():
        init.uniform_(weight, -bound, bound)


@export("nn.RNNCellBase")
class RNNCellBase(Module):
    """What the cells share: weight_ih, weight_hh, bias_ih, bias_hh, from U(±1/√hidden_size)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, options = num_chunks * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **options))
        self.weight_hh = Parameter(empty(rows, hidden_size, **options))
        for name in ("bias_ih", "bias_hh"):
            value = Parameter(empty(rows, **options)) if bias else None
            self.register_parameter(name, value)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters from U(±1/√hidden_size)."""
        draw_uniform(self)

    def _weights(self) -> tuple[Any, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def _check_rank(self, value: Any, name: str) -> None:
        if value.dim() not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {value.dim()}D instead"
            )

    def _zeros(self, input: Any) -> Any:
        size = (input.size(0), self.hidden_size)
        return zeros(size, dtype=input.dtype, device=input.device)

    def _cell(self, input: Any, hx: Any) -> Any:
        raise NotImplementedError(f'{type(self).__name__} is missing the "_cell" function')

    def forward(self, input: Any, hx: Any = None) -> Any:
        self._check_rank(input, "input")
        if hx is not None:
            self._check_rank(hx, "hidden")
        if input.dim() == 2:
            return self._cell(input, self._zeros(input) if hx is None else hx)
        input = unsqueeze(input, 0)
        hx = self._zeros(input) if hx is None else unsqueeze(hx, 0)
        return squeeze(self._cell(input, hx), 0)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + (
            "" if self.bias is True else f", bias={self.bias}"
        )


@export("nn.RNNCell")
class RNNCell(RNNCellBase):
    """h' = φ(W_ih x + b_ih + W_hh h + b_hh), φ = tanh or relu: x (N, I) or (I), h (N, H) or (H)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def _cell(self, input: Any, hx: Any) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        function = F.rnn_tanh_cell if self.nonlinearity == "tanh" else F.rnn_relu_cell
        return function(input, hx, *self._weights())

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


@export("nn.LSTMCell")
class LSTMCell(RNNCellBase):
    """One step of an LSTM: x (N, I) or (I) and (h, c), each (N, H) or (H), to the new (h, c)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        self._check_rank(input, "input")
        if hx is not None:
            for i, state in enumerate(hx):
                self._check_rank(state, f"hx[{i}]")
        batched = input.dim() == 2
        if not batched:
            input = unsqueeze(input, 0)
            hx = None if hx is None else [unsqueeze(state, 0) for state in hx]
        hx = [self._zeros(input)] * 2 if hx is None else hx
        h, c = F.lstm_cell(input, hx, *self._weights())
        return (h, c) if batched else (squeeze(h, 0), squeeze(c, 0))


@export("nn.GRUCell")
class GRUCell(RNNCellBase):
    """One step of a GRU: x (N, I) or (I) and h (N, H) or (H) to the new h."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def _cell(self, input: Any, hx: Any) -> Any:
        return F.gru_cell(input, hx, *self._weights())
