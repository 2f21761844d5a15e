"""Which calls can be written as loops over addresses (native.py), and how."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ..kernels.cpu import blas, formulas, threads
from ..optim.elementwise import Elementwise
from .native import F32, I64, Map, Numbers, Pick, Product, Put, Sum, Update
from .trace import Op, root

ndarray = np.ndarray

LARGEST = threads.PARALLEL
"""Elements up to which a loop stays on one thread, and so in here."""
LARGEST_PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS stays on one thread anyway."""


def lowered(op: Op, table: Numbers) -> list[Any] | None:
    """The loops that compute what `op` does, or None."""
    y = op.results
    if op.kind == "write":
        target, source = op.args
        if not _plain(target) or not _plain(source) or target.size > LARGEST:
            return None
        return [Map(*_scalar(_copy, None), (source,), target)]
    if op.kind == "effect" and "optimizer" in op.options:
        return _optimizer_step(op.options["optimizer"], table)
    own = _OWN_CHECKS.get(op.name)
    if own is not None and op.kind == "pure":
        return own(op)
    if op.kind != "pure" or not _plain(y) or y.size > LARGEST:
        return None
    if not all(_plain(x) for x in op.args if isinstance(x, ndarray)):
        return None
    special = _SPECIAL.get(op.name)
    if special is not None:
        return special(op)
    loop = op.function.__dict__.get("loop") if callable(op.function) else None
    if loop is None:
        return None
    numbers = [op.options.get(o, loop.defaults.get(o)) for o in loop.options]
    operands = (*op.args, *numbers)
    if not all(isinstance(x, (ndarray, int, float)) for x in operands):
        return None
    try:
        return [Map(*_scalar(loop.formula, loop.name), operands, y)]
    except formulas.NoScalarForm:
        return None


def _optimizer_step(optimizer: Any, table: Numbers) -> list[Any] | None:
    """The updates of all parameters, if the optimizer is a formula over elements."""
    if not isinstance(optimizer, Elementwise) or optimizer._hooks is not None:
        return None
    sizes = [p._data.size for group in optimizer.param_groups for p in group["params"]]
    if sum(sizes) > 2 * LARGEST:
        return None  # its own threaded loops are faster
    steps: list[Any] = []
    values: list[float] = []
    prepare: list[Callable[[ndarray], None]] = []
    try:
        function, identity = _scalar(type(optimizer).formula, None)
    except formulas.NoScalarForm:
        return None
    for group in optimizer.param_groups:
        params = [p for p in group["params"] if p._grad is not None]
        plans = (optimizer._plans or {}).get(id(group), ())
        first_values = optimizer._first(group)
        plan = next((p for p in plans if p.fits(optimizer, params, first_values)), None)
        if plan is None:
            return None
        for run in plan.runs:
            numbers = optimizer._numbers(group, list(run.values), False)
            if not all(isinstance(n, (int, float)) for n in numbers):
                return None
            start = len(table.values) + len(values)
            place = (start, start + len(numbers))
            values += map(float, numbers)
            prepare.append(_preparation(optimizer, group, run, place))
            for part in run.parts:
                updates = _part_updates(part, function, identity, place, group["maximize"])
                if updates is None:
                    return None
                steps += updates
    table.values += values
    table.prepare += prepare
    return steps


def _part_updates(
    part: Any, function: Any, identity: str, place: tuple[int, int], turned: bool
) -> list[Any] | None:
    """One update for every parameter of a part, whose states lie side by side."""
    updates = []
    start = 0
    for p in part.params:
        w, g = p._data, p._grad._data
        if not (_plain(w) and _plain(g) and w.flags.c_contiguous and g.flags.c_contiguous):
            return None
        span = slice(start, start + w.size)
        states = tuple([None if x is None else x[span] for x in part.states])
        w, g = w.reshape(-1), g.reshape(-1)
        updates.append(Update(function, identity, w, g, states, place, turned))
        start += w.size
    return updates


def _preparation(optimizer: Any, group: Any, run: Any, place: tuple[int, int]) -> Callable:
    first, last = place

    def prepare(table: ndarray) -> None:
        run.agrees()
        table[first:last] = optimizer._numbers(group, run.values, False)
        for flat, value in zip(run.counters, run.values, strict=True):
            flat[...] = value
        for part in run.parts:
            for p in part.params:
                p._bump()

    return prepare


def _plain(x: Any) -> bool:
    return isinstance(x, ndarray) and x.dtype == F32 and x.size > 0


def _scalar(formula: Callable, name: str | None) -> tuple[Any, str]:
    return formulas.scalar(formula, name, F32)


def _copy(x):
    return x


def _plus(x, y):
    return x + y


def _times(x, y):
    return x * y


def _matrix(x: ndarray) -> bool:
    """Whether BLAS can read it: rows or columns without gaps inside."""
    return x.ndim == 2 and (x.strides[1] == 4 or x.strides[0] == 4) and min(x.strides) > 0


def _product(a: ndarray, b: ndarray, y: ndarray) -> list[Any] | None:
    if not (_matrix(a) and _matrix(b) and y.ndim == 2 and y.flags.c_contiguous):
        return None
    if not blas.available() or prod((*a.shape, b.shape[1])) > LARGEST_PRODUCT:
        return None
    return [Product(a, b, y)]


def _affine(op: Op) -> list[Any] | None:
    x, weight, bias = op.args
    if x.ndim != 2:
        return None
    steps = _product(x, weight.T, op.results)
    if bias is None:
        return steps
    return steps and [*steps, Map(*_scalar(_plus, None), (op.results, bias), op.results)]


def _sum_to_size(op: Op) -> list[Any] | None:
    x, y = op.args[0], op.results
    size = op.options["size"]
    return [Sum(x, y.reshape((1,) * (x.ndim - len(size)) + tuple(size)))]


def _reduced(mean: bool) -> Callable[[Op], list[Any] | None]:
    def lower(op: Op) -> list[Any] | None:
        x, y, axes = op.args[0], op.results, op.options["axes"]
        full = tuple([1 if d in axes else n for d, n in enumerate(x.shape)])
        count = prod([x.shape[d] for d in axes])
        return [Sum(x, y.reshape(full), 1.0 / count if mean else 1.0)]

    return lower


def _spread(op: Op, mean: bool) -> list[Any] | None:
    """The gradient of a sum or mean: one number for many, held once and seen as many."""
    g, axes, _, shape = op.args
    once = root(op.results)
    if once.size != g.size:
        return None
    factor = 1.0 / max(prod([shape[d] for d in axes]), 1) if mean else 1.0
    return [Map(*_scalar(_times, None), (g, factor), once.reshape(g.shape))]


def _small(*arrays: Any) -> bool:
    return all([_plain(x) and x.ndim > 0 and x.size <= LARGEST for x in arrays])


def _gather(op: Op) -> list[Any] | None:
    (x, index), y = op.args, op.results
    fits = _small(x, y) and index.dtype == I64 and index.ndim == x.ndim
    return [Pick(x, index, y, op.options["dim"])] if fits else None


def _gather_back(op: Op) -> list[Any] | None:
    (g, index, dim, _), y = op.args, op.results
    fits = _small(g, y) and index.dtype == I64 and index.ndim == y.ndim
    return [Put(g, index, y, dim)] if fits else None


def _mse(op: Op) -> list[Any] | None:
    (x, t), y = op.args, op.results
    if not _small(x, t):
        return None
    return [Sum(x, y.reshape((1,) * x.ndim), 1 / op.options["over"], t)]


def _mse_slope(g, x, t, factor):
    return g * factor * (x - t)


def _mse_back(op: Op) -> list[Any] | None:
    g, x, t, _, over, needs = op.args
    if not _small(x, t) or needs[1]:
        return None
    return [Map(*_scalar(_mse_slope, None), (g, x, t, 2 / over), op.results[0])]


_OWN_CHECKS: dict[str, Callable[[Op], list[Any] | None]] = {
    "gather": _gather,
    "gather.x": _gather_back,
    "mse": _mse,
    "mse.joint": _mse_back,
}
"""Calls whose arguments or results are not all float32 arrays."""
_SPECIAL: dict[str, Callable[[Op], list[Any] | None]] = {
    "affine": _affine,
    "affine.x": lambda op: (
        _product(op.args[0], op.args[1], op.results) if op.args[0].ndim == 2 else None
    ),
    "affine.weight": lambda op: (
        _product(op.args[0].T, op.args[1], op.results) if op.args[0].ndim == 2 else None
    ),
    "affine.bias": lambda op: [
        Sum(op.args[0], op.results.reshape((1,) * (op.args[0].ndim - 1) + op.results.shape))
    ],
    "matrix_product": lambda op: _product(op.args[0], op.args[1], op.results),
    "matrix_product.a": lambda op: _product(op.args[0], op.args[1].T, op.results),
    "matrix_product.b": lambda op: _product(op.args[1].T, op.args[0], op.results),
    "sum_to_size": _sum_to_size,
    "reduce_mean.x": lambda op: _spread(op, mean=True),
    "reduce_sum.x": lambda op: _spread(op, mean=False),
    "reduce_sum": _reduced(mean=False),
    "reduce_mean": _reduced(mean=True),
    "copy": lambda op: [Map(*_scalar(_copy, None), (op.args[0],), op.results)],
    "add": lambda op: (
        [Map(*_scalar(_plus, None), op.args, op.results)]
        if all(isinstance(x, (ndarray, int, float)) for x in op.args)
        else None
    ),
}
