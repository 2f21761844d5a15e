"""Files of arbitrary Python objects: whole modules, optimizers, configurations.

A header, then a pickle in which tensors stand as ("tensor", type, array, ...) and, the second time,
as ("again", number). Reading such a file runs code that it names, so `load` does it only with
weights_only=False, or for classes that `serialization.add_safe_globals` has allowed.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from ..backend.dtypes import bfloat16, numpy_dtype
from ..core.tensor import Tensor, make
from ._allowed import SAFE
from ._files import CheckpointError, Source, write_whole

START = b"minigrad objects 1\n"

# What a pickle of data needs besides the classes of that data.
_PLAIN = {
    "builtins": {
        "dict", "list", "tuple", "set", "frozenset", "complex", "bytearray", "slice", "range",
        "object", "int", "float", "str", "bool", "bytes",
    },
    "collections": {"OrderedDict", "Counter", "defaultdict", "deque"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "pathlib": {"PosixPath", "PurePosixPath"},
    "types": {"SimpleNamespace"},
    "argparse": {"Namespace"},
}  # fmt: skip


class _Pickler(pickle.Pickler):
    """Writes tensors by their contents."""

    def __init__(self, file: Any, protocol: int):
        super().__init__(file, max(protocol, 4))  # older ones need more names for bytes
        self._seen: dict[int, int] = {}
        self._kept: list[Tensor] = []  # so that no other tensor gets the same id

    def persistent_id(self, obj: Any) -> Any:
        if not isinstance(obj, Tensor):
            return None
        number = self._seen.setdefault(id(obj), len(self._kept))
        if number < len(self._kept):
            return "again", number
        if not obj.is_leaf:
            raise TypeError("save: a tensor inside an object is a result; detach() it first")
        self._kept.append(obj)
        array = np.ascontiguousarray(obj._host()).reshape(obj._data.shape)
        dtype = obj.dtype.name
        if dtype == bfloat16.name:
            array = array.view(np.uint16)  # readable where ml_dtypes is missing
        attributes = dict(obj.__dict__)
        device = str(obj.device)
        return "tensor", type(obj), array, dtype, obj.requires_grad, attributes, device


class _Unpickler(pickle.Unpickler):
    """Builds tensors on their devices; finds all names, or only those allowed."""

    def __init__(self, source: Source, file: Any, builder: Any, trusted: bool):
        super().__init__(file)
        self._source, self._builder, self._trusted = source, builder, trusted
        self._tensors: list[Tensor] = []

    def find_class(self, module: str, name: str) -> Any:
        allowed = SAFE.get(f"{module}.{name}")
        if allowed is not None:
            return allowed
        own = module.partition(".")[0] == __name__.partition(".")[0]
        tensor = own and name in ("Tensor", "Parameter", "Buffer", "device", "Size", "_rebuild")
        if not (self._trusted or tensor or name in _PLAIN.get(module, ())):
            raise pickle.UnpicklingError(
                f"Weights only load failed: {self._source.name} holds an object of {module}.{name}"
                "\n  help: load(f, weights_only=False) reads it, and runs what the file says: only "
                "for files whose source you trust\n  help: or allow this class: "
                f"minigrad.serialization.add_safe_globals([{name}])"
            )
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Tensor:
        if pid[0] == "again":
            return self._tensors[pid[1]]
        _, kind, array, dtype, requires_grad, attributes, device = pid
        if not (isinstance(kind, type) and issubclass(kind, Tensor)):
            raise pickle.UnpicklingError("a tensor that is none")
        if dtype == bfloat16.name:
            array = array.view(numpy_dtype(bfloat16))
        t = make(kind, self._builder.placed(array, device), requires_grad)
        t.__dict__.update(attributes)
        self._tensors.append(t)
        return t


def save(obj: Any, f: Any, protocol: int) -> None:
    """Write any object that can be pickled; TypeError for one that cannot."""
    buffer = io.BytesIO()
    buffer.write(START)
    try:
        _Pickler(buffer, protocol).dump(obj)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TypeError(f"save: {error}") from None
    data = buffer.getvalue()

    def to_path(path: str) -> None:
        with open(path, "wb") as file:
            file.write(data)

    write_whole(f, to_path, lambda file: file.write(data))


def load(source: Source, builder: Any, weights_only: bool) -> Any:
    """The object of a file; pickle.UnpicklingError if it needs a class that is not allowed,
    CheckpointError for one that is damaged.
    """
    source.file.seek(len(START))
    try:
        return _Unpickler(source, source.file, builder, not weights_only).load()
    except (CheckpointError, pickle.UnpicklingError):
        raise
    except Exception as error:
        # of trusted files, whose classes run code of their own, only what surely is no fault of it
        if not weights_only and not isinstance(error, EOFError):
            raise
        kind = type(error).__name__
        raise CheckpointError(f"load: the pickled objects are damaged ({kind}: {error})") from error
