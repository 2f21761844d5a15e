# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.deprecated import Container as Container
from minigrad.nn.containers import ModuleDict as ModuleDict
from minigrad.nn.containers import ModuleList as ModuleList
from minigrad.nn.containers import ParameterDict as ParameterDict
from minigrad.nn.containers import ParameterList as ParameterList
from minigrad.nn.containers import Sequential as Sequential
