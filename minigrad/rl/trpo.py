"""Trust region policy optimisation (Schulman et al. 2015).

    repeat
        run π_old, A_t by GAE
        g = ∇E[ρA] at π_old
        x = F⁻¹g by conjugate gradients, F v = ∇((∇KL(π_old | π))ᵀ v): second derivatives, no matrix
        θ ← θ + s·β x,  β = √(2δ / xᵀFx),  s = 1, ½, ¼, ... until E[ρA] grows and KL ≤ δ
        value: minimise ½ E[(v(s) − G)²] for some epochs

The Fisher-vector products are two walks through the graph: `autograd.grad(..., create_graph=True)`.

Differs from the paper: GAE, and the value network is fitted by Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.engine import grad
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..nn import functional as F
from ..ops.data import from_numpy
from ..ops.join import cat
from ..optim.adam import Adam
from . import losses
from .buffers import Rollout
from .networks import Actor, mlp
from .returns import gae
from .training import Agent, Options, knob


@export("rl.TRPOOptions")
@dataclass
class TRPOOptions(Options):
    """The knobs of TRPO."""

    envs: int = knob(8, "environments stepped together")
    learning_rate: float = knob(1e-3, "of the value network's Adam")
    rollout: int = knob(128, "steps of each environment between updates")
    lam: float = knob(0.95, "λ of the advantages")
    delta: float = knob(0.01, "KL allowed to one step")
    damping: float = knob(0.1, "added to the Fisher matrix")
    iterations: int = knob(10, "of conjugate gradients")
    backtracks: int = knob(10, "halvings of a step")
    epochs: int = knob(10, "of the value network")
    batch: int = knob(256, "samples of its minibatch; must divide envs * rollout")


@export("rl.TRPO")
class TRPO(Agent):
    """Options: TRPOOptions. ValueError if `batch` does not divide envs * rollout."""

    options: TRPOOptions

    def __init__(self, options: TRPOOptions, envs: Any = None) -> None:
        super().__init__(options, envs)
        o, env = options, self.envs
        if (env.n * o.rollout) % o.batch:
            raise ValueError(f"TRPO: batch {o.batch} does not divide {env.n} * {o.rollout}")
        self.actor = Actor(
            env.obs_size, env.action_size, o.hidden, discrete=env.discrete, activation="tanh"
        )
        self.critic = mlp([env.obs_size, *o.hidden, 1])
        self.optimizer = Adam(self.critic.parameters(), lr=o.learning_rate)
        self.parts = {"actor": self.actor, "critic": self.critic, "optimizer": self.optimizer}
        self.weights = list(self.actor.parameters())
        self.policy = self.infer(self._policy, (env.n, env.obs_size))
        self.value = self.infer(lambda x: self.critic(x).squeeze(-1), (env.n, env.obs_size))
        self.fit = self.settle(self._fit, (o.batch, env.obs_size), (o.batch,))

    def _policy(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        return self.actor(obs), self.critic(obs).squeeze(-1)

    def _fit(self, obs: Tensor, target: Tensor) -> Tensor:
        loss = losses.value_loss(self.critic(obs).squeeze(-1), target)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

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
        n = advantage.size
        obs, action = (x.reshape(n, *x.shape[2:]) for x in (roll.obs, roll.action))
        target = (advantage + roll.value).reshape(n)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        self._improve(*[from_numpy(x) for x in (obs, action, advantage.reshape(n))])
        for _ in range(o.epochs):
            order = self.rng.permutation(n)
            for i in range(0, n, o.batch):
                some = order[i : i + o.batch]
                (self.metrics["value_loss"],) = self.fit(obs[some], target[some])
        self.updates += 1

    def _improve(self, obs: Tensor, action: Tensor, advantage: Tensor) -> None:
        """One step of the policy inside the trust region, or none."""
        o = self.options
        with no_grad():
            output = self.actor(obs)
            old = self.actor.log_prob(output, action)[0]
            form = self._form(output)

        def surrogate() -> Tensor:
            return (
                (self.actor.log_prob(self.actor(obs), action)[0] - old).exp() * advantage
            ).mean()

        def divergence() -> Tensor:
            return self._kl(form, self._form(self.actor(obs)))

        g = flat(grad(surrogate(), self.weights))
        slopes = cat([x.reshape(-1) for x in grad(divergence(), self.weights, create_graph=True)])

        def fisher(v: np.ndarray) -> np.ndarray:
            product = (slopes * from_numpy(v)).sum()
            return flat(grad(product, self.weights, retain_graph=True)) + o.damping * v

        x = conjugate_gradient(fisher, g, o.iterations)
        curvature = float(x @ fisher(x))
        if curvature <= 0:
            return
        step = x * np.float32(np.sqrt(2 * o.delta / curvature))
        before = np.concatenate([p._data.ravel() for p in self.weights])
        start = float(surrogate().item())
        for k in range(o.backtracks):
            self._assign(before + step * np.float32(0.5**k))
            with no_grad():
                gain, kl = float(surrogate().item()) - start, float(divergence().item())
            if gain > 0 and kl <= o.delta:
                self.metrics = {"kl": kl, "gain": gain, "backtracks": k}
                return
        self._assign(before)

    def _assign(self, flat: np.ndarray) -> None:
        start = 0
        for p in self.weights:
            n = p.numel()
            p._data[...] = flat[start : start + n].reshape(p._data.shape)
            start += n

    def _form(self, output: Tensor) -> tuple[Tensor, ...]:
        """What the distribution consists of: log-probabilities, or mean and log σ."""
        if self.envs.discrete:
            return (F.log_softmax(output, -1),)
        return output, self.actor.log_std + 0 * output

    def _kl(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...]) -> Tensor:
        if self.envs.discrete:
            return losses.categorical_kl(old[0], new[0])
        return losses.gaussian_kl(*old, *new)


def flat(gradients: Any) -> np.ndarray:
    """Gradients as one vector."""
    return np.concatenate([g.detach().numpy().ravel() for g in gradients])


def conjugate_gradient(
    product: Callable[[np.ndarray], np.ndarray], b: np.ndarray, iterations: int
) -> np.ndarray:
    """x with Ax ≈ b for a positive definite A that is known by its products only."""
    x, r = np.zeros_like(b), b.copy()
    p, rr = r.copy(), float(r @ r)
    for _ in range(iterations):
        if rr < 1e-10:
            break
        Ap = product(p)
        alpha = np.float32(rr / float(p @ Ap))
        x, r = x + alpha * p, r - alpha * Ap
        rr, before = float(r @ r), rr
        p = r + np.float32(rr / before) * p
    return x
