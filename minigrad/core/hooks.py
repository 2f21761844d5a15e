"""Handles by which a registered hook can be removed again."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import Any

from ..export import export

_ids = itertools.count()


@export("utils.hooks.RemovableHandle")
class RemovableHandle:
    """What every `register_*_hook` returns: `remove()` takes the hook out; also a context
    manager.
    """

    def __init__(self, hooks: OrderedDict, *, extra: Any = None):
        self.hooks_ref = weakref.ref(hooks)
        self.id = next(_ids)
        self.extra_refs = tuple(weakref.ref(d) for d in extra or ())

    def remove(self) -> None:
        for ref in (self.hooks_ref, *self.extra_refs):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Hooks(OrderedDict):
    """An ordered dict of hooks (a subclass only so that it can be weakly referenced)."""

    def add(self, hook: Any, *, first: bool = False) -> RemovableHandle:
        handle = RemovableHandle(self)
        self[handle.id] = hook
        if first:
            self.move_to_end(handle.id, last=False)
        return handle
