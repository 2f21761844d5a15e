"""Main memory that a GPU reads and writes by itself: pinned pages, which the system never moves.

A copy from or to such memory need not be waited for: it is queued like any other work. Until it is
done its memory must not be used for something else, so that it is held here with an event of the
stream.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

import numpy as np

from . import graphs
from .devices import cuda_is_available, cuda_module

_roots: dict[int, weakref.ref[np.ndarray]] = {}
"""The arrays whose memory is pinned; others are views of them."""
_under_way: deque[tuple[Any, Any]] = deque()
"""Copies that may not be done: an event after each, and what it needs."""


def empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A new array in pinned memory."""
    dtype = np.dtype(dtype)
    count = int(np.prod(shape, dtype=np.int64))
    memory = cuda_module().cuda.alloc_pinned_memory(max(1, count * dtype.itemsize))
    root = np.frombuffer(memory, np.uint8, max(1, count * dtype.itemsize))
    key = id(root)
    _roots[key] = weakref.ref(root, lambda _: _roots.pop(key, None))
    return root[: count * dtype.itemsize].view(dtype).reshape(shape)


def is_pinned(x: Any) -> bool:
    """Whether the array's memory is pinned."""
    while isinstance(x.base, np.ndarray):
        x = x.base
    known = _roots.get(id(x))
    return known is not None and known() is x


def pin(x: np.ndarray) -> np.ndarray:
    """The array in pinned memory: itself if it is there, or where there is no GPU, else a copy."""
    if is_pinned(x) or not cuda_is_available():
        return x
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def upload(x: np.ndarray) -> Any:
    """A copy on the current GPU, not waited for if x is pinned. In a graph, every replay reads what
    x holds then.
    """
    cupy = cuda_module()
    if not is_pinned(x) or not x.flags.c_contiguous or not x.size:
        return cupy.asarray(x)
    y = cupy.empty(x.shape, x.dtype)
    stream = cupy.cuda.get_current_stream()
    y.set(x, stream=stream)
    _hold(stream, x)
    return y


def download(x: Any) -> np.ndarray:
    """A copy in pinned memory that is not waited for: synchronize before reading it."""
    y = empty(x.shape, x.dtype)
    if x.size:
        with x.device:
            stream = cuda_module().cuda.get_current_stream()
            x.get(stream=stream, out=y, blocking=False)
            _hold(stream, (x, y))
    return y


def _hold(stream: Any, what: Any) -> None:
    """Keep what a copy needs until it is done; in a graph, as long as the graph."""
    if graphs.keep(what):
        return
    while _under_way and _under_way[0][0].done:
        _under_way.popleft()
    _under_way.append((stream.record(), what))
