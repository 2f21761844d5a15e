"""`testing.make_tensor`: tensors of random values within limits, for tests."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.dtypes import finfo, iinfo
from ..backend.random import default_generator
from ..core.tensor import Tensor
from ..export import export
from ..ops.creation import empty, from_numpy


@export("testing.make_tensor")
def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Values drawn evenly from [low, high): by default [-9, 9) for floating numbers and [-9, 10)
    for integers ([0, 10) without a sign), 0 and 1 for bools.

    noncontiguous: every other element of a larger tensor. exclude_zero: 0 becomes the smallest
    positive number (1 for integers). ValueError for an empty interval.
    """
    size = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    size = tuple(map(int, size))
    spread = noncontiguous and math.prod(size) >= 2
    drawn = (*size[:-1], 2 * size[-1]) if spread else size
    result = from_numpy(_values(drawn, dtype, low, high)).to(dtype)  # type: ignore[attr-defined]
    if exclude_zero:
        floating = dtype.is_floating_point or dtype.is_complex
        result[result == 0] = finfo(dtype).tiny if floating else 1
    if spread:
        result = result[..., ::2]
    result = result.to(empty(0, device=device).device)
    return result.requires_grad_() if requires_grad else result


def _values(size: tuple[int, ...], dtype: Any, low: Any, high: Any) -> np.ndarray:
    rng = default_generator.numpy
    if dtype.is_floating_point or dtype.is_complex:
        low, high = _limits(low, high, -9.0, 9.0, finfo(dtype))
        real = rng.uniform(low, high, size)
        return real + 1j * rng.uniform(low, high, size) if dtype.is_complex else real
    if str(dtype).endswith("bool"):
        low, high = (0 if low is None else low), (2 if high is None else high)
    else:
        info = iinfo(dtype)
        low, high = _limits(low, high, 0 if info.min == 0 else -9, 10, info)
    return rng.integers(math.floor(low), math.ceil(high), size, dtype=np.int64)


def _limits(low: Any, high: Any, lowest: float, highest: float, info: Any) -> tuple[Any, Any]:
    low, high = (lowest if low is None else low), (highest if high is None else high)
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    return max(low, info.min), min(high, info.max)
