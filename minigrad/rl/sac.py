"""Soft actor-critic (Haarnoja et al. 2018), with a temperature that adapts itself.

    a' ~ π(·|s');  y = r + γ (min(q₁', q₂')(s', a') − α log π(a'|s'))            eq. 3, 8
    critics      minimise E[(q_i(s, a) − y)²] / 2
    actor        minimise E[α log π(a|s) − min(q₁, q₂)(s, a)],  a = tanh(μ + σε)  eq. 7
    temperature  minimise E[−log α (log π(a|s) + H)],  H = −dim(A)               eq. 18

Differs from the paper: no separate value network, as in its second version (arXiv 1812.05905),
whose numbers the equations have; the temperature's loss is on log α.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..ops.clamping import minimum
from ..ops.filled import zeros
from ..ops.join import cat
from ..optim.adam import Adam
from . import losses
from .buffers import Replay
from .networks import SquashedActor, TwinCritic, frozen
from .training import Agent, Options, knob


@export("rl.SACOptions")
@dataclass
class SACOptions(Options):
    """The knobs of SAC."""

    env: str = knob("Pendulum-v1", "a name known to gymnasium")
    total_steps: int = knob(20_000, "steps of all environments together")
    learning_rate: float = knob(1e-3, "of Adam, actor, critics and temperature")
    hidden: list[int] = knob([64, 64], "widths of the hidden layers")
    capacity: int = knob(100_000, "transitions kept")
    batch: int = knob(128, "transitions of a gradient step")
    learning_starts: int = knob(500, "steps of random actions first")
    tau: float = knob(0.005, "how far the targets move at each update")


class Temperature(Module):
    """log α, a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.log_alpha = Parameter(zeros(1))


@export("rl.SAC")
class SAC(Agent):
    """Options: SACOptions. TypeError for discrete actions."""

    options: SACOptions

    def __init__(self, options: SACOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if env.discrete:
            raise TypeError(f"SAC: {o.env} has discrete actions: use dqn or ppo")
        self.actor = SquashedActor(env.obs_size, env.action_size, o.hidden)
        self.critic, self.critic_target = (
            TwinCritic(env.obs_size, env.action_size, o.hidden) for _ in range(2)
        )
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.temperature = Temperature()
        self.optimizer = Adam(self.actor.parameters(), lr=o.learning_rate)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=o.learning_rate)
        self.alpha_optimizer = Adam(self.temperature.parameters(), lr=o.learning_rate)
        self.replay = Replay(o.capacity, env.obs_size, *env.action_form, env.n, gamma=o.gamma)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "critic_target": self.critic_target,
            "temperature": self.temperature, "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer, "alpha_optimizer": self.alpha_optimizer,
        }  # fmt: skip
        B, obs, a = o.batch, env.obs_size, env.action_size
        self.policy = self.infer(self.actor, (env.n, obs))
        self.learn_critic = self.settle(
            self._learn_critic, (B, obs), (B, a), (B,), (B, obs), (B,), (B, a), (1,)
        )
        self.learn_actor = self.settle(self._learn_actor, (B, obs), (B, a), (1,))
        self.track = self.settle(self._track)
        self.parts["replay"] = self.replay

    @property
    def alpha(self) -> np.ndarray:
        """The temperature, (1,)."""
        return np.exp(self.temperature.log_alpha.detach().numpy())

    def _learn_critic(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, discount: Tensor,
        noise: Tensor, alpha: Tensor,
    ) -> Tensor:  # fmt: skip
        with no_grad():
            after, log_after = losses.squashed_sample(*self.actor(next_obs), noise)
            q = minimum(*self.critic_target(cat([next_obs, after], 1)))
            target = reward + discount * (q - alpha * log_after)
        q1, q2 = self.critic(cat([obs, action], 1))
        loss = losses.value_loss(q1, target) + losses.value_loss(q2, target)
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    def _learn_actor(self, obs: Tensor, noise: Tensor, alpha: Tensor) -> tuple[Tensor, ...]:
        with frozen(self.critic):
            action, log_prob = losses.squashed_sample(*self.actor(obs), noise)
            actor = (alpha * log_prob - minimum(*self.critic(cat([obs, action], 1)))).mean()
            self.optimizer.zero_grad()
            actor.backward()
        self.optimizer.step()
        aim = -float(self.envs.action_size)
        temperature = -(self.temperature.log_alpha * (log_prob.detach() + aim)).mean()
        self.alpha_optimizer.zero_grad()
        temperature.backward()
        self.alpha_optimizer.step()
        return actor.detach(), log_prob.detach().mean()

    def _track(self) -> tuple[()]:
        losses.polyak(self.critic_target.parameters(), self.critic.parameters(), self.options.tau)
        return ()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        mean, log_std = self.policy(self.normaliser.obs(obs))
        if greedy:
            return np.tanh(mean)
        return np.tanh(mean + np.exp(log_std) * self.rng.standard_normal(mean.shape, np.float32))

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
            noises = self.rng.standard_normal((2, *batch.action.shape), np.float32)
            (critic,) = self.learn_critic(*batch[:5], noises[0], self.alpha)
            actor, log_prob = self.learn_actor(batch.obs, noises[1], self.alpha)
            self.track()
            self.updates += 1
            self.metrics = {
                "actor_loss": actor, "critic_loss": critic, "log_prob": log_prob,
                "alpha": self.alpha[0],
            }  # fmt: skip
