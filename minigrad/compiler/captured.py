"""`minigrad.compile(f)`: f computed once as usual, written down, and replayed from then on.

The life of one variant of a call (its shapes, dtypes, flags and Python arguments):

    first call    runs eagerly while it is noted, to see which arrays come from outside and stay
    second call   runs eagerly while it is noted; the record becomes a program
    third call    replays, then runs eagerly from the same state: both must agree, or it stays eager
    later calls   replay

Results are the caller's; gradients of leaves may share their memory with those of the next replay.
What a function does beside computing with tensors (printing, counting) happens in the eager calls
only.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import random
from ..backend.memory import trim
from ..core import engine
from ..core.modes import MODE
from ..core.node import FREED, Node, edge_of, next_seq
from ..core.tensor import Tensor, wrap
from ..core.trees import flatten, unflatten
from ..export import export
from ..nn.module import Module
from ..ops.views import clone
from ..optim.optimizer import Optimizer
from .backward import walker
from .program import Program, computing
from .steps import root
from .trace import Recorder, arrays_in, recording_into

ndarray = np.ndarray


@export("compile", "compiler.compile")
def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: Any = "minigrad",
    mode: str | None = None,
    options: dict[str, Any] | None = None,
    disable: bool = False,
) -> Any:
    """`model` (a function, a whole training step, or a Module) captured on first use and replayed.

    For static shapes: every combination of shapes, dtypes, flags and Python arguments is captured
    by itself. What cannot be captured (a number that leaves the tensors, hooks, gradients added to
    those of an earlier call) runs eagerly, with one warning that names it; RuntimeError instead
    with fullgraph=True. Results are those of the eager function: the first replay is compared with
    it.

    Only computing with tensors is replayed, and random numbers are drawn anew; other effects of the
    function (printing, counting) are not. dynamic, backend, mode and options are accepted and
    change nothing.
    """
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, disable=disable)
    if not callable(model):
        raise RuntimeError(
            f"compile(): expected a function or a Module, got {type(model).__name__}"
        )
    if disable:
        return model
    if isinstance(model, Module):
        return CompiledModule(model, fullgraph)
    return functools.update_wrapper(Captured(model, fullgraph), model)


class Captured:
    """A function with its captured variants."""

    def __init__(self, function: Callable, fullgraph: bool = False):
        self.function = function
        self.fullgraph = fullgraph
        self.variants: dict[Any, Variant] = {}
        self.owners: list[Any] | None = None  # modules and optimizers that the function refers to
        self.flags: Callable[[], Any] = tuple

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.owners is None:
            self.owners = _owners(self.function)
            modules = [m for o in self.owners if isinstance(o, Module) for m in o.modules()]
            self.flags = lambda: tuple([m.training for m in modules])
        leaves: Any = args
        plain = not kwargs and all([type(x) is Tensor for x in args])
        if not plain:
            leaves, _ = flatten((args, kwargs))
        parts: list[Any] = [MODE.get(), self.flags()]
        for x in leaves:
            if isinstance(x, Tensor):
                parts += (x._data.shape, x._data.dtype, x.requires_grad)
            else:
                parts += (type(x), x)
        key = tuple(parts)
        try:
            variant = self.variants.get(key)
        except TypeError:  # an argument that cannot be hashed
            return self.function(*args, **kwargs)
        if variant is None:
            variant = self.variants[key] = Variant(self)
        return variant.run(leaves, args, kwargs)


def _owners(function: Any) -> list[Any]:
    """Modules and optimizers that a function can reach: itself, its object, closure, globals."""
    found = [function, getattr(function, "__self__", None)]
    code = getattr(function, "__code__", None)
    if code is not None:
        found += [c.cell_contents for c in function.__closure__ or () if _filled(c)]
        found += [function.__globals__[n] for n in code.co_names if n in function.__globals__]
    leaves = flatten([x for x in found if isinstance(x, (list, tuple, dict)) or _is_owner(x)])[0]
    attributes = getattr(getattr(function, "__self__", None), "__dict__", {})
    return [x for x in (*leaves, *attributes.values()) if _is_owner(x)]


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _is_owner(x: Any) -> bool:
    return isinstance(x, (Module, Optimizer))


def _state_of(owners: list[Any]) -> list[Tensor]:
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


class Variant:
    """One combination of shapes, dtypes, flags and Python arguments, and how far it has come."""

    def __init__(self, captured: Captured):
        self.captured = captured
        self.run: Callable = self._discover
        self.first: Recorder | None = None
        self.replay: Replay | None = None

    def _eager(self, leaves: Any, args: Any, kwargs: Any) -> Any:
        return self.captured.function(*args, **kwargs)

    def _give_up(self, why: str) -> None:
        """Eager from now on, with one warning."""
        function = self.captured.function
        name = getattr(function, "__qualname__", type(function).__name__)
        text = f"compile: {name} runs eagerly, because it cannot replay {why}"
        self.run, self.first, self.replay = self._eager, None, None
        if self.captured.fullgraph:
            raise RuntimeError(text)
        warnings.warn(text, UserWarning, stacklevel=5)

    def _discover(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The first call: eager, noted only to learn which arrays come from outside and stay."""
        recorder = Recorder([x._data for x in leaves if isinstance(x, Tensor)])
        with recording_into(recorder, walker(recorder)):
            result = self.captured.function(*args, **kwargs)
        self.first, self.run = recorder, self._capture
        recorder.forget()
        if recorder.failed:
            self._give_up(recorder.failed)
        return result

    def _capture(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The second call: eager, on copies of the arguments, whose memory becomes the replay's."""
        assert self.first is not None
        recording = Recording(self.captured, leaves, self.first)
        result = recording.run(flatten((args, kwargs))[1])
        if recording.recorder.failed:
            self._give_up(recording.recorder.failed)
        else:
            self.first, self.replay, self.run = None, Replay(self.captured, recording), self._verify
        return result

    def _verify(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The third call: a replay, and the eager run from the same state; they must agree."""
        replay = self.replay
        assert replay is not None
        if not replay.fits(leaves):
            return self._eager(leaves, args, kwargs)
        before = replay.snapshot(None)
        ours = replay.snapshot(replay(leaves))
        replay.restore(before)
        result = self.captured.function(*args, **kwargs)
        theirs = replay.snapshot(result)
        if _agree(before, ours, theirs) and (not replay.open or replay.checked(result, leaves)):
            self.run = self._replay
            del before, ours, theirs
            trim()
        else:
            self._give_up("this function to the same results (something in it is not noted)")
        return result

    def _replay(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        replay = self.replay
        assert replay is not None
        if not replay.fits(leaves):
            return self._eager(leaves, args, kwargs)
        return replay(leaves)


class Recording:
    """The second call: what it computes, and what of it is seen from outside.

    A function whose results require gradients is followed by a second part, which computes the
    gradients of parameters and arguments from those of the results.
    """

    def __init__(self, captured: Captured, leaves: list[Any], first: Recorder):
        self.captured = captured
        self.first = first
        # clones: what the recording call returns is connected with the caller's graph
        self.copies = [clone(x) if isinstance(x, Tensor) else x for x in leaves]
        self.inputs = [x._data for x in self.copies if isinstance(x, Tensor)]
        self.recorder = Recorder(self.inputs)
        self.recorder.boundary = {
            x._node: x for x in self.copies if isinstance(x, Tensor) and x._node is not None
        }
        self.state = _state_of(captured.owners or [])
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
        if not recorder.failed and (why := self._obstacle(self.tensors)):
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


class Replay:
    """A program, and how arguments, results and gradients go in and out."""

    def __init__(self, captured: Captured, recording: Recording):
        recorder = recording.recorder
        self.captured = captured
        self.state, self.arrays = recording.state, recording.arrays
        self.outside = list(recorder.outside.values())
        # leaves with a gradient neither there before nor cleared inside must come without one
        self.fresh = [x for x in recorder.leaves.values() if not recording.had.get(id(x), False)]
        self.open = [Like(t._data.shape, t._data.dtype) for t in recording.open]
        self.leaves = [] if self.open else [leaf for leaf, _ in recorder.grads]
        # whose gradients the second part gives: a parameter's, or those of an argument
        places = {id(copy): i for i, copy in enumerate(recording.copies)}
        found = [leaf for leaf, _ in recorder.grads] if self.open else []
        self.targets = [places.get(id(leaf), leaf) for leaf in found]
        self.generation = 0  # counts replays: their memory is one and the same
        self.pending: Callable[[], Any] = lambda: None  # the last replay's node, if it is alive

        self.kept = len(recorder.grads)  # arrays that the program keeps: gradients, then results
        self.results: list[Any] = []  # for a Tensor, a Result
        self.result_spec, self.single = recording.result_spec, recording.single
        for x in recording.results:
            if isinstance(x, Tensor):
                index = next((i for i, t in enumerate(recording.open) if t is x), None)
                x = Result(self.kept + sum(type(r) is Result for r in self.results), index)
            self.results.append(x)

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
        # gradients that are in the same place after every call
        self.grads = [self.program.fixed(i) for i in range(len(self.leaves))]
        self.grads = [None if g is None else wrap(g) for g in self.grads]

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
        given = [
            np.zeros(t.shape, t.dtype) if g is None else g
            for g, t in zip(cotangents, self.open, strict=True)
        ]
        self.program.backward(given)
        return [self.program.take(i) for i in range(self.kept)]

    # ------------------------------------------------------------ the check of the first replay
    def snapshot(self, result: Any) -> Snapshot:
        """Copies of everything that a run may change, and of its results."""
        state = [*self.state, *_state_of(self.captured.owners or [])]
        state = list({id(t): t for t in state}.values())
        grads = [(leaf, leaf._grad) for leaf in self.leaves]
        results = flatten(result)[0]
        return Snapshot(
            state,
            [t._data.copy() for t in state],
            [x.copy() for x in self.outside],
            [(leaf, None if g is None else g._data.copy()) for leaf, g in grads],
            [x._data.copy() for x in results if isinstance(x, Tensor)],
            random.default_generator.get_state(),
        )

    def checked(self, result: Any, leaves: list[Any]) -> bool:
        """Whether the second part gives the gradients that the eager graph gives."""
        eager = flatten(result)[0]
        pairs = zip(self.results, eager, strict=True)
        outputs = [y for x, y in pairs if type(x) is Result and x.index is not None]
        rng = np.random.default_rng(0)
        seeds = [rng.standard_normal(t._data.shape).astype(t._data.dtype) for t in outputs]
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
        random.default_generator.set_state(before.random)


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
    random: ndarray


def _agree(before: Snapshot, ours: Snapshot, theirs: Snapshot) -> bool:
    """Whether two runs from one state differ by no more than rounding, in norm: a step of Adam
    turns the last bit of a tiny gradient into a whole learning rate.
    """
    pairs: list[tuple[Any, Any, Any]] = []
    pairs += zip(before.values, ours.values, theirs.values, strict=True)
    pairs += zip(before.outside, ours.outside, theirs.outside, strict=True)
    pairs += [(None, a, b) for (_, a), (_, b) in zip(ours.grads, theirs.grads, strict=True)]
    pairs += [(None, a, b) for a, b in zip(ours.results, theirs.results, strict=True)]
    return all([_close(start, a, b) for start, a, b in pairs])


def _close(start: Any, a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    change = 0.0 if start is None else float(np.linalg.norm(b - start.astype(np.float64)))
    allowed = 1e-4 * float(np.linalg.norm(b)) + 2e-2 * change + 1e-6 * a.size**0.5
    return float(np.linalg.norm(a - b)) <= allowed


class CompiledModule(Module):
    """A module whose calls are captured; everything else is the module's own (`_orig_mod`)."""

    def __init__(self, module: Module, fullgraph: bool):
        super().__init__()
        self._orig_mod = module
        object.__setattr__(self, "_captured", Captured(module, fullgraph))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._captured(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules["_orig_mod"], name)
