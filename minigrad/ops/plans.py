"""What follows from shapes and options alone, worked out once for each combination of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

MOST = 512
"""Combinations that a function remembers before it starts anew."""
_PLAIN = frozenset({int, str, type(None)})
_VALUES = frozenset({int, float, bool, str, type(None)})


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose results are kept for arguments made of numbers, names and sequences of
    them; the types count, as 2.0 may be refused where 2 is not. Other arguments, and errors, go to
    the function each time.
    """
    known: dict[tuple[Any, ...], Any] = {}

    @wraps(function)
    def plan(*args: Any) -> Any:
        key = tuple([a if type(a) in _PLAIN else _key(a) for a in args])
        found = None if _UNKNOWN in key else known.get(key)
        if found is None:
            found = function(*args)
            if _UNKNOWN not in key:
                if len(known) >= MOST:
                    known.clear()
                known[key] = found
        return found

    return plan


_UNKNOWN = ("not a number, a name, or a sequence of them",)


def _key(a: Any) -> tuple[Any, ...]:
    kind = type(a)
    if kind is tuple or kind is list:
        types = tuple(map(type, a))
        return (kind, types, *a) if _VALUES.issuperset(types) else _UNKNOWN
    return (kind, a) if kind in _VALUES else _UNKNOWN
