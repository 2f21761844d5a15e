# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.io._allowed import add_safe_globals as add_safe_globals
from minigrad.io._allowed import clear_safe_globals as clear_safe_globals
from minigrad.io._allowed import get_safe_globals as get_safe_globals
from minigrad.io.checkpoint import load as load
from minigrad.io._allowed import safe_globals as safe_globals
from minigrad.io.checkpoint import save as save
