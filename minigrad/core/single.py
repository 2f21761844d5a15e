"""The walk back through a graph of one op on leaves, which needs no heap and no bookkeeping.

Of what `walk` costs for a single node, more than half is what it keeps in case there are others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .chores import duplicate, fit
from .modes import MODE
from .node import AccumulateGrad, Node
from .tensor import wrap
from .walk import _as_gradient, _lend, accumulate


def walk_single(node: Node, index: int, g: Any, keep_graph: bool) -> bool:
    """Give the leaves that `node` starts from their gradients, as `walk` does from the gradient g
    of its result number `index`; False, with nothing done, where there are older nodes, hooks,
    gradients to add to, or a leaf that is used twice.
    """
    if node.hooks is not None or not node.owns_results or MODE.get().anomaly:
        return False
    children: list[Any] = []
    for edge in node.edges:
        if edge is None:
            children.append(None)
            continue
        child = edge[0]
        if type(child) is not AccumulateGrad or child.hooks is not None or child in children:
            return False
        leaf = child.variable
        if leaf._grad is not None or leaf._hooks is not None:
            return False
        children.append(child)
    if node.multi:
        g = tuple([g if i == index else None for i in range(len(node.shape))])
    grads = node.run(g, None, False)
    if not keep_graph:
        node.release()
    lent: dict[int, list[np.ndarray]] = {}
    before = None
    for child, gi in zip(children, grads, strict=False):
        if gi is None or child is None:
            continue
        new = False
        if type(gi) is np.ndarray:
            if gi.shape != child.shape or (gi.dtype is not child.dtype and gi.dtype != child.dtype):
                gi = fit(gi, child.shape, child.dtype, f"Function {node.name()}")
            new = gi is not g and gi is not before and gi.base is None
        else:
            gi = fit(_as_gradient(gi, node), child.shape, child.dtype, f"Function {node.name()}")
        before = gi
        if type(gi) is not np.ndarray:
            accumulate(child.variable, gi, False, False)
            continue
        mine = new or (gi.base is not None and _lend(gi, g, lent))
        child.variable._grad = wrap(gi if mine and gi.flags.c_contiguous else duplicate(gi))
    return True
