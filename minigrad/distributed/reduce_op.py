"""What a reduction does with the values of all ranks."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import errors


class ReduceOp(enum.Enum):
    """SUM AVG PRODUCT MIN MAX, and for integers BAND BOR BXOR. AVG is SUM divided by the number of
    ranks (of integers rounded towards zero).
    """

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


_COMBINE: dict[ReduceOp, Any] = {
    ReduceOp.SUM: np.add,
    ReduceOp.AVG: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.BXOR: np.bitwise_xor,
}
_BITS = frozenset({ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR})
_ORDERED = frozenset({ReduceOp.MIN, ReduceOp.MAX, ReduceOp.PRODUCT})

Combine = Callable[..., Any]


def combine_for(op: ReduceOp, dtype: np.dtype) -> Combine:
    """The ufunc of two arrays; TypeError for what is no ReduceOp, RuntimeError for a dtype that
    has no such operation.
    """
    if not isinstance(op, ReduceOp):
        raise errors.type_error("ReduceOp", "op", "a ReduceOp", op)
    if op in _BITS and dtype.kind not in "iub":
        raise RuntimeError(f"ReduceOp.{op.name}: not defined for {dtype}; integers have bits")
    if dtype.kind == "c" and op in _ORDERED:
        raise RuntimeError(f"ReduceOp.{op.name}: not supported for complex tensors")
    return _COMBINE[op]


def finish(op: ReduceOp, array: np.ndarray, size: int) -> None:
    """What is left after combining: AVG divides, in place."""
    if op is ReduceOp.AVG and size > 1:
        if array.dtype.kind in "iub":
            array[...] = np.trunc(array / size).astype(array.dtype)
        else:
            np.divide(array, array.dtype.type(size), out=array)
