"""The call paths of primitives with several arguments, or any number of them.

Calls of one and of two arguments are in primitive.py.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.dtypes import F32, F64, HALF
from ..errors import broadcast_error
from .modes import MODE
from .promotion import as_array, compute, on_gpu
from .recording import Primitive, differentiable_dtype
from .tensor import Tensor, wrap
from .views import refresh_view

ndarray = np.ndarray


def several(p: Primitive) -> Callable:
    """The call path of several arguments, written out for their number as `Primitive._filler` is;
    for a primitive of two arguments that keeps residuals it reads, without what only other kinds
    need,

        def call(*args, **options):
            a0, a1 = args
            if type(a0) is ndarray and not isinstance(a1, Tensor):  # a rule on arrays, as a rule
                return p.forward(a0, a1, **options)[0]
            ready = True  # nothing to promote or widen
            if isinstance(a0, Tensor):
                x0, w0 = a0._data, a0._requires_grad
                ...
            raw, extra = (x0, x1), ()
            if ready:
                y, *extra = p.forward(x0, x1, **options)
            else:
                y, extra, raw = compute(p, raw, options)
            result = wrap(y)
            if (w0 or w1) and MODE.get().grad and ...:
                record(args, raw, y, options, extra, result, (w0, w1))
            return result
    """
    if p.varargs is not None:
        return any_number(p)
    places, defaults = range(p.arity), inspect.unwrap(p.formula).__defaults__
    xs, ws = _listed("x", places), _listed("w", places)
    others = " or ".join([f"isinstance(a{i}, Tensor)" for i in places[1:]])
    text = "def call_general(*args, **options):\n"
    if defaults:
        text += f" if len(args) < {p.arity}:\n"
        text += f"  args += defaults[len(args) - {p.arity}:]\n"
    text += f""" {_listed("a", places)} = args
 if not isinstance(a0, Tensor) and not ({others}):
  if type(a0) is ndarray:
   return p.forward(*args, **options){"[0]" if p.residuals else ""}
  return raw_call(p, args, options)
 ready = {p.promote is None}
"""
    widened = " or ((d := x{i}.dtype) is not F32 and d is not F64 and d in HALF)"
    for i in places:
        text += f""" if isinstance(a{i}, Tensor):
  x{i} = a{i}._data
  if (view := a{i}._view) is not None and view.seen != a{i}._counter[0]:
   refresh_view(a{i})
  w{i} = a{i}._requires_grad
  if type(x{i}) is not ndarray{widened.format(i=i) if p.half != "keep" else ""}:
   ready = False
 else:
  x{i}, w{i} = a{i}, False
"""
        if p.half != "keep":
            text += f"  if type(a{i}) is ndarray and a{i}.dtype in HALF:\n   ready = False\n"
    text += f""" raw, extra = ({xs}), ()
 try:
  if ready:
   {"y, *extra" if p.residuals else "y"} = p.forward({xs} **options)
  else:
   y, extra, raw = compute(p, raw, options)
 except ValueError as error:
  raise (p.promote and shape_error(*raw)) or error from None
 if type(y) is tuple:
  y = tuple([v if type(v) is ndarray else as_array(v) for v in y])
  result = tuple([wrap(v) for v in y])
  differentiable = any([differentiable_dtype(v.dtype) for v in y])
 else:
  if type(y) is not ndarray:
   y = as_array(y)
  result = wrap(y)
  differentiable = (d := y.dtype) is F32 or differentiable_dtype(d)
 if ({" or ".join([f"w{i}" for i in places])}) and p.differentiable and MODE.get().grad:
  if differentiable:
   record(args, raw, y, options, extra, result, ({ws}))
 return result
"""
    names: dict[str, Any] = {
        "p": p, "record": p.record, "raw_call": raw_call, "compute": compute,
        "shape_error": shape_error, "Tensor": Tensor, "ndarray": ndarray, "F32": F32, "F64": F64,
        "HALF": HALF, "MODE": MODE, "defaults": defaults, "wrap": wrap, "as_array": as_array,
        "refresh_view": refresh_view, "differentiable_dtype": differentiable_dtype,
    }  # fmt: skip
    exec(_compiled(text), names)
    return names["call_general"]


@functools.cache
def _compiled(text: str) -> Any:
    return compile(text, "<call path>", "exec")


def _listed(name: str, places: Any) -> str:
    return "".join([f"{name}{i}, " for i in places])


def any_number(p: Primitive) -> Callable:
    """The call path where the number of arguments varies."""
    widened = p.half != "keep"

    def call_any(*args: Any, **options: Any) -> Any:
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            if args and type(args[0]) is ndarray:  # a rule on arrays, as a rule
                y = p.forward(*args, **options)
                return y[0] if p.residuals else y
            return raw_call(p, args, options)
        for t in tensors:
            if (view := t._view) is not None and view.seen != t._counter[0]:
                refresh_view(t)
        arrays: Any = [a._data if isinstance(a, Tensor) else a for a in args]
        extra: Any = ()
        ready = p.promote is None and "cupy" not in sys.modules
        if ready and not (widened and any([getattr(x, "dtype", F32) in HALF for x in arrays])):
            y = p.forward(*arrays, **options)
            if p.residuals:
                y, *extra = y
        else:
            y, extra, arrays = compute(p, arrays, options)
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        if p.differentiable and MODE.get().grad and differentiable_dtype(y.dtype):
            wanted = tuple([isinstance(a, Tensor) and a._requires_grad for a in args])
            if True in wanted:
                p.record(args, arrays, y, options, extra, result, wanted)
        return result

    return call_any


def raw_call(p: Primitive, args: Any, options: dict) -> Any:
    """A call without Tensors: arrays in, arrays out (how rules run in an ordinary backward)."""
    if not any(isinstance(a, (ndarray, np.generic)) for a in args) and not any(
        on_gpu(a) for a in args
    ):
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"{p.name}(): argument 'input' (position 1) must be Tensor, not {kinds}")
    y = p.forward(*args, **options)
    return y[0] if p.residuals else y


def shape_error(*operands: Any) -> Exception | None:
    """PyTorch's error for operands that cannot be broadcast together; None if they can."""
    known: tuple[int, ...] = ()
    for x in operands:
        shape = np.shape(x) if x is not None else ()
        try:
            known = np.broadcast_shapes(known, shape)
        except ValueError:
            return broadcast_error(known, shape)
    return None
