"""The backward walk while recording: `core.walk.walk` with every call of a rule noted.

The order is the engine's. Sums of gradients are noted as additions; a leaf's gradient is the array
that arrives last, and keeps its place from replay to replay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from ..backend.dtypes import HALF
from ..core.chores import fit
from ..core.node import AccumulateGrad, Node
from ..core.recording import PrimitiveNode, widen
from ..core.tensor import wrap
from ..core.walk import walk as engine_walk
from .trace import Recorder

ndarray = np.ndarray


def walker(recorder: Recorder) -> Callable:
    """The walk that notes into `recorder`."""

    def walk(roots: Sequence[tuple[tuple[Node, int], Any]], run: Any) -> None:
        if recorder.active:
            why = (
                "create_graph=True"
                if run.create_graph
                else _unsuitable(recorder, [e[0] for e, _ in roots])
            )
            if why:
                recorder.fail(why)
        if not recorder.active:
            engine_walk(roots, run)
            return
        recorder.walked = True
        pending: dict[Node, Any] = {}
        heap: list[tuple[int, Node]] = []
        for (node, index), g in roots:
            if not recorder.knows(g):  # the ones that backward() starts from
                recorder.constants[id(g)] = g
            _add(recorder, node, index, g, pending, heap)
        while heap:
            node = heappop(heap)[1]
            g = pending.pop(node)
            for i, gi in enumerate(g if node.multi else [g]):
                if (node, i) in run.captures:
                    run.captures[node, i] = gi
            if node in recorder.boundary:
                recorder.grads.append((recorder.boundary[node], g))
                continue
            if type(node) is AccumulateGrad:
                if run.accumulate and (run.needed is None or (node, 0) in run.captures):
                    _accumulate(recorder, node.variable, g)
                continue
            needed = run.needed
            if needed is not None and not any(e is not None and e[0] in needed for e in node.edges):
                continue
            grads = _rules(recorder, node, g, needed)
            if not run.keep_graph:
                node.release()
            for edge, gi in zip(node.edges, grads, strict=False):
                if gi is None or edge is None or (needed is not None and edge[0] not in needed):
                    continue
                child, index = edge
                shape = child.shape[index] if child.multi else child.shape
                dtype = child.dtype[index] if child.multi else child.dtype
                if not isinstance(gi, ndarray):
                    gi = np.asarray(gi)
                if gi.shape != shape or gi.dtype != dtype:
                    gi = fit(gi, shape, dtype, node.name())
                _add(recorder, child, index, gi, pending, heap)

    return walk


def _add(recorder: Recorder, node: Node, index: int, g: Any, pending: Any, heap: Any) -> None:
    known = pending.get(node)
    if known is None:
        heappush(heap, (-node.seq, node))
    if node.multi:
        if known is None:
            known = pending[node] = [None] * len(node.shape)
        before = known[index]
        known[index] = g if before is None else _sum(recorder, before, g)
    else:
        pending[node] = g if known is None else _sum(recorder, known, g)


def _sum(recorder: Recorder, a: Any, b: Any) -> Any:
    return recorder.call("pure", "add", np.add, (a, b), {})


def _unsuitable(recorder: Recorder, nodes: list[Node]) -> str | None:
    """What in the graph below these nodes cannot be replayed."""
    seen, stack = set(nodes), list(nodes)
    while stack:
        node = stack.pop()
        if node in recorder.boundary:
            continue
        if node.hooks is not None:
            return f"a hook or retain_grad() on {node.name()}"
        if isinstance(node, AccumulateGrad):
            if node.variable._hooks is not None:
                return "a hook on a leaf"
        elif not isinstance(node, PrimitiveNode):
            return f"the autograd.Function {node.name()}"
        elif node.unpack is not None:
            return "saved tensor hooks"
        for edge in node.edges:
            if edge is not None and edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])
    return None


def _rules(recorder: Recorder, node: Any, g: Any, needed: Any) -> list[Any]:
    """The gradients of the node's arguments, each call of a rule noted."""
    for counter, version in node.versions:
        if counter[0] != version:
            node.run(g, needed, False)  # raises the error
    plan, saved = node.plan, node.saved
    given = tuple(g) if node.multi else g
    if not node.multi and node.dtype in HALF:
        given, saved = widen(given), [widen(s) for s in saved]
    name = node.primitive.name
    grads: list[Any] = [None] * len(node.edges)
    if plan.fast_joint is not None:
        rule = plan.fast_joint
        return list(recorder.call("pure", f"{name}.joint", rule, (given, *saved), {}))
    for arg, rule, positions in plan.fast:
        if needed is None or node.edges[arg][0] in needed:  # type: ignore[index]
            values = tuple(saved if positions is None else positions(saved))
            title = f"{name}.{node.primitive.args[arg]}"
            grads[arg] = recorder.call("pure", title, rule, (given, *values), {})
    return grads


def _accumulate(recorder: Recorder, leaf: Any, g: Any) -> None:
    if recorder.collecting:  # the gradient of a function: handed on, not added to anything
        recorder.grads.append((leaf, g))
        return
    taken = any(g is other for _, other in recorder.grads)  # two biases that are only added, say
    if g.base is not None or taken or id(g) in recorder.inputs or id(g) in recorder.constants:
        g = recorder.call("pure", "copy", np.copy, (g,), {})
    known = leaf._grad
    if known is not None:
        g = _sum(recorder, known._data, g)
    recorder.leaves.setdefault(id(leaf), leaf)
    leaf._grad = wrap(g)
    recorder.grads = [pair for pair in recorder.grads if pair[0] is not leaf]
    recorder.grads.append((leaf, g))
