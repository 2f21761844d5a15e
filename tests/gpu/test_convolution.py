"""Convolutions on the fake device, their kernels by the emulator, against the CPU's: the result and
the gradients, which are the other two kernels; transposed ones, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cuda import convolution

from .fake_device import MACHINE
from .toolchain import WHY_NO_DEVICE_COMPILER, WHY_NO_EMULATOR, device_code

needs_emulator = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))
F = mg.nn.functional


class Sample(NamedTuple):
    """A convolution: the shapes of x and w, what the layer is told, and which kernels run."""

    name: str
    x: tuple[int, ...]
    w: tuple[int, ...]
    options: dict[str, Any]
    tiles: int  # of the three kernels
    bias: bool = True
    last: bool = False
    dtype: Any = mg.float32


SAMPLES = [
    Sample("images", (2, 17, 6, 7), (20, 17, 3, 3), {"padding": 1}, 3),
    Sample("strides and dilation", (1, 16, 9, 11), (18, 16, 3, 2),
           {"stride": (2, 3), "dilation": (2, 1), "padding": (1, 2)}, 3, bias=False),
    Sample("groups", (2, 32, 5, 5), (36, 16, 2, 2), {"groups": 2}, 3),
    Sample("more than a tile", (1, 16, 9, 9), (70, 16, 1, 1), {}, 3),
    Sample("channels last", (2, 16, 5, 6), (16, 16, 3, 3), {"padding": 1}, 3, last=True),
    Sample("volumes", (1, 16, 3, 4, 5), (16, 16, 2, 2, 2), {"stride": 2, "padding": 1}, 3),
    Sample("sequences", (3, 2, 30), (4, 2, 5), {"stride": 2}, 0),
    Sample("depthwise", (2, 5, 6, 6), (10, 1, 3, 3), {"groups": 5, "padding": 1}, 0),
    Sample("few channels in", (2, 3, 8, 8), (16, 3, 3, 3), {"stride": 2}, 2),
    Sample("halves", (2, 16, 5, 5), (16, 16, 3, 3), {"padding": 1}, 3, dtype=mg.bfloat16),
    Sample("float64", (1, 16, 5, 5), (16, 16, 3, 3), {}, 0, dtype=mg.float64),
]  # fmt: skip


def _results(sample: Sample, place: str, tensors: list[Any], transposed: bool) -> list[np.ndarray]:
    x, w, b = [None if t is None else t.detach().to(place) for t in tensors]
    if sample.last:
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    for t in (x, w, b):
        if t is not None:
            t.requires_grad_()
    name = f"conv{'_transpose' * transposed}{w.ndim - 2}d"
    y = getattr(F, name)(x, w, b, **sample.options)
    g = mg.arange(y.numel()).reshape(y.shape).to(y.dtype).sin().to(place)
    y.backward(g)
    grads = [t.grad for t in (x, w, b) if t is not None]
    return [t.detach().cpu().double().numpy() for t in (y, *grads)]


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: s.name)
@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
def test_convolutions_are_the_cpus(device: Any, sample: Sample, transposed: bool) -> None:
    mg.manual_seed(0)
    x_shape = sample.x
    if transposed:
        x_shape = (sample.x[0], sample.w[0], *sample.x[2:])
    outputs = sample.w[1] * sample.options.get("groups", 1) if transposed else sample.w[0]
    x, w = mg.randn(x_shape).to(sample.dtype), mg.randn(sample.w).to(sample.dtype)
    b = mg.randn(outputs).to(sample.dtype) if sample.bias else None
    want = _results(sample, "cpu", [x, w, b], transposed)
    mg.backends.cudnn.allow_tf32 = False
    try:
        MACHINE.launches.clear()
        got = _results(sample, "cuda", [x, w, b], transposed)
    finally:
        mg.backends.cudnn.allow_tf32 = True
    used = [n for n in MACHINE.launches if n.startswith("convolution_")]
    assert len(used) == 3 and sum(["tiles" in n for n in used]) == sample.tiles
    assert not {"matmul", "cublasLtMatmul", "astype"} & set(MACHINE.launches)
    tolerance = 2e-2 if sample.dtype == mg.bfloat16 else 2e-6
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= tolerance * (np.abs(b).max() + 1)


@needs_emulator
@pytest.mark.slow
def test_tf32_is_the_default_as_in_pytorch(device: Any) -> None:
    mg.manual_seed(0)
    x, w = mg.randn(1, 16, 6, 6), mg.randn(16, 16, 3, 3)
    exact = F.conv2d(x.double(), w.double()).numpy()
    errors = []
    for allowed in (True, False):
        mg.backends.cudnn.allow_tf32 = allowed
        errors.append(np.abs(F.conv2d(x.cuda(), w.cuda()).cpu().numpy() - exact).max())
    mg.backends.cudnn.allow_tf32 = True
    assert errors[1] < 5e-5 < 1e-3 < errors[0] < 0.1


@needs_emulator
@pytest.mark.slow
def test_channels_last_stay_last(device: Any) -> None:
    x = mg.randn(2, 5, 5, 16).cuda().permute(0, 3, 1, 2)
    y = F.conv2d(x, mg.randn(16, 16, 3, 3).cuda())
    assert x._data.strides[1] == 4 and y._data.strides[1] == 4


def test_arrays_whose_offsets_need_more_than_32_bits_are_left() -> None:
    x = np.zeros((2, 1, 1, 1), np.float32)
    for step, usable in (((1 << 31) - 1, True), (1 << 31, False), (-(1 << 31), False)):
        wide = np.lib.stride_tricks.as_strided(x, x.shape, (4 * step, 4, 4, 4))
        found = convolution._usable(x, wide, None)  # not in the assertion, which would print `wide`
        assert found is usable


@needs_emulator
@pytest.mark.slow
def test_a_bias_with_gaps(device: Any) -> None:
    x, w, b = mg.randn(1, 2, 4, 4), mg.randn(3, 2, 3, 3), mg.randn(6)
    got = F.conv2d(x.cuda(), w.cuda(), b.cuda()[::2]).cpu().numpy()
    np.testing.assert_allclose(got, F.conv2d(x, w, b[::2]).numpy(), rtol=1e-4, atol=1e-4)


@needs_emulator
@pytest.mark.slow
def test_a_long_sum_is_found_in_parts(device: Any) -> None:
    """The weight's gradient over many places, added up by a second kernel in a fixed order."""
    mg.manual_seed(0)
    x, w = mg.randn(4, 16, 14, 14), mg.randn(16, 16, 1, 1)
    sample = Sample("", tuple(x.shape), tuple(w.shape), {}, 3, bias=False)
    mg.backends.cudnn.allow_tf32 = False
    MACHINE.launches.clear()
    got = _results(sample, "cuda", [x, w, None], False)
    mg.backends.cudnn.allow_tf32 = True
    assert any([n.startswith("reduce_columns") for n in MACHINE.launches])
    for a, b in zip(got, _results(sample, "cpu", [x, w, None], False), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(WHY_NO_DEVICE_COMPILER is not None, reason=str(WHY_NO_DEVICE_COMPILER))
def test_kernels_compile_to_tensor_cores() -> None:
    sources = [
        convolution.kernel(mode, dtype, tiles=tiles, exact=dtype == "float32")
        for mode in (convolution.FORWARD, convolution.INPUT, convolution.WEIGHT)
        for dtype, tiles in (("float32", True), ("bfloat16", True), ("float32", False))
    ]
    code = device_code(sources)
    for source in sources:
        found = code[source.name]
        assert not found.spills and found.registers <= 168, source.name  # three blocks of tiles
        assert ("mma.sync.aligned.m16n8k8" in found.ptx) == ("tiles" in source.name)
