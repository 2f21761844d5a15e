# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.io.hub import download_url_to_file as download_url_to_file
from minigrad.io.hub import get_dir as get_dir
from minigrad.io.hub import load_state_dict_from_url as load_state_dict_from_url
from minigrad.io.hub import set_dir as set_dir
