# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.elsewhere import Device as Device
from minigrad.utils.elsewhere import FileLike as FileLike
from minigrad.utils.elsewhere import Number as Number
