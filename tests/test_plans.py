"""What is kept per shape and options, and what must not be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend.memory import address
from minigrad.ops import plans

F = mg.nn.functional


def test_a_plan_is_made_once_for_equal_arguments_of_equal_types(monkeypatch: Any) -> None:
    calls = []

    @plans.planned
    def plan(*args: Any) -> int:
        calls.append(args)
        return len(calls)

    assert plan((1, 2), None, "x") == plan((1, 2), None, "x") == 1
    assert plan([1, 2], None, "x") == plan([1, 2], None, "x") == 2
    assert [plan(2), plan(2.0), plan(True), plan((2.0, 1)), plan((2, True))] == [3, 4, 5, 6, 7]
    assert [plan(2), plan(2.0), plan(True), plan((2.0, 1)), plan((2, True))] == [3, 4, 5, 6, 7]
    two = np.array(2)  # may change: asked anew each time
    assert [plan(two), plan(two), plan((two,)), plan((two,))] == [8, 9, 10, 11]
    monkeypatch.setattr(plans, "MOST", 3)
    plan(77)
    assert plan(2) == 13


def test_an_error_is_raised_each_time() -> None:
    @plans.planned
    def plan(n: int) -> None:
        raise ValueError(n)

    for _ in range(2):
        with pytest.raises(ValueError, match="5"):
            plan(5)


def test_sizes_of_a_wrong_type_are_refused_after_right_ones() -> None:
    x = mg.zeros(1, 1, 4, 4)
    F.interpolate(x, size=(2, 2))
    for size in ((2.0, 2.0), 2.0):
        with pytest.raises(TypeError):
            F.interpolate(x, size=size)
    size = mg.tensor(2)
    assert F.interpolate(x, size=(size, size)).shape == (1, 1, 2, 2)
    size.fill_(3)
    assert F.interpolate(x, size=(size, size)).shape == (1, 1, 3, 3)


def test_addresses_are_those_that_numpy_tells() -> None:
    x = np.zeros((3, 4, 5), np.float32)
    arrays = [x, x[1:], x[:, ::-1], x.T, x[0, 1, 2:], x[:0], np.array(1.0), np.zeros(4, "u1")[1:]]
    for a in arrays:
        assert address(a) == a.__array_interface__["data"][0]
