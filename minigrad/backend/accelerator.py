"""Which kinds of devices there are: `accelerator`, and the kinds that PyTorch has besides."""

from __future__ import annotations

from typing import Any

from ..export import export
from .devices import cuda_device_count, cuda_is_available, device


@export("accelerator.is_available")
def is_available() -> bool:
    """Whether there is a device that is faster than the CPU: a CUDA device."""
    return cuda_is_available()


@export("accelerator.device_count")
def device_count() -> int:
    """The number of such devices."""
    return cuda_device_count()


@export("accelerator.current_accelerator")
def current_accelerator(check_available: bool = False) -> device | None:
    """`device("cuda")`, or None where there is none."""
    return device("cuda") if cuda_is_available() else None


@export("accelerator.device_index")
class device_index:
    """`with accelerator.device_index(1):` that device is the current one; None changes nothing."""

    def __init__(self, device: int | None):
        from .cuda import device_context

        self._inner = device_context(device)

    def __enter__(self) -> None:
        self._inner.__enter__()

    def __exit__(self, *exc: object) -> None:
        self._inner.__exit__(*exc)


@export("cpu.is_available")
def cpu_is_available() -> bool:
    """Always True."""
    return True


@export("cpu.device_count")
def cpu_device_count() -> int:
    """One: there is one main memory."""
    return 1


@export("cpu.current_device")
def cpu_current_device() -> str:
    """Always "cpu"."""
    return "cpu"


@export(
    "mps.is_available", "xpu.is_available", "mtia.is_available", "backends.mps.is_available",
    "backends.mps.is_built", "backends.xnnpack.is_available", "is_vulkan_available",
)  # fmt: skip
def never() -> bool:
    """Always False: minigrad computes on CPUs and CUDA devices."""
    return False


@export("mps.device_count", "xpu.device_count", "mtia.device_count")
def none() -> int:
    """Always 0: minigrad computes on CPUs and CUDA devices."""
    return 0


@export("get_device_module")
def get_device_module(device: Any = None) -> Any:
    """The namespace `minigrad.cpu` or `minigrad.cuda` of a device (default: the accelerator's)."""
    import sys

    kind = current_accelerator() or "cpu" if device is None else device
    name = str(kind).partition(":")[0]
    found = sys.modules.get(f"{__name__.partition('.')[0]}.{name}")
    if name not in ("cpu", "cuda", "mps", "xpu", "mtia") or found is None:
        raise RuntimeError(f"Device '{name}' does not have a corresponding module registered")
    return found
