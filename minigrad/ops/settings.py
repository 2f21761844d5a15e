"""Settings of the process: how many threads compute."""

from __future__ import annotations

from ..backend import accelerator as accelerator
from ..backend import cuda as cuda
from ..backend import flags as flags
from ..backend import graphs as graphs
from ..export import export
from ..kernels.cpu import threads


@export("get_num_threads")
def get_num_threads() -> int:
    """How many threads a large op is computed on."""
    return threads.count()


@export("set_num_threads")
def set_num_threads(n: int, /) -> None:
    """Compute on `n` threads from now on, at most one a core. RuntimeError unless n > 0."""
    _positive("set_num_threads", n)
    threads.limit(n)


@export("get_num_interop_threads")
def get_num_interop_threads() -> int:
    """On how many threads several ops run at once: one, ops run one after the other."""
    return 1


@export("set_num_interop_threads")
def set_num_interop_threads(n: int, /) -> None:
    """Ops run one after the other, whatever the number. RuntimeError unless n > 0."""
    _positive("set_num_interop_threads", n)


def _positive(name: str, n: int) -> None:
    if not isinstance(n, int) or isinstance(n, bool):
        raise RuntimeError(f"{name} expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError(f"{name} expects a positive integer")
