"""Products with Jacobians and Hessians of a function of tensors.

vjp   v ↦ vᵀJ   one backward
jvp   v ↦ Jv    two backwards: vᵀJ is linear in v, and its own vᵀJ is Jv ("double backward trick")
jacobian        one backward a row
hvp, vhp        v ↦ Hv, vᵀH; hessian: the Jacobian of the gradient
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.chores import alias, stack
from ..core.engine import grad
from ..core.modes import enable_grad
from ..core.tensor import Tensor, wrap
from ..export import export
from ..ops.shape import reshape

Tensors = Any


def _tuple(x: Any, what: str, function: str) -> tuple[tuple[Tensor, ...], bool]:
    """`x` as a tuple of tensors, and whether it was one; TypeError otherwise."""
    is_tuple = isinstance(x, tuple | list)
    items = tuple(x) if is_tuple else (x,)
    for i, t in enumerate(items):
        if not isinstance(t, Tensor):
            where = f"the value at index {i} has type" if is_tuple else "it has type"
            raise TypeError(
                f"The {what} given to {function} must be either a Tensor or a tuple of Tensors but"
                f" {where} {type(t).__name__}."
            )
    return items, is_tuple


def _leaves(inputs: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    """Fresh tensors to differentiate by; with create_graph still connected to the caller's
    graph.
    """
    if create_graph:
        return tuple([alias(t) if t.requires_grad else t.detach().requires_grad_() for t in inputs])
    return tuple([t.detach().requires_grad_() for t in inputs])


def _check_v(v: Any, like: tuple[Tensor, ...], what: str, function: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"The vector v can only be None if the {what} is a single Tensor with a single"
                " element."
            )
        return (wrap(np.ones_like(like[0]._data)),)
    vectors, _ = _tuple(v, "v", function)
    if len(vectors) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(vectors)}."
        )
    for i, (a, b) in enumerate(zip(vectors, like, strict=True)):
        if a.shape != b.shape:
            raise RuntimeError(f"v[{i}] has invalid size: should be {b.size()} but got {a.size()}.")
    return vectors


def _filled(grads: Any, like: tuple[Tensor, ...], strict: bool, what: str) -> tuple[Tensor, ...]:
    result = []
    for i, (g, t) in enumerate(zip(grads, like, strict=True)):
        if g is None:
            if strict:
                raise RuntimeError(
                    f"{what} is independent of input {i}. This is not allowed in strict mode."
                )
            g = wrap(np.zeros_like(t._data))
        result.append(g)
    return tuple(result)


def _finish(tensors: tuple[Tensor, ...], is_tuple: bool, create_graph: bool) -> Any:
    done = tensors if create_graph else tuple([t.detach() for t in tensors])
    return done if is_tuple else done[0]


@export("autograd.functional.vjp")
def vjp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), vᵀJ), J being the Jacobian of func at the inputs; v has the shape of the
    output.
    """
    with enable_grad():
        given, in_tuple = _tuple(inputs, "inputs", "vjp")
        xs = _leaves(given, create_graph)
        ys, out_tuple = _tuple(func(*xs), "outputs of the user-provided function", "vjp")
        vs = _check_v(v, ys, "output", "vjp")
        grads = _grad_or_none(ys, xs, vs, create_graph)
        found = _filled(grads, xs, strict, "The output of the user-provided function")
    return _finish(ys, out_tuple, create_graph), _finish(found, in_tuple, create_graph)


def _grad_or_none(ys: Any, xs: Any, vs: Any, create_graph: bool, retain: bool | None = None) -> Any:
    pairs = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(xs)
    return grad(
        [y for y, _ in pairs],
        xs,
        [v for _, v in pairs],
        retain,
        create_graph=create_graph,
        allow_unused=True,
    )


@export("autograd.functional.jvp")
def jvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), Jv), J being the Jacobian of func at the inputs; v has the shape of the
    inputs.
    """
    with enable_grad():
        given, _ = _tuple(inputs, "inputs", "jvp")
        xs = _leaves(given, create_graph)
        vs = _check_v(v, xs, "input", "jvp")
        ys, out_tuple = _tuple(func(*xs), "outputs of the user-provided function", "jvp")
        us = tuple([wrap(np.zeros_like(y._data), True) for y in ys])
        through = _grad_or_none(ys, xs, us, True)
        if strict and any(g is None for g in through):
            raise RuntimeError(
                "The output of the user-provided function is independent of an input."
            )
        pairs = [
            (g, w) for g, w in zip(through, vs, strict=True) if g is not None and g.requires_grad
        ]
        if pairs:
            grads = grad(
                [g for g, _ in pairs],
                us,
                [w for _, w in pairs],
                None,
                create_graph,
                allow_unused=True,
            )
        else:
            grads = [None] * len(us)
        found = _filled(grads, ys, strict, "The output of the user-provided function")
    return _finish(ys, out_tuple, create_graph), _finish(found, out_tuple, create_graph)


@export("autograd.functional.jacobian")
def jacobian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: for each output and input a tensor of shape output.shape + input.shape.

    One backward a row (strategy "forward-mode": one Jv a column); `vectorize` changes nothing here.
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError('Expected strategy to be either "forward-mode" or "reverse-mode"')
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            "torch.autograd.functional.jacobian: `create_graph=True` is not implemented for"
            ' `strategy="forward-mode"`.'
        )  # noqa: E501
    with enable_grad():
        given, in_tuple = _tuple(inputs, "inputs", "jacobian")
        xs = _leaves(given, create_graph)
        ys, out_tuple = _tuple(func(*xs), "outputs of the user-provided function", "jacobian")
        rows = tuple([_rows(i, y, xs, create_graph, strict) for i, y in enumerate(ys)])
    if not in_tuple:
        rows = tuple([r[0] for r in rows])
    return rows if out_tuple else rows[0]


def _rows(
    number: int, y: Tensor, xs: tuple[Tensor, ...], create_graph: bool, strict: bool
) -> tuple[Tensor, ...]:
    """d y / d x for every x, row by row."""
    if strict and not y.requires_grad:
        raise RuntimeError(
            f"Output {number} of the user-provided function does not require gradients. The outputs"
            " must be computed in a differentiable manner from the input when running in strict"
            " mode."
        )
    columns: list[list[Any]] = [[] for _ in xs]
    size = y.numel()
    for i in range(size):
        unit = np.zeros(size, y._data.dtype)
        unit[i] = 1
        seed = wrap(unit.reshape(y._data.shape))
        grads = _filled(
            _grad_or_none((y,), xs, (seed,), create_graph, True),
            xs,
            strict,
            f"Output {number} of the function",
        )
        for column, g in zip(columns, grads, strict=True):
            column.append(g if create_graph else g.detach())
    return tuple(
        [
            (
                reshape(stack(*c), (*y.shape, *x.shape))
                if c
                else wrap(np.zeros((*y.shape, *x.shape), x._data.dtype))
            )
            for c, x in zip(columns, xs, strict=True)
        ]
    )


def _scalar(func: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    def checked(*xs: Tensor) -> Tensor:
        y = func(*xs)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise RuntimeError(
                f"The Tensor returned by the function given to {name} should contain a single"
                " element"
            )
        return reshape(y, ()) if y.dim() else y

    return checked


@export("autograd.functional.hessian")
def hessian(
    func: Callable[..., Any],
    inputs: Tensors,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a scalar function: the Jacobian of its gradient."""
    given, in_tuple = _tuple(inputs, "inputs", "hessian")
    scalar = _scalar(func, "hessian")

    def gradient(*xs: Tensor) -> Any:
        xs = tuple([x if x.requires_grad else x.detach().requires_grad_() for x in xs])
        grads = _grad_or_none((scalar(*xs),), xs, (None,), True)
        return _filled(grads, xs, strict, "The output of the function")

    rows = jacobian(gradient, given, create_graph, strict)
    return rows if in_tuple else rows[0][0]


@export("autograd.functional.vhp")
def vhp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), vᵀH) for a scalar function with Hessian H."""
    with enable_grad():
        given, in_tuple = _tuple(inputs, "inputs", "vhp")
        xs = _leaves(given, create_graph)
        vs = _check_v(v, xs, "input", "vhp")
        y = _scalar(func, "vhp")(*xs)
        first = _filled(
            _grad_or_none((y,), xs, (None,), True), xs, strict, "The output of the function"
        )
        second = _filled(
            _grad_or_none(first, xs, vs, create_graph), xs, strict, "The gradient of the function"
        )
    return _finish((y,), False, create_graph), _finish(second, in_tuple, create_graph)


@export("autograd.functional.hvp")
def hvp(
    func: Callable[..., Any],
    inputs: Tensors,
    v: Tensors = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(*inputs), Hv): equal to vᵀH because second derivatives commute, and one backward
    cheaper than by jvp.
    """
    return vhp(func, inputs, v, create_graph, strict)
