"""nn.init: wanted distributions and structures, PyTorch's answers and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import init
from tests.parity import Row, assert_parity, by_source, table

ROWS = by_source("i", lambda L: L.nn.init, [
    *(f"i.calculate_gain({name!r})" for name in (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose3d",
        "sigmoid", "tanh", "relu", "leaky_relu", "selu", "unknown", "conv_transposed",
    )),
    "i.calculate_gain('leaky_relu', 0.2)", "i.calculate_gain('leaky_relu', 1)",
    "i.calculate_gain('leaky_relu', 'x')", "i.calculate_gain('leaky_relu', True)",
    "i._calculate_fan_in_and_fan_out(L.ones(2, 3, 4, 5))",
    "i._calculate_fan_in_and_fan_out(L.ones(2))",
    "i._calculate_correct_fan(L.ones(2, 3), 'FAN_OUT')",
    "i.eye_(L.ones(3))", "i.eye_(L.ones(2, 3))", "i.eye_(L.ones(3, 2))",
    "i.dirac_(L.ones(3))", "i.dirac_(L.ones(3, 2, 1), 2)", "i.dirac_(L.ones(4, 3, 3))",
    "i.dirac_(L.ones(4, 2, 3, 3), 2)", "i.dirac_(L.ones(4, 2, 3, 3, 3), 2)",
    "i.dirac_(L.ones(2, 5, 4, 2))",
    "i.constant_(L.ones(2), 3)", "i.ones_(L.zeros(2))", "i.zeros_(L.ones(2))",
    "i.constant_(L.ones(2, dtype=L.int64), 2)", "i.ones_(L.zeros(2, dtype=L.complex64))",
    "i.xavier_normal_(L.ones(3))", "i.xavier_uniform_(L.ones(()))", "i.kaiming_normal_(L.ones(3))",
    "i.kaiming_uniform_(L.ones(2, 2), mode='x')",
    "i.kaiming_uniform_(L.ones(2, 2), nonlinearity='x')",
    "i.kaiming_uniform_(L.ones(0, 2))", "i.kaiming_normal_(L.ones(2, 0))",
    "i.xavier_uniform_(L.ones(0, 2))", "i.orthogonal_(L.ones(3))", "i.orthogonal_(L.ones(0, 2))",
    "i.sparse_(L.ones(3), 0.1)", "i.normal_(L.ones(2), 0., -1.)", "i.uniform_(L.ones(2), 2., 1.)",
    "i.trunc_normal_(L.ones(2), mean=9.).tolist() == [9]", "i.trunc_normal_(L.ones(3), a=3., b=1.)",
    "i.trunc_normal_(L.ones(3), std=0.)", "i.trunc_normal_(L.ones(0)).shape",
    "i.trunc_normal_(L.ones(3), a=2., b=2.)",
    "i.normal_(L.nn.Parameter(L.ones(2))).is_leaf",
])  # fmt: skip


@table(ROWS)
def test_as_in_pytorch(row: Row) -> None:
    assert_parity(row, message=False)


SHAPES = [(40, 60), (30, 8, 3, 3)]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    field = int(np.prod(shape[2:]))
    return shape[1] * field, shape[0] * field


FILLS: dict[str, tuple[Callable[[Any], Any], Callable[[int, int], float]]] = {
    "xavier_uniform": (
        lambda t: init.xavier_uniform_(t, gain=2.0),
        lambda i, o: 2 * np.sqrt(2 / (i + o)),
    ),
    "xavier_normal": (init.xavier_normal_, lambda i, o: np.sqrt(2 / (i + o))),
    "kaiming_uniform": (
        lambda t: init.kaiming_uniform_(t, nonlinearity="relu"),
        lambda i, o: np.sqrt(2 / i),
    ),
    "kaiming_uniform a=√5": (
        lambda t: init.kaiming_uniform_(t, a=5**0.5),
        lambda i, o: np.sqrt(1 / (3 * i)),
    ),
    "kaiming_normal": (
        lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
        lambda i, o: np.sqrt(2 / o),
    ),
    "normal": (lambda t: init.normal_(t, 0.0, 0.3), lambda i, o: 0.3),
    "uniform": (lambda t: init.uniform_(t, -1.0, 1.0), lambda i, o: 1 / np.sqrt(3)),
    "trunc_normal": (lambda t: init.trunc_normal_(t, std=0.5, a=-9, b=9), lambda i, o: 0.5),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float64, mg.bfloat16], ids=str)
@pytest.mark.parametrize("name", FILLS)
def test_scale(name: str, dtype: Any, shape: tuple[int, ...]) -> None:
    fill, std = FILLS[name]
    mg.manual_seed(0)
    t = mg.empty(*shape, dtype=dtype)
    version = t._version
    assert fill(t) is t and t.dtype is dtype and t._version > version
    values = t.double().numpy()
    wanted = std(*fans(shape))
    assert abs(values.std() / wanted - 1) < 0.05 and abs(values.mean()) < 0.1 * wanted
    if "uniform" in name:
        assert np.abs(values).max() <= wanted * np.sqrt(3) * 1.01


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [
        (0.0, 1.0, -2.0, 2.0),
        (0.5, 2.0, -1.0, 1.0),
        (0.0, 1.0, 1.0, 3.0),
        (0.0, 1.0, 3.0, 1e6),
        (1.0, 0.1, -1e6, 0.6),
        (0.0, 1.0, -0.01, 0.01),
        (0.0, 1.0, 6.0, 8.0),
    ],
)
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
def test_truncated_normal_has_its_distribution(mean, std, a, b) -> None:
    """Kolmogorov-Smirnov against SciPy's, also in tails where a normal number hardly ever falls."""
    stats = pytest.importorskip("scipy.stats")
    t = init.trunc_normal_(
        mg.empty(20_000, dtype=mg.float64), mean, std, a, b, mg.Generator().manual_seed(0)
    ).numpy()
    assert t.min() >= a and t.max() <= b
    expected = stats.truncnorm((a - mean) / std, (b - mean) / std, loc=mean, scale=std)
    assert stats.kstest(t, expected.cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (6, 6), (4, 3, 2, 2)], ids=str)
def test_orthogonal(shape: tuple[int, ...]) -> None:
    q = init.orthogonal_(mg.empty(*shape), gain=2.0).numpy().reshape(shape[0], -1)
    product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 4 * np.eye(min(q.shape)), atol=1e-5)


def test_sparse() -> None:
    mg.manual_seed(1)
    w = init.sparse_(mg.empty(10, 400), 0.25, std=0.5).numpy()
    assert ((w == 0).sum(0) == 3).all()  # rounded up
    assert abs(w[w != 0].std() / 0.5 - 1) < 0.05


@pytest.mark.parametrize("name", [
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_",
    "kaiming_uniform_", "kaiming_normal_", "orthogonal_", "sparse_",
])  # fmt: skip
def test_seeds(name: str) -> None:
    """The global generator by default, else the given one; equal seeds, equal bits."""
    more = (0.5,) if name == "sparse_" else ()

    def draw(**options: Any) -> list[Any]:
        return getattr(init, name)(mg.empty(4, 5), *more, **options).tolist()

    mg.manual_seed(3)
    first = draw()
    assert draw() != first
    mg.manual_seed(3)
    assert draw() == first
    assert draw(generator=mg.Generator().manual_seed(3)) == first


def test_parameters_are_filled_outside_the_graph() -> None:
    w = mg.nn.Parameter(mg.empty(3, 3))
    for fill in (init.zeros_, init.normal_, init.eye_, init.orthogonal_):
        assert fill(w) is w and w.is_leaf and w.requires_grad
    transposed = mg.zeros(3, 2).t()
    assert init.ones_(transposed) is transposed and transposed.sum().item() == 6


@pytest.mark.parametrize("name", [
    "uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal",
    "kaiming_uniform", "kaiming_normal", "orthogonal", "sparse",
])  # fmt: skip
def test_old_names(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"use minigrad.nn.init.{name}_"):
        assert getattr(init, name) is getattr(init, name + "_")
