# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.vocabulary import LinearCrossEntropyOptions as LinearCrossEntropyOptions
