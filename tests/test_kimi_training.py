"""What Kimi-VL is trained with: optimizers, losses, loads; and that it learns to read."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.kimi_vl.language import gates
from minigrad.models.kimi_vl.training import (
    LoadMonitor,
    SigLIPLoss,
    balance,
    caption_loss,
    optimizers,
    sequence_aux_loss,
    vision_pretraining_loss,
)
from tests import test_kimi_text, test_kimi_vision
from tests.kimi_reference import IDS


# ------------------------------------------------------------------------------ optimizers
def test_muon_gets_the_matrices_between_layers() -> None:
    model = test_kimi_vision.build()
    muon, adamw = optimizers(model, 1e-3)
    names = {id(p): n for n, p in model.named_parameters()}
    of_muon = {names[id(p)] for p in muon.param_groups[0]["params"]}
    of_adamw = {names[id(p)] for p in adamw.param_groups[0]["params"]}
    assert not of_muon & of_adamw and of_muon | of_adamw == set(names.values())
    text = "language_model.model."
    assert {
        text + "layers.1.mlp.experts.3.up_proj.weight",
        text + "layers.1.mlp.gate.weight",
        text + "layers.0.self_attn.kv_b_proj.weight",
        "vision_tower.encoder.blocks.0.wqkv.weight",
        "multi_modal_projector.linear_1.weight",
    } <= of_muon
    assert {
        text + "embed_tokens.weight",
        "language_model.lm_head.weight",
        text + "norm.weight",
        "vision_tower.patch_embed.proj.weight",
        "vision_tower.patch_embed.pos_emb.weight",
        "vision_tower.encoder.blocks.0.wqkv.bias",
    } <= of_adamw


@pytest.mark.parametrize("shape", [(32, 128), (128, 32), (64, 64)])
def test_a_step_of_muon_is_as_large_as_one_of_adamw(shape: tuple[int, int]) -> None:
    """Moonlight's rule: 0.2 √max(A, B) on an update whose singular values are about 1, so that its
    root mean square is about 0.2 (lemma 1: 1/√max(A, B) before scaling).
    """
    layer = mg.nn.Linear(shape[1], shape[0])
    muon, _ = optimizers(layer, 1.0, weight_decay=0.0)
    before = layer.weight.detach().clone()
    layer.weight.grad = mg.randn(*shape)
    muon.step()
    update = (layer.weight.detach() - before).numpy()
    assert np.sqrt((update**2).mean()) == pytest.approx(0.2, rel=0.2)
    values = np.linalg.svd(update / (0.2 * math.sqrt(max(shape))), compute_uv=False)
    # five iterations do not lift the smallest of a square matrix all the way
    assert np.quantile(values, 0.1) > 0.5 and values.max() < 1.3


@pytest.mark.torch
def test_muon_is_pytorch_s_with_moonlight_s_rule() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    start = rng.standard_normal((12, 20)).astype(np.float32)
    layer = mg.nn.Linear(20, 12)
    with mg.no_grad():
        layer.weight.copy_(mg.from_numpy(start))
    ours, _ = optimizers(layer, 0.02)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    peer = torch.optim.Muon([theirs], 0.02, 0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        g = rng.standard_normal((12, 20)).astype(np.float32)
        layer.weight.grad, theirs.grad = mg.from_numpy(g), torch.from_numpy(g)
        ours.step()
        peer.step()
    # PyTorch iterates in bfloat16
    np.testing.assert_allclose(layer.weight.detach().numpy(), theirs.detach().numpy(), atol=4e-3)


# ------------------------------------------------------------------------------ losses
def test_caption_loss_scores_labels_by_the_position_before() -> None:
    logits = mg.randn(2, 5, 7, dtype=mg.float64, requires_grad=True)
    labels = np.array([[-100, -100, 3, 4, -100], [-100, 1, 2, -100, -100]])
    p = logits.log_softmax(-1).detach().numpy()
    want = -np.mean([p[0, 1, 3], p[0, 2, 4], p[1, 0, 1], p[1, 1, 2]])
    loss = caption_loss(logits, mg.from_numpy(labels))
    assert loss.item() == pytest.approx(want, rel=1e-12)
    loss.backward()
    assert not logits.grad[:, 4].any() and not logits.grad[0, 0].any()


def test_siglip_loss_by_hand() -> None:
    loss = SigLIPLoss().double()
    x, y = (mg.randn(4, 6, dtype=mg.float64, requires_grad=True) for _ in range(2))
    a, b = (
        v.detach().numpy() / np.linalg.norm(v.detach().numpy(), axis=1)[:, None] for v in (x, y)
    )
    scores = a @ b.T * 10 - 10
    total = sum(
        math.log1p(math.exp(-(1 if i == j else -1) * scores[i, j]))
        for i in range(4)
        for j in range(4)
    )
    found = loss(x, y)
    assert found.item() == pytest.approx(total / 4, rel=1e-9)
    found.backward()
    assert loss.bias.grad is not None and loss.log_scale.grad is not None
    assert vision_pretraining_loss(found, mg.tensor(0.5)).item() == pytest.approx(total / 4 + 1.0)
    with pytest.raises(ValueError, match="expected two"):
        loss(x, y[:2])


def test_siglip_loss_pairs_images_with_their_texts() -> None:
    mg.manual_seed(0)
    loss = SigLIPLoss()
    table = mg.nn.Embedding(8, 16)
    texts = mg.randn(8, 16)
    optimizer = mg.optim.Adam([*table.parameters(), *loss.parameters()], lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss(table.weight, texts).backward()
        optimizer.step()
    scores = table.weight.detach() @ texts.T
    assert scores.argmax(1).tolist() == list(range(8))


# ------------------------------------------------------------------------------ loads
def test_loads_are_recorded_drawn_and_balanced(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = test_kimi_text.build().train()
    loads = LoadMonitor(model)
    for _ in range(3):
        model(mg.from_numpy(IDS))
        loads.record()
        before = [g.e_score_correction_bias.numpy().copy() for g in gates(model)]
        balance(model)
    assert np.shape(loads.violation) == (3, 2) and min(map(min, loads.violation)) >= 0
    assert [t.sum() for t in loads.totals] == [3 * IDS.size * 3] * 2
    assert all(
        (g.e_score_correction_bias.numpy() != b).any()
        for g, b in zip(gates(model), before, strict=True)
    )
    loads.plot(tmp_path / "loads.png")
    assert (tmp_path / "loads.png").read_bytes().startswith(b"\x89PNG")


def test_auxiliary_loss_of_the_whole_model_is_a_mean() -> None:
    model = test_kimi_text.build().train()
    model(mg.from_numpy(IDS))
    each = [g.sequence_aux_loss(2).item() for g in gates(model)]
    assert sequence_aux_loss(model, 2).item() == pytest.approx(np.mean(each), rel=1e-6)
    with pytest.raises(ValueError, match="no mixture of experts"):
        sequence_aux_loss(mg.nn.Linear(2, 2), 1)


# ------------------------------------------------------------------------------ the example
@pytest.fixture
def reading() -> Any:
    pytest.importorskip("PIL")
    pytest.importorskip("matplotlib")
    return importlib.import_module("examples.kimi_vl_reading")


def test_samples_fit_their_images(reading: Any) -> None:
    samples = reading.Painter(0).batch(60)
    assert len({s.image.size for s in samples}) > 30
    assert {len(s.text) for s in samples} == {1, 2, 3}
    again = reading.Painter(0).batch(60)
    assert all(a.text == b.text and a.image == b.image for a, b in zip(samples, again, strict=True))
    for s in samples:
        pixels = np.asarray(s.image).astype(int)
        edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edge == edge[0]).all() and (pixels != edge[0]).any()


@pytest.mark.slow
def test_a_short_run_of_the_example_learns_and_goes_on(reading: Any, tmp_path: Path) -> None:
    def run(folder: Path) -> Any:
        return reading.Run(steps=16, size=8, lr=6e-3, seed=0, folder=folder)

    whole = run(tmp_path / "whole")
    model = whole.train(held_out=8, bar=False)
    losses = whole.history["losses"]
    assert losses[-1] < 0.85 * losses[0], losses
    stopped = run(tmp_path / "stopped")
    for step in range(7):
        stopped.history["losses"].append(stopped.step(step))
    stopped.save()
    resumed = run(tmp_path / "stopped")
    resumed.train(held_out=8, bar=False)
    assert resumed.history["losses"] == losses
    assert resumed.loads.violation == whole.loads.violation
    reading.plot_curves(whole.history, tmp_path / "curves.png")
    reading.plot_samples(model, tmp_path / "samples.png", seed=3)
    assert (tmp_path / "curves.png").exists() and (tmp_path / "samples.png").exists()
