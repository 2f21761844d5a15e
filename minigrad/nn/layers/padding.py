"""Padding layers: zeros, a constant, reflected, replicated and circular, in 1 to 3 dimensions."""

from __future__ import annotations

from typing import Any

from ...export import export
from ...ops.pad import pad
from ..module import Module


class _Pad(Module):
    """Pads the last `dims` dimensions by (last before, last after, second last before, ...)."""

    dims: int
    mode: str

    def __init__(self, padding: Any):
        super().__init__()
        n = 2 * self.dims
        self.padding = tuple(padding) if isinstance(padding, tuple | list) else (padding,) * n

    def forward(self, input: Any) -> Any:
        return pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Any, value: float):
        super().__init__(padding)
        self.value = value

    def forward(self, input: Any) -> Any:
        return pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


@export("nn.ConstantPad1d")
class ConstantPad1d(_ConstantPad):
    """(N, C, L) or (C, L) with `value` around it; negative sides cut."""

    dims = 1


@export("nn.ConstantPad2d")
class ConstantPad2d(_ConstantPad):
    """(N, C, H, W) or (C, H, W) with `value` around it; negative sides cut."""

    dims = 2


@export("nn.ConstantPad3d")
class ConstantPad3d(_ConstantPad):
    """(N, C, D, H, W) or (C, D, H, W) with `value` around it; negative sides cut."""

    dims = 3


@export("nn.ZeroPad1d")
class ZeroPad1d(ConstantPad1d):
    """(N, C, L) or (C, L) with zeros around it."""

    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


@export("nn.ZeroPad2d")
class ZeroPad2d(ConstantPad2d):
    """(N, C, H, W) or (C, H, W) with zeros around it."""

    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


@export("nn.ZeroPad3d")
class ZeroPad3d(ConstantPad3d):
    """(N, C, D, H, W) or (C, D, H, W) with zeros around it."""

    def __init__(self, padding: Any):
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


class _ReflectionPad(_Pad):
    mode = "reflect"


@export("nn.ReflectionPad1d")
class ReflectionPad1d(_ReflectionPad):
    """(N, C, L) or (C, L) continued by its mirror image; the edge is not repeated."""

    dims = 1


@export("nn.ReflectionPad2d")
class ReflectionPad2d(_ReflectionPad):
    """(N, C, H, W) or (C, H, W) continued by its mirror image; the edge is not repeated."""

    dims = 2


@export("nn.ReflectionPad3d")
class ReflectionPad3d(_ReflectionPad):
    """(N, C, D, H, W) or (C, D, H, W) continued by its mirror image; the edge is not repeated."""

    dims = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


@export("nn.ReplicationPad1d")
class ReplicationPad1d(_ReplicationPad):
    """(N, C, L) or (C, L) continued by its edge elements."""

    dims = 1


@export("nn.ReplicationPad2d")
class ReplicationPad2d(_ReplicationPad):
    """(N, C, H, W) or (C, H, W) continued by its edge elements."""

    dims = 2


@export("nn.ReplicationPad3d")
class ReplicationPad3d(_ReplicationPad):
    """(N, C, D, H, W) or (C, D, H, W) continued by its edge elements."""

    dims = 3


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Any) -> Any:
        n = self.dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


@export("nn.CircularPad1d")
class CircularPad1d(_CircularPad):
    """(N, C, L) or (C, L) continued from its other end. ValueError for other dimensions."""

    dims = 1


@export("nn.CircularPad2d")
class CircularPad2d(_CircularPad):
    """(N, C, H, W) or (C, H, W) continued from its other end. ValueError for other dimensions."""

    dims = 2


@export("nn.CircularPad3d")
class CircularPad3d(_CircularPad):
    """(N, C, D, H, W) or (C, D, H, W) continued from its other end. ValueError for other
    dimensions.
    """

    dims = 3
