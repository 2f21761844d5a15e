"""The drawing of a graph, and assert_close."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import minigrad as mg


def graph():
    w = mg.ones(2, 3, requires_grad=True)
    x = mg.ones(3)
    y = (w * x).sum(1).exp()
    return w, y + y


def test_text_shows_every_node_once():
    w, y = graph()
    lines = mg.debug.graph_text(y, {"weight": w}).splitlines()
    assert lines == [
        "1 Add (2)",
        "  2 Exp (2)",
        "    3 Sum (2)",
        "      4 Mul (2×3)",
        "        5 weight (2×3)",
        "  ↑ 2",
    ]
    assert "more branches" in mg.debug.graph_text(y, max_nodes=2)


def test_a_deep_graph_is_drawn_without_recursion():
    x = y = mg.ones(1, requires_grad=True)
    for _ in range(5000):
        y = y + x
    assert mg.debug.graph_text(y).endswith("more branches (max_nodes=200)")
    assert mg.debug.graph_dot(y).count("label=") == 5001


def test_files(tmp_path):
    w, y = graph()
    dot = mg.debug.draw(y, tmp_path / "graph.dot", {"weight": w})
    with open(dot, encoding="utf-8") as file:
        source = file.read()
    assert source.startswith("digraph") and source.count("->") == 5 and "weight" in source
    made = mg.debug.draw(y, tmp_path / "graph.svg")
    if shutil.which("dot") is None:
        assert made.endswith("graph.txt")
    else:
        assert made.endswith("graph.svg") and "<svg" in (tmp_path / "graph.svg").read_text()
    with pytest.raises(ValueError, match="no grad_fn"):
        mg.debug.graph_text(mg.ones(2))


def test_assert_close_tells_what_differs():
    a = mg.tensor([1.0, 2.0, 3.0])
    mg.testing.assert_close(a, mg.tensor([1.0, 2.0, 3.0 + 1e-6]))
    with pytest.raises(AssertionError, match=r"Mismatched elements: 1 / 3 \(33.3%\)"):
        mg.testing.assert_close(a, mg.tensor([1.0, 2.0, 3.1]))
    with pytest.raises(AssertionError, match="'shape' do not match"):
        mg.testing.assert_close(a, mg.ones(2))
    with pytest.raises(AssertionError, match="'dtype' do not match"):
        mg.testing.assert_close(a, a.double())
    mg.testing.assert_close(a, a.double(), check_dtype=False)
    with pytest.raises(AssertionError, match="not close"):
        mg.testing.assert_close(mg.tensor(float("nan")), mg.tensor(float("nan")))
    mg.testing.assert_close(mg.tensor(float("nan")), mg.tensor(float("nan")), equal_nan=True)
    with pytest.raises(AssertionError, match=r"item \['b'\]\[1\]"):
        mg.testing.assert_close({"a": 1, "b": [a, a]}, {"a": 1, "b": [a, a + 1]})
    with pytest.raises(ValueError, match="both|Both"):
        mg.testing.assert_close(a, a, rtol=1.0)
    mg.testing.assert_close(np.arange(3), mg.arange(3))
    with pytest.raises(AssertionError):
        mg.testing.assert_close(mg.tensor([250], dtype=mg.uint8), mg.tensor([2], dtype=mg.uint8))
