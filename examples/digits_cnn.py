"""A convolutional network on the 8x8 digits that come with scikit-learn.

    python examples/digits_cnn.py

The model and the training step are written against names that minigrad and PyTorch share, so that
`run(torch)` is the same program in PyTorch: the demo compares the two loss curves.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad as mg

Batch = tuple[np.ndarray, np.ndarray]  # images (B, 1, 8, 8), labels (B,)


def load_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(train images, train labels, test images, test labels): 1437 and 360, (N, 1, 8, 8) in
    [0, 1].
    """
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    x, x_test, y, y_test = train_test_split(
        images, labels, test_size=360, random_state=0, stratify=labels
    )
    return x, y, x_test, y_test


def make_model(lib: ModuleType) -> Any:
    """(N, 1, 8, 8) to (N, 10): two convolutions, a pooling, two linear layers; 55k parameters."""
    nn = lib.nn
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 96),
        nn.ReLU(),
        nn.Linear(96, 10),
    )


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image moved by -1, 0 or 1 pixel in both directions: eight new views of each digit."""
    size = images.shape[-1]
    wide = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    moved = np.empty_like(images)
    for i, (row, column) in enumerate(rng.integers(0, 3, (len(images), 2))):
        moved[i] = wide[i, :, row : row + size, column : column + size]
    return moved


def batches(
    images: np.ndarray, labels: np.ndarray, size: int, epochs: int, seed: int = 0
) -> list[Batch]:
    """Every batch of every epoch, shuffled and shifted: the same for both libraries."""
    rng = np.random.default_rng(seed)
    plan = []
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(images), size):
            chosen = order[start : start + size]
            plan.append((shifted(images[chosen], rng), labels[chosen]))
    return plan


def accuracy(
    lib: ModuleType, model: Any, images: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """The share of images that are classified correctly, and the predictions."""
    model.eval()
    with lib.no_grad():
        guess = model(lib.from_numpy(images)).argmax(1).numpy()
    model.train()
    return float((guess == labels).mean()), guess


def train(lib: ModuleType, model: Any, plan: list[Batch], steps: int | None = None) -> list[float]:
    """One AdamW step for each of the first `steps` batches of the plan; the losses.

    The learning rate rises over 100 steps and falls along a cosine to the end of the plan.
    """
    optimizer = lib.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    losses = []
    bar = tqdm(plan[:steps], desc=f"digits ({lib.__name__})", unit="step")
    for step, (images, labels) in enumerate(bar):
        rise, fall = min(1.0, (step + 1) / 100), 0.5 * (1 + np.cos(np.pi * step / len(plan)))
        optimizer.param_groups[0]["lr"] = 3e-3 * rise * (0.02 + 0.98 * fall)
        loss = lib.nn.functional.cross_entropy(
            model(lib.from_numpy(images)), lib.from_numpy(labels)
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 20 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-20:]):.4f}")
    return losses


def main(out: Path, epochs: int = 30) -> dict[str, Any]:
    """Train, plot, save, load back, and evaluate again; returns the figures."""
    from plots import confusion_matrix, loss_curves

    out.mkdir(parents=True, exist_ok=True)
    mg.manual_seed(0)
    x, y, x_test, y_test = load_digits()
    model = make_model(mg)
    start = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}
    plan = batches(x, y, 64, epochs)
    losses = train(mg, model, plan)
    score, guess = accuracy(mg, model, x_test, y_test)
    loss_curves({"training loss": losses}, out / "digits_loss.png", "digits CNN")
    confusion_matrix(y_test, guess, 10, out / "digits_confusion.png", f"test accuracy {score:.1%}")

    path = out / "digits.safetensors"
    mg.save(model.state_dict(), path)
    again = make_model(mg)
    again.load_state_dict(mg.load(path))
    reloaded, _ = accuracy(mg, again, x_test, y_test)
    if reloaded != score:
        raise RuntimeError(
            f"the checkpoint gives {reloaded:.4f}, the trained model gave {score:.4f}"
        )
    print(
        f"digits: test accuracy {score:.2%} ({len(y_test)} images); loaded back from {path}:"
        f" {reloaded:.2%}"
    )
    return {"accuracy": score, "losses": losses, "start": start, "plan": plan}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    main(arguments.out, arguments.epochs)
