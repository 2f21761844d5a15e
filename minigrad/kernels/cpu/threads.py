"""One pool of threads for loops and for BLAS.

Two pools spin against each other: with NumPy's OpenBLAS on its own threads and kernels on OpenMP's,
a matrix product and a loop in turn took four times as long as both alone, because the threads that
wait for more work keep the cores from those that have some. OpenBLAS can be told to hand its jobs
to somebody else's threads (openblas_set_threads_callback_function); here they are run by the same
OpenMP pool that runs the kernels. Products called from anywhere in the process, a user's own `a @
b` included, then share that pool: same speed alone, no fight in turn.

OpenMP does not survive a fork: in a forked child everything runs on one thread, and BLAS is given
its own threads back.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import os
import threading
from typing import Any

PARALLEL = 1 << 15
"""Elements from which a loop is worth waking the other threads: see docs/performance.md."""

_LIMIT: int | None = None  # set_num_threads
_FORKED = False
_STARTED = False
_LOCK = threading.Lock()
_SHARED: list[OpenBLAS] = []


def available() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


@functools.cache
def _default() -> int:
    text = os.environ.get("OMP_NUM_THREADS", "") or os.environ.get("NUMBA_NUM_THREADS", "")
    first = text.split(",")[0]
    return min(available(), int(first)) if first.isdigit() and int(first) else available()


def count() -> int:
    """How many threads a parallel kernel uses."""
    if _FORKED:
        return 1
    return _LIMIT or _default()


def worthwhile(work: int) -> bool:
    """Whether a loop over `work` elements should use all threads."""
    return work >= PARALLEL and count() > 1


def limit(threads: int) -> None:
    """Use so many threads from now on; more than there are cores means all cores."""
    global _LIMIT
    _LIMIT = max(1, min(threads, available()))
    for library in libraries():
        library.set_num_threads(_LIMIT)
    if _STARTED:
        numba: Any = importlib.import_module("numba")

        numba.set_num_threads(min(_LIMIT, numba.config.NUMBA_NUM_THREADS))


def start() -> None:
    """Make the pool, once, and give BLAS to it. Called before the first parallel kernel."""
    global _STARTED
    with _LOCK:
        if _STARTED:
            return
        _STARTED = True
        numba: Any = importlib.import_module("numba")
        from numba.np.ufunc.parallel import _launch_threads

        _launch_threads()
        numba.set_num_threads(min(count(), numba.config.NUMBA_NUM_THREADS))
        _share()
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    global _FORKED
    _FORKED = True
    for library in _SHARED:
        library.set_callback(None)


# ------------------------------------------------------------------------------ BLAS libraries
class OpenBLAS:
    """One loaded OpenBLAS (NumPy and SciPy bring one each), through three of its functions."""

    def __init__(self, path: str):
        self.path = path
        library = ctypes.CDLL(path)
        self._set = _symbol(library, "openblas_set_num_threads")
        self._get = _symbol(library, "openblas_get_num_threads")
        self._callback = _symbol(library, "openblas_set_threads_callback_function")

    def set_num_threads(self, n: int) -> None:
        if self._set is not None:
            self._set(n)

    def get_num_threads(self) -> int:
        return self._get() if self._get is not None else 1

    def set_callback(self, address: int | None) -> None:
        if self._callback is not None:
            self._callback(ctypes.c_void_p(address))


def _symbol(library: Any, name: str) -> Any:
    """A function of OpenBLAS under any of the names that wheels give it."""
    for prefix in ("", "scipy_"):
        for suffix in ("", "64_"):
            with contextlib.suppress(AttributeError):
                return library[f"{prefix}{name}{suffix}"]
    return None


def libraries() -> tuple[OpenBLAS, ...]:
    """The OpenBLAS libraries that this process has loaded (none: another BLAS, left alone)."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "openblas" in line}
    except OSError:
        return ()
    return tuple(_library(path) for path in sorted(paths))


_library = functools.cache(OpenBLAS)


def _share() -> None:
    """Let NumPy's OpenBLAS run its jobs on the pool of the kernels.

    Only the library that is NumPy's alone: one that others call from inside their own parallel
    regions, where there are no threads left to hand out, would wait for ever.
    """
    numba: Any = importlib.import_module("numba")

    shareable = [library for library in libraries() if "numpy.libs" in library.path]
    if available() < 2 or not shareable or numba.threading_layer() != "omp":
        return
    for library in shareable:
        library.set_callback(_job_runner().address)
        _SHARED.append(library)


@functools.cache
def _job_runner() -> Any:
    """void callback(int sync, job, int count, size_t size, void *data, int extra): every job once,
    each on a thread of its own (jobs wait for each other).
    """
    from llvmlite import ir
    from numba import cfunc, njit, prange, types
    from numba.extending import intrinsic
    from numba.np.ufunc.parallel import _get_num_threads, _set_num_threads

    @intrinsic
    def start_job(context: Any, job: Any, i: Any, data: Any, extra: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [word, pointer, word]).as_pointer()
            builder.call(
                builder.inttoptr(args[0], kind),
                [args[1], builder.inttoptr(args[2], pointer), args[3]],
            )
            return context.get_dummy_value()

        return types.void(types.intp, types.int32, types.intp, types.int32), generate

    start: Any = start_job

    @njit(parallel=True, nogil=True)
    def spread(job: int, count: int, size: int, data: int, extra: int) -> None:
        for i in prange(count):
            start(job, types.int32(i), data + i * size, extra)

    @njit(nogil=True)
    def run(job: int, count: int, size: int, data: int, extra: int) -> None:
        before = _get_num_threads()
        _set_num_threads(types.int32(count))  # whatever anybody else has set
        spread(job, count, size, data, extra)
        _set_num_threads(types.int32(before))

    @cfunc(types.void(types.int32, types.intp, types.int32, types.uintp, types.intp, types.int32))
    def callback(sync: Any, job: Any, count: Any, size: Any, data: Any, extra: Any) -> None:
        run(job, types.intp(count), types.intp(size), data, extra)

    return callback
