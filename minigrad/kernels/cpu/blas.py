"""Matrix products called from inside kernels, one thread each: `gemm` and `address` of its
functions.

The BLAS is SciPy's, through the addresses that scipy.linalg.cython_blas publishes for compiled
code. Kernels that call it from a prange are run inside `single()`, so that each call stays on its
thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
from collections.abc import Iterator
from typing import Any

from . import threads
from .compiler import Lazy


@functools.cache
def available() -> bool:
    """Whether there is a SciPy to take the functions from."""
    try:
        _blas()
    except ImportError:
        return False
    return True


def _blas() -> Any:
    return importlib.import_module("scipy.linalg.cython_blas")


@functools.cache
def _libraries() -> tuple[threads.OpenBLAS, ...]:
    available()  # loads it
    return tuple(library for library in threads.libraries() if "numpy.libs" not in library.path)


@contextlib.contextmanager
def single() -> Iterator[None]:
    """SciPy's BLAS on one thread inside the block, and as it was after it."""
    before = [library.get_num_threads() for library in _libraries()]
    for library in _libraries():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, n in zip(_libraries(), before, strict=True):
            library.set_num_threads(n)


def address(name: str) -> int:
    """Where the BLAS function `name` ("sgemm") is in memory. Fortran's calling convention."""
    capsule = _blas().__pyx_capi__[name]
    title = ctypes.pythonapi.PyCapsule_GetName
    title.restype, title.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, title(capsule))


def _make_gemm() -> Any:
    """gemm(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) in row order:

        C = alpha op(A) op(B) + beta C,    op(A) m x k, op(B) k x n, C m x n

    a, b, c are addresses (ints) of float32 data, lda the elements from one row to the next. In
    BLAS' column order this is C^T = op(B)^T op(A)^T, hence the exchange of A and B below.
    """
    import llvmlite.binding
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    # by name, so that machine code kept on disk finds it at its address in every process
    llvmlite.binding.add_symbol("minigrad_sgemm", address("sgemm"))

    @intrinsic
    def gemm(
        context: Any, ta: Any, tb: Any, m: Any, n: Any, k: Any,
        alpha: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
    ) -> Any:  # fmt: skip
        flag, size, real = types.boolean, types.intp, types.float32

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args
            byte, word = ir.IntType(8), ir.IntType(32)
            pointer = byte.as_pointer()

            def letter(flag: Any) -> Any:
                yes, no = ir.Constant(byte, ord("T")), ir.Constant(byte, ord("N"))
                return cgutils.alloca_once_value(builder, builder.select(flag, yes, no))

            def number(value: Any) -> Any:
                return cgutils.alloca_once_value(builder, builder.trunc(value, word))

            def place(value: Any) -> Any:
                return builder.inttoptr(value, pointer)

            arguments = [
                letter(tb), letter(ta), number(n), number(m), number(k),
                cgutils.alloca_once_value(builder, alpha), place(b), number(ldb), place(a),
                number(lda), cgutils.alloca_once_value(builder, beta), place(c), number(ldc),
            ]  # fmt: skip
            kind = ir.FunctionType(ir.VoidType(), [v.type for v in arguments])
            function = cgutils.get_or_insert_function(builder.module, kind, "minigrad_sgemm")
            builder.call(function, arguments)
            return context.get_dummy_value()

        signature = types.void(
            flag, flag, size, size, size, real, size, size, size, size, real, size, size
        )
        return signature, generate

    return gemm


gemm: Any = Lazy(_make_gemm)
