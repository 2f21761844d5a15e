"""Nested tuples, lists and dicts of tensors as flat lists, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

Spec = Any
_LEAF = object()


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], Spec]:
    """The leaves of a tree from left to right, and what is needed to build it again.

    What `is_leaf` holds for is not taken apart.
    """
    if is_leaf is not None and is_leaf(tree):
        return [tree], _LEAF
    if isinstance(tree, tuple | list):
        parts = [flatten(t, is_leaf) for t in tree]
        return [leaf for leaves, _ in parts for leaf in leaves], (
            _maker(tree),
            [s for _, s in parts],
            None,
        )
    if isinstance(tree, dict):
        parts = [flatten(t, is_leaf) for t in tree.values()]
        return [leaf for leaves, _ in parts for leaf in leaves], (
            type(tree),
            [s for _, s in parts],
            list(tree),
        )
    return [tree], _LEAF


def _maker(tree: Any) -> Callable[[list], Any]:
    if isinstance(tree, tuple) and type(tree) is not tuple:  # a named tuple
        return lambda items: type(tree)(*items)
    return type(tree)


def unflatten(leaves: list[Any], spec: Spec) -> Any:
    """The inverse of `flatten`."""
    return _build(iter(leaves), spec)


def _build(leaves: Any, spec: Spec) -> Any:
    if spec is _LEAF:
        return next(leaves)
    make, parts, keys = spec
    items = [_build(leaves, s) for s in parts]
    if keys is not None:
        pairs = zip(keys, items, strict=True)
        return OrderedDict(pairs) if make is OrderedDict else dict(pairs)
    return make(items)


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function` applied to every leaf."""
    leaves, spec = flatten(tree)
    return unflatten([function(leaf) for leaf in leaves], spec)
