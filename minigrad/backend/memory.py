"""Large arrays without page faults, and at addresses that copy fast: what minigrad changes in the
process's allocator. MINIGRAD_MALLOC=off leaves it alone; elsewhere than on glibc nothing is done.

**Kept.** Memory of a large array that was just freed is what the next op needs. glibc gives it back
to the kernel at once and asks for it again, and every page of it is then zeroed and mapped on first
touch: on large elementwise ops that costs as much as the computing. `keep` tells glibc to hold on
to freed memory: blocks up to 32 MiB (more it does not allow) come from the heap rather than from
pages of their own, and the heap shrinks only when 256 MiB of it are unused. For the whole process.

**Aligned.** Blocks of the heap lie 16 bytes apart, so that an array of 2^k bytes and the next one
differ by 16 modulo the size of a page. That is the one distance at which `rep movsb`, memcpy's way
to copy some KiB, takes fifteen times as long on AMD's Zen 3 (docs/performance.md). `align` gives
NumPy an allocator (NEP 49) that starts large arrays at multiples of 64. For arrays that are made in
the thread that asks for it; each array remembers how it is to be freed.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from .. import config

_HEADER = object.__basicsize__  # of any object; an array's address comes next (PyArrayObject)
_word = ctypes.c_size_t.from_address


def address(x: Any) -> int:
    """Where a NumPy array's first element lies, read from the array object: `x.__array_interface__`
    and `x.ctypes` take six times as long to say it.
    """
    return _word(id(x) + _HEADER).value


MMAP_THRESHOLD, TRIM_THRESHOLD = 1 << 25, 1 << 28
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


def keep() -> bool:
    """Let glibc keep freed memory for the next array; False where there is no glibc."""
    if not _is_glibc():
        return False
    library = ctypes.CDLL(None)
    return bool(
        library.mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        and library.mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)
    )


def trim() -> None:
    """Give the system what `keep` holds back and nothing uses: after work that is done once."""
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    if sys.platform != "linux":
        return False
    try:
        _ = ctypes.CDLL(None).gnu_get_libc_version
    except AttributeError:
        return False
    return True


class _Allocator(ctypes.Structure):
    """NumPy's PyDataMemAllocator, and Python's PyMemAllocatorEx: the same five fields."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("ctx", "malloc", "calloc", "realloc", "free")]


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("allocator", _Allocator),
    ]


_RAW = 0  # PYMEM_DOMAIN_RAW
_SET_HANDLER = 304  # place of PyDataMem_SetHandler in NumPy's table of functions, since 1.22
_FOREVER: list[Any] = []  # arrays refer to their handler as long as they live


def align(allocate: int) -> bool:
    """Let NumPy get the memory of new arrays from the C function (ctx, size) -> pointer at this
    address, which `free` must accept; False where that is switched off or not possible.
    """
    raw = _Allocator()
    ctypes.pythonapi.PyMem_GetAllocator(_RAW, ctypes.byref(raw))
    if config.malloc != "auto" or not _is_glibc() or raw.ctx or np.__version__ >= "3":
        return False  # with a context, somebody watches Python's memory (tracemalloc)
    # Python's own wrappers of calloc, realloc and free take the context first, as NumPy wants it
    allocator = _Allocator(None, allocate, raw.calloc, raw.realloc, raw.free)
    handler = _Handler(b"minigrad", 1, allocator)
    pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_in.restype, pointer_in.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(
        pointer_in(np._core._multiarray_umath._ARRAY_API, None),  # type: ignore[attr-defined]
        ctypes.POINTER(ctypes.c_void_p),
    )
    capsule_of = ctypes.pythonapi.PyCapsule_New
    capsule_of.restype = ctypes.py_object
    capsule_of.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = capsule_of(ctypes.addressof(handler), b"mem_handler", None)
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[_SET_HANDLER])
    _FOREVER.extend((handler, capsule, set_handler(capsule)))
    return True
