"""Objects to files: the structure to JSON, tensors to arrays, shared memory once."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..export import get_symbol_from_name
from . import _npz, _safetensors
from ._share import Entry, share
from ._tree import TREE_NOTE, TREE_VERSION, Encoder, Path

_RESERVED = "minigrad."


def save(obj: Any, f: Any) -> None:
    """See `checkpoint.save`."""
    entries = _Entries()
    try:
        tree = Encoder(entries.leaf).encode(obj)
        arrays = entries.arrays()
        text = json.dumps({"version": TREE_VERSION, "root": tree}, separators=(",", ":"))
    except RecursionError:
        raise ValueError("save: obj is nested too deeply") from None
    _safetensors.write(f, arrays, {"format": "pt", **entries.aliases, TREE_NOTE: text})


def has_modules(obj: Any) -> bool:
    """Whether it is a Module or an Optimizer, or a container with one in it."""
    names = ("nn.Module", "optim.Optimizer")  # asked for by name: layers know nothing of files
    kinds = tuple(kind for kind in map(get_symbol_from_name, names) if kind is not None)
    pending, seen = [obj], set()
    while pending:
        item = pending.pop()
        if isinstance(item, kinds):
            return True
        if isinstance(item, (dict, list, tuple, set)) and id(item) not in seen:
            seen.add(id(item))
            pending += item.values() if isinstance(item, dict) else item
    return False


class _Entries:
    """The tensors and arrays met while an object is encoded; equal memory is kept once."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self._entries: list[Entry] = []
        self._names: set[str] = {"__metadata__"}  # the format's own
        self._first: dict[int, tuple[int, str]] = {}
        self._again: list[tuple[str, str]] = []
        self._parameter = get_symbol_from_name("nn.Parameter")

    def leaf(self, obj: Any, path: Path) -> dict[str, Any] | None:
        """The JSON of a tensor or array; None for anything else."""
        if isinstance(obj, np.ndarray):
            node = {"ndarray": self._name(path)}
            self._entries.append(Entry(obj, node, "ndarray", obj))
            return node
        if not isinstance(obj, Tensor):
            return None
        name = self._name(path)
        first = self._first.get(id(obj))
        if first is not None:
            self._again.append((name, first[1]))
            return {"again": first[0]}
        self._first[id(obj)] = len(self._first), name
        node: dict[str, Any] = {"tensor": name}
        if obj.requires_grad:
            node["requires_grad"] = True
        if self._parameter is not None and isinstance(obj, self._parameter):
            node["parameter"] = True
        if obj.is_cuda:
            node["device"] = str(obj.device)
        self._entries.append(Entry(obj._data, node, "tensor", obj))
        return node

    def _name(self, path: Path) -> str:
        """The keys joined by dots; made different where two paths give the same."""
        name = ".".join(map(str, path)) if path else "data"
        name = name.encode("utf-8", "replace").decode()
        unique, i = name, 1
        while unique in self._names:
            i += 1
            unique = f"{name}#{i}"
        self._names.add(unique)
        return unique

    def arrays(self) -> dict[str, np.ndarray]:
        """What has to be stored, by name; nodes of tensors that share memory now say so."""
        tensors = [entry for entry in self._entries if entry.kind == "tensor"]
        left_out = share(tensors)
        for name, kept in (*self._again, *left_out.items()):
            # safetensors.torch.save_model, too, notes the names that it leaves out in this way
            if name != "format" and not name.startswith(_RESERVED):
                self.aliases[name] = left_out.get(kept, kept)
        return {entry.name: entry.host() for entry in self._entries if entry.stored}


def save_file(tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None) -> None:
    """See `checkpoint.save_file`."""
    if not isinstance(tensors, dict):
        raise ValueError(f"save_file: expected a dict of Tensors, but got {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"save_file: expected names and Tensors, but got {name!r}: {type(tensor).__name__}"
            )
    arrays = {name: tensor._host() for name, tensor in tensors.items()}
    _safetensors.write(filename, arrays, dict(metadata or {}))


def save_npz(tensors: dict[str, Any], f: Any, compressed: bool) -> None:
    """See `checkpoint.save_npz`."""
    arrays = {
        name: value._host() if isinstance(value, Tensor) else np.asarray(value)
        for name, value in tensors.items()
    }
    _npz.write(f, arrays, compressed=compressed)
