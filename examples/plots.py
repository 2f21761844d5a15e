"""Plots that the examples share; matplotlib is optional, and its absence only costs the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def loss_curves(curves: Mapping[str, Sequence[float]], path: Path, title: str) -> None:
    """One line for each named list of losses, on a logarithmic scale."""
    plt = _pyplot()
    figure, axes = plt.subplots(figsize=(6, 4))
    for style, (name, losses) in zip(("-", "--", ":"), curves.items(), strict=False):
        axes.plot(losses, style, label=name, linewidth=1.2)
    axes.set(xlabel="step", ylabel="loss", title=title, yscale="log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def confusion_matrix(
    truth: np.ndarray, guess: np.ndarray, classes: int, path: Path, title: str
) -> None:
    """How often each true class (row) was taken for each class (column)."""
    plt = _pyplot()
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, guess), 1)
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.imshow(counts, cmap="Blues")
    for i, j in np.ndindex(counts.shape):
        if counts[i, j]:
            color = "white" if counts[i, j] > counts.max() / 2 else "black"
            axes.text(j, i, counts[i, j], ha="center", va="center", color=color, fontsize=8)
    axes.set(
        xlabel="predicted", ylabel="true", title=title, xticks=range(classes), yticks=range(classes)
    )
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def image_table(pictures: Sequence[tuple[str, np.ndarray]], path: Path, columns: int) -> None:
    """Grey pictures with their titles, in rows of `columns`; each has its own range of grey."""
    plt = _pyplot()
    rows = -(-len(pictures) // columns)
    figure, table = plt.subplots(rows, columns, figsize=(2.4 * columns, 2.7 * rows), squeeze=False)
    for axes in table.flat:
        axes.axis("off")
    for axes, (title, picture) in zip(table.flat, pictures, strict=False):
        axes.imshow(picture, cmap="gray", interpolation="nearest")
        axes.set_title(title, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
