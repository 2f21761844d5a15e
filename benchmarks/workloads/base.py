"""What a workload is, and how one is made of a function.

A workload is written once, against the API that minigrad and PyTorch share: `setup(lib)` gets one
of the two modules and builds a Task, a thing to call and a way to read what it computed. All inputs
come from NumPy with a seed of the workload's own, so that every library works on the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SIZES = ("tiny", "middle", "large")
KINDS = ("op", "step", "inference")

Results = list[np.ndarray]


@dataclass(frozen=True)
class Task:
    """A workload built for one library: `run` is timed, `results` says what it computes."""

    run: Callable[[], Any]
    results: Callable[[], Results]
    touched: int = 0
    """Bytes that have to move at least, where that is known: what is read, and what is written."""


@dataclass(frozen=True)
class Workload:
    """A piece of work that every library can be asked to do.

    `setup(lib, compiled=plain)` builds it; `compiled` wraps the function that is timed (the
    identity, or the library's `compile`). Two results are equal within `tolerance` of their largest
    element.
    """

    kind: str
    family: str
    name: str
    size: str
    setup: Callable[..., Task]
    tolerance: float = 1e-4

    @property
    def key(self) -> str:
        return f"{self.name} ({self.size})"


REGISTRY: dict[str, Workload] = {}


def register(workload: Workload) -> None:
    """Add a workload; ValueError if its name is taken."""
    if workload.key in REGISTRY:
        raise ValueError(f"two workloads are called {workload.key!r}")
    REGISTRY[workload.key] = workload


def plain(function: Callable) -> Callable:
    """The function as it is: what `compiled` means without a compiler."""
    return function


def generator(name: str) -> np.random.Generator:
    """Random numbers that depend on the name only."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def numpy_of(tensor: Any) -> np.ndarray:
    """A copy that later calls cannot change."""
    return np.array(tensor.detach().cpu().numpy())


def tensor_of(lib: Any, array: np.ndarray) -> Any:
    """A tensor of the library, on the device where it makes its own."""
    return lib.from_numpy(array).to(lib.get_default_device())


# --- inputs


@dataclass(frozen=True)
class Input:
    """One argument: how its numbers are drawn, and whether a gradient is wanted."""

    draw: Callable[[np.random.Generator], np.ndarray]
    wanted: bool = False

    def tensor(self, lib: Any, rng: np.random.Generator) -> Any:
        tensor = tensor_of(lib, self.draw(rng))
        return tensor.requires_grad_() if self.wanted else tensor


def _normal(shape: Sequence[int]) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.standard_normal(shape, dtype=np.float32)


def leaf(*shape: int) -> Input:
    """Normal numbers that want a gradient."""
    return Input(_normal(shape), wanted=True)


def constant(*shape: int) -> Input:
    """Normal numbers that want none."""
    return Input(_normal(shape))


def positive(*shape: int, wanted: bool = True) -> Input:
    """Numbers between 0.1 and 0.9: probabilities, arguments of logarithms and roots."""
    return Input(lambda rng: rng.uniform(0.1, 0.9, shape).astype(np.float32), wanted)


def distinct(*shape: int) -> Input:
    """Numbers of which no two are equal: what is sorted then has one order only."""
    count = int(np.prod(shape))
    return Input(
        lambda rng: (rng.permutation(count).reshape(shape) / count - 0.5).astype(np.float32), True
    )


def integers(high: int, *shape: int) -> Input:
    """Indices or classes below `high`."""
    return Input(lambda rng: rng.integers(0, high, shape))


def booleans(*shape: int) -> Input:
    """A mask, true for half of the places."""
    return Input(lambda rng: rng.random(shape) < 0.5)


# --- ops


def first(result: Any) -> Any:
    """The part of a result that is differentiated: values, where indices come with them."""
    return result[0] if isinstance(result, tuple) else result


@dataclass(frozen=True)
class Op:
    """A function, forward and backward, as a setup for a Workload.

    `function(lib, *tensors)`, or `function(module, *tensors)` where `module(lib)` makes one. The
    gradient handed to `backward` is fixed; without an input that wants one, forward is all.
    """

    key: str
    inputs: Sequence[Input]
    function: Callable[..., Any]
    module: Callable[[Any], Any] | None = None
    check: Callable[..., Results] | None = None

    def __call__(self, lib: Any, compiled: Callable[[Callable], Callable] = plain) -> Task:
        rng = generator(self.key)
        tensors = [x.tensor(lib, rng) for x in self.inputs]
        leaves = [t for t, x in zip(tensors, self.inputs, strict=True) if x.wanted]
        owner = lib
        if self.module is not None:
            owner = self.module(lib)
            leaves += fill_parameters(lib, owner, rng)
        function = self.function
        if not leaves:
            return self.forward_only(owner, tensors)
        shape = tuple(first(function(owner, *tensors)).shape)
        # the arguments and the gradient of the result are read, the result and gradients written
        touched = sum(map(_bytes, [*tensors, *leaves])) + 8 * int(np.prod(shape))
        seed = tensor_of(lib, np.array(rng.standard_normal(shape, dtype=np.float32)))

        def run() -> Any:
            for x in leaves:
                x.grad = None
            result = function(owner, *tensors)
            first(result).backward(seed)
            return result

        def results() -> Results:
            result = run()
            if self.check is not None:
                return self.check(numpy_of(result), *map(numpy_of, (tensors[0], leaves[0].grad)))
            parts = result if isinstance(result, tuple) else (result,)
            return [*map(numpy_of, parts), *(numpy_of(x.grad) for x in leaves)]

        return Task(run, results, touched)

    def forward_only(self, owner: Any, tensors: Sequence[Any]) -> Task:
        def run() -> Any:
            return self.function(owner, *tensors)

        touched = sum(map(_bytes, [*tensors, first(run())]))
        return Task(run, lambda: [numpy_of(run())], touched)


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()


def fill_parameters(lib: Any, module: Any, rng: np.random.Generator) -> list[Any]:
    """Give a module weights that every library has alike; its parameters, by name.

    Matrices get normal numbers over the root of their fan-in; of vectors, biases become 0 and the
    others (scales) 1.
    """
    parameters = sorted(module.named_parameters(), key=lambda pair: pair[0])
    with lib.no_grad():
        for name, p in parameters:
            shape = tuple(p.shape)
            if len(shape) > 1:
                fan_in = max(1, int(np.prod(shape[1:])))
                values = rng.standard_normal(shape, dtype=np.float32) / np.float32(fan_in**0.5)
            else:
                values = np.full(shape, 0.0 if "bias" in name else 1.0, np.float32)
            p.copy_(tensor_of(lib, np.ascontiguousarray(values, np.float32)))
    return [p for _, p in parameters]


def op(
    family: str,
    name: str,
    sizes: Mapping[str, Sequence[int]],
    inputs: Callable[..., Iterable[Input]],
    function: Callable[..., Any],
    *,
    module: Callable[..., Any] | None = None,
    check: Callable[..., Results] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Register one op at every size: `inputs(*size)` draws, `function(lib, *tensors)` computes.

    `module(lib, *size)` makes the module that `function` gets instead of `lib`. `check(result,
    first input, its gradient)` stands in for the plain comparison where results are random.
    """
    for size, numbers in sizes.items():
        setup = Op(
            f"{name} ({size})",
            tuple(inputs(*numbers)),
            function,
            _at_size(module, numbers) if module is not None else None,
            check,
        )
        register(Workload("op", family, name, size, setup, tolerance))


def _at_size(module: Callable[..., Any], numbers: Sequence[int]) -> Callable[[Any], Any]:
    return lambda lib: module(lib, *numbers)


def sizes(tiny: Sequence[int], middle: Sequence[int], large: Sequence[int]) -> dict:
    """The numbers that an op's `inputs` gets at each size."""
    return dict(zip(SIZES, (tiny, middle, large), strict=True))
