"""Adam against AdamW: where weight decay is put, and what it does there.

    python examples/adam_vs_adamw.py

Adam's weight decay is L2 regularization: λw is added to the gradient, and so becomes part of both
moving averages and is divided by √v like the gradient: numbers with large gradients are hardly
decayed. AdamW (Loshchilov and Hutter 2017) shrinks the weights beside Adam's step, all at one rate.
Figures on a quadratic show it to the last digit, and a grid of trainings how much decay each
bears: Adam's L2 ruins the network from 0.1 on, while AdamW may be wrong by a factor of a thousand.
(Neither is better at its best on a task as small as this one.) Like the other examples it is one
program for two libraries: `three_steps(torch, ...)` gives PyTorch's figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad as mg

CURVATURES = [1.0, 4.0, 0.25]
START = [1.0, -2.0, 0.5]
EXPECTED = {  # after three steps at lr 0.1 with weight decay 0.1, in float64
    "Adam": [0.7015862742210723, -1.7006233916543037, 0.20487126754772716],
    "AdamW": [0.6751012231892006, -1.6443686831798792, 0.19341562636657011],
}
RATES = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
DECAYS = [0.0, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
SEEDS = 3


def three_steps(lib: ModuleType, name: str, steps: int = 3, **options: Any) -> np.ndarray:
    """The parameters after some steps on the loss ½ Σ c w²."""
    c = lib.tensor(CURVATURES, dtype=lib.float64)
    w = lib.tensor(START, dtype=lib.float64, requires_grad=True)
    optimizer = getattr(lib.optim, name)([w], lr=0.1, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (c * w * w).sum()).backward()
        optimizer.step()
    return w.detach().numpy()


def figures(lib: ModuleType = mg) -> dict[str, float]:
    """What can be checked to the last digit: how far each is from what it should be."""
    found = {}
    for name, expected in EXPECTED.items():
        w = three_steps(lib, name, weight_decay=0.1)
        print(f"{name:>6}, three steps:  " + "  ".join(f"{x:.16f}" for x in w))
        found[name] = float(np.abs(w - expected).max())
    first = three_steps(lib, "Adam", steps=1, eps=0.0) - START
    found["first step is −lr sign(g)"] = float(np.abs(first + 0.1 * np.sign(START)).max())
    # for SGD both kinds are one: w − lr (g + λ w) = (1 − lr λ) w − lr g
    inside = three_steps(lib, "SGD", steps=1, weight_decay=0.1)
    outside = three_steps(lib, "SGD", steps=1) - 0.1 * 0.1 * np.array(START)
    found["SGD: L2 is decoupled decay"] = float(np.abs(inside - outside).max())
    return found


def shrinkage(lib: ModuleType, name: str, scales: np.ndarray, steps: int = 400) -> np.ndarray:
    """The part of each weight that is left when gradients are noise of different sizes."""
    rng = np.random.default_rng(0)
    w = lib.from_numpy(np.ones_like(scales)).requires_grad_()
    optimizer = getattr(lib.optim, name)([w], lr=1e-3, weight_decay=0.5)
    still = getattr(lib.optim, name)(
        [lib.from_numpy(np.ones_like(scales)).requires_grad_()], lr=1e-3
    )
    still.param_groups[0]["weight_decay"] = 0.0  # the noise alone, to be taken off
    for _ in range(steps):
        noise = scales * rng.standard_normal(scales.shape)
        for o in (optimizer, still):
            o.param_groups[0]["params"][0].grad = lib.from_numpy(noise.copy())
            o.step()
    other = still.param_groups[0]["params"][0]
    return (w - other).detach().numpy() + 1.0


def digits(train: int = 200) -> tuple[np.ndarray, ...]:
    """(images, labels, test images, test labels); few to train on, so that decay matters."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    x, y = (data.data / 16).astype(np.float32)[order], data.target.astype(np.int64)[order]
    return x[:train], y[:train], x[train:], y[train:]


def test_error(
    lib: ModuleType,
    name: str,
    lr: float,
    decay: float,
    data: tuple[np.ndarray, ...],
    steps: int,
    seed: int = 0,
) -> float:
    """The percentage of digits that a small network gets wrong after training on a few."""
    nn = lib.nn
    x, y, x_test, y_test = data
    lib.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = getattr(lib.optim, name)(model.parameters(), lr=lr, weight_decay=decay)
    scheduler = lib.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    inputs, labels = lib.from_numpy(x), lib.from_numpy(y)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
        scheduler.step()
    with lib.no_grad():
        guess = model(lib.from_numpy(x_test)).argmax(1).numpy()
    return 100 * float((guess != y_test).mean())


def grids(steps: int) -> dict[str, np.ndarray]:
    """Mean test errors of both optimizers, by learning rate (rows) and decay (columns)."""
    data = digits()
    cells = [
        (name, i, j) for name in EXPECTED for i in range(len(RATES)) for j in range(len(DECAYS))
    ]
    found = {name: np.zeros((len(RATES), len(DECAYS))) for name in EXPECTED}
    for name, i, j in tqdm(cells, desc="trainings", unit="run"):
        rates = (
            test_error(mg, name, RATES[i], DECAYS[j], data, steps, seed) for seed in range(SEEDS)
        )
        found[name][i, j] = np.mean(list(rates))
    return found


def plot(
    scales: np.ndarray, left: dict[str, np.ndarray], errors: dict[str, np.ndarray], path: Path
) -> None:
    """How much is decayed by size of gradient, and the two grids."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4))
    for name, values in left.items():
        axes[0].semilogx(scales, values, ".-", label=name)
    axes[0].set(xlabel="size of the gradient", ylabel="part of the weight left")
    axes[0].set_title("400 steps of decay 0.5 under noise")
    axes[0].legend()
    low, high = (f([f(e) for e in errors.values()]) for f in (np.min, np.max))
    for axis, (name, grid) in zip(axes[1:], errors.items(), strict=True):
        axis.imshow(grid, cmap="viridis_r", vmin=low, vmax=min(high, low + 15))
        for i, j in np.ndindex(grid.shape):
            color = "black" if grid[i, j] < low + 5 else "white"
            axis.text(j, i, f"{grid[i, j]:.1f}", ha="center", va="center", color=color)
        axis.set(xlabel="weight decay", ylabel="learning rate", title=f"{name}: test error in %")
        axis.set_xticks(range(len(DECAYS)), [f"{d:g}" for d in DECAYS])
        axis.set_yticks(range(len(RATES)), [f"{r:g}" for r in RATES])
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(out: Path, steps: int = 200) -> dict[str, Any]:
    """Print the figures, run the trainings, plot; returns everything."""
    out.mkdir(parents=True, exist_ok=True)
    found = figures()
    for name, gap in found.items():
        print(f"{name}: off by {gap:.1e}")
    if max(found.values()) > 1e-12:
        raise RuntimeError(f"not the expected figures: {found}")
    scales = np.logspace(-3, 2, 16)
    left = {name: shrinkage(mg, name, scales) for name in EXPECTED}
    for name, values in left.items():
        print(
            f"{name:>6}: of a weight with gradients of size 0.001 {values[0]:.3f} is left, of size"
            f" 100 {values[-1]:.3f}"
        )
    errors = grids(steps)
    for name, grid in errors.items():
        i, j = np.unravel_index(grid.argmin(), grid.shape)
        print(
            f"{name:>6}: best test error {grid.min():.2f} % at lr {RATES[i]:g}, decay {DECAYS[j]:g}"
        )
    plot(scales, left, errors, out / "adam_vs_adamw.png")
    return {"figures": found, "left": left, "errors": errors}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    main(arguments.out, arguments.steps)
