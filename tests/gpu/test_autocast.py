"""Autocast of CUDA devices on the fake one: the dtypes that PyTorch's lists for them ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.gpt2 import Conv1D, GPT2Config, GPT2LMHeadModel

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))
F = mg.nn.functional


CALLS: dict[str, tuple[Any, str]] = {
    "linear": (lambda x, h: F.linear(x, x), "lower"),
    "@": (lambda x, h: x @ h.T, "lower"),
    "mv": (lambda x, h: mg.mv(x, x[0]), "lower"),
    "conv1d": (lambda x, h: F.conv1d(x[None], x[None]), "lower"),
    "attention": (lambda x, h: F.scaled_dot_product_attention(x, x, x), "lower"),
    "softmax": (lambda x, h: F.softmax(h, -1), "float32"),
    "softmax method": (lambda x, h: h.softmax(-1), "float32"),
    "layer_norm": (lambda x, h: F.layer_norm(h, (4,)), "float32"),
    "sum": (lambda x, h: h.sum(), "float32"),
    "exp": (lambda x, h: mg.exp(h), "float32"),
    "mse_loss": (lambda x, h: F.mse_loss(h, h), "float32"),
    "cat": (lambda x, h: mg.cat([x, h]), "float32"),
    "cat of halves": (lambda x, h: mg.cat([h, h]), "lower"),
    "relu": (lambda x, h: F.relu(h), "lower"),
    "mean": (lambda x, h: h.mean(), "lower"),
    "add": (lambda x, h: x + h, "float32"),
    "double": (lambda x, h: x.double() @ x.double().T, "float64"),
}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [mg.float16, mg.bfloat16])
@pytest.mark.parametrize("name", CALLS)
def test_results_have_pytorchs_dtypes(device: Any, name: str, dtype: Any) -> None:
    x = mg.randn(4, 4).cuda()
    h = x.to(dtype)
    call, want = CALLS[name]
    with mg.autocast("cuda", dtype=dtype):
        got = call(x, h)
    assert got.dtype == {"lower": dtype}.get(want, getattr(mg, want, None))


def test_the_other_device_is_left_alone(device: Any) -> None:
    here, there = mg.randn(2, 2), mg.randn(2, 2).cuda()
    with mg.autocast("cuda", dtype=mg.bfloat16):
        assert (here @ here).dtype == mg.float32 and (there @ there).dtype == mg.bfloat16
        with mg.autocast("cpu", dtype=mg.bfloat16):
            assert (here @ here).dtype == (there @ there).dtype == mg.bfloat16
        with mg.autocast("cuda", enabled=False):
            assert (there @ there).dtype == mg.float32
    with mg.autocast("cpu", dtype=mg.bfloat16):
        assert (there @ there).dtype == mg.float32
    assert (there @ there).dtype == mg.float32


def test_what_is_unsafe_is_refused(device: Any) -> None:
    x = mg.rand(3).cuda()
    with mg.autocast("cuda"), pytest.raises(RuntimeError, match="unsafe to autocast"):
        F.binary_cross_entropy(x, x)


def test_projections_of_gpt2_multiply_halves(device: Any) -> None:
    layer, x = Conv1D(6, 4).cuda(), mg.randn(2, 3, 4).cuda()
    with mg.autocast("cuda", dtype=mg.bfloat16):
        assert layer(x).dtype == mg.bfloat16
    assert layer(x).dtype == mg.float32


@pytest.mark.slow
def test_gpt2_gives_what_it_gives_on_the_cpu(device: Any) -> None:
    mg.manual_seed(0)
    sizes = {"vocab_size": 32, "n_positions": 8, "n_embd": 16, "n_head": 2, "n_layer": 2}
    model, ids = GPT2LMHeadModel(GPT2Config(**sizes)).eval(), mg.arange(16).view(2, 8)
    found = []
    for place in ("cpu", "cuda"):
        model.to(place).zero_grad()
        with mg.autocast(place, dtype=mg.bfloat16):
            y = model(ids.to(place))
        assert y.dtype == mg.bfloat16
        y.float().square().sum().backward()
        assert all([p.grad.dtype == mg.float32 for p in model.parameters()])
        found.append(y.float().detach().cpu().numpy())
    # bfloat16 has 8 bits, and the lists of the two devices round in other places
    np.testing.assert_allclose(found[1], found[0], rtol=0.1, atol=0.01)


@pytest.mark.slow
def test_a_step_multiplies_halves(device: Any) -> None:
    """Weights are cast once for all their uses, gradients arrive in float32, near the CPU's."""
    mg.manual_seed(0)
    model = mg.nn.Sequential(mg.nn.Linear(8, 8), mg.nn.GELU(), mg.nn.Linear(8, 4))
    x, target = mg.randn(6, 8), mg.arange(6) % 4
    found = []
    for place in ("cpu", "cuda"):
        model.to(place).zero_grad()
        MACHINE.launches.clear()
        with mg.autocast(place, dtype=mg.bfloat16):
            loss = F.cross_entropy(model(x.to(place)), target.to(place))
        loss.backward()
        found.append([p.grad.cpu().numpy() for p in model.parameters()])
        assert all([p.grad.dtype == mg.float32 for p in model.parameters()])
    assert MACHINE.launches["cublasLtMatmul"] == 5
    for got, want in zip(*found[::-1], strict=True):  # rounded to 8 bits in other places
        np.testing.assert_allclose(got, want, rtol=0.1, atol=0.02)
