# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.padding import CircularPad1d as CircularPad1d
from minigrad.nn.layers.padding import CircularPad2d as CircularPad2d
from minigrad.nn.layers.padding import CircularPad3d as CircularPad3d
from minigrad.nn.layers.padding import ConstantPad1d as ConstantPad1d
from minigrad.nn.layers.padding import ConstantPad2d as ConstantPad2d
from minigrad.nn.layers.padding import ConstantPad3d as ConstantPad3d
from minigrad.nn.layers.padding import ReflectionPad1d as ReflectionPad1d
from minigrad.nn.layers.padding import ReflectionPad2d as ReflectionPad2d
from minigrad.nn.layers.padding import ReflectionPad3d as ReflectionPad3d
from minigrad.nn.layers.padding import ReplicationPad1d as ReplicationPad1d
from minigrad.nn.layers.padding import ReplicationPad2d as ReplicationPad2d
from minigrad.nn.layers.padding import ReplicationPad3d as ReplicationPad3d
from minigrad.nn.layers.padding import ZeroPad1d as ZeroPad1d
from minigrad.nn.layers.padding import ZeroPad2d as ZeroPad2d
from minigrad.nn.layers.padding import ZeroPad3d as ZeroPad3d
from minigrad.nn.layers.padding import _CircularPad as _CircularPadNd
from minigrad.nn.layers.padding import _ConstantPad as _ConstantPadNd
from minigrad.nn.layers.padding import _ReflectionPad as _ReflectionPadNd
from minigrad.nn.layers.padding import _ReplicationPad as _ReplicationPadNd
