"""Building modules without first values, and memory layouts."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from ...export import export
from .. import init
from ..module import Module

M = TypeVar("M", bound=Module)


@export("nn.utils.skip_init", "nn.utils.init.skip_init")
def skip_init(module_cls: type[M], *args: Any, **kwargs: Any) -> M:
    """module_cls(*args, **kwargs) without the work of drawing first values: what is in the
    parameters is undefined, for the caller to overwrite.

    Calls of `nn.init` during construction return at once. RuntimeError unless it is a module class
    that takes a device.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    with init.skipped():
        return module_cls(*args, **kwargs)


# ------------------------------------------------------------------------------ memory layouts
def _reordered(module: M, dims: int, memory_format: Any) -> M:
    for part in module.modules():
        weight = part._parameters.get("weight")
        if weight is not None and weight.dim() == dims:
            weight.data = weight.detach().contiguous(memory_format=memory_format)  # type: ignore[attr-defined]
    return module


@export(
    "nn.utils.convert_conv2d_weight_memory_format",
    "nn.utils.memory_format.convert_conv2d_weight_memory_format",
)
def convert_conv2d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Reorder the memory of every 4-d weight inside; the module.

    Values and results stay the same. PyTorch's convolutions gain speed by it; those here copy what
    they need, whatever the order.
    """
    return _reordered(module, 4, memory_format)


@export(
    "nn.utils.convert_conv3d_weight_memory_format",
    "nn.utils.memory_format.convert_conv3d_weight_memory_format",
)
def convert_conv3d_weight_memory_format(module: M, memory_format: Any) -> M:
    """Reorder the memory of every 5-d weight inside, as the function for 2 dimensions does."""
    return _reordered(module, 5, memory_format)
