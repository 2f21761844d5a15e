"""Where the values of a program live, and the steps that move them.

A value is a piece of memory with all its views. It lives in one of three ways:

    fixed    state and constants: where they were in the record
    placed   made by a compiled function, which has to know where: in one block of memory, whose
             parts are used again when a value has died (layout.py)
    passed   an argument, or made by a call: whatever array that returned, until its last use, as
             in an eager run

A program has a row of slots. Each array that a call needs has one: fixed and placed arrays for
good, passed ones and their views while they live. None of the record's own memory is needed then,
except where it is state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..backend.memory import address
from .layout import ALIGNMENT, Span, place
from .native import Segment
from .trace import Op, arrays_in, as_arrays, root

ndarray = np.ndarray
Step = Callable[[], None]


class Group(NamedTuple):
    """Ops that are one step: those of a compiled function, or one that is called."""

    ops: list[Op]
    segment: Segment | None

    def touched(self) -> Iterable[ndarray]:
        """What has to be somewhere: a compiled function keeps the rest in registers."""
        if self.segment is not None:
            return self.segment.arrays
        return [x for op in self.ops for x in op.reads()]


def _within(x: ndarray, y: ndarray) -> bool:
    """Whether y is memory in one piece that x is a part of."""
    reach = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)]
    low = address(x) + sum(r for r in reach if r < 0)
    high = address(x) + sum(r for r in reach if r > 0) + x.itemsize
    return y.flags.forc and address(y) <= low and high <= address(y) + y.nbytes


class Layout(NamedTuple):
    """How an array lies in memory."""

    shape: tuple[int, ...]
    dtype: Any
    strides: tuple[int, ...]

    def fitted(self, x: Any) -> ndarray:
        """x, copied if it lies in another way."""
        if type(x) is not ndarray:
            x = np.asarray(x)
        if x.strides == self.strides:
            return x
        order = sorted(range(x.ndim), key=lambda d: -self.strides[d])
        y = np.empty([x.shape[d] for d in order], self.dtype).transpose(np.argsort(order))
        y[...] = x
        if y.strides != self.strides and x.size > 1:
            raise RuntimeError(f"compile: no array of shape {self.shape} lies like {self.strides}")
        return y


def layout_of(x: ndarray) -> Layout:
    return Layout(x.shape, x.dtype, x.strides)


class Instruction:
    """A step to be: `make(dead)` gives it, `dead` being the slots that nobody reads after it."""

    __slots__ = ("make", "reads", "writes")

    def __init__(self, make: Callable[[tuple[int, ...]], Step], reads: Any, writes: Any = ()):
        self.make = make
        self.reads = tuple(reads)
        self.writes = tuple(writes)


class Builder:
    """The slots and steps for groups of ops, of which those from `split` on may run much later, or
    never, or twice; `seeds` are what they are given.
    """

    def __init__(
        self,
        groups: list[Group],
        split: int,
        inputs: list[ndarray],
        seeds: list[ndarray],
        kept: list[ndarray],
        arrived: dict[int, Callable[[ndarray], None]],
    ):
        inputs = inputs + seeds
        self.slots: list[Any] = []
        self.instructions: list[Instruction] = []
        self.found: dict[int, int] = {}  # id of an array of the record -> its slot
        self.anchors: dict[int, tuple[int, ndarray]] = {}  # id of a root -> slot that holds it all
        self.constants: set[int] = set()  # slots that never change
        self.held = [kept, inputs, groups]  # so that ids stay what they are
        self.given = {id(root(x)) for x in inputs}
        self.passed = set(self.given)  # ids of roots
        self.placed: dict[int, ndarray] = {}  # id of a root -> its memory
        self.inputs = [(self._input(x), layout_of(x)) for x in inputs]
        self._place(groups, split, kept)
        for group in groups[:split]:
            self._add(group, arrived)
        self._first_part_ends(kept, {id(root(x)) for x in seeds})
        self.split = len(self.instructions)
        for group in groups[split:]:
            self._add(group, arrived)
        self.places = self._kept(kept, alone=split == len(groups))

    def _slot(self, value: Any = None) -> int:
        self.slots.append(value)
        return len(self.slots) - 1

    def _input(self, x: ndarray) -> int:
        i = self.found[id(x)] = self._slot()
        self.anchors[id(root(x))] = i, x
        return i

    # ------------------------------------------------------------ what lives where
    def _place(self, groups: list[Group], split: int, kept: list[ndarray]) -> None:
        """Tell passed values from placed ones, and give those their memory."""
        seen = set(self.passed)
        spans: dict[int, list[int]] = {}
        owners: dict[int, ndarray] = {}
        for i, group in enumerate(groups):
            for op in group.ops:
                seen.update(id(root(x)) for x in op.reads())
                for y in arrays_in((op.results,)):
                    owner = root(y)
                    if id(owner) in seen:
                        continue
                    seen.add(id(owner))
                    if group.segment is None:
                        self.passed.add(id(owner))
                    else:
                        owners[id(owner)] = owner
            for x in group.touched():
                owner = root(x)
                if id(owner) in owners:
                    spans.setdefault(id(owner), [i, i])[1] = i
        for x in kept:
            if id(root(x)) in spans:
                spans[id(root(x))][1] = len(groups)
        for span in spans.values():
            if span[0] < split <= span[1]:  # the second part may run more than once
                span[1] = len(groups)
        keys = list(spans)
        starts, length = place([Span(spans[k][0], spans[k][1], owners[k].nbytes) for k in keys])
        memory = np.empty(length + ALIGNMENT, np.uint8)
        memory = memory[-address(memory) % ALIGNMENT :]
        for k, start in zip(keys, starts, strict=True):
            self.placed[k] = memory[start : start + owners[k].nbytes]

    def _moved(self, x: ndarray) -> ndarray:
        """A placed array, where it is now."""
        owner = root(x)
        memory = self.placed[id(owner)]
        start = address(x) - address(owner)
        return ndarray(x.shape, x.dtype, memory, offset=start, strides=x.strides)

    def _find(self, value: Any) -> int:
        """The slot of anything that a call is given; steps are added that make what is missing."""
        if isinstance(value, ndarray):
            if id(value) in self.found:
                return self.found[id(value)]
            owner = id(root(value))
            if owner in self.passed and value.size:
                return self._view(value)
            slot = self._constant(self._moved(value) if owner in self.placed else value)
            self.found[id(value)] = slot
            self.held.append(value)
            return slot
        if isinstance(value, (tuple, list)) and any(True for _ in arrays_in(value)):
            return self._pack(value)
        return self._constant(value)

    def _constant(self, value: Any) -> int:
        slot = self._slot(value)
        self.constants.add(slot)
        return slot

    def _pack(self, values: Any) -> int:
        """A tuple or list of what is in slots."""
        kind, parts, slot = type(values), [self._find(v) for v in values], self._slot()
        get, slots = _getter(parts), self.slots

        def make(dead: tuple[int, ...]) -> Step:
            def pack() -> None:
                slots[slot] = kind(get(slots))
                for i in dead:
                    slots[i] = None

            return pack

        self.instructions.append(Instruction(make, parts, [slot]))
        return slot

    def _anchor(self, x: ndarray) -> tuple[int, ndarray]:
        """A slot with memory that x is a part of, and what it held in the record: what the call
        returned if that will do. Where it starts in memory of its own may differ from call to call.
        """
        owner = root(x)
        first, result = self.anchors[id(owner)]
        if result is owner or id(owner) in self.given or _within(x, result):
            return first, result
        slot, slots = self._slot(), self.slots

        def make(dead: tuple[int, ...]) -> Step:
            def find_root() -> None:
                slots[slot] = root(slots[first])
                for i in dead:
                    slots[i] = None

            return find_root

        self.instructions.append(Instruction(make, [first], [slot]))
        self.anchors[id(owner)] = slot, owner
        return slot, owner

    def _view(self, x: ndarray) -> int:
        source, whole = self._anchor(x)
        slot, slots = self._slot(), self.slots
        shape, dtype, strides = layout_of(x)
        offset = address(x) - address(whole)
        order = None
        if not whole.flags.forc:  # dense, but neither rows nor columns come last
            order = sorted(range(whole.ndim), key=lambda d: -whole.strides[d])

        def make(dead: tuple[int, ...]) -> Step:
            def view() -> None:
                memory = slots[source]
                if order is not None:
                    memory = memory.transpose(order)
                slots[slot] = ndarray(shape, dtype, memory, offset, strides)
                for i in dead:
                    slots[i] = None

            return view

        self.instructions.append(Instruction(make, [source], [slot]))
        self.found[id(x)] = slot
        self.held.append(x)
        return slot

    # ------------------------------------------------------------ steps
    def _add(self, group: Group, arrived: dict[int, Callable[[ndarray], None]]) -> None:
        if group.segment is not None:
            self._add_segment(group.segment)
            return
        op = group.ops[0]
        function, values = op.call()
        operands = [self._find(v) for v in values]
        results = []
        for y in arrays_in((op.results,)):
            slot = self._slot()
            results.append((slot, layout_of(y)))
            if id(root(y)) in self.passed and id(y) not in self.found:
                self.found[id(y)] = slot
                whole = self.anchors.get(id(root(y)))
                if whole is None or (y is root(y) and whole[1] is not y):
                    self.anchors[id(root(y))] = slot, y
        slots = self.slots

        def make(dead: tuple[int, ...]) -> Step:
            return _call(slots, function, _getter(operands), results, dead)

        self.instructions.append(Instruction(make, operands, [slot for slot, _ in results]))
        for y in arrays_in((op.results,)):
            if id(y) in arrived and id(root(y)) in self.passed:
                self._tell(self.found[id(y)], arrived[id(y)])

    def _tell(self, slot: int, function: Callable[[ndarray], None]) -> None:
        slots = self.slots
        self.instructions.append(Instruction(lambda _: lambda: function(slots[slot]), [slot]))

    def _add_segment(self, segment: Segment) -> None:
        table = np.zeros(len(segment.arrays), np.int64)
        moving: list[tuple[int, int, int]] = []  # place in the table, slot, bytes to add
        for k, x in enumerate(segment.arrays):
            owner = root(x)
            if id(owner) in self.passed:
                slot, whole = self._anchor(x)
                moving.append((k, slot, address(x) - address(whole)))
            else:
                table[k] = address(self.slots[self._find(x)])
        slots = self.slots
        run = segment.bound(table)

        def make(dead: tuple[int, ...]) -> Step:
            def run_segment() -> None:
                for k, slot, offset in moving:
                    table[k] = address(slots[slot]) + offset
                run()
                for i in dead:
                    slots[i] = None

            return run_segment if moving or dead else run

        self.instructions.append(Instruction(make, [slot for _, slot, _ in moving]))

    # ------------------------------------------------------------ what stays
    def _first_part_ends(self, kept: list[ndarray], seeds: set[int]) -> None:
        """What of the kept is there by now gets a slot."""
        for x in kept:
            owner = id(root(x))
            if owner not in self.passed or owner in self.anchors and owner not in seeds:
                self._find(x)

    def _kept(self, kept: list[ndarray], alone: bool) -> list[tuple[int, bool, bool]]:
        """For each kept array: its slot, whether it is passed, and whether nobody else has it."""
        owners = [id(root(x)) for x in kept]
        places = []
        for x, owner in zip(kept, owners, strict=True):
            passed = owner in self.passed and x.size > 0
            sole = owners.count(owner) == 1 and owner not in self.given
            places.append((self._find(x), passed, alone and passed and sole))
        return places

    def steps(self) -> tuple[list[Step], list[Step]]:
        """Both parts; `stale` is what is left in slots when they have run."""
        last: dict[int, int] = {}
        crossing: set[int] = {slot for slot, _ in self.inputs}
        for k, one in enumerate(self.instructions):
            last.update(dict.fromkeys((*one.writes, *one.reads), k))
            if k < self.split:
                crossing.update(one.writes)
        staying = {slot for slot, _, _ in self.places}
        staying |= {slot for slot in crossing if last.get(slot, -1) >= self.split}
        dead: list[list[int]] = [[] for _ in self.instructions]
        for slot, k in last.items():
            if slot not in staying and slot not in self.constants:
                dead[k].append(slot)
        self.stale = sorted(staying - self.constants)
        made = [one.make(tuple(d)) for one, d in zip(self.instructions, dead, strict=True)]
        return made[: self.split], made[self.split :]


def _getter(parts: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """A tuple of what is in these slots."""
    if len(parts) > 1:
        return itemgetter(*parts)
    if parts:
        (only,) = parts
        return lambda slots: (slots[only],)
    return lambda slots: ()


def _call(
    slots: list[Any],
    function: Callable,
    get: Callable[[list[Any]], tuple[Any, ...]],
    results: list[tuple[int, Layout]],
    dead: tuple[int, ...],
) -> Step:
    """The function of an op, its results put into their slots."""
    if len(results) == 1:
        slot, layout = results[0]
        strides = layout.strides

        def call_for_one() -> None:
            y = function(*get(slots))
            if type(y) is not ndarray or y.strides != strides:
                (y,) = arrays_in((as_arrays(y),))
                y = layout.fitted(y)
            slots[slot] = y
            for i in dead:
                slots[i] = None

        return call_for_one

    def call() -> None:
        y = function(*get(slots))
        if results:
            found = arrays_in((as_arrays(y),))
            for (slot, layout), x in zip(results, found, strict=True):
                slots[slot] = layout.fitted(x)
        for i in dead:
            slots[i] = None

    return call
