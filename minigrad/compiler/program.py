"""A record as a list of steps that compute the same again.

What lowering.py can write as loops is joined into compiled functions; everything else is calls of
the functions that were noted. steps.py says where their arguments and results live.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..kernels.cpu import compiler
from . import lowering, native
from .steps import Builder, Group, Layout
from .trace import Op, Recorder, arrays_in, root

ndarray = np.ndarray


class Program:
    """Steps, in order; calling it runs them. `later` are those that only a backward asks for.

    inputs   arrays of the record for which every call brings others
    seeds    the same for `backward`
    kept     arrays of the record that somebody wants to see: `value` and `take` find what they are
    arrived  by id of a kept array: who is told as soon as it is there
    state    arrays that are there before and afterwards
    """

    def __init__(
        self,
        ops: list[Op],
        later: list[Op],
        inputs: list[ndarray],
        seeds: list[ndarray],
        kept: list[ndarray],
        state: list[ndarray],
        arrived: dict[int, Callable[[ndarray], None]],
    ):
        chosen = _needed(ops + later, kept + state)
        first = set(map(id, ops))
        parts = [_checks_first([op for op in chosen if id(op) in first]),
                 [op for op in chosen if id(op) not in first]]  # fmt: skip
        uses = _uses(chosen, kept)
        groups = [_grouped(part, uses) for part in parts]
        self.count = len(chosen)  # ops
        self.groups = len(groups[0]), len(groups[1])  # what is left of them: calls of functions
        built = Builder(groups[0] + groups[1], len(groups[0]), inputs, seeds, kept, arrived)
        self.steps, self.later = built.steps()
        self.slots, self.stale, self.places = built.slots, built.stale, built.places
        self.inputs, self.seeds = built.inputs[: len(inputs)], built.inputs[len(inputs) :]

    def __call__(self, arguments: list[ndarray]) -> None:
        for i in self.stale:
            self.slots[i] = None
        self._fill(self.inputs, arguments)
        for step in self.steps:
            step()

    def _fill(self, places: list[tuple[int, Layout]], arrays: list[ndarray]) -> None:
        for (i, layout), x in zip(places, arrays, strict=True):
            self.slots[i] = x if x.strides == layout.strides else layout.fitted(x)

    def backward(self, seeds: Sequence[ndarray | None]) -> None:
        """Compute the gradients from those of the results; None is zero."""
        pairs = zip(seeds, self.seeds, strict=True)
        zeros = [np.zeros(p.shape, p.dtype) if g is None else g for g, (_, p) in pairs]
        self._fill(self.seeds, zeros)
        for step in self.later:
            step()

    def fixed(self, which: int) -> ndarray | None:
        """The kept array of this number if it is in the same place after every call."""
        slot, passed, _ = self.places[which]
        return None if passed else self.slots[slot]

    def take(self, which: int) -> ndarray:
        """The kept array of this number, for somebody to own; once after each call."""
        slot, _, alone = self.places[which]
        y = self.slots[slot]
        if not alone:
            return y.copy()
        self.slots[slot] = None
        return y


def computing(recorder: Recorder) -> list[Op]:
    """The calls that compute something: a result in memory that was known before is a view."""
    known = {id(root(x)) for table in (recorder.inputs, recorder.constants, recorder.outside)
             for x in table.values()}  # fmt: skip
    ops = []
    for op in recorder.ops:
        fresh = [y for y in arrays_in((op.results,)) if id(root(y)) not in known]
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
        live.update(id(root(x)) for x in op.reads())
        chosen.append(op)
    return chosen[::-1]


def _checks_first(ops: list[Op]) -> list[Op]:
    """Checks of what is there from the start come first, so that they divide no compiled run."""
    made = {id(root(y)) for op in ops for y in arrays_in((op.results,))}
    made |= {id(root(op.args[0])) for op in ops if op.kind == "write"}
    early = [
        op for op in ops
        if op.kind == "check" and not any(id(root(x)) in made for x in op.reads())
    ]  # fmt: skip
    moved = set(map(id, early))
    return early + [op for op in ops if id(op) not in moved]


def _uses(ops: list[Op], kept: list[ndarray]) -> dict[int, int]:
    """How many calls read each piece of memory; what is kept counts as read once more."""
    uses: dict[int, int] = {}
    for x in kept:
        uses[id(root(x))] = uses.get(id(root(x)), 0) + 1
    for op in ops:
        for x in op.reads():
            uses[id(root(x))] = uses.get(id(root(x)), 0) + 1
    return uses


def _grouped(ops: list[Op], uses: dict[int, int]) -> list[Group]:
    """Ops that can be written as loops together, every other op by itself."""
    groups: list[Group] = []
    run: list[tuple[Op, list[Any]]] = []
    numbers = native.Numbers()

    def close() -> None:
        nonlocal run, numbers
        if run:
            segment = native.segment(run, uses, numbers)
            groups.append(Group([op for op, _ in run], segment))
        run, numbers = [], native.Numbers()

    for op in ops:
        loops = lowering.lowered(op, numbers) if compiler.enabled() else None
        if loops is not None:
            run.append((op, loops))
        else:
            close()
            groups.append(Group([op], None))
    close()
    return groups
