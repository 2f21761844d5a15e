"""GradScaler: a loss times a large number, so that float16 gradients do not vanish.

    scaler.scale(loss).backward()
    scaler.step(optimizer)        # divides the gradients; skips the step if one is inf or nan
    scaler.update()               # a smaller scale after a skipped step, a larger one after many

(Micikevicius et al., "Mixed precision training", 2018, section 3.2.)

On a GPU the scale, the count of good steps and whether there was an inf are in its memory: a kernel
divides all gradients, the optimizer's kernel looks whether it is to do anything, another adapts the
scale. Nothing is read, so that the whole step can be captured; an optimizer whose step is no such
kernel has to be told, which means to wait.
"""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import Any

from ..backend.devices import array_module
from ..backend.dtypes import float16, float32, int32
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..kernels import cuda
from ..ops.filled import full


@export("amp.grad_scaler.OptState")
class OptState(Enum):
    """Where an optimizer is between two calls of `update`."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


def _fresh() -> dict[str, Any]:
    return {"stage": OptState.READY, "found_inf_per_device": {}}


@export("amp.GradScaler", "amp.grad_scaler.GradScaler", "GradScaler")
class GradScaler:
    """Scales losses, unscales gradients, skips steps with inf or nan, and adapts the scale.

    After `growth_interval` steps in a row without inf the scale is multiplied by growth_factor
    (unless it would become inf); after a skipped step by backoff_factor. A disabled scaler, also
    one for a device that is absent (UserWarning), does nothing but call optimizer.step.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device = device
        self._enabled = enabled
        if device == "cuda" and enabled:
            from ..backend.devices import cuda_is_available

            if not cuda_is_available():
                warnings.warn(
                    "minigrad.cuda.amp.GradScaler is enabled, but CUDA is not available. "
                    " Disabling.",
                    stacklevel=2,
                )
                self._enabled = False
        if self._enabled:
            if not growth_factor > 1.0:
                raise AssertionError("The growth factor must be > 1.0.")
            if not backoff_factor < 1.0:
                raise AssertionError("The backoff factor must be < 1.0.")
            self._init_scale = init_scale
            self._scale: Tensor | None = None
            self._growth_factor = growth_factor
            self._backoff_factor = backoff_factor
            self._growth_interval = growth_interval
            self._init_growth_tracker = 0
            self._growth_tracker: Any = None  # an int; on a GPU a tensor
            self._found: dict[int, Tensor] = {}  # on a GPU: of each optimizer
            self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(_fresh)

    # ------------------------------------------------------------ the loop
    def scale(self, outputs: Any) -> Any:
        """A tensor, or an iterable of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._made_scale(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def _made_scale(self, device: Any) -> Tensor:
        if self._scale is None:
            self._scale = full((), self._init_scale, dtype=float32, device=device)
            self._growth_tracker = self._init_growth_tracker
            if self._scale.is_cuda:
                self._growth_tracker = full((), self._growth_tracker, dtype=int32, device=device)
        return self._scale

    def _checked(self, funcname: str) -> Tensor:
        if self._scale is None or self._growth_tracker is None:
            raise AssertionError(
                f"Attempted {funcname} but _scale is None.  This may indicate your script did not"
                " use scaler.scale(loss or outputs) earlier in the iteration."
            )
        return self._scale

    def unscale_(self, optimizer: Any) -> None:
        """Divide the optimizer's gradients by the scale: before clipping them, for instance.

        RuntimeError if that was done since the last update; ValueError for float16 gradients.
        """
        if not self._enabled:
            return
        scale = self._checked("unscale_")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        if scale.is_cuda:
            state["found_inf_per_device"] = self._unscale_there(optimizer, scale)
        else:
            state["found_inf_per_device"] = self._unscale_grads(optimizer, 1.0 / scale.item())
        state["stage"] = OptState.UNSCALED

    def _unscale_there(self, optimizer: Any, scale: Tensor) -> dict[str, Tensor]:
        """Divide all gradients on the GPU, and note there whether one was inf or nan."""
        grads = _gradients(optimizer)
        found = self._found.get(id(optimizer))
        if found is None:
            found = self._found[id(optimizer)] = full((), 0.0, device=scale.device)
        if grads:
            launch_many = cuda.launch_many
            launch_many.unscale([g._data for g in grads], scale._data, found._data)
        for g in grads:
            g._bump()
        return {str(found.device): found} if grads else {}

    def _unscale_grads(self, optimizer: Any, inverse: float) -> dict[str, Tensor]:
        """Multiply all gradients; per device whether one was inf or nan, as a float."""
        grads = _gradients(optimizer)
        found: dict[str, Tensor] = {}
        with no_grad():
            for g in grads:
                finite = bool(array_module(g._data).isfinite(g._data).all())
                known = found.setdefault(str(g.device), full((), 0.0))
                if not finite:
                    known.fill_(1.0)
                g.mul_(inverse)
        return found

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(), unless a gradient is inf or nan; its result, or None.

        Gradients are unscaled first if they were not. RuntimeError for a closure, and for a second
        step before `update`.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._checked("step")
        state = self._per_optimizer_states[id(optimizer)]
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        if not state["found_inf_per_device"]:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        result = None
        if _looks_itself(optimizer, state["found_inf_per_device"]):
            optimizer.found_inf = next(iter(state["found_inf_per_device"].values()))
            try:
                result = optimizer.step(*args, **kwargs)
            finally:
                optimizer.found_inf = None
        elif not any(v.item() for v in state["found_inf_per_device"].values()):
            result = optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Adapt the scale to whether a gradient was inf, or set it; then a new iteration begins."""
        if not self._enabled:
            return
        scale = self._checked("update")
        if new_scale is not None:
            self._set_scale(scale, new_scale)
            for known in self._found.values():
                known.fill_(0.0)
        elif scale.is_cuda:
            self._adapt_there(scale)
        else:
            states = self._per_optimizer_states.values()
            found = [v.item() for s in states for v in s["found_inf_per_device"].values()]
            if not found:
                raise AssertionError("No inf checks were recorded prior to update.")
            self._adapt(scale, any(found))
        self._per_optimizer_states = defaultdict(_fresh)

    def _adapt_there(self, scale: Tensor) -> None:
        found = [
            v for s in self._per_optimizer_states.values()
            for v in s["found_inf_per_device"].values()
        ]  # fmt: skip
        if not found:
            raise AssertionError("No inf checks were recorded prior to update.")
        for other in found[1:]:  # the first hears of all
            found[0].add_(other)
            other.fill_(0.0)
        factors = self._growth_factor, self._backoff_factor, self._growth_interval
        arrays = scale._data, self._growth_tracker._data, found[0]._data
        cuda.launch_many.update_scale(*arrays, *factors)
        scale._bump()

    def _set_scale(self, scale: Tensor, new_scale: float | Tensor) -> None:
        if isinstance(new_scale, Tensor):
            if new_scale.numel() != 1 or new_scale.requires_grad or new_scale.dtype is not float32:
                raise AssertionError(
                    "new_scale should be a float or a 1-element FloatTensor with"
                    " requires_grad=False."
                )
            new_scale = new_scale.item()
        scale.fill_(new_scale)

    def _adapt(self, scale: Tensor, found_inf: bool) -> None:
        if found_inf:
            scale.fill_(scale.item() * self._backoff_factor)
            self._growth_tracker = 0
            return
        steps = (self._growth_tracker or 0) + 1
        if steps == self._growth_interval:
            grown = full((), scale.item() * self._growth_factor, dtype=float32).item()
            if math.isfinite(grown):
                scale.fill_(grown)
            steps = 0
        self._growth_tracker = steps

    # ------------------------------------------------------------ asking and setting
    def tensors(self) -> list[Tensor]:
        """What `step` and `update` change on a GPU."""
        known = [self._scale, self._growth_tracker, *self._found.values()] if self._enabled else []
        return [t for t in known if isinstance(t, Tensor)]

    def get_scale(self) -> float:
        """The scale; 1.0 if disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        """The factor after a row of good steps."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor after a row of good steps."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor after a skipped step."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor after a skipped step."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """How many good steps make a row."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set how many good steps make a row."""
        self._growth_interval = new_interval

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        known = self._growth_tracker
        if isinstance(known, Tensor):
            return int(known.item())
        return self._init_growth_tracker if known is None else known

    def is_enabled(self) -> bool:
        """Whether this scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`. RuntimeError for one of a disabled scaler."""
        if not self._enabled:
            return
        if len(state_dict) == 0:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled"
                " instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._init_growth_tracker = state_dict["_growth_tracker"]
        if isinstance(self._growth_tracker, Tensor):
            self._growth_tracker.fill_(state_dict["_growth_tracker"])
        elif self._growth_tracker is not None:
            self._growth_tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            if self._per_optimizer_states:
                raise AssertionError(
                    "A GradScaler instance may only be pickled at the beginning of an iteration,"
                    " or at the end after scaler.update()."
                )
            state["_init_scale"] = self.get_scale()
            state["_init_growth_tracker"] = self._get_growth_tracker()
            state["_scale"] = None
            state["_growth_tracker"] = None
            state["_found"] = {}
        return state


def _gradients(optimizer: Any) -> list[Tensor]:
    """All gradients of an optimizer; ValueError for one in float16."""
    grads = [p.grad for group in optimizer.param_groups for p in group["params"]]
    grads = [g for g in grads if g is not None]
    if any(g.dtype is float16 for g in grads):
        raise ValueError("Attempting to unscale FP16 gradients.")
    return grads


def _looks_itself(optimizer: Any, found: dict[str, Tensor]) -> bool:
    """Whether the optimizer's step is a kernel that looks whether there was an inf."""
    return (
        getattr(optimizer, "_step_supports_amp_scaling", False)
        and all([v.is_cuda for v in found.values()])
        and all([p.is_cuda for group in optimizer.param_groups for p in group["params"]])
    )


@export("cpu.amp.GradScaler")
class CpuGradScaler(GradScaler):
    """The older spelling of `GradScaler("cpu", ...)`."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


@export("cuda.amp.GradScaler")
class CudaGradScaler(GradScaler):
    """The older spelling of `GradScaler("cuda", ...)`."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )
