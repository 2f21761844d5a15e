"""Captured steps: `minigrad.compile(f)` runs f once, writes down what was computed, and replays
that.

trace.py     the record of one run: every function over arrays that was called, on which arrays
backward.py  the backward walk while recording: the rules it calls, in their order
program.py   the record as a list of groups, elementwise chains and small products together
lowering.py  which calls can be written as loops
native.py    a run of such calls as source code of one function, compiled by Numba
steps.py     where values live, and the steps that compute them
layout.py    one block of memory for values that do not live at the same time
switches.py  what PyTorch's programs say about compiling: accepted
replay.py    a record's program with the memory of its arguments, results and gradients
variant.py   from the first call to the replays: the check of the first one, the way back to eager
graphed.py   the same on a GPU, where the record is a CUDA graph
captured.py  `compile`, and its guards
"""

from __future__ import annotations

from . import captured, switches

__all__ = ["captured", "switches"]
