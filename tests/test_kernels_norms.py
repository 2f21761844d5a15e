"""Normalisations: compiled kernels against the formulas they replace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import config
from minigrad.kernels.cpu import compiler, norms, threads

pytestmark = pytest.mark.skipif(compiler.numba() is None, reason="needs Numba")
np.seterr(all="ignore")


@pytest.fixture(autouse=True)
def every_size(monkeypatch: Any) -> None:
    """Threads from the first element on."""
    monkeypatch.setattr(threads, "PARALLEL", 1)


def layer(x: Any, w: Any, b: Any, state: Any) -> Any:
    shape = x.shape[1:]
    whole = [None if p is None else p.expand(*shape[:-1], -1).clone() for p in (w, b)]
    return F.layer_norm(x, shape, *whole)


def rms(x: Any, w: Any, b: Any, state: Any) -> Any:
    return F.rms_norm(x, x.shape[-1:], w)


def batch(x: Any, w: Any, b: Any, state: Any) -> Any:
    return F.batch_norm(x, *state, w, b, True, 0.3)


def fixed(x: Any, w: Any, b: Any, state: Any) -> Any:
    return F.batch_norm(x, *state, w, b, False)


def group(x: Any, w: Any, b: Any, state: Any) -> Any:
    return F.group_norm(x, 2 if x.shape[1] % 2 == 0 else 1, w, b)


def instance(x: Any, w: Any, b: Any, state: Any) -> Any:
    return F.instance_norm(x, None, None, w, b)


LAST = {"layer": layer, "rms": rms}
CHANNEL = {"batch": batch, "fixed": fixed, "group": group, "instance": instance}
SHAPES = [(9, 20), (40, 64), (3, 4, 33), (5, 6, 4, 5), (2, 3, 17, 3), (300, 18), (4, 3000)]


def run(f: Any, arrays: list[Any], kernels: str, count: int) -> list[np.ndarray]:
    threads.limit(count)
    try:
        with config.using(kernels=kernels):
            x, w, b, mean, var, g = [None if a is None else mg.from_numpy(a.copy()) for a in arrays]
            x = mg.from_numpy(arrays[0])  # with its own strides
            leaves = [t.requires_grad_() for t in (x, w, b) if t is not None]
            y = f(x, w, b, (mean, var))
            y.backward(g)
    finally:
        threads.limit(threads.available())
    grads = [t.grad.numpy() for t in leaves if t.grad is not None]
    return [y.detach().numpy(), *grads, mean.numpy(), var.numpy()]  # type: ignore[union-attr]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([*LAST, *CHANNEL]),
    st.sampled_from(SHAPES),
    st.integers(0, 999),
    st.sampled_from([np.float32, np.float32, np.float64]),
    st.sampled_from(["both", "weight", "none"]),
    st.sampled_from([0.0, 100.0]),
    st.booleans(),
    st.integers(1, 2),
)
def test_kernel_is_its_formula(name, shape, seed, dtype, parameters, offset, strided, count):
    if name == "instance" and len(shape) < 3:
        shape = (*shape, 21)
    rng = np.random.default_rng(seed)
    size = shape[-1] if name in LAST else shape[1]
    x, g = [rng.standard_normal(shape).astype(dtype) for _ in range(2)]
    x += dtype(offset)
    if strided:
        x = np.asfortranarray(x)
    w, b, mean = [rng.standard_normal(size).astype(dtype) for _ in range(3)]
    arrays = [
        x,
        None if parameters == "none" else w,
        b if parameters == "both" else None,
        mean,
        rng.random(size).astype(dtype) + dtype(0.5),
        g,
    ]
    f = {**LAST, **CHANNEL}[name]
    ours, again = [run(f, arrays, "auto", count) for _ in range(2)]
    formula = run(f, arrays, "off", 1)
    # with a large mean, what is left of x − mean has lost that many digits in either way
    rtol, atol = (3e-4, 3e-4 if offset == 0 else 3e-2) if dtype == np.float32 else (1e-9, 1e-9)
    assert len(ours) == len(formula)
    for a, b2, c in zip(ours, again, formula, strict=True):
        assert a.dtype == c.dtype and a.shape == c.shape
        np.testing.assert_array_equal(a, b2)
        scale = max(1.0, float(np.abs(c).max(initial=0.0)))
        np.testing.assert_allclose(a, c, rtol=rtol, atol=atol * scale)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", [*LAST, *CHANNEL])
def test_what_is_not_finite_stays_in_its_place(name, value):
    x = np.random.default_rng(0).standard_normal((4, 6, 40)).astype(np.float32)
    x[1, 2, 3] = value
    size = 40 if name in LAST else 6
    one = np.ones(size, np.float32)
    arrays = [x, one, one, one * 0, one, np.ones_like(x)]
    ours, formula = [run({**LAST, **CHANNEL}[name], arrays, k, 1)[0] for k in ("auto", "off")]
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(formula))
    assert np.isfinite(ours).any()


def test_statistics_of_a_large_mean_do_not_cancel():
    x = np.random.default_rng(0).standard_normal((64, 8, 50)).astype(np.float32) + 1000
    wide = x.astype(np.float64)
    for shape in ((64, 8, 50), (3200, 8)):
        z = x if len(shape) == 3 else np.ascontiguousarray(x.transpose(0, 2, 1)).reshape(-1, 8)
        z = z if len(shape) == 3 else np.repeat(z, 2, 1)
        mean, var, _ = norms.planes(z, None, None, 0, 1e-5)[1]
        step = len(mean) // 8
        np.testing.assert_allclose(mean[::step], wide.mean((0, 2)), rtol=1e-7)
        np.testing.assert_allclose(var[::step], wide.var((0, 2)), rtol=1e-5)
