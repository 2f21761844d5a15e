# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.elsewhere import onnx_export as export
from minigrad.utils.elsewhere import is_in_onnx_export as is_in_onnx_export
