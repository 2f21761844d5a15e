"""The trainers of minigrad.alignment, and adapters, on Kimi-VL's language model unchanged."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.kimi_vl.language import gates
from minigrad.models.lora import lora_layers
from tests import test_kimi_text, test_kimi_vision


class Letters:
    """A tokenizer of the tiny vocabulary: a to k are 0 to 10, 11 ends."""

    eos_token_id, pad_token_id, bos_token_id = 11, 0, None

    def encode(self, text: str, **_: Any) -> list[int]:
        return [ord(c) - ord("a") for c in text]

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(chr(i + ord("a")) for i in ids)


def models() -> Any:
    yield test_kimi_text.build()
    yield test_kimi_vision.build()


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_sft_teaches_completions(whole: bool, packing: bool) -> None:
    model = [*models()][whole]
    rows = [{"prompt": p, "completion": p[::-1]} for p in ("abc", "de", "gfh", "kab")]
    alignment = mg.alignment
    before = alignment.evaluate_sft(model, Letters(), rows)
    config = alignment.SFTConfig(
        steps=40, batch_size=4 if not packing else 1, lr=5e-3, max_length=16, packing=packing,
        progress=False,
    )  # fmt: skip
    alignment.train_sft(model, Letters(), rows, config)
    after = alignment.evaluate_sft(model, Letters(), rows)
    assert after["loss"] < before["loss"] / 4, (before, after)


@pytest.mark.parametrize("whole", [False, True])
def test_dpo_prefers_the_chosen_answers(whole: bool) -> None:
    model = [*models()][whole]
    rows = [{"prompt": p, "chosen": p[::-1], "rejected": p} for p in ("abc", "de", "gfh", "kab")]
    config = mg.alignment.DPOConfig(steps=40, batch_size=4, lr=2e-3, max_length=16, progress=False)
    run = mg.alignment.train_dpo(model, Letters(), rows, config)
    losses = [step["loss"] for step in run.history]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-4)
    assert losses[-1] < 0.5 * losses[0], losses


def test_adapters_fit_and_merge() -> None:
    model = test_kimi_text.build()
    ids = mg.from_numpy(test_kimi_text.IDS)
    plain = model(ids).detach().numpy()
    mg.models.add_lora(model, rank=2, targets=("q_proj", "kv_b_proj", "o_proj"))
    np.testing.assert_allclose(model(ids).detach().numpy(), plain, atol=1e-6)
    layers = lora_layers(model)
    with mg.no_grad():
        for layer in layers.values():
            layer.lora_B.weight.normal_(0, 0.5)
        expanded = model(ids)
        model.set_absorb(True)
        assert abs(expanded.numpy() - plain).max() > 0.1
        assert abs(model(ids) - expanded).max().item() < 1e-4  # the absorbed form has adapters, too
    learning = [n for n, p in model.named_parameters() if p.requires_grad]
    assert learning and all("lora" in n for n in learning)


def test_a_model_in_training_can_be_copied() -> None:
    model = test_kimi_text.build().train()
    model(mg.from_numpy(test_kimi_text.IDS)).sum().backward()
    twin = copy.deepcopy(model)
    assert gates(twin)[0].scores is None and gates(model)[0].scores is not None
    assert (gates(twin)[0].loads == gates(model)[0].loads).all()
