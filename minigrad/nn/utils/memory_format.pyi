# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.utils.construct import convert_conv2d_weight_memory_format as convert_conv2d_weight_memory_format
from minigrad.nn.utils.construct import convert_conv3d_weight_memory_format as convert_conv3d_weight_memory_format
