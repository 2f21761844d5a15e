"""What elementwise functions ask of their arguments before they compute, and PyTorch's refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from ..backend.dtypes import finfo, from_numpy_dtype
from ..core.primitive import write_out
from ..core.tensor import Tensor
from ..errors import broadcast_error

R = TypeVar("R")


def data_of(x: Any) -> Any:
    """The array of a Tensor; anything else as it is."""
    return x._data if isinstance(x, Tensor) else x


def is_number(x: Any) -> bool:
    """Whether x is a Python number, as opposed to a tensor or an array."""
    return isinstance(x, (bool, int, float, complex))


def numpy_names(op: Callable[..., R]) -> Callable[..., R]:
    """The function with NumPy's names of two arguments, too: axis (dim), keepdims (keepdim).

    Reductions that programs call all the time have them as parameters: this costs a call.
    """

    @wraps(op)
    def named(*args: Any, **kwargs: Any) -> R:
        if "axis" in kwargs:
            kwargs["dim"] = kwargs.pop("axis")
        if "keepdims" in kwargs:
            kwargs["keepdim"] = kwargs.pop("keepdims")
        return op(*args, **kwargs)

    return named


def needed_dim(name: str, dim: Any, axis: Any) -> Any:
    """A dimension that must be given, under one of its two names."""
    if dim is None and (dim := axis) is None:
        raise TypeError(f"{name}() missing 1 required positional argument: 'dim'")
    return dim


def finish(result: Any, out: Any, same_dtype: bool = False) -> Any:
    """The end of a function with `out=`, of the result's very dtype if `same_dtype`."""
    return result if out is None else write_out(result, out, same_dtype)


_TITLES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def dtype_title(dtype: Any) -> str:
    """PyTorch's name of a NumPy dtype in error messages: Float, Long, ..."""
    return _TITLES[from_numpy_dtype(dtype).name]


def refuse(name: str, x: Any, kinds: str) -> None:
    """PyTorch's NotImplementedError if x's dtype is of one of the NumPy `kinds`."""
    if x.dtype.kind in kinds:
        raise NotImplementedError(f"\"{name}\" not implemented for '{dtype_title(x.dtype)}'")


def need_tensors(name: str, *args: Any, names: tuple[str, ...] = ("input", "other")) -> None:
    """TypeError if an argument is a Python number where PyTorch wants a Tensor."""
    for i, a in enumerate(args):
        if is_number(a) or a is None:
            raise TypeError(
                f"{name}(): argument '{names[i]}' (position {i + 1}) must be Tensor, "
                f"not {type(a).__name__}"
            )


def tensor_first(name: str) -> Any:
    """A check of two arguments, for `Primitive.check`: the first one must not be a number."""

    def check(x: Any, other: Any) -> None:
        if is_number(x):
            raise TypeError(
                f"{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}"
            )

    return check


def misfit(*operands: Any) -> Exception:
    """PyTorch's error for operands (arrays, numbers) that cannot be broadcast together."""
    known: tuple[int, ...] = ()
    for x in operands:
        try:
            known = np.broadcast_shapes(known, np.shape(x))
        except ValueError:
            return broadcast_error(known, np.shape(x))
    return ValueError("the operands can be broadcast")


def check_fits(value: Any, dtype: np.dtype) -> Any:
    """The number, without an imaginary part of 0 where the dtype has none; RuntimeError for one
    that the dtype cannot hold. Negative ints wrap around in uint8.
    """
    kind = dtype.kind
    if kind == "b":
        return value
    imaginary = value.imag if isinstance(value, (complex, np.complexfloating)) else 0
    if kind != "c" and not imaginary:
        value = value.real
    if kind in "iu":
        info = np.iinfo(dtype)
        wraps = kind == "u" and not isinstance(value, (float, np.floating))
        low = -info.max if wraps else info.min
        fits = not imaginary and low <= value <= info.max
    elif kind != "c" and imaginary:
        fits = False
    else:
        size = max(abs(value.real), abs(imaginary))
        fits = not 65504 < size < math.inf or size <= finfo(from_numpy_dtype(dtype)).max
    if not fits:
        name = f"{dtype.name}_t" if kind in "iu" else dtype.name
        raise RuntimeError(f"value cannot be converted to type {name} without overflow")
    return value
