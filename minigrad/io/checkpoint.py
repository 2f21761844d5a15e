"""`save` and `load`: tensors to arrays to files, and back.

A checkpoint is a safetensors file. Its metadata hold, as JSON, the structure of what was saved; its tensors have the
joined keys as names ("optimizer.state.0.exp_avg"). A flat state dict is therefore a plain safetensors file, which
every reader of the format understands.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.devices import canonical_device, device, device_of
from ..backend.dtypes import BF16, from_numpy_dtype
from ..core.modes import MODE, ModeContext
from ..core.tensor import Tensor, make, wrap
from ..export import export, get_symbol_from_name
from ..ops.convert import convert
from . import _npz, _safetensors
from ._files import Source, as_bytes
from ._safetensors import Reader
from ._share import Entry, share
from ._torch import Builder, strided
from ._torch_zip import LEGACY_START, read_legacy, read_zip
from ._tree import Encoder, Path, decode

MapLocation = str | device | dict[str, str] | Callable[[Tensor, str], Tensor | None] | None

TREE_NOTE = "minigrad.tree"
TREE_VERSION = 1
_RESERVED = "minigrad."
_KNOWN = "safetensors, a zip archive of torch.save, .npz or .npy"


# ---------------------------------------------------------------- saving
@export("save", "io.save")
def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write `obj` to the path or binary file `f` by safetensors; `load` gives it back.

    `obj` is a tensor, array, number, string, None, dtype, device, or dicts, lists, tuples and sets of them with keys
    of any such kind: state dicts of models and optimizers, and training checkpoints made of both. No pickle is
    involved: PyTorch's last three arguments change nothing.

    A path is written beside and renamed: whatever happens, it holds the old or the new file, whole. Tensors that
    share memory (tied weights) are stored once and share again when loaded; tensors keep requires_grad and being a
    Parameter, and are stored row-major. TypeError names the key and type of what cannot be stored, ValueError an
    object that contains itself; then nothing is written. ImportError without the package safetensors.
    """
    entries = _Entries()
    try:
        tree = Encoder(entries.leaf).encode(obj)
        text = json.dumps({"version": TREE_VERSION, "root": tree}, separators=(",", ":"))
    except RecursionError:
        raise ValueError("save: obj is nested too deeply") from None
    _safetensors.write(f, entries.arrays(), {"format": "pt", **entries.aliases, TREE_NOTE: text})


class _Entries:
    """The tensors and arrays met while an object is encoded: names for all, memory for each only once."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self._entries: list[Entry] = []
        self._names: set[str] = {"__metadata__"}  # the format's own
        self._numbers: dict[int, int] = {}
        self._parameter = get_symbol_from_name("nn.Parameter")

    def leaf(self, obj: Any, path: Path) -> dict[str, Any] | None:
        """The JSON of a tensor or array; None for anything else."""
        if isinstance(obj, np.ndarray):
            node = {"ndarray": self._name(path)}
            self._entries.append(Entry(obj, node, "ndarray", obj))
            return node
        if not isinstance(obj, Tensor):
            return None
        number = self._numbers.get(id(obj))
        if number is not None:
            return {"again": number}
        self._numbers[id(obj)] = len(self._numbers)
        node: dict[str, Any] = {"tensor": self._name(path)}
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
        """What has to be stored, by name; the nodes of tensors that share memory are changed to say so."""
        tensors = [entry for entry in self._entries if entry.kind == "tensor"]
        for name, kept in share(tensors).items():
            # where safetensors.torch.save_model, too, notes the name that it left out
            if name != "format" and not name.startswith(_RESERVED):
                self.aliases[name] = kept
        return {entry.name: entry.host() for entry in self._entries if entry.stored}


@export("io.save_file")
def save_file(
    tensors: dict[str, Tensor], filename: Any, metadata: dict[str, str] | None = None
) -> None:
    """Write tensors by name as a plain safetensors file, with texts of one's own; as safetensors.torch.save_file.

    `load_file` and `load_metadata` give them back. ValueError if `tensors` is no dict of names and tensors; the rest
    as `save`.
    """
    if not isinstance(tensors, dict):
        raise ValueError(f"save_file: expected a dict of Tensors, but got {type(tensors).__name__}")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ValueError(
                f"save_file: expected names and Tensors, but got {name!r}: {type(tensor).__name__}"
            )
    arrays = {name: tensor.detach()._host() for name, tensor in tensors.items()}
    _safetensors.write(filename, arrays, dict(metadata or {}))


@export("io.save_npz")
def save_npz(tensors: dict[str, Any], f: Any, *, compressed: bool = False) -> None:
    """Write tensors or arrays by name as NumPy's .npz, which numpy.load and `load` read.

    TypeError for bfloat16, which these files do not have.
    """
    arrays = {
        name: value.detach()._host() if isinstance(value, Tensor) else np.asarray(value)
        for name, value in tensors.items()
    }
    _npz.write(f, arrays, compressed=compressed)


# ---------------------------------------------------------------- loading
@export("load", "io.load")
def load(
    f: Any,
    map_location: MapLocation = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = True,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Read a checkpoint from the path or binary file `f`: minigrad's own, or PyTorch's, safetensors', NumPy's.

    The format is found from the content. Of torch.save's files, those of tensors, numbers and containers are read,
    without PyTorch; nothing in a file is ever run, with weights_only=False neither. Tensors that shared memory share
    it again. A safetensors or .npz file of others gives a dict by name, an .npy a tensor; arrays of a dtype that
    tensors do not have (uint16, texts) stay NumPy arrays.

    `map_location` says where tensors go: a device, a dict from saved to new ones, or a function of (tensor, saved
    device) that returns the tensor on its device; None: where they were saved. With `mmap` a path is mapped
    copy-on-write, not read. Raises CheckpointError (a RuntimeError) for a damaged or unknown file,
    pickle.UnpicklingError for content that is not allowed, FileNotFoundError; RuntimeError for a device that is not
    there.
    """
    if pickle_module is not None:
        raise RuntimeError("load: no pickle module is used; nothing in a file is run")
    builder = _TensorBuilder(map_location)
    with Source(f) as source, ModeContext(grad=False, inference=MODE.get().inference):
        return _load(source, builder, bool(mmap))


def _load(source: Source, builder: _TensorBuilder, mmap: bool) -> Any:
    start = source.read_at(0, 16)
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _load_zip(source, builder, mmap)
    if start.startswith(_npz.NPY_START):
        return builder.from_array(_npz.read_npy(source, mmap=mmap))
    if _safetensors.looks_like(start):
        return _load_safetensors(Reader(source, mmap=mmap), source, builder)
    if start.startswith(LEGACY_START) or (start[:1] == b"\x80" and start[1:2] <= b"\x05"):
        if mmap:
            raise RuntimeError(f"load: {source.name} is in PyTorch's format before 1.6, which cannot be mapped")
        return read_legacy(source, builder)
    if source.size < 9:
        source.fail("is cut short", expected=_KNOWN, actual=f"{source.size} bytes")
    if source.read_at(257, 5) == b"ustar":
        source.fail("is a tar archive", expected=_KNOWN, help="save it again with a later PyTorch")
    source.fail("is damaged or no checkpoint", expected=_KNOWN, actual=f"a file that begins with {start!r}")


def _load_zip(source: Source, builder: _TensorBuilder, mmap: bool) -> Any:
    try:
        archive = zipfile.ZipFile(source.file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        source.fail(f"is a zip archive that is cut short or damaged: {error}")
    names = archive.namelist()
    folders = [n.removesuffix("/data.pkl") for n in names if n.endswith("/data.pkl") and n.count("/") == 1]
    if folders:
        return read_zip(source, archive, folders[0], builder, mmap=mmap)
    if _npz.is_npz(archive):
        arrays = _npz.read_npz(source, archive)
        return {name: builder.from_array(array) for name, array in arrays.items()}
    source.fail("is a zip archive of something else", expected=_KNOWN, actual=f"{names[:5]}")


def _load_safetensors(reader: Reader, source: Source, builder: _TensorBuilder) -> Any:
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
    source.fail("was written by a later minigrad", expected=f"version {TREE_VERSION}", actual=tree["version"])


class _Leaves:
    """Makes the tensors that a tree names, each memory read and placed once."""

    def __init__(self, reader: Reader, builder: _TensorBuilder):
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


@export("io.load_file")
def load_file(filename: Any, device: Any = "cpu") -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on `device`; as safetensors.torch.load_file.

    The notes that `save` adds (structure, shared memory) are passed over. Errors as `load`.
    """
    builder = _TensorBuilder(device)
    with Source(filename) as source:
        reader = Reader(source)
        return {name: builder.from_array(reader.array(name)) for name in reader.names}


@export("io.load_metadata")
def load_metadata(filename: Any) -> dict[str, str]:
    """The texts that were given to `save_file` as metadata."""
    with Source(filename) as source:
        metadata = Reader(source).metadata
    return {key: text for key, text in metadata.items() if not key.startswith(_RESERVED)}


# ---------------------------------------------------------------- tensors on their devices
class _TensorBuilder(Builder):
    """Arrays to Tensors, placed as `map_location` says."""

    tensor_type = Tensor

    def __init__(self, map_location: MapLocation = None):
        if not (map_location is None or isinstance(map_location, (str, device, dict)) or callable(map_location)):
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
        return wrap(array, requires_grad and (array.dtype.kind in "fc" or array.dtype == BF16))

    def parameter(self, tensor: Any, requires_grad: bool) -> Any:
        kind = get_symbol_from_name("nn.Parameter")
        return wrap(tensor._data, requires_grad) if kind is None else make(kind, tensor._data, requires_grad)

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


def _has_tensors(dtype: np.dtype) -> bool:
    try:
        from_numpy_dtype(dtype)
    except TypeError:
        return False
    return True
