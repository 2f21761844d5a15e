"""Numbers that activation functions are known by, their in-place spellings, large arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg

F = mg.nn.functional
POINTS = [-3.0, -1.0, -0.5, 0.5, 1.0, 3.0]
KNOWN = {
    "gelu": (F.gelu, [-0.004050, -0.158655, -0.154269, 0.345731, 0.841345, 2.995950]),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        [-0.003637, -0.158808, -0.154286, 0.345714, 0.841192, 2.996363],
    ),
    "silu": (F.silu, [-0.142278, -0.268941, -0.188770, 0.311230, 0.731059, 2.857722]),
    "mish": (F.mish, [-0.145647, -0.303401, -0.220744, 0.375245, 0.865098, 2.986535]),
    "selu": (F.selu, [-1.670569, -1.111331, -0.691758, 0.525350, 1.050701, 3.152103]),
    "hardswish": (F.hardswish, [0, -0.333333, -0.208333, 0.291667, 0.666667, 3]),
    "celu(2)": (lambda x: F.celu(x, 2.0), [-1.553740, -0.786939, -0.442398, 0.5, 1, 3]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(name: str) -> None:
    op, values = KNOWN[name]
    np.testing.assert_allclose(op(mg.tensor(POINTS, dtype=mg.float64)).numpy(), values, atol=6e-7)


@pytest.mark.parametrize(
    ("op", "at", "least"),
    [
        (F.silu, -1.2784645, -0.2784645428),
        (F.gelu, -0.7517915, -0.1699712075),
        (F.mish, -1.1924312, -0.3088434130),
    ],
)
def test_minima(op: Any, at: float, least: float) -> None:
    x = mg.tensor(at, dtype=mg.float64, requires_grad=True)
    y = op(x)
    y.backward()
    assert y.item() == pytest.approx(least, abs=1e-10)
    assert abs(x.grad.item()) < 1e-7


def test_selu_keeps_mean_and_variance_through_layers() -> None:
    mg.manual_seed(0)
    x = mg.randn(512, 256)
    for _ in range(20):
        x = F.selu(x @ (mg.randn(256, 256) / math.sqrt(256)))
    assert abs(x.mean().item()) < 0.1
    assert abs(x.var().item() - 1) < 0.2


ALL = {
    "relu": F.relu, "relu6": F.relu6, "leaky_relu": F.leaky_relu, "elu": F.elu, "celu": F.celu,
    "selu": F.selu, "gelu": F.gelu, "silu": F.silu, "mish": F.mish, "softplus": F.softplus,
    "softsign": F.softsign, "logsigmoid": F.logsigmoid, "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid, "hardtanh": F.hardtanh, "tanhshrink": F.tanhshrink,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_large_arguments_stay_finite(name: str) -> None:
    for dtype in (mg.float32, mg.float64):
        x = mg.tensor([-1e4, -200.0, 200.0, 1e4], dtype=dtype, requires_grad=True)
        y = ALL[name](x)
        y.sum().backward()
        assert np.isfinite(y.detach().numpy()).all()
        assert np.isfinite(x.grad.numpy()).all()


IN_PLACE = {
    "relu": F.relu, "threshold": lambda x, **k: F.threshold(x, 0.1, 2.0, **k), "elu": F.elu,
    "celu": F.celu, "selu": F.selu, "hardtanh": F.hardtanh, "leaky_relu": F.leaky_relu,
    "rrelu": F.rrelu, "relu6": F.relu6, "silu": F.silu, "mish": F.mish, "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    op = IN_PLACE[name]
    results, grads = [], []
    for inplace in (False, True):
        x = mg.tensor(np.linspace(-4, 4, 20) + 0.03, requires_grad=True)
        h = x * 1
        y = op(h, inplace=inplace)
        assert (y is h) == inplace
        (y * y).sum().backward()
        results.append(y.detach().numpy())
        grads.append(x.grad.numpy())
    np.testing.assert_array_equal(*results)
    np.testing.assert_allclose(*grads)


@pytest.mark.parametrize("name", ["relu", "elu", "celu", "selu", "hardtanh", "leaky_relu", "rrelu"])
def test_functions_with_an_underscore_write_into_their_argument(name: str) -> None:
    x = mg.tensor([-1.0, 2.0])
    y = getattr(F, name + "_")(x)
    assert y is x
    np.testing.assert_array_equal(y.numpy(), IN_PLACE[name](mg.tensor([-1.0, 2.0])).numpy())
    z = mg.tensor([-1.0, 2.0])
    if name in ("relu", "celu", "selu", "rrelu"):
        assert getattr(mg, name + "_")(z) is z


def test_threshold_in_place_functions() -> None:
    for op in (F.threshold_, mg.threshold_):
        x = mg.tensor([-1.0, 2.0])
        assert op(x, 0.0, 7.0) is x
        assert x.tolist() == [7.0, 2.0]


def test_a_leaf_that_requires_grad_is_not_overwritten() -> None:
    x = mg.tensor([-1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        F.relu(x, inplace=True)
    assert x.tolist() == [-1.0, 2.0]


def test_gated_linear_unit_is_a_product_with_a_gate() -> None:
    x = mg.randn(3, 8, dtype=mg.float64)
    a, b = x.chunk(2, -1)
    np.testing.assert_allclose(F.glu(x).numpy(), (a * b.sigmoid()).numpy())
