"""Captured steps: `minigrad.compile(f)` runs f once, writes down what was computed, and replays
that.

trace.py     the record of one run: every function over arrays that was called, on which arrays
backward.py  the backward walk while recording: the rules it calls, in their order
layout.py    where the arrays of a record live: one block of memory, reused as values die
program.py   the record as a list of steps, elementwise chains and small products together
native.py    a run of such steps as source code of one function, compiled by Numba
switches.py  what PyTorch's programs say about compiling: accepted
replay.py    a record's program with the memory of its arguments, results and gradients
variant.py   from the first call to the replays: the check of the first one, the way back to eager
graphed.py   the same on a GPU, where the record is a CUDA graph
captured.py  `compile`, and its guards
"""

from __future__ import annotations

from . import captured, switches

__all__ = ["captured", "switches"]
