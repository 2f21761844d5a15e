# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.profiler.events import EventList as EventList
from minigrad.profiler.events import FunctionEvent as FunctionEvent
from minigrad.profiler.events import FunctionEventAvg as FunctionEventAvg
from minigrad.profiler.events import Interval as Interval
