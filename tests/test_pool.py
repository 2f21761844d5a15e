"""What the Cases of pooling do not reach: the rule of pick_windows, and where max_pool points."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.pool import pick_windows

torch = pytest.importorskip("torch")


def test_pick_windows_is_linear_with_the_right_adjoint():
    """Only third derivatives of max_pool record it."""
    rng = np.random.default_rng(0)
    which = rng.integers(0, 4, (2, 3, 3, 2)).astype(np.int32)
    how = {"kernel": (2, 2), "out": (3, 2), "stride": (1, 2), "padding": (0, 0), "dilation": (1, 1)}
    x = mg.from_numpy(rng.standard_normal((2, 3, 4, 4))).requires_grad_()
    assert mg.autograd.gradcheck(lambda t: pick_windows(t, which=which, **how), (x,))
    assert mg.autograd.gradgradcheck(lambda t: pick_windows(t, which=which, **how), (x,))


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0, 0.0], [1.0, float("nan"), 2.0, float("nan")]])
def test_ties_and_nan(values):
    for lib in (mg, torch):
        x = lib.tensor([[values]], requires_grad=True)
        y, index = lib.nn.functional.max_pool1d(x, 2, 1, return_indices=True)
        y.sum().backward()
        result = (index.tolist(), x.grad.tolist(), np.isnan(y.detach().numpy()).tolist())
        if lib is mg:
            ours = result
    assert ours == result
