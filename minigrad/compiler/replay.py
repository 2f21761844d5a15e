"""What a captured function is replayed from: the program of a record, with its memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import philox, random
from ..backend.devices import array_module
from ..core import engine
from ..core.node import FREED, Node, edge_of, next_seq
from ..core.tensor import Tensor, wrap
from ..core.trees import flatten, unflatten
from ..nn.module import Module
from ..ops.views import clone
from ..optim.optimizer import Optimizer
from .backward import walker
from .program import Program, computing, root
from .trace import Recorder, arrays_in, recording_into

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


class Replay:
    """A program with the memory of its arguments, its results, its gradients.

    A function whose results require gradients has two programs: the second computes the gradients
    of parameters and arguments from those of the results.
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
        self.backward: Program | None = None
        self.generation = 0  # counts replays: their memory is one and the same
        self.pending: Callable[[], Any] = lambda: None  # the last replay's node, if it is alive

    def record(self, spec: Any) -> Any:
        """Run the function while noting it, and make the program."""
        recorder = self.recorder
        had = {id(leaf): leaf._grad is not None for leaf in self.first.leaves.values()}
        args, kwargs = unflatten(self.copies, spec)
        with recording_into(recorder, walker(recorder)):
            result = self.captured.function(*args, **kwargs)
            self.results, self.result_spec = flatten(result)
            self.single = isinstance(result, Tensor)
            tensors = [x for x in self.results if isinstance(x, Tensor)]
            self.open = [x for x in tensors if x.requires_grad and not recorder.walked]
            split = len(recorder.ops)
            if self.open and not recorder.failed:
                self._record_backward()
        if not recorder.failed:
            # leaves with a gradient neither there before nor cleared inside must come without one
            self.fresh = [x for x in recorder.leaves.values() if not had.get(id(x), False)]
            self.grads = [(leaf, leaf._grad) for leaf, _ in recorder.grads if not self.open]
            why = self._obstacle(tensors)
            if why:
                recorder.fail(why)
            else:
                self._make(tensors, split)
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

    def _make(self, tensors: list[Tensor], split: int) -> None:
        recorder = self.recorder
        kept = [x._data for x in tensors]
        kept += [root(x) for x in recorder.outside.values()]
        kept += [g for _, g in recorder.grads]
        first, second = set(map(id, recorder.ops[:split])), recorder.ops[split:]
        ops = computing(recorder)
        if self.open:
            self.backward = Program([op for op in ops if id(op) not in first], kept)
            # what the second program reads, the first one keeps
            kept += [x for op in second for x in arrays_in((*op.args, *op.options.values()))]
        self.program = Program([op for op in ops if id(op) in first], kept)

    def _obstacle(self, tensors: list[Tensor]) -> str | None:
        recorder = self.recorder
        before = self.first.outside
        for op in recorder.ops:
            for x in arrays_in((*op.args, *op.options.values())):
                if (
                    id(x) in recorder.outside
                    and before.get(id(x)) is not x
                    and not self._is_state(x)
                ):
                    return f"an array that {op.name} got from outside of minigrad's functions"
            if op.kind == "write" and id(root(op.args[0])) in {id(root(x)) for x in self.inputs}:
                return "a change of an argument in place"
        for leaf, _ in recorder.grads:
            if not self.open and any(leaf is x for x in recorder.boundary.values()):
                return "a gradient that an argument accumulates"
        for t in tensors:
            if not recorder.knows(t._data) and not recorder.knows(root(t._data)):
                return "a result that was not computed by minigrad's functions"
        return None

    def _is_state(self, x: Any) -> bool:
        owner = root(x)
        return any(owner is root(a) for a in self.arrays)

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
        sources = [x._data for x in leaves if isinstance(x, Tensor)]
        for place, source in zip(self.inputs, sources, strict=True):
            place[...] = source
        for leaf, grad in self.grads:
            leaf._grad = grad
        self.program()
        self.generation += 1
        if self.open:
            return self._with_graph(leaves)
        results = [wrap(x._data.copy()) if isinstance(x, Tensor) else x for x in self.results]
        return results[0] if self.single else unflatten(results, self.result_spec)

    def _with_graph(self, leaves: list[Any]) -> Any:
        """The results as those of one node, whose derivative is the second program."""
        node = ReplayNode(self, leaves)
        self.pending = weakref.ref(node)
        results = []
        for x in self.results:
            if isinstance(x, Tensor):
                y = wrap(x._data.copy())
                for i, t in enumerate(self.open):
                    if t is x:
                        y._node, y._index, y._requires_grad = node, i, True
                x = y
            results.append(x)
        return results[0] if self.single else unflatten(results, self.result_spec)

    def edges(self, leaves: list[Any]) -> list[Any]:
        """Where the gradients go: to parameters, and to the arguments of this very call."""
        own = {id(copy): x for copy, x in zip(self.copies, leaves, strict=True)}
        return [edge_of(own.get(id(leaf), leaf)) for leaf, _ in self.recorder.grads]

    def gradients(self, cotangents: Any) -> list[ndarray]:
        """The second program for these gradients of the results (None: zero)."""
        for place, g in zip(self.cotangents, cotangents, strict=True):
            place[...] = 0 if g is None else g
        assert self.backward is not None
        self.backward()
        return [g.copy() for _, g in self.recorder.grads]

    # ------------------------------------------------------------ the check of the first replay
    def snapshot(self, result: Any = None) -> Snapshot:
        """Copies of everything that a run may change, and of its results."""
        state = [*self.state, *[t for t in state_of(self.captured.owners or [])]]
        state = list({id(t): t for t in state}.values())
        outside = list(self.recorder.outside.values())
        results = self.results if result is None else flatten(result)[0]
        return Snapshot(
            state,
            [t._data.copy() for t in state],
            [x.copy() for x in outside],
            [
                (leaf, None if leaf._grad is None else leaf._grad._data.copy())
                for leaf, _ in self.grads
            ],
            [x._data.copy() for x in results if isinstance(x, Tensor)],
            (random.default_generator.get_state(), philox.position()),
        )

    def checked(self, result: Any, leaves: list[Any]) -> bool:
        """Whether the second program gives the gradients that the eager graph gives."""
        own = {id(copy): x for copy, x in zip(self.copies, leaves, strict=True)}
        targets = [own.get(id(leaf), leaf) for leaf, _ in self.recorder.grads]
        eager = [x for x in flatten(result)[0] if isinstance(x, Tensor)]
        ours = [x for x in self.results if isinstance(x, Tensor)]
        outputs = [y for x, y in zip(ours, eager, strict=True) if any(x is t for t in self.open)]
        rng = np.random.default_rng(0)
        seeds = [
            array_module(t._data).asarray(rng.standard_normal(t._data.shape).astype(t._data.dtype))
            for t in outputs
        ]
        theirs = engine.grad(outputs, targets, [wrap(g) for g in seeds], True, allow_unused=True)
        pairs = zip(self.gradients(seeds), theirs, strict=True)
        return all([b is not None and _close(None, a, b._data) for a, b in pairs])

    def restore(self, before: Snapshot) -> None:
        for t, value in zip(before.state, before.values, strict=True):
            t._data[...] = value
        for x, value in zip(self.recorder.outside.values(), before.outside, strict=True):
            x[...] = value
        for leaf, g in before.grads:
            leaf._grad = None if g is None else wrap(g)
        random.default_generator.set_state(before.random[0])
        philox.move_to(before.random[1])


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
        self.shape = tuple([t._data.shape for t in replay.open])
        self.dtype = tuple([t._data.dtype for t in replay.open])

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
