"""What policies earn, and the exact policy gradient: against differences, walks, identities."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from minigrad import rl  # noqa: E402


def worlds():
    return [rl.GridWorld(reward_forbidden=-10).model, rl.GridWorld((3, 4), slip=0.3).model]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_average_reward_and_value(gamma, dense) -> None:
    """r̄ = (1 − γ) v̄ for the stationary distribution, and only for it (section 9.2)."""
    for model in worlds():
        mdp = model.dense() if dense else model
        pi = rl.softmax_policy(np.random.default_rng(0).standard_normal((mdp.states, mdp.actions)))
        r, v = rl.average_reward(mdp, pi), rl.average_value(mdp, pi, gamma)
        assert r == pytest.approx((1 - gamma) * v, rel=1e-9)
        uniform = np.full(mdp.states, 1 / mdp.states)
        other = rl.average_value(mdp, pi, gamma, uniform)
        assert other == pytest.approx(rl.policy_values(mdp, pi, gamma).mean())
        assert rl.average_reward(mdp, pi, uniform) != pytest.approx((1 - gamma) * other, rel=1e-3)


def test_average_reward_is_that_of_a_long_walk() -> None:
    model = worlds()[0]
    pi = rl.epsilon_greedy(rl.value_iteration(model, 0.9).q, 0.5)
    rng, s, total, steps = np.random.default_rng(1), 0, 0.0, 40_000
    for a in range(steps):
        a = rng.choice(model.actions, p=pi[s])
        total += model.reward[s, a, 0]
        s = model.next_state[s, a, 0]
    assert total / steps == pytest.approx(rl.average_reward(model, pi), abs=0.08)


@pytest.mark.parametrize("dense", [False, True])
def test_policy_gradient_is_that_of_differences(dense) -> None:
    rng = np.random.default_rng(2)
    for model in worlds():
        mdp = model.dense() if dense else model
        theta = rng.standard_normal((mdp.states, mdp.actions))
        d = rng.dirichlet(np.ones(mdp.states))
        gradient = rl.policy_gradient(mdp, theta, 0.9, d)

        def earned(t, mdp=mdp, d=d):
            return rl.average_value(mdp, rl.softmax_policy(t), 0.9, d)

        for _ in range(3):
            way = rng.standard_normal(theta.shape)
            slope = (earned(theta + 1e-5 * way) - earned(theta - 1e-5 * way)) / 2e-5
            assert (gradient * way).sum() == pytest.approx(slope, rel=1e-6)
        np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-9)  # a shift of θ(s, ·) is no change


def test_ascent_finds_the_best_policy() -> None:
    model = rl.GridWorld((3, 4), reward_boundary=-10).model.dense()
    theta, d = np.zeros((12, 5)), np.full(12, 1 / 12)
    for _ in range(500):
        theta += rl.policy_gradient(model, theta, 0.9, d)
    best = rl.value_iteration(model, 0.9).v
    earned = rl.average_value(model, rl.softmax_policy(theta), 0.9, d)
    assert best.mean() - 0.1 < earned <= best.mean()


def test_optimal_baseline_has_the_least_variance() -> None:
    rng = np.random.default_rng(3)
    pi, q = rng.dirichlet(np.ones(4), 6), rng.standard_normal((6, 4)) * 5

    def variance(b):
        score = np.eye(4) - pi[:, None, :]  # (S, A, 4): ∇ ln π(a|s)
        x = score * (q - b[:, None])[..., None]
        mean = np.einsum("sa,sai->si", pi, x)
        return np.einsum("sa,sai->s", pi, x**2) - (mean**2).sum(1)

    best = rl.optimal_baseline(pi, q)
    least = variance(best)
    v = (pi * q).sum(1)
    assert (least < variance(v)).all() and (least < variance(np.zeros(6))).all()
    for step in (-0.1, 0.1):
        assert (variance(best + step) > least).all()
    certain = np.array([[0.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(rl.optimal_baseline(certain, q[:1]), q[0, 1])


def test_refusals() -> None:
    model = worlds()[0]
    with pytest.raises(ValueError, match=r"shape \(25,\)"):
        rl.average_value(model, np.zeros(25, int), 0.9, np.ones(3))
    with pytest.raises(ValueError, match="policy"):
        rl.optimal_baseline(np.ones((2, 3)), np.ones((2, 3)))
