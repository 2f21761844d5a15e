# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import gradcheck as gradcheck
from minigrad.testing.gradcheck import GradcheckError as GradcheckError
from minigrad.testing.compare import assert_close as assert_close
from minigrad.testing.make import make_tensor as make_tensor
