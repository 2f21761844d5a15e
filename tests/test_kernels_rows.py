"""Softmax, cross entropy and scans: compiled kernels against the formulas they replace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import config
from minigrad.kernels.cpu import compiler, losses, rows, scans, threads

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")
np.seterr(all="ignore")

SHAPES = [(40, 37), (3, 700), (1, 5000), (6, 30, 9), (9, 300), (2, 9, 130), (1100, 1)]


@pytest.fixture(autouse=True)
def every_size(monkeypatch: Any) -> None:
    """Kernels at the sizes of tests, threads from the first element on."""
    for module in (rows, scans):
        monkeypatch.setattr(module, "SMALL", 1)
    monkeypatch.setattr(losses, "SMALL", 1)
    monkeypatch.setattr(threads, "PARALLEL", 1)


def laid_out(x: np.ndarray, kind: str) -> np.ndarray:
    """The same numbers with other strides."""
    if kind == "transposed":
        return np.asfortranarray(x)
    if kind == "sliced":
        wide = np.zeros([2 * n for n in x.shape], x.dtype)
        part = wide[tuple(slice(None, None, 2) for _ in x.shape)]
        part[...] = x
        return part
    return x


KINDS = st.sampled_from(["plain", "plain", "transposed", "sliced"])


@st.composite
def arrays(draw: Any) -> tuple[np.ndarray, int]:
    """An array, perhaps with extreme values, and one of its dimensions."""
    shape = draw(st.sampled_from(SHAPES))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    x = (rng.standard_normal(shape) * draw(st.sampled_from([1, 30]))).astype(np.float32)
    special = draw(st.sampled_from([None, None, -np.inf, np.inf, np.nan, 3e38, -3e38, 1e-42]))
    if special is not None:
        x.reshape(-1)[:: draw(st.integers(1, 50))] = special
    return laid_out(x, draw(KINDS)), draw(st.integers(0, len(shape) - 1))


def both(f: Any, x: np.ndarray, *others: np.ndarray, count: int = 1) -> list[list[np.ndarray]]:
    """Result and gradient of f with kernels, again with kernels, and without them."""
    found = []
    for kernels in ("auto", "auto", "off"):
        threads.limit(count)
        try:
            with config.using(kernels=kernels):
                a = mg.from_numpy(x).detach().requires_grad_()
                y = f(a, *[mg.from_numpy(o) for o in others])
                g = np.random.default_rng(1).standard_normal(y.shape).astype(np.float32)
                y.backward(mg.from_numpy(g.reshape(y.shape)))
                assert a.grad is not None
                found.append([y.detach().numpy(), a.grad.numpy()])
        finally:
            threads.limit(threads.available())
    return found


def agree(found: Any, rtol: float = 2e-5, atol: float = 2e-5) -> None:
    for ours, again, formula in zip(*found, strict=True):
        assert ours.dtype == formula.dtype and ours.shape == formula.shape
        np.testing.assert_array_equal(ours, again)
        np.testing.assert_allclose(ours, formula, rtol=rtol, atol=atol)


@settings(max_examples=80, deadline=None)
@given(arrays(), st.sampled_from(["softmax", "log_softmax"]), st.integers(1, 2))
def test_softmax(pair, name, count):
    x, dim = pair
    agree(both(lambda a: getattr(F, name)(a, dim), x, count=count), atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(arrays(), st.booleans(), st.integers(1, 2))
def test_logsumexp(pair, keepdim, count):
    x, dim = pair
    agree(both(lambda a: mg.logsumexp(a, dim, keepdim), x, count=count))


def test_softmax_is_exact_to_the_last_digits():
    x = np.random.default_rng(0).standard_normal((64, 1000)).astype(np.float32) * 8
    wide = x.astype(np.float64)
    exact = np.exp(wide - wide.max(1, keepdims=True))
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(rows.softmax(x, 1), exact, rtol=4e-6)
    np.testing.assert_allclose(rows.softmax(x.T, 0), exact.T, rtol=4e-6)
    np.testing.assert_allclose(rows.softmax(x, 1, True), np.log(exact), rtol=1e-6, atol=1e-6)


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([(30, 17), (200, 3), (2, 5000), (7, 11, 40), (3, 5, 6, 7)]),
    st.integers(0, 999),
    st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
    st.sampled_from([-100, 1]),
    KINDS,
    st.integers(1, 2),
)
def test_cross_entropy(shape, seed, reduction, smoothing, weighted, ignore, kind, count):
    rng = np.random.default_rng(seed)
    x = laid_out((rng.standard_normal(shape) * 4).astype(np.float32), kind)
    target = rng.integers(0, shape[1], shape[:1] + shape[2:])
    target.reshape(-1)[::4] = ignore
    weight = mg.from_numpy(rng.random(shape[1]).astype(np.float32)) if weighted else None

    def f(a: Any, t: Any) -> Any:
        return F.cross_entropy(
            a, t, weight, ignore_index=ignore, label_smoothing=smoothing, reduction=reduction
        )

    agree(both(f, x, target, count=count), atol=3e-4)


@pytest.mark.parametrize("bad", [-1, 10])
@pytest.mark.parametrize("shape", [(8, 10), (2, 10, 40)])
def test_a_class_that_is_not_there(shape, bad):
    target = np.zeros(shape[:1] + shape[2:], np.int64)
    target.reshape(-1)[3] = bad
    with pytest.raises(IndexError, match=f"Target {bad} is out of bounds"):
        F.cross_entropy(mg.ones(*shape), mg.from_numpy(target))


def test_ignored_places_do_not_look_at_their_logits():
    x = np.zeros((4, 20), np.float32)
    x[2] = np.nan
    target = np.array([1, 2, -100, 3])
    ours, _, formula = both(lambda a, t: F.cross_entropy(a, t), x, target)
    assert np.isfinite(ours[0]) and np.isfinite(ours[1]).all()
    np.testing.assert_allclose(ours[1], formula[1], atol=1e-6)


LOSSES: dict[str, dict[str, Any]] = {
    "mse_loss": {}, "l1_loss": {}, "smooth_l1_loss": {"beta": 0.7}, "huber_loss": {"delta": 0.6},
    "binary_cross_entropy": {}, "binary_cross_entropy_with_logits": {}, "kl_div": {},
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from([(3, 5), (70, 300), (20001,)]),
    st.sampled_from(["mean", "sum", "batchmean"]),
    st.integers(0, 99),
    KINDS,
    st.integers(1, 2),
)
def test_losses_of_pairs(name, shape, reduction, seed, kind, count):
    rng = np.random.default_rng(seed)
    x = rng.random(shape).astype(np.float32)
    t = rng.random(shape).astype(np.float32)
    if name == "binary_cross_entropy":
        x.reshape(-1)[:2] = 0, 1
    else:
        x = x * 6 - 3
    t.reshape(-1)[:2] = 0, 1
    reduction = "sum" if reduction == "batchmean" and name != "kl_div" else reduction
    f = getattr(F, name)
    found = both(
        lambda a, b: f(a, b, reduction=reduction, **LOSSES[name]),
        laid_out(x, kind), laid_out(t, kind), count=count,
    )  # fmt: skip
    agree(found, rtol=3e-5)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(5, 300), (2, 9001), (300, 18), (4, 20, 17), (33, 1), (30000,)]),
    st.integers(0, 99),
    st.sampled_from(["cumsum", "cumprod", "logcumsumexp"]),
    st.sampled_from([None, None, 0.0, np.inf, -np.inf, np.nan]),
    KINDS,
    st.integers(0, 2),
    st.integers(1, 2),
)
def test_scans(shape, seed, name, special, kind, dim, count):
    rng = np.random.default_rng(seed)
    spread = 0.02 if name == "cumprod" else 1 if name == "cumsum" else 40
    x = (1 + spread * rng.standard_normal(shape)).astype(np.float32)
    if special is not None:
        x.reshape(-1)[:: x.size // 2 + 1] = special
    dim = min(dim, len(shape) - 1)
    found = both(lambda a: getattr(mg, name)(a, dim), laid_out(x, kind), count=count)
    agree(found, rtol=5e-4, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
def test_long_rows_are_summed_in_pieces(dtype, reverse):
    x = np.random.default_rng(0).standard_normal((3, 50001)).astype(dtype)
    exact = x.astype(np.longdouble)
    exact = exact[:, ::-1].cumsum(1)[:, ::-1] if reverse else exact.cumsum(1)
    y = scans.accumulate(x, 1, False, reverse)
    np.testing.assert_allclose(y, exact.astype(dtype), rtol=1e-6, atol=1e-6)
