"""`minigrad.cuda`: what programs ask of a GPU, answered on machines without one as well.

Questions have answers (0 bytes are used, no stream is busy), requests that change nothing pass
(`empty_cache`, `synchronize`, seeding): a program that guards its GPU code loosely still runs on
the CPU. What needs a device to have a meaning (its name, its streams) is a RuntimeError that says
what is missing. With CuPy and a GPU, CuPy is asked.
"""

from __future__ import annotations

import os
from typing import Any

from ..export import export
from . import allocator, random
from .devices import cuda_device_count, cuda_is_available, cuda_module, device, require_cuda

Device = device


def _index(which: Any) -> int:
    """The number of a CUDA device; that of the current one for None."""
    if isinstance(which, int) and not isinstance(which, bool):
        return which
    index = None if which is None else Device(which).index
    return current_device() if index is None else index


def _runtime(feature: str) -> Any:
    """CuPy's CUDA module, or the reason why there is none."""
    require_cuda(feature)
    return cuda_module().cuda


# ------------------------------------------------------------ waiting
@export("cuda.synchronize", "accelerator.synchronize", "mps.synchronize", "cpu.synchronize")
def synchronize(device: Any = None) -> None:
    """Wait until everything that was started on the GPU is done; nothing to wait for on the CPU."""
    if cuda_is_available():
        with cuda_module().cuda.Device(_index(device)) as place:
            place.synchronize()


@export("cuda.init")
def init() -> None:
    """Nothing: a device is set up when it is first used."""


@export("cuda.is_initialized")
def is_initialized() -> bool:
    """Whether a GPU is in use."""
    return cuda_is_available()


@export("cuda.ipc_collect")
def ipc_collect() -> None:
    """Nothing: no GPU memory is shared between processes."""


# ------------------------------------------------------------ which device
@export("cuda.current_device", "accelerator.current_device_index")
def current_device() -> int:
    """The number of the GPU that "cuda" means; RuntimeError without one."""
    return _runtime("current_device()").Device().id


@export("cuda.set_device", "accelerator.set_device_index")
def set_device(device: Any) -> None:
    """Make a GPU the one that "cuda" means; RuntimeError if it is not there."""
    if not isinstance(device, int):
        device = Device(device).index
    if device is not None and device >= 0:
        _runtime(f"set_device({device})").Device(device).use()


@export("cuda.get_device_name")
def get_device_name(device: Any = None) -> str:
    """What the GPU calls itself; RuntimeError without one."""
    runtime = _runtime("get_device_name()").runtime
    return runtime.getDeviceProperties(_index(device))["name"].decode()


@export("cuda.get_device_capability", "accelerator.get_device_capability")
def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The GPU's compute capability (major, minor); RuntimeError without one."""
    text = _runtime("get_device_capability()").Device(_index(device)).compute_capability
    return int(text[:-1]), int(text[-1])


@export("cuda.get_device_properties")
def get_device_properties(device: Any = None) -> Any:
    """What the driver says about a GPU, as attributes; RuntimeError without one."""
    from types import SimpleNamespace

    found = _runtime("get_device_properties()").runtime.getDeviceProperties(_index(device))
    return SimpleNamespace(
        name=found["name"].decode(),
        major=found["major"],
        minor=found["minor"],
        total_memory=found["totalGlobalMem"],
        multi_processor_count=found["multiProcessorCount"],
        L2_cache_size=found["l2CacheSize"],
    )


@export("cuda.is_bf16_supported")
def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether there is a GPU that computes in bfloat16."""
    return cuda_is_available() and (including_emulation or get_device_capability()[0] >= 8)


@export("cuda.is_tf32_supported")
def is_tf32_supported() -> bool:
    """Whether there is a GPU that multiplies in TensorFloat-32."""
    return cuda_is_available() and get_device_capability()[0] >= 8


@export("cuda.get_arch_list")
def get_arch_list() -> list[str]:
    """The architectures that kernels were built for: none, they are compiled when needed."""
    return []


@export("cuda.can_device_access_peer")
def can_device_access_peer(device: Any, peer_device: Any) -> bool:
    """Whether one GPU can read another's memory; RuntimeError without one."""
    runtime = _runtime("can_device_access_peer()").runtime
    return bool(runtime.deviceCanAccessPeer(_index(device), _index(peer_device)))


# ------------------------------------------------------------ memory
@export("cuda.empty_cache", "cuda.memory.empty_cache", "accelerator.empty_cache", "mps.empty_cache")
def empty_cache() -> None:
    """Give memory that no tensor uses back to the driver."""
    if cuda_is_available():
        cuda_module().get_default_memory_pool().free_all_blocks()


@export("cuda.memory_allocated", "cuda.memory.memory_allocated", "accelerator.memory_allocated")
def memory_allocated(device: Any = None) -> int:
    """Bytes of GPU memory that arrays use; 0 without a GPU."""
    return allocator.counts(_index(device)).bytes if cuda_is_available() else 0


@export("cuda.memory_reserved", "cuda.memory.memory_reserved", "accelerator.memory_reserved")
def memory_reserved(device: Any = None) -> int:
    """Bytes of GPU memory that are kept for arrays; 0 without a GPU."""
    if not cuda_is_available():
        return 0
    with cuda_module().cuda.Device(_index(device)) as place:
        found = cuda_module().get_default_memory_pool().total_bytes()
        known = allocator.counts(place.id)
    found = max(found, known.bytes)  # graphs have pools of their own
    known.peak_reserved = max(known.peak_reserved, found)
    return found


@export(
    "cuda.max_memory_allocated", "cuda.memory.max_memory_allocated",
    "accelerator.max_memory_allocated",
)  # fmt: skip
def max_memory_allocated(device: Any = None) -> int:
    """The most that `memory_allocated` has been since `reset_peak_memory_stats`."""
    return allocator.counts(_index(device)).peak_bytes if cuda_is_available() else 0


@export(
    "cuda.max_memory_reserved", "cuda.memory.max_memory_reserved",
    "accelerator.max_memory_reserved",
)  # fmt: skip
def max_memory_reserved(device: Any = None) -> int:
    """The most that `memory_reserved` has been, as far as it was asked for; 0 without a GPU."""
    if not cuda_is_available():
        return 0
    known = allocator.counts(_index(device))
    return max(memory_reserved(device), known.peak_reserved, known.peak_bytes)


@export(
    "cuda.reset_peak_memory_stats", "cuda.memory.reset_peak_memory_stats",
    "cuda.reset_max_memory_allocated", "accelerator.reset_peak_memory_stats",
)  # fmt: skip
def reset_peak_memory_stats(device: Any = None) -> None:
    """Let the peaks be what is in use now."""
    if cuda_is_available():
        known = allocator.counts(_index(device))
        known.peak_bytes, known.peak_blocks, known.peak_reserved = known.bytes, known.blocks, 0


@export(
    "cuda.reset_accumulated_memory_stats", "cuda.memory.reset_accumulated_memory_stats",
    "accelerator.reset_accumulated_memory_stats",
)  # fmt: skip
def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Let what has been given in all begin at 0."""
    if cuda_is_available():
        known = allocator.counts(_index(device))
        known.bytes_given = known.blocks_given = known.retries = known.failures = 0


@export("cuda.mem_get_info", "cuda.memory.mem_get_info")
def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a GPU's memory; RuntimeError without one."""
    with _runtime("mem_get_info()").Device(_index(device)):
        return cuda_module().cuda.runtime.memGetInfo()


@export("cuda.memory_stats", "cuda.memory.memory_stats", "accelerator.memory_stats")
def memory_stats(device: Any = None) -> dict[str, int]:
    """Bytes and blocks in use and kept, under PyTorch's keys; empty without a GPU."""
    if not cuda_is_available():
        return {}
    known = allocator.counts(_index(device))
    found = {}
    for name, now, peak, given in (
        ("allocated_bytes", known.bytes, known.peak_bytes, known.bytes_given),
        ("active_bytes", known.bytes, known.peak_bytes, known.bytes_given),
        ("allocation", known.blocks, known.peak_blocks, known.blocks_given),
    ):
        found[f"{name}.all.current"], found[f"{name}.all.peak"] = now, peak
        found[f"{name}.all.allocated"], found[f"{name}.all.freed"] = given, max(0, given - now)
    found["reserved_bytes.all.current"] = memory_reserved(device)
    found["reserved_bytes.all.peak"] = max_memory_reserved(device)
    found["num_alloc_retries"], found["num_ooms"] = known.retries, known.failures
    return found


@export("cuda.memory_summary", "cuda.memory.memory_summary")
def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """Bytes and blocks in use and kept as a table, with the largest blocks and what they are."""
    index = _index(device) if cuda_is_available() else 0
    return allocator.summary(index, memory_reserved(device))


@export("cuda.memory_snapshot", "cuda.memory.memory_snapshot")
def memory_snapshot() -> list[dict[str, Any]]:
    """All blocks in use: device, address, size, and where they were made if that is recorded."""
    return allocator.blocks()


# ------------------------------------------------------------ random numbers
@export("cuda.manual_seed", "cuda.random.manual_seed", "mps.manual_seed")
def manual_seed(seed: int) -> None:
    """Seed the generator of the current GPU; without a GPU nothing happens, as in PyTorch."""
    if cuda_is_available():
        random.cuda_generator(current_device()).manual_seed(int(seed))


@export("cuda.manual_seed_all", "cuda.random.manual_seed_all")
def manual_seed_all(seed: int) -> None:
    """`manual_seed` for all GPUs; nothing without one."""
    for index in range(cuda_device_count()):
        random.cuda_generator(index).manual_seed(int(seed))


@export("cuda.seed", "cuda.seed_all", "cuda.random.seed", "cuda.random.seed_all")
def seed() -> None:
    """Seed the GPUs' generators at random; nothing without one."""
    if cuda_is_available():
        manual_seed_all(int.from_bytes(os.urandom(8), "little"))


@export("cuda.initial_seed", "cuda.random.initial_seed")
def initial_seed() -> int:
    """The seed that the sequence of the current GPU's generator started from."""
    return random.cuda_generator(current_device()).initial_seed()


# ------------------------------------------------------------ streams and events
@export("cuda.Stream", "Stream")
class Stream:
    """A queue of GPU work. `with cuda.stream(s):` puts work there; RuntimeError without a GPU."""

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any):
        self.raw = _runtime("Stream").Stream(non_blocking=True)

    def synchronize(self) -> None:
        """Wait until the queue is empty."""
        self.raw.synchronize()

    def wait_stream(self, stream: Stream) -> None:
        """Do nothing further until what is now in the other queue is done."""
        self.raw.wait_event(stream.raw.record())

    def wait_event(self, event: Event) -> None:
        """Do nothing further until the event has happened."""
        self.raw.wait_event(event.raw)

    def query(self) -> bool:
        """Whether the queue is empty."""
        return self.raw.done


@export("cuda.stream", "cuda.StreamContext")
class stream:
    """`with cuda.stream(s):` GPU work goes to the queue `s`; None changes nothing."""

    def __init__(self, stream: Stream | None):
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self.stream.raw.__enter__()

    def __exit__(self, *exc: object) -> None:
        if self.stream is not None:
            self.stream.raw.__exit__(*exc)


@export("cuda.current_stream", "cuda.default_stream", "accelerator.current_stream")
def current_stream(device: Any = None) -> Stream:
    """The queue that GPU work goes to; RuntimeError without a GPU."""
    found = object.__new__(Stream)
    found.raw = _runtime("current_stream()").get_current_stream()
    return found


@export("cuda.set_stream", "accelerator.set_stream")
def set_stream(stream: Stream) -> None:
    """Send GPU work to this queue from now on."""
    stream.raw.use()


@export("cuda.Event", "Event")
class Event:
    """A mark in a queue of GPU work, to wait for or to measure time by.

    RuntimeError without a GPU. `start.elapsed_time(end)` are milliseconds.
    """

    def __init__(self, enable_timing: bool = False, blocking: bool = False, **kwargs: Any):
        self.raw = _runtime("Event").Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Put the mark into the queue."""
        self.raw.record(None if stream is None else stream.raw)

    def synchronize(self) -> None:
        """Wait until the mark is reached."""
        self.raw.synchronize()

    def query(self) -> bool:
        """Whether the mark has been reached."""
        return self.raw.done

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this mark to the other."""
        return cuda_module().cuda.get_elapsed_time(self.raw, end_event.raw)


@export("cuda.device")
class device_context:
    """`with cuda.device(1):` "cuda" means that GPU; a negative number or None changes nothing."""

    def __init__(self, device: Any):
        index = device if isinstance(device, int) or device is None else Device(device).index
        self.index = -1 if index is None else index
        self._entered: Any = None

    def __enter__(self) -> None:
        if self.index >= 0 and cuda_is_available():
            self._entered = cuda_module().cuda.Device(self.index)
            self._entered.__enter__()

    def __exit__(self, *exc: object) -> None:
        if self._entered is not None:
            self._entered.__exit__(*exc)
