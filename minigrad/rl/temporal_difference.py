"""Temporal differences: learning at every step (Zhao, chapter 7; Sutton and Barto, chapters 6, 7,
12).

    learned = q_learning(world.model, 0.9, steps=1_000_000)

All methods move an estimate towards a target, q(s, a) ← q(s, a) + α (target − q(s, a)), and solve a
Bellman equation by stochastic approximation (`stochastic.py`). Table 7.2 of the book in one line
each, for the transition s, a, r, s':

    Sarsa             r + γ q(s', a')                     Bellman's equation of the policy
    n-step Sarsa      r + γ r' + ... + γⁿ q(s_n, a_n)     the same, unrolled
    Expected Sarsa    r + γ Σ_a π(a|s') q(s', a)          the same, with less variance
    Q-learning        r + γ max_a q(s', a)                Bellman's optimality equation
    Monte Carlo       r + γ r' + γ² r'' + ...             the return itself (α = 1: the last one)

The inner loops are compiled; a model serves as a simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

from ..export import export
from .exact import greedy
from .loops import choose, helper, loop
from .mdp import MDP, probabilities
from .monte_carlo import Learned, best_action, generator, sample

ndarray = np.ndarray
SARSA, EXPECTED, Q_LEARNING, DOUBLE = range(4)


# ------------------------------------------------------------------------------ prediction
@export("rl.td")
def td(
    mdp: MDP,
    policy: Any,
    gamma: float,
    *,
    steps: int,
    alpha: float = 0.1,
    power: float = 0.0,
    lam: float = 0.0,
    replacing: bool = False,
    start: int | None = None,
    length: int = 1_000_000_000,
    v0: Any = None,
    rng: Any = 0,
) -> ndarray:
    """v_π by TD(λ), (S,). TD(0), the default: v(s) ← v(s) + α (r + γ v(s') − v(s)), eq. (7.1).

    For λ > 0 each state keeps a trace e of how recently it was seen: δ goes to all states, weighted
    by e, and e ← γλ e afterwards (accumulating traces: e(s) += 1; replacing: e(s) = 1).

    Of the arguments:
        alpha, power: the rate is α / N(s)^power, N(s) the visits of s so far; power 1 with α = 1
            gives 1/N(s), for which Robbins and Monro's conditions hold.
        start: the first state of each episode; random if left out. `length` cuts episodes off.
    """
    _check(mdp, gamma, alpha, start)
    if not 0 <= lam <= 1:
        raise ValueError(f"td: lam must lie in [0, 1], got {lam}")
    pi = probabilities(policy, mdp.states, mdp.actions)
    v = np.zeros(mdp.states) if v0 is None else np.array(v0, np.float64)
    s0 = -1 if start is None else int(start)
    _td(
        generator(rng), *mdp.arrays(), gamma, alpha, power, lam, replacing, pi, v, s0, steps, length
    )
    return v


@loop
def _td(
    rng, probability, next_state, reward, terminal, gamma, alpha, power, lam, replacing, pi, v,
    start, steps, length,
):  # fmt: skip
    states = probability.shape[0]
    visits = np.zeros(states, np.int64)
    trace = np.zeros(states)
    s, age = -1, 0
    for _ in range(steps):
        if s < 0:
            s, age = (int(rng.random() * states) if start < 0 else start), 0
            trace[:] = 0.0
        a = choose(rng, pi[s])
        k = sample(rng, probability, next_state, s, a)
        s2, ends = next_state[s, a, k], terminal[s, a, k]
        error = reward[s, a, k] - v[s]
        if not ends:
            error += gamma * v[s2]
        visits[s] += 1
        rate = alpha / visits[s] ** power if power != 0.0 else alpha
        if lam == 0.0:
            v[s] += rate * error
        else:
            trace[s] = 1.0 if replacing else trace[s] + 1.0
            for i in range(states):
                v[i] += rate * error * trace[i]
                trace[i] *= gamma * lam
        age += 1
        s = -1 if ends or age >= length else s2


# ------------------------------------------------------------------------------ control
@export("rl.sarsa")
def sarsa(mdp: MDP, gamma: float, *, steps: int, n: int = 1, **options: Any) -> Learned:
    """Sarsa, Algorithm 7.1, and with n > 1 n-step Sarsa: target r + ... + γⁿ q(s_n, a_n).

    Options, here and in the other methods: alpha, power (rate α / N(s, a)^power), epsilon, start,
    length, policy (followed instead of the ε-greedy one: its values are learned), q0, rng,
    progress, callback(steps done, q) every `every` steps.
    """
    if n < 1:
        raise ValueError(f"sarsa: n must be at least 1, got {n}")
    return _run(mdp, gamma, SARSA, steps, n, options)


@export("rl.expected_sarsa")
def expected_sarsa(mdp: MDP, gamma: float, *, steps: int, **options: Any) -> Learned:
    """Expected Sarsa: target r + γ Σ_a π(a|s') q(s', a), eq. (7.15). Options as in `sarsa`."""
    return _run(mdp, gamma, EXPECTED, steps, 1, options)


@export("rl.q_learning")
def q_learning(mdp: MDP, gamma: float, *, steps: int, **options: Any) -> Learned:
    """Q-learning, Algorithm 7.2 (on-policy: ε-greedy) or 7.3 (off-policy: `policy` behaves).

    Target r + γ max_a q(s', a), eq. (7.18). Options as in `sarsa`.
    """
    return _run(mdp, gamma, Q_LEARNING, steps, 1, options)


@export("rl.double_q_learning")
def double_q_learning(mdp: MDP, gamma: float, *, steps: int, **options: Any) -> Learned:
    """Double Q-learning (van Hasselt 2010): two tables; one picks the best action, the other says
    what it is worth, so that the maximum of noise is not taken for value. q is their mean.
    """
    return _run(mdp, gamma, DOUBLE, steps, 1, options)


def _run(
    mdp: MDP, gamma: float, method: int, steps: int, n: int, options: dict[str, Any]
) -> Learned:
    task = Control(mdp, gamma, method, n, **options)
    return task.run(steps)


class Control:
    """One run of a control method; `run` may be called again and goes on from where it was."""

    def __init__(
        self,
        mdp: MDP,
        gamma: float,
        method: int,
        n: int = 1,
        *,
        alpha: float = 0.1,
        power: float = 0.0,
        epsilon: float = 0.1,
        start: int | None = None,
        length: int = 1_000_000_000,
        policy: Any = None,
        q0: Any = None,
        rng: Any = 0,
        progress: bool = False,
        callback: Callable[[int, ndarray], Any] | None = None,
        every: int = 1_000_000,
    ) -> None:
        _check(mdp, gamma, alpha, start)
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon must lie in [0, 1], got {epsilon}")
        shape = (mdp.states, mdp.actions)
        self.mdp, self.method, self.n = mdp, method, n
        self.numbers = (gamma, alpha, power, epsilon)
        self.start, self.length = (-1 if start is None else int(start)), length
        self.fixed = policy is not None
        self.policy = probabilities(policy, *shape) if self.fixed else np.zeros(shape)
        self.q = np.zeros((2, *shape))
        self.q[...] = 0 if q0 is None else np.asarray(q0, np.float64)
        self.visits = np.zeros(shape, np.int64)
        self.rng, self.progress = generator(rng), progress
        self.callback, self.every = callback, every
        # what goes on across calls of the loop: state, action, age, and n steps' (s, a) and r
        self.place = np.array([-1, 0, 0, 0], np.int64)
        self.recent = np.zeros((n, 2), np.int64)
        self.rewards = np.zeros(n + 1)

    def run(self, steps: int) -> Learned:
        """Make `steps` steps of the environment."""
        returns: list[ndarray] = []
        lengths: list[ndarray] = []
        bar = tqdm(total=steps, disable=not self.progress, unit=" steps", unit_scale=True)
        done = 0
        with bar:
            while done < steps:
                some = min(self.every, steps - done)
                R, L = np.zeros(some), np.zeros(some, np.int64)
                episodes = _control(
                    self.rng, *self.mdp.arrays(), *self.numbers, self.fixed, self.policy,
                    self.method, self.q, self.visits, self.start, some, self.length,
                    self.place, self.recent, self.rewards, R, L,
                )  # fmt: skip
                returns.append(R[:episodes])
                lengths.append(L[:episodes])
                done += some
                bar.update(some)
                if self.callback is not None:
                    self.callback(done, self.values())
        q = self.values()
        return Learned(
            q, greedy(q), self.visits.copy(), np.concatenate(returns), np.concatenate(lengths)
        )

    def values(self) -> ndarray:
        return self.q.mean(0) if self.method == DOUBLE else self.q[0].copy()


def _check(mdp: MDP, gamma: float, alpha: float, start: int | None) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    if start is not None and not 0 <= start < mdp.states:
        raise ValueError(f"start must lie in [0, {mdp.states}), got {start}")


@helper
def _behave(rng, q, policy, fixed, double, epsilon, s):
    """The next action: of the given policy, or ε-greedy in q (in the sum of both tables)."""
    if fixed:
        return choose(rng, policy[s])
    actions = q.shape[2]
    if rng.random() < epsilon:
        return int(rng.random() * actions)
    if double:
        row = q[0, s] + q[1, s]
    else:
        row = q[0, s]
    best, top = 0, row[0]
    for a in range(1, actions):  # selections, not branches: no prediction to miss
        best = a if row[a] > top else best
        top = row[a] if row[a] > top else top
    return best


@helper
def _worth(q, policy, fixed, method, epsilon, table, s, a):
    """What the next state is worth to the method, a being the next action there."""
    actions = q.shape[2]
    if method == SARSA:
        return q[table, s, a]
    if method == DOUBLE:
        return q[1 - table, s, best_action(q[table], s)]
    top, total = -np.inf, 0.0
    for b in range(actions):
        top = max(top, q[0, s, b])
        total += policy[s, b] * q[0, s, b] if fixed else q[0, s, b] / actions
    if method == Q_LEARNING:
        return top
    return total if fixed else epsilon * total + (1 - epsilon) * top


@loop
def _control(
    rng, probability, next_state, reward, terminal, gamma, alpha, power, epsilon, fixed, policy,
    method, q, visits, start, steps, length, place, recent, rewards, returns, lengths,
):  # fmt: skip
    states = probability.shape[0]
    n = recent.shape[0]
    double = method == DOUBLE
    s, a, age, held = place[0], place[1], place[2], place[3]
    total = rewards[n]
    episodes = 0
    for _ in range(steps):
        if s < 0:
            s = int(rng.random() * states) if start < 0 else start
            a = _behave(rng, q, policy, fixed, double, epsilon, s)
            age, held, total = 0, 0, 0.0
        k = sample(rng, probability, next_state, s, a)
        r, s2, ends = reward[s, a, k], next_state[s, a, k], terminal[s, a, k]
        table = 1 if double and rng.random() < 0.5 else 0
        a2 = 0
        if method == SARSA and not ends:
            a2 = _behave(rng, q, policy, fixed, double, epsilon, s2)
        total += r
        age += 1
        cut = ends or age >= length
        worth = 0.0 if ends else _worth(q, policy, fixed, method, epsilon, table, s2, a2)
        if n == 1:
            visits[s, a] += 1
            rate = alpha / visits[s, a] ** power if power != 0.0 else alpha
            q[table, s, a] += rate * (r + gamma * worth - q[table, s, a])
        else:
            held = _n_step(
                gamma, alpha, power, q, visits, recent, rewards, s, a, r, worth, age, held, cut
            )
        if cut:
            returns[episodes], lengths[episodes] = total, age
            episodes += 1
            s = -1
        else:
            if method != SARSA:
                a2 = _behave(rng, q, policy, fixed, double, epsilon, s2)
            s, a = s2, a2
    place[0], place[1], place[2], place[3] = s, a, age, held
    rewards[n] = total
    return episodes


@loop
def _n_step(gamma, alpha, power, q, visits, recent, rewards, s, a, r, worth, age, held, cut):
    """The last n pairs wait for their n rewards; at the end of an episode all of them are due."""
    n = recent.shape[0]
    at = (age - 1) % n
    recent[at, 0], recent[at, 1], rewards[at] = s, a, r
    held = min(held + 1, n)
    due = held if cut else (1 if held == n else 0)
    for i in range(due):
        oldest = (age - held + i) % n
        g, weight = 0.0, 1.0
        for j in range(held - i):
            g += weight * rewards[(oldest + j) % n]
            weight *= gamma
        g += weight * worth
        u, b = recent[oldest, 0], recent[oldest, 1]
        visits[u, b] += 1
        rate = alpha / visits[u, b] ** power if power != 0.0 else alpha
        q[0, u, b] += rate * (g - q[0, u, b])
    return held
