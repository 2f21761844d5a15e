"""Every activation function with its derivative, in the order of its history.

    python examples/activation_gallery.py            (picture in out/activations.png)

The derivative is not written down anywhere: backward() computes it at each point of the curve.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg

F = mg.nn.functional


class Entry(NamedTuple):
    """One picture of the gallery."""

    year: str
    name: str
    function: Callable[[Any], Any]


GALLERY = [
    Entry("1943", "step", F.step),
    Entry("1957", "step, -1 or 1", lambda x: F.step(x, signed=True)),
    Entry("1960", "linear", lambda x: x * 1),
    Entry("1969", "relu", F.relu),
    Entry("1986", "sigmoid", mg.sigmoid),
    Entry("1986", "tanh", mg.tanh),
    Entry("1989", "LeCun's tanh", F.lecun_tanh),
    Entry("1995", "softshrink", F.softshrink),
    Entry("1995", "hardshrink", F.hardshrink),
    Entry("2001", "softplus", F.softplus),
    Entry("2004", "hardtanh", F.hardtanh),
    Entry("2009", "softsign", F.softsign),
    Entry("2010", "relu6", F.relu6),
    Entry("2013", "leaky relu, 0.1", lambda x: F.leaky_relu(x, 0.1)),
    Entry("2015", "prelu, 0.25", lambda x: F.prelu(x, mg.tensor([0.25], dtype=x.dtype))),
    Entry("2015", "elu", F.elu),
    Entry("2016", "gelu", F.gelu),
    Entry("2016", "gelu, tanh", lambda x: F.gelu(x, approximate="tanh")),
    Entry("2016", "quick gelu", F.quick_gelu),
    Entry("2017", "silu", F.silu),
    Entry("2017", "swish, 3", lambda x: F.swish(x, 3.0)),
    Entry("2017", "selu", F.selu),
    Entry("2017", "celu, 2", lambda x: F.celu(x, 2.0)),
    Entry("2019", "mish", F.mish),
    Entry("2019", "hardswish", F.hardswish),
    Entry("2019", "hardsigmoid", F.hardsigmoid),
    Entry("2020", "snake", F.snake),
    Entry("2020", "sine", lambda x: F.sine(x, 1.0)),
    Entry("2021", "relu squared", F.relu_squared),
    Entry("2021", "serf", F.serf),
    Entry("2022", "smelu", F.smelu),
    Entry("2022", "laplace", F.laplace),
    Entry("2024", "xielu", F.xielu),
    Entry("", "logsigmoid", F.logsigmoid),
    Entry("", "tanhshrink", F.tanhshrink),
    Entry("2020", "swiglu(x, x)", lambda x: F.swiglu(x, x)),
]


def curve(function: Callable[[Any], Any], points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and derivatives at the points."""
    x: Any = mg.tensor(points, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return y.detach().numpy(), x.grad.numpy()


def draw(path: Path) -> None:
    """All curves on one sheet."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    points = np.linspace(-4, 4, 401)
    columns = 6
    rows = math.ceil(len(GALLERY) / columns)
    figure, sheet = plt.subplots(rows, columns, figsize=(2.6 * columns, 2.3 * rows), sharex=True)
    for axes, entry in zip(sheet.flat, GALLERY, strict=False):
        y, slope = curve(entry.function, points)
        axes.axhline(0, color="0.85", linewidth=0.8)
        axes.axvline(0, color="0.85", linewidth=0.8)
        axes.plot(points, y, linewidth=1.6)
        axes.plot(points, slope, "--", linewidth=1.1)
        axes.set_ylim(-1.5, 3)
        axes.set_title(f"{entry.name}  {entry.year}".strip(), fontsize=9)
        axes.tick_params(labelsize=7)
    for axes in sheet.flat[len(GALLERY) :]:
        axes.set_axis_off()
    figure.suptitle("activation functions (solid) and their derivatives (dashed)")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def table(points: tuple[float, ...] = (-3.0, -1.0, -0.5, 0.5, 1.0, 3.0)) -> str:
    """The values at a few points, one function a line."""
    lines = [f"{'':>22}" + "".join(f"{p:>11g}" for p in points)]
    for entry in GALLERY:
        y, _ = curve(entry.function, np.array(points))
        lines.append(f"{entry.name:>16} {entry.year:>5}" + "".join(f"{v:>11.6f}" for v in y))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Every activation function with its derivative.")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the picture goes")
    path = parser.parse_args().out / "activations.png"
    print(table())
    try:
        draw(path)
    except ImportError:
        print("matplotlib is not installed: no picture (pip install matplotlib)")
    else:
        print(f"\nthe curves are in {path}")


if __name__ == "__main__":
    main()
