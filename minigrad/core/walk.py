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

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from heapq import heappop, heappush, heappushpop
from typing import Any

import numpy as np

from .anomaly import run_checked
from .chores import add, duplicate, fit
from .hooks import Hooks
from .modes import MODE, with_grad
from .node import AccumulateGrad, Node
from .primitive import as_array
from .tensor import Tensor, wrap

ndarray = np.ndarray


Roots = Sequence[tuple[tuple[Node, int], Any]]
"""Where a backward starts: (a node, which of its outputs), and the gradient of that."""


_NONE: dict[tuple[Node, int], Any] = {}  # what nearly every backward captures


class Run:
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
        self.captures: dict[tuple[Node, int], Any] = _NONE
        self.needed: set[Node] | None = None
        self.callbacks: list[Callable[[], None]] | None = None
        self.roots: Roots = ()

    def reached(self) -> set[Node]:
        """The nodes that get a gradient in this run."""
        if self.needed is None:
            return reachable([node for (node, _), _ in self.roots])
        return self.needed


_current: ContextVar[Run | None] = ContextVar("minigrad_backward", default=None)


class UserCode:
    """While hooks, user Functions or differentiable rules run: whether they are recorded, and the
    run that queue_callback finds. Rules on arrays need neither, and most backwards consist of them.
    """

    __slots__ = ("run", "mode", "outer")

    def __init__(self, run: Run):
        self.run = run

    def __enter__(self) -> None:
        self.mode, self.outer = MODE.get(), _current.get()
        MODE.set(with_grad(self.mode, self.run.create_graph))
        _current.set(self.run)

    def __exit__(self, *exc: object) -> None:
        MODE.set(self.mode)
        _current.set(self.outer)


def walk(roots: Roots, run: Run) -> None:
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
            with UserCode(run):
                g = _arrive(node, g, run)
        edges = node.edges
        if needed is not None and not any(e is not None and e[0] in needed for e in edges):
            continue
        owns = node.owns_results
        if node.hooks is None and owns and not anomaly:
            grads = node.run(tuple(g) if node.multi else g, needed, create_graph)
        else:
            with UserCode(run):
                grads = run_node(node, tuple(g) if node.multi else g, run)
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
                new = owns and gi is not g and gi is not before and _is_whole(gi)
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
    if not leaf._requires_grad:  # any more
        return
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


def _arrive_at_leaf(node: AccumulateGrad, g: Any, mine: bool, plain: bool, run: Run) -> None:
    """All of a leaf's gradient is there: hooks that may change it, add it, then the hooks that want
    to see the sum.
    """
    leaf = node.variable
    if not leaf._requires_grad:  # any more
        return
    if plain and leaf._hooks is None and node.hooks is None:
        accumulate(leaf, g, mine, False)
        return
    if node.hooks is not None or run.captures or leaf._hooks is not None:
        with UserCode(run):
            g = _arrive(node, g, run)
        mine = False  # a hook may have kept it
    if run.accumulate and (run.needed is None or (node, 0) in run.captures):
        accumulate(leaf, g, mine, run.create_graph)
        if leaf._hooks is not None and "post" in leaf._hooks:
            with UserCode(run):
                for hook in list(leaf._hooks["post"].values()):
                    _refuse_result(hook(leaf))
    if node.hooks is not None and node.hooks.post:
        with UserCode(run):
            _call_post_hooks(node, (), g)


def _refuse_result(result: Any) -> None:
    if isinstance(result, Tensor):
        raise RuntimeError("Tensor post accumulate grad hooks should return None.")
    if result is not None:
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")


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
    elif node in owned and not isinstance(g, Tensor):
        add(known, g, True)
    else:
        total = add(known, g, False)
        pending[node] = total if isinstance(total, (ndarray, Tensor)) else as_array(total)
        owned.add(node)


def run_node(node: Node, g: Any, run: Run) -> Any:
    if run.anomaly:
        grads = run_checked(node, g, run.needed, run.create_graph)
    else:
        grads = node.run(g, run.needed, run.create_graph)
    if node.hooks is not None and node.hooks.post:
        grads = _call_post_hooks(node, grads, g)
    return grads


def _is_whole(gi: Any) -> bool:
    """Whether a gradient is an array, on a GPU, of memory of its own."""
    return not isinstance(gi, Tensor) and gi.base is None


def _as_gradient(gi: Any, node: Node) -> Any:
    if isinstance(gi, Tensor):
        return gi
    if isinstance(gi, np.generic):
        return np.asarray(gi)
    if type(gi).__module__.partition(".")[0] == "cupy":
        return gi
    raise TypeError(f"{node.name()}: expected a gradient array, got {type(gi).__name__}")


# ------------------------------------------------------------------------------ hooks and captures
def as_tensor(g: Any) -> Any:
    return g if g is None or isinstance(g, Tensor) else wrap(g)


def as_plain(g: Any, create_graph: bool) -> Any:
    return g._data if isinstance(g, Tensor) and not create_graph else g


def _arrive(node: Node, g: Any, run: Run) -> Any:
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
        given = tuple([as_tensor(gi) for gi in grads])
        for hook in list(hooks.pre.values()):
            replaced = hook(given)
            if replaced is not None:
                given = replaced if isinstance(replaced, tuple) else (replaced,)
        grads = [as_plain(gi, run.create_graph) for gi in given]
    return grads if node.multi else grads[0]


def _call_tensor_hooks(hooks: Hooks, g: Any, create_graph: bool) -> Any:
    given = as_tensor(g)
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
    return as_plain(given, create_graph)


def _call_post_hooks(node: Node, grads: Any, g: Any) -> Any:
    as_tensors = any(isinstance(x, Tensor) for x in grads)
    inputs = tuple([as_tensor(x) for x in grads])
    outputs = tuple([as_tensor(x) for x in (g if node.multi else (g,))])
    for hook in list(node.hooks.post.values()):  # type: ignore[union-attr]
        replaced = hook(inputs, outputs)
        if replaced is not None:
            inputs = replaced if isinstance(replaced, tuple) else (replaced,)
    return [as_plain(x, as_tensors) for x in inputs]


def accumulate(leaf: Tensor, g: Any, owned: bool, create_graph: bool) -> None:
    """leaf.grad += g. A gradient that nobody else holds is taken as it is, any other is copied."""
    known = leaf._grad
    if create_graph:
        g = as_tensor(g)
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


def current_run() -> Run:
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
    if run.callbacks is None:
        run.callbacks = []
    run.callbacks.append(callback)
