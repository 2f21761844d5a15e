"""The machine behind fake_cupy.py: memory that is poisoned when it is freed, a count of launches,
and streams that can record what is launched instead of trusting it to have run.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

POISON = 0xFF
"""Freed bytes: nan in every floating dtype, -1 in every signed one."""


class OutOfMemoryError(MemoryError):
    """As cupy.cuda.memory.OutOfMemoryError: no RuntimeError."""


class CaptureError(RuntimeError):
    """What CUDA answers to a read of device memory while a stream is recorded."""


class Block:
    """Memory of one allocation. It goes back to its pool, poisoned, when nothing holds it."""

    device_id = 0

    def __init__(self, pool: Pool, size: int):
        pool.take(self, size)
        self.size = _rounded(size)
        self.bytes = np.full(max(size, 1), POISON, np.uint8)  # as bad as freed memory
        self.ptr = self.bytes.ctypes.data
        MACHINE.memory[self.ptr] = self.bytes
        if MACHINE.graph is not None:  # addresses in it stay good as long as the graph
            MACHINE.graph.memory.append(self.bytes)
        weakref.finalize(self, _freed, pool, self.bytes)


class UnownedMemory:
    """As cupy.cuda.UnownedMemory: memory that something else owns."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1):
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id


class MemoryPointer:
    """As cupy.cuda.MemoryPointer: a place in memory, which it keeps."""

    device_id = 0

    def __init__(self, mem: Any, offset: int):
        self.mem, self.ptr = mem, mem.ptr + offset

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    @property
    def bytes(self) -> np.ndarray:
        """What lies there."""
        return MACHINE.memory[self.mem.ptr][self.ptr - self.mem.ptr :]


def _freed(pool: Pool, memory: np.ndarray) -> None:
    memory[...] = POISON
    pool.used -= _rounded(memory.size)


def _rounded(size: int) -> int:
    return -(-size // 512) * 512


class Pool:
    """cupy.cuda.MemoryPool, as far as its numbers go."""

    def __init__(self, allocator: Any = None) -> None:
        self.used = self.total = self.limit = 0
        self.blocks: weakref.WeakSet[Block] = weakref.WeakSet()

    def take(self, block: Block, size: int) -> None:
        size = _rounded(size)
        if self.limit and self.used + size > self.limit:
            raise OutOfMemoryError(
                f"Out of memory allocating {size} bytes (allocated so far: {self.used} bytes, "
                f"limit set to: {self.limit} bytes)."
            )
        self.used += size
        self.total = max(self.total, self.used)
        self.blocks.add(block)

    def malloc(self, size: int) -> MemoryPointer:
        return MemoryPointer(Block(self, size), 0)

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.total

    def free_bytes(self) -> int:
        return self.total - self.used

    def free_all_blocks(self, stream: Any = None) -> None:
        self.total = self.used

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self.limit = size or 0

    def get_limit(self) -> int:
        return self.limit


class Machine:
    """What the fake device has done. `launches` counts kernels by name, `reads` copies to the host,
    `writes` copies to the device.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.launches: Counter[str] = Counter()
        self.reads = self.writes = self.replays = 0
        self.under_way: list[Callable[[], None]] = []  # copies to the host that nobody waited for
        self.graph: Graph | None = None
        self.allocators: list[Callable[[int], MemoryPointer]] = []
        self.allocator: Callable[[int], MemoryPointer] | None = None
        self.memory: weakref.WeakValueDictionary[int, np.ndarray] = weakref.WeakValueDictionary()
        self.pool = Pool()

    def allocate(self, size: int) -> MemoryPointer:
        allocate = self.allocators[-1] if self.allocators else self.allocator
        return (allocate or self.pool.malloc)(size)

    def launch(self, name: str, run: Callable[[], None], outputs: list[np.ndarray] | None) -> None:
        """Run a kernel; while a stream is recorded, note it, and spoil what it wrote: until the
        graph is launched nothing has been computed. Without `outputs` it is not run before: a
        kernel of ours, or one that writes into memory that was there.
        """
        self.launches[name] += 1
        if self.graph is None or outputs is not None:
            run()
        if self.graph is not None:
            self.graph.nodes.append(run)
            self.graph.outputs += outputs or []

    def read(self, what: str) -> None:
        if self.graph is not None:
            raise CaptureError(f"{what}: operation not permitted when stream is capturing")
        self.reads += 1
        for copy in self.under_way:
            copy()
        self.under_way.clear()

    def write(self, what: str) -> None:
        if self.graph is not None:
            raise CaptureError(f"{what}: a synchronous copy while the stream is capturing")
        self.writes += 1

    @property
    def count(self) -> int:
        return sum(self.launches.values())


class Graph:
    """What a stream recorded. It holds addresses, not arrays: memory that was freed since is
    poison, as it would be somebody else's on a device.
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.nodes: list[Callable[[], None]] = []
        self.memory: list[np.ndarray] = []
        self.outputs: list[np.ndarray] = []

    def launch(self, stream: Any = None) -> None:
        self.machine.replays += 1
        for run in self.nodes:
            run()

    def upload(self, stream: Any = None) -> None:
        pass

    def spoil(self) -> None:
        for x in self.outputs:
            x[...] = np.full(x.itemsize, POISON, np.uint8).view(x.dtype)[0]


MACHINE = Machine()
