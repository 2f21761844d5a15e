"""Around training: data loading (`utils.data`), trading computation for memory
(`utils.checkpoint`), measuring time (`utils.benchmark`), curves (`utils.tensorboard`), trees
(`pytree`, public as `utils._pytree`), TorchScript's names (`scripting`, public as `jit`), and those
of parts of PyTorch that there are not (`elsewhere`).
"""

from __future__ import annotations

from . import (
    benchmark,
    checkpoint,
    data,
    elsewhere,
    pytree,
    scripting,
    tensorboard,
)

__all__ = [
    "benchmark",
    "checkpoint",
    "data",
    "elsewhere",
    "pytree",
    "scripting",
    "tensorboard",
]
