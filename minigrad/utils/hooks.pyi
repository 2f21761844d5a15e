# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.core.hooks import RemovableHandle as RemovableHandle
from minigrad.utils.elsewhere import unserializable_hook as unserializable_hook
