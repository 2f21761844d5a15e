"""State that normalisation and embedding change: running statistics, rows of too large a norm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def both(call: Any, *arrays: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The results and the arguments after `call`, in both libraries, as one list each."""
    found = []
    for m in (mg, torch):
        tensors = [m.tensor(a) for a in arrays]
        y = call(m, m.nn.functional, *tensors)
        found.append([t.detach().numpy() for t in (y, *tensors)])
    return found[0], found[1]


def same(call: Any, *arrays: np.ndarray) -> None:
    for got, want in zip(*both(call, *arrays), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_batch_norm_moves_running_statistics(shape: Any, momentum: float, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(dtype) for s in (shape, (3,), (3,))]
    same(lambda m, f, x, mean, var: f.batch_norm(x, mean, var, None, None, True, momentum), *arrays)


def test_instance_norm_moves_running_statistics() -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype("f") for s in ((2, 3, 5), (3,), (3,))]
    same(lambda m, f, x, mean, var: f.instance_norm(x, mean, var, momentum=0.3), *arrays)
    arrays[2] = np.abs(arrays[2])
    same(lambda m, f, x, mean, var: f.instance_norm(x, mean, var, use_input_stats=False), *arrays)


def test_batch_norm_of_half_precision_with_float_statistics() -> None:
    x = mg.randn(8, 3, 4).to(mg.bfloat16)
    mean, var, w, b = mg.zeros(3), mg.ones(3), mg.ones(3), mg.zeros(3)
    for training in (True, False):
        y = mg.nn.functional.batch_norm(x, mean, var, w, b, training)
        assert y.dtype == mg.bfloat16 and mean.dtype == mg.float32


def test_a_refused_batch_norm_moves_nothing() -> None:
    mean, var = mg.zeros(3), mg.ones(3)
    with pytest.raises(RuntimeError):
        mg.nn.functional.batch_norm(mg.randn(4, 3), mean, var, mg.ones(2), None, True)
    with pytest.raises(ValueError, match="more than 1 value"):
        mg.nn.functional.batch_norm(mg.randn(1, 3), mean, var, None, None, True)
    assert mean.tolist() == [0, 0, 0] and var.tolist() == [1, 1, 1]


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
def test_embedding_rescales_the_rows_in_use(norm_type: float) -> None:
    rng = np.random.default_rng(0)
    index, table = np.array([0, 2, 2]), rng.standard_normal((4, 5)).astype("f") * 3
    same(lambda m, f, i, w: f.embedding(i, w, max_norm=1.0, norm_type=norm_type), index, table)
    same(
        lambda m, f, i, w: f.embedding_bag(i[None], w, max_norm=1.0, norm_type=norm_type),
        index,
        table,
    )


def test_an_index_changed_before_backward_is_noticed() -> None:
    index, table = mg.tensor([0, 1]), mg.randn(3, 2, requires_grad=True)
    y = mg.nn.functional.embedding(index, table)
    index.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_scale_grad_by_freq_divides_by_the_number_of_uses() -> None:
    table = mg.randn(3, 2, requires_grad=True)
    mg.nn.functional.embedding(
        mg.tensor([0, 1, 1, 1]), table, scale_grad_by_freq=True
    ).sum().backward()
    assert table.grad.tolist() == [[1, 1], [1, 1], [0, 0]]


def test_layer_norm_matches_torch_on_a_large_offset() -> None:
    x = (np.random.default_rng(0).standard_normal((4, 256)) + 1000).astype("f")
    (got, *_), (want, *_) = both(lambda m, f, x: f.layer_norm(x, (256,)), x)
    exact = (x - x.mean(1, dtype=np.float64, keepdims=True)) / x.std(
        1, dtype=np.float64, keepdims=True
    )
    assert np.abs(got - exact).max() < max(2 * np.abs(want - exact).max(), 1e-3)
