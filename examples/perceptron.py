"""The perceptron's rule of 1957, what it cannot learn, and how gradients get past a threshold.

    python examples/perceptron.py

Three scenes. Classes that a line separates: the rule stops by itself, within Novikoff's bound. XOR,
which no line separates: it never stops. Two hidden thresholds learn XOR all the same, with a
derivative in place of the one that is 0 everywhere (a straight-through estimator).
"""

from __future__ import annotations

from typing import Any

import minigrad as mg
from minigrad import nn

XOR = mg.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), mg.tensor([0.0, 1.0, 1.0, 0.0])


def two_classes(samples: int = 400, margin: float = 0.2) -> tuple[Any, Any, Any]:
    """Points of the plane on both sides of a line, none closer to it than `margin`; the line."""
    line: Any = mg.tensor([0.8, -0.6, 0.3])  # |(0.8, -0.6)| = 1: distances are what they seem
    points: Any = mg.rand(samples, 2)
    points = points * 4 - 2
    side = points @ line[:2] + line[2]
    far = side.abs() > margin
    return points[far], (side[far] > 0).float(), line


def separable() -> list[int]:
    """Learn what a line separates; the mistakes of each pass."""
    points, classes, line = two_classes()
    model = nn.Perceptron(2)
    history = model.fit(points, classes)
    with_bias: Any = mg.cat([points, mg.ones(len(points), 1)], 1)
    gap = ((with_bias @ line).abs().min() / line.norm()).item()
    bound = (with_bias.norm(dim=1).max().item() / gap) ** 2
    w = model.weight.reshape(-1).tolist()
    print(f"{len(points)} points on two sides of a line: mistakes by pass {history}")
    print(f"  {sum(history)} in all; Novikoff's bound (R/margin)^2 = {bound:.0f}")
    print(f"  the line found: {w[0]:+.3f} x {w[1]:+.3f} y {model.bias.item():+.3f} = 0")
    return history


def beyond() -> list[int]:
    """The same rule on XOR; the mistakes of each pass."""
    history = nn.Perceptron(2).fit(*XOR, epochs=20)
    print(f"XOR, one perceptron: mistakes by pass {history}")
    return history


def two_layers(estimator: str, steps: int = 300) -> float:
    """Two hidden thresholds on XOR, by gradient descent; the share learned.

    Two are as few as can do it, and depend on where they start.
    """
    mg.manual_seed(1)
    fires = nn.Step(signed=True, estimator=estimator)
    model = nn.Sequential(nn.Linear(2, 2), fires, nn.Linear(2, 1), nn.Flatten(0))
    hidden = model[0].weight.detach().clone()
    optimizer = mg.optim.Adam(model.parameters(), 0.05)
    points, classes = XOR
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(model(points), classes).backward()
        optimizer.step()
    right = ((model(points) > 0).float() == classes).float().mean().item()
    moved = (model[0].weight.detach() - hidden).abs().max().item()
    print(f"  estimator {estimator!r:>10}: {right:.0%} right, hidden weights moved by {moved:.3f}")
    return right


def main() -> None:
    mg.manual_seed(0)
    separable()
    beyond()
    print("XOR, two hidden thresholds, by gradient descent:")
    for estimator in ("none", "identity", "clipped"):
        two_layers(estimator)


if __name__ == "__main__":
    main()
