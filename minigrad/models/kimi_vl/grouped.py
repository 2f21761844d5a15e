"""Experts at work on the tokens that chose them: sorted by expert, one product per expert.

    rows of x, each K times, sorted by expert      x_e   (n_e, D)     e = 0 ... E−1
    y_e = W_down,e (silu(W_gate,e x_e) · W_up,e x_e)
    y_t = Σ_k w_tk y_(e_tk)

Nothing is padded and nothing dropped: an expert gets as many rows as chose it, none included. The
activation of all rows is one loop; what is done expert by expert are matrix products alone. As a
`Function` the hidden values of all experts lie in one array each, and the gradient comes back the
same way; `reference` is the same from ordinary ops, which higher derivatives go through.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...core.engine import grad
from ...core.function import Function
from ...core.modes import is_grad_enabled
from ...core.tensor import wrap
from ...ops.filled import zeros_like
from ...ops.gated import swiglu, swiglu_
from ...ops.matmul import linear


class Routes(NamedTuple):
    """Which rows go to which expert: the assignments (token t, choice k), numbered t·K + k, sorted
    by expert.
    """

    order: np.ndarray  # (T·K,): the assignment in each sorted place
    place: np.ndarray  # (T·K,): its inverse
    experts: np.ndarray  # the experts that were chosen at all, ascending
    bounds: np.ndarray  # (len(experts) + 1,): where the rows of each begin, and the end
    top_k: int


def route(chosen: np.ndarray, count: int) -> Routes:
    """Sort choices (T, K), numbers of experts below `count`, by expert; stable in the tokens."""
    flat = chosen.reshape(-1)
    order = np.argsort(flat, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    loads = np.bincount(flat, minlength=count)
    experts = np.flatnonzero(loads)
    bounds = np.concatenate([[0], np.cumsum(loads[experts])])
    return Routes(order, place, experts, bounds, chosen.shape[1])


def reference(x: Any, weights: Any, chosen: np.ndarray, *matrices: Any) -> Any:
    """Every chosen expert in turn, from ordinary ops: x (T, D), weights (T, K), chosen (T, K).

    `matrices` are gate, up and down of each expert that was chosen at all, ascending.
    """
    y = zeros_like(x)
    for i, e in enumerate(np.unique(chosen)):
        rows, choice = np.nonzero(chosen == e)
        gate, up, down = matrices[3 * i : 3 * i + 3]
        rows = wrap(rows)
        xs = x[rows]
        out = linear(swiglu(linear(xs, gate), linear(xs, up)), down)
        y = y.index_add(0, rows, out * weights[rows, wrap(choice)].unsqueeze(1))
    return y


class GroupedExperts(Function):
    """`reference`, with all tokens at once: `apply(x, weights, chosen, routes, *matrices)`."""

    @staticmethod
    def forward(ctx: Any, x: Any, weights: Any, chosen: Any, routes: Routes, *matrices: Any) -> Any:
        """x (T, D), weights (T, K), chosen (T, K) an array -> (T, D)."""
        arrays = [m._data for m in matrices]
        rows = x._data[routes.order // routes.top_k]  # (T·K, D)
        count, inner = len(rows), arrays[0].shape[0]
        gate, up = (np.empty((count, inner), rows.dtype) for _ in range(2))
        for i, (start, stop) in enumerate(_segments(routes)):
            np.matmul(rows[start:stop], arrays[3 * i].T, out=gate[start:stop])
            np.matmul(rows[start:stop], arrays[3 * i + 1].T, out=up[start:stop])
        hidden = swiglu_(gate, up)
        out = np.empty_like(rows)
        for i, (start, stop) in enumerate(_segments(routes)):
            np.matmul(hidden[start:stop], arrays[3 * i + 2].T, out=out[start:stop])
        by_token = out[routes.place].reshape(*weights.shape, -1)
        ctx.save_for_backward(x, weights, *matrices)
        ctx.chosen, ctx.routes, ctx.kept = chosen, routes, (rows, gate, up, hidden, by_token)
        ctx.owns_results = True  # backward keeps none of its arrays: leaves may have them
        return wrap(np.matmul(weights._data[:, None, :], by_token)[:, 0])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        """Ā of every argument that wants one; None for the others and for experts not chosen."""
        x, weights, *matrices = ctx.saved_tensors
        if is_grad_enabled():
            wanted = [t for t in (x, weights, *matrices) if t.requires_grad]
            y = reference(x, weights, ctx.chosen, *matrices)
            found = iter(grad(y, wanted, g, create_graph=True))
            first, second, *rest = (
                next(found) if t.requires_grad else None for t in (x, weights, *matrices)
            )
            return first, second, None, None, *rest
        needs = ctx.needs_input_grad
        return _gradients(ctx, g._data, weights._data, [m._data for m in matrices], needs)


def _gradients(ctx: Any, g: np.ndarray, weights: np.ndarray, matrices: Any, needs: Any) -> Any:
    rows, gate, up, hidden, by_token = ctx.kept
    routes: Routes = ctx.routes
    weights_bar = np.matmul(by_token, g[:, :, None])[:, :, 0] if needs[1] else None
    tokens = routes.order // routes.top_k
    out_bar = g[tokens]
    out_bar *= weights.reshape(-1)[routes.order][:, None]
    hidden_bar, found = np.empty_like(hidden), [None] * len(matrices)
    for i, (start, stop) in enumerate(_segments(routes)):
        np.matmul(out_bar[start:stop], matrices[3 * i + 2], out=hidden_bar[start:stop])
        if needs[4 + 3 * i + 2]:
            found[3 * i + 2] = np.matmul(out_bar[start:stop].T, hidden[start:stop])
    gate_bar, up_bar = _swiglu_bar(hidden_bar, gate, up)
    rows_bar = np.empty_like(rows) if needs[0] else None
    for i, (start, stop) in enumerate(_segments(routes)):
        piece = rows[start:stop]
        for j, bar in enumerate((gate_bar[start:stop], up_bar[start:stop])):
            if needs[4 + 3 * i + j]:
                found[3 * i + j] = np.matmul(bar.T, piece)
        if rows_bar is not None:
            np.matmul(gate_bar[start:stop], matrices[3 * i], out=rows_bar[start:stop])
            rows_bar[start:stop] += up_bar[start:stop] @ matrices[3 * i + 1]
    x_bar = None
    if rows_bar is not None:
        x_bar = rows_bar[routes.place].reshape(-1, routes.top_k, rows.shape[1]).sum(1)
    bars = (x_bar, weights_bar, None, None, *found)
    return tuple([None if bar is None else wrap(bar) for bar in bars])


def _segments(routes: Routes) -> Any:
    bounds = routes.bounds.tolist()
    return zip(bounds[:-1], bounds[1:], strict=True)


def _swiglu_bar(bar: np.ndarray, gate: np.ndarray, up: np.ndarray) -> tuple[Any, Any]:
    rules = swiglu_.primitive.fast_rules
    return rules["gate"](bar, gate, up), rules["value"](bar, gate)
