"""What autocast is set to in this thread: one immutable value in a context variable."""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import Any, NamedTuple

from ..backend.dtypes import DType, bfloat16, float16
from ..export import export


class Setting(NamedTuple):
    """Autocast of one kind of device."""

    enabled: bool
    dtype: DType


class State(NamedTuple):
    """Autocast of this thread. `nesting` counts the blocks that it is in."""

    cpu: Setting = Setting(False, bfloat16)
    cuda: Setting = Setting(False, float16)
    cache: bool = True
    nesting: int = 0

    def of(self, device_type: str) -> Setting:
        return self.cuda if device_type == "cuda" else self.cpu

    def changed(self, device_type: str, setting: Setting) -> State:
        return self._replace(**{device_type: setting})


_OFF = State()
STATE: ContextVar[State] = ContextVar("minigrad_autocast", default=_OFF)
DEVICES = ("cpu", "cuda")
_ALL_TYPES = (
    "cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, vulkan, "
    "mps, meta, hpu, mtia, privateuseone"
)


def check_device(device_type: Any) -> str:
    """The device type; ValueError for what is no string, RuntimeError for an unknown device."""
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in DEVICES:
        if device_type in _ALL_TYPES.split(", "):
            raise RuntimeError(
                f"User specified an unsupported autocast device_type '{device_type}'"
            )
        raise RuntimeError(
            f"Expected one of {_ALL_TYPES} device type at start of device string: {device_type}"
        )
    return device_type


@export("amp.autocast_mode.is_autocast_available", "amp.is_autocast_available")
def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows this kind of device."""
    return device_type in DEVICES


@export("is_autocast_enabled")
def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether autocast is on in this thread for the kind of device."""
    return STATE.get().of(check_device(device_type)).enabled


@export("get_autocast_dtype")
def get_autocast_dtype(device_type: str) -> DType:
    """The dtype that autocast uses, or would use."""
    return STATE.get().of(check_device(device_type)).dtype


@export("set_autocast_dtype")
def set_autocast_dtype(device_type: str, dtype: DType) -> None:
    """Choose the dtype for autocast that is switched on by `set_autocast_enabled`."""
    state = STATE.get()
    setting = state.of(check_device(device_type))
    STATE.set(state.changed(device_type, setting._replace(dtype=dtype)))


@export("is_autocast_cache_enabled")
def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept until the outermost block ends."""
    return STATE.get().cache


@export("set_autocast_cache_enabled")
def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep casts of parameters, or make them anew for each op."""
    STATE.set(STATE.get()._replace(cache=enabled))


def _old(name: str, device_type: str, use: str) -> None:
    warnings.warn(
        f"minigrad.{name}() is deprecated. Please use minigrad.{use}('{device_type}') instead.",
        DeprecationWarning,
        stacklevel=3,
    )


@export("is_autocast_cpu_enabled")
def is_autocast_cpu_enabled() -> bool:
    """The older spelling of `is_autocast_enabled("cpu")`."""
    _old("is_autocast_cpu_enabled", "cpu", "is_autocast_enabled")
    return is_autocast_enabled("cpu")


@export("get_autocast_cpu_dtype")
def get_autocast_cpu_dtype() -> DType:
    """The older spelling of `get_autocast_dtype("cpu")`."""
    _old("get_autocast_cpu_dtype", "cpu", "get_autocast_dtype")
    return get_autocast_dtype("cpu")


@export("get_autocast_gpu_dtype")
def get_autocast_gpu_dtype() -> DType:
    """The older spelling of `get_autocast_dtype("cuda")`."""
    _old("get_autocast_gpu_dtype", "cuda", "get_autocast_dtype")
    return get_autocast_dtype("cuda")
