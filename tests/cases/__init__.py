"""One list of ops drives the tests: a `Case` names a public function and gives samples of its
arguments.

    Case("sum", lambda r: [S(r(3, 4)), S(r(3, 4), dim=1, keepdim=True)])

`r` makes arrays from a seeded generator. Floating arrays take each dtype under test and require
gradients; `const(...)` and integer or bool arrays stay as they are. tests/test_ops.py says what is
checked.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Array:
    """An array argument; `grad`: it requires a gradient; `cast`: it takes the dtype under test."""

    values: np.ndarray
    grad: bool = True
    cast: bool = True


class Make:
    """Makes arrays, the same for the same seed."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int, low: float | None = None, high: float | None = None) -> Array:
        """Standard normal, or uniform in [low, high)."""
        if low is None or high is None:
            return Array(np.asarray(self.rng.standard_normal(shape)))
        return Array(np.asarray(self.rng.uniform(low, high, shape)))

    def pos(self, *shape: int) -> Array:
        """Uniform in [0.2, 2): for log, sqrt, division."""
        return self(*shape, low=0.2, high=2.0)

    def distinct(self, *shape: int) -> Array:
        """No two values closer than 0.1: for max, sort, median, whose derivative jumps at ties."""
        n = int(np.prod(shape))
        return Array(
            np.asarray((self.rng.permutation(n) - n / 2 + 0.3) * 0.1 + 0.01).reshape(shape)
        )

    def away(self, *shape: int, kinks: Iterable[float] = (0.0,), gap: float = 0.1) -> Array:
        """Normal values at least `gap` away from the points where a derivative jumps."""
        x = np.asarray(self.rng.standard_normal(shape))
        for kink in kinks:
            x = np.where(np.abs(x - kink) < gap, kink + np.where(x < kink, -gap, gap) * 1.5, x)
        return Array(np.asarray(x))

    def int(self, low: int, high: int, *shape: int, dtype: Any = np.int64) -> Array:
        return Array(np.asarray(self.rng.integers(low, high, shape), dtype), False, False)

    def bool(self, *shape: int) -> Array:
        return Array(np.asarray(self.rng.integers(0, 2, shape), bool), False, False)

    def values(self, values: Any, dtype: Any = np.float64) -> Array:
        """The given numbers; floating ones take the dtype under test."""
        x = np.asarray(values, dtype)
        return Array(x, x.dtype.kind in "fc", x.dtype.kind == "f")


def const(x: Array) -> Array:
    """The same array, without a gradient."""
    return Array(x.values, False, x.cast)


class S:
    """One sample: positional and keyword arguments.

    grad=False compares values only; smooth=False compares gradients with PyTorch's, but not with
    differences (at kinks, ties and poles, where the derivative is a convention).
    """

    def __init__(self, *args: Any, grad: bool = True, smooth: bool = True, **kwargs: Any):
        self.args, self.kwargs, self.grad, self.smooth = args, kwargs, grad, smooth


@dataclass
class Case:
    """One public function with samples.

    name       dotted name in minigrad, and in torch unless `torch` gives another (or a callable)
    dtypes     floating dtypes that are compared in value and gradient
    half       also compare float16 and bfloat16 values (at half tolerances)
    grad       compare gradients and run gradcheck; gradgrad: also second derivatives
    rtol/atol  (relative, absolute) for float32, with `why` when they are wider than the default
    variants   also check the method and in-place spellings that torch has
    random     values differ from torch by nature: shapes, dtypes only (then write your own
               statistics test)
    """

    name: str
    samples: Callable[[Make], list[S]]
    torch: Any = None
    dtypes: tuple[str, ...] = ("float32", "float64")
    half: bool = True
    grad: bool = True
    gradgrad: bool = True
    rtol: float = 2e-5
    atol: float = 1e-5
    why: str = ""
    variants: bool = True
    random: bool = False
    only: tuple[int, ...] | None = None
    tags: tuple[str, ...] = field(default=())


def all_cases() -> list[tuple[str, Case]]:
    """(family, case) of every module in this folder."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        family = importlib.import_module(f"{__name__}.{module.name}")
        found += [(module.name, case) for case in family.CASES]
    return found


def unary(low: float | None = None, high: float | None = None) -> Callable[[Make], list[S]]:
    """Samples of an elementwise function: matrix, 0-d, empty."""
    return lambda r: [
        S(r(3, 4, low=low, high=high)),
        S(r(low=low, high=high)),
        S(r(0, 3, low=low, high=high)),
    ]


def binary(
    low: float | None = None,
    high: float | None = None,
    low2: float | None = None,
    high2: float | None = None,
) -> Callable[[Make], list[S]]:
    """Samples of an elementwise function of two: equal shapes, broadcast both ways, 0-d, empty, a
    number.
    """
    if low2 is None:
        low2, high2 = low, high

    def samples(r: Make) -> list[S]:
        a = lambda *s: r(*s, low=low, high=high)  # noqa: E731
        b = lambda *s: r(*s, low=low2, high=high2)  # noqa: E731
        return [
            S(a(3, 4), b(3, 4)), S(a(3, 4), b(4)), S(a(3, 1), b(1, 4)), S(a(), b(2, 3)), S(a(2, 3), b()),
            S(a(), b()), S(a(0, 3), b(3)), S(a(3, 4), 1.5), S(a(3, 4), 2),
        ]  # fmt: skip

    return samples
