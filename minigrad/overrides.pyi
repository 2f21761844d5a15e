# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.elsewhere import handle_torch_function as handle_torch_function
from minigrad.utils.elsewhere import has_torch_function as has_torch_function
from minigrad.utils.elsewhere import has_torch_function as has_torch_function_unary
from minigrad.utils.elsewhere import has_torch_function as has_torch_function_variadic
from minigrad.utils.elsewhere import is_tensor_like as is_tensor_like
