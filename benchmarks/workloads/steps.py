"""Training steps: a loss, its gradients, an optimizer's step, on one batch over and over."""

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

SMALL, VISIBLE = 1e-6, 1e-3
"""Learning rates. What is timed repeats one batch thousands of times: with the small one the
numbers stay where they are, and no gradient vanishes into slow denormals. Results are compared
with the large one."""

STEPS_COMPARED = 5

Loss = Callable[..., Any]
"""`loss(lib, model, *batch)`"""


@dataclass(frozen=True)
class Step:
    """A setup: one step of `make_optimizer` on `loss`, whole and so compiled whole."""

    key: str
    make_model: Callable[[Any], Any]
    loss: Loss
    batch: Callable[[np.random.Generator], list[np.ndarray]]
    make_optimizer: Callable[[Any, Any, float], Any]
    clip: float | None = None

    def __call__(self, lib: Any, compiled: Callable[[Callable], Callable] = plain) -> Task:
        timed, batch, _ = self.build(lib, compiled, SMALL)

        def results() -> Results:
            step, same_batch, parameters = self.build(lib, compiled, VISIBLE)
            losses = [numpy_of(step(*same_batch))]
            gradients = [numpy_of(p.grad) for p in parameters if p.grad is not None]
            losses += [numpy_of(step(*same_batch)) for _ in range(STEPS_COMPARED - 1)]
            return [np.array(losses), *gradients]

        return Task(lambda: timed(*batch), results)

    def build(
        self, lib: Any, compiled: Callable[[Callable], Callable], lr: float
    ) -> tuple[Callable[..., Any], list[Any], list[Any]]:
        """The step, its batch and the model's parameters."""
        rng = generator(self.key)
        model = self.make_model(lib)
        parameters = fill_parameters(lib, model, rng)
        batch = [tensor_of(lib, x) for x in self.batch(rng)]
        optimizer = self.make_optimizer(lib, list(model.parameters()), lr)
        loss_of, clip = self.loss, self.clip

        def step(*batch: Any) -> Any:
            optimizer.zero_grad()
            loss = loss_of(lib, model, *batch)
            loss.backward()
            if clip is not None:
                lib.nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            return loss.detach()

        return compiled(step), batch, parameters


def adam(lib: Any, parameters: Any, lr: float) -> Any:
    return lib.optim.Adam(parameters, lr=lr)


def adamw(lib: Any, parameters: Any, lr: float) -> Any:
    return lib.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=0.1)


def momentum(lib: Any, parameters: Any, lr: float) -> Any:
    return lib.optim.SGD(parameters, lr=lr, momentum=0.9, weight_decay=1e-4)


def step(
    name: str,
    size: str,
    make_model: Callable[[Any], Any],
    loss: Loss,
    batch: Callable[[np.random.Generator], list[np.ndarray]],
    make_optimizer: Callable[[Any, Any, float], Any] = adam,
    *,
    clip: float | None = None,
) -> None:
    """Register a training step. Its family is its kind: there is one figure for all steps."""
    setup = Step(f"{name} ({size})", make_model, loss, batch, make_optimizer, clip)
    # Five steps of an optimizer that divides by tiny gradients' roots spread the rounding.
    register(Workload("step", "step", name, size, setup, tolerance=2e-3))


# --- losses: the model's part of a step


def q_learning(lib: Any, model: Any, states: Any, actions: Any, targets: Any) -> Any:
    """The squared error of the values of the actions taken (Mnih et al. 2015)."""
    values = model(states).gather(1, actions)
    return lib.nn.functional.mse_loss(values, targets)


def classification(lib: Any, model: Any, x: Any, classes: Any) -> Any:
    return lib.nn.functional.cross_entropy(model(x), classes)


def denoising(lib: Any, model: Any, noisy: Any, noise: Any) -> Any:
    """The error of the predicted noise (Ho et al. 2020)."""
    return lib.nn.functional.mse_loss(model(noisy), noise)


def next_character(lib: Any, model: Any, codes: Any) -> Any:
    logits = model(codes[:, :-1])
    return lib.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), codes[:, 1:].reshape(-1)
    )


def evidence(lib: Any, model: Any, x: Any, noise: Any) -> Any:
    """The negative evidence lower bound, a mean over the batch."""
    logits, mean, log_variance = model(x, noise)
    likelihood = lib.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
    return (likelihood + divergence) / x.shape[0]


def preference(lib: Any, models: Any, codes: Any) -> Any:
    """DPO (Rafailov et al. 2023, equation 7); chosen sequences are the first half of the batch."""
    policy, reference = models

    def log_probability(model: Any) -> Any:
        logp = lib.nn.functional.log_softmax(model(codes[:, :-1]), -1)
        return logp.gather(2, codes[:, 1:].unsqueeze(2)).squeeze(2).sum(1)

    ours = log_probability(policy)
    with lib.no_grad():
        theirs = log_probability(reference)
    chosen, rejected = (ours - theirs).chunk(2)
    return -lib.nn.functional.logsigmoid(0.1 * (chosen - rejected)).mean()


def regression(lib: Any, model: Any, x: Any, y: Any) -> Any:
    return lib.nn.functional.mse_loss(model(x), y)


def pair_of_gpts(lib: Any) -> Any:
    """The policy, which learns, and the reference, which does not."""
    policy, reference = models.gpt(lib, 2, 64), models.gpt(lib, 2, 64)
    reference.requires_grad_(False)
    return lib.nn.ModuleList([policy, reference])


def gpt_of(layers: int, width: int) -> Callable[[Any], Any]:
    return lambda lib: models.gpt(lib, layers, width)


# --- batches


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def transitions(n: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    return lambda rng: [floats(rng, n, 4), rng.integers(0, 2, (n, 1)), floats(rng, n, 1)]


def labelled(*shape: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    return lambda rng: [floats(rng, *shape), rng.integers(0, 10, shape[0])]


def codes(batch: int, length: int) -> Callable[[np.random.Generator], list[np.ndarray]]:
    return lambda rng: [rng.integers(0, 96, (batch, length + 1))]


step("rl mlp, batch 1", "tiny", models.policy, q_learning, transitions(1))
step("rl mlp, batch 64", "tiny", models.policy, q_learning, transitions(64))
step("mnist mlp", "middle", models.mlp, classification, labelled(128, 784))
step("lenet", "middle", models.lenet, classification, labelled(64, 1, 28, 28), momentum)
step("resnet", "large", models.resnet, classification, labelled(16, 3, 32, 32), momentum)
step(
    "u-net",
    "large",
    models.unet,
    denoising,
    lambda rng: [floats(rng, 4, 3, 32, 32), floats(rng, 4, 3, 32, 32)],
)
step("char gpt, 2 x 64", "middle", gpt_of(2, 64), next_character, codes(8, 64), adamw, clip=1.0)
step("char gpt, 4 x 128", "large", gpt_of(4, 128), next_character, codes(8, 128), adamw, clip=1.0)
step("char lstm", "large", models.lstm, next_character, codes(32, 64), clip=1.0)
step(
    "vae",
    "middle",
    models.vae,
    evidence,
    lambda rng: [rng.random((128, 784), dtype=np.float32), floats(rng, 128, 20)],
)
step(
    "moe block",
    "middle",
    models.moe,
    regression,
    lambda rng: [floats(rng, 256, 64), floats(rng, 256, 64)],
)
step("dpo", "middle", pair_of_gpts, preference, codes(8, 32), adamw)
