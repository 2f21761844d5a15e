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
