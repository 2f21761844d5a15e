# Made by `python -m minigrad.debug.api --stubs` from the `@export` declarations.
# ruff: noqa
# fmt: off
import builtins as _builtins
from typing import Any as _Any

from minigrad.utils.pytree import TreeSpec as TreeSpec
from minigrad.utils.pytree import tree_all as tree_all
from minigrad.utils.pytree import tree_any as tree_any
from minigrad.utils.pytree import tree_flatten as tree_flatten
from minigrad.utils.pytree import tree_leaves as tree_iter
from minigrad.utils.pytree import tree_leaves as tree_leaves
from minigrad.utils.pytree import tree_map as tree_map
from minigrad.utils.pytree import tree_map_ as tree_map_
from minigrad.utils.pytree import tree_map_only as tree_map_only
from minigrad.utils.pytree import tree_structure as tree_structure
from minigrad.utils.pytree import tree_unflatten as tree_unflatten
