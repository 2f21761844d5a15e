"""The book's grid, solved exactly, by samples, and by a network.

    python examples/gridworld.py            (pictures and a GIF of learning in out/)

The last part is deep Q-learning as in section 8.4 of Zhao's book: a thousand samples of the uniform
policy, batches of a hundred, a network of (row, column, action) with one hidden layer of a hundred.
The book scales the inputs to [0, 1]; here to [-1, 1], which ends ten times nearer to v*.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import rl

GAMMA = 0.9


def exactly(world: Any, out: Path) -> np.ndarray:
    """Value iteration, with a picture of v* and π*."""
    best = rl.value_iteration(world.model, GAMMA)
    print(f"value iteration: {best.iterations} sweeps, error below {best.residual:.0e}")
    print(rl.drawing.text(world, policy=best.policy))
    rl.drawing.save(world, out / "grid.png", values=best.v, policy=best.policy)
    return best.v


def by_samples(world: Any, v: np.ndarray, out: Path) -> None:
    """Q-learning from what the uniform policy does, and a GIF of it (figure 7.4)."""
    frames: list[tuple[str, np.ndarray, np.ndarray]] = []

    def look(steps: int, q: np.ndarray) -> None:
        error = np.sqrt(np.mean((q.max(1) - v) ** 2))
        frames.append((f"{steps:,} steps, error {error:.2f}", q.max(1), rl.greedy(q)))

    uniform = np.full((world.model.states, world.model.actions), 1 / world.model.actions)
    rl.q_learning(world.model, GAMMA, steps=60_000, policy=uniform, every=3_000, callback=look)
    print("Q-learning:", frames[-1][0])
    rl.drawing.animate(world, out / "q_learning.gif", frames)


def samples(world: Any, count: int) -> tuple[np.ndarray, ...]:
    """States, actions, rewards, next states of one long walk of the uniform policy."""
    model, rng = world.model, np.random.default_rng(0)
    s, rows = 0, []
    for _ in range(count):
        a = int(rng.integers(model.actions))
        s2 = int(model.next_state[s, a, 0])
        rows.append((s, a, model.reward[s, a, 0], s2))
        s = s2
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def inputs(world: Any, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """(row, column, action), each scaled to [-1, 1]: (..., 3)."""
    row, column = np.divmod(states, world.columns)
    scaled = (row / (world.rows - 1), column / (world.columns - 1), actions / 4)
    return 2 * np.stack(np.broadcast_arrays(*scaled), -1).astype(np.float32) - 1


def by_a_network(world: Any, v: np.ndarray, iterations: int, out: Path) -> float:
    """Deep Q-learning, Algorithm 8.3 (off-policy); the error of max q to v*."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    net, target = (
        mg.nn.Sequential(mg.nn.Linear(3, 100), mg.nn.ReLU(), mg.nn.Linear(100, 1)) for _ in "ab"
    )
    optimizer = mg.optim.Adam(net.parameters(), lr=1e-2)

    @mg.compile
    def step(x: Any, y: Any) -> Any:
        loss = (net(x).squeeze(-1) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    s, a, r, s2 = samples(world, 1000)
    everything = inputs(world, np.arange(25)[:, None], np.arange(5))

    def values(network: Any) -> np.ndarray:
        with mg.no_grad():
            return network(mg.from_numpy(everything)).squeeze(-1).numpy()

    for i in range(iterations):
        if i % 100 == 0:
            target.load_state_dict(net.state_dict())
            after = values(target).max(1)
        batch = rng.integers(len(s), size=100)
        y = (r[batch] + GAMMA * after[s2[batch]]).astype(np.float32)
        step(mg.from_numpy(inputs(world, s[batch], a[batch])), mg.from_numpy(y))
    q = values(net)
    error = float(np.sqrt(np.mean((q.max(1) - v) ** 2)))
    print(f"deep Q-learning: error {error:.2f} after {iterations} batches")
    rl.drawing.save(world, out / "deep_q.png", values=q.max(1), policy=rl.greedy(q))
    return error


def main() -> None:
    parser = argparse.ArgumentParser(description="The book's grid, solved in three ways.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where pictures go")
    parser.add_argument("--iterations", type=int, default=6000, help="batches of the network")
    args = parser.parse_args()
    world = rl.GridWorld(reward_forbidden=-1)
    v = exactly(world, args.out)
    by_samples(world, v, args.out)
    by_a_network(world, v, args.iterations, args.out)


if __name__ == "__main__":
    main()
