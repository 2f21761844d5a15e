# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.profiler.profiler import autograd_profile as profile
from minigrad.profiler.profiler import record_function as record_function
