"""On the way to a primitive's function: arguments of one dtype, on one device, halves widened.

`compute` is what call paths do with arguments that are not simply float32 or float64 arrays.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..backend.devices import array_module, device, device_of
from ..backend.dtypes import F32, F64, FLOATING, HALF, get_default_dtype, result_dtype
from .recording import Primitive, widen

ndarray = np.ndarray


def on_gpu(x: Any) -> bool:
    return array_module(x) is not np


def compute(p: Primitive, args: Any, options: dict) -> tuple[Any, Any, Any]:
    """Promote, run, split off residuals: (y, residuals, the arrays that the forward function
    got).
    """
    narrow = None
    if p.promote is not None:
        if not _uniform(args):
            args, narrow = _promoted(p, args)
    elif p.half != "keep":
        for a in args:
            if not (isinstance(a, ndarray) or (on_gpu(a) and p.half == "widen")):
                continue
            if not ((d := a.dtype) is F32 or d is F64) and d in HALF:
                narrow = d
                args = [widen(a) for a in args]
                break
    if "cupy" in sys.modules and any([on_gpu(a) for a in args]):
        args = on_one_device(args)
    y = p.forward(*args, **options)
    residuals: Any = ()
    if p.residuals:
        y, *residuals = y
    if narrow is not None:
        y = tuple([_round(v, narrow) for v in y]) if type(y) is tuple else _round(y, narrow)
    return y, residuals, tuple(args)


def _uniform(args: Any) -> bool:
    """Whether promotion has nothing to do: a float32 or float64 array with numbers and arrays of
    its dtype.
    """
    first = args[0]
    if type(first) is not ndarray or not ((dtype := first.dtype) is F32 or dtype is F64):
        return False
    for a in args[1:]:
        if type(a) is ndarray:
            if a.dtype is not dtype:
                return False
        elif not (a is None or type(a) is float or type(a) is int):
            return False
    return True


def _promoted(p: Primitive, args: Any) -> tuple[Any, Any]:
    dtype = result_dtype([_plain_number(a) for a in args if a is not None])
    if p.promote == "float" and dtype.category < FLOATING:
        dtype = get_default_dtype()
    target = narrow = dtype.np
    if target in HALF and p.half != "keep":
        target = F32
    else:
        narrow = None
    return [a if a is None else _cast(a, target) for a in args], narrow


def _plain_number(a: Any) -> Any:
    return a.item() if isinstance(a, np.generic) else a


def _cast(a: Any, dtype: Any) -> Any:
    if isinstance(a, (ndarray, np.generic)) or on_gpu(a):
        return a if a.dtype == dtype else a.astype(dtype)
    return np.asarray(a).astype(dtype)  # a Python number: wraps around like PyTorch's cast


def on_one_device(args: Any) -> list[Any]:
    """Arguments of which at least one is on a GPU: numbers and 0-d arrays of main memory become
    NumPy's scalars, which kernels take by value. RuntimeError if other arrays are elsewhere.
    """
    found = []
    places: dict[device, None] = {}
    for a in args:
        if isinstance(a, ndarray) and not a.ndim:
            a = a[()]
        elif type(a) is ndarray or on_gpu(a):
            places[device_of(a)] = None
        found.append(a)
    if len(places) > 1:
        names = " and ".join([str(place) for place in sorted(places, key=str, reverse=True)][:2])
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{names}!"
        )
    return found


def _round(y: Any, dtype: Any) -> Any:
    return y.astype(dtype) if y.dtype == F32 else y


def as_array(y: Any) -> Any:
    return y if on_gpu(y) else np.asarray(y)
