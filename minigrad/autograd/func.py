"""Functions of functions: grad, vjp, jvp, Jacobians, vmap; for arguments that are trees of tensors.

    grad(f)(x)      the gradient as a function
    vmap(f)(xs)     f over a batch

`vmap` calls f once for each element of the batch and stacks the results: exact for every f, at the
price of a loop (it says so once, by a warning).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core.chores import alias, stack, take_slice
from ..core.engine import grad as _engine_grad
from ..core.modes import enable_grad
from ..core.tensor import Tensor, wrap
from ..core.trees import flatten, tree_map, unflatten
from ..export import export
from ..ops.shape import movedim
from .functional import jacobian as _jacobian
from .functional import jvp as _jvp


def _selected(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> tuple[Any, bool]:
    many = isinstance(argnums, tuple)
    return (tuple([args[i] for i in argnums]), True) if many else (args[argnums], False)  # type: ignore[index,union-attr]


def _replaced(args: tuple[Any, ...], argnums: Any, new: Any) -> tuple[Any, ...]:
    result = list(args)
    for i, value in (
        zip(argnums, new, strict=True) if isinstance(argnums, tuple) else ((argnums, new),)
    ):
        result[i] = value
    return tuple(result)


def _track(tree: Any) -> Any:
    """The tree with fresh tensors to differentiate by, still part of an outer graph if there is
    one.
    """

    def fresh(t: Any) -> Any:
        if not isinstance(t, Tensor):
            return t
        return alias(t) if t.requires_grad else t.detach().requires_grad_()

    return tree_map(fresh, tree)


@export("func.grad_and_value")
def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns (gradient, value) of a scalar function; with has_aux (gradient,
    (value, aux)).
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        with enable_grad():
            tracked = _track(_selected(args, argnums)[0])
            out = func(*_replaced(args, argnums, tracked), **kwargs)
            value, aux = out if has_aux else (out, None)
            if not isinstance(value, Tensor) or value.dim() != 0:
                shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise RuntimeError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar tensor, got a"
                    f" tensor of shape {shape}"
                )
            leaves, spec = flatten(tracked)
            outer = any(isinstance(t, Tensor) and t.requires_grad for t in flatten(args)[0])
            found = iter(_gradients(value, leaves, outer))
        grads = unflatten([next(found) if isinstance(t, Tensor) else None for t in leaves], spec)
        value = value if outer else value.detach()
        return grads, ((value, aux) if has_aux else value)

    return run


def _gradients(value: Tensor, leaves: list[Any], outer: bool) -> list[Tensor]:
    tensors = [t for t in leaves if isinstance(t, Tensor)]
    if not value.requires_grad:
        return [wrap(np.zeros_like(t._data)) for t in tensors]
    # create_graph always: an enclosing grad() may want to differentiate the result
    found = _engine_grad(value, tensors, create_graph=True, materialize_grads=True)
    return list(found) if outer else [g.detach() for g in found]


@export("func.grad")
def grad(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """The gradient of a scalar function as a function of the same arguments; with has_aux
    (gradient, aux).
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        grads, value = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return run


@export("func.vjp")
def vjp(func: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), vjp_fn[, aux]); vjp_fn(v) gives vᵀJ for each primal and can be called
    again.
    """
    with enable_grad():
        tracked = _track(primals)
        out = func(*tracked)
    value, aux = out if has_aux else (out, None)
    out_leaves, out_spec = flatten(value)
    leaves, spec = flatten(tracked)

    def vjp_fn(*cotangents: Any) -> Any:
        tree = cotangents[0] if len(cotangents) == 1 else tuple(cotangents)
        seeds = flatten(tree)[0]
        pairs = [(y, s) for y, s in zip(out_leaves, seeds, strict=True) if y.requires_grad]
        if not pairs:
            found: Any = [wrap(np.zeros_like(t._data)) for t in leaves]
        else:
            found = _engine_grad(
                [y for y, _ in pairs],
                leaves,
                [s for _, s in pairs],
                retain_graph=True,
                create_graph=True,
                materialize_grads=True,
            )
        return unflatten(list(found), spec)

    shown = unflatten(list(out_leaves), out_spec)
    return (shown, vjp_fn, aux) if has_aux else (shown, vjp_fn)


@export("func.jvp")
def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    has_aux: bool = False,
) -> Any:
    """(func(*primals), J·tangents[, aux])."""
    leaves, spec = flatten(primals)
    kept: list[Any] = []

    def flat(*xs: Tensor) -> Any:
        out = func(*unflatten(list(xs), spec))
        value = out
        if has_aux:
            value, aux = out
            kept.append(aux)
        found, out_spec = flatten(value)
        kept.append(out_spec)
        return tuple(found)

    values, products = _jvp(flat, tuple(leaves), tuple(flatten(tangents)[0]), create_graph=True)
    out_spec = kept[-1]
    result = (unflatten(list(values), out_spec), unflatten(list(products), out_spec))
    return (*result, kept[0]) if has_aux else result


def _jacobian_function(func: Callable[..., Any], argnums: Any, has_aux: bool) -> Callable[..., Any]:
    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        chosen, _ = _selected(args, argnums)
        leaves, spec = flatten(chosen)
        kept: list[Any] = []

        def flat(*xs: Tensor) -> Any:
            out = func(*_replaced(args, argnums, unflatten(list(xs), spec)), **kwargs)
            value = out
            if has_aux:
                value, aux = out
                kept.append(aux)
            found, out_spec = flatten(value)
            kept.append(out_spec)
            return tuple(found)

        rows = _jacobian(flat, tuple(leaves), create_graph=True)
        result = unflatten([unflatten(list(row), spec) for row in rows], kept[-1])
        return (result, kept[0]) if has_aux else result

    return run


@export("func.jacrev")
def jacrev(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian as a function: one backward for each element of the output."""
    return _jacobian_function(func, argnums, has_aux)


@export("func.jacfwd")
def jacfwd(
    func: Callable[..., Any],
    argnums: int | tuple[int, ...] = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """The Jacobian as a function; the same as jacrev here, where products Jv are made from
    backwards anyway.
    """
    return _jacobian_function(func, argnums, has_aux)


@export("func.hessian")
def hessian(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0) -> Callable[..., Any]:
    """Second derivatives of a scalar function, as a function."""
    return jacfwd(jacrev(func, argnums), argnums)


_told = False


@export("func.vmap", "vmap")
def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """func over a batch: its tensor arguments lose dimension in_dims (None: not batched), its
    results gain out_dims.

    ValueError if no argument is batched or the batch sizes differ.
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        _tell_once()
        leaves, spec = flatten(args)
        dims = _spread(in_dims, args)
        sizes = {
            t.shape[d]
            for t, d in zip(leaves, dims, strict=True)
            if d is not None and isinstance(t, Tensor)
        }
        if len(sizes) != 1:
            what = (
                f"got different sizes {sorted(sizes)}"
                if sizes
                else "got no input with a dimension to map over"
            )
            raise ValueError(f"vmap({getattr(func, '__name__', func)}): {what}; in_dims={in_dims}")
        results = []
        for i in range(sizes.pop()):
            row = [
                t if d is None else take_slice(t, dim=d, index=i)
                for t, d in zip(leaves, dims, strict=True)
            ]
            results.append(flatten(func(*unflatten(row, spec), **kwargs)))
        if not results:
            raise ValueError("vmap: cannot map over a dimension of size 0")
        columns = [stack(*column) for column in zip(*[r[0] for r in results], strict=True)]
        out_spec = results[0][1]
        places = _spread(out_dims, unflatten(columns, out_spec))
        moved = [c if not p else movedim(c, 0, p) for c, p in zip(columns, places, strict=True)]
        return unflatten(moved, out_spec)

    return run


def _spread(dims: Any, tree: Any) -> list[Any]:
    """One dimension for each leaf: a single number serves all, a tuple is matched to the tree."""
    if dims is None or isinstance(dims, int):
        return [dims] * len(flatten(tree)[0])
    if isinstance(tree, tuple | list):
        if len(dims) != len(tree):
            raise ValueError(
                f"vmap: expected one dimension for each of {len(tree)} values, got {dims}"
            )
        return [d for part, t in zip(dims, tree, strict=True) for d in _spread(part, t)]
    if isinstance(tree, dict):
        return [d for key, t in tree.items() for d in _spread(dims[key], t)]
    return list(dims) if isinstance(dims, tuple) and len(dims) == 1 else [dims]


def _tell_once() -> None:
    global _told
    if not _told:
        _told = True
        warnings.warn(
            "vmap runs the function once for each element of the batch (a loop)", stacklevel=3
        )


@export("func.linearize")
def linearize(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), jvp_fn): jvp_fn(*tangents) is J @ tangents, as often as it is called.

    func runs once; each call walks its graph back, and the graph of that.
    """
    output, pull = vjp(func, *primals)
    leaves, spec = flatten(output)
    with enable_grad():
        seeds = [wrap(np.zeros_like(t._data), True) for t in leaves]
        rows = pull(unflatten(seeds, spec))
    rows = rows if isinstance(rows, tuple) and len(primals) > 1 else (rows,)

    def jvp_fn(*tangents: Any) -> Any:
        if len(tangents) != len(primals):
            raise RuntimeError(f"linearize: expected {len(primals)} tangents, got {len(tangents)}")
        pairs = list(zip(flatten(rows)[0], flatten(tangents)[0], strict=True))
        for row, t in pairs:
            if row.shape != t.shape:
                raise RuntimeError(
                    f"linearize: a tangent has shape {tuple(t.shape)}, its primal"
                    f" {tuple(row.shape)}"
                )
        with enable_grad():
            total: Any = 0
            for row, t in pairs:
                total = total + (row * t).sum()
        found = _engine_grad(total, seeds, retain_graph=True, materialize_grads=True)
        return unflatten([g.detach() for g in found], spec)

    tracked = any(isinstance(t, Tensor) and t.requires_grad for t in flatten(primals)[0])
    return (output if tracked else tree_map(lambda t: t.detach(), output)), jvp_fn


@export("func.functionalize")
def functionalize(func: Callable[..., Any], *, remove: str = "mutations") -> Callable[..., Any]:
    """`func` itself: changes in place are already seen by the transforms. RuntimeError for another
    `remove` than "mutations" and "mutations_and_views".
    """
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            "functionalize(f, remove='mutations'): received invalid argument for remove=" + remove
        )
    return func
