# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.upsampling import Upsample as Upsample
from minigrad.nn.layers.upsampling import UpsamplingBilinear2d as UpsamplingBilinear2d
from minigrad.nn.layers.upsampling import UpsamplingNearest2d as UpsamplingNearest2d
