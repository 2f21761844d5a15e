# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.version import cuda as cuda
debug: _builtins.bool
git_version: _builtins.str
from minigrad.version import hip as hip
from minigrad.version import xpu as xpu
__version__: _builtins.str
