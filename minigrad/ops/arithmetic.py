"""Addition to powers: what the operators + - * / // % ** mean.

The primitives (trailing underscore) are what the operators call; the public functions beside them
parse PyTorch's other options.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.dtypes import B8, get_default_dtype
from ..core.chores import cast
from ..core.primitive import primitive, write_out
from ..core.tensor import Tensor, wrap
from ..export import export
from .arguments import data_of, dtype_title, finish, is_number, need_tensors, refuse
from .complexes import conj
from .piecewise import where, zeros_as
from .transcendental import log


def _number(input: Any, other: Any) -> Tensor:
    """For a TypeError just caught: of two numbers, PyTorch's arithmetic takes the first for a
    tensor.
    """
    if not (is_number(input) and is_number(other)):
        raise  # noqa: PLE0704  # the caller's
    kind = np.asarray(input).dtype
    return wrap(np.asarray(input, kind if kind.kind in "bi" else get_default_dtype().np))


# ------------------------------------------------------------------------------ + and −
@primitive(promote="type")
def add_(x: Any, other: Any) -> Any:
    """y = x + z;  x̄ = ȳ, z̄ = ȳ."""
    return np.add(x, other)


add_.vjp(x=lambda g: g, other=lambda g: g)


@primitive(promote="type")
def sub_(x: Any, other: Any) -> Any:
    """y = x − z;  x̄ = ȳ, z̄ = −ȳ."""
    return np.subtract(x, other)


sub_.vjp(x=lambda g: g, other=lambda g: -g)


def _refuse_bools(x: Any, other: Any) -> None:
    bools = [isinstance(v, bool) or getattr(v, "dtype", None) == B8 for v in (x, other)]
    if all(bools):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
            "`logical_xor()` operator instead."
        )
    if any(bools):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying "
            "to invert a mask, use the `~` or `logical_not()` operator instead."
        )


sub_.primitive.check = _refuse_bools


def _alpha(x: Any, alpha: Any) -> Any:
    """`alpha` in the dtype of the result, after PyTorch's checks."""
    if isinstance(alpha, bool) and x.dtype.kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if isinstance(alpha, float) and x.dtype.kind in "biu":
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    if isinstance(alpha, complex) and x.dtype.kind != "c":
        raise RuntimeError(
            "For non-complex input tensors, argument alpha must not be a complex number."
        )
    return np.asarray(alpha).astype(x.dtype)[()]  # a number: no array on a GPU takes one of NumPy's


@primitive(promote="type")
def add_scaled(x: Any, other: Any, *, alpha: Any) -> Any:
    """y = x + α·z;  x̄ = ȳ, z̄ = α·ȳ."""
    return x + other * _alpha(x, alpha)


add_scaled.vjp(x=lambda g: g, other=lambda g, alpha: g * alpha)
add_scaled.primitive.node_class.__name__ = "AddBackward0"


@export("add")
def add(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """The sum of two tensors or of a tensor and a number.

    y = x + α·z;  x̄ = ȳ, z̄ = α·ȳ
    """
    try:
        if alpha == 1 and alpha is not True:
            result = add_(input, other)
        else:
            result = add_scaled(input, other, alpha=alpha)
    except TypeError:
        return add(_number(input, other), other, alpha=alpha, out=out)
    return result if out is None else write_out(result, out)


@export("sub", "subtract")
def sub(input: Any, other: Any, *, alpha: Any = 1, out: Any = None) -> Any:
    """The difference.  RuntimeError for two bool tensors.

    y = x − α·z;  x̄ = ȳ, z̄ = −α·ȳ
    """
    try:
        if alpha == 1 and alpha is not True:
            result = sub_(input, other)
        else:
            _refuse_bools(data_of(input), data_of(other))
            result = add_scaled(input, other, alpha=alpha if isinstance(alpha, bool) else -alpha)
    except TypeError:
        return sub(_number(input, other), other, alpha=alpha, out=out)
    return result if out is None else write_out(result, out)


@export("rsub")
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    """The difference the other way round: y = z − α·x;  z̄ = ȳ, x̄ = −α·ȳ."""
    need_tensors("rsub", input, names=("input",))
    return sub(other, input, alpha=alpha)


@export("neg", "negative")
@primitive
def neg(x: Any) -> Any:
    """The negative.  RuntimeError for bool tensors.

    y = −x,  x̄ = −ȳ
    """
    if x.dtype.kind == "b":
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to "
            "invert a mask, use the `~` or `logical_not()` operator instead."
        )
    return np.negative(x)


neg.vjp(x=lambda g: -g)
neg.primitive.same_dtype = True


@export("positive")
def positive(input: Any) -> Any:
    """The tensor itself.  RuntimeError for bool tensors."""
    if data_of(input).dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


# ------------------------------------------------------------------------------ · and /
@primitive(promote="type")
def mul_(x: Any, other: Any) -> Any:
    """y = x·z;  x̄ = ȳ·z, z̄ = ȳ·x."""
    return np.multiply(x, other)


mul_.vjp(x=lambda g, other: g * conj(other), other=lambda g, x: g * conj(x))


@export("mul", "multiply")
def mul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The product, elementwise.

    y = x·z;  x̄ = ȳ·z, z̄ = ȳ·x
    """
    try:
        result = mul_(input, other)
    except TypeError:
        result = mul_(_number(input, other), other)
    return result if out is None else write_out(result, out)


@primitive(promote="float")
def div_(x: Any, other: Any) -> Any:
    """y = x/z;  x̄ = ȳ/z, z̄ = −ȳ·y/z."""
    return np.true_divide(x, other)


div_.vjp(
    x=lambda g, other: g / conj(other),
    other=lambda g, x, other: -g * conj((x / other) / other),
)


def _nonzero_divisor(name: str, x: Any, other: Any) -> None:
    refuse(name, x, "bc")
    if x.dtype.kind in "iu" and x.size and not np.all(other):
        raise RuntimeError("ZeroDivisionError")


@primitive(promote="type")
def div_floor(x: Any, other: Any) -> Any:
    """y = ⌊x/z⌋;  both get 0."""
    _nonzero_divisor("div_floor_cpu", x, other)
    return np.floor_divide(x, other)


@primitive(promote="type")
def div_trunc(x: Any, other: Any) -> Any:
    """y = x/z rounded towards zero;  both get 0."""
    _nonzero_divisor("div_trunc_cpu", x, other)
    if x.dtype.kind == "f":
        return np.trunc(np.true_divide(x, other))
    return np.floor_divide(x - np.fmod(x, other), other)  # exact: the division has no remainder


for _op in (div_floor, div_trunc):
    _op.vjp(x=lambda g: zeros_as(g), other=lambda g: zeros_as(g))
    _op.primitive.node_class.__name__ = "DivBackward1"


@export("div", "divide")
def div(input: Any, other: Any, *, rounding_mode: str | None = None, out: Any = None) -> Any:
    """The quotient; rounded down ("floor") or towards zero ("trunc") if asked.

    y = x/z;  x̄ = ȳ/z, z̄ = −ȳ·y/z;  rounded: both 0

    Integers give the default floating dtype, unless rounded; then RuntimeError for a divisor 0.
    """
    if rounding_mode is None:
        divide = div_
    elif rounding_mode == "floor":
        divide = div_floor
    elif rounding_mode == "trunc":
        divide = div_trunc
    else:
        raise RuntimeError(
            "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
            f"'{rounding_mode}'"
        )
    try:
        result = divide(input, other)
    except TypeError:
        result = divide(_number(input, other), other)
    return result if out is None else write_out(result, out)


@export("true_divide")
def true_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """The quotient, never rounded: div(input, other)."""
    return div(input, other, out=out)


@export("floor_divide")
def floor_divide(input: Any, other: Any, *, out: Any = None) -> Any:
    """The quotient rounded down, ⌊x/z⌋;  both get 0."""
    return div(input, other, rounding_mode="floor", out=out)


@primitive(promote="type")
def remainder_(x: Any, other: Any) -> Any:
    """y = x − ⌊x/z⌋·z, with the sign of z;  x̄ = ȳ, z̄ = −ȳ·⌊x/z⌋."""
    _nonzero_divisor("remainder_cpu", x, other)
    return np.remainder(x, other)


remainder_.vjp(x=lambda g: g, other=lambda g, x, other: -g * div_floor(x, other))


@export("remainder")
def remainder(input: Any, other: Any, *, out: Any = None) -> Any:
    """What division rounded down leaves, with the sign of the divisor, as Python's %.

    y = x − ⌊x/z⌋·z;  x̄ = ȳ, z̄ = −ȳ·⌊x/z⌋
    """
    return finish(remainder_(input, other), out)


@primitive(promote="type")
def fmod_(x: Any, other: Any) -> Any:
    """y = x − trunc(x/z)·z, with the sign of x;  x̄ = ȳ, z̄ = −ȳ·trunc(x/z)."""
    _nonzero_divisor("fmod_cpu", x, other)
    return np.fmod(x, other)


fmod_.vjp(x=lambda g: g, other=lambda g, x, other: -g * div_trunc(x, other))


@export("fmod")
def fmod(input: Any, other: Any, *, out: Any = None) -> Any:
    """What division rounded towards zero leaves, with the sign of the dividend, as C's fmod.

    y = x − trunc(x/z)·z;  x̄ = ȳ, z̄ = −ȳ·trunc(x/z)
    """
    if isinstance(input, (bool, int, float)):
        raise TypeError(f"fmod(): argument 'input' must be Tensor, not {type(input).__name__}")
    return finish(fmod_(input, other), out)


@export("reciprocal")
@primitive(promote="float")
def reciprocal(x: Any) -> Any:
    """One over x.

    y = 1/x,  x̄ = −ȳ·y²
    """
    return 1 / x


reciprocal.vjp(x=lambda g, y: -g * conj(y * y))


# ------------------------------------------------------------------------------ powers and roots
@export("square")
@primitive
def square(x: Any) -> Any:
    """The square.

    y = x²,  x̄ = 2x·ȳ
    """
    return x * x if x.dtype.kind != "b" else x.astype(np.int64)


square.vjp(x=lambda g, x: g * (2 * conj(x)))


@primitive(promote="type")
def pow_(x: Any, exponent: Any) -> Any:
    """y = xᵖ;  x̄ = ȳ·p·xᵖ⁻¹ (0 if p = 0), p̄ = ȳ·y·ln x (0 if x = 0 and p ≥ 0)."""
    number = exponent if type(exponent) in (int, float) else None
    if number is None and not exponent.ndim:
        number = exponent.item()
    if number in _NAMED_POWERS and x.dtype.kind in "fc":
        return _NAMED_POWERS[number](x)
    if x.dtype.kind in "biu":
        return _integer_power(x, exponent)
    return np.power(x, exponent)


_NAMED_POWERS: dict[Any, Any] = {
    2: lambda x: x * x,
    3: lambda x: x * x * x,
    0.5: np.sqrt,
    1: np.positive,
    -1: lambda x: 1 / x,
    -2: lambda x: 1 / (x * x),
    -0.5: lambda x: 1 / np.sqrt(x),
}


def _integer_power(x: Any, exponent: Any) -> Any:
    """Integer powers; negative ones are 0 except for the bases 1 and −1, as in PyTorch."""
    if x.dtype.kind == "b":
        return x | ~exponent
    y = np.power(x, np.maximum(exponent, 0))
    if x.dtype.kind == "u" or not np.any(exponent < 0):
        return y
    odd = np.where(exponent % 2 == 1, -1, 1)
    inverse = np.where(x == 1, 1, np.where(x == -1, odd, 0))
    return np.where(exponent < 0, inverse, y).astype(x.dtype)


pow_.vjp(
    x=lambda g, x, exponent: _pow_base(g, x, exponent),
    exponent=lambda g, x, exponent, y: (
        g * where((x == 0) & _from_zero(exponent), 0, conj(y * log(x)))
    ),
)


def _refuse(x: Any, exponent: Any) -> None:
    """Negative powers of integers, and powers of bools unless a bool is the number to raise to."""
    if type(exponent) is np.ndarray and exponent.dtype.kind == "b":
        if x is True or x is False or (type(x) is np.ndarray and x.dtype.kind == "b"):
            raise NotImplementedError("\"pow\" not implemented for 'Bool'")
    if isinstance(exponent, int) and exponent < 0 and x.dtype.kind in "biu":
        raise RuntimeError("Integers to negative integer powers are not allowed.")


pow_.primitive.check = _refuse


def _from_zero(exponent: Any) -> Any:
    return exponent >= 0 if not np.iscomplexobj(data_of(exponent)) else exponent == 0


def _pow_base(g: Any, x: Any, exponent: Any) -> Any:
    """ȳ·p·xᵖ⁻¹, and 0 where p is 0 even if x is 0, too."""
    if isinstance(exponent, (bool, int, float, complex)):
        if exponent == 0:
            return zeros_as(g)
        return g * conj(exponent * x ** (exponent - 1)) if exponent != 2 else g * (2 * conj(x))
    return where(exponent == 0, 0, g * conj(exponent * x ** (exponent - 1)))


@export("pow")
def pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """The power; base and exponent are tensors or (one of them) a number.

    y = xᵖ;  x̄ = ȳ·p·xᵖ⁻¹ (0 where p = 0), p̄ = ȳ·y·ln x (0 where x = 0 and p ≥ 0)

    RuntimeError for integers to a negative integer number; for a tensor of such exponents the
    result is 0 unless the base is ±1.
    """
    return finish(pow_(input, exponent), out)


@export("float_power")
def float_power(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """The power in double precision (complex128 for complex operands), whatever the dtypes."""
    wide = np.dtype(np.float64)
    if any(np.iscomplexobj(data_of(v)) for v in (input, exponent)):
        wide = np.dtype(np.complex128)
    base, power = [_widened(v, wide) for v in (input, exponent)]
    return finish(pow_(base, power), out)


def float_power_self(self: Any, exponent: Any) -> Any:
    """What Tensor.float_power_ computes; RuntimeError unless the tensor is of the wide dtype."""
    result = float_power(self, exponent)
    if data_of(result).dtype != self._data.dtype:
        have, need = [dtype_title(v._data.dtype) for v in (self, result)]
        raise RuntimeError(
            f"the base given to float_power_ has dtype {have} but the operation's result requires "
            f"dtype {need}"
        )
    return result


def _widened(x: Any, dtype: np.dtype) -> Any:
    if isinstance(x, (bool, int, float, complex)):
        return x
    return x if data_of(x).dtype == dtype else cast(x, dtype=dtype)
