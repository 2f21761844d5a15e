# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.debug.draw import draw as draw
from minigrad.debug.draw import graph_dot as graph_dot
from minigrad.debug.draw import graph_text as graph_text
