"""Large kernels compiled once: `@body` makes C functions that `launch` calls.

Numba compiles what is inside a prange once for each kernel around it, and a large body takes
seconds each time. Here it is compiled by itself, and one small kernel is the loop around all:

    @body
    def work(index, table):             # addresses; table_of(table) is the array behind it
        ...

    launch(first, m, work, n, parallel, plan, ...)
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from . import compiler
from .compiler import Lazy, kernel, prange, specialise

HEAD = 13
"""Numbers of a table before those of the work itself: see `launch`."""
F32 = np.dtype(np.float32)


def _carray() -> Any:
    from numba import carray

    return carray


def _real() -> Any:
    from numba import float32

    return float32


def _whole() -> Any:
    from numba import int64

    return int64


def _pointer() -> Any:
    """pointer(address): an int as carray() takes it."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def pointer(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

        return types.voidptr(types.intp), generate

    return pointer


carray: Any = Lazy(_carray)
pointer: Any = Lazy(_pointer)
real: Any = Lazy(_real)
whole: Any = Lazy(_whole)
call: Any = Lazy(compiler.make_call)


class Body:
    """A function (index, table), compiled as a C function when first launched."""

    def __init__(self, function: Callable):
        self.function = function
        functools.update_wrapper(self, function)

    @functools.cached_property
    def address(self) -> int:
        with compiler.COMPILE_LOCK:
            return compiler.address_of(specialise(self.function), 1)


def body(function: Callable) -> Body:
    """Make a Body of a function."""
    return Body(function)


@kernel(inline=True)
def table_of(address):
    """The table behind an address."""
    return carray(address, (carray(address, (1,), whole)[0],), whole)


@kernel(inline=True)
def floats_at(address, size):
    """The float32 numbers behind an address that a table holds."""
    return carray(pointer(address), (size,), real)


@kernel
def _launch(first, m, second, n, numbers, scratch, x, w, b, y, more, space):
    table = numbers.copy()
    start = (space.ctypes.data + 63) // 64 * 64
    table[0], table[8] = table.size, table.ctypes.data
    table[1], table[2], table[3], table[4] = x.ctypes.data, y.ctypes.data, start, b.size
    table[9], table[10], table[11] = b.ctypes.data, start + 4 * scratch, w.ctypes.data
    table[12] = more.ctypes.data
    if m > 1:
        for i in prange(m):
            call(first, (i, table.ctypes.data))
    elif m == 1:
        call(first, (0, table.ctypes.data))
    for i in prange(n):
        call(second, (i, table.ctypes.data))


class _Workspace(threading.local):
    """A thread's buffers, kept from call to call: fresh memory costs more than many a layer."""

    floats: Any = np.empty(0, F32)


WORKSPACE = _Workspace()


def launch(
    first: Body, m: int, second: Body, n: int, parallel: bool, numbers: Any, scratch: int,
    beside: int, x: Any, w: Any, b: Any, y: Any, more: Any,
) -> None:  # fmt: skip
    """first(i, table) for i below m, then second(i, table) for i below n, on all threads or on this
    one; arrays are contiguous float32. The table is a copy of `numbers`, whose HEAD places are for

        0 its length   1 x   2 y   3 scratch   4 b's size   5, 6, 7 set beforehand
        8 the table itself   9 b   10 what is beside the scratch   11 w   12 more

    arrays standing for their addresses; `scratch` and `beside` count floats.
    """
    space = WORKSPACE.floats
    if space.size < scratch + beside + 16:
        space = WORKSPACE.floats = np.empty(scratch + beside + 16, F32)
    run = _launch.parallel if parallel else _launch.serial
    run(first.address, m, second.address, n, numbers, scratch, x, w, b, y, more, space)
