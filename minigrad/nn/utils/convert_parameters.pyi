# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.utils.vector import parameters_to_vector as parameters_to_vector
from minigrad.nn.utils.vector import vector_to_parameters as vector_to_parameters
