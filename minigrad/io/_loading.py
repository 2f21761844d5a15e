"""Files to objects: which format it is, tensors from arrays, on their devices."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import Any

import numpy as np

from ..backend.devices import canonical_device, device, device_of
from ..backend.dtypes import BF16, from_numpy_dtype
from ..core.tensor import Tensor, make, wrap
from ..export import get_symbol_from_name
from ..ops.convert import convert
from . import _npz, _safetensors
from ._files import Source, as_bytes
from ._safetensors import Reader
from ._torch import Builder, strided
from ._torch_zip import LEGACY_START, read_legacy, read_zip
from ._tree import TREE_NOTE, TREE_VERSION, decode

_RESERVED = "minigrad."
_KNOWN = "safetensors, a zip archive of torch.save, .npz or .npy"


def load(source: Source, builder: TensorBuilder, mmap: bool) -> Any:
    start = source.read_at(0, 16)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _load_zip(source, builder, mmap)
    if start.startswith(_npz.NPY_START):
        return builder.from_array(_npz.read_npy(source, mmap=mmap))
    if _safetensors.looks_like(start):
        return _load_safetensors(Reader(source, mmap=mmap), source, builder)
    if start.startswith(LEGACY_START) or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        if mmap:
            raise RuntimeError(
                f"load: {source.name} is in PyTorch's format before 1.6, which cannot be mapped"
            )
        return read_legacy(source, builder)
    if source.size < 9:
        source.fail("is cut short", expected=_KNOWN, actual=f"{source.size} bytes")
    if source.read_at(257, 5) == b"ustar":
        source.fail("is a tar archive", expected=_KNOWN, help="save it again with a later PyTorch")
    source.fail(
        "is damaged or no checkpoint", expected=_KNOWN, actual=f"a file that begins with {start!r}"
    )


def _load_zip(source: Source, builder: TensorBuilder, mmap: bool) -> Any:
    try:
        archive = zipfile.ZipFile(source.file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        source.fail(f"is a zip archive that is cut short or damaged: {error}")
    names = archive.namelist()
    _check_count(source, len(names))
    folders = [
        n.removesuffix("/data.pkl") for n in names if n.endswith("/data.pkl") and n.count("/") == 1
    ]
    if folders:
        return read_zip(source, archive, folders[0], builder, mmap=mmap)
    if _npz.is_npz(archive):
        arrays = _npz.read_npz(source, archive)
        return {name: builder.from_array(array) for name, array in arrays.items()}
    source.fail("is a zip archive of something else", expected=_KNOWN, actual=f"{names[:5]}")


def _check_count(source: Source, count: int) -> None:
    """Damage in a zip archive's index may hide members, which zipfile does not notice."""
    tail = source.read_at(max(source.size - 65557, 0), 65557)
    end = tail.rfind(b"PK\x05\x06")
    (expected,) = struct.unpack("<H", tail[end + 10 : end + 12])
    if expected not in (count, 0xFFFF):  # which stands for a number too large for the field
        source.fail(
            "is a zip archive that is damaged", expected=f"{expected} members", actual=count
        )


def _load_safetensors(reader: Reader, source: Source, builder: TensorBuilder) -> Any:
    text = reader.metadata.get(TREE_NOTE)
    if text is None:
        return {name: builder.from_array(reader.array(name)) for name in reader.names}
    leaves = _Leaves(reader, builder)
    try:
        tree = json.loads(text)
        if tree["version"] == TREE_VERSION:
            return decode(tree["root"], leaves)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        source.fail(f"is damaged: its structure does not fit ({type(error).__name__}: {error})")
    source.fail(
        "was written by a later minigrad",
        expected=f"version {TREE_VERSION}",
        actual=tree["version"],
    )


class _Leaves:
    """Makes the tensors that a tree names, each memory read and placed once."""

    def __init__(self, reader: Reader, builder: TensorBuilder):
        self._reader = reader
        self._builder = builder
        self._memory: dict[str, Any] = {}
        self._made: list[Any] = []

    def __call__(self, node: dict[str, Any]) -> Any:
        if "ndarray" in node:
            return self._reader.array(node["ndarray"])
        if "again" in node:
            return self._made[node["again"]]
        location = node.get("device", "cpu")
        if "view" in node:
            base, offset, shape, stride = node["view"]
            array = strided(self._array(base, location).reshape(-1), offset, shape, stride)
        else:
            array = self._array(node["tensor"], location)
        tensor = self._builder.tensor(array, node.get("requires_grad", False))
        if node.get("parameter"):
            tensor = self._builder.parameter(tensor, node.get("requires_grad", False))
        self._made.append(tensor)
        return tensor

    def _array(self, name: str, location: str) -> Any:
        found = self._memory.get(name)
        if found is None:
            found = self._memory[name] = self._builder.placed(self._reader.array(name), location)
        return found


def load_file(filename: Any, place: Any) -> dict[str, Any]:
    """See `checkpoint.load_file`."""
    builder = TensorBuilder(place)
    with Source(filename) as source:
        reader = Reader(source)
        return {name: builder.from_array(reader.array(name)) for name in reader.names}


def load_metadata(filename: Any) -> dict[str, str]:
    """See `checkpoint.load_metadata`."""
    with Source(filename) as source:
        metadata = Reader(source).metadata
    return {key: text for key, text in metadata.items() if not key.startswith(_RESERVED)}


# ---------------------------------------------------------------- tensors on their devices
class TensorBuilder(Builder):
    """Arrays to Tensors, placed as `map_location` says."""

    tensor_type = Tensor

    def __init__(self, map_location: Any = None):
        if not (
            map_location is None
            or isinstance(map_location, (str, device, dict))
            or callable(map_location)
        ):
            raise TypeError(
                "load: map_location must be a device, a string, a dict or a function, "
                f"not {type(map_location).__name__}"
            )
        self._map = map_location
        if isinstance(map_location, (str, device)):
            _place(str(map_location))  # a wrong one is an error without tensors, too

    def place(self, storage: np.ndarray, location: str) -> Any:
        target: Any = self._map
        if isinstance(target, dict):
            target = target.get(location, location)
        elif callable(target) and not isinstance(target, device):
            moved = target(wrap(storage), location)
            if isinstance(moved, Tensor):
                return convert(wrap(storage), None, device_of(moved._data))._data
            target = moved
        place = _place(location if target is None else str(target))
        return convert(wrap(storage), None, place)._data

    def placed(self, array: np.ndarray, location: str) -> Any:
        """A whole array, moved."""
        return self.place(as_bytes(array), location).view(array.dtype).reshape(array.shape)

    def from_array(self, array: np.ndarray) -> Any:
        """The tensor of an array that was saved without a device."""
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if not _has_tensors(array.dtype):
            return array
        return wrap(self.placed(np.asarray(array, order="C"), "cpu"))

    def tensor(self, array: Any, requires_grad: bool) -> Any:
        if not _has_tensors(array.dtype):
            return array
        return wrap(array, requires_grad and _may_require_grad(array.dtype))

    def parameter(self, tensor: Any, requires_grad: bool) -> Any:
        # asked for by name: layers know nothing of files, nor files of layers
        kind = get_symbol_from_name("nn.Parameter") or Tensor
        return make(kind, tensor._data, requires_grad and _may_require_grad(tensor._data.dtype))

    def attributes(self, tensor: Any, state: dict[str, Any]) -> None:
        vars(tensor).update(state)


def _place(location: str) -> device:
    """The device of this machine that a saved location means."""
    kind = location.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise RuntimeError(
            f"don't know how to restore data location of a storage (tagged with {location})\n"
            "  help: load(..., map_location='cpu')"
        )
    try:
        return canonical_device(location)
    except RuntimeError as error:
        raise RuntimeError(
            f"Attempting to deserialize object on device '{location}': {error}\n"
            "  help: load(..., map_location='cpu') reads it on a machine without that device"
        ) from None


def _may_require_grad(dtype: np.dtype) -> bool:
    return dtype.kind in "fc" or dtype == BF16


def _has_tensors(dtype: np.dtype) -> bool:
    try:
        from_numpy_dtype(dtype)
    except TypeError:
        return False
    return True
