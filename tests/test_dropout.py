"""What dropout draws: how often, at which scale, by channel, and that gradients see the same
mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg

F = mg.nn.functional
SATURATION = -1.7580993408473766


@pytest.fixture(autouse=True)
def seeded() -> None:
    mg.manual_seed(0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_zeros_and_scale(p: float) -> None:
    y = F.dropout(mg.ones(200, 500), p).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-6)
    # five standard deviations of a mean of 100,000 draws
    assert abs(kept.mean() - (1 - p)) < 5 * np.sqrt(p * (1 - p) / kept.size)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradient_has_the_mask(inplace: bool) -> None:
    x = mg.full((50, 40), 2.0, requires_grad=True)
    y = F.dropout(x * 1, 0.4, True, inplace)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() / 2)
    assert 0 < np.count_nonzero(x.grad.numpy()) < 2000


def test_second_derivative_is_recorded() -> None:
    x = mg.randn(30, dtype=mg.float64, requires_grad=True)
    y = F.dropout(x, 0.5)
    (g,) = mg.autograd.grad((y * y).sum(), x, create_graph=True)
    (h,) = mg.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(h.numpy(), np.where(y.detach().numpy() == 0, 0.0, 8.0))


@pytest.mark.parametrize(
    ("op", "shape", "channel_dims"),
    [
        (F.dropout1d, (8, 16, 5), 2),
        (F.dropout1d, (64, 5), 1),
        (F.dropout2d, (8, 16, 5, 4), 2),
        (F.dropout3d, (8, 16, 3, 2, 2), 2),
        (F.feature_alpha_dropout, (8, 16, 5), 2),
    ],
)
def test_whole_channels(op: Any, shape: tuple[int, ...], channel_dims: int) -> None:
    y = op(mg.ones(*shape), 0.5, True).numpy()
    flat = y.reshape(*shape[:channel_dims], -1)
    assert (flat == flat[..., :1]).all()
    assert len(np.unique(flat)) == 2


@pytest.mark.parametrize("p", [0.2, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p: float) -> None:
    x = mg.randn(400, 500, dtype=mg.float64)
    y = F.alpha_dropout(x, p, True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03
    low = ((1 - p) * (1 + p * SATURATION**2)) ** -0.5 * SATURATION * (1 - p)
    assert abs(np.isclose(y, low).mean() - p) < 0.01


def test_alpha_dropout_gradient() -> None:
    x = mg.randn(40, dtype=mg.float64, requires_grad=True)
    F.alpha_dropout(x, 0.5, True).sum().backward()
    scale = (0.5 * (1 + 0.5 * SATURATION**2)) ** -0.5
    assert set(np.round(x.grad.numpy(), 9)) == {0.0, round(scale, 9)}


def test_a_seed_repeats_and_generators_are_apart() -> None:
    x = mg.ones(100)
    first = F.dropout(x, 0.5, generator=mg.Generator().manual_seed(3)).numpy()
    F.dropout(x, 0.5)
    again = F.dropout(x, 0.5, generator=mg.Generator().manual_seed(3)).numpy()
    np.testing.assert_array_equal(first, again)


def test_functions_of_torch_want_every_argument() -> None:
    x = mg.ones(20, 20)
    y = mg.dropout(x, 0.5, True)
    assert y is not x and set(np.unique(y.numpy())) == {0.0, 2.0}
    assert mg.dropout_(x, 0.5, True) is x and set(np.unique(x.numpy())) == {0.0, 2.0}
    with pytest.raises(TypeError):
        mg.dropout(x, 0.5)


def test_outside_training_it_is_the_input_itself() -> None:
    x = mg.randn(3, 4)
    for op in (F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout):
        assert op(x, 0.5, False) is x


def test_rrelu_draws_a_slope_for_each_negative_element() -> None:
    x = mg.full((100, 100), -1.0, requires_grad=True)
    y = F.rrelu(x, 0.1, 0.4, training=True)
    slope = -y.detach().numpy()
    assert slope.min() >= 0.1 and slope.max() < 0.4 and abs(slope.mean() - 0.25) < 0.01
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), slope)


def test_gumbel_softmax_samples_the_softmax() -> None:
    logits = mg.tensor([0.0, 1.0, -1.0]).expand(20000, 3)
    hard = F.gumbel_softmax(logits, hard=True).numpy()
    assert set(np.unique(np.round(hard, 6))) == {0.0, 1.0}
    want = np.exp([0.0, 1.0, -1.0]) / np.exp([0.0, 1.0, -1.0]).sum()
    np.testing.assert_allclose(hard.mean(0), want, atol=0.015)


def test_gumbel_softmax_hard_has_the_soft_gradient() -> None:
    grads = []
    for hard in (False, True):
        mg.manual_seed(5)
        x = mg.tensor([[0.2, -0.4, 1.0]], requires_grad=True)
        y = F.gumbel_softmax(x, tau=0.7, hard=hard)
        (y * mg.tensor([1.0, 2.0, 3.0])).sum().backward()
        grads.append(x.grad.numpy())
    np.testing.assert_allclose(*grads, rtol=1e-5)


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_probabilities_outside_0_1(p: float) -> None:
    for op in (F.dropout, F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout):
        with pytest.raises(ValueError, match="between 0 and 1"):
            op(mg.ones(2, 3), p)
