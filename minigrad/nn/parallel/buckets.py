"""Buckets: gradients that are averaged in one go."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...backend.devices import array_module
from ...core.tensor import Tensor


def assign_buckets(parameters: list[Tensor], limits: list[int]) -> list[list[int]]:
    """Numbers of parameters by bucket, last parameters first: they have their gradients first.

    A bucket holds one dtype and is full when it has `limits[0]` bytes (the first one) or
    `limits[-1]`: the first one is small, so that communication starts early.
    """
    done: list[list[int]] = []
    open_buckets: dict[Any, tuple[list[int], int]] = {}
    opened: dict[Any, int] = {}
    for i in reversed(range(len(parameters))):
        p = parameters[i]
        key = (p.dtype, str(p.device))
        members, size = open_buckets.pop(key, ([], 0))
        members.append(i)
        size += p.nbytes
        if size >= limits[min(opened.get(key, 0), len(limits) - 1)]:
            done.append(members)
            opened[key] = opened.get(key, 0) + 1
        else:
            open_buckets[key] = members, size
    done += [members for members, _ in open_buckets.values()]
    return sorted(done, key=lambda members: -members[0])


class Bucket:
    """Gradients of one dtype in one flat array, and how many of them are still to come."""

    def __init__(self, index: int, members: list[int], parameters: list[Tensor]):
        self.index, self.members = index, members
        self.parameters = [parameters[i] for i in members]
        sizes = [p.numel() for p in self.parameters]
        self.ends = np.cumsum(sizes).tolist()
        self._places = {i: at for at, i in enumerate(members)}
        self.size, self.dtype = sum(sizes), self.parameters[0]._data.dtype
        self.array: Any = None
        self.pending: set[int] = set(members)
        self.launched: Any = None  # a Work, or the Future of a hook

    def start(self, fresh: bool) -> None:
        """Before a step: nothing has come; `fresh`: into memory that nobody else has."""
        self.pending = set(self.members)
        self.launched = None
        if self.array is None or fresh:
            make = array_module(self.parameters[0]._data)
            self.array = make.empty(self.size, self.dtype)

    def view(self, i: int) -> Any:
        """The place of parameter i, in its shape."""
        at = self._places[i]
        p = self.parameters[at]
        end = self.ends[at]
        return self.array[end - p._data.size : end].reshape(p._data.shape)
