"""Memory on GPUs: CuPy's pool gives it, and here it is counted, and explained when there is none.

CuPy is told to ask `allocate` for every array's memory. What a block is for is found out when it is
wanted, for a summary or for the message of an out-of-memory error: the largest tensors that are
alive, and where they were made if `_record_memory_history` is on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ..export import export

_PACKAGE = __name__.partition(".")[0]


@export("cuda.OutOfMemoryError", "OutOfMemoryError")
class OutOfMemoryError(RuntimeError):
    """The GPU has no memory left. The message says how much was wanted, what is in use, and which
    tensors are the largest.
    """


class Counts:
    """Bytes and blocks of one GPU: now, at most, and in all."""

    def __init__(self) -> None:
        self.bytes = self.blocks = self.peak_bytes = self.peak_blocks = 0
        self.bytes_given = self.blocks_given = self.peak_reserved = 0
        self.retries = self.failures = 0

    def take(self, size: int) -> None:
        self.bytes += size
        self.blocks += 1
        self.bytes_given += size
        self.blocks_given += 1
        self.peak_bytes = max(self.peak_bytes, self.bytes)
        self.peak_blocks = max(self.peak_blocks, self.blocks)


_lock = threading.RLock()
_counts: dict[int, Counts] = {}
_live: dict[int, tuple[int, int, str]] = {}
"""By address: device, bytes, and where the block was asked for. Read from a copy: what is collected
meanwhile takes its blocks out.
"""
_recording = False
describe: Callable[[], list[tuple[int, int, str]]] = list
"""(address, bytes, what it is) of all arrays on GPUs that are known of: core/live.py gives it."""


def counts(index: int) -> Counts:
    """The numbers of a GPU."""
    return _counts.setdefault(index, Counts())


class _Held:
    """A block of the pool's, as long as an array has it."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any):
        self.inner = inner
        with _lock:
            size, index = inner.mem.size, inner.device_id
            counts(index).take(size)
            _live[inner.ptr] = index, size, _caller() if _recording else ""

    def __del__(self) -> None:
        with _lock:
            found = _live.pop(self.inner.ptr, None)
            if found is not None:
                known = counts(found[0])
                known.bytes -= found[1]
                known.blocks -= 1


def _caller() -> str:
    """The line of the program that is running, outside of this package and of CuPy."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if name not in (_PACKAGE, "cupy"):
            return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def counted(malloc: Callable[[int], Any], cupy: Any) -> Callable[[int], Any]:
    """An allocator for CuPy: `malloc` of a pool, with its blocks counted.

    If there is no memory, garbage is collected and what the common pool keeps is given back, and it
    is asked again.
    """
    memory = cupy.cuda.memory

    def allocate(size: int) -> Any:
        try:
            inner = malloc(size)
        except memory.OutOfMemoryError:
            inner = _again(malloc, size, cupy)
        if size <= 0:
            return inner
        held = cupy.cuda.UnownedMemory(inner.ptr, inner.mem.size, _Held(inner), inner.device_id)
        return cupy.cuda.MemoryPointer(held, 0)

    return allocate


def _again(malloc: Callable[[int], Any], size: int, cupy: Any) -> Any:
    import gc

    index = cupy.cuda.Device().id
    counts(index).retries += 1
    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    try:
        return malloc(size)
    except cupy.cuda.memory.OutOfMemoryError:
        counts(index).failures += 1
        raise OutOfMemoryError(_message(size, index, cupy)) from None


def install(cupy: Any) -> None:
    """Let CuPy ask here for memory."""
    cupy.cuda.set_allocator(counted(cupy.get_default_memory_pool().malloc, cupy))


# ------------------------------------------------------------ words
def text(size: float) -> str:
    """Bytes as PyTorch writes them: 512 bytes, 20.00 MiB, 1.50 GiB."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size} bytes" if unit == "bytes" else f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _message(size: int, index: int, cupy: Any) -> str:
    free, total = cupy.cuda.runtime.memGetInfo()
    used, pool = counts(index).bytes, cupy.get_default_memory_pool()
    unused = max(0, pool.total_bytes() - pool.used_bytes())
    lines = [
        f"CUDA out of memory. Tried to allocate {text(size)}. GPU {index} has a total capacity of "
        f"{text(total)} of which {text(free)} is free. Of the allocated memory {text(used)} is "
        f"allocated by {_PACKAGE}, and {text(unused)} is reserved by {_PACKAGE} but unallocated."
    ]
    return "\n".join([*lines, *_largest(index, 10)])


def _largest(index: int, most: int) -> list[str]:
    """Lines that name the largest blocks, what they are and where they were made."""
    known: dict[int, str] = {}
    for address, _, what in describe():
        known[address] = f"{known[address]}; {what}" if address in known else what
    blocks = sorted(
        [
            (size, address, where)
            for address, (i, size, where) in _live.copy().items()
            if i == index
        ],
        reverse=True,
    )
    lines = [f"  the {min(most, len(blocks))} largest of {len(blocks)} blocks:"] if blocks else []
    for size, address, where in blocks[:most]:
        what = known.get(address, "memory that no tensor refers to (a result being computed, ...)")
        lines.append(f"    {text(size):>12}  {what}" + (f", made at {where}" if where else ""))
    return lines


def summary(index: int, reserved: int) -> str:
    """A table of the numbers, and the largest blocks."""
    known = counts(index)
    rows = [
        ("Allocated memory", text(known.bytes), text(known.peak_bytes), text(known.bytes_given)),
        ("Reserved memory", text(reserved), text(max(known.peak_reserved, reserved)), ""),
        ("Blocks", known.blocks, known.peak_blocks, known.blocks_given),
    ]
    head = f"GPU {index}: out of memory {known.failures} times, asked again {known.retries} times"
    titles = ("", "now", "at most", "in all")
    lines = ["{:<18} {:>14} {:>14} {:>14}".format(*map(str, r)).rstrip() for r in (titles, *rows)]
    return "\n".join([head, *lines, *_largest(index, 10)])


@export("cuda.memory._record_memory_history")
def _record_memory_history(enabled: Any = "all", *args: Any, **kwargs: Any) -> None:
    """From now on, note the line of the program that asks for a block; None stops it. Costs a walk
    up the stack for each.
    """
    global _recording
    _recording = enabled is not None and enabled is not False


def blocks(index: int | None = None) -> list[dict[str, Any]]:
    """All blocks in use: device, address, size, and where they were made."""
    return [
        {"device": i, "address": address, "size": size, "frames": [where] if where else []}
        for address, (i, size, where) in sorted(_live.copy().items())
        if index is None or i == index
    ]
