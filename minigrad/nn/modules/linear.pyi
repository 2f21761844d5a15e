# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.linear import Bilinear as Bilinear
from minigrad.nn.layers.activation import Identity as Identity
from minigrad.nn.layers.lazy import LazyLinear as LazyLinear
from minigrad.nn.layers.linear import Linear as Linear
from minigrad.nn.layers.linear import NonDynamicallyQuantizableLinear as NonDynamicallyQuantizableLinear
