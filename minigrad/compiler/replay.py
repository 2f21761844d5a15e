"""What a captured function is replayed from: the program of a record, with its memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import philox
from ..backend.devices import array_module
from ..core import engine
from ..core.node import FREED, Node, edge_of, next_seq
from ..core.tensor import Tensor, wrap
from ..core.trees import flatten, unflatten
from ..nn.module import Module
from ..ops.views import clone
from ..optim.optimizer import Optimizer
from .backward import walker
from .program import Program, computing
from .trace import Recorder, recording_into, root

ndarray = np.ndarray


def owners_of(function: Any, kinds: tuple[type, ...] = (Module, Optimizer)) -> list[Any]:
    """Modules and optimizers that a function can reach: itself, its object, closure, globals."""
    found = [function, getattr(function, "__self__", None)]
    code = getattr(function, "__code__", None)
    if code is not None:
        found += [c.cell_contents for c in function.__closure__ or () if _filled(c)]
        found += [function.__globals__[n] for n in code.co_names if n in function.__globals__]
    wanted = (list, tuple, dict, *kinds)
    leaves = flatten([x for x in found if isinstance(x, wanted)])[0]
    attributes = getattr(getattr(function, "__self__", None), "__dict__", {})
    return [x for x in (*leaves, *attributes.values()) if isinstance(x, kinds)]


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def state_of(owners: list[Any]) -> list[Tensor]:
    """Every tensor that the owners hold: parameters, buffers, optimizer states."""
    tensors: list[Tensor] = []
    for owner in owners:
        if isinstance(owner, Module):
            tensors += [*owner.parameters(), *owner.buffers()]
        else:
            tensors += [p for group in owner.param_groups for p in group["params"]]
            states = flatten([dict(s) for s in owner.state.values()])[0]
            tensors += [x for x in states if isinstance(x, Tensor)]
    return list({id(t): t for t in tensors}.values())


class Recording:
    """The second call: what it computes, and what of it is seen from outside.

    A function whose results require gradients is followed by a second part, which computes the
    gradients of parameters and arguments from those of the results.
    """

    def __init__(self, captured: Any, leaves: list[Any], first: Recorder):
        self.captured = captured
        self.first = first
        # clones: what the recording call returns is connected with the caller's graph
        self.copies = [clone(x) if isinstance(x, Tensor) else x for x in leaves]
        self.inputs = [x._data for x in self.copies if isinstance(x, Tensor)]
        self.recorder = Recorder(self.inputs)
        self.recorder.boundary = {
            x._node: x for x in self.copies if isinstance(x, Tensor) and x._node is not None
        }
        self.state = state_of(captured.owners or [])
        self.arrays = [t._data for t in self.state]
        self.cotangents: list[ndarray] = []

    def run(self, spec: Any) -> Any:
        """Run the function while noting it."""
        recorder = self.recorder
        self.had = {id(leaf): leaf._grad is not None for leaf in self.first.leaves.values()}
        args, kwargs = unflatten(self.copies, spec)
        with recording_into(recorder, walker(recorder)):
            result = self.captured.function(*args, **kwargs)
            self.results, self.result_spec = flatten(result)
            self.single = isinstance(result, Tensor)
            self.tensors = [x for x in self.results if isinstance(x, Tensor)]
            self.open = [x for x in self.tensors if x.requires_grad and not recorder.walked]
            self.split = len(recorder.ops)
            if self.open and not recorder.failed:
                self._record_backward()
        if not recorder.failed and (why := self._obstacle()):
            recorder.fail(why)
        results = [clone(x) if isinstance(x, Tensor) else x for x in self.results]
        return unflatten(results, self.result_spec)

    def _record_backward(self) -> None:
        """Note the gradients of the results, from cotangents that get a place of their own."""
        recorder = self.recorder
        recorder.collecting = True
        self.cotangents = [np.ones_like(t._data) for t in self.open]
        recorder.inputs.update({id(g): g for g in self.cotangents})
        roots = [(edge_of(t), g) for t, g in zip(self.open, self.cotangents, strict=True)]
        engine.walk(roots, engine.Run(False, True, True))

    def _obstacle(self) -> str | None:
        recorder = self.recorder
        before = self.first.outside
        given = {id(root(x)) for x in self.inputs}
        for op in recorder.ops:
            for x in op.reads():
                if (
                    id(x) in recorder.outside
                    and before.get(id(x)) is not x
                    and not self._is_state(x)
                ):
                    return f"an array that {op.name} got from outside of minigrad's functions"
            if op.kind == "write" and id(root(op.args[0])) in given:
                return "a change of an argument in place"
        for leaf, _ in recorder.grads:
            if not self.open and any(leaf is x for x in recorder.boundary.values()):
                return "a gradient that an argument accumulates"
        for t in self.tensors:
            if not recorder.knows(t._data) and not recorder.knows(root(t._data)):
                return "a result that was not computed by minigrad's functions"
        return None

    def _is_state(self, x: Any) -> bool:
        owner = root(x)
        return any(owner is root(a) for a in self.arrays)


class Replay:
    """How arguments, results and gradients go into a program and come out. What programs are:

    program(arrays)       compute the results from the arguments
    program.backward(gs)  the gradients from those of the results, afterwards
    program.take(i)       one of the arrays that it was told to keep: gradients, then results
    """

    program: Any
    captured: Any
    state: list[Tensor]  # what has to stay where it was
    arrays: list[ndarray]
    outside: list[ndarray]
    fresh: list[Tensor]  # leaves that have to come without a gradient
    leaves: list[Tensor]  # that get one in a call
    grads: list[Tensor | None]  # theirs, where these are in the same place after every call
    targets: list[Any]  # whose gradients `backward` computes: a leaf, or an argument's number

    def __init__(self, captured: Any):
        self.captured = captured
        self.generation = 0  # counts replays: their memory is one and the same
        self.pending: Callable[[], Any] = lambda: None  # the last replay's node, if it is alive
        self.outside, self.fresh, self.leaves, self.grads, self.targets = [], [], [], [], []

    def describe(self, results: list[Any], spec: Any, single: bool, opened: list[Tensor]) -> None:
        """What the program's results are; `opened`: those that require gradients. The leaves and
        targets are known.
        """
        self.kept = len(self.targets) + len(self.leaves)
        self.open = [Like(t._data.shape, t._data.dtype) for t in opened]
        self.results: list[Any] = []  # for a Tensor, a Result
        self.result_spec, self.single = spec, single
        place = self.kept
        for x in results:
            if isinstance(x, Tensor):
                x = Result(place, next((i for i, t in enumerate(opened) if t is x), None))
                place += 1
            self.results.append(x)

    def fits(self, leaves: list[Any]) -> bool:
        """Whether everything that the program relies on is where it was."""
        for t, array in zip(self.state, self.arrays, strict=True):
            if t._data is not array:
                return False
        if self.open:
            node = self.pending()
            if node is not None and node.replay is not FREED:
                return False  # its memory is still needed for a backward
        return all([leaf._grad is None for leaf in self.fresh])

    def __call__(self, leaves: list[Any]) -> Any:
        for leaf, grad in zip(self.leaves, self.grads, strict=True):
            leaf._grad = grad
        self.program([x._data for x in leaves if isinstance(x, Tensor)])
        self.generation += 1
        take = self.program.take
        if self.open:
            return self._with_graph(leaves)
        results = [wrap(take(x.place)) if type(x) is Result else x for x in self.results]
        return results[0] if self.single else unflatten(results, self.result_spec)

    def _with_graph(self, leaves: list[Any]) -> Any:
        """The results as those of one node, whose derivative is the second part."""
        node = ReplayNode(self, leaves)
        self.pending = weakref.ref(node)
        results = []
        for x in self.results:
            if type(x) is Result:
                y = wrap(self.program.take(x.place))
                if x.index is not None:
                    y._node, y._index, y._requires_grad = node, x.index, True
                x = y
            results.append(x)
        return results[0] if self.single else unflatten(results, self.result_spec)

    def edges(self, leaves: list[Any]) -> list[Any]:
        """Where the gradients go: to parameters, and to the arguments of this very call."""
        return [edge_of(x) for x in self._targets(leaves)]

    def _targets(self, leaves: list[Any]) -> list[Tensor]:
        return [leaves[x] if type(x) is int else x for x in self.targets]

    def gradients(self, cotangents: Any) -> list[ndarray]:
        """The second part for these gradients of the results (None: zero)."""
        self.program.backward(cotangents)
        return [self.program.take(i) for i in range(self.kept)]

    # ------------------------------------------------------------ the check of the first replay
    def snapshot(self, result: Any) -> Snapshot:
        """Copies of everything that a run may change, and of its results."""
        state = [*self.state, *state_of(self.captured.owners or [])]
        state = list({id(t): t for t in state}.values())
        grads = [(leaf, leaf._grad) for leaf in self.leaves]
        results = flatten(result)[0]
        return Snapshot(
            state,
            [t._data.copy() for t in state],
            [x.copy() for x in self.outside],
            [(leaf, None if g is None else g._data.copy()) for leaf, g in grads],
            [x._data.copy() for x in results if isinstance(x, Tensor)],
            philox.state(),
        )

    def checked(self, result: Any, leaves: list[Any]) -> bool:
        """Whether the second part gives the gradients that the eager graph gives."""
        eager = flatten(result)[0]
        pairs = zip(self.results, eager, strict=True)
        outputs = [y for x, y in pairs if type(x) is Result and x.index is not None]
        rng = np.random.default_rng(0)
        seeds = [
            array_module(t._data).asarray(rng.standard_normal(t._data.shape).astype(t._data.dtype))
            for t in outputs
        ]
        theirs = engine.grad(
            outputs, self._targets(leaves), [wrap(g) for g in seeds], True, allow_unused=True
        )
        ours = self.gradients(seeds)
        return all(
            [b is not None and _close(None, a, b._data) for a, b in zip(ours, theirs, strict=True)]
        )

    def restore(self, before: Snapshot) -> None:
        for t, value in zip(before.state, before.values, strict=True):
            t._data[...] = value
        for x, value in zip(self.outside, before.outside, strict=True):
            x[...] = value
        for leaf, g in before.grads:
            leaf._grad = None if g is None else wrap(g)
        philox.set_state(before.random)


class ProgramReplay(Replay):
    """A record as a program of minigrad's own."""

    def __init__(self, captured: Any, recording: Recording):
        super().__init__(captured)
        recorder = recording.recorder
        self.state, self.arrays = recording.state, recording.arrays
        self.outside = list(recorder.outside.values())
        # leaves with a gradient neither there before nor cleared inside must come without one
        self.fresh = [x for x in recorder.leaves.values() if not recording.had.get(id(x), False)]
        found = [leaf for leaf, _ in recorder.grads]
        if recording.open:
            places = {id(copy): i for i, copy in enumerate(recording.copies)}
            self.targets = [places.get(id(leaf), leaf) for leaf in found]
        else:
            self.leaves = found
        self.describe(recording.results, recording.result_spec, recording.single, recording.open)
        first = set(map(id, recorder.ops[: recording.split]))
        ops = computing(recorder)
        grads = [g for _, g in recorder.grads]
        self.program = Program(
            [op for op in ops if id(op) in first],
            [op for op in ops if id(op) not in first],
            recording.inputs,
            recording.cotangents,
            grads + [t._data for t in recording.tensors],
            [root(x) for x in self.outside],
            {id(g): _giver(leaf) for leaf, g in zip(self.leaves, grads, strict=False)},
        )
        fixed = [self.program.fixed(i) for i in range(len(self.leaves))]
        self.grads = [None if g is None else wrap(g) for g in fixed]


class Like(NamedTuple):
    """What is known of an array before it is there."""

    shape: tuple[int, ...]
    dtype: Any


class Result(NamedTuple):
    """A tensor among the results: which of the kept arrays, which of the node's outputs."""

    place: int
    index: int | None


def _giver(leaf: Tensor) -> Callable[[ndarray], None]:
    """The gradient of a leaf arrives."""

    def give(g: ndarray) -> None:
        leaf._grad = wrap(g)

    return give


class ReplayNode(Node):
    """What a replay leaves in the graph when its results require gradients."""

    __slots__ = ("replay", "generation")

    def __init__(self, replay: Replay, leaves: list[Any]):
        self.replay = replay
        self.generation = replay.generation
        self.edges = tuple(replay.edges(leaves))
        self.seq = next_seq()
        self.multi = True
        self.hooks = None
        self.shape = tuple([t.shape for t in replay.open])
        self.dtype = tuple([t.dtype for t in replay.open])

    def name(self) -> str:
        return "CompiledFunctionBackward"

    def run(self, g: Any, needed: Any, create_graph: bool) -> Any:
        if self.replay is FREED:
            iter(FREED)  # raises
        if create_graph:
            raise RuntimeError("a compiled function can be differentiated once, not twice")
        if self.generation != self.replay.generation:
            raise RuntimeError(
                "the compiled function has run again since, and its memory with it: call "
                "backward() before the next call"
            )
        return self.replay.gradients(g)

    def release(self) -> None:
        self.replay = FREED


class Snapshot(NamedTuple):
    """See `Replay.snapshot`."""

    state: list[Tensor]
    values: list[ndarray]
    outside: list[ndarray]
    grads: list[tuple[Tensor, ndarray | None]]
    results: list[ndarray]
    random: Any


def agree(before: Snapshot, ours: Snapshot, theirs: Snapshot) -> bool:
    """Whether two runs from one state differ by no more than rounding, in norm: a step of Adam
    turns the last bit of a tiny gradient into a whole learning rate.
    """
    pairs: list[tuple[Any, Any, Any]] = []
    pairs += zip(before.values, ours.values, theirs.values, strict=True)
    pairs += zip(before.outside, ours.outside, theirs.outside, strict=True)
    pairs += [(None, a, b) for (_, a), (_, b) in zip(ours.grads, theirs.grads, strict=True)]
    pairs += [(None, a, b) for a, b in zip(ours.results, theirs.results, strict=True)]
    return all([_close(start, a, b) for start, a, b in pairs])


def _in_main_memory(x: Any) -> Any:
    return x if x is None or type(x) is ndarray else x.get()


def _close(start: Any, a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    a, b, start = _in_main_memory(a), _in_main_memory(b), _in_main_memory(start)
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    change = 0.0 if start is None else float(np.linalg.norm(b - start.astype(np.float64)))
    allowed = 1e-4 * float(np.linalg.norm(b)) + 2e-2 * change + 1e-6 * a.size**0.5
    return float(np.linalg.norm(a - b)) <= allowed
