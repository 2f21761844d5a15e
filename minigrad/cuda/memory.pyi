# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.allocator import _record_memory_history as _record_memory_history
from minigrad.backend.cuda import empty_cache as empty_cache
from minigrad.backend.cuda import max_memory_allocated as max_memory_allocated
from minigrad.backend.cuda import max_memory_reserved as max_memory_reserved
from minigrad.backend.cuda import mem_get_info as mem_get_info
from minigrad.backend.cuda import memory_allocated as memory_allocated
from minigrad.backend.cuda import memory_reserved as memory_reserved
from minigrad.backend.cuda import memory_snapshot as memory_snapshot
from minigrad.backend.cuda import memory_stats as memory_stats
from minigrad.backend.cuda import memory_summary as memory_summary
from minigrad.backend.cuda import reset_accumulated_memory_stats as reset_accumulated_memory_stats
from minigrad.backend.cuda import reset_peak_memory_stats as reset_peak_memory_stats
