# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.data import from_dlpack as from_dlpack
from minigrad.ops.data import to_dlpack as to_dlpack
