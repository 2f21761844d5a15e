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

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from ..backend.dtypes import F32, F64, from_numpy_dtype
from .calls import raw_call, several, shape_error
from .modes import MODE
from .promotion import as_array, compute, on_gpu
from .recording import REGISTRY, Primitive, differentiable_dtype
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
        call = several(p)
    update_wrapper(call, forward)
    if plain and p.arity in _SIGNATURES:  # callers use PyTorch's argument names: input, other
        call.__signature__ = _SIGNATURES[p.arity]  # type: ignore[attr-defined]
        del call.__wrapped__  # type: ignore[attr-defined]
    call.__name__ = p.name
    call.vjp, call.joint, call.primitive = p.vjp, p.joint, p  # type: ignore[attr-defined]
    call.fast, call.fast_joint = p.fast, p.fast_joint  # type: ignore[attr-defined]
    call.together = p.together  # type: ignore[attr-defined]
    call.operator = _binary(p, operator=True) if plain and p.arity == 2 else call  # type: ignore[attr-defined]
    p.call = call
    return call


def _unary(p: Primitive) -> Callable:
    record = p.record

    def call_unary(input: Any, *, out: Any = None) -> Any:
        if not isinstance(input, Tensor):
            return p.forward(input) if type(input) is ndarray else raw_call(p, (input,), {})
        x = input._data
        dtype = x.dtype
        y = p.forward(x) if dtype is F32 or dtype is F64 else compute(p, (x,), {})[0]
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
            return raw_call(p, (input,), options)
        x = input._data
        dtype = x.dtype
        if dtype is F32 or dtype is F64:
            y = p.forward(x, **options)
        else:
            y, _, (x,) = compute(p, (x,), options)
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
            return raw_call(p, (input, other), {})
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
                y, _, raw = compute(p, (a, b), {})
        except ValueError as error:
            raise (p.promote and shape_error(a, b)) or error from None
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
    return isinstance(x, (ndarray, int, float, complex, np.generic)) or on_gpu(x)


def _operand_error(p: Primitive, a: Any, b: Any) -> TypeError:
    place, bad = ("'other' (position 2)", b) if _is_operand(a) else ("'input' (position 1)", a)
    return TypeError(f"{p.name}(): argument {place} must be Tensor, not {type(bad).__name__}")


def _view(p: Primitive) -> Callable:
    """The call path of a view: one argument, options, a result (or several) in the same memory."""
    record = p.record

    def call_view(input: Any, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            return (
                p.forward(input, **options)
                if type(input) is ndarray
                else raw_call(p, (input,), options)
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
