"""Several environments stepped together, made of gymnasium's single ones.

    envs = Envs("CartPole-v1", 8, seed=1)
    obs = envs.reset()                       # (8, 4) float32
    step = envs.step(actions)                # step.obs is of the new episode where one ended,
                                             # step.next_obs of the old one: its last state

Two things differ from gymnasium's vector environments: an environment that ends is reset in the
same step, and the state can be saved. gymnasium's environments have no common way to save theirs,
but one that draws all randomness from `np_random` can be replayed: a checkpoint holds the
generator's state before the last reset and the actions since.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from ..export import export
from .buffers import Batch
from .stochastic import RunningMoments

ndarray = np.ndarray


class Step(NamedTuple):
    """What one step of N environments gave; obs and next_obs (N, D) float32, the rest (N,)."""

    obs: ndarray
    next_obs: ndarray
    reward: ndarray
    terminated: ndarray
    truncated: ndarray

    @property
    def ends(self) -> ndarray:
        return self.terminated | self.truncated


@export("rl.Envs")
class Envs:
    """N copies of an environment with a discrete or box action space.

    Args:
        env: a name known to gymnasium, or a function that makes an environment.
        seed: environment i is seeded with seed + i.
        options: keyword arguments of `gymnasium.make`.

    Observations are flattened to float32; a discrete one becomes one-hot. Box actions are given in
    [-1, 1] and stretched to the bounds of the space. TypeError for other action spaces.
    """

    def __init__(
        self,
        env: str | Callable[[], Any],
        n: int = 1,
        *,
        seed: int = 0,
        options: dict[str, Any] | None = None,
    ) -> None:
        if n < 1:
            raise ValueError(f"Envs: n must be at least 1, got {n}")
        if callable(env):
            self.envs = [env() for _ in range(n)]
        else:
            make = gymnasium.make
            self.envs = [make(env, disable_env_checker=True, **(options or {})) for _ in range(n)]
        space, actions = self.envs[0].observation_space, self.envs[0].action_space
        self.n, self.seed = n, seed
        self.one_hot = isinstance(space, gymnasium.spaces.Discrete)
        self.obs_size = int(gymnasium.spaces.flatdim(space))
        self.discrete = isinstance(actions, gymnasium.spaces.Discrete)
        if self.discrete:
            self.action_size = int(actions.n)
        elif isinstance(actions, gymnasium.spaces.Box) and actions.is_bounded():
            self.action_size = int(np.prod(actions.shape))
            self.low, self.high = actions.low, actions.high
        else:
            raise TypeError(f"Envs: expected discrete or bounded box actions, got {actions}")
        self.obs = np.zeros((n, self.obs_size), np.float32)
        self.returns, self.lengths = np.zeros(n), np.zeros(n, np.int64)
        self.finished: list[tuple[float, int]] = []  # return, length; whoever reads them clears
        self.journal: list[list[Any]] = [[] for _ in range(n)]
        self.before: list[Any] = [None] * n

    @property
    def action_form(self) -> tuple[tuple[int, ...], Any]:
        """Shape and type of one action."""
        return ((), np.int64) if self.discrete else ((self.action_size,), np.float32)

    def action_shape(self, batch: int) -> Any:
        """Of a batch of actions, as `Agent.settle` takes it."""
        if self.discrete:
            return (batch,), self.action_size
        return batch, self.action_size

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def reset(self) -> ndarray:
        """Seed and start all environments: obs (N, D)."""
        for i, env in enumerate(self.envs):
            env.reset(seed=self.seed + i)
            self.obs[i] = self._restart(i)
        return self.obs.copy()

    def _restart(self, i: int) -> Any:
        """A new episode; what came before is forgotten, but for the generator's state."""
        env = self.envs[i]
        self.before[i] = env.unwrapped.np_random.bit_generator.state
        self.journal[i] = []
        self.returns[i], self.lengths[i] = 0.0, 0
        return self._flat(env.reset()[0])

    def _flat(self, obs: Any) -> Any:
        if self.one_hot:
            row = np.zeros(self.obs_size, np.float32)
            row[int(obs)] = 1
            return row
        return obs if obs.ndim == 1 else np.ravel(obs)

    def to_env(self, actions: ndarray) -> list[Any]:
        """The actions as the environments take them."""
        if self.discrete:
            return actions.tolist()
        shape = self.low.shape
        share = (np.clip(actions, -1, 1).reshape(len(actions), *shape) + 1) / 2
        return list((self.low + share * (self.high - self.low)).astype(self.low.dtype))

    def step(self, actions: ndarray) -> Step:
        """One step of each; environments whose episode ends start a new one."""
        return self.step_some(actions, None)

    def step_some(self, actions: ndarray, going: ndarray | None) -> Step:
        """As `step`, for the environments marked in `going` only; the others stay as they are."""
        n = self.n
        obs, next_obs = np.empty_like(self.obs), np.empty_like(self.obs)
        reward = np.empty(n, np.float32)
        terminated, truncated = np.zeros(n, bool), np.zeros(n, bool)
        for i, action in enumerate(self.to_env(actions)):
            if going is not None and not going[i]:
                obs[i], next_obs[i], reward[i] = self.obs[i], self.obs[i], 0
                continue
            o, r, terminated[i], truncated[i], _ = self.envs[i].step(action)
            self.journal[i].append(action)
            self.returns[i] += r
            self.lengths[i] += 1
            reward[i] = r
            next_obs[i] = obs[i] = self._flat(o)
            if terminated[i] or truncated[i]:
                self.finished.append((float(self.returns[i]), int(self.lengths[i])))
                obs[i] = self._restart(i)
        self.obs = obs
        return Step(obs.copy(), next_obs, reward, terminated, truncated)

    def state_dict(self) -> dict[str, Any]:
        """For each environment the generator before the last reset, and the actions since."""
        journal = [np.asarray(actions) for actions in self.journal]
        return {"before": [json.dumps(_plain(s)) for s in self.before], "journal": journal}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replay the current episodes. RuntimeError if an environment ends where it did not."""
        for i, env in enumerate(self.envs):
            env.reset(seed=self.seed + i)
            generator = json.loads(state["before"][i], object_hook=_arrays)
            env.unwrapped.np_random.bit_generator.state = generator
            obs = self._restart(i)
            for action in np.asarray(state["journal"][i]):
                action = int(action) if self.discrete else action
                o, r, ended, cut, _ = env.step(action)
                if ended or cut:
                    raise RuntimeError("Envs: the environment cannot be replayed: it ended early")
                self.journal[i].append(action)
                self.returns[i] += r
                self.lengths[i] += 1
                obs = self._flat(o)
            self.obs[i] = obs


def _plain(state: Any) -> Any:
    """The state of a bit generator as JSON: arrays as lists under a key that tells."""
    if isinstance(state, dict):
        return {k: _plain(v) for k, v in state.items()}
    if isinstance(state, np.ndarray):
        return {"array": state.tolist(), "dtype": str(state.dtype)}
    return int(state) if isinstance(state, np.integer) else state


def _arrays(found: dict[str, Any]) -> Any:
    return np.array(found["array"], found["dtype"]) if "array" in found else found


def generator_state(rng: np.random.Generator) -> str:
    """The state of a NumPy generator as text."""
    return json.dumps(_plain(rng.bit_generator.state))


def set_generator_state(rng: np.random.Generator, text: str) -> None:
    rng.bit_generator.state = json.loads(text, object_hook=_arrays)


@export("rl.Normaliser")
class Normaliser:
    """Observations to mean 0 and variance 1 by running moments, cut off at ±10; and rewards divided
    by the standard deviation of the discounted return (Engstrom et al. 2020).
    """

    def __init__(
        self, obs_size: int, envs: int, gamma: float, *, obs: bool = False, reward: bool = False
    ) -> None:
        self.on_obs, self.on_reward, self.gamma = obs, reward, gamma
        self.moments, self.returned = RunningMoments((obs_size,)), RunningMoments()
        self.running = np.zeros(envs)

    def obs(self, x: ndarray, *, learn: bool = False) -> ndarray:
        """x normalised; with learn=True the moments take it in first."""
        if not self.on_obs:
            return x
        if learn:
            self.moments.update(x)
        scale = np.sqrt(self.moments.variance + 1e-8)
        return np.clip((x - self.moments.mean) / scale, -10, 10).astype(np.float32)

    def reward(self, r: ndarray, ends: ndarray) -> ndarray:
        """r normalised; its moments take it in first."""
        if not self.on_reward:
            return r
        self._learn_reward(r, ends)
        return self._scaled(r)

    def learn(self, obs: ndarray, r: ndarray, ends: ndarray) -> None:
        """The moments take in a step, which itself stays as it is."""
        if self.on_obs:
            self.moments.update(obs)
        if self.on_reward:
            self._learn_reward(r, ends)

    def _learn_reward(self, r: ndarray, ends: ndarray) -> None:
        self.running = self.running * self.gamma + r
        self.returned.update(self.running)
        self.running[ends] = 0

    def _scaled(self, r: ndarray, n: int = 1) -> ndarray:
        scale = np.sqrt(self.returned.variance + 1e-8)
        return np.clip(r / scale, -10 * n, 10 * n).astype(np.float32)

    def batch(self, b: Batch, n: int = 1) -> Batch:
        """Transitions by the moments as they are now: a replay memory keeps what the environment
        gave, which the moments of the first steps would spoil. A sum of n rewards is cut off at
        ±10 n.
        """
        if self.on_obs:
            b = b._replace(obs=self.obs(b.obs), next_obs=self.obs(b.next_obs))
        return b._replace(reward=self._scaled(b.reward, n)) if self.on_reward else b

    def state_dict(self) -> dict[str, Any]:
        parts = (self.moments, self.returned)
        return {
            "running": self.running,
            "moments": [[m.count, np.asarray(m.mean), np.asarray(m.m2)] for m in parts],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.running = np.array(state["running"])
        for m, (count, mean, m2) in zip(
            (self.moments, self.returned), state["moments"], strict=True
        ):
            m.count, m.mean, m.m2 = int(count), np.array(mean), np.array(m2)
