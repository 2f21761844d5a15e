"""`utils._pytree`: nested tuples, lists and dicts of anything as flat lists, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.trees import flatten, unflatten
from ..export import export


@export("utils._pytree.TreeSpec")
class TreeSpec:
    """How a tree is built: what `tree_flatten` gives beside the leaves."""

    def __init__(self, spec: Any, num_leaves: int):
        self._spec, self.num_leaves = spec, num_leaves

    def unflatten(self, leaves: Any) -> Any:
        """The tree with these leaves; ValueError for another number of them."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers"
                f" to a pytree that holds {self.num_leaves} items"
            )
        return unflatten(leaves, self._spec)

    def _shape(self) -> Any:
        return unflatten([None] * self.num_leaves, self._spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TreeSpec) and self._shape() == other._shape()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TreeSpec({self._shape()!r})"


@export("utils._pytree.tree_flatten")
def tree_flatten(tree: Any, is_leaf: Any = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree from left to right, and its TreeSpec."""
    leaves, spec = flatten(tree) if is_leaf is None else flatten(tree, is_leaf)
    return leaves, TreeSpec(spec, len(leaves))


@export("utils._pytree.tree_unflatten")
def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The inverse of `tree_flatten`."""
    return treespec.unflatten(leaves)


@export("utils._pytree.tree_leaves", "utils._pytree.tree_iter")
def tree_leaves(tree: Any, is_leaf: Any = None) -> list[Any]:
    """The leaves of a tree from left to right."""
    return tree_flatten(tree, is_leaf)[0]


@export("utils._pytree.tree_structure")
def tree_structure(tree: Any, is_leaf: Any = None) -> TreeSpec:
    """The TreeSpec of a tree."""
    return tree_flatten(tree, is_leaf)[1]


@export("utils._pytree.tree_map")
def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """The tree of func(leaf, leaves of the other trees at its place); ValueError if they differ."""
    leaves, spec = tree_flatten(tree, is_leaf)
    columns = [leaves]
    for other in rests:
        columns.append(_up_to(other, spec._shape()))
    return spec.unflatten(map(func, *columns))


def _up_to(tree: Any, shape: Any) -> list[Any]:
    """What `tree` has at the leaves of `shape`, which may be trees again; ValueError elsewhere."""
    if shape is None:
        return [tree]
    if isinstance(shape, dict):
        if not isinstance(tree, dict) or tree.keys() != shape.keys():
            raise ValueError(f"tree_map: {tree!r} is no dict with the keys {list(shape)}")
        pairs = [(tree[key], part) for key, part in shape.items()]
    else:
        if not isinstance(tree, type(shape)) or len(tree) != len(shape):
            kind = type(shape).__name__
            raise ValueError(f"tree_map: {tree!r} is no {kind} of {len(shape)} items")
        pairs = list(zip(tree, shape, strict=True))
    return [leaf for part, like in pairs for leaf in _up_to(part, like)]


@export("utils._pytree.tree_map_")
def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """Call func as `tree_map` does, and give back the tree as it was."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


@export("utils._pytree.tree_map_only")
def tree_map_only(kind: Any, func: Callable[[Any], Any], tree: Any, is_leaf: Any = None) -> Any:
    """`tree_map` for the leaves that are instances of `kind`, or for which kind(leaf) holds."""
    is_type = isinstance(kind, (type, tuple))

    def chosen(x: Any) -> Any:
        wanted = isinstance(x, kind) if is_type else kind(x)
        return func(x) if wanted else x

    return tree_map(chosen, tree, is_leaf=is_leaf)


@export("utils._pytree.tree_all")
def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether pred holds for every leaf."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


@export("utils._pytree.tree_any")
def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether pred holds for any leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))
