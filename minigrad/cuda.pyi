# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.devices import cuda_device_count as device_count
from minigrad.backend.devices import cuda_is_available as is_available
