"""autograd.Function: an op with a derivative of the user's own.

class Exp(Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]

y = Exp.apply(x)
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..export import export
from .inplace import check_inplace
from .modes import MODE, ModeContext
from .node import FREED, Node, edge_of, next_seq
from .recording import differentiable_dtype
from .tensor import Tensor, wrap
from .views import fresh


class FunctionNode(Node):
    """The node of one Function.apply; it is also the `ctx` that forward and backward get."""

    __slots__ = (
        "function",
        "saved",
        "counters",
        "needs_input_grad",
        "materialize",
        "dirty",
        "non_differentiable",
    )
    __slots__ += ("__dict__",)
    owns_results = False  # a user's backward may return an array that it keeps

    def __init__(self, function: type[Function], needs: tuple[bool, ...]):
        self.function = function
        self.saved: Any = ()
        self.counters: Any = ()
        self.needs_input_grad = needs
        self.materialize = True
        self.dirty: tuple[Tensor, ...] = ()
        self.non_differentiable: tuple[Tensor, ...] = ()
        self.hooks = None
        self.edges = ()
        self.multi = False

    def name(self) -> str:
        return self.function.__name__ + "Backward"

    # ---------------------------------------------------------------- what forward may call
    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs for backward, safe against in-place changes and reference
        cycles.
        """
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    "save_for_backward can only save variables, but argument is of type"
                    f" {type(t).__name__}"
                )
        self.saved = tensors

    save_for_forward = save_for_backward

    def mark_dirty(self, *args: Tensor) -> None:
        """Tell that forward changed these inputs in place."""
        self.dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Tell that these outputs have no gradient."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (default) or None for outputs without a gradient."""
        self.materialize = value

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What save_for_backward kept; RuntimeError if the graph was freed or a tensor changed in
        place.
        """
        if self.saved is FREED:
            iter(FREED)
        result = []
        for kept in self.saved:
            if type(kept) is not tuple:
                result.append(kept.unpack(kept.value) if type(kept) is _Packed else kept)
                continue
            data, counter, version, edge, cls_tensor = kept
            if counter[0] != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an"
                    f" inplace operation: [{list(data.shape)}], saved for {self.name()}, is at"
                    f" version {counter[0]}; expected version {version} instead."
                )
            if cls_tensor is not None:
                result.append(cls_tensor)
                continue
            t = wrap(data, edge is not None)
            if edge is not None:
                t._node, t._index = (self, edge) if isinstance(edge, int) else edge
            t._counter = counter
            result.append(t)
        return tuple(result)

    # ---------------------------------------------------------------- what the engine calls
    def run(self, g: Any, needed: Any, create_graph: bool) -> Any:
        grads = list(g) if self.multi else [g]
        for i, gi in enumerate(grads):
            if gi is None and self.materialize:
                shape, dtype = (
                    (self.shape[i], self.dtype[i]) if self.multi else (self.shape, self.dtype)
                )
                gi = np.zeros(shape, dtype)
            grads[i] = gi if gi is None or isinstance(gi, Tensor) else wrap(gi)
        with ModeContext(grad=create_graph):
            found = self.function.backward(self, *grads)
        found = list(found) if isinstance(found, (tuple, list)) else [found]
        while len(found) > len(self.edges) and found[-1] is None:
            found.pop()
        if len(found) != len(self.edges):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected"
                f" {len(self.edges)}, got {len(found)})"
            )
        for i, gi in enumerate(found):
            if gi is None:
                continue
            if not isinstance(gi, Tensor):
                raise TypeError(
                    f"function {self.name()} returned gradient {i} of type {type(gi).__name__};"
                    " expected Tensor or None"
                )
            if self.edges[i] is None:
                found[i] = None
            elif not create_graph:
                found[i] = gi._data
        return found

    def release(self) -> None:
        if self.saved:
            self.saved = FREED


class _Packed(NamedTuple):
    """A saved tensor under `saved_tensors_hooks`: what the user's function made of it."""

    value: Any
    unpack: Callable[[Any], Tensor]


def _keep_saved(ctx: FunctionNode, inputs: tuple[Any, ...], outputs: list[Tensor]) -> None:
    """Saved tensors as arrays and edges: holding an output itself would be a reference cycle."""
    kept: list[Any] = []
    hooks = MODE.get().saved_hooks
    for t in ctx.saved:
        if t is None:
            kept.append(None)
            continue
        if hooks:
            pack, unpack = hooks[-1]
            kept.append(_Packed(pack(t), unpack))
            continue
        output = next((i for i, o in enumerate(outputs) if o is t), None)
        if output is not None:
            edge: Any = output if t._requires_grad else None
            kept.append((t._data, t._counter, t._counter[0], edge, None))
        else:
            edge = edge_of(t) if t.requires_grad else None
            # a leaf is its own best record: its AccumulateGrad node holds it anyway
            kept.append((t._data, t._counter, t._counter[0], edge, t if t._node is None else None))
    ctx.saved = tuple(kept)


@export("autograd.Function", "autograd.function.Function")
class Function:
    """Base class of user-defined differentiable functions: static `forward(ctx, ...)` and
    `backward(ctx, ...)`.

    With a static `setup_context(ctx, inputs, output)`, forward is written without ctx.
    """

    setup_context: Callable | None = None

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; its first parameter is ctx unless setup_context is given."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """From the outputs' gradients, the gradient (or None) of every argument of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function"
            " to use it with backward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record it as one node."""
        needs = tuple([isinstance(a, Tensor) and fresh(a)._requires_grad for a in args])
        ctx = FunctionNode(cls, needs)
        recording = MODE.get().grad and any(needs)
        edges = (
            tuple([edge_of(a) if n else None for a, n in zip(args, needs, strict=True)])
            if recording
            else ()
        )
        before = [(a, a._counter) for a in args if isinstance(a, Tensor)]
        with ModeContext(grad=False):
            if cls.setup_context is None:
                result = cls.forward(ctx, *args, **kwargs)
            else:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
        single = not isinstance(result, (tuple, list))
        outputs = [result] if single else list(result)
        if recording:
            for t in ctx.dirty:
                check_inplace(t, True)
        outputs = [_as_output(ctx, o, before) for o in outputs]
        if recording:
            _connect(ctx, edges, outputs, single)
        _keep_saved(ctx, args, outputs)
        return (
            outputs[0]
            if single
            else type(result)(outputs)
            if type(result) is list
            else tuple(outputs)
        )


def _as_output(ctx: FunctionNode, out: Any, inputs: Any) -> Any:
    """An input that forward returned unchanged becomes a tensor of its own (unless it was marked
    dirty).
    """
    if not isinstance(out, Tensor) or any(out is d for d in ctx.dirty):
        return out
    if any(out is a for a, _ in inputs):
        alias = wrap(out._data)
        alias._counter = out._counter
        ctx.non_differentiable = tuple([alias if n is out else n for n in ctx.non_differentiable])
        return alias
    return out


def _connect(ctx: FunctionNode, edges: Any, outputs: list[Any], single: bool) -> None:
    ctx.seq = next_seq()
    ctx.edges = edges
    tensors = [o for o in outputs if isinstance(o, Tensor)]
    ctx.multi = not single or len(outputs) > 1
    if ctx.multi:
        ctx.shape = tuple([o._data.shape if isinstance(o, Tensor) else () for o in outputs])
        ctx.dtype = tuple([o._data.dtype if isinstance(o, Tensor) else None for o in outputs])
    elif tensors:
        ctx.shape, ctx.dtype = tensors[0]._data.shape, tensors[0]._data.dtype
    for i, o in enumerate(outputs):
        if not isinstance(o, Tensor) or any(o is n for n in ctx.non_differentiable):
            continue
        if differentiable_dtype(o._data.dtype):
            o._node, o._index, o._requires_grad = ctx, i, True
    for t in ctx.dirty:
        t._bump()


@export("autograd.function.once_differentiable")
def once_differentiable(backward: Callable) -> Callable:
    """Decorator of Function.backward: it may use anything, and a second derivative raises instead
    of being wrong.
    """

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Any) -> Any:
        with ModeContext(grad=False):
            found = backward(ctx, *grads)
        if not MODE.get().grad:
            return found
        if not any(isinstance(g, Tensor) and g.requires_grad for g in grads) and not any(
            isinstance(t, Tensor) and t.requires_grad for t in ctx.saved_tensors
        ):
            return found
        results = found if isinstance(found, tuple) else (found,)
        anchors = (*grads, *ctx.saved_tensors)
        marked = tuple(
            [_RaiseOnBackward.apply(r, *anchors) if isinstance(r, Tensor) else r for r in results]
        )
        return marked if isinstance(found, tuple) else marked[0]

    return run


class _RaiseOnBackward(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *anchors: Any) -> Tensor:
        return wrap(x._data.copy())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
