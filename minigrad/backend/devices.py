"""Devices: what `device="cuda:0"` means, which one is the default, and which library computes on an
array.

A device object is only a name: it can be made, compared and pickled on a machine without a GPU, as
in PyTorch. `canonical_device` is where a name has to become a place: it answers `CPU` or a numbered
CUDA device that is really there, or says what is missing. CuPy is imported when the first CUDA
device is used, and never for a question.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import numpy as np

from ..export import export

F = TypeVar("F", bound=Callable[..., Any])

# The types that PyTorch knows: programs name some of them without using them.
TYPES = (
    "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia",
    "xla", "lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone",
)  # fmt: skip
_STRING = re.compile(r"([A-Za-z_]+)(?::(0|[1-9][0-9]*))?")
_made: dict[tuple[str, int | None], device] = {}


@export("device")
class device:
    """Where a tensor lives: `device("cpu")`, `device("cuda")`, `device("cuda:1")`, `device("cuda",
    1)`, `device(1)`.

    `.type` is "cpu" or "cuda", `.index` an int or None (the current one). Immutable and hashable;
    equal devices are the same object. As a context manager or decorator it is the default device
    inside. RuntimeError for a string that is no device, TypeError for anything else.
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __new__(cls, type: Any = None, index: int | None = None) -> device:
        key = _parse(type, index)
        found = _made.get(key)
        if found is None:
            new = object.__new__(cls)
            object.__setattr__(new, "type", key[0])
            object.__setattr__(new, "index", key[1])
            found = _made.setdefault(key, new)  # two threads may both get here
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"attribute {name!r} of 'minigrad.device' objects is not writable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"attribute {name!r} of 'minigrad.device' objects is not writable")

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(self, *exc: object) -> None:
        _entered.set(_entered.get()[:-1])

    def __call__(self, func: F) -> F:
        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return run  # type: ignore[return-value]


def _parse(type: Any, index: Any) -> tuple[str, int | None]:
    """(type, index) of the arguments of `device`."""
    if isinstance(type, device):
        if index is not None:
            raise TypeError("device(): argument 'type' (position 1) must be str, not device")
        return type.type, type.index
    if isinstance(type, (int, np.integer)) and not isinstance(type, bool) and index is None:
        return _accelerator(int(type))
    if not isinstance(type, str):
        got = ", ".join(v.__class__.__name__ for v in (type, index) if v is not None)
        raise TypeError(
            f"device() received an invalid combination of arguments - got ({got}), but expected "
            "one of: (device device), (str type, int index=None), (int index)"
        )
    name, number = _parse_string(type)
    if index is None:
        return name, number
    if not isinstance(index, (int, np.integer)) or isinstance(index, bool):
        got = index.__class__.__name__
        raise TypeError(f"device(): argument 'index' (position 2) must be int, not {got}")
    if number is not None:
        raise RuntimeError(
            f"type (string) must not include an index because index was passed explicitly: {type}"
        )
    if index < 0:
        raise RuntimeError("Device index must not be negative")
    return name, int(index)


def _parse_string(text: str) -> tuple[str, int | None]:
    if not text:
        raise RuntimeError("Device string must not be empty")
    match = _STRING.fullmatch(text)
    if match is None:
        raise RuntimeError(f"Invalid device string: '{text}'")
    name, number = match.groups()
    if name not in TYPES:
        raise RuntimeError(
            f"Expected one of {', '.join(TYPES)} device type at start of device string: {name}"
        )
    return name, None if number is None else int(number)


def _accelerator(index: int) -> tuple[str, int]:
    """A bare number counts the devices of the accelerator that this machine has."""
    if index < 0:
        raise RuntimeError("Device index must not be negative")
    if not cuda_is_available():
        raise RuntimeError("Cannot access accelerator device when none is available.")
    return "cuda", index


CPU = device("cpu")
# Both per thread and asyncio task. A `with device(...)` inside outranks set_default_device.
_default: ContextVar[device] = ContextVar("minigrad_default_device", default=CPU)
_entered: ContextVar[tuple[device, ...]] = ContextVar("minigrad_entered_devices", default=())


@export("get_default_device")
def get_default_device() -> device:
    """Where tensors are made if no device is given: of `with device(...)`, or the set default."""
    entered = _entered.get()
    found = entered[-1] if entered else _default.get()
    if found.type == "cuda" and found.index is None:
        return canonical_device(found)
    return found


@export("set_default_device")
def set_default_device(device: Any) -> None:
    """Make tensors on `device` (None: the CPU) in this thread where no device is given."""
    _default.set(CPU if device is None else _as_device(device))


def _as_device(d: Any) -> device:
    return d if isinstance(d, device) else device(d)


def canonical_device(d: Any = None) -> device:
    """The place that `d` means: `CPU`, or a CUDA device with its number; None is the default
    device.

    TypeError if `d` is no device, string or number; RuntimeError if this machine or minigrad has no
    such device, saying what is missing.
    """
    if d is None:
        entered = _entered.get()
        d = entered[-1] if entered else _default.get()
    if d is CPU or d == "cpu":
        return CPU
    if not isinstance(d, (device, str, int, np.integer)) or isinstance(d, bool):
        raise TypeError(f"argument 'device' must be minigrad.device, not {d.__class__.__name__}")
    d = _as_device(d)
    if d.type == "cpu":
        return CPU  # there is one main memory, whatever the index
    if d.type != "cuda":
        raise RuntimeError(
            f"minigrad has no {d.type} devices, but got device '{d}'\n  help: use 'cpu' or 'cuda'"
        )
    return _cuda_device(d)


def _cuda_device(d: device) -> device:
    """A CUDA device that exists, with its number, or the reason why not."""
    count = require_cuda(f"device '{d}'")
    if d.index is None:
        return device("cuda", cuda_module().cuda.Device().id)
    if d.index >= count:
        raise RuntimeError(
            f"invalid device ordinal: there is no device '{d}', the highest is 'cuda:{count - 1}'"
        )
    return d


def require_cuda(feature: str) -> int:
    """The number of CUDA devices; RuntimeError saying what `feature` lacks if there is none."""
    if not _has_cupy():
        raise RuntimeError(
            f"{feature} needs CuPy, which is not installed\n"
            "  help: pip install 'minigrad[cuda]', or compute on device='cpu'"
        )
    count = _driver_device_count()
    if count is None:
        raise RuntimeError(
            f"{feature} needs an NVIDIA driver, and this machine has none (no {_driver()})\n"
            "  help: install the driver, or compute on device='cpu'"
        )
    if count == 0:
        raise RuntimeError(
            f"{feature} needs a CUDA device, and the NVIDIA driver finds none\n"
            "  help: look at nvidia-smi and CUDA_VISIBLE_DEVICES, or compute on device='cpu'"
        )
    return count


@export("cuda.is_available")
def cuda_is_available() -> bool:
    """Whether CuPy, an NVIDIA driver and a device are there. Only looks: CuPy is not imported."""
    return cuda_device_count() > 0


@export("cuda.device_count")
def cuda_device_count() -> int:
    """The number of CUDA devices that can be used; 0 without CuPy or without a driver."""
    return (_driver_device_count() or 0) if _has_cupy() else 0


def _has_cupy() -> bool:
    return sys.modules.get("cupy") is not None or importlib.util.find_spec("cupy") is not None


def _driver() -> str:
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@functools.cache
def _driver_device_count() -> int | None:
    """What the NVIDIA driver counts (it honours CUDA_VISIBLE_DEVICES); None without a driver."""
    try:
        driver = ctypes.CDLL(_driver())
    except OSError:
        return None
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def cuda_module() -> Any:
    """CuPy, imported now if it was not; RuntimeError as `require_cuda` if it cannot work."""
    found = sys.modules.get("cupy")
    if found is None:
        require_cuda("this operation")
        found = importlib.import_module("cupy")
    if found is not _prepared.get("cupy"):
        _prepared["cupy"] = found
        importlib.import_module(".allocator", __package__).install(found)
    return found


_prepared: dict[str, Any] = {}
"""The CuPy that has been told where to ask for memory."""


def row_major(x: Any) -> Any:
    """x, or a copy in row-major order: the order of what PyTorch reduces, scans, joins and picks,
    however the argument lies in memory. (NumPy keeps the order, and `view` of a result would fail.)
    """
    return x if x.ndim < 2 or x.flags.c_contiguous else array_module(x).ascontiguousarray(x)


def array_module(x: Any) -> Any:
    """numpy or cupy, whichever computes on the array `x`; numpy for anything that is no array."""
    if type(x) is np.ndarray:
        return np
    cupy = sys.modules.get("cupy")
    return cupy if cupy is not None and isinstance(x, cupy.ndarray) else np


def device_of(x: Any) -> device:
    """The device on which the array `x` lives."""
    return CPU if array_module(x) is np else device("cuda", x.device.id)
