"""Monte Carlo methods: learning from whole episodes (Zhao, chapter 5; Sutton and Barto, chapter 5).

    learned = mc_epsilon_greedy(world.model, 0.9, epsilon=0.1, episodes=500, length=200)
    learned.q, learned.policy

The model serves as a simulator only: each step draws one of its outcomes. All methods estimate

    q_π(s, a) = E[R_{t+1} + γ R_{t+2} + γ² R_{t+3} + ... | S_t = s, A_t = a]

by means of sampled returns, computed backwards: g ← r_{t+1} + γ g.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..export import export
from .exact import TIE, epsilon_greedy, greedy
from .loops import choose, helper, loop
from .mdp import MDP, probabilities

ndarray = np.ndarray
VISITS = {"initial": 0, "first": 1, "every": 2}


@export("rl.Learned")
class Learned(NamedTuple):
    """What was learned: q (S, A), the greedy policy (S,), how often each pair was used (S, A), and
    the return (not discounted) and length of each finished episode.
    """

    q: ndarray
    policy: ndarray
    visits: ndarray
    returns: ndarray
    lengths: ndarray


def generator(rng: Any) -> np.random.Generator:
    """A Generator: the one given, or a new one of that seed."""
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


def _parts(episodes: int, progress: bool, title: str) -> Iterator[slice]:
    """The episodes in up to a hundred parts, between which a progress bar moves."""
    size = max(-(-episodes // 100), 1)
    with tqdm(total=episodes, disable=not progress, unit=" episodes", desc=title) as bar:
        for start in range(0, episodes, size):
            stop = min(start + size, episodes)
            yield slice(start, stop)
            bar.update(stop - start)


@helper
def sample(rng, probability, next_state, s, a):
    """Which outcome of (s, a) happens."""
    if probability.shape[2] == 1:
        return 0
    return choose(rng, probability[s, a])


# ------------------------------------------------------------------------------ MC Basic
@export("rl.mc_basic")
def mc_basic(
    mdp: MDP,
    gamma: float,
    *,
    length: int,
    episodes: int = 1,
    iterations: int = 100,
    policy: Any = None,
    rng: Any = 0,
    progress: bool = False,
) -> Learned:
    """Policy iteration without a model, Algorithm 5.1: q(s, a) is the mean return of `episodes`
    episodes of `length` steps that start with (s, a) and follow π_k; π_{k+1} is greedy.

    It ends when the policy no longer changes. One episode is enough where nothing is random.
    """
    rng = generator(rng)
    pi = probabilities(_zero(mdp) if policy is None else policy, mdp.states, mdp.actions)
    q = np.zeros((mdp.states, mdp.actions))
    visits = np.zeros(q.shape, np.int64)
    for _ in tqdm(range(iterations), disable=not progress, unit=" iterations", desc="MC Basic"):
        _rollouts(rng, *mdp.arrays(), gamma, pi, length, episodes, q)
        visits += episodes
        better = probabilities(greedy(q), mdp.states, mdp.actions)
        if np.array_equal(better, pi):
            break
        pi = better
    return Learned(q, greedy(q), visits, np.zeros(0), np.zeros(0, np.int64))


def _zero(mdp: MDP) -> ndarray:
    return np.zeros(mdp.states, np.int64)


@loop
def _rollouts(rng, probability, next_state, reward, terminal, gamma, pi, length, episodes, q):
    states, actions, _ = probability.shape
    for s0 in range(states):
        for a0 in range(actions):
            total = 0.0
            for _ in range(episodes):
                s, a, weight = s0, a0, 1.0
                for _ in range(length):
                    k = sample(rng, probability, next_state, s, a)
                    total += weight * reward[s, a, k]
                    weight *= gamma
                    if terminal[s, a, k]:
                        break
                    s = next_state[s, a, k]
                    a = choose(rng, pi[s])
            q[s0, a0] = total / episodes


# ------------------------------------------------------------------------------ exploring starts
@export("rl.mc_exploring_starts")
def mc_exploring_starts(
    mdp: MDP,
    gamma: float,
    *,
    episodes: int,
    length: int,
    visit: str = "every",
    policy: Any = None,
    rng: Any = 0,
    progress: bool = False,
) -> Learned:
    """MC Exploring Starts, Algorithm 5.2: episodes begin with a random pair (s, a), follow the
    greedy policy, and improve it at once, backwards along the episode.

    visit: which visits of a pair count: "initial" (the start only), "first" in the episode,
    "every".
    """
    if visit not in VISITS:
        raise ValueError(f"mc_exploring_starts: visit must be one of {[*VISITS]}, got {visit!r}")
    rng = generator(rng)
    q, visits = np.zeros((mdp.states, mdp.actions)), np.zeros((mdp.states, mdp.actions), np.int64)
    pi = np.array(_zero(mdp) if policy is None else policy, np.int64)
    probabilities(pi, mdp.states, mdp.actions)  # raises for what is no policy
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    for some in _parts(episodes, progress, "MC Exploring Starts"):
        _exploring(
            rng, *mdp.arrays(), gamma, pi, length, VISITS[visit], q, visits, returns[some],
            lengths[some],
        )  # fmt: skip
    return Learned(q, pi, visits, returns, lengths)


@loop
def _exploring(
    rng, probability, next_state, reward, terminal, gamma, pi, length, visit, q, visits, returns,
    lengths,
):  # fmt: skip
    states, actions, _ = probability.shape
    path_s, path_a = np.empty(length, np.int64), np.empty(length, np.int64)
    path_r = np.empty(length)
    first = np.full((states, actions), -1)
    for episode in range(returns.shape[0]):
        s, a = int(rng.random() * states), int(rng.random() * actions)
        n = 0
        while n < length:
            k = sample(rng, probability, next_state, s, a)
            path_s[n], path_a[n], path_r[n] = s, a, reward[s, a, k]
            if first[s, a] < 0:
                first[s, a] = n
            n += 1
            if terminal[s, a, k]:
                break
            s = next_state[s, a, k]
            a = pi[s]
        g, total = 0.0, 0.0
        for t in range(n - 1, -1, -1):
            g = gamma * g + path_r[t]
            total += path_r[t]
            s, a = path_s[t], path_a[t]
            if visit == 2 or (visit == 1 and first[s, a] == t) or t == 0:
                visits[s, a] += 1
                q[s, a] += (g - q[s, a]) / visits[s, a]
                pi[s] = best_action(q, s)
        for t in range(n):
            first[path_s[t], path_a[t]] = -1
        returns[episode], lengths[episode] = total, n


@helper
def best_action(q, s):
    """The first best action, up to rounding, as `greedy` has it."""
    top = q[s, 0]
    for a in range(1, q.shape[1]):
        top = max(top, q[s, a])
    for a in range(q.shape[1]):
        if q[s, a] >= top - TIE * (1 + abs(top)):
            return a
    return 0


# ------------------------------------------------------------------------------ epsilon-greedy
@export("rl.mc_epsilon_greedy")
def mc_epsilon_greedy(
    mdp: MDP,
    gamma: float,
    *,
    epsilon: float,
    episodes: int,
    length: int,
    start: int | None = None,
    visit: str = "every",
    policy: Any = None,
    forget: bool = False,
    rng: Any = 0,
    progress: bool = False,
) -> Learned:
    """MC ε-Greedy, Algorithm 5.3: no exploring starts, for the policy itself tries everything.

    Of the arguments:
        start: the first state of each episode; a random pair if left out.
        policy: followed in the first episode; the uniform one if left out.
        forget: estimate q anew from each episode (generalised policy iteration of figure 5.5).
    """
    if visit not in VISITS:
        raise ValueError(f"mc_epsilon_greedy: visit must be one of {[*VISITS]}, got {visit!r}")
    rng = generator(rng)
    shape = (mdp.states, mdp.actions)
    pi = np.full(shape, 1 / mdp.actions) if policy is None else probabilities(policy, *shape)
    q, visits = np.zeros(shape), np.zeros(shape, np.int64)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    s0 = -1 if start is None else int(start)
    for e in tqdm(range(episodes), disable=not progress, unit=" episodes", desc="MC ε-Greedy"):
        if forget:
            q[...], visits[...] = 0, 0
        returns[e], lengths[e] = _episode(
            rng, *mdp.arrays(), gamma, pi, s0, length, VISITS[visit], q, visits
        )
        pi = epsilon_greedy(q, epsilon)
    return Learned(q, greedy(q), visits, returns, lengths)


@loop
def _episode(
    rng, probability, next_state, reward, terminal, gamma, pi, start, length, visit, q, visits
):
    states, actions, _ = probability.shape
    path_s, path_a = np.empty(length, np.int64), np.empty(length, np.int64)
    path_r = np.empty(length)
    first = np.full((states, actions), -1)
    if start < 0:
        s, a = int(rng.random() * states), int(rng.random() * actions)
    else:
        s, a = start, choose(rng, pi[start])
    n = 0
    while n < length:
        k = sample(rng, probability, next_state, s, a)
        path_s[n], path_a[n], path_r[n] = s, a, reward[s, a, k]
        if first[s, a] < 0:
            first[s, a] = n
        n += 1
        if terminal[s, a, k]:
            break
        s = next_state[s, a, k]
        a = choose(rng, pi[s])
    g, total = 0.0, 0.0
    for t in range(n - 1, -1, -1):
        g = gamma * g + path_r[t]
        total += path_r[t]
        s, a = path_s[t], path_a[t]
        if visit == 2 or (visit == 1 and first[s, a] == t) or t == 0:
            visits[s, a] += 1
            q[s, a] += (g - q[s, a]) / visits[s, a]
    return total, n


# ------------------------------------------------------------------------------ off-policy
@export("rl.importance_sampling")
def importance_sampling(returns: Any, ratios: Any, *, weighted: bool = True) -> ndarray:
    """The estimate of v_π after each of n episodes of another policy, (n,); Sutton-Barto (5.5),
    (5.6).

        ordinary: Σ ρ_i G_i / n          weighted: Σ ρ_i G_i / Σ ρ_i   (0 while all ρ are 0)

    Ordinary is unbiased with perhaps infinite variance; weighted is biased, and usually far better.
    `returns`, `ratios`: G_i and ρ_i = Π π(a|s)/b(a|s) of each episode.
    """
    g, rho = np.asarray(returns, np.float64), np.asarray(ratios, np.float64)
    if g.shape != rho.shape or g.ndim != 1:
        raise ValueError(f"importance_sampling: shapes {g.shape} and {rho.shape} differ")
    above = np.cumsum(rho * g)
    below = np.cumsum(rho) if weighted else np.arange(1, len(g) + 1)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


@export("rl.mc_off_policy")
def mc_off_policy(
    mdp: MDP,
    gamma: float,
    *,
    behaviour: Any,
    policy: Any = None,
    episodes: int,
    length: int,
    start: int | None = None,
    weighted: bool = True,
    rng: Any = 0,
    progress: bool = False,
) -> Learned:
    """q_π from episodes of another policy (`behaviour`), or with policy=None control: π is greedy
    in q all along (Sutton and Barto, sections 5.6 and 5.7).

    Incremental: C(s, a) += W;  q += W/C (g − q);  W *= π(a|s)/b(a|s), backwards until W = 0. The
    ordinary form divides by the number of visits instead of C.

    ValueError if the behaviour never does what the policy does (coverage).
    """
    rng = generator(rng)
    b = probabilities(behaviour, mdp.states, mdp.actions)
    control = policy is None
    pi = b * 0 if control else probabilities(policy, mdp.states, mdp.actions)
    if ((pi > 0) & (b == 0)).any() or (control and (b == 0).any()):
        raise ValueError(
            "mc_off_policy: the behaviour must give every action of the policy a chance"
        )
    if control:
        pi[:, 0] = 1
        if not weighted:
            raise ValueError("mc_off_policy: control needs weighted importance sampling")
    q, weight = np.zeros(b.shape), np.zeros(b.shape)
    visits = np.zeros(b.shape, np.int64)
    returns, lengths = np.zeros(episodes), np.zeros(episodes, np.int64)
    s0 = -1 if start is None else int(start)
    for some in _parts(episodes, progress, "off-policy MC"):
        _off_policy(
            rng, *mdp.arrays(), gamma, pi, b, control, weighted, s0, length, q, weight, visits,
            returns[some], lengths[some],
        )  # fmt: skip
    return Learned(q, greedy(q), visits, returns, lengths)


@loop
def _off_policy(
    rng, probability, next_state, reward, terminal, gamma, pi, b, control, weighted, start, length,
    q, weight, visits, returns, lengths,
):  # fmt: skip
    states = probability.shape[0]
    path_s, path_a = np.empty(length, np.int64), np.empty(length, np.int64)
    path_r = np.empty(length)
    for episode in range(returns.shape[0]):
        s = int(rng.random() * states) if start < 0 else start
        n = 0
        while n < length:
            a = choose(rng, b[s])
            k = sample(rng, probability, next_state, s, a)
            path_s[n], path_a[n], path_r[n] = s, a, reward[s, a, k]
            n += 1
            if terminal[s, a, k]:
                break
            s = next_state[s, a, k]
        g, w = 0.0, 1.0
        for t in range(n - 1, -1, -1):
            g = gamma * g + path_r[t]
            s, a = path_s[t], path_a[t]
            visits[s, a] += 1
            if weighted:
                if w > 0.0:
                    weight[s, a] += w
                    q[s, a] += w / weight[s, a] * (g - q[s, a])
            else:
                q[s, a] += (w * g - q[s, a]) / visits[s, a]
            if control:
                best = best_action(q, s)
                pi[s, :] = 0.0
                pi[s, best] = 1.0
            w *= pi[s, a] / b[s, a]
            if w == 0.0 and weighted:
                break
        total = 0.0
        for t in range(n):
            total += path_r[t]
        returns[episode], lengths[episode] = total, n
