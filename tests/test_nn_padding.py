"""Padding layers against PyTorch's, and what padding refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

SIZE = (5, 4, 6)
KINDS = ["ConstantPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"]


@pytest.mark.parametrize("batch", [(2, 3), (3,)])
@pytest.mark.parametrize("sides", ["same", "each"])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_agrees_with_torch(kind: str, n: int, sides: str, batch: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    padding = 2 if sides == "same" else (1, 2, 0, 3, 2, -1)[: 2 * n]
    args = (padding, 3.5) if kind == "ConstantPad" else (padding,)
    ours, theirs = getattr(mg.nn, f"{kind}{n}d")(*args), getattr(torch.nn, f"{kind}{n}d")(*args)
    assert repr(ours) == repr(theirs) and ours.padding == theirs.padding
    x = rng.standard_normal((*batch, *SIZE[:n]))
    a, b = mg.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, t = ours(a), theirs(b)
    np.testing.assert_array_equal(y.detach().numpy(), t.detach().numpy())
    g = rng.standard_normal(tuple(t.shape))
    y.backward(mg.tensor(g))
    t.backward(torch.tensor(g))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12)


REFUSED: dict[str, Callable[[Any, Any], Any]] = {
    "odd": lambda m, f: f.pad(m.ones(1, 2, 3), (1, 1, 1)),
    "too many": lambda m, f: f.pad(m.ones(3), (1, 1, 1, 1)),
    "mode": lambda m, f: f.pad(m.ones(1, 2, 3), (1, 1), mode="wrap"),
    "value": lambda m, f: f.pad(m.ones(1, 2, 3), (1, 1), mode="reflect", value=1.0),
    "cut all": lambda m, f: f.pad(m.ones(1, 2, 3), (-2, -2)),
    "cut more than there is": lambda m, f: f.pad(m.ones(1, 2, 1), (3, -2)),
    "reflect far": lambda m, f: f.pad(m.ones(1, 2, 3), (3, 0), mode="reflect"),
    "reflect 3-D far": lambda m, f: f.pad(m.ones(1, 1, 2, 3, 3), (1,) * 5 + (2,), mode="reflect"),
    "circular far": lambda m, f: f.pad(m.ones(1, 2, 3), (4, 0), mode="circular"),
    "replicate nothing": lambda m, f: f.pad(m.ones(1, 2, 0), (1, 1), mode="replicate"),
    "replicate no channels": lambda m, f: f.pad(m.ones(1, 0, 3), (1, 1), mode="replicate"),
    "reflect to nothing": lambda m, f: f.pad(m.ones(1, 2, 3), (-2, -1), mode="reflect"),
    "4-D by 1": lambda m, f: f.pad(m.ones(1, 2, 3, 4), (1, 1), mode="reflect"),
    "1-D": lambda m, f: f.pad(m.ones(3), (1, 1), mode="circular"),
    "circular layer 1-D": lambda m, f: m.nn.CircularPad1d(1)(m.ones(3)),
    "circular layer 2-D": lambda m, f: m.nn.CircularPad2d(1)(m.ones(3, 3)),
    "circular layer 3-D": lambda m, f: m.nn.CircularPad3d(1)(m.ones(3, 3, 3)),
    "reflection layer": lambda m, f: m.nn.ReflectionPad2d(4)(m.ones(1, 4, 4)),
    "unknown argument": lambda m, f: m.nn.ZeroPad2d(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_in_torch(name: str) -> None:
    with pytest.raises(Exception) as theirs:  # noqa: PT011  (torch says which)
        REFUSED[name](torch, torch.nn.functional)
    with pytest.raises(type(theirs.value)):
        REFUSED[name](mg, mg.nn.functional)


def test_circular_continues_what_negative_sides_leave() -> None:
    """PyTorch reads memory that it has not written where the rest is shorter than the padding."""
    y = mg.nn.functional.pad(mg.tensor([[[0.0, 1.0, 2.0]]]), (-1, 3), mode="circular")
    assert y.flatten().tolist() == [1, 2, 1, 2, 1]
    with pytest.raises(RuntimeError, match="more than once"):
        mg.nn.functional.pad(mg.tensor([[[0.0, 1.0, 2.0]]]), (-3, 2), mode="circular")
