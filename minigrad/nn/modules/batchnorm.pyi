# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.norm import BatchNorm1d as BatchNorm1d
from minigrad.nn.layers.norm import BatchNorm2d as BatchNorm2d
from minigrad.nn.layers.norm import BatchNorm3d as BatchNorm3d
from minigrad.nn.layers.lazy import LazyBatchNorm1d as LazyBatchNorm1d
from minigrad.nn.layers.lazy import LazyBatchNorm2d as LazyBatchNorm2d
from minigrad.nn.layers.lazy import LazyBatchNorm3d as LazyBatchNorm3d
from minigrad.nn.layers.sync_norm import SyncBatchNorm as SyncBatchNorm
from minigrad.nn.layers.norm import _BatchNorm as _BatchNorm
from minigrad.nn.layers.norm import _Running as _NormBase
