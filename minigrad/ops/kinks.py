"""What activation functions share: checks, writing in place, gradients of pieces.

At a kink the derivative is PyTorch's: relu'(0) = 0, hardtanh' = 0 on its edges, and so on, stated
with each function. The primitives (trailing underscore) take floating arrays; the public functions
check.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.dtypes import F32, F64
from ..core.inplace import inplace as in_place
from ..core.primitive import primitive
from ..core.tensor import Tensor
from ..export import export
from .piecewise import refuse, zeros_as


def apply(op: Any, input: Any, inplace: bool, **options: Any) -> Any:
    """op(input), written into input itself if asked."""
    if inplace:
        return in_place(op, op.__name__ + "_")(input, **options)
    return op(input, **options)


def need_floating(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    refuse(name, x._data, "biu")


def refuse_bool(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    if x._data.dtype.kind == "b":
        raise RuntimeError(f"Boolean inputs not supported for {name}")


_BITS = {F32: np.int32, F64: np.int64}


def _kept(g: Any, keep: Any) -> Any:
    """g where the bool `keep` holds, else 0, for inf and nan as well.

    By masking bits: np.where mispredicts a branch for every other element of random data and takes
    5 ms for 10^6, this 1.4; a product would turn inf into nan.
    """
    bits = _BITS.get(g.dtype)
    if bits is None:
        return np.where(keep, g, g.dtype.type(0))
    return np.bitwise_and(g.view(bits), np.negative(keep.view(np.int8), dtype=bits)).view(g.dtype)


@primitive
def keep_outside(g: Any, x: Any, *, low: float, high: float) -> Any:
    """g, but 0 where low <= x <= high: nan in x keeps it. Its derivative in x is 0."""
    inside = x <= x.dtype.type(high)
    if low != -math.inf:
        inside &= x >= x.dtype.type(low)
    return _kept(g, ~inside)


@primitive
def keep_inside(g: Any, x: Any, *, low: float, high: float) -> Any:
    """g, but 0 where x <= low or x >= high: nan in x keeps it. Its derivative in x is 0."""
    kind = x.dtype.type
    return _kept(g, ~((x <= kind(low)) | (x >= kind(high))))


@primitive
def scale_below(g: Any, x: Any, *, slope: float) -> Any:
    """g where x > 0, else slope·g. Its derivative in x is 0."""
    return np.where(x > 0, g, g * g.dtype.type(slope))


keep_outside.vjp(
    g=lambda g, x, low, high: keep_outside(g, x, low=low, high=high), x=lambda g: zeros_as(g)
)
keep_inside.vjp(
    g=lambda g, x, low, high: keep_inside(g, x, low=low, high=high), x=lambda g: zeros_as(g)
)
scale_below.vjp(g=lambda g, x, slope: scale_below(g, x, slope=slope), x=lambda g: zeros_as(g))


def in_place_form(name: str, op: Any, *public: str) -> Any:
    """The in-place form of `op`, kept in this module as `name`, exported under the public names."""
    method = in_place(op, public[0].rpartition(".")[2])
    method.__name__ = method.__qualname__ = name
    return export(*public)(method)
