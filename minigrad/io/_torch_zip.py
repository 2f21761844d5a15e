"""PyTorch's checkpoint files: the zip archive of torch.save, and the sequence of pickles it wrote
before 1.6.

A zip archive holds one folder with

    data.pkl      the object, a pickle whose tensors refer to storages by key
    data/0, ...   the storages' bytes
    byteorder     "little" or "big"; little if it is missing
    version, ...  not needed

The older file is: a magic number, a version, facts about the machine, the object, the list of keys
(five pickles), and for each key the number of elements and their bytes, always little-endian.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from typing import Any

import numpy as np

from ._files import Source, as_bytes, checksum
from ._npz import DAMAGED
from ._torch import Builder, Names, Storage, StorageType, swap_bytes
from ._unpickle import Machine, check_result, refused

MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
LEGACY_VERSION = 1001


class Archive:
    """The records of a torch zip archive below its folder, and where each lies in the file."""

    def __init__(self, source: Source, archive: zipfile.ZipFile, folder: str, mmap: bool = False):
        self.source = source
        self._zip = archive
        self._folder = folder
        self._mapped = source.mapped() if mmap else None

    def has(self, record: str) -> bool:
        return f"{self._folder}/{record}" in self._zip.NameToInfo

    def read(self, record: str) -> bytes:
        return self.array(record, mapped=False).tobytes()

    def array(self, record: str, mapped: bool = True) -> np.ndarray:
        """A record's bytes as a uint8 array of its own, or mapped where the archive is."""
        info = self._zip.NameToInfo.get(f"{self._folder}/{record}")
        if info is None:
            self.source.fail(f"is damaged: it has no record '{self._folder}/{record}'")
        if info.compress_type != zipfile.ZIP_STORED:
            return self._decompressed(info)
        begin = self._begin(info)
        if begin + info.file_size > self.source.size:
            self.source.fail(
                f"is cut short inside record '{info.filename}'",
                expected=f"{info.file_size} bytes", actual=self.source.size - begin,
            )  # fmt: skip
        if mapped and self._mapped is not None and info.file_size:
            data = self._mapped[begin : begin + info.file_size]
            return data if begin % 16 == 0 else data.copy()
        data = np.empty(info.file_size, np.uint8)
        self.source.read_into(begin, data)
        # torch.serialization.set_crc32_options(False) writes zeros
        if info.CRC and checksum(data) != info.CRC:
            self.source.fail(f"is damaged: the checksum of record '{info.filename}' does not fit")
        return data

    def _begin(self, info: zipfile.ZipInfo) -> int:
        """Where a record's bytes begin: after a local header of 30 bytes, the name, and padding."""
        header = self.source.read_at(info.header_offset, 30)
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            self.source.fail(f"is damaged: record '{info.filename}' is not where the index says")
        name, extra = struct.unpack("<HH", header[26:30])
        return info.header_offset + 30 + name + extra

    def _decompressed(self, info: zipfile.ZipInfo) -> np.ndarray:
        """An archive that was packed again by another program."""
        try:
            with self._zip.open(info) as stream:
                return np.frombuffer(bytearray(stream.read()), np.uint8)
        except DAMAGED as error:
            self.source.fail(f"is damaged: record '{info.filename}': {error}")


def read_zip(
    source: Source, archive: zipfile.ZipFile, folder: str, builder: Builder, *, mmap: bool = False
) -> Any:
    """The object in a torch zip archive; its tensors are made by `builder`."""
    records = Archive(source, archive, folder, mmap)
    if records.has("constants.pkl"):
        raise refused(source, "a TorchScript program (torch.jit.save)")
    order = (
        records.read("byteorder").decode("ascii", "replace")
        if records.has("byteorder")
        else "little"
    )
    if order not in ("little", "big"):
        source.fail("is damaged: its byte order", expected="little or big", actual=repr(order))
    storages: dict[Any, Storage] = {}

    def storage(identity: Any) -> Storage:
        dtype, key, location, count = _storage_identity(source, identity)[:4]
        found = storages.get(key)
        if found is None:
            data = records.array(f"data/{key}")
            _check_storage(source, key, count, dtype, data.size)
            swapped = order == sys.byteorder
            if not swapped and dtype is not None:
                data, swapped = swap_bytes(data, dtype), True
            found = storages[key] = Storage(builder.place(data, location), dtype, swapped)
        return _as_type(found, dtype)

    names = Names(source, builder)
    machine = Machine(source, io.BytesIO(records.read("data.pkl")), names, storage)
    return check_result(source, machine.load(), builder.tensor_type)


def _storage_identity(source: Source, identity: Any) -> tuple[np.dtype | None, str, str, int, Any]:
    """(dtype, key, location, count, view) of a persistent id, checked."""
    if type(identity) is not tuple or identity[:1] != ("storage",):
        kind = identity[0] if type(identity) is tuple and identity else identity
        if kind == "module":
            raise refused(source, "the source code of a module")
        source.fail("is damaged: a reference to a storage", actual=repr(identity)[:80])
    _, kind, key, location, count, *view = identity
    if not isinstance(kind, StorageType) or not isinstance(location, str):
        source.fail("is damaged: a reference to a storage", actual=repr(identity)[:80])
    if type(count) is not int or count < 0 or not isinstance(key, (str, int)):
        source.fail("is damaged: a reference to a storage", actual=repr(identity)[:80])
    return kind.dtype, str(key), location, count, view[0] if view else None


def _check_storage(source: Source, key: Any, count: int, dtype: Any, available: int) -> None:
    size = count * (1 if dtype is None else dtype.itemsize)
    if size > available:
        source.fail(
            f"is damaged: storage {key}", expected=f"{size} bytes", actual=f"{available}"
        )  # fmt: skip


def _as_type(storage: Storage, dtype: np.dtype | None) -> Storage:
    """The same memory under the type of this reference."""
    return storage if storage.dtype == dtype else Storage(storage.data, dtype, storage.swapped)


# ---------------------------------------------------------------- before 1.6
def read_legacy(source: Source, builder: Builder) -> Any:
    """The object in a file written by torch.save before 1.6 (or with the zip format turned off).

    The storages' bytes come after the object, whose tensors need them (to move them to a device,
    for one): so the object is read twice, first for the storages that it names.
    """
    file = _Bounded(source)
    kinds: dict[str, tuple[np.dtype, str]] = {}
    filled: dict[str, np.ndarray] = {}
    placed: dict[str, Storage] = {}

    def announce(identity: Any) -> Storage:
        dtype, key, location, count, view = _storage_identity(source, identity)
        dtype = np.dtype(np.uint8) if dtype is None else dtype
        _check_storage(source, key, count, dtype, source.size)
        if key not in filled:
            filled[key] = np.empty(count * dtype.itemsize, np.uint8)  # no memory until it is filled
            kinds[key] = dtype, location
        return _legacy_view(Storage(filled[key], dtype, True), view)

    def use(identity: Any) -> Storage:
        dtype, key, _, _, view = _storage_identity(source, identity)
        if key not in placed:
            dtype, location = kinds[key]
            placed[key] = Storage(builder.place(filled[key], location), dtype, True)
        return _legacy_view(placed[key], view)

    plain = Builder()
    _check_preamble(source, Machine(source, file, Names(source, plain), announce))
    begin = source.file.tell()
    Machine(source, file, Names(source, plain), announce).load()
    keys = Machine(source, file, Names(source, plain), announce).load()
    _fill(source, keys, kinds, filled)
    source.file.seek(begin)
    result = Machine(source, file, Names(source, builder), use).load()
    return check_result(source, result, builder.tensor_type)


def _check_preamble(source: Source, machine: Machine) -> None:
    if machine.load() != MAGIC:
        raise pickle.UnpicklingError(
            f"load: {source.name} is a pickle, but none of torch.save\n"
            "  help: pickles that may run code are not read; save with minigrad.save or torch.save"
        )
    version, facts = machine.load(), machine.load()
    if version != LEGACY_VERSION or not isinstance(facts, dict):
        source.fail("is damaged: its version", expected=LEGACY_VERSION, actual=repr(version)[:40])


def _legacy_view(storage: Storage, view: Any) -> Storage:
    """A storage that was a stretch of another one: (key, offset, count), in elements."""
    if view is None:
        return storage
    _, offset, count = view
    size = 1 if storage.dtype is None else storage.dtype.itemsize
    if min(offset, count) < 0 or (offset + count) * size > storage.data.size:
        raise ValueError(f"a view of {count} elements from {offset} of a storage")
    return Storage(storage.data[offset * size : (offset + count) * size], storage.dtype, True)


def _fill(source: Source, keys: Any, kinds: dict[str, Any], filled: dict[str, np.ndarray]) -> None:
    """Read the storages that follow the pickles, in the order of `keys`."""
    position = source.file.tell()
    if not isinstance(keys, list) or {str(key) for key in keys} != set(filled):
        source.fail(
            "is damaged: its list of storages", expected=f"{sorted(filled)}", actual=str(keys)[:80]
        )
    for key in map(str, keys):
        head, data, dtype = source.read_at(position, 8), filled[key], kinds[key][0]
        count = struct.unpack("<q", head)[0] if len(head) == 8 else -1
        if count * dtype.itemsize != data.size or position + 8 + data.size > source.size:
            source.fail(
                f"is cut short or damaged: storage {key}",
                expected=f"{data.size // dtype.itemsize} elements", actual=count,
            )  # fmt: skip
        source.read_into(position + 8, data)
        if sys.byteorder == "big":
            data[...] = swap_bytes(data, dtype)
        position += 8 + as_bytes(data).size


class _Bounded:
    """A file that is never asked for more than it has: a damaged length must claim no memory."""

    def __init__(self, source: Source):
        self._file = source.file
        self._size = source.size
        self._file.seek(0)

    def read(self, count: int) -> bytes:
        return self._file.read(max(0, min(count, self._size - self._file.tell())))

    def readline(self) -> bytes:
        return self._file.readline()

    def tell(self) -> int:
        return self._file.tell()
