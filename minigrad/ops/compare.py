"""Comparisons, logic, bits: functions into bool or of integers, without derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend.dtypes import F32, HALF, result_dtype
from ..core.primitive import as_array, primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import data_of, dtype_title, finish, misfit, need_tensors, refuse, tensor_first


# ------------------------------------------------------------------------------ comparisons
@export("eq")
@primitive(promote="type")
def eq(x: Any, other: Any) -> Any:
    """Whether x = z, elementwise."""
    return np.equal(x, other)


@export("ne", "not_equal")
@primitive(promote="type")
def ne(x: Any, other: Any) -> Any:
    """Whether x ≠ z, elementwise; nan differs from everything, itself included."""
    return np.not_equal(x, other)


def _order(name: str, x: Any) -> None:
    refuse(name, x, "c")


@export("lt", "less")
@primitive(promote="type")
def lt(x: Any, other: Any) -> Any:
    """Whether x < z, elementwise."""
    _order("lt_cpu", x)
    return np.less(x, other)


@export("le", "less_equal")
@primitive(promote="type")
def le(x: Any, other: Any) -> Any:
    """Whether x ≤ z, elementwise."""
    _order("le_cpu", x)
    return np.less_equal(x, other)


@export("gt", "greater")
@primitive(promote="type")
def gt(x: Any, other: Any) -> Any:
    """Whether x > z, elementwise."""
    _order("gt_cpu", x)
    return np.greater(x, other)


@export("ge", "greater_equal")
@primitive(promote="type")
def ge(x: Any, other: Any) -> Any:
    """Whether x ≥ z, elementwise."""
    _order("ge_cpu", x)
    return np.greater_equal(x, other)


for _op in (eq, ne, lt, le, gt, ge):
    _op.primitive.check = tensor_first(_op.__name__)


# ------------------------------------------------------------------------------ nearly, exactly
@export("isclose")
def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Whether |x − z| ≤ atol + rtol·|z|, elementwise; equal infinities are close.

    nan is close to nan if equal_nan.  RuntimeError for different dtypes or negative tolerances.
    """
    need_tensors("isclose", input, other)
    close = _close(data_of(input), data_of(other), rtol, atol, equal_nan)
    return wrap(as_array(close))


def _close(x: Any, other: Any, rtol: float, atol: float, equal_nan: bool) -> Any:
    if x.dtype != other.dtype:
        raise RuntimeError(f"{dtype_title(x.dtype)} did not match {dtype_title(other.dtype)}")
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if tolerance < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {tolerance}")
    try:
        close = x == other
    except ValueError:
        raise misfit(x, other) from None
    if equal_nan and x.dtype.kind not in "biu":
        close = close | (np.isnan(x) & np.isnan(other))
    if rtol == 0 and atol == 0:
        return close
    if x.dtype.kind in "biu":
        x, other = x.astype(np.float64), other.astype(np.float64)
    elif x.dtype.itemsize == 2:
        x, other = x.astype(np.float32), other.astype(np.float32)
    distance = np.abs(x - other)
    return close | (np.isfinite(distance) & (distance <= atol + np.abs(rtol * other)))


@export("allclose")
def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether all elements are close, as `isclose` says."""
    need_tensors("allclose", input, other)
    return bool(np.all(_close(data_of(input), data_of(other), rtol, atol, equal_nan)))


@export("equal")
def equal(input: Any, other: Any) -> bool:
    """Whether shapes and all elements are equal (nan is not)."""
    need_tensors("equal", input, other)
    return bool(np.array_equal(data_of(input), data_of(other)))


# ------------------------------------------------------------------------------ kinds of numbers
@export("isnan")
@primitive
def isnan(x: Any) -> Any:
    """Whether x is not a number, elementwise."""
    return x != x


@export("isinf")
@primitive
def isinf(x: Any) -> Any:
    """Whether x is ∞ or −∞, elementwise."""
    return np.isinf(x)


@export("isfinite")
@primitive
def isfinite(x: Any) -> Any:
    """Whether x is neither infinite nor nan, elementwise."""
    return np.isfinite(x)


@export("isposinf")
@primitive
def isposinf(x: Any) -> Any:
    """Whether x is ∞, elementwise."""
    if x.dtype.kind == "c":
        raise RuntimeError("isposinf does not support complex inputs.")
    return x == math.inf


isposinf.primitive.same_dtype = True


@export("isneginf")
@primitive
def isneginf(x: Any) -> Any:
    """Whether x is −∞, elementwise."""
    if x.dtype.kind == "c":
        raise RuntimeError("isneginf does not support complex inputs.")
    return x == -math.inf


isneginf.primitive.same_dtype = True


@export("isreal")
@primitive
def isreal(x: Any) -> Any:
    """Whether the imaginary part is 0, elementwise."""
    return np.isreal(x)


@export("signbit")
@primitive
def signbit(x: Any) -> Any:
    """Whether the sign bit is set: x < 0, or x = −0."""
    if x.dtype.kind == "c":
        raise NotImplementedError("signbit is not implemented for complex tensors.")
    return np.signbit(x) if x.dtype.kind == "f" else x < 0


signbit.primitive.same_dtype = True


# ------------------------------------------------------------------------------ logic
@primitive(promote="type")
def logical_and_(x: Any, other: Any) -> Any:
    """y = x ≠ 0 and z ≠ 0."""
    return np.logical_and(x, other)


@primitive(promote="type")
def logical_or_(x: Any, other: Any) -> Any:
    """y = x ≠ 0 or z ≠ 0."""
    return np.logical_or(x, other)


@primitive(promote="type")
def logical_xor_(x: Any, other: Any) -> Any:
    """y = exactly one of x ≠ 0, z ≠ 0."""
    return np.logical_xor(x, other)


@export("logical_not")
@primitive
def logical_not(x: Any) -> Any:
    """Whether x is 0, elementwise."""
    return np.logical_not(x)


@export("logical_and")
def logical_and(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether both are not 0, elementwise."""
    need_tensors("logical_and", input, other)
    return finish(logical_and_(input, other), out)


@export("logical_or")
def logical_or(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether one or both are not 0, elementwise."""
    need_tensors("logical_or", input, other)
    return finish(logical_or_(input, other), out)


@export("logical_xor")
def logical_xor(input: Any, other: Any, *, out: Any = None) -> Any:
    """Whether exactly one is not 0, elementwise."""
    need_tensors("logical_xor", input, other)
    return finish(logical_xor_(input, other), out)


# ------------------------------------------------------------------------------ bits
@export("bitwise_not")
@primitive
def bitwise_not(x: Any) -> Any:
    """All bits turned over; of bools the logical not."""
    refuse("bitwise_not_cpu", x, "fc")
    return np.invert(x)


def invert(input: Any) -> Tensor:
    """The operator ~: bits turned over, bools negated.  TypeError for other dtypes."""
    if data_of(input).dtype.kind in "fc":
        raise TypeError(
            "~ (operator.invert) is only implemented on integer and Boolean-type tensors"
        )
    return bitwise_not(input)


@export("bitwise_and")
@primitive(promote="type")
def bitwise_and(x: Any, other: Any) -> Any:
    """The bits set in both; of bools the logical and."""
    refuse("bitwise_and_cpu", x, "fc")
    return np.bitwise_and(x, other)


@export("bitwise_or")
@primitive(promote="type")
def bitwise_or(x: Any, other: Any) -> Any:
    """The bits set in one or both; of bools the logical or."""
    refuse("bitwise_or_cpu", x, "fc")
    return np.bitwise_or(x, other)


@export("bitwise_xor")
@primitive(promote="type")
def bitwise_xor(x: Any, other: Any) -> Any:
    """The bits set in exactly one; of bools the logical xor."""
    refuse("bitwise_xor_cpu", x, "fc")
    return np.bitwise_xor(x, other)


@export("bitwise_left_shift")
@primitive(promote="type")
def bitwise_left_shift(x: Any, other: Any) -> Any:
    """x·2ᶻ by moving the bits; 0 once all have left, or if z < 0."""
    refuse("lshift_cpu", x, "bfc")
    return np.left_shift(x, other)


@export("bitwise_right_shift")
@primitive(promote="type")
def bitwise_right_shift(x: Any, other: Any) -> Any:
    """⌊x/2ᶻ⌋ by moving the bits, the sign kept; only the sign is left if z < 0."""
    refuse("rshift_cpu", x, "bfc")
    return np.right_shift(x, other)


@primitive(promote="type")
def gcd_(x: Any, other: Any) -> Any:
    """y = the greatest common divisor."""
    refuse("gcd_cpu", x, "bfc")
    return np.gcd(x, other)


@primitive(promote="type")
def lcm_(x: Any, other: Any) -> Any:
    """y = the least common multiple."""
    refuse("lcm_cpu", x, "bfc")
    return np.lcm(x, other)


@export("gcd")
def gcd(input: Any, other: Any, *, out: Any = None) -> Any:
    """The greatest common divisor of integers, never negative; gcd(0, 0) = 0."""
    need_tensors("gcd", input, other)
    return finish(gcd_(input, other), out)


@export("lcm")
def lcm(input: Any, other: Any, *, out: Any = None) -> Any:
    """The least common multiple of integers, never negative; 0 if either is 0."""
    need_tensors("lcm", input, other)
    return finish(lcm_(input, other), out)


# ------------------------------------------------------------------------------ membership
@export("isin")
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False,
    out: Any = None,
) -> Tensor:  # fmt: skip
    """Whether each element occurs among the test elements (or not, if `invert`).

    Either may be a number, not both.  `assume_unique` promises that neither holds duplicates.
    """
    x, among = data_of(elements), data_of(test_elements)
    if not isinstance(x, np.ndarray) and not isinstance(among, np.ndarray):
        raise TypeError("isin(): elements or test_elements must be a Tensor")
    for array in (x, among):
        if isinstance(array, np.ndarray) and array.dtype.kind in "bc":
            title = dtype_title(array.dtype)
            raise RuntimeError(f"Unsupported input type encountered for isin(): {title}")
    dtype = result_dtype([x, among]).np
    if dtype in HALF:
        dtype = F32
    x, among = np.asarray(x).astype(dtype), np.asarray(among).astype(dtype)
    found = np.isin(x, among, assume_unique=assume_unique, invert=invert)
    return finish(wrap(np.asarray(found)), out, True)
