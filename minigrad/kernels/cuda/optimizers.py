"""An optimizer's step over flat buffers as one kernel, made from the optimizer's formula.

The formula is the one that `minigrad.optim` runs on NumPy and compiles for the CPU: it gets w, the
gradient, states, and numbers, and returns the new w and states. Here all parameters of a group lie
in one buffer, as do their gradients and each state, and the numbers (learning rate, corrections for
the start ...) are read from memory: a captured step is repeated with other numbers by writing 32
bytes, and `Adam._numbers` stays the one place where they come from.
"""

from __future__ import annotations

from collections.abc import Callable

from .elementwise import elementwise
from .source import Source


def step(
    formula: Callable,
    states: str,
    dtype: str = "float32",
    *,
    gradient: str | None = None,
    shadow: str | None = None,
    wide: bool = True,
) -> Source:
    """The kernel of `formula(w, g, *states, *numbers)`; `states` has "1" for a state that is given
    and "0" for None.

    gradient  its dtype, if not that of w
    shadow    dtype of a copy of w that is written beside it (for products in half precision)

    Its parameters are n, w, g, the given states, a pointer for each number; then where w and the
    states go, usually where they came from, and the shadow.
    """
    numbers = formula.__code__.co_argcount - 2 - len(states)
    given = [dtype if mark == "1" else None for mark in states]
    arguments = [dtype, gradient or dtype, *given, *[f"{dtype}:1"] * numbers]
    results = [dtype] * (1 + states.count("1"))
    if shadow is not None:
        results.append(shadow)

        def shadowed(*args):
            new = formula(*args)
            return (*new, new[0])

        shadowed.__name__ = formula.__name__
        return elementwise(shadowed, None, arguments, results=results, wide=wide)
    return elementwise(formula, None, arguments, results=results, wide=wide)
