"""Off-policy actor-critic (Degris et al. 2012; Zhao, Algorithm 10.3): importance sampling at work.

    for each step a ~ β(·|s), with ρ = π(a|s)/β(a|s) and δ = r + γ v(s') − v(s):
        actor    θ ← θ + α_θ ρ δ ∇log π(a|s)
        critic   w ← w + α_w ρ δ ∇v(s)

β mixes π with the uniform policy: β = (1 − ε) π + ε/|A|, so that ρ ≤ 1/(1 − ε) for ε < 1; ε = 1 is
the book's fixed behaviour.

Differs from the book: a step is taken in several environments at once, and their mean is one
gradient step, of Adam; ρ is cut off at `most` (Munos et al. 2016), which bounds the variance.
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
from .networks import Actor, draw_categorical, mlp
from .training import Agent, Options, knob


@export("rl.OffPolicyACOptions")
@dataclass
class OffPolicyACOptions(Options):
    """The knobs of the off-policy actor-critic."""

    total_steps: int = knob(200_000, "steps of all environments together")
    envs: int = knob(16, "environments stepped together")
    critic_rate: float = knob(1e-3, "of the critic's Adam")
    epsilon: float = knob(0.1, "share of uniform actions in the behaviour")
    most: float = knob(2.0, "importance ratios are cut off here")
    entropy: float = knob(0.01, "weight of the entropy")
    max_norm: float = knob(0.5, "gradients are scaled down to this norm")


@export("rl.OffPolicyAC")
class OffPolicyAC(Agent):
    """Options: OffPolicyACOptions. TypeError for continuous actions."""

    options: OffPolicyACOptions

    def __init__(self, options: OffPolicyACOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if not env.discrete:
            raise TypeError(f"OffPolicyAC: {o.env} has continuous actions: use ddpg, td3 or sac")
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=True, activation="tanh"
        )
        self.critic = mlp([env.obs_size, *o.hidden, 1])
        self.optimizer = Adam(self.actor.parameters(), lr=o.learning_rate)
        self.critic_optimizer = Adam(self.critic.parameters(), lr=o.critic_rate)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "optimizer": self.optimizer,
            "critic_optimizer": self.critic_optimizer,
        }  # fmt: skip
        B, obs, a = env.n, env.obs_size, env.action_shape(env.n)
        self.policy = self.infer(self.actor, (B, obs))
        self.learn = self.settle(self._learn, (B, obs), a, (B,), (B,), (B, obs), (B,))

    def _learn(
        self, obs: Tensor, action: Tensor, ratio: Tensor, reward: Tensor, next_obs: Tensor,
        discount: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        o = self.options
        with no_grad():
            target = reward + discount * self.critic(next_obs).squeeze(-1)
        value = self.critic(obs).squeeze(-1)
        error = target - value
        critic = 0.5 * (ratio * error * error).mean()
        log_prob, entropy = losses.categorical_log_prob(self.actor(obs), action)
        actor = losses.policy_gradient_loss(log_prob, ratio * error.detach())
        actor = actor - o.entropy * entropy.mean()
        for optimizer, loss in ((self.optimizer, actor), (self.critic_optimizer, critic)):
            optimizer.zero_grad()
            loss.backward()
            losses.clip_gradients(optimizer.param_groups[0]["params"], o.max_norm)
            optimizer.step()
        return critic.detach(), entropy.mean().detach()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        (logits,) = self.policy(self.normaliser.obs(obs))
        return draw_categorical(self.rng, logits, greedy)[0]

    def behave(self, obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions of β and their ratios π/β."""
        o = self.options
        (logits,) = self.policy(obs)
        action, log_pi = draw_categorical(self.rng, logits)
        uniform = self.rng.random(len(action)) < o.epsilon
        action = np.where(
            uniform, self.rng.integers(self.envs.action_size, size=len(action)), action
        )
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        pi = (shifted / shifted.sum(1, keepdims=True))[np.arange(len(action)), action]
        beta = (1 - o.epsilon) * pi + o.epsilon / self.envs.action_size
        return action, np.minimum(pi / beta, o.most).astype(np.float32)

    def iterate(self) -> None:
        o, env = self.options, self.envs
        for _ in range(16):
            obs = self.normaliser.obs(env.obs, learn=True)
            action, ratio = self.behave(obs)
            step = env.step(action)
            self.steps += env.n
            reward = self.normaliser.reward(step.reward, step.ends)
            discount = (o.gamma * ~step.terminated).astype(np.float32)
            critic, entropy = self.learn(
                obs, action, ratio, reward, self.normaliser.obs(step.next_obs), discount
            )
            self.updates += 1
        self.metrics = {"critic_loss": critic, "entropy": entropy}
