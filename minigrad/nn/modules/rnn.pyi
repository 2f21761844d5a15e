# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.recurrent import GRU as GRU
from minigrad.nn.layers.cells import GRUCell as GRUCell
from minigrad.nn.layers.recurrent import LSTM as LSTM
from minigrad.nn.layers.cells import LSTMCell as LSTMCell
from minigrad.nn.layers.recurrent import RNN as RNN
from minigrad.nn.layers.recurrent import RNNBase as RNNBase
from minigrad.nn.layers.cells import RNNCell as RNNCell
from minigrad.nn.layers.cells import RNNCellBase as RNNCellBase
