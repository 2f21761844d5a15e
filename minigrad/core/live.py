"""What lies in the memory of GPUs: all tensors that are alive, and what graphs have saved.

Asked for by summaries and out-of-memory errors (backend/allocator.py); looks at every object that
Python's collector knows of, which takes a while.
"""

from __future__ import annotations

import gc
from typing import Any

import numpy as np

from ..backend import allocator
from ..backend.devices import array_module
from .recording import PrimitiveNode
from .tensor import Tensor


def arrays() -> list[tuple[int, int, str]]:
    """(address of the block, bytes, what it is) of arrays on GPUs."""
    found = []
    for thing in gc.get_objects():
        kind = type(thing)
        if issubclass(kind, Tensor):
            x = thing._data
            if array_module(x) is not np:
                grad = thing._grad is not None
                role = f"{kind.__name__.lower()}{' with a gradient' if grad else ''}"
                found.append(_entry(x, role))
        elif issubclass(kind, PrimitiveNode):
            saved = thing.saved if isinstance(thing.saved, tuple) else ()
            for x in saved:
                if array_module(x) is not np:
                    found.append(_entry(x, f"saved for {thing.name()}"))
    return found


def _entry(x: Any, what: str) -> tuple[int, int, str]:
    return x.data.mem.ptr, x.nbytes, f"{x.dtype.name} {tuple(x.shape)}, {what}"


allocator.describe = arrays
