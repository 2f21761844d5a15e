"""The workloads: each written once, for every library with PyTorch's API.

    base.py        what a workload is
    pointwise.py   elementwise functions, reductions, softmax, losses, dropout
    dense.py       matrix products, attention, normalisation, recurrent layers
    images.py      convolution, pooling, resizing
    experts.py     a mixture of experts as a layer
    memory.py      indexing, sorting, layouts
    optimizers.py  one step over a list of parameters
    models.py      the models of
    steps.py       training steps and
    inference.py   inference
    jax_steps.py   two of the steps in JAX, whose API is another

`WORKLOADS` holds them all by name: ops, then steps, then inference.
"""

from __future__ import annotations

from . import dense, experts, images, inference, memory, optimizers, pointwise, steps
from .base import KINDS, REGISTRY, SIZES, Results, Task, Workload, plain

WORKLOADS: dict[str, Workload] = dict(
    sorted(REGISTRY.items(), key=lambda item: KINDS.index(item[1].kind))
)

__all__ = [
    "KINDS",
    "SIZES",
    "WORKLOADS",
    "Results",
    "Task",
    "Workload",
    "dense",
    "experts",
    "images",
    "inference",
    "memory",
    "optimizers",
    "plain",
    "pointwise",
    "steps",
]
