# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.core.modes import enable_grad as enable_grad
from minigrad.core.modes import inference_mode as inference_mode
from minigrad.core.modes import no_grad as no_grad
from minigrad.core.modes import set_grad_enabled as set_grad_enabled
from minigrad.utils.elsewhere import set_multithreading_enabled as set_multithreading_enabled
