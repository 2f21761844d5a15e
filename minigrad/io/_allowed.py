"""Classes that `load` may make objects of, though a file that names them could not be trusted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..export import export

SAFE: dict[str, Any] = {}
"""By "module.name"."""


@export("serialization.add_safe_globals")
def add_safe_globals(safe_globals: list[Any]) -> None:
    """Let `load` make objects of these classes (or call these functions) in every file."""
    for item in safe_globals:
        thing, name = item if isinstance(item, tuple) else (item, None)
        SAFE[name or f"{thing.__module__}.{thing.__qualname__}"] = thing


@export("serialization.get_safe_globals")
def get_safe_globals() -> list[Any]:
    """What `add_safe_globals` has allowed."""
    return list(SAFE.values())


@export("serialization.clear_safe_globals")
def clear_safe_globals() -> None:
    """Allow no classes any more."""
    SAFE.clear()


@export("serialization.safe_globals")
@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]) -> Iterator[None]:
    """`add_safe_globals` for a block."""
    before = dict(SAFE)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        SAFE.clear()
        SAFE.update(before)
