# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.backend.random import default_generator as default_generator
from minigrad.ops.random import fork_rng as fork_rng
from minigrad.ops.random import get_rng_state as get_rng_state
from minigrad.backend.random import initial_seed as initial_seed
from minigrad.backend.random import manual_seed as manual_seed
from minigrad.backend.random import seed as seed
from minigrad.ops.random import set_rng_state as set_rng_state
