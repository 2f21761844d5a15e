"""The networks of the agents: perceptrons with orthogonal weights, and heads for actions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..export import export
from ..nn import init
from ..nn.containers import Sequential
from ..nn.layers.activation import ReLU, Tanh
from ..nn.layers.linear import Linear
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..ops.filled import zeros
from . import losses


@contextmanager
def frozen(module: Module) -> Iterator[None]:
    """Inside, no gradient is computed for the module's parameters; they pass it on."""
    parameters = list(module.parameters())
    for p in parameters:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in parameters:
            p.requires_grad_(True)


ACTIVATIONS = {"tanh": Tanh, "relu": ReLU}


@export("rl.mlp")
def mlp(
    sizes: Sequence[int], *, activation: str = "tanh", last_gain: float | None = 1.0
) -> Sequential:
    """Linear layers with activations between them.

    Orthogonal weights with gain √2, the last layer's with `last_gain`, and no bias at first: for
    policies (Andrychowicz et al. 2021 on why). With None the layers stay as `Linear` makes them:
    for values learned by bootstrapping. Without biases all kinks of a ReLU lie at the origin, where
    CartPole's observations are (docs/rl.md has DQN's returns with both).
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"mlp: activation must be one of {[*ACTIVATIONS]}, got {activation!r}")
    layers: list[Module] = []
    last = len(sizes) - 2
    for i in range(last + 1):
        linear = Linear(sizes[i], sizes[i + 1])
        if last_gain is not None:
            init.orthogonal_(linear.weight, last_gain if i == last else 2**0.5)
            init.zeros_(linear.bias)
        layers.append(linear)
        if i < last:
            layers.append(ACTIVATIONS[activation]())
    return Sequential(*layers)


@export("rl.QNetwork")
class QNetwork(Module):
    """q(s, ·), (B, A); duelling: q = v + a − mean a (Wang et al. 2016, eq. 9)."""

    def __init__(self, obs: int, actions: int, hidden: Sequence[int], *, duelling: bool = False):
        super().__init__()
        self.duelling = duelling
        if duelling:
            self.trunk = Sequential(mlp([obs, *hidden], activation="relu", last_gain=None), ReLU())
            self.value = mlp([hidden[-1], 1], last_gain=None)
            self.advantage = mlp([hidden[-1], actions], last_gain=None)
        else:
            self.net = mlp([obs, *hidden, actions], activation="relu", last_gain=None)

    def forward(self, x: Tensor) -> Tensor:
        if not self.duelling:
            return self.net(x)
        h = self.trunk(x)
        a = self.advantage(h)
        return self.value(h) + a - a.mean(1, keepdim=True)


@export("rl.Actor")
class Actor(Module):
    """A stochastic policy: logits (B, A) for discrete actions; for continuous ones the mean (B, D)
    of a normal distribution whose log σ is a parameter, the same in all states.
    """

    def __init__(
        self, obs: int, actions: int, hidden: Sequence[int], *, discrete: bool, activation: str
    ):
        super().__init__()
        self.discrete = discrete
        self.net = mlp([obs, *hidden, actions], activation=activation, last_gain=0.01)
        if not discrete:
            self.log_std = Parameter(zeros(actions))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def log_prob(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """log π(a|s) and the entropy, (B,) each, for outputs of the network."""
        if self.discrete:
            return losses.categorical_log_prob(output, action)
        return losses.gaussian_log_prob(output, self.log_std, action)

    def draw(
        self, rng: np.random.Generator, output: np.ndarray, *, greedy: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Actions and their log-probabilities for outputs of the network, arrays both; greedy: the
        most likely actions."""
        if self.discrete:
            return draw_categorical(rng, output, greedy)
        log_std: Any = self.log_std.detach().numpy()
        z = np.zeros_like(output)
        if not greedy:
            z = rng.standard_normal(output.shape, dtype=np.float32)
        log_prob = (-0.5 * z * z - log_std - 0.5 * np.log(2 * np.pi)).sum(-1)
        return output + np.exp(log_std) * z, log_prob


def draw_categorical(
    rng: np.random.Generator, logits: np.ndarray, greedy: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Actions (B,) by the Gumbel trick, and log π(a|s) (B,)."""
    scores = logits
    if not greedy:
        scores = logits - np.log(-np.log(1 - rng.random(logits.shape)))
    action = scores.argmax(1)
    top = logits.max(1, keepdims=True)
    log_sum = np.log(np.exp(logits - top).sum(1)) + top[:, 0]
    return action, logits[np.arange(len(action)), action] - log_sum


@export("rl.SquashedActor")
class SquashedActor(Module):
    """Mean and log σ, (B, D) each, of a normal distribution before tanh (SAC); log σ in [-5, 2]."""

    def __init__(self, obs: int, actions: int, hidden: Sequence[int]):
        super().__init__()
        self.actions = actions
        self.net = mlp([obs, *hidden, 2 * actions], activation="relu", last_gain=None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.net(x)
        mean, spread = y[:, : self.actions], y[:, self.actions :]
        return mean, -5 + 3.5 * (spread.tanh() + 1)


@export("rl.Critic")
class Critic(Module):
    """q(s, a), (B,), for continuous actions."""

    def __init__(self, obs: int, actions: int, hidden: Sequence[int]):
        super().__init__()
        self.net = mlp([obs + actions, *hidden, 1], activation="relu", last_gain=None)

    def forward(self, x: Tensor) -> Tensor:
        """x: observations and actions side by side, (B, D_obs + D_action)."""
        return self.net(x).squeeze(-1)


@export("rl.TwinCritic")
class TwinCritic(Module):
    """Two critics that learn from different weights; their minimum is not too high (TD3, SAC)."""

    def __init__(self, obs: int, actions: int, hidden: Sequence[int]):
        super().__init__()
        self.first = Critic(obs, actions, hidden)
        self.second = Critic(obs, actions, hidden)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)
