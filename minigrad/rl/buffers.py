"""Memories of transitions: replay (uniform or prioritised, n-step) and rollouts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..export import export
from .loops import helper, loop

ndarray = np.ndarray


class Batch(NamedTuple):
    """A sample of transitions. `discount` is γⁿ, or 0 where the episode ended by itself, so that a
    target is reward + discount · v(next_obs). `weight` is 1 unless replay is prioritised.
    """

    obs: ndarray
    action: ndarray
    reward: ndarray
    next_obs: ndarray
    discount: ndarray
    weight: ndarray
    index: ndarray


@export("rl.Replay")
class Replay:
    """The last `capacity` transitions of N environments, drawn uniformly, or with `alpha` > 0 in
    proportion to |TD error|^alpha (Schaul et al. 2016).

    n > 1 stores n-step transitions: s_t, a_t, Σ γ^i r_{t+i+1} and s_{t+n}, shorter at the end of an
    episode. An episode that is cut off keeps its discount: its last state is worth something.
    """

    def __init__(
        self,
        capacity: int,
        obs_size: int,
        action_shape: tuple[int, ...],
        action_type: Any,
        envs: int,
        *,
        gamma: float,
        n: int = 1,
        alpha: float = 0.0,
    ) -> None:
        if capacity < 1 or n < 1:
            raise ValueError(f"Replay: capacity and n must be positive, got {capacity}, {n}")
        self.capacity, self.n, self.gamma, self.alpha = capacity, n, gamma, alpha
        self.obs = np.zeros((capacity, obs_size), np.float32)
        self.next_obs = np.zeros((capacity, obs_size), np.float32)
        self.action = np.zeros((capacity, *action_shape), action_type)
        self.reward = np.zeros(capacity, np.float32)
        self.discount = np.zeros(capacity, np.float32)
        self.size = self.place = 0
        self.waiting: list[list[tuple[Any, Any, float]]] = [[] for _ in range(envs)]
        self.leaves = 1 << (capacity - 1).bit_length()
        self.tree = np.zeros(2 * self.leaves if alpha else 0)  # sums; the leaves in its upper half
        self.largest = 1.0

    def __len__(self) -> int:
        return self.size

    def add(
        self, obs: ndarray, action: ndarray, reward: ndarray, next_obs: ndarray,
        terminated: ndarray, truncated: ndarray,
    ) -> None:  # fmt: skip
        """One step of all environments."""
        for i in range(len(obs)):
            if self.n == 1:
                discount = 0.0 if terminated[i] else self.gamma
                self._store(obs[i], action[i], reward[i], next_obs[i], discount)
                continue
            queue = self.waiting[i]
            queue.append((obs[i].copy(), np.copy(action[i]), float(reward[i])))
            ends = bool(terminated[i] or truncated[i])
            while queue and (ends or len(queue) == self.n):
                total = sum(self.gamma**k * r for k, (_, _, r) in enumerate(queue))
                discount = 0.0 if terminated[i] else self.gamma ** len(queue)
                first = queue.pop(0)
                self._store(first[0], first[1], total, next_obs[i], discount)

    def _store(self, obs: Any, action: Any, reward: Any, next_obs: Any, discount: float) -> None:
        i = self.place
        self.obs[i], self.action[i], self.next_obs[i] = obs, action, next_obs
        self.reward[i], self.discount[i] = reward, discount
        if self.alpha:
            _set(self.tree, self.leaves, i, self.largest)
        self.place = (i + 1) % self.capacity
        self.size = min(self.size + 1, self.capacity)

    def sample(self, rng: np.random.Generator, batch: int, beta: float = 1.0) -> Batch:
        """`batch` transitions. Prioritised: weight (N p_i)^-beta, the largest one scaled to 1."""
        if not self.size:
            raise ValueError("Replay: nothing to sample from")
        if self.alpha:
            index = np.empty(batch, np.int64)
            _draw(rng, self.tree, self.leaves, self.size, index)
            p = self.tree[self.leaves + index] / self.tree[1]
            weight = (self.size * p) ** -beta
            weight = (weight / weight.max()).astype(np.float32)
        else:
            index = rng.integers(self.size, size=batch)
            weight = np.ones(batch, np.float32)
        return Batch(
            self.obs[index], self.action[index], self.reward[index], self.next_obs[index],
            self.discount[index], weight, index,
        )  # fmt: skip

    def update(self, index: ndarray, error: ndarray) -> None:
        """New priorities (|error| + 1e-6)^alpha; nothing to do if replay is uniform."""
        if self.alpha:
            priority = (np.abs(error).astype(np.float64) + 1e-6) ** self.alpha
            self.largest = max(self.largest, float(priority.max()))
            _set_all(self.tree, self.leaves, index, priority)

    def state_dict(self) -> dict[str, Any]:
        if any(self.waiting) and self.n > 1:
            waiting = [
                [np.stack([np.asarray(row[k]) for row in q]) for k in range(3)] if q else []
                for q in self.waiting
            ]
        else:
            waiting = []
        used = {
            name: getattr(self, name)[: self.size]
            for name in ("obs", "next_obs", "action", "reward", "discount")
        }
        counters = {"size": self.size, "place": self.place, "largest": self.largest}
        return {**used, **counters, "tree": self.tree, "waiting": waiting}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.size, self.place = int(state["size"]), int(state["place"])
        self.largest = float(state["largest"])
        for name in ("obs", "next_obs", "action", "reward", "discount"):
            getattr(self, name)[: self.size] = np.asarray(state[name])
        self.tree[...] = np.asarray(state["tree"])
        for i, queue in enumerate(state["waiting"]):
            rows = [np.asarray(part) for part in queue]
            self.waiting[i] = [(o, a, float(r)) for o, a, r in zip(*rows, strict=True)]


@helper
def _set(tree, leaves, i, priority):
    node = leaves + i
    change = priority - tree[node]
    tree[node] = priority
    node //= 2
    while node >= 1:
        tree[node] += change
        node //= 2


@loop
def _set_all(tree, leaves, index, priority):
    for j in range(index.shape[0]):
        _set(tree, leaves, index[j], priority[j])


@loop
def _draw(rng, tree, leaves, size, index):
    """Stratified: one draw from each of as many equal parts of the total priority."""
    n = index.shape[0]
    for j in range(n):
        mass = (j + rng.random()) / n * tree[1]
        node = 1
        while node < leaves:
            node *= 2
            if mass >= tree[node]:
                mass -= tree[node]
                node += 1
        index[j] = min(node - leaves, size - 1)


@export("rl.Rollout")
class Rollout:
    """T steps of N environments, filled in order: arrays (T, N, ...) by name."""

    def __init__(
        self, steps: int, envs: int, obs_size: int, action_shape: tuple[int, ...], action_type: Any
    ) -> None:
        self.steps, self.envs, self.t = steps, envs, 0
        shape = (steps, envs)
        self.obs = np.zeros((*shape, obs_size), np.float32)
        self.next_obs = np.zeros((*shape, obs_size), np.float32)
        self.action = np.zeros((*shape, *action_shape), action_type)
        self.reward = np.zeros(shape, np.float32)
        self.log_prob = np.zeros(shape, np.float32)
        self.value = np.zeros(shape, np.float32)
        self.terminated = np.zeros(shape, bool)
        self.ends = np.zeros(shape, bool)

    def add(self, **values: Any) -> None:
        """One step of all environments; names as the attributes."""
        if self.t == self.steps:
            raise ValueError(f"Rollout: all {self.steps} steps are filled")
        for name, value in values.items():
            getattr(self, name)[self.t] = value
        self.t += 1

    def next_values(self, last: ndarray, value_of: Any) -> ndarray:
        """v(s_{t+1}) of every step, (T, N): the value of the next step where the episode goes on,
        `last` (N,) after the rollout, 0 where it ended by itself, `value_of(next_obs)` where it was
        cut off.
        """
        values = np.concatenate([self.value[1:], last[None]])
        values[self.terminated] = 0
        cut = self.ends & ~self.terminated
        if cut.any():
            values[cut] = value_of(self.next_obs[cut])
        return values
