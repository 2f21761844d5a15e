# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.amp.grad_scaler import CudaGradScaler as GradScaler
from minigrad.amp.autocast_mode import cuda_autocast as autocast
from minigrad.amp.autocast_mode import cuda_custom_bwd as custom_bwd
from minigrad.amp.autocast_mode import cuda_custom_fwd as custom_fwd
