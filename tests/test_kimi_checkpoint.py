"""Checkpoints of Kimi-VL and Moonlight: shards, index, dtypes, and what does not fit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.kimi_vl.checkpoint import (
    INDEX,
    SINGLE,
    CheckpointMismatch,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from minigrad.models.kimi_vl.config import KimiVLConfig, TextConfig, read_config
from minigrad.models.kimi_vl.language import DeepseekV3
from minigrad.models.kimi_vl.model import KimiVL
from tests import test_kimi_text, test_kimi_vision
from tests.kimi_reference import IDS

ROOT = Path(__file__).resolve().parents[1]


def same(a: Any, b: Any) -> None:
    """Two models hold the same numbers."""
    first, second = a.state_dict(), b.state_dict()
    assert list(first) == list(second)
    for name, tensor in first.items():
        np.testing.assert_array_equal(tensor.float().numpy(), second[name].float().numpy(), name)


@pytest.mark.parametrize("size", [10**9, 4000, 1])
def test_what_is_saved_is_loaded(tmp_path: Path, size: int) -> None:
    model = test_kimi_vision.build()
    save_checkpoint(model, tmp_path, max_shard_size=size)
    files = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    if size == 10**9:
        assert files == [SINGLE] and not (tmp_path / INDEX).exists()
    else:
        assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
        assert len(files) == len(model.state_dict()) if size == 1 else 1 < len(files) < 100
    loaded = load_checkpoint(tmp_path)
    assert isinstance(loaded, KimiVL) and not loaded.training
    assert loaded.config == model.config
    same(model, loaded)


def test_text_model_of_a_folder_gives_the_same_logits(tmp_path: Path) -> None:
    model = test_kimi_text.build(q_lora_rank=10)
    save_checkpoint(model, tmp_path, max_shard_size=5000)
    loaded = load_checkpoint(tmp_path, "float32", bar=True)
    assert isinstance(loaded, DeepseekV3)
    ids = mg.from_numpy(IDS)
    np.testing.assert_array_equal(loaded(ids).detach().numpy(), model(ids).detach().numpy())


def test_bfloat16_keeps_the_correction_bias_wide(tmp_path: Path) -> None:
    model = test_kimi_text.build()
    save_checkpoint(model, tmp_path)
    loaded = load_checkpoint(tmp_path, mg.bfloat16)
    gate = loaded.model.layers[1].mlp.gate
    assert gate.weight.dtype is mg.bfloat16
    assert gate.e_score_correction_bias.dtype is mg.float32
    want = model.lm_head.weight.detach().to(mg.bfloat16).float().numpy()
    np.testing.assert_array_equal(loaded.lm_head.weight.detach().float().numpy(), want)
    save_checkpoint(loaded, tmp_path / "half")  # and back, widened
    same(loaded, load_checkpoint(tmp_path / "half", "float32"))
    with pytest.raises(ValueError, match="float32 or bfloat16, but got minigrad.float16"):
        load_checkpoint(tmp_path, mg.float16)


def test_a_tensor_of_the_wanted_dtype_stays_in_the_file(tmp_path: Path) -> None:
    save_checkpoint(test_kimi_text.build(), tmp_path)
    loaded = load_checkpoint(tmp_path, "float32")
    array: Any = loaded.lm_head.weight._data
    while array.base is not None and not isinstance(array, np.memmap):
        array = array.base
    assert isinstance(array, np.memmap) or type(array).__name__ == "mmap"


def test_a_loaded_model_trains_and_leaves_the_file_alone(tmp_path: Path) -> None:
    save_checkpoint(test_kimi_text.build(), tmp_path)
    before = (tmp_path / SINGLE).read_bytes()
    model = load_checkpoint(tmp_path).train()
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)
    model(mg.from_numpy(IDS)).square().mean().backward()
    optimizer.step()
    assert (tmp_path / SINGLE).read_bytes() == before
    save_checkpoint(model, tmp_path)  # over the file that it maps
    same(model, load_checkpoint(tmp_path))


def test_weights_for_a_part_keep_its_parameters(tmp_path: Path) -> None:
    """Kimi-VL's language model begins as Moonlight: text names, without a prefix."""
    text = test_kimi_text.build()
    save_checkpoint(text, tmp_path)
    model = test_kimi_vision.build()
    head = model.language_model.lm_head.weight
    load_weights(model.language_model, tmp_path)
    assert model.language_model.lm_head.weight is head
    same(model.language_model, text)


# ------------------------------------------------------------------------------ what is wrong
def _rewrite(folder: Path, change: Any) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE)


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    model = test_kimi_text.build()
    save_checkpoint(model, tmp_path)

    def change(tensors: dict[str, Any]) -> None:
        del tensors["model.norm.weight"]
        tensors["model.layers.9.extra"] = np.zeros(2, np.float32)
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)
        tensors["lm_head.weight"] = np.zeros((13, 17), np.float32)
        tensors["model.layers.0.mlp.up_proj.weight"] = np.zeros((24, 16), np.int32)

    _rewrite(tmp_path, change)
    with pytest.raises(CheckpointMismatch) as error:
        load_checkpoint(tmp_path)
    text = str(error.value)
    assert "1 missing:\n    model.norm.weight" in text
    assert "1 unexpected:\n    model.layers.9.extra" in text
    assert f"lm_head.weight: expected (13, 16), but {SINGLE} has (13, 17)" in text
    assert "model.layers.0.mlp.up_proj.weight: int32" in text
    assert "inv_freq" not in text


def test_many_names_are_counted(tmp_path: Path) -> None:
    save_checkpoint(test_kimi_text.build(), tmp_path)
    _rewrite(tmp_path, lambda tensors: [tensors.pop(n) for n in list(tensors) if "experts" in n])
    with pytest.raises(CheckpointMismatch, match=r"54 missing:[\s\S]*and 44 more"):
        load_checkpoint(tmp_path)


def test_nothing_changes_when_loading_fails(tmp_path: Path) -> None:
    save_checkpoint(test_kimi_text.build(), tmp_path)
    _rewrite(tmp_path, lambda tensors: tensors.pop("lm_head.weight"))
    model = test_kimi_text.build(q_lora_rank=None)
    before = model.model.embed_tokens.weight.detach().clone()
    with pytest.raises(CheckpointMismatch):
        load_weights(model, tmp_path)
    np.testing.assert_array_equal(model.model.embed_tokens.weight.detach().numpy(), before.numpy())


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_checkpoint(tmp_path)
    model = test_kimi_text.build()
    with pytest.raises(FileNotFoundError, match="neither"):
        load_weights(model, tmp_path)
    save_checkpoint(model, tmp_path, max_shard_size=5000)
    index = json.loads((tmp_path / INDEX).read_text())
    first = sorted(set(index["weight_map"].values()))[0]
    name = next(n for n, f in index["weight_map"].items() if f != first)

    def rewrite(**changes: str) -> None:
        weight_map = {**index["weight_map"], **changes}
        (tmp_path / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    rewrite(**{name: first})
    with pytest.raises(ValueError, match=f"says that {name} is in {first}, but it is in"):
        load_weights(model, tmp_path)
    rewrite(extra=first)
    with pytest.raises(ValueError, match="says that extra is in .* but it is nowhere"):
        load_weights(model, tmp_path)
    rewrite(extra="../elsewhere.safetensors")
    with pytest.raises(FileNotFoundError, match="names files that"):
        load_weights(model, tmp_path)
    (tmp_path / INDEX).write_text("[]")
    with pytest.raises(ValueError, match="is no index of safetensors"):
        load_weights(model, tmp_path)
    with pytest.raises(ValueError, match="must be positive"):
        save_checkpoint(model, tmp_path, max_shard_size=0)


# ------------------------------------------------------------------------------ memory
CHILD = """
import re, sys
import minigrad as mg
from minigrad.models.kimi_vl.checkpoint import load_checkpoint
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before = peak()
model = load_checkpoint(sys.argv[1], "float32")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory as Linux tells it")
def test_loading_takes_the_weights_and_one_shard(tmp_path: Path) -> None:
    """Files in bfloat16, 50 MB in shards of 7 MB, loaded as float32."""
    config = TextConfig(
        **{
            **test_kimi_text.TINY,
            "hidden_size": 256,
            "vocab_size": 8000,
            "moe_intermediate_size": 512,
            "n_routed_experts": 16,
            "num_hidden_layers": 4,
        }
    )
    model = DeepseekV3(config).to(mg.bfloat16)
    save_checkpoint(model, tmp_path, max_shard_size=7_000_000)
    sizes = [p.stat().st_size / 2**20 for p in tmp_path.glob("*.safetensors")]
    assert len(sizes) >= 6
    weights = sum(p.numel() for p in model.parameters()) * 4 / 2**20
    result = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    grown = float(result.stdout)
    assert 0.8 * weights < grown < weights + max(sizes) + 10, (grown, weights, max(sizes))


# ------------------------------------------------------------------------------ configurations
def test_published_config_is_read_as_it_is(tmp_path: Path) -> None:
    """The keys of Kimi-VL-A3B's file; those that change nothing here are passed over."""
    text = {
        "vocab_size": 163840, "max_position_embeddings": 131072, "hidden_size": 2048,
        "intermediate_size": 11264, "moe_intermediate_size": 1408, "num_hidden_layers": 27,
        "num_nextn_predict_layers": 0, "num_attention_heads": 16, "n_shared_experts": 2,
        "n_routed_experts": 64, "ep_size": 1, "routed_scaling_factor": 2.446,
        "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "qk_nope_head_dim": 128, "topk_method": "noaux_tc", "n_group": 1, "topk_group": 1,
        "num_experts_per_tok": 6, "moe_layer_freq": 1, "first_k_dense_replace": 1,
        "norm_topk_prob": True, "scoring_func": "sigmoid", "aux_loss_alpha": 0.001,
        "seq_aux": True, "num_key_value_heads": 16, "hidden_act": "silu",
        "initializer_range": 0.02, "rms_norm_eps": 1e-05, "pretraining_tp": 1,
        "use_cache": True, "rope_theta": 800000.0, "rope_scaling": None,
        "attention_bias": False, "attention_dropout": 0.0, "torch_dtype": "bfloat16",
        "tie_word_embeddings": False, "model_type": "deepseek_v3",
    }  # fmt: skip
    vision = {
        "patch_size": 14, "num_attention_heads": 16, "num_hidden_layers": 27,
        "hidden_size": 1152, "intermediate_size": 4304, "merge_kernel_size": [2, 2],
        "init_pos_emb_height": 64, "init_pos_emb_width": 64, "model_type": "moonvit",
    }  # fmt: skip
    whole = {
        "architectures": ["KimiVLForConditionalGeneration"], "model_type": "kimi_vl",
        "text_config": text, "vision_config": vision, "media_placeholder_token_id": 163605,
        "ignore_index": -100, "torch_dtype": "bfloat16", "vocab_size": 163840,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(whole))
    assert read_config(tmp_path) == KimiVLConfig()
    (tmp_path / "config.json").write_text(json.dumps({**text, "rope_theta": 50000.0}))
    moonlight = read_config(tmp_path)
    assert isinstance(moonlight, TextConfig) and moonlight.rope_theta == 50000.0
    with pytest.raises(KeyError, match="text_config"):
        KimiVLConfig.from_dict({"vision_config": vision})


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore")
def test_transformers_reads_what_is_saved(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    model = test_kimi_text.build(rope_theta=50000.0)
    save_checkpoint(model, tmp_path, max_shard_size=5000)
    theirs = transformers.DeepseekV3ForCausalLM.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        logits = theirs(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(logits, test_kimi_text.golden("moonlight"), atol=1e-5)
