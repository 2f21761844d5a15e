# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.flags import ENABLED as allow_tf32
from minigrad.backend.flags import DISABLED as benchmark
from minigrad.backend.flags import BENCHMARK_LIMIT as benchmark_limit
from minigrad.backend.flags import DISABLED as deterministic
from minigrad.backend.flags import ENABLED as enabled
from minigrad.backend.flags import flags as flags
from minigrad.backend.flags import FULL as fp32_precision
from minigrad.backend.flags import _has_cuda as is_available
from minigrad.backend.flags import cudnn_version as version
