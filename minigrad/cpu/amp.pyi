# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.amp.grad_scaler import CpuGradScaler as GradScaler
from minigrad.amp.autocast_mode import cpu_autocast as autocast
