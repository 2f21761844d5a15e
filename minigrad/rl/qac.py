"""QAC, the simplest actor-critic (Zhao, Algorithm 10.1): a policy and q, both by one step.

    for each step s, a, r, s', a':
        actor    θ ← θ + α_θ ∇log π(a|s) q(s, a)
        critic   w ← w + α_w (r + γ q(s', a') − q(s, a)) ∇q(s, a)            Sarsa

Differs from the book: a step is taken in several environments at once, and their mean is one
gradient step, of Adam; `baseline` subtracts v(s) = Σ π(a|s) q(s, a), which leaves the mean of the
gradient as it is (section 10.2.1). Without it q is large and of one sign, and the policy learns
slowly or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..nn import functional as F
from ..optim.adam import Adam
from . import losses
from .networks import Actor, QNetwork, draw_categorical
from .training import Agent, Options, knob


@export("rl.QACOptions")
@dataclass
class QACOptions(Options):
    """The knobs of QAC."""

    total_steps: int = knob(200_000, "steps of all environments together")
    envs: int = knob(16, "environments stepped together")
    learning_rate: float = knob(1e-4, "of the actor's Adam")
    critic_rate: float = knob(3e-3, "of the critic's Adam")
    baseline: bool = knob(True, "subtract the mean of q under π")
    entropy: float = knob(0.1, "weight of the entropy")
    max_norm: float = knob(0.5, "gradients are scaled down to this norm")


@export("rl.QAC")
class QAC(Agent):
    """Options: QACOptions. TypeError for continuous actions."""

    options: QACOptions

    def __init__(self, options: QACOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if not env.discrete:
            raise TypeError(f"QAC: {o.env} has continuous actions: use a2c, ppo or ddpg")
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=True, activation="tanh"
        )
        self.critic = QNetwork(env.obs_size, env.action_size, o.hidden)
        self.optimizer = Adam(self.actor.parameters(), lr=o.learning_rate)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=o.critic_rate)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer,
        }  # fmt: skip
        B, obs, a = env.n, env.obs_size, env.action_shape(env.n)
        self.policy = self.infer(self.actor, (B, obs))
        self.learn = self.settle(self._learn, (B, obs), a, (B,), (B, obs), a, (B,))

    def _learn(
        self, obs: Tensor, action: Tensor, reward: Tensor, next_obs: Tensor, next_action: Tensor,
        discount: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        o = self.options
        with no_grad():
            after = self.critic(next_obs).gather(1, next_action.unsqueeze(1)).squeeze(1)
            target = reward + discount * after
        values = self.critic(obs)
        q = values.gather(1, action.unsqueeze(1)).squeeze(1)
        critic = losses.value_loss(q, target)
        logits = self.actor(obs)
        log_prob, entropy = losses.categorical_log_prob(logits, action)
        weight = q.detach()
        if o.baseline:
            weight = weight - (F.softmax(logits, -1).detach() * values.detach()).sum(1)
        actor = losses.policy_gradient_loss(log_prob, weight) - o.entropy * entropy.mean()
        for optimizer, loss in ((self.optimizer, actor), (self.critic_optimizer, critic)):
            optimizer.zero_grad()
            loss.backward()
            losses.clip_gradients(optimizer.param_groups[0]["params"], o.max_norm)
            optimizer.step()
        return critic.detach(), entropy.mean().detach()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        (logits,) = self.policy(self.normaliser.obs(obs))
        return draw_categorical(self.rng, logits, greedy)[0]

    def iterate(self) -> None:
        o, env = self.options, self.envs
        for _ in range(16):
            obs = self.normaliser.obs(env.obs, learn=True)
            action = self.act(env.obs, greedy=False)
            step = env.step(action)
            self.steps += env.n
            reward = self.normaliser.reward(step.reward, step.ends)
            discount = (o.gamma * ~step.terminated).astype(np.float32)
            after = self.act(step.next_obs, greedy=False)
            critic, entropy = self.learn(
                obs, action, reward, self.normaliser.obs(step.next_obs), after, discount
            )
            self.updates += 1
        self.metrics = {"critic_loss": critic, "entropy": entropy}
