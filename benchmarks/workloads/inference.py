"""Inference: a policy asked for one action, a GPT that writes with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import models
from .base import (
    Results,
    Task,
    Workload,
    fill_parameters,
    generator,
    numpy_of,
    plain,
    register,
    tensor_of,
)


@dataclass(frozen=True)
class Inference:
    """A setup: `use(lib, model, input)` under no_grad."""

    key: str
    make_model: Callable[[Any], Any]
    draw: Callable[[np.random.Generator], np.ndarray]
    use: Callable[[Any, Any, Any], Any]

    def __call__(self, lib: Any, compiled: Callable[[Callable], Callable] = plain) -> Task:
        rng = generator(self.key)
        model = self.make_model(lib).eval()
        fill_parameters(lib, model, rng)
        x = tensor_of(lib, self.draw(rng))

        def run() -> Any:
            with lib.no_grad():
                return self.use(lib, model, x)

        def results() -> Results:
            return [numpy_of(run())]

        return Task(run, results)


def act(lib: Any, model: Any, state: Any) -> Any:
    """The better action's number, as a program that plays would read it."""
    values = model(state)
    values.argmax(-1).item()
    return values


def write(lib: Any, model: Any, prompt: Any) -> Any:
    """Sixteen characters after the prompt, the likeliest each time; the logits of each."""
    past: list = []
    logits = model(prompt, past)[:, -1]
    seen = [logits]
    for _ in range(15):
        logits = model(logits.argmax(-1, keepdim=True), past)[:, -1]
        seen.append(logits)
    return lib.stack(seen)


def inference(
    name: str,
    size: str,
    make_model: Callable[[Any], Any],
    draw: Callable[[np.random.Generator], np.ndarray],
    use: Callable[[Any, Any, Any], Any],
) -> None:
    """Register a use of a model. Its family is its kind, as with steps."""
    setup = Inference(f"{name} ({size})", make_model, draw, use)
    register(Workload("inference", "inference", name, size, setup, tolerance=1e-3))


def gpt_of(layers: int, width: int) -> Callable[[Any], Any]:
    return lambda lib: models.gpt(lib, layers, width)


def prompt(length: int) -> Callable[[np.random.Generator], np.ndarray]:
    return lambda rng: rng.integers(0, 96, (1, length))


inference(
    "policy, batch 1",
    "tiny",
    models.policy,
    lambda rng: rng.standard_normal((1, 4), dtype=np.float32),
    act,
)
inference(
    "mnist mlp, forward",
    "middle",
    models.mlp,
    lambda rng: rng.standard_normal((128, 784), dtype=np.float32),
    lambda lib, model, x: model(x),
)
inference("gpt writes, 2 x 64", "tiny", gpt_of(2, 64), prompt(32), write)
inference("gpt writes, 4 x 128", "middle", gpt_of(4, 128), prompt(32), write)
inference("gpt writes, 6 x 256", "large", gpt_of(6, 256), prompt(64), write)
