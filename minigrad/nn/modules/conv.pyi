# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.conv import Conv1d as Conv1d
from minigrad.nn.layers.conv import Conv2d as Conv2d
from minigrad.nn.layers.conv import Conv3d as Conv3d
from minigrad.nn.layers.conv import ConvTranspose1d as ConvTranspose1d
from minigrad.nn.layers.conv import ConvTranspose2d as ConvTranspose2d
from minigrad.nn.layers.conv import ConvTranspose3d as ConvTranspose3d
from minigrad.nn.layers.lazy import LazyConv1d as LazyConv1d
from minigrad.nn.layers.lazy import LazyConv2d as LazyConv2d
from minigrad.nn.layers.lazy import LazyConv3d as LazyConv3d
from minigrad.nn.layers.lazy import LazyConvTranspose1d as LazyConvTranspose1d
from minigrad.nn.layers.lazy import LazyConvTranspose2d as LazyConvTranspose2d
from minigrad.nn.layers.lazy import LazyConvTranspose3d as LazyConvTranspose3d
from minigrad.nn.layers.conv import _Conv as _ConvNd
from minigrad.nn.layers.conv import _ConvTranspose as _ConvTransposeNd
