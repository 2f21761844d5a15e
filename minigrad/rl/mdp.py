"""Markov decision processes with a known model, and the Bellman backup.

`MDP` lists for each state and action what may happen: K outcomes (probability, next state, reward,
does the episode end). This is the form of gymnasium's toy-text environments, and it is sparse: a
grid of a million states takes 365 MB where a matrix P would take 40 terabytes. `DenseMDP` holds the
matrices of the textbook, P(s'|s, a) and r(s, a). Both have the one operation that the exact methods
need:

    q(s, a) = r(s, a) + γ Σ_s' P(s'|s, a) v(s')              (`backup`)

A policy is an array (S, A) of probabilities, or (S,) of actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .loops import loop, prange

ndarray = np.ndarray


@export("rl.MDP")
class MDP:
    """A finite MDP as lists of outcomes.

    Args:
        probability: (S, A, K); each (s, a) sums to 1. Unused places have probability 0.
        next_state: (S, A, K), integers in [0, S).
        reward: (S, A, K).
        terminal: (S, A, K) bool; the episode ends with this outcome, nothing is earned after it.

    ValueError if shapes disagree, probabilities do not sum to 1, or a state is out of range.
    """

    def __init__(
        self, probability: Any, next_state: Any, reward: Any, terminal: Any = None
    ) -> None:
        self.probability = np.ascontiguousarray(probability, dtype=np.float64)
        self.next_state = np.ascontiguousarray(next_state, dtype=np.int32)
        self.reward = np.ascontiguousarray(reward, dtype=np.float64)
        shape = self.probability.shape
        if terminal is None:
            terminal = np.zeros(shape, bool)
        self.terminal = np.ascontiguousarray(terminal, dtype=np.bool_)
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"MDP: probability must have shape (S, A, K), got {shape}")
        for name in ("next_state", "reward", "terminal"):
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"MDP: {name} has shape {getattr(self, name).shape}, probability {shape}"
                )
        if (self.probability < 0).any() or not np.allclose(self.probability.sum(-1), 1):
            raise ValueError("MDP: the probabilities of each state and action must sum to 1")
        if self.next_state.min() < 0 or self.next_state.max() >= shape[0]:
            raise ValueError(f"MDP: next_state must lie in [0, {shape[0]})")
        self.states, self.actions, self.outcomes = shape

    def __repr__(self) -> str:
        return f"MDP(states={self.states}, actions={self.actions}, outcomes={self.outcomes})"

    @property
    def expected_reward(self) -> ndarray:
        """r(s, a) = Σ_k p r, shape (S, A)."""
        return (self.probability * self.reward).sum(-1)

    def dense(self) -> DenseMDP:
        """The same process as matrices. Outcomes that end the episode leave mass out of P."""
        P = np.zeros((self.states, self.actions, self.states))
        s, a, _ = np.indices(self.probability.shape)
        going_on = np.where(self.terminal, 0.0, self.probability)
        np.add.at(P, (s, a, self.next_state), going_on)
        return DenseMDP(P, self.expected_reward)

    def backup(self, v: ndarray, gamma: float) -> ndarray:
        """q(s, a) for the values v, shape (S, A)."""
        q = np.empty((self.states, self.actions))
        work = self.probability.size
        _backup.run(work, *self.arrays(), gamma, np.ascontiguousarray(v, np.float64), q)
        return q

    def arrays(self) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        """What compiled loops take: probability, next_state, reward, terminal."""
        return self.probability, self.next_state, self.reward, self.terminal

    def under(self, policy: Any) -> tuple[Any, ndarray]:
        """P_π (a SciPy CSR matrix, (S, S)) and r_π (S,) of a policy."""
        from scipy.sparse import csr_matrix

        pi = probabilities(policy, self.states, self.actions)
        weight = pi[:, :, None] * self.probability
        r = (weight * self.reward).sum((1, 2))
        weight = np.where(self.terminal, 0.0, weight)
        s, a, k = np.nonzero(weight)
        P = csr_matrix(
            (weight[s, a, k], (s, self.next_state[s, a, k])), shape=(self.states, self.states)
        )
        return P, r


@export("rl.DenseMDP")
class DenseMDP:
    """A finite MDP as matrices: P (S, A, S), r (S, A); where a row of P sums to less than 1, the
    episode ends with the rest. ValueError if shapes disagree or a row is no (sub)distribution.
    """

    def __init__(self, P: Any, r: Any) -> None:
        self.P = np.asarray(P, np.float64)
        self.r = np.asarray(r, np.float64)
        if self.P.ndim != 3 or self.P.shape[0] != self.P.shape[2]:
            raise ValueError(f"DenseMDP: P must have shape (S, A, S), got {self.P.shape}")
        if self.r.shape != self.P.shape[:2]:
            raise ValueError(f"DenseMDP: r has shape {self.r.shape}, expected {self.P.shape[:2]}")
        if (self.P < 0).any() or (self.P.sum(-1) > 1 + 1e-9).any():
            raise ValueError("DenseMDP: P(.|s, a) must be non-negative and sum to at most 1")
        self.states, self.actions = self.r.shape

    def __repr__(self) -> str:
        return f"DenseMDP(states={self.states}, actions={self.actions})"

    @property
    def expected_reward(self) -> ndarray:
        return self.r

    def backup(self, v: ndarray, gamma: float) -> ndarray:
        """q(s, a) for the values v, shape (S, A)."""
        return self.r + gamma * (self.P @ v)

    def under(self, policy: Any) -> tuple[ndarray, ndarray]:
        """P_π (S, S) and r_π (S,) of a policy."""
        pi = probabilities(policy, self.states, self.actions)
        return np.einsum("sa,sat->st", pi, self.P), (pi * self.r).sum(1)


@export("rl.mdp_of")
def mdp_of(env: Any) -> MDP:
    """The model of an environment: GridWorld's, or the table `P` of gymnasium's toy-text ones.

    TypeError if the environment has neither.
    """
    env = getattr(env, "unwrapped", env)
    model = getattr(env, "model", None)
    if isinstance(model, MDP):
        return model
    table = getattr(env, "P", None)
    if not isinstance(table, dict):
        raise TypeError(
            f"mdp_of: {type(env).__name__} has no model: expected an MDP in `.model`, or a table "
            "`.P[state][action] = [(probability, next state, reward, terminated), ...]`"
        )
    states, actions = len(table), len(table[0])
    outcomes = max(len(table[s][a]) for s in table for a in table[s])
    arrays = [np.zeros((states, actions, outcomes)) for _ in range(4)]
    for s in range(states):
        for a in range(actions):
            for k, outcome in enumerate(table[s][a]):
                for array, value in zip(arrays, outcome, strict=True):
                    array[s, a, k] = value
    return MDP(*arrays)


@export("rl.probabilities")
def probabilities(policy: Any, states: int, actions: int) -> ndarray:
    """A policy as probabilities (S, A). ValueError for what is none."""
    pi = np.asarray(policy)
    if pi.shape == (states,) and pi.dtype.kind in "iu":
        if pi.min() < 0 or pi.max() >= actions:
            raise ValueError(f"policy: actions must lie in [0, {actions})")
        return np.eye(actions)[pi]
    if pi.shape != (states, actions):
        raise ValueError(
            f"policy: expected probabilities of shape {(states, actions)} or {states} integers, "
            f"got shape {pi.shape} of {pi.dtype}"
        )
    pi = pi.astype(np.float64)
    if (pi < 0).any() or not np.allclose(pi.sum(1), 1):
        raise ValueError("policy: the probabilities of each state must sum to 1")
    return pi


@loop
def _backup(probability, next_state, reward, terminal, gamma, v, q):
    states, actions, outcomes = probability.shape
    for s in prange(states):
        for a in range(actions):
            total = 0.0
            for k in range(outcomes):
                value = reward[s, a, k]
                if not terminal[s, a, k]:
                    value += gamma * v[next_state[s, a, k]]
                total += probability[s, a, k] * value
            q[s, a] = total
