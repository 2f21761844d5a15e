# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from . import _allowed as _allowed
from . import checkpoint as checkpoint
from . import hub as hub
from minigrad.io._files import CheckpointError as CheckpointError
from minigrad.io.checkpoint import load as load
from minigrad.io.checkpoint import load_file as load_file
from minigrad.io.checkpoint import load_metadata as load_metadata
from minigrad.io.checkpoint import save as save
from minigrad.io.checkpoint import save_file as save_file
from minigrad.io.checkpoint import save_npz as save_npz
