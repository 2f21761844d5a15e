# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import amp as amp
from minigrad.backend.accelerator import cpu_current_device as current_device
from minigrad.backend.accelerator import cpu_device_count as device_count
from minigrad.backend.accelerator import cpu_is_available as is_available
from minigrad.backend.cuda import synchronize as synchronize
