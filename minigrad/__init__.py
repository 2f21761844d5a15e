"""minigrad: define-by-run tensors with automatic differentiation, in Python, with PyTorch's
meaning.

    import minigrad as mg

    x = mg.randn(64, 2)
    model = mg.nn.Sequential(mg.nn.Linear(2, 32), mg.nn.Tanh(), mg.nn.Linear(32, 1))
    loss = model(x).square().mean()
    loss.backward()

The package in reading order, lower layers first:

    export, config, errors   a public name is declared where the thing is defined; switches; error
    texts
    backend                  dtypes, devices, random generators
    kernels                  the same functions of arrays, compiled
    core                     tensors, nodes, primitives, the backward walk: the pages to read first
    ops                      differentiable functions, a family a file
    nn, optim, utils, io     layers, optimizers, data loading, checkpoints
    amp, distributions       mixed precision; probability distributions (imported when first used)
    rl                       reinforcement learning, from GridWorld to PPO (likewise)
    distributed              process groups, collectives (imported when first used)
    compiler                 captured steps
    models, alignment        language models; SFT, PPO, DPO (imported when first used)
    testing, debug           gradcheck, comparison, drawing

Public names are gathered from their `@export` declarations by `export.populate`.
"""

from __future__ import annotations

import gc
import importlib
import math
import warnings
from typing import Any

# NumPy reports overflow and 0/0 as warnings, PyTorch as inf and nan. Silenced for minigrad's own
# frames only: a user's NumPy code keeps its warnings, and an op pays nothing (np.errstate costs as
# much as a small op).
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"minigrad\.")

pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
newaxis = None

# large, and not everybody's: imported at the first look
_LAZY = frozenset({"alignment", "distributed", "distributions", "models", "rl"})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "__version__",
    "amp",
    "autograd",
    "compiler",
    "config",
    "debug",
    "io",
    "nn",
    "optim",
    "profiler",
    "testing",
    "utils",
]
__all__ += ["engine", "function", "methods"]

_COLLECTING = gc.isenabled()
gc.disable()  # what is made below stays: to look through it for garbage would take a tenth longer
try:
    from . import amp, autograd, compiler, config, debug, io, nn, optim, profiler, testing, utils
    from . import futures as futures
    from . import multiprocessing as multiprocessing
    from . import version as version
    from ._version import __version__
    from .backend import memory
    from .core import engine, function
    from .export import populate
    from .ops import methods

    if config.malloc == "auto":
        memory.keep()
    populate("minigrad")
finally:
    if not gc.get_freeze_count():  # old at once, without the first look at it
        gc.freeze()
        gc.unfreeze()
    if _COLLECTING:
        gc.enable()
