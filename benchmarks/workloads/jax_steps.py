"""The two training steps that are compared with JAX, written for it: JAX has another API.

The batch and the first weights are those of the workload: they are read off the setup that serves
the other libraries. The step, losses and Adam included, is one jitted function that gives its old
state away (donates it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .base import Results, Task, generator
from .steps import SMALL, STEPS_COMPARED, VISIBLE, Step

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch.optim.Adam's defaults

Layers = list[tuple[Any, Any]]  # weight (out, in) and bias (out,)


def first_weights(widths: Sequence[int], rng: np.random.Generator) -> Layers:
    """What base.fill_parameters gives to a Sequential of linear layers of these widths."""
    layers = []
    for i, o in zip(widths, widths[1:], strict=False):
        weight = rng.standard_normal((o, i), dtype=np.float32) / np.float32(i**0.5)
        layers.append((weight, np.zeros(o, np.float32)))
    return layers


def perceptron(layers: Layers, x: Any, activation: Callable) -> Any:
    """Linear layers with an activation between them."""
    for w, b in layers[:-1]:
        x = activation(x @ w.T + b)
    w, b = layers[-1]
    return x @ w.T + b


def q_learning(layers: Layers, states: Any, actions: Any, targets: Any) -> Any:
    """As steps.q_learning."""
    import jax.numpy as jnp

    values = jnp.take_along_axis(perceptron(layers, states, jnp.tanh), actions, 1)
    return ((values - targets) ** 2).mean()


def classification(layers: Layers, x: Any, classes: Any) -> Any:
    """As steps.classification."""
    import jax

    logp = jax.nn.log_softmax(perceptron(layers, x, jax.nn.relu))
    return -jax.numpy.take_along_axis(logp, classes[:, None], 1).mean()


def adam_step(loss: Callable, lr: float, show_gradients: bool) -> Callable:
    """(state, *batch) -> (new state, loss, gradients): Adam (Kingma and Ba 2015, algorithm 1).

    Gradients that are not shown are None: the compiler need not write them anywhere.
    """
    import jax

    def step(state: Any, *batch: Any) -> Any:
        layers, mean, square, count = state
        value, gradients = jax.value_and_grad(loss)(layers, *batch)
        count = count + 1
        each = jax.tree.map
        mean = each(lambda m, g: BETA1 * m + (1 - BETA1) * g, mean, gradients)
        square = each(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, square, gradients)
        scale1, scale2 = 1 - BETA1**count, 1 - BETA2**count

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - lr * (m / scale1) / ((v / scale2) ** 0.5 + EPSILON)

        new = (each(moved, layers, mean, square), mean, square, count)
        return new, value, gradients if show_gradients else None

    return jax.jit(step, donate_argnums=0)


def jax_setup(loss: Callable, widths: Sequence[int]) -> Callable[[Any], Task]:
    """A function from the workload's own setup to the same Task in JAX."""

    def build(setup: Step, lr: float, show_gradients: bool) -> Callable[[], tuple[Any, Any]]:
        import jax
        import jax.numpy as jnp

        rng = generator(setup.key)
        layers = jax.tree.map(jnp.asarray, first_weights(widths, rng))
        batch = [jnp.asarray(x) for x in setup.batch(rng)]
        zeros = jax.tree.map(jnp.zeros_like, layers)
        state = (layers, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.float32))
        step = adam_step(loss, lr, show_gradients)

        def run() -> tuple[Any, Any]:
            nonlocal state
            state, value, gradients = step(state, *batch)
            return value.block_until_ready(), gradients

        return run

    def jax_task(setup: Step) -> Task:
        run = build(setup, SMALL, False)

        def results() -> Results:
            visible = build(setup, VISIBLE, True)
            values, gradients = zip(*(visible() for _ in range(STEPS_COMPARED)), strict=True)
            flat = [np.array(part) for pair in gradients[0] for part in reversed(pair)]
            return [np.array([float(v) for v in values], np.float32), *flat]

        return Task(run, results)

    return jax_task


SETUPS: dict[str, Callable[[Any], Task]] = {
    "rl mlp, batch 1 (tiny)": jax_setup(q_learning, (4, 64, 64, 2)),
    "rl mlp, batch 64 (tiny)": jax_setup(q_learning, (4, 64, 64, 2)),
    "mnist mlp (middle)": jax_setup(classification, (784, 256, 128, 10)),
}
