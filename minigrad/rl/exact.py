"""Exact methods for a known model (Zhao, *Mathematical Foundations of RL*, chapters 2-4).

    v = policy_values(mdp, policy, gamma=0.9)      # closed form, eq. (2.7)
    best = value_iteration(mdp, gamma=0.9)         # best.v, best.q, best.policy

All take an `MDP` (outcome lists, sparse) or a `DenseMDP` (matrices). Each is a fixed-point
iteration of the Bellman operator, which contracts with factor γ in the maximum norm (Theorem 3.2):
‖v − v*‖ ≤ γ/(1−γ) ‖v_k − v_{k−1}‖. The iterations stop when this bound is below `tol` (for γ = 1,
when the change is).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..export import export
from .loops import loop, prange
from .mdp import MDP, DenseMDP, probabilities

ndarray = np.ndarray
Model = MDP | DenseMDP
TIE = 1e-9
"""Action values that differ by less (relatively) are equal: rounding does not decide a policy."""


@export("rl.Solution")
class Solution(NamedTuple):
    """What an exact method found: v (S,), q (S, A), a greedy policy (S,) of actions, how many
    iterations it took, and a bound of ‖v − v*‖ (for γ = 1 the last change).
    """

    v: ndarray
    q: ndarray
    policy: ndarray
    iterations: int
    residual: float


@export("rl.greedy")
def greedy(q: ndarray) -> ndarray:
    """The first best action of each state, (S,): argmax up to rounding."""
    best = q.max(1, keepdims=True)
    return np.argmax(q >= best - TIE * (1 + np.abs(best)), axis=1)


@export("rl.epsilon_greedy")
def epsilon_greedy(q: ndarray, epsilon: float) -> ndarray:
    """π(a*|s) = 1 − ε(|A|−1)/|A|, the others ε/|A|: probabilities (S, A); eq. (5.4) of the book."""
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon_greedy: epsilon must lie in [0, 1], got {epsilon}")
    states, actions = q.shape
    pi = np.full((states, actions), epsilon / actions)
    pi[np.arange(states), greedy(q)] += 1 - epsilon
    return pi


@export("rl.policy_values")
def policy_values(mdp: Model, policy: Any, gamma: float) -> ndarray:
    """v = (I − γP_π)⁻¹ r_π, the closed form of the Bellman equation, (S,); sparse models by sparse
    elimination. ValueError if γ is outside [0, 1], or 1 with a policy under which episodes need
    not end.
    """
    _check(gamma)
    return discounted_sum(*mdp.under(policy), gamma)


def discounted_sum(P: Any, x: ndarray, gamma: float) -> ndarray:
    """Σ_k γᵏ Pᵏ x = (I − γP)⁻¹ x, (S,), for P as `under` gives it, or its transpose."""
    try:
        if isinstance(P, ndarray):
            return np.linalg.solve(np.eye(len(x)) - gamma * P, x)
        from scipy.sparse import identity
        from scipy.sparse.linalg import splu

        return splu((identity(len(x)) - gamma * P).tocsc()).solve(x)
    except (np.linalg.LinAlgError, RuntimeError):  # dense, sparse
        raise ValueError(
            "policy_values: I - γP is singular: with γ = 1 the policy must end from every state"
        ) from None


@export("rl.policy_evaluation")
def policy_evaluation(
    mdp: Model,
    policy: Any,
    gamma: float,
    v0: Any = None,
    *,
    sweeps: int | None = None,
    tol: float = 1e-8,
) -> ndarray:
    """v ← r_π + γP_π v, repeated `sweeps` times, or until the error is below `tol`; (S,)."""
    _check(gamma)
    P, r = mdp.under(policy)
    v = _initial(mdp, v0)
    k = 0
    while sweeps is None or k < sweeps:
        new = r + gamma * (P @ v)
        change, v, k = float(np.abs(new - v).max()), new, k + 1
        if sweeps is None and _bound(change, gamma) < tol:
            break
    return v


@export("rl.action_values")
def action_values(mdp: Model, policy: Any, gamma: float) -> ndarray:
    """q_π(s, a) = r(s, a) + γ Σ P(s'|s, a) v_π(s'), (S, A)."""
    return mdp.backup(policy_values(mdp, policy, gamma), gamma)


@export("rl.value_iteration")
def value_iteration(
    mdp: Model,
    gamma: float,
    v0: Any = None,
    *,
    tol: float = 1e-8,
    max_iterations: int = 1_000_000,
    in_place: bool = False,
    progress: bool = False,
    callback: Callable[[int, ndarray], Any] | None = None,
) -> Solution:
    """v ← max_a q(·, a), Algorithm 4.1: the fixed point is v* (Theorem 3.3).

    in_place updates state after state from the newest values (Gauss-Seidel), forwards and backwards
    in turn, and solves the equation of a state that leads to itself: on grids a few dozen sweeps
    instead of thousands, and still a contraction by γ. `callback(k, v)` sees v_k, k from 1; v_k
    depends on the order, v* does not.
    """
    _check(gamma)
    v = _initial(mdp, v0)
    other = np.empty_like(v)
    bar = tqdm(disable=not progress, unit=" sweeps", desc="value iteration")
    bound, k = np.inf, 0
    with bar:
        while k < max_iterations and bound >= tol:
            change, v, other = _improve(mdp, gamma, v, other, in_place, k)
            bound, k = _bound(change, gamma), k + 1
            bar.update()
            if progress:
                bar.set_postfix_str(f"error below {bound:.1e}", refresh=False)
            if callback is not None:
                callback(k, v.copy())
    q = mdp.backup(v, gamma)
    return Solution(v, q, greedy(q), k, bound)


def _improve(
    mdp: Model, gamma: float, v: ndarray, other: ndarray, in_place: bool, k: int
) -> tuple[float, ndarray, ndarray]:
    """One sweep: the largest change, the new values, an array to write the next ones into."""
    if isinstance(mdp, DenseMDP):
        if in_place:
            order = range(mdp.states)[:: -1 if k % 2 else 1]
            before = v.copy()
            for s in order:
                own = gamma * mdp.P[s, :, s]
                value = mdp.r[s] + gamma * (mdp.P[s] @ v)
                solved = (value - own * v[s]) / np.where(own < 1, 1 - own, 1)
                v[s] = np.where(own < 1, solved, value).max()
            return float(np.abs(v - before).max()), v, other
        new = mdp.backup(v, gamma).max(1)
        return float(np.abs(new - v).max()), new, v
    if in_place:
        return _sweep_in_place(*mdp.arrays(), gamma, v, k % 2 == 1), v, other
    _sweep.run(mdp.probability.size, *mdp.arrays(), gamma, v, other)
    return float(np.abs(other - v).max()), other, v


@export("rl.policy_iteration")
def policy_iteration(
    mdp: Model,
    gamma: float,
    policy: Any = None,
    *,
    max_iterations: int = 10_000,
    callback: Callable[[int, ndarray, ndarray], Any] | None = None,
) -> Solution:
    """Evaluate exactly, improve greedily, until nothing changes: Algorithm 4.2.

    `policy` is the first one (action 0 if left out); `callback(k, v, policy)` sees v_{π_k} and π_k,
    k from 0.
    """
    pi = _first(mdp, policy)
    for k in range(max_iterations):
        v = policy_values(mdp, pi, gamma)
        if callback is not None:
            callback(k, v, pi)
        q = mdp.backup(v, gamma)
        better = greedy(q)
        if pi.ndim == 1 and _as_good(q, pi):
            return Solution(v, q, pi, k + 1, _bound(float(np.abs(q.max(1) - v).max()), gamma))
        pi = better
    raise RuntimeError(f"policy_iteration: no end after {max_iterations} iterations")


def _as_good(q: ndarray, policy: ndarray) -> bool:
    """Whether the policy is greedy: it stays even if others are equally good."""
    best = q.max(1)
    return bool((q[np.arange(len(q)), policy] >= best - TIE * (1 + np.abs(best))).all())


@export("rl.soft_policy_iteration")
def soft_policy_iteration(
    mdp: Model, gamma: float, epsilon: float, *, max_iterations: int = 10_000
) -> Solution:
    """The best of all ε-greedy policies: policy iteration whose improvement is ε-greedy (section
    5.4). `v` and `q` are those of the ε-greedy policy, `policy` is its greedy action.
    """
    policy = np.zeros(mdp.states, np.int64)
    for k in range(max_iterations):
        soft = epsilon_greedy(np.eye(mdp.actions)[policy], epsilon)
        v = policy_values(mdp, soft, gamma)
        q = mdp.backup(v, gamma)
        if _as_good(q, policy):
            return Solution(v, q, policy, k + 1, 0.0)
        policy = greedy(q)
    raise RuntimeError(f"soft_policy_iteration: no end after {max_iterations} iterations")


@export("rl.truncated_policy_iteration")
def truncated_policy_iteration(
    mdp: Model,
    gamma: float,
    sweeps: int,
    v0: Any = None,
    *,
    tol: float = 1e-8,
    max_iterations: int = 1_000_000,
    progress: bool = False,
    callback: Callable[[int, ndarray], Any] | None = None,
) -> Solution:
    """Improve greedily, then evaluate with `sweeps` sweeps: Algorithm 4.3.

    sweeps = 1 is value iteration; the larger, the closer to policy iteration.
    """
    _check(gamma)
    if sweeps < 1:
        raise ValueError(f"truncated_policy_iteration: sweeps must be at least 1, got {sweeps}")
    v = _initial(mdp, v0)
    bar = tqdm(disable=not progress, unit=" improvements", desc="truncated policy iteration")
    bound, k = np.inf, 0
    with bar:
        while k < max_iterations and bound >= tol:
            q = mdp.backup(v, gamma)
            policy, first = greedy(q), q.max(1)
            bound = _bound(float(np.abs(first - v).max()), gamma)
            v = _evaluate(mdp, policy, gamma, first, sweeps - 1)
            k += 1
            bar.update()
            if callback is not None:
                callback(k, v.copy())
    q = mdp.backup(v, gamma)
    return Solution(v, q, greedy(q), k, bound)


def _evaluate(mdp: Model, policy: ndarray, gamma: float, v: ndarray, sweeps: int) -> ndarray:
    if isinstance(mdp, DenseMDP):
        return policy_evaluation(mdp, policy, gamma, v, sweeps=sweeps)
    v, other = v.copy(), np.empty_like(v)
    for _ in range(sweeps):
        _sweep_of_policy.run(mdp.probability.size, *mdp.arrays(), gamma, policy, v, other)
        v, other = other, v
    return v


def _first(mdp: Model, policy: Any) -> ndarray:
    if policy is None:
        return np.zeros(mdp.states, np.int64)
    pi = np.asarray(policy)
    if pi.ndim == 1:
        probabilities(pi, mdp.states, mdp.actions)  # raises for what is no policy
        return pi.astype(np.int64)
    return probabilities(pi, mdp.states, mdp.actions)


def _initial(mdp: Model, v0: Any) -> ndarray:
    v = np.zeros(mdp.states) if v0 is None else np.array(v0, np.float64)
    if v.shape != (mdp.states,):
        raise ValueError(f"v0: expected shape {(mdp.states,)}, got {v.shape}")
    return v


def _check(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")


def _bound(change: float, gamma: float) -> float:
    return change if gamma == 1 else change * gamma / (1 - gamma)


@loop
def _sweep(probability, next_state, reward, terminal, gamma, v, out):
    states, actions, outcomes = probability.shape
    for s in prange(states):
        best = -np.inf
        for a in range(actions):
            total = 0.0
            for k in range(outcomes):
                value = reward[s, a, k]
                if not terminal[s, a, k]:
                    value += gamma * v[next_state[s, a, k]]
                total += probability[s, a, k] * value
            best = max(best, total)
        out[s] = best


@loop
def _sweep_in_place(probability, next_state, reward, terminal, gamma, v, backwards):
    states, actions, outcomes = probability.shape
    change = 0.0
    for i in range(states):
        s = states - 1 - i if backwards else i
        best = -np.inf
        for a in range(actions):
            total, stay = 0.0, 0.0  # stay: γ times the probability of coming back at once
            for k in range(outcomes):
                value = reward[s, a, k]
                if not terminal[s, a, k]:
                    if next_state[s, a, k] == s:
                        stay += gamma * probability[s, a, k]
                    else:
                        value += gamma * v[next_state[s, a, k]]
                total += probability[s, a, k] * value
            best = max(best, total / (1 - stay) if stay < 1 else total + stay * v[s])
        change = max(change, abs(best - v[s]))
        v[s] = best
    return change


@loop
def _sweep_of_policy(probability, next_state, reward, terminal, gamma, policy, v, out):
    for s in prange(probability.shape[0]):
        a = policy[s]
        total = 0.0
        for k in range(probability.shape[2]):
            value = reward[s, a, k]
            if not terminal[s, a, k]:
                value += gamma * v[next_state[s, a, k]]
            total += probability[s, a, k] * value
        out[s] = total
