"""CUDA kernels as source text: made from the same formulas as the CPU's loops, or written by hand.

expressions.py  a formula called with symbols leaves behind the CUDA C that computes it
source.py       what a kernel is: a name, a text, and how many threads it wants
elementwise.py  a formula over arrays, in one piece or broadcast by strides
rows.py         softmax, cross-entropy, layer and RMS norm: a warp or a block to each row
reductions.py   sums, extrema, products: two passes in a fixed order
dropout.py      Philox's random bits, by the counters of PyTorch's CUDA generator
embedding.py    gradients of looked-up rows, summed in order of position
optimizers.py   an optimizer's formula over flat buffers
launch.py       compiling with CuPy, and starting

Nothing here needs a GPU, CuPy or a compiler until launch.py is asked to start a kernel: a `Source`
is text, which tests compile, and run on the CPU against the formulas (docs/gpu.md).
"""

from __future__ import annotations

import importlib
from typing import Any

from ..cpu import loops


class _Launch:
    """launch.py, imported when an array on a GPU first asks for it: `import minigrad` does not
    wait for what machines without one never use.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(".launch", __name__), name)


launch: Any = _Launch()


def _run_loop(*args: Any) -> Any:
    return launch.run_loop(*args)


loops.on_device = _run_loop
