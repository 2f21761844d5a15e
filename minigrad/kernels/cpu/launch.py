"""Large kernels compiled once: `@body` makes C functions that `launch` calls.

Numba compiles what is inside a prange once for each kernel around it, and a large body takes
seconds each time. Here it is compiled by itself, and one small kernel is the loop around all:

    @body
    def work(index, table, a, b):       # addresses; table_of(table) is the array behind it
        ...

    launch(work, count, chunks, table, a, b)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import compiler
from .compiler import Lazy, kernel, prange, specialise

POINTERS = 3
HEAD = 12
"""Numbers of a table before those of the work itself: see `table_for`."""


def _carray() -> Any:
    from numba import carray

    return carray


def _real() -> Any:
    from numba import float32

    return float32


def _whole() -> Any:
    from numba import int64

    return int64


carray: Any = Lazy(_carray)
real: Any = Lazy(_real)
whole: Any = Lazy(_whole)
call: Any = Lazy(compiler.make_call)


class Body:
    """A function (index, table, a, b), compiled as a C function when first launched."""

    def __init__(self, function: Callable):
        self.function = function
        functools.update_wrapper(self, function)

    @functools.cached_property
    def address(self) -> int:
        with compiler.COMPILE_LOCK:
            return compiler.address_of(specialise(self.function), POINTERS)


def body(function: Callable) -> Body:
    """Make a Body of a function."""
    return Body(function)


def table_for(
    numbers: Any, x: Any, y: Any, scratch: Any, count: int, size: Any, a: Any, b: Any
) -> Any:
    """The table of one call: `numbers`, whose first HEAD places are for

        0 its length   1 x   2 y   3 scratch   4 `count`   5, 6 set beforehand   7 `size`, if given
        8 the table itself   9 a   10 b

    arrays standing for their addresses.
    """
    table = numbers.copy()
    table[:5] = (
        table.size, x.ctypes.data, y.ctypes.data, scratch.ctypes.data, count,
    )  # fmt: skip
    if size is not None:
        table[7] = size
    table[8:11] = table.ctypes.data, a.ctypes.data, b.ctypes.data
    return table


@kernel(inline=True)
def table_of(address):
    """The table behind an address."""
    return carray(address, (carray(address, (1,), whole)[0],), whole)


@kernel
def _launch(function, count, table, a, b):
    for i in prange(count):
        call(function, (i, table.ctypes.data, a.ctypes.data, b.ctypes.data))


def launch(work: Body, count: int, parallel: bool, table: Any, a: Any, b: Any) -> None:
    """work(i, table, a, b) for i below count, on all threads or on this one."""
    run = _launch.parallel if parallel else _launch.serial
    run(work.address, count, table, a, b)
