"""Files: written whole or not at all, read at any offset, with errors that say what was found.

A checkpoint is worth most just after the program that wrote it was killed. So nothing is ever
written over an existing file: the new bytes go to a temporary file next to it, are forced to the
disk, and take the name in one step (`os.replace`, atomic on POSIX and Windows). Whoever still maps
the old file keeps the old bytes.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from .. import errors
from ..export import export


@export("io.CheckpointError")
class CheckpointError(RuntimeError):
    """A file that is damaged, cut short or no checkpoint; says what was expected and found."""


class Source:
    """The bytes of a checkpoint, at any offset: of a path, a binary file, or the rest of a stream.

    AttributeError (as PyTorch) if `f` is neither a path nor has a `read` method.
    """

    def __init__(self, f: Any):
        self.path: str | None = None
        self._opened = False
        if isinstance(f, (str, bytes, os.PathLike)):
            self.path = os.fsdecode(f)
            self.name = f"'{self.path}'"
            self.file: Any = open(self.path, "rb")
            self._opened = True
        else:
            self.name = f"<{type(f).__name__}>"
            self.file = _seekable(f)
        self.size: int = self.file.seek(0, os.SEEK_END)
        self.file.seek(0)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._opened:
            self.file.close()

    def fail(self, problem: str, **parts: Any) -> NoReturn:
        """Raise CheckpointError; `parts` (expected, actual, help) as in `errors.message`."""
        raise CheckpointError(errors.message("load", f"{self.name} {problem}", **parts))

    def read_at(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`; fewer where the file does not have them."""
        if not 0 <= offset < self.size:
            return b""
        self.file.seek(offset)
        return self.file.read(min(count, self.size - offset))

    def read_into(self, offset: int, target: Any) -> None:
        """Fill a one-dimensional uint8 array from `offset`."""
        self.file.seek(offset)
        view, done = memoryview(target), 0
        while done < len(view):
            got = self.file.readinto(view[done:])
            if not got:
                self.fail("ended while it was read", expected=f"{len(view)} bytes", actual=done)
            done += got

    def mapped(self) -> np.ndarray:
        """The whole file as uint8, mapped copy-on-write: read when touched, never written back."""
        if self.path is None:
            raise ValueError(
                "load: f must be a file path in order to use the mmap argument, "
                f"but got {self.name}"
            )
        return np.asarray(np.memmap(self.path, np.uint8, mode="c"))


def _seekable(f: Any) -> Any:
    """`f` itself if offsets can be read from it as they are, or else its remaining bytes."""
    if isinstance(f, (io.BytesIO, io.BufferedReader, io.BufferedRandom, io.FileIO)):
        if f.seekable() and f.tell() == 0:
            return f
    read = getattr(f, "read", None)
    if read is None:
        raise AttributeError(
            f"load: expected a path or an open binary file, but got {type(f).__name__}"
        )
    data = read()
    if not isinstance(data, (bytes, bytearray)):
        raise TypeError(
            f"load: {type(f).__name__}.read() gave {type(data).__name__}, not bytes\n"
            "  help: open the file in binary mode, open(path, 'rb')"
        )
    return io.BytesIO(data)


def checksum(array: np.ndarray, start: int = 0) -> int:
    """CRC-32 of the array's bytes; it must be contiguous."""
    return zlib.crc32(as_bytes(array), start)


def as_bytes(array: np.ndarray) -> Any:
    """A contiguous array's memory as uint8 (memoryview knows no bfloat16)."""
    return array.reshape(-1).view(np.uint8)


# ---------------------------------------------------------------- writing
def write_whole(
    f: Any, to_path: Callable[[str], None], to_file: Callable[[Any], None], op: str = "save"
) -> None:
    """Write a path whole or not at all, by `to_path`, or an open binary file by `to_file`.

    What is no regular file (a pipe, /dev/stdout) is opened and written, for want of a file to keep.
    AttributeError (as PyTorch) if `f` is neither a path nor has a `write` method.
    """
    if getattr(f, "write", None) is not None:
        to_file(f)
        return
    if not isinstance(f, (str, bytes, os.PathLike)):
        kind = type(f).__name__
        raise AttributeError(f"{op}: expected a path or a binary file to write, but got {kind}")
    target = os.path.realpath(os.fsdecode(f))
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(f))
    if os.path.exists(target) and not os.path.isfile(target):
        with open(target, "wb") as special:
            to_file(special)
        return
    with replacing(target) as temporary:
        to_path(temporary)


@contextlib.contextmanager
def replacing(target: str) -> Iterator[str]:
    """The name of a temporary file, which replaces `target` when the block ends without an error.

    A kill at any moment leaves the old or the new file whole, and at worst a folder with the
    temporary file, which the next save to the same path removes: it is a folder of our own, locked
    while its writer lives, because the writer may be a library that makes temporary files too. The
    old file's permissions are kept.
    """
    parent, prefix = os.path.dirname(target), f".minigrad-{zlib.crc32(os.fsencode(target)):08x}-"
    _remove_leftovers(parent, prefix)
    folder, lock = _make_folder(parent, prefix)
    try:
        temporary = os.path.join(folder, "new")
        with open(temporary, "xb") as empty:
            mode = stat.S_IMODE(os.fstat(empty.fileno()).st_mode)  # what the umask allows
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        if os.path.exists(target):
            mode = stat.S_IMODE(os.stat(target).st_mode)
        os.chmod(temporary, mode)
        os.replace(temporary, target)
        _sync_folder(parent)
    finally:
        _remove(folder)
        if lock is not None:
            os.close(lock)


def _make_folder(parent: str, prefix: str) -> tuple[str, int | None]:
    """A new folder, and what locks it as long as its writer lives (None: no locks here)."""
    while True:
        folder = os.path.join(parent, f"{prefix}{os.urandom(4).hex()}.tmp")
        os.mkdir(folder)
        # before it is locked, another process may take it for a leftover and remove it
        with contextlib.suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(folder)
            if lock is None or os.fstat(lock).st_nlink:
                return folder, lock
            os.close(lock)


def _remove_leftovers(parent: str, prefix: str) -> None:
    """Remove the temporary folders of writers that were killed: those that nobody holds locked."""
    for name in os.listdir(parent):
        if name.startswith(prefix) and name.endswith(".tmp"):
            folder = os.path.join(parent, name)
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                lock = _lock(folder)
                if lock is not None:
                    _remove(folder)
                    os.close(lock)


def _lock(folder: str) -> int | None:
    """Lock a folder without waiting; None where there are no locks. BlockingIOError: it is held."""
    if sys.platform == "win32":
        return None
    fcntl: Any = importlib.import_module("fcntl")
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _sync_folder(folder: str) -> None:
    """Force the new name to the disk: without it a power cut may bring the old file back."""
    if sys.platform == "win32":
        return  # there a folder cannot be opened
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise  # those three: the file system has no such operation
    finally:
        os.close(descriptor)


def _remove(folder: str) -> None:
    import shutil  # here, as `import minigrad` has to be quick

    shutil.rmtree(folder, ignore_errors=True)
