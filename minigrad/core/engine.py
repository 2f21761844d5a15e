"""The walk back: from results to leaves, in reverse order of making.

    pending: node -> gradient of its output, summed so far
    heap:    nodes with a pending gradient, youngest (largest seq) first

A node's consumers are all younger than the node, so when it comes out of the heap every
contribution to its gradient has arrived. That one sentence replaces both the topological sort and
the counting of dependencies, and there is no recursion: a chain of 100,000 ops is walked like a
chain of ten.

The same loop serves both kinds of backward: gradients are arrays, and nothing is recorded; or, with
create_graph, they are Tensors, and the rules, being made of operators and primitives, record their
own graph.
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np

from ..export import export
from .anomaly import run_checked
from .chores import add, alias, duplicate, fit, stack, take_slice
from .hooks import Hooks, RemovableHandle
from .modes import MODE, ModeContext, with_grad
from .node import AccumulateGrad, Accumulators, GradientEdge, Node, accumulator_of, edge_of
from .primitive import as_array
from .recording import PrimitiveNode
from .tensor import Tensor, wrap
from .views import fresh

ndarray = np.ndarray


Roots = Sequence[tuple[tuple[Node, int], Any]]
"""Where a backward starts: (a node, which of its outputs), and the gradient of that."""


class _Run:
    """One call of backward() or grad(): the options, and the gradients still under way."""

    __slots__ = (
        "create_graph",
        "keep_graph",
        "captures",
        "accumulate",
        "needed",
        "callbacks",
        "anomaly",
        "roots",
        "__weakref__",
    )

    def __init__(self, create_graph: bool, keep_graph: bool, accumulate: bool):
        self.anomaly = MODE.get().anomaly
        self.create_graph = create_graph
        self.keep_graph = keep_graph
        self.accumulate = accumulate
        self.captures: dict[tuple[Node, int], Any] = {}
        self.needed: set[Node] | None = None
        self.callbacks: list[Callable[[], None]] = []
        self.roots: Roots = ()

    def reached(self) -> set[Node]:
        """The nodes that get a gradient in this run."""
        if self.needed is None:
            return reachable([node for (node, _), _ in self.roots])
        return self.needed


_current: ContextVar[_Run | None] = ContextVar("minigrad_backward", default=None)


class _UserCode:
    """While hooks, user Functions or differentiable rules run: whether they are recorded, and the
    run that queue_callback finds. Rules on arrays need neither, and most backwards consist of them.
    """

    __slots__ = ("run", "mode", "outer")

    def __init__(self, run: _Run):
        self.run = run

    def __enter__(self) -> None:
        self.mode, self.outer = MODE.get(), _current.get()
        MODE.set(with_grad(self.mode, self.run.create_graph))
        _current.set(self.run)

    def __exit__(self, *exc: object) -> None:
        MODE.set(self.mode)
        _current.set(self.outer)


def walk(roots: Roots, run: _Run) -> None:
    """Send the roots' gradients through the graph; leaves accumulate, captures are filled in
    `run`.

    Two short cuts leave the order as it is: the youngest node found waits beside the heap, since in
    a chain it is the next; and a leaf without a gradient, which nobody watches, is given what
    arrives at once.
    """
    pending: dict[Node, Any] = {}
    owned: set[Node] = set()  # nodes whose pending gradient is an array that nobody else holds
    heap: list[tuple[int, Node]] = []
    given: dict[Node, bool] = {}  # leaves whose .grad was made here: is the memory all theirs?
    lent: dict[int, list[ndarray]] = {}  # of a gradient's memory: the parts that leaves have
    needed, captures, create_graph, anomaly = (
        run.needed,
        run.captures,
        run.create_graph,
        run.anomaly,
    )
    plain = run.accumulate and needed is None and not create_graph
    youngest: Node | None = None
    if len(roots) == 1 and not roots[0][0][0].multi:
        youngest = roots[0][0][0]
        pending[youngest] = roots[0][1]
    else:
        for (node, index), g in roots:
            _add(node, index, g, False, pending, owned, heap)
    while heap or youngest is not None:
        if youngest is None:
            node = heappop(heap)[1]
        else:
            node = heappushpop(heap, (-youngest.seq, youngest))[1] if heap else youngest
            youngest = None
        g = pending.pop(node)
        if type(node) is AccumulateGrad:
            mine = node in owned
            _arrive_at_leaf(node, g, mine, plain, run)
            continue
        if node.hooks is not None or captures:
            with _UserCode(run):
                g = _arrive(node, g, run)
        edges = node.edges
        if needed is not None and not any(e is not None and e[0] in needed for e in edges):
            continue
        owns = node.owns_results
        if node.hooks is None and owns and not anomaly:
            grads = node.run(tuple(g) if node.multi else g, needed, create_graph)
        else:
            with _UserCode(run):
                grads = _run_node(node, tuple(g) if node.multi else g, run)
        if not run.keep_graph:
            node.release()
        before = None
        for edge, gi in zip(edges, grads, strict=False):
            if gi is None or edge is None:
                continue
            child, index = edge
            if needed is not None and child not in needed:
                continue
            if child.multi:
                shape, dtype = child.shape[index], child.dtype[index]
            else:
                shape, dtype = child.shape, child.dtype
            if type(gi) is ndarray:
                if gi.shape != shape or (gi.dtype is not dtype and gi.dtype != dtype):
                    gi = fit(gi, shape, dtype, f"Function {node.name()}")
                new = gi is not g and gi is not before and gi.base is None and owns
            else:
                gi = fit(_as_gradient(gi, node), shape, dtype, f"Function {node.name()}")
                new = False
            before = gi
            if child in pending or child.multi:
                _add(child, index, gi, new, pending, owned, heap)
                continue
            if plain and type(child) is AccumulateGrad and child.hooks is None:
                leaf = child.variable
                if leaf._hooks is None and (leaf._grad is None or child in given):
                    part = not new and owns and gi.base is not None and _lend(gi, g, lent)
                    _give(child, leaf, gi, new, part, given)
                    continue
            pending[child] = gi
            if new:
                owned.add(child)
            if youngest is None:
                youngest = child
            elif child.seq > youngest.seq:
                heappush(heap, (-youngest.seq, youngest))
                youngest = child
            else:
                heappush(heap, (-child.seq, child))


def _give(
    node: Node, leaf: Tensor, gi: Any, new: bool, part: bool, given: dict[Node, bool]
) -> None:
    """Add gi, a part of a leaf's gradient, to what this backward has given it."""
    known = leaf._grad
    if known is None:
        accumulate(leaf, gi, new or part, False)
        given[node] = not part
    elif given[node]:
        add(known._data, gi, True)
    else:  # it is a part of another gradient's memory
        leaf._grad, given[node] = wrap(as_array(add(known._data, gi, False))), True


def _lend(gi: Any, g: Any, lent: dict[int, list[ndarray]]) -> bool:
    """Whether a leaf may have `gi` as it is, a part of the memory of the gradient `g` that arrived
    at the node before: if no other leaf has any of it.

    PyTorch gives it even then, and two gradients share memory.
    """
    memory = gi.base
    if memory is not g and (type(g) is not ndarray or memory is not g.base):
        return False
    if not gi.flags.c_contiguous or not gi.flags.writeable:
        return False
    parts = lent.setdefault(id(memory), [])
    if len(parts) == _MOST_PARTS or any([np.may_share_memory(gi, part) for part in parts]):
        return False
    parts.append(gi)
    return True


_MOST_PARTS = 64
"""More leaves than this get copies: every part is compared with those before it."""


def _arrive_at_leaf(node: AccumulateGrad, g: Any, mine: bool, plain: bool, run: _Run) -> None:
    """All of a leaf's gradient is there: hooks that may change it, add it, then the hooks that want
    to see the sum.
    """
    leaf = node.variable
    if plain and leaf._hooks is None and node.hooks is None:
        accumulate(leaf, g, mine, False)
        return
    if node.hooks is not None or run.captures or leaf._hooks is not None:
        with _UserCode(run):
            g = _arrive(node, g, run)
        mine = False  # a hook may have kept it
    if run.accumulate and (run.needed is None or (node, 0) in run.captures):
        accumulate(leaf, g, mine, run.create_graph)
        if leaf._hooks is not None and "post" in leaf._hooks:
            with _UserCode(run):
                for hook in list(leaf._hooks["post"].values()):
                    hook(leaf)
    if node.hooks is not None and node.hooks.post:
        with _UserCode(run):
            _call_post_hooks(node, (), g)


def _add(node: Node, index: int, g: Any, new: bool, pending: dict, owned: set, heap: list) -> None:
    """Add g to what is pending for an output of `node`; `new`: nobody else holds the array g."""
    known = pending.get(node)
    if node.multi:
        if known is None:
            known = pending[node] = [None] * len(node.shape)
            heappush(heap, (-node.seq, node))
        known[index] = g if known[index] is None else add(known[index], g, False)
    elif known is None:
        pending[node] = g
        heappush(heap, (-node.seq, node))
        if new:
            owned.add(node)
    elif node in owned and type(g) is ndarray:
        add(known, g, True)
    else:
        total = add(known, g, False)
        pending[node] = total if isinstance(total, (ndarray, Tensor)) else as_array(total)
        owned.add(node)


def _run_node(node: Node, g: Any, run: _Run) -> Any:
    if run.anomaly:
        grads = run_checked(node, g, run.needed, run.create_graph)
    else:
        grads = node.run(g, run.needed, run.create_graph)
    if node.hooks is not None and node.hooks.post:
        grads = _call_post_hooks(node, grads, g)
    return grads


def _as_gradient(gi: Any, node: Node) -> Any:
    if isinstance(gi, Tensor):
        return gi
    if isinstance(gi, np.generic):
        return np.asarray(gi)
    if type(gi).__module__.partition(".")[0] == "cupy":
        return gi
    raise TypeError(f"{node.name()}: expected a gradient array, got {type(gi).__name__}")


# ------------------------------------------------------------------------------ hooks and captures
def _tensor(g: Any) -> Any:
    return g if g is None or isinstance(g, Tensor) else wrap(g)


def _untensor(g: Any, create_graph: bool) -> Any:
    return g._data if isinstance(g, Tensor) and not create_graph else g


def _arrive(node: Node, g: Any, run: _Run) -> Any:
    """All of `g` is there: tensor hooks, then retained gradients and captures, then the node's
    pre-hooks.
    """
    grads = list(g) if node.multi else [g]
    hooks = node.hooks
    if hooks is not None:
        for i, tensor_hooks in hooks.tensor.items():
            if grads[i] is not None:
                grads[i] = _call_tensor_hooks(tensor_hooks, grads[i], run.create_graph)
        for i, ref in hooks.retain.items():
            kept = ref()
            if kept is not None and grads[i] is not None:
                accumulate(kept, grads[i], False, run.create_graph)
    if type(node) is AccumulateGrad and node.variable._hooks is not None:
        leaf_hooks = node.variable._hooks.get("pre")
        if leaf_hooks:
            grads[0] = _call_tensor_hooks(leaf_hooks, grads[0], run.create_graph)
    for i, gi in enumerate(grads):
        key = (node, i)
        if gi is not None and key in run.captures:
            run.captures[key] = gi
    if hooks is not None and hooks.pre:
        given = tuple([_tensor(gi) for gi in grads])
        for hook in list(hooks.pre.values()):
            replaced = hook(given)
            if replaced is not None:
                given = replaced if isinstance(replaced, tuple) else (replaced,)
        grads = [_untensor(gi, run.create_graph) for gi in given]
    return grads if node.multi else grads[0]


def _call_tensor_hooks(hooks: Hooks, g: Any, create_graph: bool) -> Any:
    given = _tensor(g)
    for hook in list(hooks.values()):
        replaced = hook(given)
        if replaced is not None:
            if not isinstance(replaced, Tensor):
                raise TypeError(
                    f"hook must return None or a Tensor, but got {type(replaced).__name__}"
                )
            if replaced.shape != given.shape:
                raise RuntimeError(
                    f"hook '{getattr(hook, '__name__', hook)}' has changed the size of value"
                )
            given = replaced
    return _untensor(given, create_graph)


def _call_post_hooks(node: Node, grads: Any, g: Any) -> Any:
    as_tensors = any(isinstance(x, Tensor) for x in grads)
    inputs = tuple([_tensor(x) for x in grads])
    outputs = tuple([_tensor(x) for x in (g if node.multi else (g,))])
    for hook in list(node.hooks.post.values()):  # type: ignore[union-attr]
        replaced = hook(inputs, outputs)
        if replaced is not None:
            inputs = replaced if isinstance(replaced, tuple) else (replaced,)
    return [_untensor(x, as_tensors) for x in inputs]


def accumulate(leaf: Tensor, g: Any, owned: bool, create_graph: bool) -> None:
    """leaf.grad += g. A gradient that nobody else holds is taken as it is, any other is copied."""
    known = leaf._grad
    if create_graph:
        g = _tensor(g)
        leaf._grad = g.clone() if known is None else known + g  # type: ignore[attr-defined,operator]
    else:
        g = g._data if isinstance(g, Tensor) else g
        if known is None:
            leaf._grad = wrap(g if owned and g.flags.c_contiguous else duplicate(g))
        elif known._requires_grad or type(known._data) is not type(g):
            leaf._grad = wrap(as_array(known._data + g))
        else:
            add(known._data, g, True)
            known._bump()


# ------------------------------------------------------------------------------ what the user calls
def _run_backward(
    outputs: Sequence[Tensor],
    grads: Sequence[Any],
    keep_graph: bool,
    create_graph: bool,
    inputs: Sequence[Tensor] | None,
    accumulate_into: bool,
) -> _Run:
    roots = []
    for i, (t, g) in enumerate(zip(outputs, grads, strict=True)):
        if not isinstance(t, GradientEdge) and not fresh(t)._requires_grad:
            raise _no_gradient(i)
        roots.append((_place(t), g if create_graph else g._data))
    run = _Run(create_graph, keep_graph, accumulate_into)
    if inputs is not None:
        for t in inputs:
            run.captures.update(dict.fromkeys(_places(t)))
        targets = {node for node, _ in run.captures}
        run.needed = _needed_nodes([node for (node, _), _ in roots], targets)
    _start(roots, run)
    return run


def _start(roots: Roots, run: _Run) -> None:
    run.roots = roots
    if run.create_graph:
        with _UserCode(run):
            walk(roots, run)
    else:
        walk(roots, run)
    if run.callbacks:
        with _UserCode(run):
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


def _captured(run: _Run, t: Tensor | GradientEdge) -> Any:
    """What has arrived at a tensor's places, or None."""
    found = [g for place in _places(t) if (g := run.captures.get(place)) is not None]
    return functools.reduce(operator.add, found) if found else None


def _many(given: Any) -> list[Any]:
    """One tensor or edge, or several, as a list."""
    return [given] if isinstance(given, (Tensor, GradientEdge)) else list(given)


def _check_requires_grad(t: Tensor | GradientEdge) -> None:
    if not isinstance(t, GradientEdge) and not t.requires_grad:
        raise RuntimeError("One of the differentiated Tensors does not require grad")


def reachable(roots: Sequence[Node]) -> set[Node]:
    """The nodes that an edge leads to, the roots included."""
    seen: set[Node] = set(roots)
    stack = list(seen)
    while stack:
        for edge in stack.pop().edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return seen


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
            g = wrap(np.ones_like(t._data))
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
        result.append(_tensor(g))
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
    given = tuple([_untensor(g, create_graph) for g in grads])
    found = _run_node(node, given if node.multi else given[0], _Run(create_graph, True, False))
    result = tuple([_tensor(g) for g in found])
    return result[0] if len(result) == 1 else result


def current_run() -> _Run:
    """The backward that is calling the hook or function that asks."""
    run = _current.get()
    if run is None:
        raise RuntimeError("no backward is running")
    return run


def queue_callback(callback: Callable[[], None]) -> None:
    """Call `callback` when the backward that is running now has finished."""
    run = _current.get()
    if run is None:
        raise RuntimeError("Final callbacks can only be installed during backward pass.")
    run.callbacks.append(callback)


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
        g = wrap(np.ones_like(data))
    elif type(gradient) is Tensor and gradient._data.shape == data.shape and data.dtype.kind == "f":
        g = gradient
    else:
        given = None if gradient is None else (gradient,)
        (g,) = _make_gradients((self,), given, "grad_output")
    if not fresh(self)._requires_grad:
        raise _no_gradient(0)
    _start(((edge_of(self), g if create_graph else g._data),), _Run(create_graph, keep, True))


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

__all__ = ["accumulator_of", "backward", "grad", "gradients_through", "queue_callback"]
