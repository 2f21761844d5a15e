# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.layers.data_parallel import DataParallel as DataParallel
from minigrad.nn.layers.data_parallel import data_parallel as data_parallel
from minigrad.nn.layers.data_parallel import parallel_apply as parallel_apply
from minigrad.nn.layers.data_parallel import replicate as replicate
