"""`minigrad.Size`: a shape, a tuple that knows its number of elements."""

from __future__ import annotations

import math
from typing import Any

from ..export import export


@export("Size")
class Size(tuple):
    """A tensor's shape: a tuple of ints with `.numel()`. Slices, sums and repeats of it are Sizes
    too.
    """

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements: the product of the sizes."""
        return math.prod(self)

    def __getitem__(self, index: Any) -> Any:
        got = tuple.__getitem__(self, index)
        return Size(got) if type(index) is slice else got

    def __add__(self, other: Any) -> Size:
        return Size(tuple.__add__(self, other))

    def __radd__(self, other: Any) -> Any:
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times: Any) -> Size:
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"minigrad.Size({list(self)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)
