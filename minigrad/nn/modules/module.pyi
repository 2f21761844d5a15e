# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.module import Module as Module
from minigrad.nn.state import _IncompatibleKeys as _IncompatibleKeys
from minigrad.nn.hooks import register_module_buffer_registration_hook as register_module_buffer_registration_hook
from minigrad.nn.hooks import register_module_forward_hook as register_module_forward_hook
from minigrad.nn.hooks import register_module_forward_pre_hook as register_module_forward_pre_hook
from minigrad.nn.hooks import register_module_full_backward_hook as register_module_full_backward_hook
from minigrad.nn.hooks import register_module_full_backward_pre_hook as register_module_full_backward_pre_hook
from minigrad.nn.hooks import register_module_module_registration_hook as register_module_module_registration_hook
from minigrad.nn.hooks import register_module_parameter_registration_hook as register_module_parameter_registration_hook
