"""`@loop`: the inner loops of the tabular methods, compiled when they are first called.

    @loop
    def walk(rng, steps, visits): ...

    walk(rng, 1000, visits)             # compiled on the caller's thread; as Python without Numba
    walk.run(work, rng, 1000, visits)   # its prange loops on all threads, if the work is worth it
    walk.function(rng, 1000, visits)    # as Python, to debug

A NumPy `Generator` may be an argument: compiled or not, a loop draws the same numbers from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernels.cpu import compiler
from ..kernels.cpu.compiler import prange

__all__ = ["Loop", "choose", "helper", "loop", "prange"]


class Loop(compiler.Kernel):
    """A kernel that stays on the caller's thread unless asked, and is Python without Numba."""

    def __call__(self, *args: Any) -> Any:
        return (self.serial if compiler.enabled() else self.function)(*args)

    def run(self, work: int, *args: Any) -> Any:
        if work >= PARALLEL and compiler.enabled():
            return super().run(work, *args)
        return self(*args)


PARALLEL = 1 << 20
"""Elements from which on a second thread pays: below, a loop is over in a millisecond."""


def loop(function: Callable) -> Any:
    """Make a Loop of a function."""
    return Loop(function, compiler.EXACT, inline=False)


def helper(function: Callable) -> Any:
    """Make a Loop that other loops take into themselves: a call with arrays costs 10 ns."""
    return Loop(function, compiler.EXACT, inline=True)


@helper
def choose(rng, weights):
    """An index drawn with probabilities `weights`, which sum to 1 (less rounding)."""
    u = rng.random()
    total = 0.0
    last = 0
    for i in range(weights.shape[0]):
        if weights[i] > 0.0:
            total += weights[i]
            last = i
            if u < total:
                return i
    return last
