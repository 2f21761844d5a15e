"""What a policy earns on average, and the exact gradient of that (Zhao, chapters 9 and 10).

    v̄ = Σ_s d(s) v(s)        r̄ = Σ_s d(s) r(s)        r̄ = (1 − γ) v̄ if d is stationary

For a model, without samples: what the policy gradient of REINFORCE or of an actor-critic estimates
can be compared with. The policy is the softmax of a table θ (S, A) of preferences, so that
∇_θ(s,·) ln π(a|s) = 1[a] − π(·|s).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .exact import Model, action_values, discounted_sum, policy_values
from .linear import stationary_distribution
from .mdp import probabilities

ndarray = np.ndarray


@export("rl.average_value")
def average_value(mdp: Model, policy: Any, gamma: float, d: Any = None) -> float:
    """v̄ = Σ_s d(s) v_π(s), of states drawn from d (S,); from the stationary distribution if left
    out.
    """
    return float(_weights(mdp, policy, d) @ policy_values(mdp, policy, gamma))


@export("rl.average_reward")
def average_reward(mdp: Model, policy: Any, d: Any = None) -> float:
    """r̄ = Σ_s d(s) r_π(s), the reward of a step in the long run if d is stationary (left out)."""
    return float(_weights(mdp, policy, d) @ mdp.under(policy)[1])


def _weights(mdp: Model, policy: Any, d: Any) -> ndarray:
    d = stationary_distribution(mdp, policy) if d is None else np.asarray(d, np.float64)
    if d.shape != (mdp.states,):
        raise ValueError(f"d: expected shape {(mdp.states,)}, got {d.shape}")
    return d


@export("rl.softmax_policy")
def softmax_policy(theta: Any) -> ndarray:
    """π(a|s) = exp θ(s, a) / Σ_b exp θ(s, b), (S, A)."""
    theta = np.asarray(theta, np.float64)
    weights = np.exp(theta - theta.max(1, keepdims=True))
    return weights / weights.sum(1, keepdims=True)


@export("rl.policy_gradient")
def policy_gradient(mdp: Model, theta: Any, gamma: float, d: Any) -> ndarray:
    """∇_θ Σ_s d(s) v_π(s) for the softmax policy of θ, (S, A): the policy gradient theorem in its
    discounted form,

        Σ_s ρ(s) Σ_a ∇π(a|s) q_π(s, a),        ρᵀ = dᵀ (I − γP_π)⁻¹

    where d, the distribution of first states, does not depend on θ.
    """
    pi = softmax_policy(theta)
    q = action_values(mdp, pi, gamma)
    rho = discounted_sum(mdp.under(pi)[0].T, _weights(mdp, pi, d), gamma)  # Σ_k γᵏ Pr(S_k = s)
    return rho[:, None] * pi * (q - (pi * q).sum(1, keepdims=True))


@export("rl.optimal_baseline")
def optimal_baseline(policy: Any, q: Any) -> ndarray:
    """b*(s) = E[‖∇ln π(A|s)‖² q(s, A)] / E[‖∇ln π(A|s)‖²], (S,): the baseline with which the
    estimate ∇ln π(A|s) (q(s, A) − b(s)) varies least (section 10.2.1); v(s) is its usual stand-in.

    For a policy (S, A) that is a softmax. A state with one possible action has no gradient: v(s).
    """
    q = np.asarray(q, np.float64)
    pi = probabilities(policy, *q.shape)
    weight = pi * (1 - 2 * pi + (pi * pi).sum(1, keepdims=True))
    total = weight.sum(1)
    alone = total <= 0
    return np.where(alone, (pi * q).sum(1), (weight * q).sum(1) / np.where(alone, 1, total))
