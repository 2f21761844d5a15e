# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import captured as captured
from . import switches as switches
from minigrad.compiler.switches import unchanged as allow_in_graph
from minigrad.compiler.switches import unchanged as assume_constant_result
from minigrad.compiler.captured import compile as compile
from minigrad.compiler.switches import nothing as cudagraph_mark_step_begin
from minigrad.compiler.switches import unchanged as disable
from minigrad.compiler.switches import is_compiling as is_compiling
from minigrad.compiler.switches import is_compiling as is_dynamo_compiling
from minigrad.compiler.switches import is_compiling as is_exporting
from minigrad.compiler.switches import list_backends as list_backends
from minigrad.compiler.switches import unchanged as nested_compile_region
from minigrad.compiler.switches import nothing as reset
from minigrad.compiler.switches import set_stance as set_stance
from minigrad.compiler.switches import substitute_in_graph as substitute_in_graph
from minigrad.compiler.switches import unchanged as wrap_numpy
