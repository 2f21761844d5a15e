"""Advantage actor-critic, synchronous (Mnih et al. 2016; Zhao, Algorithm 10.2), with GAE.

    repeat
        run π for T steps in N environments
        A_t by GAE (λ = 1: n-step returns less v; λ = 0: the TD error δ_t)
        one step on   −E[log π(a|s) A] + c_v ½ E[(v(s) − G)²] − c_e E[entropy]

Differs from the paper: no asynchronous workers, Adam instead of RMSprop, policy and value are two
networks. Advantages may be normalised; but where nothing is left to learn, that makes noise as
large as any advantage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.tensor import Tensor
from ..export import export
from ..optim.adam import Adam
from . import losses
from .buffers import Rollout
from .networks import Actor, mlp
from .returns import gae
from .training import Agent, Options, knob


@export("rl.A2COptions")
@dataclass
class A2COptions(Options):
    """The knobs of A2C."""

    total_steps: int = knob(200_000, "steps of all environments together")
    envs: int = knob(8, "environments stepped together")
    learning_rate: float = knob(2e-3, "of Adam")
    anneal: bool = knob(True, "learning rates fall linearly to 0 over the run")
    normalise_obs: bool = knob(True, "observations to mean 0 and variance 1")
    normalise_reward: bool = knob(True, "rewards divided by the deviation of the return")
    rollout: int = knob(16, "steps of each environment between updates")
    lam: float = knob(0.95, "λ of the advantages")
    normalise_advantage: bool = knob(False, "advantages to mean 0 and deviation 1")
    entropy: float = knob(0.0, "weight of the entropy")
    value: float = knob(0.5, "weight of the value loss")
    max_norm: float = knob(0.5, "gradients are scaled down to this norm")


@export("rl.A2C")
class A2C(Agent):
    """Options: A2COptions."""

    options: A2COptions

    def __init__(self, options: A2COptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=env.discrete, activation="tanh"
        )
        self.critic = mlp([env.obs_size, *o.hidden, 1])
        self.optimizer = Adam(
            [*self.actor.parameters(), *self.critic.parameters()], lr=o.learning_rate, eps=1e-5
        )
        self.parts = {"actor": self.actor, "critic": self.critic, "optimizer": self.optimizer}
        B, obs = env.n * o.rollout, env.obs_size
        self.policy = self.infer(self._policy, (env.n, obs))
        self.value = self.infer(lambda x: self.critic(x).squeeze(-1), (env.n, obs))
        self.learn = self.settle(self._learn, (B, obs), env.action_shape(B), (B,), (B,))

    def _policy(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(obs), self.critic(obs).squeeze(-1)

    def _learn(
        self, obs: Tensor, action: Tensor, advantage: Tensor, target: Tensor
    ) -> tuple[Tensor, ...]:
        o = self.options
        log_prob, entropy = self.actor.log_prob(self.actor(obs), action)
        policy = losses.policy_gradient_loss(log_prob, advantage)
        value = losses.value_loss(self.critic(obs).squeeze(-1), target)
        loss = policy + o.value * value - o.entropy * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        losses.clip_gradients(self.optimizer.param_groups[0]["params"], o.max_norm)
        self.optimizer.step()
        return policy.detach(), value.detach(), entropy.mean().detach()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        output, _ = self.policy(self.normaliser.obs(obs))
        return self.actor.draw(self.rng, output, greedy=greedy)[0]

    def iterate(self) -> None:
        o, env = self.options, self.envs
        roll = Rollout(o.rollout, env.n, env.obs_size, *env.action_form)
        for _ in range(o.rollout):
            obs = self.normaliser.obs(env.obs, learn=True)
            output, value = self.policy(obs)
            action, _ = self.actor.draw(self.rng, output)
            step = env.step(action)
            roll.add(
                obs=obs, action=action, value=value,
                reward=self.normaliser.reward(step.reward, step.ends),
                next_obs=self.normaliser.obs(step.next_obs),
                terminated=step.terminated, ends=step.ends,
            )  # fmt: skip
        self.steps += o.rollout * env.n
        (last,) = self.value(self.normaliser.obs(env.obs))
        next_values = roll.next_values(last, lambda x: self.value(x)[0])
        advantage = gae(roll.reward, roll.ends, roll.value, next_values, o.gamma, o.lam)
        target = advantage + roll.value
        if o.normalise_advantage:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        n = advantage.size
        flat = (x.reshape(n, *x.shape[2:]) for x in (roll.obs, roll.action, advantage, target))
        policy, value, entropy = self.learn(*flat)
        self.updates += 1
        self.metrics = {"policy_loss": policy, "value_loss": value, "entropy": entropy}
