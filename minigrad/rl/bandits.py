"""Multi-armed bandits: exploration in its purest form (Sutton and Barto, chapter 2).

    rewards, optimal = play("ucb", means, steps=1000, parameter=2.0)     # each (runs, steps)

Each run has its own arms: rewards of arm a are N(mean[a], 1), or Bernoulli(mean[a]).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..export import export
from .loops import helper, loop

ndarray = np.ndarray
EPSILON, UCB, GRADIENT, THOMPSON = range(4)
METHODS = {"epsilon": EPSILON, "ucb": UCB, "gradient": GRADIENT, "thompson": THOMPSON}


@export("rl.play")
def play(
    method: str,
    means: Any,
    *,
    steps: int,
    parameter: float = 0.1,
    bernoulli: bool = False,
    baseline: bool = True,
    first: float = 0.0,
    step_size: float = 0.0,
    rng: Any = 0,
) -> tuple[ndarray, ndarray]:
    """Play `steps` times on each row of `means` (runs, arms): expected rewards of the arms pulled,
    and whether they were the best ones, each (runs, steps).

        "epsilon"   with probability ε a random arm, otherwise argmax Q
        "ucb"       argmax Q(a) + c √(ln t / N(a)), each arm once first (Auer et al. 2002: c = √2)
        "gradient"  softmax of preferences H;  H += α (r − r̄)(1[a] − π)   (r̄ = 0 without baseline)
        "thompson"  argmax of a draw from the posterior: Beta(1 + wins, 1 + losses) for Bernoulli
                    arms, else N(Σr / (N + 1), 1 / (N + 1))

    `parameter` is ε, c or α. Q is the mean of an arm's rewards, or with `step_size` > 0 moves by
    that share towards each of them, from `first` (optimistic starts).

    ValueError for an unknown method or means of another shape.
    """
    if method not in METHODS:
        raise ValueError(f"play: method must be one of {[*METHODS]}, got {method!r}")
    m = np.ascontiguousarray(means, np.float64)
    if m.ndim != 2:
        raise ValueError(f"play: means must have shape (runs, arms), got {m.shape}")
    if bernoulli and ((m < 0) | (m > 1)).any():
        raise ValueError("play: means of Bernoulli arms must lie in [0, 1]")
    rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
    rewards, optimal = np.zeros((len(m), steps)), np.zeros((len(m), steps), bool)
    _play(
        rng, m, METHODS[method], parameter, bernoulli, baseline, first, step_size, rewards, optimal
    )
    return rewards, optimal


@helper
def _pick(rng, method, parameter, bernoulli, q, n, t):
    arms = q.shape[0]
    if method == EPSILON and rng.random() < parameter:
        return int(rng.random() * arms)
    if method == GRADIENT:
        weights = np.exp(q - q.max())
        u = rng.random() * weights.sum()
        for a in range(arms):
            u -= weights[a]
            if u < 0:
                return a
        return arms - 1
    best, top = 0, -np.inf
    for a in range(arms):
        value = q[a]
        if method == UCB:
            value = np.inf if n[a] == 0 else q[a] + parameter * math.sqrt(math.log(t + 1) / n[a])
        elif method == THOMPSON:
            if bernoulli:
                value = rng.beta(1 + n[a] * q[a], 1 + n[a] * (1 - q[a]))
            else:
                value = n[a] * q[a] / (n[a] + 1) + rng.standard_normal() / math.sqrt(n[a] + 1)
        if value > top:
            best, top = a, value
    return best


@loop
def _play(rng, means, method, parameter, bernoulli, baseline, first, step_size, rewards, optimal):
    runs, arms = means.shape
    for run in range(runs):
        q, n = np.full(arms, first), np.zeros(arms)
        best, average = means[run].max(), 0.0
        for t in range(rewards.shape[1]):
            a = _pick(rng, method, parameter, bernoulli, q, n, t)
            mean = means[run, a]
            r = mean + rng.standard_normal()
            if bernoulli:
                r = 1.0 if rng.random() < mean else 0.0
            n[a] += 1
            if method == GRADIENT:
                weights = np.exp(q - q.max())
                weights /= weights.sum()
                advantage = r - average if baseline else r
                for b in range(arms):
                    q[b] += parameter * advantage * ((1.0 if a == b else 0.0) - weights[b])
                average += (r - average) / (t + 1)
            else:
                q[a] += (r - q[a]) * (step_size if step_size > 0.0 else 1 / n[a])
            rewards[run, t], optimal[run, t] = mean, mean == best
