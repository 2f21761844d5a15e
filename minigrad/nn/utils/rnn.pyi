# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.nn.sequences import PackedSequence as PackedSequence
from minigrad.nn.sequences import invert_permutation as invert_permutation
from minigrad.nn.sequences import pack_padded_sequence as pack_padded_sequence
from minigrad.nn.sequences import pack_sequence as pack_sequence
from minigrad.nn.sequences import pad_packed_sequence as pad_packed_sequence
from minigrad.nn.sequences import pad_sequence as pad_sequence
from minigrad.nn.sequences import unpack_sequence as unpack_sequence
from minigrad.nn.sequences import unpad_sequence as unpad_sequence
