"""Nested dicts, lists and numbers as JSON, and back, exactly.

None, bools, ints, texts, finite floats and lists are JSON's own. Everything else is an object with
one key that says what it is: {"dict": [[key, value], ...]}, {"tuple": [...]}, {"float": "nan"},
{"bytes": "base64"}, ...; keys of dicts may be anything hashable, and their order is kept. Tensors
and arrays are turned into such objects by the caller.
"""

from __future__ import annotations

import base64
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import errors
from ..backend.devices import device
from ..backend.dtypes import DType, dtype_by_name
from ..core.size import Size

TREE_NOTE, TREE_VERSION = "minigrad.tree", 1  # where the JSON stands in the metadata

Path = tuple[Any, ...]
_SEQUENCES = {tuple: "tuple", Size: "Size", set: "set", frozenset: "frozenset"}
_DICTS = {dict: "dict", OrderedDict: "OrderedDict", Counter: "Counter"}
_BUFFERS = {bytes: "bytes", bytearray: "bytearray"}
_SCALARS = "biufcSU"


class Encoder:
    """An object to JSON; `leaf(obj, path)` gives that of a tensor or array, None of all else."""

    def __init__(self, leaf: Callable[[Any, Path], dict[str, Any] | None]):
        self._leaf = leaf
        self._open: set[int] = set()  # the containers that we are inside of

    def encode(self, obj: Any, path: Path = ()) -> Any:
        """TypeError, with the keys that lead there, for what cannot be stored; ValueError for an
        object that contains itself.
        """
        kind = type(obj)
        if obj is None or kind in (bool, int, str):
            return obj
        if kind is float:
            return obj if math.isfinite(obj) else {"float": repr(obj)}
        encoded = self._leaf(obj, path)
        if encoded is None:
            encoded = self._container(obj, kind, path)
        return _value(obj, path) if encoded is None else encoded

    def _container(self, obj: Any, kind: type, path: Path) -> Any:
        if kind is not list and kind not in _SEQUENCES and kind not in _DICTS:
            return None
        if id(obj) in self._open:
            raise ValueError(f"save: {spelled(path)} contains itself")
        self._open.add(id(obj))
        if kind in _DICTS:
            encoded: Any = {_DICTS[kind]: self._pairs(obj.items(), path)}
            if kind is OrderedDict and vars(obj):  # a state dict's _metadata
                encoded["attributes"] = self._pairs(vars(obj).items(), path)
        else:
            encoded = [self.encode(item, (*path, i)) for i, item in enumerate(obj)]
            encoded = encoded if kind is list else {_SEQUENCES[kind]: encoded}
        self._open.discard(id(obj))
        return encoded

    def _pairs(self, items: Iterable[tuple[Any, Any]], path: Path) -> list[Any]:
        return [[self.encode(k, (*path, k)), self.encode(v, (*path, k))] for k, v in items]


def _value(obj: Any, path: Path) -> dict[str, Any]:
    """The leaves that JSON does not have."""
    kind = type(obj)
    if kind is complex:
        return {"complex": [repr(obj.real), repr(obj.imag)]}
    if kind in _BUFFERS:
        return {_BUFFERS[kind]: base64.b64encode(obj).decode()}
    if kind is DType:
        return {"dtype": obj.name}
    if kind is device:
        return {"device": str(obj)}
    if isinstance(obj, np.generic) and _portable(obj.dtype):
        return {"numpy.scalar": [obj.dtype.str, base64.b64encode(obj.tobytes()).decode()]}
    if isinstance(obj, np.dtype) and _portable(obj):
        return {"numpy.dtype": obj.str}
    raise _not_storable(obj, path)


def _portable(dtype: np.dtype) -> bool:
    """Numbers and texts that mean the same everywhere; the size of a long double differs."""
    return dtype.kind in _SCALARS and dtype.char not in "gG"


def _not_storable(obj: Any, path: Path) -> TypeError:
    kind = type(obj)
    if getattr(obj, "state_dict", None) is not None:
        help = "save its state_dict() in place of the whole object"
    elif getattr(obj, "get_state", None) is not None:
        help = "save its get_state() in place of the whole object"
    elif isinstance(obj, (dict, tuple, list, str, int, float)):
        base = next(b for b in kind.__mro__ if b in (dict, tuple, list, str, int, float))
        help = f"convert it to a plain {base.__name__}"
    else:
        help = "save the numbers that it is made of"
    return TypeError(
        errors.message(
            "save", f"{spelled(path)} cannot be stored",
            expected="tensors, arrays, numbers, strings, None, and dicts, lists and tuples of them",
            actual=f"{kind.__module__}.{kind.__qualname__}", help=help,
        )
    )  # fmt: skip


def spelled(path: Path) -> str:
    """A path of keys as one would type it: obj['optimizer']['state'][0]."""
    return "obj" + "".join(f"[{key!r}]" for key in path)


# ---------------------------------------------------------------- back
def decode(node: Any, leaf: Callable[[dict[str, Any]], Any]) -> Any:
    """What `Encoder` turned into `node`; ValueError, TypeError or KeyError if it did not."""
    if isinstance(node, list):
        return [decode(item, leaf) for item in node]
    if not isinstance(node, dict):
        return node
    kind, value = next(iter(node.items()), ("nothing", []))
    if kind in _FROM_ITEMS:
        return _FROM_ITEMS[kind]([decode(item, leaf) for item in value])
    if kind in _FROM_PAIRS:
        made = _FROM_PAIRS[kind]()
        for k, v in value:
            made[decode(k, leaf)] = decode(v, leaf)
        for k, v in node.get("attributes", ()):
            if k in dir(OrderedDict):
                raise ValueError(f"the attribute {k} of an OrderedDict")
            vars(made)[k] = decode(v, leaf)
        return made
    make = _FROM_VALUE.get(kind)
    return leaf(node) if make is None else make(value)


def _numpy_scalar(value: Any) -> np.generic:
    dtype, data = value
    return np.frombuffer(base64.b64decode(data), _numpy_dtype(dtype), 1)[0]


def _numpy_dtype(code: str) -> np.dtype:
    dtype = np.dtype(code)
    if not _portable(dtype):
        raise TypeError(f"the NumPy dtype {code}")
    return dtype


_FROM_ITEMS: dict[str, Callable[[Iterable[Any]], Any]] = {
    name: kind for kind, name in _SEQUENCES.items()
}
_FROM_PAIRS: dict[str, Callable[[], dict]] = {name: kind for kind, name in _DICTS.items()}
_FROM_VALUE: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "complex": lambda parts: complex(float(parts[0]), float(parts[1])),
    "bytes": base64.b64decode,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "dtype": dtype_by_name,
    "device": device,
    "numpy.scalar": _numpy_scalar,
    "numpy.dtype": _numpy_dtype,
}
