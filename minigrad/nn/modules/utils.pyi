# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.tuples import list_with_default as _list_with_default
from minigrad.nn.tuples import ntuple as _ntuple
from minigrad.nn.tuples import pair as _pair
from minigrad.nn.tuples import quadruple as _quadruple
from minigrad.nn.tuples import reverse_repeat_tuple as _reverse_repeat_tuple
from minigrad.nn.tuples import single as _single
from minigrad.nn.tuples import triple as _triple
from minigrad.nn.tuples import consume_prefix_in_state_dict_if_present as consume_prefix_in_state_dict_if_present
