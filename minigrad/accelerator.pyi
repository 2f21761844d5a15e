# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.accelerator import current_accelerator as current_accelerator
from minigrad.backend.cuda import current_device as current_device_index
from minigrad.backend.cuda import current_stream as current_stream
from minigrad.backend.accelerator import device_count as device_count
from minigrad.backend.accelerator import device_index as device_index
from minigrad.backend.cuda import empty_cache as empty_cache
from minigrad.backend.cuda import get_device_capability as get_device_capability
from minigrad.backend.accelerator import is_available as is_available
from minigrad.backend.cuda import max_memory_allocated as max_memory_allocated
from minigrad.backend.cuda import max_memory_reserved as max_memory_reserved
from minigrad.backend.cuda import memory_allocated as memory_allocated
from minigrad.backend.cuda import memory_reserved as memory_reserved
from minigrad.backend.cuda import memory_stats as memory_stats
from minigrad.backend.cuda import reset_accumulated_memory_stats as reset_accumulated_memory_stats
from minigrad.backend.cuda import reset_peak_memory_stats as reset_peak_memory_stats
from minigrad.backend.cuda import set_device as set_device_index
from minigrad.backend.cuda import set_stream as set_stream
from minigrad.backend.cuda import synchronize as synchronize
