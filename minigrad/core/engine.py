"""What asks for gradients: `backward` and `grad`, one node's derivative by hand, and the methods of
Tensor that the engine gives it. The walk itself is in walk.py.
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend.devices import array_module
from ..export import export
from .chores import alias, stack, take_slice
from .hooks import Hooks, RemovableHandle
from .modes import MODE, ModeContext
from .node import AccumulateGrad, Accumulators, GradientEdge, Node, accumulator_of, edge_of
from .recording import PrimitiveNode
from .tensor import Tensor, wrap
from .views import fresh
from .walk import Roots, Run, UserCode, as_plain, as_tensor, reachable, run_node, walk

ndarray = np.ndarray


# ------------------------------------------------------------------------------ what the user calls
def _run_backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Any],
    keep_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
    accumulate_into: bool,
) -> Run:
    roots = []
    for i, (t, g) in enumerate(zip(outputs, grads, strict=True)):
        if not isinstance(t, GradientEdge) and not fresh(t)._requires_grad:
            raise _no_gradient(i)
        roots.append((_place(t), g if create_graph else g._data))
    run = Run(create_graph, keep_graph, accumulate_into)
    if inputs is not None:
        run.captures = {place: None for t in inputs for place in _places(t)}
        targets = {node for node, _ in run.captures}
        run.needed = _needed_nodes([node for (node, _), _ in roots], targets)
    _start(roots, run)
    return run


def _start(roots: Roots, run: Run) -> None:
    run.roots = roots
    if run.create_graph:
        with UserCode(run):
            walk(roots, run)
    else:
        walk(roots, run)
    if run.callbacks:
        with UserCode(run):
            for callback in run.callbacks:
                callback()


def _no_gradient(i: int) -> RuntimeError:
    return RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")


def _place(t: Tensor | GradientEdge) -> tuple[Node, int]:
    return (t.node, t.output_nr) if isinstance(t, GradientEdge) else edge_of(fresh(t))


def _places(t: Tensor | GradientEdge) -> list[tuple[Node, int]]:
    """The place of a tensor; of a leaf its places in graphs before `retire_accumulator`, too."""
    place = _place(t)
    if isinstance(t, Tensor) and t._node is None and type(t._accumulator) is Accumulators:
        return [place, *((n, 0) for ref in t._accumulator.earlier if (n := ref()) is not None)]
    return [place]


def _captured(run: Run, t: Tensor | GradientEdge) -> Any:
    """What has arrived at a tensor's places, or None."""
    found = [g for place in _places(t) if (g := run.captures.get(place)) is not None]
    return functools.reduce(operator.add, found) if found else None


def _many(given: Any) -> list[Any]:
    """One tensor or edge, or several, as a list."""
    return [given] if isinstance(given, (Tensor, GradientEdge)) else list(given)


def _check_requires_grad(t: Tensor | GradientEdge) -> None:
    if not isinstance(t, GradientEdge) and not t.requires_grad:
        raise RuntimeError("One of the differentiated Tensors does not require grad")


def _needed_nodes(roots: Sequence[Node], targets: set[Node]) -> set[Node]:
    """The nodes on a way from the roots to a target: nothing else has to be computed."""
    needed: set[Node] = set()
    oldest_first = sorted(reachable(roots), key=lambda n: n.seq)  # an edge leads to an older node
    for node in oldest_first:
        if node in targets or any(e is not None and e[0] in needed for e in node.edges):
            needed.add(node)
    return needed


def _make_gradients(outputs: Sequence[Tensor], given: Any, what: str) -> list[Tensor]:
    """The gradients to start from: those given, checked; ones for scalar outputs."""
    if given is None:
        given = [None] * len(outputs)
    elif isinstance(given, Tensor):
        given = [given]
    else:
        given = list(given)
    if len(given) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients")
    made = []
    for i, (t, g) in enumerate(zip(outputs, given, strict=True)):
        if isinstance(t, GradientEdge):
            made.append(_edge_gradient(t, g, what, i))
            continue
        if g is None:
            if t._data.size != 1 and t.requires_grad:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = _one(t._data)
        elif not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        elif g._data.shape != t._data.shape:
            raise RuntimeError(
                f"Mismatch in shape: {what}[{i}] has a shape of {tuple_text(g)} and output[{i}] has"
                f" a shape of {tuple_text(t)}."
            )
        elif (g._data.dtype.kind == "c") != (t._data.dtype.kind == "c"):
            raise RuntimeError(
                "For complex Tensors, both grad_output and output are required to have the same"
                f" dtype. Mismatch in dtype: {what}[{i}] has a dtype of {g.dtype} and output[{i}]"
                f" has a dtype of {t.dtype}."
            )
        made.append(g)
    return made


def _one(y: Any) -> Tensor:
    """What backward starts from at a y of one element."""
    g = array_module(y).empty(y.shape, y.dtype)  # ones_like takes three times as long
    g.fill(1)
    return wrap(g)


def _edge_gradient(edge: GradientEdge, g: Any, what: str, i: int) -> Tensor:
    """The gradient to start from at a place in the graph, whose node knows the shape."""
    node = edge.node
    shape, dtype = node.shape, node.dtype
    if node.multi:
        shape, dtype = shape[edge.output_nr], dtype[edge.output_nr]
    if g is None:
        if np.prod(shape) != 1:
            raise RuntimeError("grad can be implicitly created only for scalar outputs")
        return wrap(np.ones(shape, dtype))
    if g._data.shape != shape:
        raise RuntimeError(
            f"Mismatch in shape: {what}[{i}] has a shape of {tuple_text(g)} and output[{i}] has"
            f" a shape of minigrad.Size({list(shape)})."
        )
    return g


def tuple_text(t: Tensor) -> str:
    return f"minigrad.Size({list(t.shape)})"


@export("autograd.backward")
def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Accumulate d(sum of tensors · grad_tensors)/d leaf into the `.grad` of every leaf (or of
    `inputs` only).

    Without a gradient a tensor must have one element. The graph is freed unless retain_graph
    (default: create_graph); with create_graph the gradients can be differentiated again.
    """
    outputs = _many(tensors)
    chosen = None if inputs is None else _many(inputs)
    if chosen is not None and not chosen:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    grads = _make_gradients(
        outputs, grad_tensors if grad_variables is None else grad_variables, "grad_output"
    )
    keep = create_graph if retain_graph is None else retain_graph
    if chosen is not None:
        for t in chosen:
            _check_requires_grad(t)
            if isinstance(t, GradientEdge) and not isinstance(t.node, AccumulateGrad):
                raise RuntimeError("backward: a GradientEdge in `inputs` must be that of a leaf")
            if isinstance(t, Tensor) and not t.is_leaf:
                t.retain_grad()
    _run_backward(outputs, grads, keep, create_graph, chosen, True)


@export("autograd.grad")
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """The gradients of sum(outputs · grad_outputs) with respect to `inputs`, returned, not
    accumulated.

    An input that was not used gives an error, None (allow_unused) or zeros (materialize_grads).
    With is_grads_batched the first dimension of grad_outputs counts independent gradients.
    """
    outs, ins = _many(outputs), _many(inputs)
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    allow_unused = materialize_grads if allow_unused is None else allow_unused
    keep = create_graph if retain_graph is None else retain_graph
    if is_grads_batched:
        return _batched_grad(
            outs, ins, grad_outputs, keep, create_graph, allow_unused, materialize_grads
        )
    for t in ins:
        _check_requires_grad(t)
    grads = _make_gradients(outs, grad_outputs, "grad_output")
    run = _run_backward(outs, grads, keep, create_graph, ins, False)
    found = [_captured(run, t) for t in ins]
    if not allow_unused and any(g is None for g in found):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph. Set"
            " allow_unused=True if this is the desired behavior."
        )
    if materialize_grads:
        found = [_zeros(t) if g is None else g for g, t in zip(found, ins, strict=True)]
    return _own(found, create_graph)


def _zeros(t: Tensor | GradientEdge) -> Any:
    if isinstance(t, Tensor):
        return np.zeros_like(t._data)
    shape, dtype = t.node.shape, t.node.dtype
    return (
        np.zeros(shape[t.output_nr], dtype[t.output_nr]) if t.node.multi else np.zeros(shape, dtype)
    )


def _own(found: list[Any], create_graph: bool) -> tuple[Any, ...]:
    """Captured gradients as Tensors that own their memory (rules may hand out broadcast or shared
    arrays).
    """
    result, seen = [], set()
    for g in found:
        if isinstance(g, ndarray):
            if g.base is not None or not g.flags.writeable or id(g) in seen:
                g = g.copy()
            seen.add(id(g))
        result.append(as_tensor(g))
    return tuple(result)


def _batched_grad(
    outs: list[Tensor],
    ins: list[Tensor],
    grad_outputs: Any,
    keep: bool,
    create_graph: bool,
    *rest: bool,
) -> tuple[Any, ...]:
    """One backward for each gradient in the batch: the graph is walked as often, memory stays that
    of one.
    """
    given = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    size = given[0].shape[0]
    rows = []
    for i in range(size):
        row = [None if g is None else take_slice(g, dim=0, index=i) for g in given]
        last = i == size - 1
        rows.append(
            grad(outs, ins, row, keep or not last, create_graph, True, rest[0], False, rest[1])
        )
    return tuple(
        [None if column[0] is None else stack(*column) for column in zip(*rows, strict=True)]
    )


def gradients_through(
    function: Any, args: list[Any], options: dict, g: Any, wanted: tuple[bool, ...]
) -> list[Any]:
    """The gradients of function(*args) for the wanted args, as Tensors that can be differentiated
    again.
    """
    with ModeContext(grad=True):
        shadows = [alias(a) if w else a for a, w in zip(args, wanted, strict=True)]
        result = function(*shadows, **options)
        if type(g) is tuple:  # results that nothing came back to
            used = [i for i, gi in enumerate(g) if gi is not None]
            result, g = [result[i] for i in used], [g[i] for i in used]
        targets = [s for s, w in zip(shadows, wanted, strict=True) if w]
        found = iter(grad(result, targets, g, create_graph=True, allow_unused=True))
        return [next(found) if w else None for w in wanted]


def _call_node(node: Node, *grads: Any) -> Any:
    """`node(grad)`: run one node's derivative by hand."""
    create_graph = MODE.get().grad
    given = tuple([as_plain(g, create_graph) for g in grads])
    found = run_node(node, given if node.multi else given[0], Run(create_graph, True, False))
    result = tuple([as_tensor(g) for g in found])
    return result[0] if len(result) == 1 else result


# ------------------------------------------------------------------------------ the engine's
# methods of Tensor
def _backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of this tensor (times `gradient`) into the leaves' `.grad`."""
    if inputs is not None:
        backward(self, gradient, retain_graph, create_graph, inputs=inputs)
        return
    keep = create_graph if retain_graph is None else retain_graph
    data = self._data
    if gradient is None and data.size == 1:
        g = _one(data)
    elif type(gradient) is Tensor and gradient._data.shape == data.shape and data.dtype.kind == "f":
        g = gradient
    else:
        given = None if gradient is None else (gradient,)
        (g,) = _make_gradients((self,), given, "grad_output")
    if not fresh(self)._requires_grad:
        raise _no_gradient(0)
    _start(((edge_of(self), g if create_graph else g._data),), Run(create_graph, keep, True))


def _register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """hook(grad) -> None or a new gradient, called when this tensor's gradient is complete."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    node = self._node
    if node is not None:
        return node.add_hooks().tensor.setdefault(self._index, Hooks()).add(hook)
    return _leaf_hooks(self, "pre").add(hook)


def _leaf_hooks(leaf: Tensor, kind: str) -> Hooks:
    if leaf._hooks is None:
        leaf._hooks = {}
    return leaf._hooks.setdefault(kind, Hooks())


def _register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """hook(leaf), called after this leaf's .grad has been accumulated into."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return _leaf_hooks(self, "post").add(hook)


def _retain_grad(self: Tensor) -> None:
    """Let backward() fill this result's .grad, too."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if self._node is not None:
        self._node.add_hooks().retain[self._index] = weakref.ref(self)


def _retains_grad(self: Tensor) -> bool:
    """Whether this result keeps its gradient."""
    node = self.grad_fn
    if node is None or node.hooks is None:
        return False
    ref = node.hooks.retain.get(self._index)
    return ref is not None and ref() is self


def _output_nr(self: Tensor) -> int:
    """Which output of its node this tensor is."""
    return self._index


def _get_version(self: Tensor) -> int:
    """The number of in-place changes so far."""
    return self._counter[0]


Node.__call__ = _call_node
PrimitiveNode.differentiate = staticmethod(gradients_through)
Tensor.backward = _backward
Tensor.register_hook = _register_hook
Tensor.register_post_accumulate_grad_hook = _register_post_accumulate_grad_hook  # type: ignore[attr-defined]
Tensor._version = property(_get_version)  # type: ignore[attr-defined]
Tensor.retain_grad = _retain_grad
Tensor.retains_grad = property(_retains_grad)  # type: ignore[attr-defined]
Tensor.output_nr = property(_output_nr)  # type: ignore[attr-defined]

__all__ = ["accumulator_of", "backward", "grad", "gradients_through"]
