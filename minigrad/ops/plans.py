"""What follows from shapes and options alone, worked out once for each combination of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from marshal import dumps
from typing import Any

MOST = 512
"""Combinations that a function remembers before it starts anew."""
_VALUES = frozenset({int, float, bool, str, type(None)})


def planned(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose results are kept for arguments made of numbers, names and sequences of
    them; the types count, as 2.0 may be refused where 2 is not. Other arguments, and errors, go to
    the function each time.
    """
    known: dict[bytes, Any] = {}

    @wraps(function)
    def plan(*args: Any) -> Any:
        try:
            key = dumps(args, 2)  # a call that tells 2 from 2.0 and (2,) from [2]
        except ValueError:
            return function(*args)
        found = known.get(key)
        if found is None:
            found = function(*args)
            if all(map(_plain, args)):  # what else can be dumped is never found again
                if len(known) >= MOST:
                    known.clear()
                known[key] = found
        return found

    return plan


def _plain(a: Any) -> bool:
    kind = type(a)
    return kind in _VALUES or ((kind is tuple or kind is list) and all(map(_plain, a)))
