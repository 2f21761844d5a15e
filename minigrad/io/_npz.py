"""NumPy's own files: .npy (one array) and .npz (a zip archive of arrays). No pickles."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ._files import CheckpointError, Source, write_whole

NPY_START = b"\x93NUMPY"
_SUFFIX = ".npy"
# what zipfile raises on archives that lie (RuntimeError: encrypted; OSError: its packed data)
DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OSError)
DAMAGED += (NotImplementedError, RuntimeError)


def is_npz(archive: zipfile.ZipFile) -> bool:
    """Whether a zip archive holds arrays and nothing else (none at all: np.savez of nothing)."""
    return all(name.endswith(_SUFFIX) for name in archive.namelist())


def read_npz(source: Source, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """All arrays of an .npz, by name."""
    arrays = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(_SUFFIX)
        try:
            with archive.open(info) as stream:
                arrays[name] = _read_array(source, stream, f"array '{name}'")
                stream.read()  # to the end, where the checksum is compared
        except CheckpointError:
            raise
        except DAMAGED as error:
            source.fail(f"is damaged: array '{name}': {error}")
    return arrays


def read_npy(source: Source, *, mmap: bool = False) -> np.ndarray:
    """The array of an .npy, or its file mapped copy-on-write."""
    if not mmap:
        source.file.seek(0)
        return _read_array(source, source.file, "its array")
    source.mapped()  # ValueError if it is no path
    try:
        return np.asarray(np.load(str(source.path), mmap_mode="c", allow_pickle=False))
    except ValueError as error:
        raise _explained(source, "its array", error) from error


def _read_array(source: Source, stream: Any, what: str) -> np.ndarray:
    try:
        return npy.read_array(stream, allow_pickle=False)
    except (ValueError, EOFError, SyntaxError, TypeError, RecursionError) as error:
        raise _explained(source, what, error) from error


def _explained(source: Source, what: str, error: Exception) -> Exception:
    if "allow_pickle" in str(error) or "Python objects" in str(error):
        return pickle.UnpicklingError(
            f"load: {source.name} contains Python objects ({what}), which is not allowed: "
            "only arrays of numbers and texts are read, and nothing in a file is run"
        )
    try:
        source.fail(f"is cut short or damaged: {what}: {error}")
    except RuntimeError as failure:
        return failure


def write(f: Any, arrays: dict[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write arrays to a path (replaced whole) or to an open binary file; `compressed` packs them.

    TypeError for a dtype that NumPy's files do not have (bfloat16, objects).
    """
    for name, array in arrays.items():
        if array.dtype.hasobject or array.dtype.kind == "V":
            raise TypeError(
                f"save_npz: '{name}' has dtype {array.dtype}, which .npz files do not have\n"
                "  help: convert it (.float()), or use minigrad.save"
            )
    write_whole(
        f,
        lambda path: _write_archive(path, arrays, compressed),
        lambda file: _write_archive(file, arrays, compressed),
        "save_npz",
    )


def _write_archive(f: Any, arrays: dict[str, np.ndarray], compressed: bool) -> None:
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(f, "w", method, allowZip64=True) as archive:
        for name, array in arrays.items():
            # a date of its own would make equal arrays give different files
            info = zipfile.ZipInfo(name + _SUFFIX)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as stream:
                npy.write_array(stream, np.asarray(array), allow_pickle=False)
