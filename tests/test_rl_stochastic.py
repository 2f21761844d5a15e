"""Stochastic approximation: the book's figures (chapter 6) and the theorems' conditions."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from minigrad.rl import stochastic as sa  # noqa: E402
from minigrad.rl.stochastic import StepSize  # noqa: E402

ROOT = 5 ** (1 / 3)


def cubic(w):
    return w**3 - 5


def test_running_mean_is_the_mean() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3))
    expected = np.cumsum(x, 0) / np.arange(1, 51)[:, None]
    np.testing.assert_allclose(sa.running_mean(x), expected, rtol=1e-12, atol=1e-14)
    constant = sa.running_mean([1.0, 1.0, 1.0], StepSize(0.5, 0))
    np.testing.assert_allclose(constant, [0.5, 0.75, 0.875])


def test_moments_of_batches() -> None:
    x = np.random.default_rng(0).standard_normal((100, 4)) * 3 + 1
    m = sa.RunningMoments((4,))
    np.testing.assert_array_equal(m.variance, np.ones(4))
    for part in np.split(x, [1, 7, 50]):
        m.update(part)
    np.testing.assert_allclose(m.mean, x.mean(0))
    np.testing.assert_allclose(m.variance, x.var(0))


def test_harmonic_sums() -> None:
    k = np.arange(1, 10**6 + 1)
    a = StepSize()(k)
    assert a.sum() - math.log(1e6) == pytest.approx(0.5772, abs=1e-4)
    assert (a**2).sum() == pytest.approx(math.pi**2 / 6, abs=1e-5)


def test_conditions() -> None:
    assert StepSize().conditions().hold
    assert StepSize(3, 0.6, 5).conditions().hold
    assert not StepSize(0.1, 0).conditions().squares_converge
    assert not StepSize(power=1.5).conditions().sum_diverges
    assert not StepSize(power=0.5).conditions().squares_converge
    for step in (StepSize(), StepSize(0.1, 0), StepSize(power=2), StepSize(power=0.4)):
        measured = sa.step_conditions(lambda k, step=step: step(k))
        assert measured[:2] == step.conditions()[:2]
    assert "sum a_k^2 < inf: NO" in str(StepSize(0.1, 0).conditions())
    low, high = sa.slopes(cubic, -3, 3)
    assert low == pytest.approx(0, abs=1e-3) and high == pytest.approx(27, rel=0.01)
    for bad in ((0, 1, 0), (1, -1, 0), (1, 1, -1)):
        with pytest.raises(ValueError, match="StepSize"):
            StepSize(*bad)
    with pytest.raises(ValueError, match="positive"):
        sa.step_conditions(lambda k: -1.0)


def test_figure_6_4() -> None:
    path = sa.robbins_monro(lambda w: np.tanh(w - 1), 3.0, 10, noise=0.0)
    printed = [3, 2.0360, 1.6478, 1.4578, 1.3507, 1.2833, 1.2373, 1.2040, 1.1789, 1.1592, 1.1434]
    np.testing.assert_allclose(path.w, printed, atol=5e-5)
    assert path.conditions.hold and not path.diverged


@pytest.mark.parametrize(
    ("w", "step", "low", "high"),
    [
        (0, StepSize(), 0.97, 1.0),
        (2, StepSize(), 0.32, 0.52),
        (0, StepSize(offset=1), 0.25, 0.45),
        (0, StepSize(offset=5), 0, 0),
        (0, StepSize(offset=9), 0, 0),
        (0, StepSize(0.05, 0), 0, 0),
        (0, StepSize(1 / 3), 0, 0),
        (2, StepSize(1 / 3), 0, 0),
    ],
)
def test_the_trap_of_figure_6_3(w, step, low, high) -> None:
    """As printed (w = 0, a_k = 1/k) nearly every seed diverges; smaller first steps never do."""
    assert low <= sa.divergence(cubic, w, step, seeds=200) <= high


def test_projection_repairs_it() -> None:
    path = sa.robbins_monro(cubic, np.zeros(200), 20_000, project=(-3, 3))
    assert not path.diverged.any()
    assert path.w[-1].mean() == pytest.approx(ROOT, abs=5e-4)
    # the limit theorem: k Var(w_k) → σ² / (2 g'(w*) − 1) for a_k = 1/k
    limit = 1 / np.sqrt((2 * 3 * ROOT**2 - 1) * 20_000)
    assert path.w[-1].std() == pytest.approx(limit, rel=0.15)


def test_averaging_helps() -> None:
    """Polyak and Ruppert: slow steps and averaging are more accurate than the last iterate."""
    path = sa.robbins_monro(lambda w: w - 2, np.zeros(500), 2000, StepSize(power=0.6))
    assert (path.average - 2).std() < 0.6 * (path.w[-1] - 2).std()


def test_kiefer_wolfowitz() -> None:
    def f(w, rng):
        return (w - 1.5) ** 2 + 0.1 * rng.standard_normal(w.shape)

    path = sa.kiefer_wolfowitz(f, np.zeros(100), 3000, StepSize(0.5))
    assert path.average.mean() == pytest.approx(1.5, abs=0.02)
    assert np.abs(path.average - 1.5).max() < 0.2


def test_dvoretzky() -> None:
    rng = np.random.default_rng(0)
    a = StepSize()
    path = sa.dvoretzky(np.full(200, 10.0), a, a, lambda k: rng.standard_normal(200), 20_000)
    assert np.abs(path[-1]).max() < 0.05
    stuck = sa.dvoretzky(10.0, StepSize(0.5, 2), StepSize(power=2), lambda k: 0.0, 20_000)
    assert abs(stuck[-1]) > 1  # the sum of the rates is finite: it never arrives
    each = sa.dvoretzky([1.0, 1.0], lambda k: np.array([1 / k, 0.0]), a, lambda k: 0.0, 5)
    np.testing.assert_array_equal(each[-1], [0, 1])


def mean_gradient(w, x):
    return w - x


def test_figure_6_5() -> None:
    """The mean of 100 points of a square by SGD and MBGD: larger batches, smaller noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-10, 10, (100, 2))
    distance = {}
    for m in (1, 5, 50):
        runs = [
            sa.descend(mean_gradient, x, [20.0, 20.0], 30, batch=m, rng=np.random.default_rng(i))
            for i in range(50)
        ]
        distance[m] = np.linalg.norm(np.stack(runs) - x.mean(0), axis=-1).mean(0)
        assert distance[m][-1] < 0.2 * distance[m][0]
    assert distance[50][10] < distance[5][10] < distance[1][10]
    exact = sa.descend(mean_gradient, x, [20.0, 20.0], 3, batch=None)
    np.testing.assert_allclose(exact[1:], np.tile(x.mean(0), (3, 1)), atol=1e-12)
    drawn = sa.descend(mean_gradient, x, [20.0, 20.0], 3, batch=100)
    assert np.linalg.norm(drawn[1] - x.mean(0)) > 1e-3  # n draws with replacement: not all of them
    shuffled = sa.descend(mean_gradient, x, [20.0, 20.0], 3, batch=100, replace=False)
    np.testing.assert_allclose(shuffled[1:], exact[1:], atol=1e-12)
    with pytest.raises(ValueError, match="batch"):
        sa.descend(mean_gradient, x, [0.0, 0.0], 1, batch=101, replace=False)


def test_relative_error_is_bounded_and_falls_with_distance() -> None:
    x = np.random.default_rng(0).uniform(-10, 10, (100, 2))
    optimum = x.mean(0)
    errors = []
    for far in (100.0, 10.0, 1.0):
        w = optimum + far
        true = w - optimum
        for sample in x:
            bound = sa.relative_error_bound(w - sample, true, 1.0, w, optimum)
            assert sa.relative_error(w - sample, true) <= bound + 1e-12
        errors.append(np.mean([sa.relative_error(w - s, true) for s in x]))
    assert errors[0] < errors[1] < errors[2]
    with pytest.raises(ValueError, match="positive"):
        sa.relative_error_bound(1, 1, 0, 1, 0)
