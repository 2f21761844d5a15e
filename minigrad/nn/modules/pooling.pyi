# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from minigrad.nn.layers.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from minigrad.nn.layers.pooling import AdaptiveAvgPool3d as AdaptiveAvgPool3d
from minigrad.nn.layers.pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from minigrad.nn.layers.pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from minigrad.nn.layers.pooling import AdaptiveMaxPool3d as AdaptiveMaxPool3d
from minigrad.nn.layers.pooling import AvgPool1d as AvgPool1d
from minigrad.nn.layers.pooling import AvgPool2d as AvgPool2d
from minigrad.nn.layers.pooling import AvgPool3d as AvgPool3d
from minigrad.nn.layers.pooling import FractionalMaxPool2d as FractionalMaxPool2d
from minigrad.nn.layers.pooling import FractionalMaxPool3d as FractionalMaxPool3d
from minigrad.nn.layers.pooling import LPPool1d as LPPool1d
from minigrad.nn.layers.pooling import LPPool2d as LPPool2d
from minigrad.nn.layers.pooling import LPPool3d as LPPool3d
from minigrad.nn.layers.pooling import MaxPool1d as MaxPool1d
from minigrad.nn.layers.pooling import MaxPool2d as MaxPool2d
from minigrad.nn.layers.pooling import MaxPool3d as MaxPool3d
from minigrad.nn.layers.pooling import MaxUnpool1d as MaxUnpool1d
from minigrad.nn.layers.pooling import MaxUnpool2d as MaxUnpool2d
from minigrad.nn.layers.pooling import MaxUnpool3d as MaxUnpool3d
from minigrad.nn.layers.pooling import _AvgPool as _AvgPoolNd
from minigrad.nn.layers.pooling import _LPPool as _LPPoolNd
from minigrad.nn.layers.pooling import _MaxPool as _MaxPoolNd
from minigrad.nn.layers.pooling import _MaxUnpool as _MaxUnpoolNd
