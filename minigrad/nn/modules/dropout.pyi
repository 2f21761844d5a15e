# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.dropout import AlphaDropout as AlphaDropout
from minigrad.nn.layers.dropout import Dropout as Dropout
from minigrad.nn.layers.dropout import Dropout1d as Dropout1d
from minigrad.nn.layers.dropout import Dropout2d as Dropout2d
from minigrad.nn.layers.dropout import Dropout3d as Dropout3d
from minigrad.nn.layers.dropout import FeatureAlphaDropout as FeatureAlphaDropout
from minigrad.nn.layers.dropout import _Dropout as _DropoutNd
