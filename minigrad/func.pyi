# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.utils.stateless import functional_call as functional_call
from minigrad.autograd.func import functionalize as functionalize
from minigrad.autograd.func import grad as grad
from minigrad.autograd.func import grad_and_value as grad_and_value
from minigrad.autograd.func import hessian as hessian
from minigrad.autograd.func import jacfwd as jacfwd
from minigrad.autograd.func import jacrev as jacrev
from minigrad.autograd.func import jvp as jvp
from minigrad.autograd.func import linearize as linearize
from minigrad.nn.utils.stateless import stack_module_state as stack_module_state
from minigrad.autograd.func import vjp as vjp
from minigrad.autograd.func import vmap as vmap
