"""One step of an optimizer over a list of parameters whose gradients stand ready."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .base import SIZES, Results, Task, Workload, generator, numpy_of, plain, register, tensor_of

# The shapes of an RL policy, an MNIST network, a small GPT.
SHAPES = {
    "tiny": [(64, 4), (64,), (64, 64), (64,), (2, 64), (2,)],
    "middle": [(256, 784), (256,), (128, 256), (128,), (10, 128), (10,)],
    "large": [(4096, 256)] + 4 * [(768, 256), (256, 256), (1024, 256), (256, 1024), (256,), (256,)],
}
SMALL, VISIBLE = 1e-6, 1e-2  # learning rates: one that is timed, one whose effect is compared


@dataclass(frozen=True)
class OptimizerStep:
    """A setup: `make(lib, parameters, lr)` is the optimizer.

    What is timed has a learning rate so small that thousands of steps leave the numbers where they
    are; the results are the parameters after three steps with a large one.
    """

    key: str
    shapes: Sequence[tuple[int, ...]]
    make: Callable[[Any, list[Any], float], Callable[[], Any]]

    def __call__(self, lib: Any, compiled: Callable[[Callable], Callable] = plain) -> Task:
        step, _ = self.build(lib, SMALL)

        def results() -> Results:
            visible, parameters = self.build(lib, VISIBLE)
            for _ in range(3):
                visible()
            return [numpy_of(p) for p in parameters]

        return Task(step, results)

    def build(self, lib: Any, lr: float) -> tuple[Callable[[], Any], list[Any]]:
        rng = generator(self.key)
        parameters = []
        for shape in self.shapes:
            p = tensor_of(lib, rng.standard_normal(shape, dtype="float32")).requires_grad_()
            p.grad = tensor_of(lib, rng.standard_normal(shape, dtype="float32"))
            parameters.append(p)
        return self.make(lib, parameters, lr), parameters


OPTIMIZERS: dict[str, Callable[[Any, list[Any], float], Callable[[], Any]]] = {
    "sgd": lambda lib, p, lr: lib.optim.SGD(p, lr=lr).step,
    "sgd momentum": lambda lib, p, lr: lib.optim.SGD(p, lr=lr, momentum=0.9).step,
    "adam": lambda lib, p, lr: lib.optim.Adam(p, lr=lr).step,
    "adamw": lambda lib, p, lr: lib.optim.AdamW(p, lr=lr, weight_decay=0.1).step,
    "rmsprop": lambda lib, p, lr: lib.optim.RMSprop(p, lr=lr).step,
    # Clips to a norm that is never reached: the gradients stay, the work is the same.
    "clip grad norm": lambda lib, p, lr: lambda: lib.nn.utils.clip_grad_norm_(p, 1e6),
}
for _name, _make in OPTIMIZERS.items():
    for _size in SIZES:
        _key = f"{_name} ({_size})"
        register(
            Workload(
                "op", "optimizer", _name, _size, OptimizerStep(_key, SHAPES[_size], _make), 1e-4
            )
        )
