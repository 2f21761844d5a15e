# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.ops.distance import linalg_cross as cross
from minigrad.ops.matmul import matmul as matmul
from minigrad.ops.matmul import multi_dot as multi_dot
from minigrad.ops.matmul import vecdot as vecdot
from minigrad.ops.vector_norms import vector_norm as vector_norm
