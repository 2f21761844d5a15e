"""The record of one run of a function: which functions over arrays were called, on which arrays.

While a `Recorder` is active in a thread, the forward functions of all primitives (and a few others
that make or overwrite arrays) are replaced by ones that compute the same and note the call:

    Op(function, args, options, results)

Arrays are told apart by identity; those that no recorded call made are inputs, constants, or state
that lives outside (parameters). What happens inside a noted function is not noted again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from ..backend import sampling
from ..core import engine, inplace, promotion, recording
from ..core import walk as walking
from ..core.primitive import REGISTRY
from ..core.tensor import Tensor
from ..nn.utils import clip_grad
from ..ops import batch_norm, data, extrema, filled, order, scatter, steps
from ..optim.lr_scheduler.base import LRScheduler
from ..optim.optimizer import Optimizer

ndarray = np.ndarray


class Op:
    """One call: `results = function(*args, **options)`. `kind` says how it may be replayed.

    "pure"    depends on its arguments only and changes nothing
    "write"   args[0][...] = args[1]
    "check"   raises for some values of its arguments, and changes nothing
    "effect"  changes its arguments (clipping) or state outside (an optimizer's step, random
              numbers): always run as it is
    """

    __slots__ = ("kind", "name", "function", "args", "options", "results")

    def __init__(
        self, kind: str, name: str, function: Callable, args: Any, options: Any, results: Any
    ):
        self.kind = kind
        self.name = name
        self.function = function
        self.args = args
        self.options = options
        self.results = results

    def reads(self) -> Iterator[ndarray]:
        return arrays_in((*self.args, *self.options.values()))

    def call(self) -> tuple[Callable, tuple[Any, ...]]:
        """A function, and what to give it, that does the same once more."""
        function, names = self.function, tuple(self.options)
        if self.kind == "write":
            return _overwrite, self.args
        if "optimizer" in self.options:
            return self.options["optimizer"].step, ()
        if not names:
            return function, tuple(self.args)
        if not any(True for _ in arrays_in(self.options.values())):
            return partial(function, **self.options), tuple(self.args)
        count = len(self.args)

        def with_options(*values: Any) -> Any:
            return function(*values[:count], **dict(zip(names, values[count:], strict=True)))

        return with_options, (*self.args, *self.options.values())

    def __repr__(self) -> str:
        shapes = ", ".join(str(x.shape) if type(x) is ndarray else repr(x) for x in self.args)
        return f"{self.name}({shapes})"


def _overwrite(target: ndarray, source: Any) -> None:
    np.copyto(target, source, casting="unsafe")


class Recorder:
    """What one run computes. `inputs` are the arrays of the function's arguments."""

    def __init__(self, inputs: list[ndarray]):
        self.ops: list[Op] = []
        self.made: dict[int, ndarray] = {}  # by id; held, so that no id is given twice
        self.outside: dict[int, ndarray] = {}  # arrays that nothing here made, by id
        self.constants: dict[int, ndarray] = {}
        self.inputs = {id(x): x for x in inputs}
        self.leaves: dict[int, Tensor] = {}  # that got a gradient
        self.grads: list[tuple[Tensor, ndarray]] = []  # leaf, the array of its gradient
        self.thread = threading.get_ident()
        self.boundary: dict[Any, Tensor] = {}  # nodes of arguments: where a backward ends
        self.walked = False  # whether a backward ran
        self.collecting = False  # whether gradients are results, rather than to be accumulated
        self.depth = 0
        self.failed: str | None = None  # what cannot be replayed

    @property
    def active(self) -> bool:
        """Whether a call made here and now is to be noted."""
        return self.depth == 0 and not self.failed and threading.get_ident() == self.thread

    def fail(self, what: str) -> None:
        """Stop noting; the run goes on as usual, so that nothing is computed twice."""
        self.failed = self.failed or what

    def forget(self) -> None:
        """Let go of what was computed."""
        self.ops, self.made, self.grads, self.constants = [], {}, [], {}

    def call(self, kind: str, name: str, function: Callable, args: Any, options: Any) -> Any:
        """Run the function and note the call."""
        self.depth += 1
        try:
            results = function(*args, **options)
        finally:
            self.depth -= 1
        results = as_arrays(results)
        self.note(Op(kind, name, function, args, options, results))
        return results

    def note(self, op: Op) -> None:
        for x in op.reads():
            self.use(x)
        for y in arrays_in((op.results,)):
            if not self.knows(y):
                self.made[id(y)] = y
        self.ops.append(op)

    def knows(self, x: ndarray) -> bool:
        return any(
            id(x) in known for known in (self.made, self.inputs, self.outside, self.constants)
        )

    def use(self, x: ndarray) -> None:
        """An argument: if nobody here made it (nor the memory it is a view of), it is state."""
        if self.knows(x):
            return
        base = x.base
        while isinstance(base, ndarray):
            if self.knows(base):
                self.made[id(x)] = x  # a view cut by hand, of something known
                return
            base = base.base
        self.outside[id(x)] = x


def as_arrays(values: Any) -> Any:
    """NumPy's scalars, which reductions return, as arrays of no dimension."""
    if isinstance(values, np.generic):
        return np.asarray(values)
    if type(values) in (tuple, list):
        return type(values)(map(as_arrays, values))
    return values


def arrays_in(values: Any) -> Iterator[ndarray]:
    """All arrays among `values`, also inside tuples and lists."""
    for v in values:
        if isinstance(v, ndarray):
            yield v
        elif isinstance(v, (tuple, list)):
            yield from arrays_in(v)


def root(x: ndarray) -> ndarray:
    """The array that owns x's memory."""
    while isinstance(x.base, ndarray):
        x = x.base
    return x


# ------------------------------------------------------------------------------ recording
_LOCK = threading.RLock()
READS = ("item", "tolist", "numpy", "__bool__", "__index__", "__array__")
"""Methods of Tensor through which a number leaves the tensors."""


@contextmanager
def patching() -> Iterator[Callable[[Any, str, Any], None]]:
    """`put(owner, name, value)` sets an attribute until the block is over. One thread at a time."""
    undo: list[Callable[[], None]] = []

    def put(owner: Any, name: str, value: Any) -> None:
        before = owner.__dict__.get(name, getattr(owner, name))
        undo.append(lambda: setattr(owner, name, before))
        setattr(owner, name, value)

    with _LOCK:
        try:
            yield put
        finally:
            for step in reversed(undo):
                step()


@contextmanager
def recording_into(recorder: Recorder, walk: Callable) -> Iterator[None]:
    """Note what this thread computes inside the block; `walk` is the backward to use meanwhile."""
    with patching() as put:
        _patch(put, recorder, walk)
        yield


def _patch(put: Callable[[Any, str, Any], None], recorder: Recorder, walk: Callable) -> None:
    def noted(owner: Any, name: str, kind: str = "pure", title: str | None = None) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            if not recorder.active:
                return original(*args, **options)
            return recorder.call(kind, title or name, original, args, options)

        put(owner, name, call)

    def refused(owner: Any, name: str, what: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            if recorder.active:
                recorder.fail(what)
            return original(*args, **options)

        put(owner, name, call)

    for p in REGISTRY.values():
        noted(p, "forward", title=p.name)
    for name in ("_cast", "widen", "_round"):
        noted(promotion, name)
    noted(recording, "widen")
    noted(scatter, "check_range", "check")
    noted(extrema, "_place")
    noted(order, "_top_places")
    noted(order, "sorted_places")
    for name in DRAWS:
        noted(sampling, name, "effect")
    for module in (filled, steps, data):
        put(module, "wrap", _constant_maker(recorder, module.wrap))
    noted(clip_grad, "total_of")
    noted(clip_grad, "shrink", "effect")
    noted(batch_norm, "move_average", "effect")
    noted(batch_norm, "count_up", "effect")
    put(inplace, "overwrite", _writer(recorder, inplace.overwrite))
    put(engine, "walk", walk)
    refused(walking, "accumulate", "retain_grad()")
    for kind in optimizers():
        put(kind, "step", _stepper(recorder, kind.step))
    refused(LRScheduler, "step", "a learning-rate scheduler's step")
    for name in READS:
        refused(Tensor, name, f"Tensor.{name} (a number leaves the tensors)")


DRAWS = (
    "uniform normal log_normal randint random_from randperm bernoulli geometric exponential cauchy "
    "poisson binomial standard_gamma dirichlet multinomial"
).split()


def _constant_maker(recorder: Recorder, original: Callable) -> Callable:
    """`wrap` of the functions that make tensors from nothing: what they make is the same always."""

    def wrap(array: Any, *more: Any) -> Any:
        if recorder.active and isinstance(array, ndarray) and not recorder.knows(array):
            recorder.constants[id(array)] = array
        return original(array, *more)

    return wrap


def _writer(recorder: Recorder, original: Callable) -> Callable:
    def overwrite(x: Tensor, y: Any, name: str) -> None:
        if not recorder.active:
            original(x, y, name)
            return
        recorder.depth += 1
        try:
            original(x, y, name)
        finally:
            recorder.depth -= 1
        recorder.note(Op("write", name, np.copyto, (x._data, y), {}, None))

    return overwrite


def optimizers() -> list[type]:
    """Every class that defines a step."""
    found, stack = [], [Optimizer]
    while stack:
        kind = stack.pop()
        stack += kind.__subclasses__()
        if "step" in kind.__dict__:
            found.append(kind)
    return found


def _stepper(recorder: Recorder, original: Callable) -> Callable:
    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if recorder.active and (args or kwargs or self._hooks is not None):
            recorder.fail(f"{type(self).__name__}.step with a closure or with hooks")
        if not recorder.active:
            return original(self, *args, **kwargs)
        # what it reads are the gradients; parameters and states are its own
        params = [p for group in self.param_groups for p in group["params"]]
        grads = tuple([p._grad._data for p in params if p._grad is not None])
        name = f"{type(self).__name__}.step"
        result = recorder.call("effect", name, lambda *grads: original(self), grads, {})
        recorder.ops[-1].options = {"optimizer": self}
        return result

    return step
