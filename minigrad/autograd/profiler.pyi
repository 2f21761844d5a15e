# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.elsewhere import emit_ranges as emit_itt
from minigrad.utils.elsewhere import emit_ranges as emit_nvtx
from minigrad.profiler.profiler import autograd_profile as profile
from minigrad.profiler.profiler import record_function as record_function
