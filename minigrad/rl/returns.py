"""Returns and advantages of a rollout: pure functions of arrays (T, N), T steps of N environments.

`ends[t]` tells that the episode ended with step t, by itself or cut off; `next_values[t]` is what
the state after step t is worth: 0 where the episode ended by itself, v(s_{t+1}) otherwise, also
where it was cut off by a time limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .loops import loop

ndarray = np.ndarray


@export("rl.discounted_returns")
def discounted_returns(rewards: Any, ends: Any, next_values: Any, gamma: float) -> ndarray:
    """G_t = r_{t+1} + γ G_{t+1}, started from next_values where an episode or the rollout ends."""
    return lambda_returns(rewards, ends, next_values, gamma, 1.0)


@export("rl.lambda_returns")
def lambda_returns(rewards: Any, ends: Any, next_values: Any, gamma: float, lam: float) -> ndarray:
    """G_t = r_{t+1} + γ ((1 − λ) v(s_{t+1}) + λ G_{t+1}); Sutton and Barto (12.18).

    λ = 0 gives TD(0)'s targets, λ = 1 the discounted returns.
    """
    r, e, v = _arrays(rewards, ends, next_values)
    out = np.empty_like(r)
    _lambda_returns(r, e, v, gamma, lam, out)
    return out


@export("rl.gae")
def gae(
    rewards: Any, ends: Any, values: Any, next_values: Any, gamma: float, lam: float
) -> ndarray:
    """Generalised advantages (Schulman et al. 2016, eq. 16), (T, N):

    δ_t = r_{t+1} + γ v(s_{t+1}) − v(s_t),     A_t = δ_t + γλ A_{t+1}, with A = 0 after an end.

    The λ-return less v(s_t), which is how it is computed.
    """
    return lambda_returns(rewards, ends, next_values, gamma, lam) - np.asarray(values)


def _arrays(*given: Any) -> list[ndarray]:
    r, e, v = (np.ascontiguousarray(x) for x in given)
    if not r.shape == e.shape == v.shape or r.ndim != 2:
        raise ValueError(
            f"returns: expected three arrays (T, N), got {r.shape}, {e.shape}, {v.shape}"
        )
    return [r.astype(np.float32), e.astype(np.bool_), v.astype(np.float32)]


@loop
def _lambda_returns(rewards, ends, next_values, gamma, lam, out):
    steps, envs = rewards.shape
    for n in range(envs):
        g = 0.0
        for t in range(steps - 1, -1, -1):
            if ends[t, n] or t == steps - 1:
                g = next_values[t, n]
            else:
                g = (1 - lam) * next_values[t, n] + lam * g
            g = rewards[t, n] + gamma * g
            out[t, n] = g
