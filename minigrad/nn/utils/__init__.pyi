# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import clip_grad as clip_grad
from minigrad.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm
from minigrad.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm_
from minigrad.nn.utils.clip_grad import clip_grad_value_ as clip_grad_value_
from minigrad.nn.utils.clip_grad import clip_grads_with_norm_ as clip_grads_with_norm_
from minigrad.nn.utils.clip_grad import get_total_norm as get_total_norm
from minigrad.nn.utils.vector import parameters_to_vector as parameters_to_vector
from minigrad.nn.utils.vector import vector_to_parameters as vector_to_parameters
