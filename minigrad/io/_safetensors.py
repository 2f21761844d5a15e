"""safetensors, at the level of arrays: a JSON header that names dtype, shape and place, then the
bytes.

    8 bytes     n, the length of the header, little-endian
    n bytes     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
                 "__metadata__": {...}}
    the rest    the tensors, row-major, little-endian, one after the other without holes

Files are written by the package safetensors. They are read here: the package's NumPy reader copies
every tensor (no mapping), has no bfloat16 for bytes in memory, and its errors do not tell a
truncated file from a damaged one.

Two notes in the metadata are minigrad's own, and other readers pass over them: which tensors are
complex (the format has no complex128; they are stored as reals with a last dimension of 2), and
CRC-32 checksums, of each tensor and of the metadata, for the format itself cannot tell a flipped
bit from a weight.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import zlib
from typing import Any

import numpy as np

from .. import errors
from ..backend.dtypes import bfloat16, numpy_dtype
from ._files import Source, as_bytes, checksum, write_whole

COMPLEX_NOTE, CHECKSUM_NOTE = "minigrad.complex", "minigrad.crc32"
MAX_HEADER = 100_000_000  # the format's own limit

_DTYPES: dict[str, str] = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "BOOL": "bool", "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
_WRITABLE = frozenset(_DTYPES.values()) - {"complex64"}
_REAL = {"complex64": np.dtype(np.float32), "complex128": np.dtype(np.float64)}


def looks_like(start: bytes) -> bool:
    """Whether a file that begins with these bytes is meant to be safetensors."""
    return (
        len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= MAX_HEADER
    )


# ---------------------------------------------------------------- writing
def write(f: Any, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write named arrays and texts to a path (replaced whole) or to an open binary file.

    ImportError without the package safetensors; TypeError for a dtype that the format does not
    have; ValueError if the names and texts need more than the 100 MB that a header may have.
    Nothing is written before those checks.
    """
    try:
        from safetensors import numpy as safetensors
    except ImportError:
        raise errors.missing_package("save", "safetensors") from None
    stored, complex_names = {}, {}
    for name, array in arrays.items():
        stored[name] = _storable(name, array)
        if array.dtype.kind == "c":
            complex_names[name] = array.dtype.name
    metadata = dict(metadata)
    if complex_names:
        metadata[COMPLEX_NOTE] = json.dumps(complex_names)
    metadata[CHECKSUM_NOTE] = _checksum_note(stored, metadata)
    _check_header_size(stored, metadata)
    write_whole(
        f,
        lambda path: safetensors.save_file(stored, path, metadata),
        lambda file: file.write(safetensors.save(stored, metadata)),
    )


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    """The array as the format keeps it: row-major, native (the package swaps), real."""
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array = np.asarray(array, order="C")
    real = _REAL.get(array.dtype.name)
    if real is not None:
        return array.reshape(-1).view(real).reshape(*array.shape, 2)
    if array.dtype.name not in _WRITABLE:
        raise TypeError(f"save: '{name}' has dtype {array.dtype}, which safetensors cannot store")
    return array


def _checksum_note(stored: dict[str, np.ndarray], metadata: dict[str, str]) -> str:
    tensors = {name: _tensor_checksum(array) for name, array in stored.items()}
    return json.dumps({"metadata": _text_checksum(metadata), "tensors": tensors})


def _tensor_checksum(array: np.ndarray) -> int:
    """Of the bytes, and of what gives them a meaning."""
    meaning = f"{array.dtype.name} {list(array.shape)}".encode()
    return checksum(array, zlib.crc32(meaning))


def _text_checksum(metadata: dict[str, str]) -> int:
    texts = sorted((k, v) for k, v in metadata.items() if k != CHECKSUM_NOTE)
    return zlib.crc32(json.dumps(texts).encode())


def _check_header_size(stored: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """An upper bound: a header too large fails before it is written, not when it is read."""
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    size += sum(len(name.encode()) * 2 + 24 * array.ndim + 100 for name, array in stored.items())
    if size > MAX_HEADER:
        raise ValueError(
            errors.message(
                "save", "too much that is not in tensors",
                expected=f"at most {MAX_HEADER} bytes of names, numbers and strings",
                actual=f"about {size}", help="make tensors of long lists of numbers",
            )
        )  # fmt: skip


# ---------------------------------------------------------------- reading
class Reader:
    """An open safetensors file: `.metadata`, `.names` and `.array(name)`, which reads one tensor.

    The header is checked when the reader is made, the checksum of a tensor when it is read (where
    the file has checksums; a mapped file is not read through for it). CheckpointError says what
    does not fit.
    """

    def __init__(self, source: Source, *, mmap: bool = False):
        self._source = source
        header, self._start = _read_header(source)
        self.metadata = _checked_metadata(source, header.pop("__metadata__", {}))
        self._places = {name: _place(source, name, entry) for name, entry in header.items()}
        _check_layout(source, self._places, source.size - self._start)
        self._complex = _note(source, self.metadata, COMPLEX_NOTE)
        sums = _note(source, self.metadata, CHECKSUM_NOTE)
        self._checksums: dict[str, int] = sums.get("tensors", {})
        if sums and sums.get("metadata") != _text_checksum(self.metadata):
            source.fail("is damaged: the checksum of its metadata does not fit")
        self._mapped = source.mapped() if mmap else None

    @property
    def names(self) -> list[str]:
        """The names of the tensors, in the order of the header."""
        return list(self._places)

    def array(self, name: str) -> np.ndarray:
        """One tensor, as an array of its own (or, mapped, as a copy-on-write view of the file)."""
        code, shape, begin, end = self._places[name]
        dtype = _dtype(code)
        at = self._start + begin
        try:
            if self._mapped is None:
                flat = np.empty((end - begin) // dtype.itemsize, dtype)
                self._source.read_into(at, as_bytes(flat))
            else:
                flat = self._mapped[at : at + end - begin]
                # some kernels need aligned elements; files of other writers may have none
                flat = (flat if at % dtype.itemsize == 0 else flat.copy()).view(dtype)
            array = _native(flat).reshape(shape)
        except ValueError as error:
            self._source.fail(f"is damaged: tensor '{name}' of shape {shape}: {error}")
        if self._mapped is None and name in self._checksums:
            if _tensor_checksum(array) != self._checksums[name]:
                self._source.fail(f"is damaged: the checksum of tensor '{name}' does not fit")
        return self._as_complex(name, array) if name in self._complex else array

    def _as_complex(self, name: str, array: np.ndarray) -> np.ndarray:
        dtype = self._complex[name]
        if _REAL.get(dtype) != array.dtype or array.shape[-1:] != (2,):
            self._source.fail(
                f"is damaged: tensor '{name}' is noted as {dtype}",
                expected=f"{_REAL.get(dtype)} with a last dimension of 2",
                actual=f"{array.dtype} of shape {array.shape}",
            )
        return array.reshape(-1).view(dtype).reshape(array.shape[:-1])


def _read_header(source: Source) -> tuple[dict[str, Any], int]:
    """The header, and where the data begin."""
    if source.size < 8:
        source.fail("is cut short", expected="a header of 8 bytes or more", actual=f"{source.size}")
    (length,) = struct.unpack("<Q", source.read_at(0, 8))
    if length > MAX_HEADER:
        source.fail(
            "is damaged or no safetensors file: the length of its header",
            expected=f"at most {MAX_HEADER}", actual=length,
        )  # fmt: skip
    if 8 + length > source.size:
        source.fail(
            "is cut short inside its header",
            expected=f"{8 + length} bytes or more", actual=f"{source.size}",
        )  # fmt: skip
    try:
        header = json.loads(source.read_at(8, length).decode())
    except (ValueError, RecursionError) as error:
        source.fail(f"is damaged: its header is not JSON ({error})")
    if not isinstance(header, dict):
        source.fail(
            "is damaged: its header", expected="a JSON object", actual=type(header).__name__
        )
    return header, 8 + length


def _checked_metadata(source: Source, metadata: Any) -> dict[str, str]:
    if isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()):
        return metadata
    source.fail("is damaged: its metadata", expected="texts by name", actual=str(metadata)[:80])


def _place(source: Source, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """(dtype code, shape, begin, end) of one entry of the header, checked by itself."""
    try:
        code, shape = entry["dtype"], tuple(entry["shape"])
        begin, end = entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        source.fail(f"is damaged: its header describes tensor '{name}' as {str(entry)[:80]}")
    if not isinstance(code, str) or not all(_is_count(n) for n in (*shape, begin, end)):
        source.fail(f"is damaged: its header describes tensor '{name}' as {str(entry)[:80]}")
    if code not in _DTYPES:
        source.fail(
            f"has tensor '{name}' of dtype {code[:20]}", expected=f"one of {', '.join(_DTYPES)}"
        )
    size = math.prod(shape) * _itemsize(code)
    if end - begin != size:
        source.fail(
            f"is damaged: tensor '{name}' of dtype {code} and shape {list(shape)}",
            expected=f"{size} bytes", actual=f"the place {begin} to {end}",
        )  # fmt: skip
    return code, shape, begin, end


def _check_layout(source: Source, places: dict[str, Any], available: int) -> None:
    """Tensors follow each other without holes or overlaps, and fill the file."""
    position = 0
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin != position:
            source.fail(
                f"is damaged: tensor '{name}' begins", expected=f"byte {position}", actual=begin
            )
        position = end
    if position != available:
        source.fail(
            "is cut short" if position > available else "has bytes after its last tensor",
            expected=f"{position} bytes of tensors", actual=f"{available}",
        )  # fmt: skip


def _note(source: Source, metadata: dict[str, str], key: str) -> dict[str, Any]:
    try:
        note = json.loads(metadata.get(key, "{}"))
    except (ValueError, RecursionError):
        note = None
    if not isinstance(note, dict):
        source.fail(f"is damaged: its note '{key}' is not a JSON object")
    return note


def _is_count(n: Any) -> bool:
    return type(n) is int and n >= 0


def _itemsize(code: str) -> int:
    return 1 if code == "BOOL" else int("".join(filter(str.isdigit, code.split("_")[0]))) // 8


def _dtype(code: str) -> np.dtype:
    name = _DTYPES[code]
    if name == "bfloat16":
        return numpy_dtype(bfloat16)
    if not name.startswith("float8"):
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError:
        raise errors.missing_package(f"dtype {name}", "ml_dtypes") from None
    return np.dtype(getattr(ml_dtypes, name))


def _native(flat: np.ndarray) -> np.ndarray:
    """Little-endian bytes in this machine's order."""
    if sys.byteorder == "little" or flat.itemsize == 1:
        return flat
    parts = flat.view(f"u{flat.itemsize // (2 if flat.dtype.kind == 'c' else 1)}")
    return parts.byteswap().view(flat.dtype)
