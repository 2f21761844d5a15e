"""Stochastic approximation (Zhao, *Mathematical Foundations of RL*, chapter 6).

Everything in this package that learns from samples is an instance of one iteration,

    w_{k+1} = w_k − a_k g̃(w_k, η_k),        g̃ = g + noise,

which finds the root of g (Robbins and Monro 1951). The mean of samples is the case g(w) = w − E[X],
gradient descent on samples the case g = ∇J, temporal differences the case of Bellman's equation.

Theorem 6.1: w_k → w* almost surely if (1) 0 < c₁ ≤ g' ≤ c₂, (2) Σ a_k = ∞ and Σ a_k² < ∞, and
(3) the noise has mean 0 and bounded variance given the past. `StepSize.conditions()` decides (2),
`slopes()` measures (1).

**A trap in the book's own example.** g(w) = w³ − 5 with w₁ = 0, a_k = 1/k and standard normal noise
diverges for nearly every seed: the first step lands near 5, where g is 120, the second near −55.
g' = 3w² is bounded neither below nor above, so condition (1) fails and the theorem promises
nothing. `divergence(...)` counts it; a smaller first step (1/(k+5)) or a projection to an interval
that holds the root (`project=(-3, 3)`) repairs it.

All functions take w of any shape; g then acts on each number by itself, so many seeds run at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..export import export

ndarray = np.ndarray
Function = Callable[[Any], Any]
HUGE = 1e6
"""A path that leaves [-HUGE, HUGE] has diverged."""


# ------------------------------------------------------------------------------ step sizes
class Conditions(NamedTuple):
    """Condition (2) of the theorem: Σ a_k = ∞ and Σ a_k² < ∞, and a_k ~ k^(-exponent)."""

    sum_diverges: bool
    squares_converge: bool
    exponent: float

    @property
    def hold(self) -> bool:
        return self.sum_diverges and self.squares_converge

    def __str__(self) -> str:
        def word(ok: bool) -> str:
            return "yes" if ok else "NO"

        return (
            f"a_k ~ k^-{self.exponent:g}: sum a_k = inf: {word(self.sum_diverges)}, "
            f"sum a_k^2 < inf: {word(self.squares_converge)}"
        )


@export("rl.StepSize")
class StepSize:
    """a_k = scale / (k + offset)^power, k = 1, 2, ...; power 0 is a constant step.

    ValueError unless scale > 0, offset > -1 and power >= 0.
    """

    def __init__(self, scale: float = 1.0, power: float = 1.0, offset: float = 0.0) -> None:
        if not (scale > 0 and offset > -1 and power >= 0):
            raise ValueError(
                "StepSize: expected scale > 0, offset > -1, power >= 0, got "
                f"{scale}, {offset}, {power}"
            )
        self.scale, self.power, self.offset = scale, power, offset

    def __call__(self, k: Any) -> Any:
        return self.scale / (k + self.offset) ** self.power

    def __repr__(self) -> str:
        return f"StepSize({self.scale:g}, power={self.power:g}, offset={self.offset:g})"

    def conditions(self) -> Conditions:
        """Exactly: the sum diverges for power ≤ 1, that of the squares converges for power > ½."""
        return Conditions(self.power <= 1, self.power > 0.5, self.power)


@export("rl.step_conditions")
def step_conditions(step: Function, *, last: int = 10**7) -> Conditions:
    """Condition (2) for any function of k, from its decay between k = last/100 and last.

    A measurement: a_k = 1/(k log k) cannot be told from 1/k. A StepSize is decided exactly.
    """
    if isinstance(step, StepSize):
        return step.conditions()
    a, b = float(step(last // 100)), float(step(last))
    if not (a > 0 and b > 0):
        raise ValueError(f"step_conditions: steps must be positive, got {a} and {b}")
    exponent = round(math.log(a / b) / math.log(100), 3)
    return Conditions(exponent <= 1, exponent > 0.5, exponent)


@export("rl.slopes")
def slopes(g: Function, low: float, high: float, points: int = 1001) -> tuple[float, float]:
    """The least and the largest slope of g between neighbouring points of [low, high]: c₁ and c₂ of
    condition (1), which holds on this interval if c₁ > 0.
    """
    w = np.linspace(low, high, points)
    slope = np.diff(np.asarray(g(w), np.float64)) / np.diff(w)
    return float(slope.min()), float(slope.max())


# ------------------------------------------------------------------------------ means
@export("rl.running_mean")
def running_mean(samples: Any, step: Function | None = None, w: Any = None) -> ndarray:
    """w_{k+1} = w_k − a_k (w_k − x_k), all iterates w_2, w_3, ...: shape of `samples`.

    With a_k = 1/k (the default) w_{k+1} is the arithmetic mean of x_1 ... x_k; eq. (6.4).
    """
    x = np.asarray(samples, np.float64)
    a = step or StepSize()
    current = np.zeros(x.shape[1:]) if w is None else np.asarray(w, np.float64)
    path = np.empty(x.shape)
    for k in range(len(x)):
        current = current - a(k + 1) * (current - x[k])
        path[k] = current
    return path


@export("rl.RunningMoments")
class RunningMoments:
    """Mean and variance of a stream, sample by sample or batch by batch (Welford 1962; Chan et al.
    1983 for batches). The state is three attributes: count, mean, and m2 = Σ (x − mean)².
    """

    def __init__(self, shape: Sequence[int] = ()) -> None:
        self.count = 0
        self.mean = np.zeros(tuple(shape))
        self.m2 = np.zeros(tuple(shape))

    def update(self, batch: Any) -> None:
        """Take in samples along the first axis."""
        x = np.asarray(batch, np.float64)
        n, mean = len(x), x.mean(0)
        total = self.count + n
        delta = mean - self.mean
        self.m2 = self.m2 + ((x - mean) ** 2).sum(0) + delta**2 * (self.count * n / total)
        self.mean = self.mean + delta * (n / total)
        self.count = total

    @property
    def variance(self) -> ndarray:
        """m2 / count, that of the samples themselves (1 before the first)."""
        return self.m2 / self.count if self.count else np.ones_like(self.m2)


# ------------------------------------------------------------------------------ root finding
class Path(NamedTuple):
    """w_1, w_2, ..., w_{n+1} (n + 1, ...), and the average of the later ones (Polyak-Ruppert)."""

    w: ndarray
    average: ndarray
    conditions: Conditions

    @property
    def diverged(self) -> ndarray:
        """Which of the runs left every reasonable place."""
        return ~(np.abs(self.w) <= HUGE).all(0)


def _project(w: ndarray, interval: tuple[Any, Any] | None) -> ndarray:
    return w if interval is None else np.clip(w, *interval)


@export("rl.robbins_monro")
def robbins_monro(
    g: Function,
    w: Any,
    steps: int,
    step: Function | None = None,
    *,
    noise: float | Callable[[np.random.Generator, tuple[int, ...]], Any] = 1.0,
    project: tuple[Any, Any] | None = None,
    average_from: float = 0.5,
    rng: np.random.Generator | None = None,
) -> Path:
    """w_{k+1} = w_k − a_k (g(w_k) + η_k), eq. (6.5).

    Of the arguments:
        g: the function whose root is sought; sees arrays of w's shape.
        step: a_k; 1/k if left out.
        noise: the standard deviation of a normal η, or a function of (rng, shape).
        project: an interval to which each w is brought back (projected Robbins-Monro).
        average_from: the average is over the iterates after this share of the steps.

    Returns the path, its average, and whether the steps fulfil the theorem's condition (2). A path
    that diverges is returned as it is: inf and nan included.
    """
    a = step or StepSize()
    rng = rng or np.random.default_rng(0)
    if callable(noise):
        draw: Callable[..., Any] = noise
    else:
        scale = noise

        def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
            return scale * rng.standard_normal(shape) if scale else 0.0

    current = np.asarray(w, np.float64)
    path = np.empty((steps + 1, *current.shape))
    path[0] = current
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(1, steps + 1):
            current = current - a(k) * (g(current) + draw(rng, current.shape))
            path[k] = current = _project(current, project)
        average = path[min(int(average_from * steps), steps) :].mean(0)
    return Path(path, average, step_conditions(a))


@export("rl.divergence")
def divergence(
    g: Function, w: float, step: Function, *, seeds: int = 200, steps: int = 1000, **options: Any
) -> float:
    """The share of seeds under which Robbins-Monro diverges from the start w."""
    path = robbins_monro(g, np.full(seeds, float(w)), steps, step, **options)
    return float(path.diverged.mean())


@export("rl.kiefer_wolfowitz")
def kiefer_wolfowitz(
    f: Callable[[Any, np.random.Generator], Any],
    w: Any,
    steps: int,
    step: Function | None = None,
    width: Function | None = None,
    *,
    project: tuple[Any, Any] | None = None,
    rng: np.random.Generator | None = None,
) -> Path:
    """The minimum of a function that is only seen with noise (Kiefer and Wolfowitz 1952):

        w_{k+1} = w_k − a_k (f(w_k + c_k) − f(w_k − c_k)) / (2 c_k)

    with c_k = k^(-1/3) if left out: Σ a_k c_k < ∞ and Σ a_k²/c_k² < ∞ must hold. `f(w, rng)` acts
    on each number of w by itself.
    """
    a, c = step or StepSize(), width or StepSize(power=1 / 3)
    rng = rng or np.random.default_rng(0)
    current = np.asarray(w, np.float64)
    path = np.empty((steps + 1, *current.shape))
    path[0] = current
    for k in range(1, steps + 1):
        slope = (f(current + c(k), rng) - f(current - c(k), rng)) / (2 * c(k))
        path[k] = current = _project(current - a(k) * slope, project)
    return Path(path, path[steps // 2 :].mean(0), step_conditions(a))


@export("rl.dvoretzky")
def dvoretzky(
    delta: Any, alpha: Function, beta: Function, noise: Callable[[int], Any], steps: int
) -> ndarray:
    """Δ_{k+1} = (1 − α_k) Δ_k + β_k η_k, eq. (6.7): (steps + 1, ...).

    Δ_k → 0 almost surely if α_k, β_k ≥ 0, Σ α_k = ∞, Σ α_k² < ∞, Σ β_k² < ∞, E[η_k|H_k] = 0 and
    E[η_k²|H_k] is bounded (Theorem 6.2). α and β may return arrays of Δ's shape, one rate for each
    component: the form of Theorem 6.3, by which Sarsa and Q-learning are proved.
    """
    current = np.asarray(delta, np.float64)
    path = np.empty((steps + 1, *current.shape))
    path[0] = current
    for k in range(1, steps + 1):
        path[k] = current = (1 - alpha(k)) * current + beta(k) * noise(k)
    return path


# ------------------------------------------------------------------------------ gradients
@export("rl.descend")
def descend(
    gradient: Callable[[ndarray, ndarray], ndarray],
    samples: Any,
    w: Any,
    steps: int,
    step: Function | None = None,
    *,
    batch: int | None = 1,
    replace: bool = True,
    rng: np.random.Generator | None = None,
) -> ndarray:
    """Gradient descent on J(w) = E[f(w, X)] known by samples: SGD (batch = 1), MBGD (batch = m),
    BGD (batch = None, all samples); eq. (6.11)-(6.13).

        w_{k+1} = w_k − a_k · mean over the batch of ∇f(w_k, x)

    `gradient(w, xs)` returns one gradient for each of the xs: (m, *w.shape). Samples are drawn with
    replacement; `replace=False` goes through them in a new random order each round instead.
    Returns w_1 ... w_{steps+1}.
    """
    x = np.asarray(samples, np.float64)
    n = len(x)
    if batch is not None and not 1 <= batch <= (n if not replace else max(batch, 1)):
        raise ValueError(f"descend: batch must lie in [1, {n}], got {batch}")
    a = step or StepSize()
    rng = rng or np.random.default_rng(0)
    current = np.asarray(w, np.float64)
    path = np.empty((steps + 1, *current.shape))
    path[0] = current
    batches = _batches(n, batch, replace, rng)
    for k in range(1, steps + 1):
        path[k] = current = current - a(k) * gradient(current, x[next(batches)]).mean(0)
    return path


def _batches(
    n: int, batch: int | None, replace: bool, rng: np.random.Generator
) -> Iterator[ndarray]:
    everything = np.arange(n)
    while True:
        if batch is None:
            yield everything
        elif replace:
            yield rng.integers(n, size=batch)
        else:
            order = rng.permutation(n)
            for i in range(0, n - batch + 1, batch):
                yield order[i : i + batch]


@export("rl.relative_error")
def relative_error(stochastic: Any, true: Any) -> float:
    """δ = |∇f(w, x) − E∇f(w, X)| / |E∇f(w, X)|, how wrong a stochastic gradient is, eq. (6.14)."""
    s, t = np.asarray(stochastic, np.float64), np.asarray(true, np.float64)
    norm = float(np.linalg.norm(t))
    return float(np.linalg.norm(s - t)) / norm if norm else math.inf


@export("rl.relative_error_bound")
def relative_error_bound(stochastic: Any, true: Any, c: float, w: Any, optimum: Any) -> float:
    """The bound of δ for f'' ≥ c > 0: |∇f(w, x) − E∇f(w, X)| / (c |w − w*|).

    Far from w* it is small: stochastic gradients go straight at the optimum first, and wander only
    near it (section 6.4.3).
    """
    if c <= 0:
        raise ValueError(f"relative_error_bound: c must be positive, got {c}")
    s, t = np.asarray(stochastic, np.float64), np.asarray(true, np.float64)
    distance = float(np.linalg.norm(np.asarray(w, np.float64) - np.asarray(optimum, np.float64)))
    return float(np.linalg.norm(s - t)) / (c * distance) if distance else math.inf
