# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.random import cuda_get_rng_state as get_rng_state
from minigrad.ops.random import cuda_get_rng_state_all as get_rng_state_all
from minigrad.backend.cuda import initial_seed as initial_seed
from minigrad.backend.cuda import manual_seed as manual_seed
from minigrad.backend.cuda import manual_seed_all as manual_seed_all
from minigrad.backend.cuda import seed as seed
from minigrad.backend.cuda import seed as seed_all
from minigrad.ops.random import cuda_set_rng_state as set_rng_state
from minigrad.ops.random import cuda_set_rng_state_all as set_rng_state_all
