"""Proximal policy optimisation (Schulman et al. 2017), clipped or with a KL penalty.

    repeat
        run π_old for T steps in N environments
        A_t by GAE, G_t = A_t + v(s_t)
        for some epochs, for each minibatch:
            maximise  E[min(ρA, clip(ρ, 1 ± ε)A)] (eq. 7)   or   E[ρA] − β KL(π_old | π)  (eq. 8)
            minimise  ½ E[(v(s) − G)²],  maximise the entropy a little
        KL form: β halves if KL < target/1.5, doubles if KL > 1.5 target

Differs from the paper: policy and value are two networks; advantages are normalised per minibatch;
gradients are clipped; an epoch stops early only if `target_kl` is set.
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


@export("rl.PPOOptions")
@dataclass
class PPOOptions(Options):
    """The knobs of PPO."""

    envs: int = knob(8, "environments stepped together")
    learning_rate: float = knob(1e-3, "of Adam")
    gamma: float = knob(0.98, "discount")
    rollout: int = knob(128, "steps of each environment between updates")
    epochs: int = knob(10, "times that each sample is used")
    batch: int = knob(256, "samples of a minibatch; must divide envs * rollout")
    lam: float = knob(0.9, "λ of the advantages")
    clip: float = knob(0.2, "ε: how far the ratio π/π_old is rewarded to go")
    penalty: bool = knob(False, "a KL penalty instead of the clipping")
    target_kl: float = knob(0.0, "stop the epochs beyond this KL; the aim of the penalty")
    entropy: float = knob(0.0, "weight of the entropy")
    value: float = knob(0.5, "weight of the value loss")
    max_norm: float = knob(0.5, "gradients are scaled down to this norm")


@export("rl.PPO")
class PPO(Agent):
    """Options: PPOOptions. ValueError if `batch` does not divide envs * rollout."""

    options: PPOOptions

    def __init__(self, options: PPOOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if (env.n * o.rollout) % o.batch:
            raise ValueError(f"PPO: batch {o.batch} does not divide {env.n} * {o.rollout}")
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=env.discrete, activation="tanh"
        )
        self.critic = mlp([env.obs_size, *o.hidden, 1])
        self.optimizer = Adam(
            [*self.actor.parameters(), *self.critic.parameters()], lr=o.learning_rate, eps=1e-5
        )
        self.beta = np.ones(1, np.float32)
        self.parts = {
            "actor": self.actor, "critic": self.critic, "optimizer": self.optimizer,
            "penalty": Penalty(self.beta),
        }  # fmt: skip
        B, obs = o.batch, env.obs_size
        self.policy = self.infer(self._policy, (env.n, obs))
        self.value = self.infer(lambda x: self.critic(x).squeeze(-1), (env.n, obs))
        self.learn = self.settle(self._learn, (B, obs), env.action_shape(B), (B,), (B,), (B,), (1,))

    def _policy(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(obs), self.critic(obs).squeeze(-1)

    def _learn(
        self, obs: Tensor, action: Tensor, old: Tensor, advantage: Tensor, target: Tensor,
        beta: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        o = self.options
        log_prob, entropy = self.actor.log_prob(self.actor(obs), action)
        if o.penalty:
            policy = losses.ppo_kl_loss(log_prob, old, advantage, beta.mean())
        else:
            policy = losses.ppo_clip_loss(log_prob, old, advantage, o.clip)
        value = losses.value_loss(self.critic(obs).squeeze(-1), target)
        loss = policy + o.value * value - o.entropy * entropy.mean()
        self.optimizer.zero_grad()
        loss.backward()
        losses.clip_gradients(self.optimizer.param_groups[0]["params"], o.max_norm)
        self.optimizer.step()
        kl = losses.approximate_kl(log_prob, old)
        return policy.detach(), value.detach(), entropy.mean().detach(), kl.detach()

    def act(self, obs: np.ndarray, *, greedy: bool = True) -> np.ndarray:
        output, _ = self.policy(self.normaliser.obs(obs))
        return self.actor.draw(self.rng, output, greedy=greedy)[0]

    def iterate(self) -> None:
        o, env = self.options, self.envs
        roll = Rollout(o.rollout, env.n, env.obs_size, *env.action_form)
        for _ in range(o.rollout):
            obs = self.normaliser.obs(env.obs, learn=True)
            output, value = self.policy(obs)
            action, log_prob = self.actor.draw(self.rng, output)
            step = env.step(action)
            roll.add(
                obs=obs, action=action, log_prob=log_prob, value=value,
                reward=self.normaliser.reward(step.reward, step.ends),
                next_obs=self.normaliser.obs(step.next_obs),
                terminated=step.terminated, ends=step.ends,
            )  # fmt: skip
        self.steps += o.rollout * env.n
        (last,) = self.value(self.normaliser.obs(env.obs))
        next_values = roll.next_values(last, lambda x: self.value(x)[0])
        advantage = gae(roll.reward, roll.ends, roll.value, next_values, o.gamma, o.lam)
        self._epochs(roll, advantage, advantage + roll.value)

    def _epochs(self, roll: Rollout, advantage: np.ndarray, target: np.ndarray) -> None:
        o, n = self.options, roll.reward.size
        flat = [x.reshape(n, *x.shape[2:]) for x in (roll.obs, roll.action, roll.log_prob)]
        flat += [advantage.reshape(n), target.reshape(n)]
        for _ in range(o.epochs):
            order = self.rng.permutation(n)
            for start in range(0, n, o.batch):
                obs, action, old, a, g = (x[order[start : start + o.batch]] for x in flat)
                a = (a - a.mean()) / (a.std() + 1e-8)
                policy, value, entropy, kl = self.learn(obs, action, old, a, g, self.beta)
                self.updates += 1
            if o.target_kl and not o.penalty and kl > o.target_kl:
                break
        if o.penalty:
            aim = o.target_kl or 0.01
            self.beta *= 0.5 if kl < aim / 1.5 else 2.0 if kl > 1.5 * aim else 1.0
        self.metrics = {
            "policy_loss": policy, "value_loss": value, "entropy": entropy, "kl": kl
        }  # fmt: skip


class Penalty:
    """β of the KL form, as a part of the checkpoint."""

    def __init__(self, beta: np.ndarray) -> None:
        self.beta = beta

    def state_dict(self) -> dict[str, Any]:
        return {"beta": self.beta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.beta[...] = np.asarray(state["beta"])
