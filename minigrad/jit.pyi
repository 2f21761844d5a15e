# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.scripting import Final_ as Final
from minigrad.utils.scripting import Scripted as ScriptFunction
from minigrad.utils.scripting import Scripted as ScriptModule
from minigrad.utils.scripting import annotate as annotate
from minigrad.utils.scripting import unchanged as export
from minigrad.utils.scripting import fork as fork
from minigrad.utils.scripting import freeze as freeze
from minigrad.utils.scripting import unchanged as ignore
from minigrad.utils.scripting import unchanged as interface
from minigrad.utils.scripting import never as is_scripting
from minigrad.utils.scripting import never as is_tracing
from minigrad.utils.scripting import is_instance as isinstance
from minigrad.utils.scripting import no_files as load
from minigrad.utils.scripting import freeze as optimize_for_inference
from minigrad.utils.scripting import no_files as save
from minigrad.utils.scripting import script as script
from minigrad.utils.scripting import unchanged as script_if_tracing
from minigrad.utils.scripting import trace as trace
from minigrad.utils.scripting import trace_module as trace_module
from minigrad.utils.scripting import unchanged as unused
from minigrad.utils.scripting import wait as wait
