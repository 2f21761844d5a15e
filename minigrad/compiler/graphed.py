"""Captured functions on a GPU: what a call asks of the GPU, as one CUDA graph.

    two calls      run eagerly: kernels are compiled, optimizers make their states
    third call     runs on copies of the arguments and is noted, not computed; then it is replayed
    fourth call    replays, then runs eagerly from the same state: both must agree
    later calls    copy the arguments into the graph's, and replay: one launch and a few copies

Everything that is noted has memory in a pool of the graph's own. Numbers that change from call to
call without being computed in it are device memory that is written before a replay: the place in
the sequence of random numbers, an optimizer's learning rate (`backend.graphs.before_replay`). A
function that needs numbers from the GPU to go on cannot be noted, and runs eagerly.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..amp.grad_scaler import GradScaler
from ..backend import philox, sampling
from ..backend.cuda import Stream, current_stream, stream
from ..backend.devices import array_module
from ..backend.graphs import CUDAGraph, graph
from ..core import engine, walk
from ..core.node import AccumulateGrad, edge_of
from ..core.tensor import Tensor, wrap
from ..core.trees import flatten, unflatten
from ..optim.elementwise import Elementwise
from ..optim.lr_scheduler.base import LRScheduler
from .replay import Replay, owners_of, state_of
from .trace import DRAWS, READS, optimizers, patching
from .variant import Variant

WARM_UP = 2
_streams: dict[int, Stream] = {}


def on_gpu(tensors: list[Any]) -> bool:
    """Whether any of the tensors is on a GPU."""
    return any([type(x._data) is not np.ndarray for x in tensors])


def _stream(like: Any) -> Stream:
    """The stream on which work for the GPU of this array is noted."""
    found = _streams.get(like.device.id)
    if found is None:
        found = _streams[like.device.id] = Stream()
    return found


class CannotCapture(Exception):
    """Something that no graph can hold."""


class GraphVariant(Variant):
    """One combination of shapes, dtypes, flags and Python arguments on a GPU."""

    replay: Any

    def __init__(self, captured: Any):
        super().__init__(captured)
        self.calls = 0

    def _discover(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        """The first calls: eager, on the stream that will be noted."""
        arrays = [x._data for x in leaves if isinstance(x, Tensor)]
        arrays += [t._data for t in state_of(self.captured.owners or [])]
        side = _stream(next(x for x in arrays if type(x) is not np.ndarray))
        outside = current_stream()
        side.wait_stream(outside)
        with stream(side):
            result = self.captured.function(*args, **kwargs)
        outside.wait_stream(side)
        self.calls += 1
        if self.calls == WARM_UP:
            self.run = self._capture
        return result

    def _capture(self, leaves: list[Any], args: Any, kwargs: Any) -> Any:
        replay = GraphReplay(self.captured, leaves)
        why = replay.capture(flatten((args, kwargs))[1])
        if why is not None:
            self._give_up(why)
            return self._eager(leaves, args, kwargs)
        self.replay, self.run = replay, self._verify
        return replay(leaves)


class Graphs:
    """A program (see `Replay`) of one graph for a call and one for its gradients, with the memory
    of arguments, results and gradients.
    """

    def __init__(self, inputs: list[Any]):
        self.inputs = inputs
        self.seeds: list[Any] = []
        self.kept: list[Any] = []
        self.first, self.second = CUDAGraph(), CUDAGraph()

    def __call__(self, arrays: list[Any]) -> None:
        for place, x in zip(self.inputs, arrays, strict=True):
            place[...] = x
        self.first.replay()

    def backward(self, seeds: Any) -> None:
        for place, g in zip(self.seeds, seeds, strict=True):
            place[...] = 0 if g is None else g
        self.second.replay()

    def take(self, which: int) -> Any:
        return self.kept[which].copy()


class GraphReplay(Replay):
    """A function that is noted as graphs."""

    program: Graphs

    def __init__(self, captured: Any, leaves: list[Any]):
        super().__init__(captured)
        self.tensors = [x for x in leaves if isinstance(x, Tensor)]
        self.copies = [_copy(x) if isinstance(x, Tensor) else x for x in leaves]
        self.program = Graphs([x._data for x in self.copies if isinstance(x, Tensor)])
        self.scalers = owners_of(captured.function, (GradScaler,))
        self.state = [*state_of(captured.owners or []), *owners_of(captured.function, (Tensor,))]
        self.state += [t for scaler in self.scalers for t in scaler.tensors()]
        self.arrays = [t._data for t in self.state]
        self.given: dict[int, Tensor] = {}  # leaves that got a gradient
        self.walked = False

    def capture(self, spec: Any) -> str | None:
        """Note the function; None, or what stands in the way, with everything as it was."""
        if any([type(x) is np.ndarray for x in self.program.inputs]):
            return "a tensor argument that is in main memory"
        had = [(t, t._grad) for t in self.state]
        stages = [dict(scaler._per_optimizer_states) for scaler in self.scalers]
        place = philox.state()
        collecting = gc.isenabled()
        gc.disable()  # what is freed by chance must not be freed now
        try:
            with _watched(self):
                self._note(spec)
            why = self._obstacle({id(t) for t, g in had if g is not None})
        except CannotCapture as error:
            why = str(error)
        except Exception as error:  # whatever CUDA, CuPy or the function say
            why = f"this: {type(error).__name__}: {error}"
        finally:
            if collecting:
                gc.enable()
        if why is not None:
            for (t, g), array in zip(had, self.arrays, strict=True):
                t._grad, t._data = g, array
            for scaler, stage in zip(self.scalers, stages, strict=True):
                scaler._per_optimizer_states.clear()
                scaler._per_optimizer_states.update(stage)
        philox.set_state(place)  # the replay draws the numbers
        return why

    def _note(self, spec: Any) -> None:
        args, kwargs = unflatten(self.copies, spec)
        side = _stream(
            next(x for x in (*self.program.inputs, *self.arrays) if type(x) is not np.ndarray)
        )
        program = self.program
        with graph(program.first, stream=side):
            result = self.captured.function(*args, **kwargs)
        results, spec = flatten(result)
        tensors = [x for x in results if isinstance(x, Tensor)]
        opened = [x for x in tensors if x.requires_grad and not self.walked]
        if opened:
            nodes = walk.reachable([edge_of(t)[0] for t in opened])
            targets = [n.variable for n in nodes if type(n) is AccumulateGrad]
            program.seeds = [array_module(t._data).empty_like(t._data) for t in opened]
            with graph(program.second, pool=program.first.pool(), stream=side):
                seeds = [wrap(g) for g in program.seeds]
                grads = engine.grad(opened, targets, seeds, allow_unused=True)
            found = [(t, g) for t, g in zip(targets, grads, strict=True) if g is not None]
            places = {id(copy): i for i, copy in enumerate(self.copies)}
            self.targets = [places.get(id(t), t) for t, _ in found]
            program.kept = [g._data for _, g in found]
        else:
            self.leaves = list(self.given.values())
            self.grads = [leaf._grad for leaf in self.leaves]
            program.kept = [None] * len(self.leaves)  # they are their leaves'
        program.kept += [t._data for t in tensors]
        self.describe(results, spec, isinstance(result, Tensor), opened)

    def _obstacle(self, had: set[int]) -> str | None:
        copies = [x for x in self.copies if isinstance(x, Tensor)]
        if any([x._grad is not None for x in copies]):
            return "a gradient that an argument accumulates"
        if any([x._counter[0] for x in copies]):
            return "a change of an argument in place"
        if any([t._data is not x for t, x in zip(self.state, self.arrays, strict=True)]):
            return "a parameter, buffer or state that gets other memory"
        if any([type(x) is np.ndarray for x in self.program.kept[self.kept :]]):
            return "a result in main memory"
        self.fresh = [leaf for leaf in self.leaves if id(leaf) not in had]
        for leaf in self.fresh:
            leaf._grad = None  # until the replay
        return None


def _copy(x: Tensor) -> Tensor:
    """A leaf of its own with what x holds."""
    y = wrap(x._data.copy())
    return y.requires_grad_() if x.requires_grad else y


# ------------------------------------------------------------------------------ what is refused
@contextmanager
def _watched(replay: GraphReplay) -> Iterator[None]:
    """Inside, what no graph can hold raises `CannotCapture` in this thread; `replay` hears of
    gradients.
    """
    with patching() as put:
        _watch(put, replay)
        yield


def _watch(put: Callable[[Any, str, Any], None], replay: GraphReplay) -> None:
    thread = threading.get_ident()

    def put_here(owner: Any, name: str, value: Callable) -> None:
        """For this thread; others go on with what was there."""
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            here = threading.get_ident() == thread
            return (value if here else original)(*args, **options)

        put(owner, name, call)

    def refused(owner: Any, name: str, what: str) -> None:
        def refuse(*args: Any, **options: Any) -> Any:
            raise CannotCapture(what)

        put_here(owner, name, refuse)

    walks, accumulates = engine.walk, walk.accumulate

    def walking(roots: Any, run: Any) -> None:
        replay.walked = replay.walked or run.accumulate
        walks(roots, run)

    def accumulate(leaf: Tensor, *how: Any) -> None:
        if leaf._grad is not None and id(leaf) not in replay.given:
            raise CannotCapture("gradients that are added to those of an earlier call")
        replay.given[id(leaf)] = leaf
        accumulates(leaf, *how)

    def stepping(original: Callable) -> Callable:
        def step(self: Any, *args: Any, **kwargs: Any) -> Any:
            params = [p for group in self.param_groups for p in group["params"]]
            if not isinstance(self, Elementwise) or not all([p.is_cuda for p in params]):
                raise CannotCapture(f"{type(self).__name__}.step, which computes in main memory")
            return original(self, *args, **kwargs)

        return step

    put_here(engine, "walk", walking)
    put_here(walk, "accumulate", accumulate)
    for kind in optimizers():
        put_here(kind, "step", stepping(kind.step))
    refused(LRScheduler, "step", "a learning-rate scheduler's step")
    for name in (*DRAWS, "draw_seed"):
        refused(sampling, name, f"random numbers drawn in main memory ({name})")
    for name in (*READS, "cpu"):
        refused(Tensor, name, f"Tensor.{name} (a number leaves the tensors)")
