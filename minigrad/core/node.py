"""Nodes: what a recorded op leaves behind, and where gradients go from it.

    node.edges   for each input: (node that made it, which of its outputs), or None if it needs no
                 gradient
    node.seq     a number that grows with time. An op can only use tensors that exist already, so
                 every consumer of a
                 node has a larger number than the node itself: walking from large to small *is* a
                 reverse topological order, and no search for one is needed.

A tensor holds its node, a node holds the nodes before it, and never a tensor that comes after: no
reference cycle arises, and a graph is freed by reference counting the moment its last result goes.
"""

from __future__ import annotations

import itertools
import weakref
from typing import Any, NamedTuple

from ..backend.dtypes import HALF
from ..export import export
from .hooks import Hooks, RemovableHandle
from .modes import MODE
from .tensor import Tensor

next_seq = itertools.count(1).__next__
_new = object.__new__


class NodeHooks:
    """Hooks of one node: on its output tensors, before it, after it, and tensors that retain their
    gradient.
    """

    __slots__ = ("tensor", "pre", "post", "retain")

    def __init__(self) -> None:
        self.tensor: dict[int, Hooks] = {}
        self.retain: dict[int, Any] = {}
        self.pre = Hooks()
        self.post = Hooks()


@export("autograd.graph.Node")
class Node:
    """One recorded op. `shape` and `dtype` describe its output (tuples of them if `multi`)."""

    __slots__ = ("seq", "edges", "shape", "dtype", "multi", "hooks", "_metadata", "__weakref__")

    seq: int
    edges: tuple[tuple[Node, int] | None, ...]
    shape: Any
    dtype: Any
    multi: bool
    hooks: NodeHooks | None
    __call__: Any  # given by engine.py: run this node's derivative by hand
    owns_results = True  # arrays that run() returns are new, or its own argument

    def name(self) -> str:
        """PyTorch's name of it, e.g. AddBackward0."""
        return type(self).__name__

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        """The nodes that gradients go to next, one pair for each input."""
        return tuple((None, 0) if e is None else e for e in self.edges)

    @property
    def metadata(self) -> dict:
        """A dict for the user's (and anomaly mode's) notes."""
        try:
            return self._metadata
        except AttributeError:
            self._metadata: dict = {}
            return self._metadata

    def add_hooks(self) -> NodeHooks:
        if self.hooks is None:
            self.hooks = NodeHooks()
        return self.hooks

    def register_hook(self, hook: Any) -> RemovableHandle:
        """hook(grad_inputs, grad_outputs) -> None or new grad_inputs, after the node has run."""
        return self.add_hooks().post.add(hook)

    def register_prehook(self, hook: Any) -> RemovableHandle:
        """hook(grad_outputs) -> None or new grad_outputs, before the node runs."""
        return self.add_hooks().pre.add(hook)

    def run(self, g: Any, needed: Any, create_graph: bool) -> Any:
        """The gradients of the inputs, in the order of `edges` (None where there is none)."""
        raise NotImplementedError(f"{self.name()} has no derivative")

    def release(self) -> None:
        """Forget what was saved for backward."""

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"


class NotImplementedNode(Node):
    """Stands where a function has no derivative: a gradient that arrives there is an error."""

    __slots__ = ("function",)

    def name(self) -> str:
        return "NotImplemented"

    def run(self, g: Any, needed: Any, create_graph: bool) -> Any:
        raise RuntimeError(f"derivative for {self.function} is not implemented")


def without_derivative(function: str, results: Any, *inputs: Any) -> Any:
    """`results` (a tensor, or several) of a function that has no derivative.

    If an input requires a gradient the floating results do, too, as in PyTorch: that none can be
    computed is said when it is asked for, not passed over.
    """
    tracked = [t for t in inputs if isinstance(t, Tensor) and t.requires_grad]
    if tracked and MODE.get().grad:
        for y in results if isinstance(results, tuple) else (results,):
            if not y._requires_grad and (y._data.dtype.kind in "fc" or y._data.dtype in HALF):
                node = NotImplementedNode()
                node.edges = tuple([edge_of(t) for t in tracked])
                node.seq = next_seq()
                node.shape, node.dtype = y._data.shape, y._data.dtype
                node.multi, node.hooks, node.function = False, None, function
                y._node, y._requires_grad = node, True
    return results


class AccumulateGrad(Node):
    """The end of the walk at a leaf: adds the gradient into `variable.grad`."""

    __slots__ = ("variable",)
    edges = ()
    multi = False
    variable: Tensor


class Accumulators:
    """In the place of a leaf's weak reference: its node of today, and earlier ones that live."""

    __slots__ = ("newest", "earlier")

    def __init__(self) -> None:
        self.newest: Any = None
        self.earlier: list[weakref.ref[AccumulateGrad]] = []

    def __call__(self) -> AccumulateGrad | None:
        return None if self.newest is None else self.newest()

    def retire(self, ref: weakref.ref[AccumulateGrad]) -> None:
        self.earlier = [r for r in self.earlier if r() is not None] + [ref]
        self.newest = None


def retire_accumulator(leaf: Tensor) -> None:
    """Let graphs recorded from now on end in a new AccumulateGrad node of the leaf.

    The walk takes nodes by age. A node that an older graph keeps alive would be reached after
    everything else in a new one, however early its gradient is complete. A node with hooks stays.
    """
    ref = leaf._accumulator
    node = None if ref is None else ref()
    if node is None or node.hooks is not None:
        return
    if type(ref) is not Accumulators:
        leaf._accumulator = Accumulators()
    leaf._accumulator.retire(weakref.ref(node))


def accumulator_of(leaf: Tensor) -> AccumulateGrad:
    """The leaf's AccumulateGrad node, made on first need and kept alive by the graphs that
    use it.
    """
    ref = leaf._accumulator
    node = None if ref is None else ref()
    if node is None:
        node, data = _new(AccumulateGrad), leaf._data
        node.seq = next_seq()
        node.shape, node.dtype = data.shape, data.dtype
        node.variable = leaf
        node.hooks = None
        if type(ref) is Accumulators:
            ref.newest = weakref.ref(node)
        else:
            leaf._accumulator = weakref.ref(node)
    return node


@export("autograd.graph.GradientEdge")
class GradientEdge(NamedTuple):
    """A place in the graph, output `output_nr` of `node`: `autograd.grad` and `backward` take it in
    place of the tensor, whose memory it does not hold.
    """

    node: Node
    output_nr: int
    ownership_token: Any = None  # what keeps the node of a leaf alive


def edge_of(t: Tensor) -> tuple[Node, int]:
    """Where the gradient of `t` goes."""
    node = t._node
    return (accumulator_of(t), 0) if node is None else (node, t._index)


_FREED_MESSAGE = (
    "Trying to backward through the graph a second time (or directly access saved tensors after"
    " they have already been freed). Saved intermediate values of the graph are freed when you call"
    " .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the"
    " graph a second time or if you need to access saved tensors after calling backward."
)


class Freed:
    """Stands for saved values that are gone."""

    def __iter__(self) -> Any:
        raise RuntimeError(_FREED_MESSAGE)


FREED: Any = Freed()
