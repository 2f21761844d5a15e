# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import adam as adam
from . import adamw as adamw
from . import optimizer as optimizer
from . import sgd as sgd
from minigrad.optim.adam import Adam as Adam
from minigrad.optim.adamw import AdamW as AdamW
from minigrad.optim.optimizer import Optimizer as Optimizer
from minigrad.optim.sgd import SGD as SGD
