"""`@kernel`: functions over arrays that Numba compiles when they are first called.

    @kernel
    def scale(x, factor, y):
        for i in prange(x.size):
            y[i] = x[i] * factor

    scale(x, 2.0, y)                 # compiled, on all threads
    scale.serial(x, 2.0, y)          # compiled, on the caller's thread: a launch costs 3 us less
    scale.function(x, 2.0, y)        # as Python, to debug or to read a value in between

Nothing is imported or compiled before the first call. Kernels may call each other and the functions
of scalars.py: before compilation, every lazy function among a function's globals is replaced by its
compiled self, and `prange` by Numba's.

What was compiled is kept in the folder `config.cache_dir`, in a subfolder named after this version
of minigrad, Numba and Python; Numba's own index in it distinguishes processors and argument types.
A folder that cannot be written costs a warning and a compilation in every process.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ... import config
from ..._version import __version__
from ...backend import memory
from . import threads

COMPILE_LOCK = threading.RLock()
"""Numba compiles under one lock of its own, but the lazy parts here need one too."""

EXACT = frozenset({"contract"})
"""Multiply-add may be fused: nothing else that would change a result or its nans."""

REASSOCIATE = frozenset({"contract", "reassoc", "nsz"})
"""Also sums in any order, which is what SIMD accumulators are."""

prange = range
"""In kernels: a range whose iterations may run at the same time."""


@functools.cache
def numba() -> Any:
    """The Numba module, or None where it is not installed."""
    try:
        import numba
    except ImportError:
        return None
    return numba


def enabled() -> bool:
    """Whether compiled kernels may be used here: installed, and not switched off."""
    return config.SETTINGS.get().kernels != "off" and numba() is not None


class Kernel:
    """A function compiled on first call, for the types it is called with. Made by `@kernel`."""

    def __init__(self, function: Callable, flags: frozenset[str], inline: bool):
        self.function = function
        self.flags = flags
        self.inline = inline
        functools.update_wrapper(self, function)
        KERNELS.append(self)

    @functools.cached_property
    def parallel(self) -> Callable:
        """The compiled function whose prange loops use all threads."""
        threads.start()
        return self._compile(parallel=True)

    @functools.cached_property
    def serial(self) -> Callable:
        """The compiled function on the calling thread."""
        return self._compile(parallel=False)

    def _compile(self, parallel: bool) -> Callable:
        with COMPILE_LOCK:
            align()
            function = specialise(self.function)
            if not parallel:
                function.__qualname__ += ".serial"
            compiled = numba().njit(
                parallel=parallel,
                nogil=True,
                fastmath=set(self.flags),
                error_model="numpy",
                boundscheck=False,
                forceinline=self.inline,  # LLVM finds some too long, and then there is no SIMD
            )(function)
            if not self.inline:
                use_cache(compiled)
            return compiled

    def __call__(self, *args: Any) -> Any:
        return (self.parallel if threads.count() > 1 else self.serial)(*args)

    def run(self, work: int, *args: Any) -> Any:
        """Call on all threads if `work` (about the number of elements) is worth it."""
        return (self.parallel if threads.worthwhile(work) else self.serial)(*args)


KERNELS: list[Kernel] = []


def kernel(
    function: Callable | None = None,
    *,
    flags: frozenset[str] = EXACT,
    inline: bool = False,
) -> Any:
    """Make a Kernel of a function. `inline` marks helpers that only other kernels call."""
    if function is None:
        return lambda f: Kernel(f, flags, inline)
    return Kernel(function, flags, inline)


def specialise(function: Callable, **values: Any) -> Any:
    """A copy of `function` whose globals are ready to be compiled: `values` by name, lazy functions
    compiled, `prange` Numba's.
    """
    code = function.__code__
    names = dict(function.__globals__)
    names.update(values)
    for name in set(_names(code)) & set(names):
        value = names[name]
        if isinstance(value, Kernel):
            names[name] = value.serial
        elif isinstance(value, Lazy):
            names[name] = value.get()
        elif value is prange and name == "prange":
            names[name] = numba().prange
    copy = types.FunctionType(code, names, function.__name__, None, function.__closure__)
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    return copy


def _names(code: types.CodeType) -> list[str]:
    """Global names that a function and the functions inside it use."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return [*code.co_names, *(name for c in inner for name in _names(c))]


class Lazy:
    """Something that only exists once Numba is imported: an intrinsic, a type."""

    def __init__(self, make: Callable[[], Any]):
        self.get = functools.cache(make)


# ------------------------------------------------------------------------------ the cache
def use_cache(compiled: Any) -> None:
    """Let a Numba function (or cfunc) look for its machine code on disk, and leave it there."""
    cache = _cache_class()
    if cache is not None:
        compiled._cache = cache(compiled.__wrapped__)


def address_of(loop: Callable, pointers: int) -> int:
    """The machine address of `loop(n, pointer, ...)`, compiled as a C function."""
    from numba.core.types import intp, void, voidptr

    align()
    return _c_function(loop, void(intp, *[voidptr] * pointers))


def _c_function(function: Callable, signature: Any) -> int:
    from numba.core.ccallback import CFunc
    from numba.core.sigutils import normalize_signature

    options = {"error_model": "numpy", "fastmath": set(EXACT), "nopython": True}
    function = CFunc(function, normalize_signature(signature), {}, options)
    use_cache(function)
    function.compile()
    _FOREVER.append(function)
    return function.address or 0


_FOREVER: list[Any] = []  # machine code lives as long as its function


def _c_library(name: str, count: int) -> Any:
    from numba.core.types import ExternalFunction, intp

    return ExternalFunction(name, intp(*[intp] * count))


malloc: Any = Lazy(lambda: _c_library("malloc", 1))
aligned_alloc: Any = Lazy(lambda: _c_library("aligned_alloc", 2))


def _allocate(context, size):
    return malloc(size) if size < 4096 else aligned_alloc(64, size)


@functools.cache
def align() -> None:
    """From the first kernel on, large arrays start at multiples of 64 bytes: backend/memory.py."""
    from numba.core.types import intp

    memory.align(_c_function(specialise(_allocate), intp(intp, intp)))


def make_call() -> Any:
    """The intrinsic call(address, (n, pointer, ...)): call a C function from inside a kernel."""
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def call(context: Any, address: Any, arguments: Any) -> Any:
        count = len(arguments)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
            values = [builder.extract_value(args[1], i) for i in range(count)]
            values = [values[0], *[builder.inttoptr(v, pointer) for v in values[1:]]]
            kind = ir.FunctionType(ir.VoidType(), [word, *[pointer] * (count - 1)])
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(types.intp, types.UniTuple(types.intp, count)), generate

    return call


@functools.cache
def cache_folder() -> Path | None:
    """Where this version's kernels are kept; None (after a warning) if nothing can be written."""
    folder = config.SETTINGS.get().cache_dir / f"cpu-{_stamp(Path(__file__).parent)[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"minigrad: compiled kernels cannot be kept in {folder} ({error.strerror}), so every "
            "process compiles anew; set MINIGRAD_CACHE_DIR to a folder that can be written",
            UserWarning,
            stacklevel=2,
        )
        return None
    return folder


@functools.cache
def _stamp(folder: Path) -> str:
    """Changes whenever compiled code could: with the versions, with the kernels' own source, and
    with that of the folder which a kernel outside of this one stands in.
    """
    import hashlib  # 4 ms, and only what is compiled needs it

    digest = hashlib.sha256(f"{__version__} {numba().__version__} {sys.version}".encode())
    for place in sorted({Path(__file__).parent, folder}):
        for path in sorted(place.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _cache_class() -> Any:
    folder = cache_folder()
    if folder is None:
        return None
    from numba.core import caching

    class Locator(caching._CacheLocator):
        """Puts every kernel into one folder, under the stamp of all kernels' sources."""

        def __init__(self, function: Callable, file: str):
            self.line = function.__code__.co_firstlineno
            path = Path(file)  # generated code has a name that is no file's
            self.folder = path.parent if path.is_file() else Path(__file__).parent

        def get_cache_path(self) -> str:
            return str(folder)

        def get_source_stamp(self) -> str:
            return _stamp(self.folder)

        def get_disambiguator(self) -> str:
            return str(self.line)

        @classmethod
        def from_function(cls, function: Callable, file: str) -> Any:
            return cls(function, file)

    class Impl(caching.CompileResultCacheImpl):
        _locator_classes = [Locator]

    class Cache(caching.FunctionCache):
        _impl_class = Impl

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            found = super().load_overload(sig, target_context)
            if found is None:
                _begin()
            return found

        def save_overload(self, sig: Any, data: Any) -> None:
            super().save_overload(sig, data)
            _end(self._name)

    return Cache


_STARTED: list[float] = []


def _begin() -> None:
    _STARTED.append(time.perf_counter())


def _end(name: str) -> None:
    """A word on stderr when a process has spent long on compiling, so that nobody wonders."""
    spent = time.perf_counter() - _STARTED.pop() if _STARTED else 0.0
    global _TOLD, _SPENT
    _SPENT += spent
    if not _TOLD and _SPENT > 5:
        _TOLD = True
        print(
            "minigrad: compiling kernels for the first time on this machine "
            "(`python -m minigrad.warmup` does it for all of them at once)",
            file=sys.stderr,
        )


_TOLD, _SPENT = False, 0.0
