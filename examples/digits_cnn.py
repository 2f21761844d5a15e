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


def batches(count: int, size: int, epochs: int, seed: int = 0) -> list[np.ndarray]:
    """The indices of every batch of every epoch, the same for both libraries."""
    rng = np.random.default_rng(seed)
    return [
        order[i : i + size]
        for order in (rng.permutation(count) for _ in range(epochs))
        for i in range(0, count, size)
    ]


def accuracy(
    lib: ModuleType, model: Any, images: np.ndarray, labels: np.ndarray
) -> tuple[float, np.ndarray]:
    """The share of images that are classified correctly, and the predictions."""
    model.eval()
    with lib.no_grad():
        guess = model(lib.from_numpy(images)).argmax(1).numpy()
    model.train()
    return float((guess == labels).mean()), guess


def train(
    lib: ModuleType,
    model: Any,
    images: np.ndarray,
    labels: np.ndarray,
    plan: list[np.ndarray],
    progress: bool = True,
) -> list[float]:
    """One AdamW step for each batch of the plan; the losses."""
    optimizer = lib.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    losses = []
    bar = tqdm(plan, desc=f"digits ({lib.__name__})", unit="step", disable=not progress)
    for batch in bar:
        x, y = lib.from_numpy(images[batch]), lib.from_numpy(labels[batch])
        loss = lib.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 20 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-20:]):.4f}")
    return losses


def main(out: Path, epochs: int = 20) -> dict[str, Any]:
    """Train, plot, save, load back, and evaluate again; returns the figures."""
    from plots import confusion_matrix, loss_curves

    out.mkdir(parents=True, exist_ok=True)
    mg.manual_seed(0)
    x, y, x_test, y_test = load_digits()
    model = make_model(mg)
    start = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}
    plan = batches(len(x), 64, epochs)
    losses = train(mg, model, x, y, plan)
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
    return {"accuracy": score, "losses": losses, "start": start, "plan": plan, "data": (x, y)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--epochs", type=int, default=20)
    arguments = parser.parse_args()
    main(arguments.out, arguments.epochs)
