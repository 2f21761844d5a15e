"""Deep Q-learning (Mnih et al. 2015), with the improvements that "Rainbow" (Hessel et al. 2018)
found to matter: double, duelling, n-step, prioritised replay.

    repeat
        act ε-greedily in q(s, ·; θ), store (s, a, r, s')
        draw a batch;  y = r + γ q(s', argmax_a q(s', a; θ); θ')    double: van Hasselt 2016, eq. 4
        minimise  E[(q(s, a; θ) − y)²] / 2                          Zhao, eq. (8.37)
        every C steps θ' ← θ

Differs from the paper: errors are squared, their gradients not cut off at 1, which suits rewards
whose sums are small (docs/rl.md has the returns with both); the target of a state cut off by a time
limit keeps its value; Adam instead of RMSprop, with a falling rate; `train_every` steps are
collected at a time, then `updates` gradient steps made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..optim.adam import Adam
from . import losses
from .buffers import Replay
from .networks import QNetwork
from .training import Agent, Options, knob


@export("rl.DQNOptions")
@dataclass
class DQNOptions(Options):
    """The knobs of DQN; the defaults are near those of RL Baselines3 Zoo for CartPole."""

    total_steps: int = knob(50_000, "steps of all environments together")
    learning_rate: float = knob(2.3e-3, "of Adam")
    anneal: bool = knob(True, "learning rates fall linearly to 0 over the run")
    hidden: list[int] = knob([128, 128], "widths of the hidden layers")
    max_norm: float = knob(10.0, "gradients are scaled down to this norm")
    capacity: int = knob(100_000, "transitions kept")
    batch: int = knob(64, "transitions of a gradient step")
    learning_starts: int = knob(1_000, "steps of random actions first")
    train_every: int = knob(256, "steps of each environment between updates")
    updates: int = knob(128, "gradient steps then")
    target_every: int = knob(256, "steps between copies to the target network")
    epsilon: float = knob(0.04, "share of random actions at the end")
    exploration: float = knob(0.16, "part of the run over which ε falls from 1")
    double: bool = knob(True, "choose by the network, value by the target network")
    duelling: bool = knob(False, "value and advantage streams")
    huber: bool = knob(False, "Huber's loss, linear beyond errors of 1, instead of the square")
    n_step: int = knob(3, "rewards summed before the target")
    priority: float = knob(0.0, "α of prioritised replay; 0 draws uniformly")
    beta: float = knob(0.4, "importance correction at the start; 1 at the end")


@export("rl.DQN")
class DQN(Agent):
    """Options: DQNOptions. TypeError for continuous actions."""

    options: DQNOptions

    def __init__(self, options: DQNOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if not env.discrete:
            raise TypeError(f"DQN: {o.env} has continuous actions: use ddpg, td3 or sac")
        self.net, self.target = (
            QNetwork(env.obs_size, env.action_size, o.hidden, duelling=o.duelling) for _ in range(2)
        )
        self.target.load_state_dict(self.net.state_dict())
        self.optimizer = Adam(self.net.parameters(), lr=o.learning_rate)
        self.replay = Replay(
            o.capacity, env.obs_size, (), np.int64, env.n,
            gamma=o.gamma, n=o.n_step, alpha=o.priority,
        )  # fmt: skip
        self.parts = {"net": self.net, "target": self.target, "optimizer": self.optimizer}
        B, obs = o.batch, env.obs_size
        self.values = self.infer(self.net, (env.n, obs))
        self.learn = self.settle(
            self._learn, (B, obs), ((B,), env.action_size), (B,), (B, obs), (B,), (B,)
        )
        self.parts["replay"] = self.replay

    def _learn(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, discount: Tensor,
        weight: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        with no_grad():
            values = self.target(next_obs)
            by = self.net(next_obs) if self.options.double else values
            y = reward + discount * losses.greedy_values(values, by)
        q = self.net(obs).gather(1, action.unsqueeze(1)).squeeze(1)
        loss = losses.td_loss(q, y, weight, huber=self.options.huber)
        self.optimizer.zero_grad()
        loss.backward()
        losses.clip_gradients(self.net.parameters(), self.options.max_norm)
        self.optimizer.step()
        return loss.detach(), (q - y).detach()

    @property
    def epsilon(self) -> float:
        o = self.options
        share = min(self.steps / max(o.exploration * o.total_steps, 1), 1)
        return 1 + share * (o.epsilon - 1)

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        n, epsilon = len(obs), 0.0 if greedy else self.epsilon
        random = self.rng.random(n) < epsilon if epsilon else np.zeros(n, bool)
        if random.all():
            return self.rng.integers(self.envs.action_size, size=n)
        (q,) = self.values(self.normaliser.obs(obs))
        action = q.argmax(1)
        if random.any():
            action[random] = self.rng.integers(self.envs.action_size, size=random.sum())
        return action

    def iterate(self) -> None:
        o, env = self.options, self.envs
        for _ in range(o.train_every):
            obs = env.obs
            if self.steps < o.learning_starts:
                action = self.rng.integers(env.action_size, size=env.n)
            else:
                action = self.act(obs, greedy=False)
            step = env.step(action)
            self.normaliser.learn(obs, step.reward, step.ends)
            self.replay.add(
                obs, action, step.reward, step.next_obs, step.terminated, step.truncated
            )
            before = self.steps
            self.steps += env.n
            if self.steps // o.target_every > before // o.target_every:
                losses.polyak(self.target.parameters(), self.net.parameters(), 1.0)
        if self.steps >= o.learning_starts and len(self.replay) >= o.batch:
            self._updates()

    def _updates(self) -> None:
        o = self.options
        beta = o.beta + (1 - o.beta) * min(self.steps / o.total_steps, 1)
        for _ in range(o.updates):
            drawn = self.replay.sample(self.rng, o.batch, beta)
            batch = self.normaliser.batch(drawn, o.n_step)
            loss, error = self.learn(*batch[:6])
            self.replay.update(batch.index, error)
            self.updates += 1
        self.metrics = {"loss": loss, "epsilon": self.epsilon}
