"""A record as a list of steps that compute the same into the same memory.

The arrays of the record are its memory: every step writes its results where they were first
computed, so nothing is allocated in a replay, and views, being views of that memory, need no step
at all. Steps that native.py can write as loops are joined into compiled functions; the others are
calls of the functions that were noted.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..kernels.cpu import compiler
from . import native
from .trace import Op, Recorder, arrays_in

ndarray = np.ndarray


class Program:
    """Steps, in order; calling it runs them."""

    def __init__(self, ops: list[Op], kept: list[ndarray]):
        ops = _checks_first(_needed(ops, kept))
        self.ops = ops
        self.steps: list[Callable[[], Any]] = []
        self.compiled = 0  # ops that run in compiled segments
        run: list[Any] = []
        numbers = native.Numbers()
        uses = _uses(ops, kept)
        for op in ops:
            loops = native.lowered(op, numbers) if compiler.enabled() else None
            if loops is not None:
                run.append((op, loops))
                continue
            self._close(run, uses, numbers)
            run, numbers = [], native.Numbers()
            self.steps.append(_call(op))
        self._close(run, uses, numbers)

    def _close(self, run: list[Any], uses: dict[int, int], numbers: native.Numbers) -> None:
        if run:
            self.steps.append(native.segment(run, uses, numbers))
            self.compiled += len(run)

    def __call__(self) -> None:
        for step in self.steps:
            step()


def root(x: ndarray) -> ndarray:
    """The array that owns x's memory."""
    while isinstance(x.base, ndarray):
        x = x.base
    return x


def computing(recorder: Recorder) -> list[Op]:
    """The calls that compute something: a result in memory that was known before is a view."""
    known = {id(root(x)) for table in (recorder.inputs, recorder.constants, recorder.outside)
             for x in table.values()}  # fmt: skip
    ops = []
    for op in recorder.ops:
        results = list(arrays_in((op.results,)))
        fresh = [y for y in results if id(root(y)) not in known]
        known.update(id(root(y)) for y in fresh)
        if op.kind != "pure" or fresh:
            ops.append(op)
    return ops


def _needed(ops: list[Op], kept: list[ndarray]) -> list[Op]:
    """Without pure calls whose results nobody reads: masks of arguments without gradient, say."""
    live = {id(root(x)) for x in kept}
    chosen = []
    for op in reversed(ops):
        written = [id(root(y)) for y in arrays_in((op.results,))]
        if op.kind == "pure" and not any(w in live for w in written):
            continue
        live.update(id(root(x)) for x in arrays_in((*op.args, *op.options.values())))
        chosen.append(op)
    return chosen[::-1]


def _checks_first(ops: list[Op]) -> list[Op]:
    """Checks of what is there from the start come first, so that they divide no compiled run."""
    made = {id(root(y)) for op in ops for y in arrays_in((op.results,))}
    made |= {id(root(op.args[0])) for op in ops if op.kind == "write"}
    early = [
        op for op in ops
        if op.kind == "check" and not any(id(root(x)) in made for x in arrays_in(op.args))
    ]  # fmt: skip
    moved = set(map(id, early))
    return early + [op for op in ops if id(op) not in moved]


def _uses(ops: list[Op], kept: list[ndarray]) -> dict[int, int]:
    """How many calls read each piece of memory; what is kept counts as read once more."""
    uses: dict[int, int] = {}
    for x in kept:
        uses[id(root(x))] = uses.get(id(root(x)), 0) + 1
    for op in ops:
        for x in arrays_in((*op.args, *op.options.values())):
            uses[id(root(x))] = uses.get(id(root(x)), 0) + 1
    return uses


def _call(op: Op) -> Callable[[], Any]:
    """The noted call itself, its results copied to where they belong."""
    function, args, options = op.function, op.args, op.options
    if op.kind == "write":
        target, source = args
        return lambda: np.copyto(target, source, casting="unsafe")
    product = native.product_of(op)
    if product is not None:
        a, b, y = product
        return functools.partial(np.matmul, a, b, y)
    results = op.results
    if "optimizer" in options:
        return options["optimizer"].step
    if results is None:
        return lambda: function(*args, **options)
    if isinstance(results, ndarray):
        loop = getattr(function, "loop", None)
        if loop is not None and loop(args, options, results) is results:
            return lambda: loop(args, options, results)
        return lambda: np.copyto(results, function(*args, **options))
    places = list(arrays_in((results,)))

    def call() -> None:
        for place, value in zip(places, arrays_in((function(*args, **options),)), strict=True):
            np.copyto(place, value)

    return call
