# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.sync_norm import CrossMapLRN2d as CrossMapLRN2d
from minigrad.nn.layers.norm import GroupNorm as GroupNorm
from minigrad.nn.layers.norm import LayerNorm as LayerNorm
from minigrad.nn.layers.norm import LocalResponseNorm as LocalResponseNorm
from minigrad.nn.layers.norm import RMSNorm as RMSNorm
