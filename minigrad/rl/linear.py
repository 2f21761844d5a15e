"""Value functions that are linear in features (Zhao, chapter 8).

    phi = fourier_features(world.rows, world.columns, order=2)      # (S, d), one row a state
    w = td_linear(world.model, policy, phi, 0.9, steps=250_000, alpha=0.0005)
    v = phi @ w

    v̂(s, w) = φ(s)ᵀ w          w ← w + α (r + γ φ(s')ᵀw − φ(s)ᵀw) φ(s)        eq. (8.13)

TD-linear converges to the solution of A w = b, A = Φᵀ D (I − γP) Φ, b = Φᵀ D r, where D holds the
stationary distribution of the policy (section 8.2.5): the projected Bellman equation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..export import export
from .exact import Model
from .loops import choose, helper, loop
from .mdp import MDP, probabilities
from .monte_carlo import generator, sample

ndarray = np.ndarray


# ------------------------------------------------------------------------------ features
def _axis(n: int, low: float) -> ndarray:
    return np.linspace(low, 1, n) if n > 1 else np.full(1, low)


def _grid(rows: int, columns: int, low: float) -> tuple[ndarray, ndarray]:
    """x (the column) and y (the row) of every state, each in [low, 1]."""
    y, x = np.meshgrid(_axis(rows, low), _axis(columns, low), indexing="ij")
    return x.ravel(), y.ravel()


@export("rl.polynomial_features")
def polynomial_features(rows: int, columns: int, order: int) -> ndarray:
    """1, x, y, x², y², xy, ... up to total degree `order`, x and y in [-1, 1]: (S, d) with d = 3,
    6, 10 for order 1, 2, 3; eq. (8.15)-(8.17).
    """
    if order < 0:
        raise ValueError(f"polynomial_features: order must not be negative, got {order}")
    x, y = _grid(rows, columns, -1)
    powers = [(i - j, j) for i in range(order + 1) for j in range(i + 1)]
    return np.stack([x**i * y**j for i, j in powers], 1)


@export("rl.fourier_features")
def fourier_features(rows: int, columns: int, order: int) -> ndarray:
    """cos(π (c₁x + c₂y)), c₁ and c₂ in 0 ... order, x and y in [0, 1]: (S, (order + 1)²); eq.
    (8.18).
    """
    if order < 0:
        raise ValueError(f"fourier_features: order must not be negative, got {order}")
    x, y = _grid(rows, columns, 0)
    c = range(order + 1)
    return np.stack([np.cos(np.pi * (i * x + j * y)) for i in c for j in c], 1)


# ------------------------------------------------------------------------------ theory
@export("rl.stationary_distribution")
def stationary_distribution(mdp: Model, policy: Any) -> ndarray:
    """d with dᵀP_π = dᵀ, (S,): how often a policy visits each state in the long run.

    ValueError if there is not exactly one, as with several closed parts or episodes that end.
    """
    P, _ = mdp.under(policy)
    P = P.toarray() if not isinstance(P, ndarray) else P
    n = len(P)
    if not np.allclose(P.sum(1), 1):
        raise ValueError("stationary_distribution: episodes end under this policy")
    system = np.vstack([P.T - np.eye(n), np.ones(n)])
    d, _, rank, _ = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)
    if rank < n:
        raise ValueError("stationary_distribution: not unique (several closed parts)")
    return d.clip(0)


@export("rl.projected_solution")
def projected_solution(
    mdp: Model, policy: Any, phi: ndarray, gamma: float, d: ndarray | None = None
) -> ndarray:
    """w = A⁻¹ b with A = Φᵀ D (I − γP) Φ, b = Φᵀ D r; where TD-linear arrives, eq. (8.21)."""
    d = stationary_distribution(mdp, policy) if d is None else d
    P, r = mdp.under(policy)
    A = phi.T @ (d[:, None] * (phi - gamma * (P @ phi)))
    return np.linalg.solve(A, phi.T @ (d * r))


@export("rl.projected_bellman_error")
def projected_bellman_error(
    mdp: Model, policy: Any, phi: ndarray, w: ndarray, gamma: float, d: ndarray | None = None
) -> float:
    """J_PBE(w) = ‖Φw − M T(Φw)‖²_D, M the projection on the features; zero at TD's solution."""
    d = stationary_distribution(mdp, policy) if d is None else d
    P, r = mdp.under(policy)
    v = phi @ w
    error = r + gamma * (P @ v) - v
    weighted = phi.T @ (d[:, None] * phi)
    projected = phi @ np.linalg.solve(weighted, phi.T @ (d * error))
    return float(d @ projected**2)


# ------------------------------------------------------------------------------ learning
@export("rl.td_linear")
def td_linear(
    mdp: MDP,
    policy: Any,
    phi: ndarray,
    gamma: float,
    *,
    steps: int,
    alpha: float,
    length: int = 500,
    start: int | None = None,
    w: Any = None,
    rng: Any = 0,
) -> ndarray:
    """w by TD(0) on v̂ = φᵀw, (d,). w starts from N(0, 1) if left out, as in figure 8.6."""
    phi = _features(mdp, phi)
    rng = generator(rng)
    w = rng.standard_normal(phi.shape[1]) if w is None else np.array(w, np.float64)
    pi = probabilities(policy, mdp.states, mdp.actions)
    s0 = -1 if start is None else int(start)
    _td_linear(rng, *mdp.arrays(), gamma, alpha, pi, phi, w, s0, steps, length)
    return w


@loop
def _td_linear(
    rng, probability, next_state, reward, terminal, gamma, alpha, pi, phi, w, start, steps, length
):
    states = probability.shape[0]
    s, age = -1, 0
    for _ in range(steps):
        if s < 0:
            s, age = (int(rng.random() * states) if start < 0 else start), 0
        a = choose(rng, pi[s])
        k = sample(rng, probability, next_state, s, a)
        s2, ends = next_state[s, a, k], terminal[s, a, k]
        error = reward[s, a, k]
        for i in range(w.shape[0]):
            error -= phi[s, i] * w[i]
            if not ends:
                error += gamma * phi[s2, i] * w[i]
        for i in range(w.shape[0]):
            w[i] += alpha * error * phi[s, i]
        age += 1
        s = -1 if ends or age >= length else s2


@export("rl.lstd")
def lstd(
    mdp: MDP,
    policy: Any,
    phi: ndarray,
    gamma: float,
    *,
    steps: int,
    length: int = 500,
    start: int | None = None,
    ridge: float = 1e-3,
    rng: Any = 0,
) -> ndarray:
    """Least-squares TD, (d,): Â = Σ φ(s)(φ(s) − γφ(s'))ᵀ + ridge·I, b̂ = Σ φ(s) r, w = Â⁻¹ b̂; no
    rate to choose, each sample used to the full (section 8.2.5, "least-squares TD").
    """
    phi = _features(mdp, phi)
    d = phi.shape[1]
    A, b = np.eye(d) * ridge, np.zeros(d)
    pi = probabilities(policy, mdp.states, mdp.actions)
    s0 = -1 if start is None else int(start)
    _lstd(generator(rng), *mdp.arrays(), gamma, pi, phi, A, b, s0, steps, length)
    return np.linalg.solve(A, b)


@loop
def _lstd(
    rng, probability, next_state, reward, terminal, gamma, pi, phi, A, b, start, steps, length
):
    states = probability.shape[0]
    d = b.shape[0]
    s, age = -1, 0
    for _ in range(steps):
        if s < 0:
            s, age = (int(rng.random() * states) if start < 0 else start), 0
        a = choose(rng, pi[s])
        k = sample(rng, probability, next_state, s, a)
        s2, ends = next_state[s, a, k], terminal[s, a, k]
        g = 0.0 if ends else gamma
        for i in range(d):
            b[i] += phi[s, i] * reward[s, a, k]
            for j in range(d):
                A[i, j] += phi[s, i] * (phi[s, j] - g * phi[s2, j])
        age += 1
        s = -1 if ends or age >= length else s2


@export("rl.sarsa_linear")
def sarsa_linear(mdp: MDP, phi: ndarray, gamma: float, *, steps: int, **options: Any) -> ndarray:
    """Sarsa on q̂(s, a) = φ(s)ᵀ W[:, a], Algorithm 8.2: W of shape (d, A).

    Options, here and in `q_linear`: alpha, epsilon, start, length, W, rng.
    """
    return _control_linear(mdp, phi, gamma, steps, False, **options)


@export("rl.q_linear")
def q_linear(mdp: MDP, phi: ndarray, gamma: float, *, steps: int, **options: Any) -> ndarray:
    """Q-learning on q̂(s, a) = φ(s)ᵀ W[:, a], Algorithm 8.3: W of shape (d, A)."""
    return _control_linear(mdp, phi, gamma, steps, True, **options)


def _control_linear(
    mdp: MDP,
    phi: ndarray,
    gamma: float,
    steps: int,
    optimal: bool,
    *,
    alpha: float = 0.001,
    epsilon: float = 0.1,
    start: int | None = None,
    length: int = 500,
    W: Any = None,
    rng: Any = 0,
) -> ndarray:
    phi = _features(mdp, phi)
    W = np.zeros((phi.shape[1], mdp.actions)) if W is None else np.array(W, np.float64)
    s0 = -1 if start is None else int(start)
    _linear(
        generator(rng), *mdp.arrays(), gamma, alpha, epsilon, optimal, phi, W, s0, steps, length
    )
    return W


@helper
def _values(phi, W, s, out):
    for a in range(W.shape[1]):
        out[a] = 0.0
        for i in range(W.shape[0]):
            out[a] += phi[s, i] * W[i, a]


@loop
def _linear(
    rng,
    probability,
    next_state,
    reward,
    terminal,
    gamma,
    alpha,
    epsilon,
    optimal,
    phi,
    W,
    start,
    steps,
    length,
):
    states, actions, _ = probability.shape
    q, q2 = np.zeros(actions), np.zeros(actions)
    s, a, age = -1, 0, 0
    for _ in range(steps):
        if s < 0:
            s, age = (int(rng.random() * states) if start < 0 else start), 0
            _values(phi, W, s, q)
            a = int(rng.random() * actions) if rng.random() < epsilon else int(np.argmax(q))
        k = sample(rng, probability, next_state, s, a)
        s2, ends = next_state[s, a, k], terminal[s, a, k]
        _values(phi, W, s, q)
        _values(phi, W, s2, q2)
        a2 = int(rng.random() * actions) if rng.random() < epsilon else int(np.argmax(q2))
        error = reward[s, a, k] - q[a]
        if not ends:
            error += gamma * (q2.max() if optimal else q2[a2])
        for i in range(W.shape[0]):
            W[i, a] += alpha * error * phi[s, i]
        age += 1
        s, a = (-1 if ends or age >= length else s2), a2


def _features(mdp: MDP, phi: Any) -> ndarray:
    phi = np.ascontiguousarray(phi, np.float64)
    if phi.ndim != 2 or len(phi) != mdp.states:
        raise ValueError(f"features: expected shape ({mdp.states}, d), got {phi.shape}")
    return phi
