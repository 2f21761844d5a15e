"""The C library of fake_cublaslt.cpp in the place of cuBLASLt, for arrays of the fake device."""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minigrad.kernels.cuda import cublaslt, gemm

from .fake_device import MACHINE
from .toolchain import CXX, built


class Library:
    """The loaded library; a product is a launch of the fake device, which it may note."""

    def __init__(self) -> None:
        text = (Path(__file__).parent / "fake_cublaslt.cpp").read_text()
        self.raw = cublaslt.declared(ctypes.CDLL(str(built(text))))
        self.raw.fake_trouble.restype = ctypes.c_char_p
        self.raw.fake_copy.argtypes, self.raw.fake_copy.restype = [ctypes.c_void_p], ctypes.c_void_p
        self.counts: Any = self.raw.fake_count

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.raw, name)
        if name == "cublasLtMatmul":
            return self._product
        if not name.startswith("cublasLt"):
            return function

        @functools.wraps(function, assigned=())
        def call(*args: Any) -> int:
            status = function(*args)
            if status not in (0, 15):
                raise AssertionError(f"{name}: {self.raw.fake_trouble().decode()}")
            return status

        call.__name__ = name
        return call

    def _product(self, handle: Any, operation: Any, alpha: int, *rest: Any) -> int:
        """As the real one, the call has read its descriptors and numbers when it returns."""
        operation = self.raw.fake_copy(operation)
        kind = ctypes.c_uint64
        numbers = [kind.from_address(alpha).value, kind.from_address(rest[4]).value]

        def run() -> None:
            held = [kind(n) for n in numbers]
            given = list(rest)
            given[4] = ctypes.addressof(held[1])
            status = self.raw.cublasLtMatmul(handle, operation, ctypes.addressof(held[0]), *given)
            assert status == 0, f"cublasLtMatmul: {self.raw.fake_trouble().decode()}"

        MACHINE.launch("cublasLtMatmul", run, None)
        return 0


@functools.cache
def library() -> Library | None:
    """The library, or None without a compiler for it."""
    return Library() if CXX else None


@contextlib.contextmanager
def installed() -> Iterator[Library | None]:
    """Inside, products on the fake device are this library's."""
    before, cublaslt.library = cublaslt.library, library  # type: ignore[assignment]
    workspace, cublaslt.WORKSPACE = cublaslt.WORKSPACE, 1 << 16
    _forget()
    try:
        yield library()
    finally:
        cublaslt.library, cublaslt.WORKSPACE = before, workspace
        _forget()


def _forget() -> None:
    for known in (cublaslt._HANDLES, cublaslt._WORKSPACES, cublaslt._PLANS, gemm._SUMS):
        known.clear()
