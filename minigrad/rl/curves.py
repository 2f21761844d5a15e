"""Learning curves: the mean over seeds, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..export import export

ndarray = np.ndarray


@export("rl.bootstrap")
def bootstrap(
    samples: Any, *, level: float = 0.95, draws: int = 2_000, rng: Any = 0
) -> tuple[ndarray, ndarray]:
    """The percentile interval of the mean over the first axis: low and high, of the other axes.

    The means of `draws` samples of the same size, drawn with replacement (Efron 1979). Unlike
    Student's interval it stays inside what was seen: no return of CartPole above 500.
    """
    x = np.asarray(samples, np.float64)
    rng = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
    n = len(x)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws) / n
    means = np.tensordot(weights, x, 1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def resampled(logs: Sequence[Sequence[dict[str, float]]], column: str, points: int) -> Any:
    """Steps (points,) and values (seeds, points) of a column of several logs, on common steps;
    None if no log has the column."""
    found = [[(row["steps"], row[column]) for row in log if column in row] for log in logs]
    curves = [np.array(pairs) for pairs in found if pairs]
    if not curves:
        return None
    x = np.linspace(max(c[0, 0] for c in curves), min(c[-1, 0] for c in curves), points)
    return x, np.stack([np.interp(x, c[:, 0], c[:, 1]) for c in curves])


@export("rl.curve")
def curve(
    runs: dict[str, Sequence[Sequence[dict[str, float]]]],
    path: Any,
    *,
    column: str = "return",
    title: str = "",
    points: int = 60,
) -> None:
    """Learning curves as a PNG: for each name the mean return over its runs (one log a seed)
    against steps, with the band of `bootstrap`: the 95 % interval of that mean.

    column: "return" (of training episodes) or "evaluation" (of greedy ones).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=100)
    ax = figure.add_subplot()
    for name, logs in runs.items():
        found = resampled(logs, column, points)
        if found is None:
            continue
        x, y = found
        (line,) = ax.plot(x, y.mean(0), label=name if len(y) == 1 else f"{name} ({len(y)} seeds)")
        if len(y) > 1:
            ax.fill_between(x, *bootstrap(y), alpha=0.2, color=line.get_color(), linewidth=0)
    ax.set_xlabel("steps of the environment")
    ax.set_ylabel("return of training episodes" if column == "return" else "return, greedy")
    ax.set_title(title)
    ax.grid(alpha=0.3)
    if ax.lines:
        ax.legend()
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
