"""Around training: data loading (`utils.data`), trading computation for memory
(`utils.checkpoint`), measuring time (`utils.benchmark`), curves (`utils.tensorboard`), and
TorchScript's names (`scripting`, public as `jit`).
"""

from __future__ import annotations

from . import benchmark, checkpoint, data, scripting, tensorboard

__all__ = ["benchmark", "checkpoint", "data", "scripting", "tensorboard"]
