"""Norms and reductions of device arrays: the kernels that the ops call, and what they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cuda import batch_norm

from .fake_device import MACHINE
from .toolchain import WHY_NO_DEVICE_COMPILER, WHY_NO_EMULATOR, device_code

needs_emulator = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))
pytestmark = [needs_emulator, pytest.mark.slow]
F = mg.nn.functional


def _both(call: Any, *tensors: Any) -> None:
    """The results and gradients of the CPU."""
    found = []
    for place in ("cpu", "cuda"):
        given = [t.detach().to(place).requires_grad_() for t in tensors]
        g = mg.arange(tensors[0].numel()).reshape(tensors[0].shape).sin().to(tensors[0].dtype)
        g = g.to(place)
        MACHINE.launches.clear()
        y = call(*given)
        y.backward(g)
        results = [y.detach(), *[t.grad for t in given]]
        found.append([t.cpu().double().numpy() for t in results])
    tolerance = 2e-2 if tensors[0].dtype == mg.bfloat16 else 1e-5
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [mg.float32, mg.bfloat16])
@pytest.mark.parametrize("width", [24, 7])
def test_rms_norm_is_a_kernel(device: Any, dtype: Any, width: int) -> None:
    mg.manual_seed(0)
    x, w = mg.randn(5, 4, width).to(dtype), mg.randn(width).to(dtype)
    _both(lambda x, w: F.rms_norm(x, (width,), w), x, w)
    kinds = [n for n in MACHINE.launches if n.startswith("norm")]
    assert len(kinds) == 3 and all(["rms" in n for n in kinds])
    assert "astype" not in MACHINE.launches


def test_layer_norm_of_halves_is_one_launch(device: Any) -> None:
    mg.manual_seed(0)
    x, w, b = (mg.randn(s).to(mg.bfloat16) for s in ((6, 16), 16, 16))
    _both(lambda x, w, b: F.layer_norm(x, (16,), w, b), x, w, b)
    assert "astype" not in MACHINE.launches
    here = x.cuda()
    MACHINE.launches.clear()
    F.layer_norm(here, (16,), w.cuda(), b.cuda())
    assert MACHINE.count == 1


def test_norms_over_other_dimensions_are_formulas(device: Any) -> None:
    mg.manual_seed(0)
    for dtype in (mg.float32, mg.bfloat16):
        x, w = mg.randn(5, 4, 6).to(dtype), mg.randn(4, 6).to(dtype)
        _both(lambda x, w: F.rms_norm(x, (4, 6), w), x, w)
        _both(lambda x, w: F.layer_norm(x, (4, 6), w), x, w)


@pytest.mark.parametrize("shape", [(3, 5, 4, 8), (2, 3, 19)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_is_four_launches(device: Any, shape: Any, affine: bool) -> None:
    mg.manual_seed(0)
    x, c = mg.randn(shape) * 3 + 100, shape[1]
    parameters = [mg.randn(c), mg.randn(c)] if affine else []
    _both(lambda x, *wb: F.batch_norm(x, None, None, *wb, training=True), x, *parameters)
    kinds = [n for n in MACHINE.launches if n.startswith("batch_norm")]
    assert len(kinds) == MACHINE.count - MACHINE.launches["copy"] == 4


def test_batch_norm_moves_its_averages(device: Any) -> None:
    found = []
    for place in ("cpu", "cuda"):
        mg.manual_seed(0)
        layer, x = mg.nn.BatchNorm2d(3).to(place), mg.randn(4, 3, 5, 5).to(place)
        MACHINE.launches.clear()
        layer(x)
        found.append([layer.running_mean.cpu().numpy(), layer.running_var.cpu().numpy()])
    assert sum([n for k, n in MACHINE.launches.items() if k.startswith("batch_norm")]) == 4
    assert MACHINE.count <= 6  # and the count of batches
    for got, want in zip(*found[::-1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


@pytest.mark.skipif(WHY_NO_DEVICE_COMPILER is not None, reason=str(WHY_NO_DEVICE_COMPILER))
def test_batch_norm_compiles() -> None:
    sources = [
        batch_norm.kernel(part, dtype)
        for part in ("stats", "apply", "sums", "backward")
        for dtype in batch_norm.KINDS
    ]
    for name, code in device_code(sources).items():
        assert not code.spills and code.registers <= 64, name
        assert "ld.global.nc.v" in code.ptx or "ld.global.v" in code.ptx, name


@pytest.mark.parametrize("dim", [None, 0, 1, 2, (0, 1), (1, 2)], ids=str)
@pytest.mark.parametrize("op", ["sum", "mean", "amax"])
def test_reductions_are_kernels(device: Any, op: str, dim: Any) -> None:
    mg.manual_seed(0)
    x = mg.randn(3, 5, 8)
    options = {} if dim is None else {"dim": dim}
    got, want = (getattr(mg, op)(t, **options).cpu() for t in (x.cuda(), x))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6, atol=1e-6)
    assert any([n.startswith("reduce_") for n in MACHINE.launches])
    assert not {"sum", "max"} & set(MACHINE.launches)


def test_a_long_row_is_shared_by_blocks(device: Any) -> None:
    x = mg.randn(20000)
    MACHINE.launches.clear()
    total = x.cuda().sum()
    assert sum([n for k, n in MACHINE.launches.items() if k.startswith("reduce_rows")]) == 2
    np.testing.assert_allclose(total.item(), x.double().sum().item(), rtol=1e-5, atol=1e-3)


def test_what_is_not_in_one_piece_goes_to_cupy(device: Any) -> None:
    x = mg.randn(4, 6)
    np.testing.assert_allclose(x.cuda().T.sum(0).cpu().numpy(), x.sum(1).numpy(), rtol=1e-5)
