"""An optimizer's formula as one compiled loop over memory: each array is read once, written once.

    loop = compiled(adam, "110", dtype)        # two states given, the third None
    loop(w, g, m, v, numbers)                  # numbers in an array of that dtype

The formula is compiled as it stands (kernels/cpu/formulas.py), for one number of each array. Adam's
dozen passes over memory become one: with 2^20 float32 numbers 0.8 ms instead of 2.6 on one core.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.cpu import compiler, formulas, threads
from ..kernels.cpu.compiler import EXACT, Kernel, Lazy, enabled, prange, specialise

__all__ = ["compiled", "enabled", "loop_for", "serves"]

SMALL = 1 << 12
"""Numbers below which NumPy serves as well; decided by size alone, so that runs can be repeated."""

_LOOPS: dict[Any, Callable[..., None] | None] = {}


def serves(x: Any, size: int) -> bool:
    """Whether a loop is worth it for memory like x, of so many numbers in all."""
    return size >= SMALL and x.real.dtype.char in "fd" and type(x) is np.ndarray and enabled()


def loop_for(formula: Callable, w: Any, states: list[Any]) -> Callable[..., None] | None:
    """The loop for a flat w with these states, or None where NumPy is to run the formula."""
    return compiled(formula, "".join(["0" if s is None else "1" for s in states]), w.dtype)


def compiled(formula: Callable, pattern: str, dtype: Any) -> Callable[..., None] | None:
    """The loop for arrays of `dtype`, of which the states marked 1 in `pattern` are given; None if
    the formula has no compiled form.
    """
    key = (formula, pattern, dtype)
    if key not in _LOOPS:
        with compiler.COMPILE_LOCK:
            _LOOPS[key] = _build(formula, pattern, dtype)
    return _LOOPS[key]


def _build(formula: Callable, pattern: str, dtype: Any) -> Callable[..., None] | None:
    if pattern not in TEMPLATES:
        return None
    try:
        scalar, identity = formulas.scalar(formula, None, dtype)
        count = formula.__code__.co_argcount - 2 - len(pattern)
        copy = specialise(TEMPLATES[pattern], FORMULA=scalar, COUNT=count)
        copy.__qualname__ = f"step_{formula.__name__}_{identity}_{pattern}"
        kernel = Kernel(copy, EXACT, False)
        one = np.ones(1, dtype)
        arrays = [one.copy() for _ in range(2 + pattern.count("1"))]
        kernel.serial(*arrays, one.repeat(count))
    except Exception as error:  # whatever Numba raises: NumPy computes the same
        warnings.warn(
            f"minigrad: the optimizer formula {formula.__qualname__} runs uncompiled: {error}",
            UserWarning,
            stacklevel=2,
        )
        return None

    def loop(w: Any, *arrays: Any) -> None:
        (kernel.parallel if threads.worthwhile(w.size) else kernel.serial)(w, *arrays)

    return loop


# ------------------------------------------------------------------------------ the loops
# One for each pattern of states; FORMULA and COUNT are put in by `specialise`.
FORMULA: Any = None
COUNT = 0
"""Of the numbers that the formula is given."""


def _to_fixed_tuple() -> Any:
    from numba.np.unsafe.ndarray import to_fixed_tuple

    return to_fixed_tuple


to_fixed_tuple: Any = Lazy(_to_fixed_tuple)
"""An array as so many arguments."""


def _loop0(w, g, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], _ = FORMULA(w[i], g[i], None, *n)


def _loop1(w, g, a, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i] = FORMULA(w[i], g[i], a[i], *n)


def _loop11(w, g, a, b, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i], b[i] = FORMULA(w[i], g[i], a[i], b[i], *n)


def _loop100(w, g, a, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i], _, _ = FORMULA(w[i], g[i], a[i], None, None, *n)


def _loop101(w, g, a, c, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i], _, c[i] = FORMULA(w[i], g[i], a[i], None, c[i], *n)


def _loop110(w, g, a, b, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i], b[i], _ = FORMULA(w[i], g[i], a[i], b[i], None, *n)


def _loop111(w, g, a, b, c, numbers):
    n = to_fixed_tuple(numbers, COUNT)
    for i in prange(w.size):
        w[i], a[i], b[i], c[i] = FORMULA(w[i], g[i], a[i], b[i], c[i], *n)


TEMPLATES = {
    "0": _loop0,
    "1": _loop1,
    "11": _loop11,
    "100": _loop100,
    "101": _loop101,
    "110": _loop110,
    "111": _loop111,
}
