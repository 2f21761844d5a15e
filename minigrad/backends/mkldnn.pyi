# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.flags import DISABLED as allow_tf32
from minigrad.backend.flags import DISABLED as deterministic
from minigrad.backend.flags import ENABLED as enabled
from minigrad.backend.flags import flags as flags
from minigrad.backend.flags import _has_mkl as is_available
