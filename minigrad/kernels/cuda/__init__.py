"""CUDA kernels as source text: made from the same formulas as the CPU's loops, or written by hand.

expressions.py  a formula called with symbols leaves behind the CUDA C that computes it
source.py       what a kernel is: a name, a text, and how many threads it wants
elementwise.py  a formula over arrays, in one piece or broadcast by strides
rows.py         softmax, cross-entropy, layer and RMS norm: a warp or a block to each row
reductions.py   sums, extrema, products: two passes in a fixed order
dropout.py      Philox's random bits, by the counters of PyTorch's CUDA generator
embedding.py    gradients of looked-up rows, summed in order of position
many.py         many arrays in one launch: optimizers' steps, the norm of all gradients
launch.py       compiling with CuPy, and starting; launch_many.py the same for many.py
cublaslt.py     NVIDIA's library of matrix products by its C interface
batch_norm.py   batch norm of images
convolution.py  convolutions and their gradients without columns
attention.py    softmax(QKᵀ)V and its gradients in tiles
dnn.py          cuDNN for both, where it is there
gemm.py         products of arrays as its problems

Nothing here needs a GPU, CuPy or a compiler until launch.py is asked to start a kernel: a `Source`
is text, which tests compile, and run on the CPU against the formulas (docs/gpu.md).
"""

from __future__ import annotations

import importlib
from typing import Any

MODULES = ("attention", "batch_norm", "convolution", "gemm", "launch", "launch_many")
"""Imported, with all they need, when they are first asked for: a fiftieth of the time to import
minigrad.
"""


def __getattr__(name: str) -> Any:
    if name in MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
