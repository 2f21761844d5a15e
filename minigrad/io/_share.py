"""Which tensors share memory, from their addresses: what lets tied weights be stored once.

Two tensors that are the same view of the same memory are stored once. A tensor that lies inside a
larger contiguous one (a slice of it, its transpose) is stored in full, so that other readers find
it, and noted as a view of the larger one, so that the two share again when they are loaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.devices import device_of


class Entry:
    """An array to be stored, and the JSON node that refers to it."""

    __slots__ = ("data", "kind", "node", "owner", "stored")

    def __init__(self, data: Any, node: dict[str, Any], kind: str, owner: Any):
        self.data = data
        self.node = node
        self.kind = kind
        self.owner = owner  # kept alive: addresses are compared
        self.stored = True

    @property
    def name(self) -> str:
        return self.node[self.kind]

    def host(self) -> np.ndarray:
        return self.data if isinstance(self.data, np.ndarray) else self.data.get()

    def extent(self) -> tuple[int, int]:
        """Addresses of the first byte and of the one after the last."""
        x = self.data
        low = high = x.__array_interface__["data"][0] if isinstance(x, np.ndarray) else x.data.ptr
        for n, step in zip(x.shape, x.strides, strict=True):
            low, high = low + min(0, (n - 1) * step), high + max(0, (n - 1) * step)
        return low, high + x.itemsize

    def memory_kind(self) -> tuple[Any, Any]:
        return device_of(self.data), self.data.dtype


def share(entries: list[Entry]) -> dict[str, str]:
    """Change the nodes of tensors that share memory; {name left out: name stored} of equal ones."""
    same: dict[Any, Entry] = {}
    left_out: dict[str, str] = {}
    for entry in entries:
        if entry.data.size == 0:
            continue
        first = same.setdefault(_view_key(entry), entry)
        if first is not entry:
            left_out[entry.name] = first.name
            entry.node[entry.kind] = first.name
            entry.stored = False
    _note_views(list(same.values()))
    for entry in entries:
        view = None if entry.stored else same[_view_key(entry)].node.get("view")
        if view is not None:
            entry.node["view"] = view
    return left_out


def _view_key(entry: Entry) -> tuple[Any, ...]:
    return (*entry.memory_kind(), entry.extent(), entry.data.shape, entry.data.strides)


def _note_views(entries: list[Entry]) -> None:
    """One sweep over the addresses, with the tensor at hand that reaches farthest so far."""
    spans = [(*e.extent(), not e.data.flags.c_contiguous, i) for i, e in enumerate(entries)]
    widest: dict[Any, tuple[int, int, Entry]] = {}
    for low, high, scattered, i in sorted(spans, key=lambda span: (span[0], -span[1], *span[2:])):
        entry = entries[i]
        kind = entry.memory_kind()
        base = widest.get(kind)
        if base is not None and high <= base[1]:
            _note_view(entry, low - base[0], base[2])
        elif not scattered and (base is None or high > base[1]):
            widest[kind] = (low, high, entry)


def _note_view(entry: Entry, distance: int, base: Entry) -> None:
    x = entry.data
    if distance % x.itemsize or any(step < 0 or step % x.itemsize for step in x.strides):
        return
    strides = [step // x.itemsize for step in x.strides]
    entry.node["view"] = [base.name, distance // x.itemsize, list(x.shape), strides]
