"""Large arrays without page faults: two thresholds of the C library's allocator.

Memory of a large array that was just freed is what the next op needs. glibc gives it back to the
kernel at once and asks for it again, and every page of it is then zeroed and mapped on first touch:
on large elementwise ops that costs as much as the computing. `keep` tells glibc to hold on to freed
memory: blocks up to 32 MiB (more it does not allow) come from the heap rather than from pages of
their own, and the heap shrinks only when 256 MiB of it are unused.

This holds for the whole process, and is all that it changes; MINIGRAD_MALLOC=off leaves the
allocator alone. Elsewhere than on glibc nothing is done.
"""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = 1 << 25, 1 << 28
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h


def keep() -> bool:
    """Let glibc keep freed memory for the next array; False where there is no glibc."""
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    try:
        _ = library.gnu_get_libc_version
    except AttributeError:
        return False
    return bool(
        library.mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)
        and library.mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD)
    )
