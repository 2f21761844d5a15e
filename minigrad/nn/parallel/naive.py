"""Data-parallel training as one explains it: N processes, one model, averaged gradients.

1. All start from the same weights: those of rank 0.
2. Each computes the gradients of its own part of the batch.
3. The gradients are averaged over the ranks before the optimizer sees them, so all take the same
   step and have the same weights again.

The mean of N means over b samples each is the mean over N·b samples: N ranks with batch b do what
one process does with batch N·b. And because the sum over ranks is the same to the last bit
everywhere, the weights never part.

DistributedDataParallel does the same faster: it averages many gradients at a time, while backward
still computes the others.
"""

from __future__ import annotations

from typing import Any

from ...core.tensor import Tensor
from ...distributed import ReduceOp, all_reduce, broadcast
from ..module import Module


class NaiveDistributedDataParallel(Module):
    """The module, with gradients averaged over all ranks one by one during backward."""

    def __init__(self, module: Module, process_group: Any = None):
        super().__init__()
        self.module, self.process_group = module, process_group
        for tensor in module.state_dict().values():
            broadcast(tensor, group=process_group, group_src=0)
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(self._average)

    def _average(self, parameter: Tensor) -> None:
        all_reduce(parameter.grad, ReduceOp.AVG, self.process_group)  # type: ignore[arg-type]

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)
