# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import _pytree as _pytree
from . import benchmark as benchmark
from . import checkpoint as checkpoint
from . import data as data
from . import dlpack as dlpack
from . import elsewhere as elsewhere
from . import hooks as hooks
from . import pytree as pytree
from . import scripting as scripting
from . import tensorboard as tensorboard
