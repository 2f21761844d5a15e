"""REINFORCE (Williams 1992; Zhao, Algorithm 9.1), with or without a baseline.

    repeat
        play until `episodes` episodes have ended, following π
        G_t = r_{t+1} + γ r_{t+2} + ...
        θ ← θ + α E[∇log π(a_t|s_t) (G_t − b(s_t))]

b = 0, or a value network fitted to the returns (eq. 10.7: a baseline changes the variance of the
gradient, not its mean).

Differs from the book: several episodes make one step, a mean over their samples; Adam; returns less
the baseline may be normalised. Batches are padded to a full size with weight 0, so that one
captured step serves them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..export import export
from ..optim.adam import Adam
from . import losses
from .networks import Actor, mlp
from .returns import discounted_returns
from .training import Agent, Options, knob

PIECE = 256  # samples of one captured step


@export("rl.REINFORCEOptions")
@dataclass
class REINFORCEOptions(Options):
    """The knobs of REINFORCE."""

    total_steps: int = knob(300_000, "steps of all environments together")
    learning_rate: float = knob(2e-3, "of Adam")
    episodes: int = knob(8, "episodes of a gradient step")
    baseline: bool = knob(True, "subtract a learned value from the returns")
    normalise: bool = knob(True, "weights to deviation 1")
    max_norm: float = knob(0.5, "gradients are scaled down to this norm")


@export("rl.REINFORCE")
class REINFORCE(Agent):
    """Options: REINFORCEOptions. ValueError with more than one environment."""

    options: REINFORCEOptions

    def __init__(self, options: REINFORCEOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if env.n != 1:
            raise ValueError(f"REINFORCE: one environment, whole episodes; got {env.n}")
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=env.discrete, activation="tanh"
        )
        self.critic = mlp([env.obs_size, *o.hidden, 1])
        self.optimizer = Adam(self.actor.parameters(), lr=o.learning_rate)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=o.learning_rate)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer,
        }  # fmt: skip
        # a step without gradients makes the state of Adam; settling puts it back to zero
        weights = sum(p.numel() for p in self.actor.parameters())
        losses.assign_gradient(self.actor.parameters(), np.zeros(weights, np.float32))
        self.optimizer.step()
        B, obs = PIECE, env.obs_size
        self.policy = self.infer(self.actor, (1, obs))
        self.value = self.infer(lambda x: self.critic(x).squeeze(-1), (B, obs))
        self.gradient = self.settle(self._gradient, (B, obs), env.action_shape(B), (B,))
        self.fit = self.settle(self._fit, (B, obs), (B,), (B,))

    def _gradient(self, obs: Tensor, action: Tensor, weight: Tensor) -> Tensor:
        """The gradient of −Σ log π(a|s) w over a piece, as one long vector."""
        log_prob, _ = self.actor.log_prob(self.actor(obs), action)
        loss = -(log_prob * weight).sum()
        self.optimizer.zero_grad()
        loss.backward()
        return losses.flat_gradient(self.actor.parameters())

    def _fit(self, obs: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """One step of the value network on a piece."""
        error = self.critic(obs).squeeze(-1) - target
        loss = 0.5 * (weight * error * error).sum() / weight.sum()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        (output,) = self.policy(self.normaliser.obs(obs))
        return self.actor.draw(self.rng, output, greedy=greedy)[0]

    def iterate(self) -> None:
        o = self.options
        rows: list[tuple[Any, ...]] = []
        returns: list[np.ndarray] = []
        for _ in range(o.episodes):
            episode = self._episode()
            rewards = np.array([r for _, _, r in episode], np.float32)[:, None]
            ends = np.zeros(rewards.shape, bool)
            returns.append(discounted_returns(rewards, ends, 0 * rewards, o.gamma)[:, 0])
            rows += episode
        obs, action = (np.stack([row[k] for row in rows]) for k in (0, 1))
        target = np.concatenate(returns)
        weight = target
        if o.baseline:
            values = [self.value(x)[0] for x, _ in _pieces(obs)]
            weight = target - np.concatenate(values)[: len(obs)]
        if o.normalise:
            weight = (weight - weight.mean() * o.baseline) / (weight.std() + 1e-8)
        self._step(obs, action, weight)
        if o.baseline:
            for (x, mask), (g, _) in zip(_pieces(obs), _pieces(target), strict=True):
                (loss,) = self.fit(x, g, mask)
            self.metrics["value_loss"] = float(loss)
        self.updates += 1

    def _episode(self) -> list[tuple[Any, Any, float]]:
        """(obs, action, reward) of every step from the last reset to the next."""
        rows = []
        while True:
            obs = self.normaliser.obs(self.envs.obs, learn=True)
            (output,) = self.policy(obs)
            action, _ = self.actor.draw(self.rng, output)
            step = self.envs.step(action)
            reward = self.normaliser.reward(step.reward, step.ends)
            rows.append((obs[0].copy(), action[0], float(reward[0])))
            self.steps += 1
            if step.ends[0]:
                return rows

    def _step(self, obs: np.ndarray, action: np.ndarray, weight: np.ndarray) -> None:
        total: Any = 0
        for (x, _), (a, _), (w, _) in zip(
            _pieces(obs), _pieces(action), _pieces(weight), strict=True
        ):
            total = total + self.gradient(x, a, w)[0]
        losses.assign_gradient(self.actor.parameters(), total / len(obs), self.options.max_norm)
        self.optimizer.step()


def _pieces(x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """x in pieces of the captured size, the last one filled with zeros, and masks of what is
    real.
    """
    n = -len(x) % PIECE
    mask = np.concatenate([np.ones(len(x), np.float32), np.zeros(n, np.float32)])
    if x.dtype == np.float64:
        x = x.astype(np.float32)
    x = np.concatenate([x, np.zeros((n, *x.shape[1:]), x.dtype)])
    return [(x[i : i + PIECE], mask[i : i + PIECE]) for i in range(0, len(x), PIECE)]
