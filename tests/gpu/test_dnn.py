"""Convolutions and attention by cuDNN's graphs, described to a stand-in for its frontend
(fake_cudnn.py) that computes what it was told, against the CPU's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cuda import dnn

from . import fake_cudnn, fake_cupy
from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))
F = mg.nn.functional


@pytest.fixture
def cudnn() -> Iterator[Any]:
    with fake_cupy.installed(), fake_cudnn.installed() as graphs:
        yield graphs


def _both(call: Any, *tensors: Any) -> list[list[np.ndarray]]:
    """[of the CPU, of the device]: the result and the gradients."""
    found = []
    for place in ("cpu", "cuda"):
        given = [t.detach().to(place).requires_grad_() for t in tensors]
        MACHINE.launches.clear()
        y = call(*given)
        g = mg.arange(y.numel()).reshape(y.shape).sin().to(y.dtype)
        y.backward(g.to(place))
        found.append([t.detach().cpu().double().numpy() for t in (y, *[t.grad for t in given])])
    return found


def _close(found: list[list[np.ndarray]], tolerance: float) -> None:
    for want, got in zip(*found, strict=True):
        assert np.abs(got - want).max() <= tolerance * (np.abs(want).max() + 1)


CONVOLUTIONS = {
    "images": ((2, 3, 6, 7), (4, 3, 3, 3), {"padding": 1}),
    "groups": ((2, 4, 5, 5), (6, 2, 3, 2), {"groups": 2, "stride": (2, 1)}),
    "sequences": ((2, 3, 9), (4, 3, 3), {"padding": 2, "dilation": 2}),
    "volumes": ((1, 2, 4, 4, 5), (3, 2, 2, 2, 2), {"stride": 2}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", [mg.float32, mg.float16, mg.bfloat16])
@pytest.mark.parametrize("transposed", [False, True], ids=["", "transposed"])
def test_convolutions(cudnn: Any, name: str, dtype: Any, transposed: bool) -> None:
    mg.manual_seed(0)
    x_shape, w_shape, options = CONVOLUTIONS[name]
    channels = w_shape[1] * options.get("groups", 1) if transposed else w_shape[0]
    if transposed:
        x_shape = (x_shape[0], w_shape[0], *x_shape[2:])
    x, w, b = (mg.randn(s).to(dtype) for s in (x_shape, w_shape, channels))
    kind = f"conv{'_transpose' * transposed}{len(w_shape) - 2}d"
    found = _both(lambda x, w, b: getattr(F, kind)(x, w, b, **options), x, w, b)
    _close(found, 1e-5 if dtype == mg.float32 else 2e-2)
    names = ("conv_fprop", "conv_dgrad", "conv_wgrad")
    assert {n: MACHINE.launches[f"cudnn_{n}"] for n in names} == dict.fromkeys(names, 1)
    assert not {"astype", "ascontiguousarray"} & set(MACHINE.launches)


def test_tf32_plans_are_left_out_where_they_are_not_allowed(cudnn: Any) -> None:
    x, w = mg.randn(1, 2, 5, 5).cuda(), mg.randn(2, 2, 3, 3).cuda()
    F.conv2d(x, w)
    mg.backends.cudnn.allow_tf32 = False
    try:
        F.conv2d(x, w)
        F.conv2d(x, w)
        F.conv2d(x.half(), w.half())
    finally:
        mg.backends.cudnn.allow_tf32 = True
    names = [[note.name for note in graph.dropped] for graph in cudnn.built]
    assert names == [[], ["TENSOR_CORE", "DOWN_CONVERT_INPUTS"], []]  # each is planned once


def test_channels_last_are_described_as_they_are(cudnn: Any) -> None:
    x = mg.randn(2, 5, 5, 3).cuda().permute(0, 3, 1, 2)
    y = F.conv2d(x, mg.randn(4, 3, 3, 3).cuda())
    (graph,) = cudnn.built
    assert graph.tensors[0].stride == [75, 1, 15, 3] and y._data.strides[1] == 4
    want = F.conv2d(x.cpu(), mg.zeros(4, 3, 3, 3)).shape
    assert tuple(graph.outputs[0].dim) == tuple(want)


def _attention(causal: bool) -> Any:
    def call(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # heads side by side in memory
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
        return y.transpose(1, 2)

    return call


@pytest.mark.parametrize("dtype", [mg.float16, mg.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_attention(cudnn: Any, dtype: Any, causal: bool) -> None:
    mg.manual_seed(0)
    q, k, v = (mg.randn(2, n, h, 8).to(dtype) for n, h in ((7, 4), (9, 2), (9, 2)))
    _close(_both(_attention(causal), q, k, v), 2e-2)
    used = {n: c for n, c in MACHINE.launches.items() if "cudnn" in n or "attention" in n}
    assert used == {"cudnn_sdpa": 1, "cudnn_sdpa_backward": 1}
    assert cudnn.built[0].tensors[0].stride == [7 * 4 * 8, 8, 4 * 8, 1]  # no head was copied


def test_gradients_are_parts_of_one_array_where_the_heads_are(cudnn: Any) -> None:
    """So that they need not be joined."""

    def call(whole: Any) -> Any:
        heads = [x.reshape(2, 5, 2, 8).transpose(1, 2) for x in whole.split(16, 2)]
        return F.scaled_dot_product_attention(*heads)

    _close(_both(call, mg.randn(2, 5, 48).bfloat16()), 2e-2)
    assert MACHINE.launches["cudnn_sdpa_backward"] == 1
    assert [list(x.stride) for x in cudnn.built[1].outputs] == [[5 * 48, 8, 48, 1]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("refused", ["sdpa", "sdpa_backward"])
def test_what_is_refused_is_done_by_our_own_kernels(refused: str) -> None:
    """Also where forward was cuDNN's, and backward has its statistics."""
    mg.manual_seed(0)
    tensors = [mg.randn(1, n, 2, 8).bfloat16() for n in (5, 6, 6)]
    with fake_cupy.installed(), fake_cudnn.installed(refused):
        _close(_both(_attention(True), *tensors), 2e-2)
        assert any([n.startswith("attention_keys") for n in MACHINE.launches])
        assert ("cudnn_sdpa" in MACHINE.launches) == (refused == "sdpa_backward")


@pytest.mark.slow
def test_refused_and_disabled_convolutions_are_our_own() -> None:
    x, w = mg.randn(1, 2, 5, 5), mg.randn(3, 2, 3, 3)
    with fake_cupy.installed(), fake_cudnn.installed("conv_fprop") as graphs:
        found = _both(F.conv2d, x, w)
        _close(found, 1e-5)
        assert "cudnn_conv_wgrad" in MACHINE.launches and len(graphs.built) == 2
        mg.backends.cudnn.enabled = False
        try:
            MACHINE.launches.clear()
            F.conv2d(x.half().cuda(), w.half().cuda())
        finally:
            mg.backends.cudnn.enabled = True
        assert not any(["cudnn" in n for n in MACHINE.launches])


def test_a_planned_graph_can_be_noted(cudnn: Any) -> None:
    x, w = mg.randn(1, 2, 5, 5).cuda(), mg.randn(3, 2, 3, 3).cuda()
    F.conv2d(x, w)
    graph = mg.cuda.CUDAGraph()
    with mg.cuda.graph(graph):
        y = F.conv2d(x, w)
    new = mg.randn(1, 2, 5, 5)
    x.copy_(new.cuda())
    graph.replay()
    want = F.conv2d(new, w.cpu()).numpy()
    np.testing.assert_allclose(y.cpu().numpy(), want, rtol=1e-4, atol=1e-4)


def test_without_the_module_there_is_no_cudnn(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "cudnn", None)
    dnn.module.cache_clear()
    try:
        assert dnn.module() is None
    finally:
        dnn.module.cache_clear()
