# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import autocast_mode as autocast_mode
from . import grad_scaler as grad_scaler
from . import policies as policies
from minigrad.amp.grad_scaler import GradScaler as GradScaler
from minigrad.amp.autocast_mode import autocast as autocast
from minigrad.amp.autocast_mode import custom_bwd as custom_bwd
from minigrad.amp.autocast_mode import custom_fwd as custom_fwd
from minigrad.amp.state import is_autocast_available as is_autocast_available
