"""The recorder: while it is on, every op, node of the backward walk and optimizer step is timed.

The forward functions of all primitives, the `run` of the backward's nodes, the random draws and the
optimizers' steps are replaced by ones that do the same between two looks at the clock; afterwards
the originals stand there again. Without a profiler nothing is in the way of an op.

Memory is that of the arrays which ops return: counted when an op returns a new one, and given back
when it dies (a weak reference tells).
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import numpy as np

from ..backend import sampling
from ..core import walk
from ..core.node import Node
from ..core.primitive import REGISTRY
from ..optim.optimizer import Optimizer
from .events import FunctionEvent

ndarray = np.ndarray
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DRAWS = (
    "uniform normal log_normal randint random_from randperm bernoulli geometric exponential cauchy "
    "poisson binomial standard_gamma dirichlet multinomial"
).split()


class Recorder:
    """Events of one stretch of time, of all threads."""

    def __init__(self, shapes: bool, memory: bool, stack: bool, flops: bool):
        self.shapes, self.memory, self.stack, self.flops = shapes, memory, stack, flops
        self.events: list[FunctionEvent] = []
        self.instants: list[tuple[float, int, int, int]] = []  # time, thread, bytes, total
        self.total = 0
        self.start = perf_counter_ns()
        self.local = threading.local()
        self.alive: dict[int, Any] = {}  # weak references to arrays, by the array's id
        self.undo: list[Callable[[], None]] = []
        self.on = False

    # ------------------------------------------------------------ events
    def now(self) -> float:
        return (perf_counter_ns() - self.start) / 1000

    def open(self, name: str, kind: str) -> FunctionEvent:
        stack = self.local.__dict__.setdefault("stack", [])
        event = FunctionEvent(len(self.events) + 1, name, threading.get_ident(), 0.0, kind)
        self.events.append(event)
        if stack:
            event.cpu_parent = stack[-1]
            stack[-1].cpu_children.append(event)
        stack.append(event)
        if self.stack:
            event.stack = _lines_of_code()
        event.time_range.start = event.time_range.end = self.now()
        return event

    def close(self, event: FunctionEvent) -> None:
        event.time_range.end = self.now()
        stack = self.local.__dict__.get("stack", [])
        if event in stack:
            del stack[stack.index(event) :]

    def call(self, name: str, kind: str, function: Callable, args: Any, options: Any) -> Any:
        """Run a function as an event."""
        event = self.open(name, kind)
        if self.shapes:
            event.input_shapes = [list(np.shape(a)) for a in args if _has_shape(a)]
        try:
            result = function(*args, **options)
        finally:
            self.close(event)
        if self.memory:
            for array in arrays_in((result,)):
                self.took(array, event)
        if self.flops:
            event.flops = _flops(name, args, result)
        return result

    # ------------------------------------------------------------ memory
    def took(self, array: ndarray, event: FunctionEvent) -> None:
        if array.base is not None or id(array) in self.alive:
            return  # a view, or an array that an inner call has returned
        size, key = array.nbytes, id(array)
        event.own_memory += size
        self._note(size)

        def died(reference: Any) -> None:
            if self.alive.pop(key, None) is not None and self.on:
                stack = self.local.__dict__.get("stack")
                if stack:
                    stack[-1].own_memory -= size
                self._note(-size)

        self.alive[key] = weakref.ref(array, died)

    def _note(self, size: int) -> None:
        self.total += size
        self.instants.append((self.now(), threading.get_ident(), size, self.total))

    # ------------------------------------------------------------ on and off
    def begin(self) -> None:
        self.on = True
        for p in REGISTRY.values():
            self._time(p, "forward", p.name, "op")
        for name in DRAWS:
            self._time(sampling, name, name, "op")
        self._time(walk, "accumulate", "AccumulateGrad", "backward")
        for kind in subclasses(Node):
            if "run" in kind.__dict__:
                self._time_node(kind)
        for kind in subclasses(Optimizer):
            for method in ("step", "zero_grad"):
                if method in kind.__dict__:
                    self._time_optimizer(kind, method)

    def end(self) -> None:
        for step in reversed(self.undo):
            step()
        self.undo.clear()
        self.on = False
        self.alive.clear()

    def _put(self, owner: Any, name: str, value: Any) -> None:
        before = owner.__dict__[name]
        self.undo.append(lambda: setattr(owner, name, before))
        setattr(owner, name, value)

    def _time(self, owner: Any, name: str, title: str, kind: str) -> None:
        original = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            return self.call(title, kind, original, args, options)

        self._put(owner, name, timed)

    def _time_node(self, kind: type) -> None:
        original = kind.__dict__["run"]

        def run(node: Any, *args: Any, **options: Any) -> Any:
            return self.call(node.name(), "backward", original, (node, *args), options)

        self._put(kind, "run", run)

    def _time_optimizer(self, kind: type, method: str) -> None:
        original = kind.__dict__[method]

        def step(optimizer: Any, *args: Any, **options: Any) -> Any:
            name = f"Optimizer.{method}#{type(optimizer).__name__}.{method}"
            return self.call(name, "user", original, (optimizer, *args), options)

        self._put(kind, method, step)


def subclasses(kind: type) -> Iterator[type]:
    """A class and all that derive from it."""
    yield kind
    for derived in kind.__subclasses__():
        yield from subclasses(derived)


def arrays_in(values: Any) -> Iterator[ndarray]:
    """All arrays among values, also inside tuples and lists."""
    for v in values:
        if isinstance(v, ndarray):
            yield v
        elif isinstance(v, (tuple, list)):
            yield from arrays_in(v)


def _has_shape(value: Any) -> bool:
    return isinstance(value, (ndarray, np.generic))


def _lines_of_code() -> list[str]:
    """The caller's lines outside of minigrad, innermost first: "file(line): function"."""
    frame, lines = sys._getframe(2), []
    while frame is not None and len(lines) < 64:
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGE):
            lines.append(f"{code.co_filename}({frame.f_lineno}): {code.co_name}")
        frame = frame.f_back
    return lines


def _flops(name: str, args: Any, result: Any) -> int | None:
    """Multiplications and additions of products and elementwise arithmetic; None for the rest."""
    arrays = list(arrays_in(args))
    if name in ("matmul", "linear", "affine") and len(arrays) >= 2 and isinstance(result, ndarray):
        return 2 * result.size * arrays[0].shape[-1] if arrays[0].ndim else None
    if name.startswith("conv") and len(arrays) >= 2 and isinstance(result, ndarray):
        weight = arrays[1]
        return 2 * result.size * (weight.size // max(weight.shape[0], 1))
    if name in ("add", "sub", "mul") and isinstance(result, ndarray):
        return result.size
    return None
