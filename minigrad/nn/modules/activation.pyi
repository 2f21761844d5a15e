# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.activation import CELU as CELU
from minigrad.nn.layers.activation import ELU as ELU
from minigrad.nn.layers.activation import GELU as GELU
from minigrad.nn.layers.activation import GLU as GLU
from minigrad.nn.layers.activation import Hardshrink as Hardshrink
from minigrad.nn.layers.activation import Hardsigmoid as Hardsigmoid
from minigrad.nn.layers.activation import Hardswish as Hardswish
from minigrad.nn.layers.activation import Hardtanh as Hardtanh
from minigrad.nn.layers.activation import LeakyReLU as LeakyReLU
from minigrad.nn.layers.activation import LogSigmoid as LogSigmoid
from minigrad.nn.layers.activation import LogSoftmax as LogSoftmax
from minigrad.nn.layers.activation import Mish as Mish
from minigrad.nn.layers.multihead import MultiheadAttention as MultiheadAttention
from minigrad.nn.layers.activation import PReLU as PReLU
from minigrad.nn.layers.activation import RReLU as RReLU
from minigrad.nn.layers.activation import ReLU as ReLU
from minigrad.nn.layers.activation import ReLU6 as ReLU6
from minigrad.nn.layers.activation import SELU as SELU
from minigrad.nn.layers.activation import SiLU as SiLU
from minigrad.nn.layers.activation import Sigmoid as Sigmoid
from minigrad.nn.layers.activation import Softmax as Softmax
from minigrad.nn.layers.activation import Softmax2d as Softmax2d
from minigrad.nn.layers.activation import Softmin as Softmin
from minigrad.nn.layers.activation import Softplus as Softplus
from minigrad.nn.layers.activation import Softshrink as Softshrink
from minigrad.nn.layers.activation import Softsign as Softsign
from minigrad.nn.layers.activation import Tanh as Tanh
from minigrad.nn.layers.activation import Tanhshrink as Tanhshrink
from minigrad.nn.layers.activation import Threshold as Threshold
