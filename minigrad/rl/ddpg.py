"""Deep deterministic policy gradient (Lillicrap et al. 2016; Zhao, Algorithm 10.4).

    repeat
        a = μ(s) + noise, store (s, a, r, s')
        draw a batch;  y = r + γ q'(s', μ'(s'))
        critic   minimise E[(q(s, a) − y)²] / 2
        actor    maximise E[q(s, μ(s))]:  ∇_θ μ(s) ∇_a q(s, a)|_{a = μ(s)}   DPG theorem, (10.14)
        θ' ← (1 − τ) θ' + τ θ for both targets

Differs from the paper: Gaussian noise instead of an Ornstein-Uhlenbeck process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..nn.containers import Sequential
from ..nn.layers.activation import Tanh
from ..ops.join import cat
from ..optim.adam import Adam
from . import losses
from .buffers import Replay
from .networks import Critic, frozen, mlp
from .training import Agent, Options, knob


@export("rl.DDPGOptions")
@dataclass
class DDPGOptions(Options):
    """The knobs of DDPG."""

    env: str = knob("Pendulum-v1", "a name known to gymnasium")
    total_steps: int = knob(20_000, "steps of all environments together")
    learning_rate: float = knob(1e-3, "of Adam, actor and critic")
    hidden: list[int] = knob([64, 64], "widths of the hidden layers")
    capacity: int = knob(100_000, "transitions kept")
    batch: int = knob(128, "transitions of a gradient step")
    learning_starts: int = knob(500, "steps of random actions first")
    noise: float = knob(0.1, "deviation of the noise on actions, which lie in [-1, 1]")
    tau: float = knob(0.005, "how far the targets move at each update")


@export("rl.DDPG")
class DDPG(Agent):
    """Options: DDPGOptions. TypeError for discrete actions."""

    options: DDPGOptions

    def __init__(self, options: DDPGOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if env.discrete:
            raise TypeError(f"DDPG: {o.env} has discrete actions: use dqn or ppo")
        sizes = [env.obs_size, *o.hidden, env.action_size]
        self.actor, self.actor_target = (
            Sequential(mlp(sizes, activation="relu", last_gain=None), Tanh()) for _ in range(2)
        )
        self.critic, self.critic_target = (
            Critic(env.obs_size, env.action_size, o.hidden) for _ in range(2)
        )
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.optimizer = Adam(self.actor.parameters(), lr=o.learning_rate)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=o.learning_rate)
        self.replay = Replay(o.capacity, env.obs_size, *env.action_form, env.n, gamma=o.gamma)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "actor_target": self.actor_target,
            "critic_target": self.critic_target, "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer,
        }  # fmt: skip
        B, obs, a = o.batch, env.obs_size, env.action_size
        self.policy = self.infer(self.actor, (env.n, obs))
        self.learn_critic = self.settle(self._learn_critic, (B, obs), (B, a), (B,), (B, obs), (B,))
        self.learn_actor = self.settle(self._learn_actor, (B, obs))
        self.track = self.settle(self._track)
        self.parts["replay"] = self.replay

    def _learn_critic(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, discount: Tensor
    ) -> Tensor:
        with no_grad():
            after = cat([next_obs, self.actor_target(next_obs)], 1)
            target = reward + discount * self.critic_target(after)
        loss = losses.value_loss(self.critic(cat([obs, action], 1)), target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    def _learn_actor(self, obs: Tensor) -> Tensor:
        with frozen(self.critic):
            loss = -self.critic(cat([obs, self.actor(obs)], 1)).mean()
            self.optimizer.zero_grad()
            loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _track(self) -> tuple[()]:
        tau = self.options.tau
        losses.polyak(self.actor_target.parameters(), self.actor.parameters(), tau)
        losses.polyak(self.critic_target.parameters(), self.critic.parameters(), tau)
        return ()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        (action,) = self.policy(self.normaliser.obs(obs))
        if not greedy:
            noise = self.options.noise * self.rng.standard_normal(action.shape, np.float32)
            action = np.clip(action + noise, -1, 1)
        return action

    def iterate(self) -> None:
        o, env = self.options, self.envs
        obs = env.obs
        if self.steps < o.learning_starts:
            action = self.rng.uniform(-1, 1, (env.n, env.action_size)).astype(np.float32)
        else:
            action = self.act(obs, greedy=False)
        step = env.step(action)
        self.normaliser.learn(obs, step.reward, step.ends)
        self.replay.add(obs, action, step.reward, step.next_obs, step.terminated, step.truncated)
        self.steps += env.n
        if self.steps >= max(o.learning_starts, o.batch):
            batch = self.normaliser.batch(self.replay.sample(self.rng, o.batch))
            (self.metrics["critic_loss"],) = self.learn_critic(*batch[:5])
            (self.metrics["actor_loss"],) = self.learn_actor(batch.obs)
            self.track()
            self.updates += 1
