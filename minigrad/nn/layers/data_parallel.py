"""A model behind the name `module`, as programs for several devices wrap it."""

from __future__ import annotations

from typing import Any

from ...export import export
from ..module import Module


@export("nn.DataParallel", "nn.parallel.DataParallel")
class DataParallel(Module):
    """The module, called as it is; its parameters have names that begin with "module.".

    PyTorch splits the batch over the GPUs of `device_ids` along `dim`, where there are any, and
    does this where there are none. Here the batch stays whole: that is the same function, on one
    device. Training on several takes one process for each.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ):
        super().__init__()
        self.module, self.device_ids, self.dim = module, [], dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


@export("nn.parallel.data_parallel")
def data_parallel(
    module: Module, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:  # fmt: skip
    """module(*inputs, **module_kwargs), on one device, as `nn.DataParallel`."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*given, **(module_kwargs or {}))


@export("nn.parallel.replicate")
def replicate(network: Module, devices: Any, detach: bool = False) -> list[Module]:
    """The module once for each device: on one device it is the same module each time."""
    return [network for _ in devices]


@export("nn.parallel.parallel_apply")
def parallel_apply(
    modules: Any, inputs: Any, kwargs_tup: Any = None, devices: Any = None
) -> list[Any]:
    """Each module applied to its own inputs (a tuple, or one), one after the other."""
    modules, inputs = list(modules), list(inputs)
    named = [{}] * len(modules) if kwargs_tup is None else list(kwargs_tup)
    return [
        module(*(given if isinstance(given, (tuple, list)) else (given,)), **options)
        for module, given, options in zip(modules, inputs, named, strict=True)
    ]
