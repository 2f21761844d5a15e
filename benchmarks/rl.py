"""Tabular methods against a plain NumPy loop in the style of the book's code: same results, then
times.

    python -m benchmarks.rl                 a table
    python -m benchmarks.rl --json out.json

The plain loop looks like what one writes after reading the book: Python, a NumPy table, one random
number at a time from the same generator. Both therefore draw the same numbers, and the tables are
compared before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.rl import exact, temporal_difference
from minigrad.rl.gridworld import GridWorld

Array = np.ndarray


def plain_value_iteration(world: GridWorld, gamma: float, sweeps: int) -> Array:
    model = world.model
    v = np.zeros(model.states)
    for _ in range(sweeps):
        new = np.zeros(model.states)
        for s in range(model.states):
            q = np.zeros(model.actions)
            for a in range(model.actions):
                q[a] = model.reward[s, a, 0] + gamma * v[model.next_state[s, a, 0]]
            new[s] = q.max()
        v = new
    return v


def plain_q_learning(world: GridWorld, gamma: float, steps: int, seed: int) -> Array:
    """Off-policy, with the uniform policy behaving: Algorithm 7.3."""
    model, rng = world.model, np.random.default_rng(seed)
    q = np.zeros((model.states, model.actions))
    policy = np.full(q.shape, 1 / model.actions)
    s = 0
    for _ in range(steps):
        a = int(np.searchsorted(np.cumsum(policy[s]), rng.random(), side="right"))
        r, s2 = model.reward[s, a, 0], model.next_state[s, a, 0]
        q[s, a] = q[s, a] + 0.1 * (r + gamma * np.max(q[s2]) - q[s, a])
        s = s2
    return q


def plain_sarsa(world: GridWorld, gamma: float, steps: int, seed: int) -> Array:
    model, rng = world.model, np.random.default_rng(seed)
    q = np.zeros((model.states, model.actions))

    def act(s: int) -> int:
        if rng.random() < 0.1:
            return int(rng.random() * model.actions)
        return int(np.argmax(q[s]))

    s = 0
    a = act(s)
    for _ in range(steps):
        r, s2 = model.reward[s, a, 0], model.next_state[s, a, 0]
        a2 = act(s2)
        q[s, a] = q[s, a] + 0.1 * (r + gamma * q[s2, a2] - q[s, a])
        s, a = s2, a2
    return q


def plain_td(world: GridWorld, gamma: float, steps: int, seed: int) -> Array:
    model, rng = world.model, np.random.default_rng(seed)
    policy = np.full((model.states, model.actions), 1 / model.actions)
    v = np.zeros(model.states)
    s = 0
    for _ in range(steps):
        a = int(np.searchsorted(np.cumsum(policy[s]), rng.random(), side="right"))
        r, s2 = model.reward[s, a, 0], model.next_state[s, a, 0]
        v[s] = v[s] + 0.1 * (r + gamma * v[s2] - v[s])
        s = s2
    return v


def cases() -> list[tuple[str, str, int, int, Callable[[int], Array], Callable[[int], Array]]]:
    """Name, unit, work for the plain loop, work for ours, plain, ours."""
    world, large = GridWorld(), GridWorld((100, 100))
    uniform = np.full((25, 5), 0.2)
    td = temporal_difference
    return [
        (
            "value iteration, 100 x 100", "sweeps", 3, 300,
            lambda n: plain_value_iteration(large, 0.9, n),
            lambda n: exact.value_iteration(large.model, 0.9, tol=0.0, max_iterations=n).v,
        ),
        (
            "TD(0)", "updates", 50_000, 5_000_000,
            lambda n: plain_td(world, 0.9, n, 1),
            lambda n: td.td(world.model, uniform, 0.9, steps=n, start=0, rng=1),
        ),
        (
            "Sarsa", "updates", 50_000, 5_000_000,
            lambda n: plain_sarsa(world, 0.9, n, 1),
            lambda n: td.sarsa(world.model, 0.9, steps=n, start=0, rng=1).q,
        ),
        (
            "Q-learning, off-policy", "updates", 50_000, 5_000_000,
            lambda n: plain_q_learning(world, 0.9, n, 1),
            lambda n: td.q_learning(
                world.model, 0.9, steps=n, start=0, policy=uniform, rng=1
            ).q,
        ),
    ]  # fmt: skip


def rate(f: Callable[[int], Array], work: int, rounds: int) -> float:
    """Work per second in the best of some rounds."""
    best = np.inf
    for _ in range(rounds):
        start = time.perf_counter()
        f(work)
        best = min(best, time.perf_counter() - start)
    return work / best


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, unit, little, much, plain, ours in cases():
        np.testing.assert_allclose(ours(little), plain(little), rtol=1e-9, atol=1e-9)
        a, b = rate(plain, little, args.rounds), rate(ours, much, args.rounds)
        rows.append({"name": name, "unit": unit, "plain": a, "minigrad": b, "ratio": b / a})
        print(f"{name:28} {a:12,.0f} {b:14,.0f} {unit}/s   {b / a:6.0f} times")
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
