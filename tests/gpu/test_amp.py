"""Mixed precision on the stand-in for a GPU: nothing is read in a step, and it can be captured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F

from .fake_device import MACHINE
from .toolchain import WHY_NO_EMULATOR

pytestmark = pytest.mark.skipif(WHY_NO_EMULATOR is not None, reason=str(WHY_NO_EMULATOR))


def _parameter(place: str) -> Any:
    return nn.Parameter(mg.arange(6.0).to(place))


def _run(place: str, gradients: list[float]) -> list[Any]:
    """Scales, counts of good steps and parameters after each step."""
    p = _parameter(place)
    optimizer = mg.optim.Adam([p], lr=0.1)
    scaler = mg.amp.GradScaler("cuda" if place == "cuda" else "cpu", 4.0, growth_interval=2)
    found = []
    for g in gradients:
        optimizer.zero_grad()
        scaler.scale((p * g).sum()).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        found += [state["scale"], state["_growth_tracker"], p.detach().cpu().tolist()]
    return found


def test_a_scaler_does_on_the_gpu_what_it_does_on_the_cpu(device: Any) -> None:
    gradients = [1.0, float("inf"), 2.0, 0.5, float("nan"), 1.0, 1.0]
    for got, want in zip(_run("cuda", gradients), _run("cpu", gradients), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


def test_a_scaled_step_reads_nothing(device: Any) -> None:
    p = _parameter("cuda")
    optimizer, scaler = mg.optim.SGD([p], lr=0.1), mg.amp.GradScaler("cuda")
    for t in range(3):
        optimizer.zero_grad()
        loss = scaler.scale((p * p).sum())
        loss.backward()
        reads, launches = MACHINE.reads, MACHINE.count
        scaler.step(optimizer)
        scaler.update()
        assert MACHINE.reads == reads or t == 0
    assert MACHINE.count - launches == 3  # gradients, parameters, scale
    assert scaler.get_scale() == 2.0**16


def test_other_optimizers_are_asked_for(device: Any) -> None:
    p = nn.Parameter(mg.ones(2, 2, device="cuda"))
    optimizer, scaler = mg.optim.Muon([p]), mg.amp.GradScaler("cuda")
    for factor in (1.0, float("inf")):
        before = p.detach().clone()
        scaler.scale((p * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert (before != p).any().item() is (factor == 1.0)
    assert scaler.get_scale() == 2.0**15


def test_gradients_in_float16_are_refused(device: Any) -> None:
    p = nn.Parameter(mg.ones(2, device="cuda", dtype=mg.float16))
    scaler = mg.amp.GradScaler("cuda")
    scaler.scale(p.sum()).backward()
    with pytest.raises(ValueError, match="FP16"):
        scaler.unscale_(mg.optim.SGD([p]))


@pytest.mark.parametrize("dtype", [mg.bfloat16, mg.float16])
def test_captured_steps_in_mixed_precision(device: Any, dtype: Any) -> None:
    """With autocast and a scaler that meets an inf; to the bit as eager steps."""

    def run(compiled: bool) -> Any:
        mg.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4)
        ).cuda()
        optimizer = mg.optim.AdamW(model.parameters(), lr=1e-2)
        scaler = mg.amp.GradScaler("cuda", 2.0**10, growth_interval=2)

        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            with mg.autocast("cuda", dtype=dtype):
                loss = F.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss

        call = mg.compile(step, fullgraph=True) if compiled else step
        rng, found = np.random.default_rng(0), []
        for t in range(8):
            x = mg.tensor(rng.normal(size=(6, 8)).astype(np.float32))
            if t in (1, 6):
                x[0, 0] = float("inf")
            loss = call(x.cuda(), mg.tensor(rng.integers(0, 4, 6)).cuda())
            found.append((loss.item(), scaler.get_scale(), scaler._get_growth_tracker()))
        return found, [p.detach().cpu().numpy() for p in model.parameters()]

    (want, weights), (got, ours) = run(False), run(True)
    np.testing.assert_array_equal(got, want)
    assert MACHINE.replays == 6 and np.isnan(want[6][0])
    for a, b in zip(ours, weights, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.isfinite(a).all()
