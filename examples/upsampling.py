"""The ways to enlarge an image, and the checkerboard that learned ones can leave on it.

    python examples/upsampling.py --out out

Fixed ways: `interpolate` in every mode, unpooling, a turned view through `grid_sample`. Learned
ways: a transposed convolution, a resize before a convolution, and PixelShuffle, whose first weights
decide whether neighbouring pixels start out alike (ICNR) or not. Each learned way is judged
untrained and after a short training to restore halved pictures. Two plots are written.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad as mg

nn, F = mg.nn, mg.nn.functional
Picture = tuple[str, np.ndarray]


# ------------------------------------------------------------------------------ pictures
def pictures(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Discs, half-planes and waves on smooth ground: (count, 1, size, size) in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : size * 1j, 0 : 1 : size * 1j]
    made = np.empty((count, 1, size, size), np.float32)
    for picture in made:
        angle = rng.uniform(0, 2 * math.pi, 3)
        picture[0] = 0.35 + 0.3 * (np.cos(angle[0]) * x + np.sin(angle[0]) * y)
        centre, radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.1, 0.3)
        away = np.hypot(x - centre[0], y - centre[1])
        picture[0] += 0.4 * np.clip((radius - away) * size, 0, 1)
        side = np.cos(angle[1]) * (x - 0.5) + np.sin(angle[1]) * (y - 0.5)
        wave = np.sin(
            2 * math.pi * rng.uniform(2, 5) * (np.cos(angle[2]) * x + np.sin(angle[2]) * y)
        )
        picture[0] += 0.2 * wave * np.clip(side * size, 0, 1)
    return made.clip(0, 1)


def checkerboard(y: Any) -> float:
    """How far the four phases of a 2 x 2 grid lie apart, in units of the picture's spread.

    A picture enlarged evenly has four phases with equal means: 0. Pixels near the edge, where
    padding differs, are left out.
    """
    values = y.detach().numpy()[..., 4:-4, 4:-4]
    phases = np.stack([values[..., i::2, j::2].mean((-1, -2)) for i in (0, 1) for j in (0, 1)])
    return float((phases.std(0) / (values.std((-1, -2)) + 1e-8)).mean())


# ------------------------------------------------------------------------------ fixed ways
def fixed_ways(small: Any) -> list[Picture]:
    """The same small picture enlarged four times without anything to learn."""
    made = [("input", small)]
    for mode, options in (
        ("nearest", {}),
        ("bilinear", {}),
        ("bilinear", {"align_corners": True}),
        ("bicubic", {}),
        ("lanczos", {"antialias": True}),
    ):
        title = ", ".join([mode, *options])
        made.append((title, F.interpolate(small, scale_factor=4, mode=mode, **options)))
    pooled, places = nn.MaxPool2d(2, return_indices=True)(small)
    made.append(("max pooling undone", nn.MaxUnpool2d(2)(pooled, places)))
    c, s = math.cos(0.4), math.sin(0.4)
    theta = mg.tensor([[[c, -s, 0.0], [s, c, 0.0]]])
    size = (1, 1, 4 * small.shape[2], 4 * small.shape[3])
    grid = F.affine_grid(theta, size, align_corners=False)
    made.append(("grid_sample, turned", F.grid_sample(small, grid, "bicubic", "reflection", False)))
    return [(title, y.numpy()[0, 0]) for title, y in made]


# ------------------------------------------------------------------------------ learned ways
def transposed(kernel: int) -> Any:
    """Kernel 3 with stride 2 covers pixels unevenly (1, 2 or 4 times); kernel 4 evenly."""
    return nn.ConvTranspose2d(16, 1, kernel, 2, padding=1, output_padding=4 - kernel)


def shuffled(icnr: bool) -> Any:
    convolution = nn.Conv2d(16, 4, 3, padding=1)
    if icnr:
        nn.init.icnr_(convolution.weight, 2)
        nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.PixelShuffle(2))


def resized() -> Any:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 1, 3, padding=1))


LEARNED: dict[str, Callable[[], Any]] = {
    "ConvTranspose2d, kernel 3": lambda: transposed(3),
    "ConvTranspose2d, kernel 4": lambda: transposed(4),
    "Upsample + Conv2d": resized,
    "PixelShuffle": lambda: shuffled(icnr=False),
    "PixelShuffle, ICNR": lambda: shuffled(icnr=True),
}


def network(last: Any) -> Any:
    """(N, 1, H, W) to (N, 1, 2H, 2W): two convolutions and the layer under test."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), last
    )


def train(model: Any, name: str, large: np.ndarray, steps: int) -> float:
    """Adam on mean squared error, pictures halved by means as input; the last loss."""
    optimizer = mg.optim.Adam(model.parameters(), lr=3e-3)
    rng, losses = np.random.default_rng(1), []
    for _ in tqdm(range(steps), desc=name, unit="step"):
        target = mg.from_numpy(large[rng.choice(len(large), 16, replace=False)])
        loss = F.mse_loss(model(F.interpolate(target, scale_factor=0.5, mode="area")), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-20:]))


def learned_ways(
    large: np.ndarray, steps: int
) -> tuple[list[Picture], dict[str, dict[str, float]]]:
    """Pictures (untrained, then trained) and figures of every learned way."""
    shown = mg.from_numpy(large[:1])
    small = F.interpolate(shown, scale_factor=0.5, mode="area")
    before, after, figures = [], [], {}
    for name, make in LEARNED.items():
        mg.manual_seed(0)
        model = network(make())
        with mg.no_grad():
            first = model(small)
        loss = train(model, name, large, steps)
        with mg.no_grad():
            last = model(small)
        figures[name] = {
            "untrained": checkerboard(first),
            "trained": checkerboard(last),
            "loss": loss,
        }
        before.append((f"{name}\nuntrained: {figures[name]['untrained']:.3f}", first.numpy()[0, 0]))
        after.append((f"trained: {figures[name]['trained']:.3f}", last.numpy()[0, 0]))
    return before + after, figures


def main(out: Path, steps: int = 200) -> dict[str, dict[str, float]]:
    """Write both plots and print the figures; returns them."""
    from plots import image_table

    out.mkdir(parents=True, exist_ok=True)
    large = pictures(64, 32)
    small = F.interpolate(mg.from_numpy(pictures(1, 64, seed=3)), size=16, mode="area")
    image_table(fixed_ways(small), out / "upsampling_fixed.png", columns=4)
    shown, figures = learned_ways(large, steps)
    image_table(shown, out / "upsampling_learned.png", columns=len(LEARNED))
    print(f"{'checkerboard':<28} {'untrained':>10} {'trained':>10} {'loss':>10}")
    for name, row in figures.items():
        print(f"{name:<28} {row['untrained']:>10.4f} {row['trained']:>10.4f} {row['loss']:>10.5f}")
    print(f"{'the picture itself':<28} {checkerboard(mg.from_numpy(large[:1])):>10.4f}")
    return figures


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    main(arguments.out, arguments.steps)
