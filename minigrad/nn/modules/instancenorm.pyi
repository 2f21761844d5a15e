# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.norm import InstanceNorm1d as InstanceNorm1d
from minigrad.nn.layers.norm import InstanceNorm2d as InstanceNorm2d
from minigrad.nn.layers.norm import InstanceNorm3d as InstanceNorm3d
from minigrad.nn.layers.lazy import LazyInstanceNorm1d as LazyInstanceNorm1d
from minigrad.nn.layers.lazy import LazyInstanceNorm2d as LazyInstanceNorm2d
from minigrad.nn.layers.lazy import LazyInstanceNorm3d as LazyInstanceNorm3d
from minigrad.nn.layers.norm import _InstanceNorm as _InstanceNorm
