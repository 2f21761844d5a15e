# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.flags import ENABLED as allow_bf16_reduced_precision_reduction
from minigrad.backend.flags import DISABLED as allow_fp16_accumulation
from minigrad.backend.flags import ENABLED as allow_fp16_reduced_precision_reduction
from minigrad.backend.flags import DISABLED as allow_tf32
from minigrad.backend.flags import FULL as fp32_precision
