# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import events as events
from . import profiler as profiler
from minigrad.profiler.profiler import ProfilerAction as ProfilerAction
from minigrad.profiler.profiler import ProfilerActivity as ProfilerActivity
from minigrad.profiler.profiler import profile as profile
from minigrad.profiler.profiler import record_function as record_function
from minigrad.profiler.profiler import schedule as schedule
from minigrad.profiler.profiler import supported_activities as supported_activities
from minigrad.profiler.profiler import tensorboard_trace_handler as tensorboard_trace_handler
