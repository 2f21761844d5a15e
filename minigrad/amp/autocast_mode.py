"""autocast: lower precision where it is safe, float32 where it is not."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ..backend.dtypes import DType, bfloat16, float16
from ..core.tensor import Tensor
from ..export import export
from .policies import NAMES, cast, clear_cache
from .state import (
    STATE,
    Setting,
    check_device,
    get_autocast_dtype,
    is_autocast_enabled,
)

_SUPPORTED = {"cpu": (bfloat16, float16), "cuda": (bfloat16, float16)}


@export("autocast", "amp.autocast", "amp.autocast_mode.autocast")
class autocast:
    """Inside, products and convolutions of float32 tensors run in bfloat16 (or float16).

    with minigrad.autocast("cpu", dtype=minigrad.bfloat16):
        loss = loss_of(model(x), y)
    loss.backward()                    # gradients of float32 parameters are float32

    Casts are differentiable, and those of parameters are kept until the outermost block ends
    (cache_enabled). Which ops are cast: `amp.policies`. Blocks nest, `enabled=False` switches off
    inside; also a decorator. An unsupported dtype, or a device that is absent, disables it with a
    UserWarning; ValueError or RuntimeError for a device_type that does not exist.
    """

    def __init__(
        self,
        device_type: str,
        dtype: DType | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        self.device = check_device(device_type)
        state = STATE.get()
        self.fast_dtype = state.of(device_type).dtype if dtype is None else dtype
        self._cache_enabled = state.cache if cache_enabled is None else cache_enabled
        self._enabled = bool(enabled) and self._possible()
        self._outer: list[tuple[Any, bool]] = []

    def _possible(self) -> bool:
        if self.device == "cuda":
            from ..backend.devices import cuda_is_available

            if not cuda_is_available():
                warnings.warn(
                    "CUDA is not available or torch_xla is imported. Disabling autocast.",
                    stacklevel=3,
                )
                return False
        if self.fast_dtype not in _SUPPORTED[self.device]:
            names = ", ".join(f"minigrad.{d.name}" for d in _SUPPORTED[self.device])
            warnings.warn(
                f"In {self.device.upper()} autocast, but the target dtype is not supported."
                f" Disabling autocast.\n{self.device.upper()} Autocast only supports dtypes of"
                f" {names} currently.",
                stacklevel=3,
            )
            return False
        return True

    def __enter__(self) -> autocast:
        state = STATE.get()
        self._outer.append((state, self._enabled))
        if self._enabled:
            NAMES.hold()
        new = state.changed(self.device, Setting(self._enabled, self.fast_dtype))
        STATE.set(new._replace(cache=self._cache_enabled, nesting=state.nesting + 1))
        return self

    def __exit__(self, *exc: object) -> bool:
        state, held = self._outer.pop()
        if held:
            NAMES.release()
        if state.nesting == 0:
            clear_cache()
        STATE.set(state)
        return False

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return run


@export("set_autocast_enabled")
def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off in this thread until it is switched again.

    `set_autocast_enabled(flag)` is the older form, for "cuda".
    """
    if enabled is None:
        device_type, enabled = "cuda", device_type
    state = STATE.get()
    setting = state.of(check_device(device_type))
    if enabled and not setting.enabled:
        NAMES.hold()
    elif setting.enabled and not enabled:
        NAMES.release()
    STATE.set(state.changed(device_type, setting._replace(enabled=bool(enabled))))


@export("clear_autocast_cache")
def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    clear_cache()


@export("autocast_increment_nesting")
def autocast_increment_nesting() -> int:
    """One block deeper; returns the depth."""
    state = STATE.get()
    STATE.set(state._replace(nesting=state.nesting + 1))
    return state.nesting + 1


@export("autocast_decrement_nesting")
def autocast_decrement_nesting() -> int:
    """One block up; returns the depth."""
    state = STATE.get()
    STATE.set(state._replace(nesting=state.nesting - 1))
    return state.nesting - 1


# ------------------------------------------------------------------------------ older names
def _warn_old(device: str) -> None:
    warnings.warn(
        f"`minigrad.{device}.amp.autocast(args...)` is deprecated. Please use"
        f" `minigrad.amp.autocast('{device}', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


@export("cpu.amp.autocast")
class cpu_autocast(autocast):
    """The older spelling of `autocast("cpu", ...)`."""

    def __init__(self, enabled: bool = True, dtype: DType = bfloat16, cache_enabled: bool = True):
        _warn_old("cpu")
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


@export("cuda.amp.autocast")
class cuda_autocast(autocast):
    """The older spelling of `autocast("cuda", ...)`."""

    def __init__(self, enabled: bool = True, dtype: DType = float16, cache_enabled: bool = True):
        _warn_old("cuda")
        super().__init__("cuda", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


# ------------------------------------------------------------------------------ own Functions
@export("amp.custom_fwd", "amp.autocast_mode.custom_fwd")
def custom_fwd(
    fwd: Callable[..., Any] | None = None, *, device_type: str, cast_inputs: DType | None = None
) -> Any:
    """Decorator of a Function's forward: what autocast does there, and in its backward.

    With cast_inputs, floating tensors are brought to that dtype and autocast is off inside, if it
    was on; else the state at the call holds in forward and, by `custom_bwd`, in backward.
    """
    check_device(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(*args: Any, **kwargs: Any) -> Any:
        ctx, on = args[0], is_autocast_enabled(device_type)
        ctx._dtype = get_autocast_dtype(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = on
            return fwd(*args, **kwargs)
        ctx._fwd_used_autocast = False
        if not on:
            return fwd(*args, **kwargs)
        with autocast(device_type, enabled=False):
            inputs = [cast_input(a, cast_inputs) for a in args]
            return fwd(*inputs, **{k: cast_input(v, cast_inputs) for k, v in kwargs.items()})

    return forward


def cast_input(value: Any, dtype: DType) -> Any:
    """A floating tensor in `dtype`, also inside containers; float64 and all else as it is."""
    return cast(value, dtype) if isinstance(value, (Tensor, list, tuple, dict)) else value


@export("amp.custom_bwd", "amp.autocast_mode.custom_bwd")
def custom_bwd(bwd: Callable[..., Any] | None = None, *, device_type: str) -> Any:
    """Decorator of a Function's backward: autocast is there what it was in forward."""
    check_device(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(*args: Any, **kwargs: Any) -> Any:
        ctx = args[0]
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(*args, **kwargs)

    return backward


@export("cuda.amp.custom_fwd")
def cuda_custom_fwd(
    fwd: Callable[..., Any] | None = None, *, cast_inputs: DType | None = None
) -> Any:
    """The older spelling of `amp.custom_fwd(device_type="cuda")`."""
    return custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


@export("cuda.amp.custom_bwd")
def cuda_custom_bwd(bwd: Callable[..., Any]) -> Any:
    """The older spelling of `amp.custom_bwd(device_type="cuda")`."""
    return custom_bwd(bwd, device_type="cuda")
