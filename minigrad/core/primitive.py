"""Primitives: a function over arrays, and beside it the rule for each argument's gradient.

    @primitive
    def tanh(x):
        return np.tanh(x)

    tanh.vjp(x=lambda g, y: g * (1 - y * y))

A rule takes the gradient `g` of the result and returns the gradient of one argument. The names of
its other parameters say what is kept from the forward pass for it:

    y          the result                      <arg>         that argument's array
    <option>   a keyword-only option           <arg>_shape   only the shape of that argument
    <residual> an extra forward result         needs         per argument: is its gradient wanted

and nothing else is kept, and only if the rule's argument requires a gradient. `f.joint(rule)` gives
one rule that returns the gradients of all arguments, for derivatives that share work.

Primitives called with plain arrays compute plain arrays. A rule written with operators and
primitives therefore serves twice: in an ordinary backward it runs on arrays and records nothing;
under create_graph=True it runs on Tensors, and so has a derivative itself. Rules need not undo
broadcasting nor match dtypes: the engine does.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from ..backend.devices import array_module, device, device_of
from ..backend.dtypes import (
    F32,
    F64,
    FLOATING,
    HALF,
    from_numpy_dtype,
    get_default_dtype,
    result_dtype,
)
from ..errors import broadcast_error
from .modes import MODE
from .recording import REGISTRY, Primitive, differentiable_dtype, widen
from .tensor import Tensor, wrap
from .views import link_view, refresh_view

__all__ = ["REGISTRY", "Primitive", "as_array", "differentiable_dtype", "primitive", "write_out"]

ndarray = np.ndarray


# ------------------------------------------------------------------------------ call paths
def primitive(
    forward: Callable | None = None,
    *,
    promote: str | None = None,
    residuals: tuple[str, ...] = (),
    view: bool = False,
    half: str = "widen",
    composition: Callable | None = None,
) -> Any:
    """Turn a function over arrays into one over Tensors whose derivative rules can be given.

    Arguments are arrays (Python numbers and None are allowed), options are keyword-only.

    promote      "type": the arguments are brought to PyTorch's common dtype; "float": integers
                 become the default
                 floating dtype, too; None: the function takes the arrays as they are
    residuals    names of extra results, kept for rules and not returned: forward gives (y,
                 *residuals)
    view         the result shares the memory of the one argument (a copy is noticed and treated as
                 one)
    half         "widen": float16 and bfloat16 are computed in float32 and rounded once; "keep": as
                 they are; "device": widened in main memory, left to the function on a GPU
    composition  the same function from differentiable parts, used for second derivatives of fused
                 kernels; it takes
                 the same arguments, as Tensors. Without it residuals count as constants.
    """
    if forward is None:
        return lambda f: primitive(
            f, promote=promote, residuals=residuals, view=view, half=half, composition=composition
        )
    p = Primitive(
        forward, promote=promote, residuals=residuals, view=view, half=half, composition=composition
    )
    plain = not p.options and not residuals and p.varargs is None and not view
    if plain and p.arity == 1:
        call = _unary(p)
    elif plain and p.arity == 2:
        call = _binary(p)
    elif view:
        call = _view(p)
    elif p.arity == 1 and not residuals and p.varargs is None:
        call = _unary_with_options(p)
    else:
        call = _general(p)
    update_wrapper(call, forward)
    if plain and p.arity in _SIGNATURES:  # callers use PyTorch's argument names: input, other
        call.__signature__ = _SIGNATURES[p.arity]  # type: ignore[attr-defined]
        del call.__wrapped__  # type: ignore[attr-defined]
    call.__name__ = p.name
    call.vjp, call.joint, call.primitive = p.vjp, p.joint, p  # type: ignore[attr-defined]
    call.fast, call.fast_joint = p.fast, p.fast_joint  # type: ignore[attr-defined]
    call.operator = _binary(p, operator=True) if plain and p.arity == 2 else call  # type: ignore[attr-defined]
    p.call = call
    return call


def _unary(p: Primitive) -> Callable:
    record = p.record

    def call_unary(input: Any, *, out: Any = None) -> Any:
        if not isinstance(input, Tensor):
            return p.forward(input) if type(input) is ndarray else _raw(p, (input,), {})
        x = input._data
        dtype = x.dtype
        y = p.forward(x) if dtype is F32 or dtype is F64 else _forward(p, (x,), {})[0]
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        view = input._view
        if view is not None and view.seen != input._counter[0]:
            refresh_view(input)
        if (
            input._requires_grad
            and MODE.get().grad
            and p.differentiable
            and (y.dtype is dtype or differentiable_dtype(y.dtype))
        ):
            record((input,), (x,), y, None, None, result, _ONE)
        return result if out is None else write_out(result, out, p.same_dtype)

    return call_unary


def _unary_with_options(p: Primitive) -> Callable:
    """The call path of one argument and options: a reduction, an activation with parameters."""
    record = p.record

    def call_with_options(input: Any, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            if type(input) is ndarray:
                return p.forward(input, **options)
            return _raw(p, (input,), options)
        x = input._data
        dtype = x.dtype
        if dtype is F32 or dtype is F64:
            y = p.forward(x, **options)
        else:
            y, _, (x,) = _forward(p, (x,), options)
        if type(y) is tuple:
            y = tuple([as_array(v) for v in y])
            result: Any = tuple([wrap(v) for v in y])
            differentiable = any([differentiable_dtype(v.dtype) for v in y])
        else:
            if type(y) is not ndarray:
                y = as_array(y)
            result = wrap(y)
            differentiable = y.dtype is dtype or differentiable_dtype(y.dtype)
        view = input._view
        if view is not None and view.seen != input._counter[0]:
            refresh_view(input)
        if input._requires_grad and differentiable and p.differentiable and MODE.get().grad:
            record((input,), (x,), y, options, None, result, _ONE)
        return result

    return call_with_options


def _binary(p: Primitive, operator: bool = False) -> Callable:
    """The call path of two arguments; as an `operator` it answers NotImplemented to types it does
    not know.
    """
    record = p.record

    def call_binary(input: Any, other: Any, *, out: Any = None) -> Any:
        if isinstance(input, Tensor):
            a = input._data
            b = other._data if isinstance(other, Tensor) else other
        elif isinstance(other, Tensor):
            a, b = input, other._data
            if p.check is not None:
                p.check(a, b)
            if (type(a) is float or type(a) is int) and (b.dtype is F32 or b.dtype is F64):
                a = np.asarray(a, b.dtype)
        elif type(input) is ndarray and type(other) is ndarray:
            return p.forward(input, other)
        else:
            return _raw(p, (input, other), {})
        kind = type(b)
        try:
            if (
                type(a) is ndarray
                and ((dtype := a.dtype) is F32 or dtype is F64)
                and ((b.dtype is dtype) if kind is ndarray else (kind is float or kind is int))
            ):
                raw = (a, b)
                y = p.forward(a, b)
            else:
                if p.promote is not None and not (_is_operand(a) and _is_operand(b)):
                    if operator:
                        return NotImplemented
                    raise _operand_error(p, a, b)
                if p.check is not None:
                    p.check(a, b)
                y, _, raw = _forward(p, (a, b), {})
        except ValueError as error:
            raise (p.promote and _shape_error(a, b)) or error from None
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        if p.differentiable and MODE.get().grad:
            wanted = (_requires_grad(input), _requires_grad(other))
            if (wanted[0] or wanted[1]) and differentiable_dtype(y.dtype):
                record((input, other), raw, y, None, None, result, wanted)
        return result if out is None else write_out(result, out)

    return call_binary


def _is_operand(x: Any) -> bool:
    return isinstance(x, (ndarray, int, float, complex, np.generic)) or _on_gpu(x)


def _operand_error(p: Primitive, a: Any, b: Any) -> TypeError:
    place, bad = ("'other' (position 2)", b) if _is_operand(a) else ("'input' (position 1)", a)
    return TypeError(f"{p.name}(): argument {place} must be Tensor, not {type(bad).__name__}")


def _shape_error(*operands: Any) -> Exception | None:
    """PyTorch's error for operands that cannot be broadcast together; None if they can."""
    known: tuple[int, ...] = ()
    for x in operands:
        shape = np.shape(x) if x is not None else ()
        try:
            known = np.broadcast_shapes(known, shape)
        except ValueError:
            return broadcast_error(known, shape)
    return None


def _view(p: Primitive) -> Callable:
    """The call path of a view: one argument, options, a result (or several) in the same memory."""
    record = p.record

    def call_view(input: Any, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            return (
                p.forward(input, **options)
                if type(input) is ndarray
                else _raw(p, (input,), options)
            )
        y = p.forward(input._data, **options)
        view = input._view
        if view is not None and view.seen != input._counter[0]:
            refresh_view(input)
        grad = MODE.get().grad
        recorded = grad and input._requires_grad and p.differentiable
        if type(y) is tuple:
            result: Any = tuple([wrap(v) for v in y])
            if recorded:
                record((input,), (input._data,), y, options, None, result, _ONE)
        else:
            result = wrap(y)
            if recorded and differentiable_dtype(y.dtype):
                record((input,), (input._data,), y, options, None, result, _ONE)
        link_view(result, input, p, options, grad)
        return result

    return call_view


def _general(p: Primitive) -> Callable:
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
                y, extra, raw = _forward(p, raw, options)
            result = wrap(y)
            if (w0 or w1) and MODE.get().grad and ...:
                record(args, raw, y, options, extra, result, (w0, w1))
            return result
    """
    if p.varargs is not None:
        return _any_number(p)
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
   y, extra, raw = run(p, raw, options)
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
        "p": p, "record": p.record, "raw_call": _raw, "run": _forward,
        "shape_error": _shape_error, "Tensor": Tensor, "ndarray": ndarray, "F32": F32, "F64": F64,
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


def _any_number(p: Primitive) -> Callable:
    """The call path where the number of arguments varies."""
    widened = p.half != "keep"

    def call_any(*args: Any, **options: Any) -> Any:
        tensors = [a for a in args if isinstance(a, Tensor)]
        if not tensors:
            if args and type(args[0]) is ndarray:  # a rule on arrays, as a rule
                y = p.forward(*args, **options)
                return y[0] if p.residuals else y
            return _raw(p, args, options)
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
            y, extra, arrays = _forward(p, arrays, options)
        if type(y) is not ndarray:
            y = as_array(y)
        result = wrap(y)
        if p.differentiable and MODE.get().grad and differentiable_dtype(y.dtype):
            wanted = tuple([isinstance(a, Tensor) and a._requires_grad for a in args])
            if True in wanted:
                p.record(args, arrays, y, options, extra, result, wanted)
        return result

    return call_any


_SIGNATURES = {
    1: inspect.signature(lambda input, *, out=None: None),
    2: inspect.signature(lambda input, other, *, out=None: None),
}


_ONE = (True,)  # which arguments require gradients


def _requires_grad(a: Any) -> bool:
    if not isinstance(a, Tensor):
        return False
    view = a._view
    if view is not None and view.seen != a._counter[0]:
        refresh_view(a)
    return a._requires_grad


def _raw(p: Primitive, args: Any, options: dict) -> Any:
    """A call without Tensors: arrays in, arrays out (how rules run in an ordinary backward)."""
    if not any(isinstance(a, (ndarray, np.generic)) for a in args) and not any(
        _on_gpu(a) for a in args
    ):
        kinds = ", ".join(type(a).__name__ for a in args)
        raise TypeError(f"{p.name}(): argument 'input' (position 1) must be Tensor, not {kinds}")
    y = p.forward(*args, **options)
    return y[0] if p.residuals else y


def _on_gpu(x: Any) -> bool:
    return array_module(x) is not np


def _forward(p: Primitive, args: Any, options: dict) -> tuple[Any, Any, Any]:
    """Promote, run, split off residuals: (y, residuals, the arrays that the forward function
    got).
    """
    narrow = None
    if p.promote is not None:
        if not _uniform(args):
            args, narrow = _promoted(p, args)
    elif p.half != "keep":
        for a in args:
            if not (isinstance(a, ndarray) or (_on_gpu(a) and p.half == "widen")):
                continue
            if not ((d := a.dtype) is F32 or d is F64) and d in HALF:
                narrow = d
                args = [widen(a) for a in args]
                break
    if "cupy" in sys.modules and any([_on_gpu(a) for a in args]):
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
    if isinstance(a, (ndarray, np.generic)) or _on_gpu(a):
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
        elif type(a) is ndarray or _on_gpu(a):
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
    return y if _on_gpu(y) else np.asarray(y)


def refuse_recorded(x: Tensor, out: Tensor) -> None:
    """RuntimeError for `out=` where the result would be recorded."""
    if MODE.get().grad and (x.requires_grad or out.requires_grad):
        raise RuntimeError(
            "out=... arguments don't support automatic differentiation, but one requires grad."
        )


def write_out(result: Tensor, out: Tensor, same_dtype: bool = False) -> Tensor:
    """The `out=` argument: copy the result there and return it; refused under autograd, as in
    PyTorch, and for dtypes that do not fit, or (same_dtype) are not the same.
    """
    refuse_recorded(result, out)
    y = result._data
    if same_dtype and y.dtype != out._data.dtype:
        raise RuntimeError(f"Found dtype {out.dtype.name} but expected {result.dtype.name}")
    if not _castable(y.dtype, out._data.dtype):
        raise RuntimeError(
            f"result type {result.dtype.name} can't be cast to the desired output type"
            f" {out.dtype.name}"
        )
    if out._data.shape == y.shape:
        out._data[...] = y
    else:
        out._data = y.astype(out._data.dtype)
    out._bump()
    return out


def _castable(source: Any, target: Any) -> bool:
    return from_numpy_dtype(source).category <= from_numpy_dtype(target).category
