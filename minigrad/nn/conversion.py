"""Changing all tensors of a module: device, dtype, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..backend.devices import device as Device
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..ops.creation import empty, empty_like

C = TypeVar("C", bound="Convertible")


class Convertible:
    """The part of Module that moves and casts; parameters stay the same objects throughout."""

    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    children: Callable[[], Iterator[Any]]

    def apply(self: C, fn: Callable[[Any], Any]) -> C:
        """Call fn on every module inside, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: C, fn: Callable[[Tensor], Any], recurse: bool = True) -> C:
        """Replace the contents of every parameter, its gradient, and every buffer by fn of them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        with no_grad():
            for param in self._parameters.values():
                if param is not None:
                    param.data = fn(param.detach())
                    if param._grad is not None:
                        param._grad = fn(param._grad.detach())
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self: C, *args: Any, **kwargs: Any) -> C:
        """Move to a device, cast floating parameters and buffers to a dtype, or both, in place.

        `to(device, dtype, non_blocking)`, `to(dtype)`, `to(tensor)`; memory_format is for tensors
        of 4 and 5 dimensions. TypeError for a dtype that is neither floating nor complex.
        """
        memory_format = kwargs.pop("memory_format", None)
        probe: Any = empty(0)
        probe = probe.to(*args, **kwargs)  # checks the arguments before anything changes
        if not (probe.is_floating_point() or probe.is_complex()):
            raise TypeError(
                "nn.Module.to only accepts floating point or complex dtypes, but got desired "
                f"dtype={probe.dtype}"
            )
        given = [a for a in (*args, *kwargs.values()) if not isinstance(a, bool)]
        moved = any(isinstance(a, str | int | Device | Tensor) for a in given)

        def move(t: Any) -> Any:
            if t.is_floating_point() or t.is_complex():
                layout = {"memory_format": memory_format} if t.dim() in (4, 5) else {}
                return t.to(*args, **kwargs, **layout)
            return t.to(probe.device) if moved else t

        return self._apply(move)

    def to_empty(self: C, *, device: Any, recurse: bool = True) -> C:
        """Move to a device without copying the contents."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def _cast(self: C, name: str) -> C:
        return self._apply(lambda t: getattr(t, name)() if t.is_floating_point() else t)

    def float(self: C) -> C:
        """Floating parameters and buffers to float32."""
        return self._cast("float")

    def double(self: C) -> C:
        """Floating parameters and buffers to float64."""
        return self._cast("double")

    def half(self: C) -> C:
        """Floating parameters and buffers to float16."""
        return self._cast("half")

    def bfloat16(self: C) -> C:
        """Floating parameters and buffers to bfloat16."""
        return self._cast("bfloat16")

    def type(self: C, dst_type: Any) -> C:
        """All parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))  # type: ignore[attr-defined]

    def cpu(self: C) -> C:
        """Everything to main memory."""
        return self._apply(lambda t: t.cpu())  # type: ignore[attr-defined]

    def cuda(self: C, device: Any = None) -> C:
        """Everything to a GPU."""
        return self._apply(lambda t: t.cuda(device))  # type: ignore[attr-defined]

    def share_memory(self: C) -> C:
        """For programs that call it: processes get copies here."""
        return self
