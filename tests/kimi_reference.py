"""Tiny models with weights that follow from their names, and what transformers makes of them.

python -m tests.kimi_reference       write tests/golden/kimi_vl.json (needs transformers)
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "kimi_vl.json"

TINY: dict[str, Any] = {
    "vocab_size": 13,
    "hidden_size": 16,
    "intermediate_size": 24,
    "moe_intermediate_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "n_shared_experts": 2,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
    "routed_scaling_factor": 2.446,
    "q_lora_rank": None,
    "kv_lora_rank": 8,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 8,
    "v_head_dim": 5,
    "rms_norm_eps": 1e-5,
    "rope_theta": 50000.0,
    "max_position_embeddings": 512,
}
YARN = {
    "rope_type": "yarn",
    "factor": 8.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 0.7,
    "mscale_all_dim": 1.0,
}
CASES: dict[str, dict[str, Any]] = {
    "moonlight": {},
    "query lora": {"q_lora_rank": 10},
    "expert groups": {"n_group": 4, "topk_group": 2, "num_experts_per_tok": 4},
    "not normalised": {"norm_topk_prob": False},
    "yarn": {"rope_scaling": YARN},
}
IDS = np.random.default_rng(0).integers(0, TINY["vocab_size"], (2, 9))

VISION: dict[str, Any] = {
    "patch_size": 4,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "hidden_size": 16,
    "intermediate_size": 24,
    "merge_kernel_size": [2, 2],
}
GRIDS = [(4, 6), (2, 2), (6, 4), (8, 8), (4, 6)]  # 8 x 8 is the size of the position table
PATCHES = np.random.default_rng(1).uniform(-1, 1, (sum(h * w for h, w in GRIDS), 3, 4, 4))
PATCHES = PATCHES.astype(np.float32)


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Numbers that depend on the name only: norms near 1, correction biases that change choices."""
    found = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x = rng.standard_normal(shape)
        if "norm" in name and name.endswith("weight"):
            x = 1 + 0.3 * x
        else:
            x *= 0.3 if "correction" in name or name.endswith("bias") else 1.2 / shape[-1] ** 0.5
        found[name] = x.astype(np.float32)
    return found


def transformers_logits(overrides: dict[str, Any]) -> np.ndarray:
    """DeepseekV3ForCausalLM with the weights of these names, applied to IDS."""
    import torch
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    values = {**TINY, **overrides}
    rope = dict(values.pop("rope_scaling", None) or {"rope_type": "default"})
    rope["rope_theta"] = values.pop("rope_theta")
    config = DeepseekV3Config(
        **values,
        rope_parameters=rope,
        num_key_value_heads=values["num_attention_heads"],
        num_mtp_layers=0,
        tie_word_embeddings=False,
    )
    model = DeepseekV3ForCausalLM(config).eval()
    state = model.state_dict()
    experts, inner = values["n_routed_experts"], values["moe_intermediate_size"]
    for name, tensor in state.items():
        stem, _, last = name.rpartition(".")
        if last == "gate_up_proj":
            shape = (inner, values["hidden_size"])
            names = [
                f"{stem}.{e}.{p}.weight" for e in range(experts) for p in ("gate_proj", "up_proj")
            ]
            parts = weights(dict.fromkeys(names, shape))
            both = np.stack([*parts.values()]).reshape(tensor.shape)
        elif last == "down_proj":
            names = [f"{stem}.{e}.down_proj.weight" for e in range(experts)]
            both = np.stack([*weights(dict.fromkeys(names, tuple(tensor.shape[1:]))).values()])
        else:
            both = weights({name: tuple(tensor.shape)})[name]
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(both))
    with torch.no_grad():
        return model(torch.from_numpy(IDS)).logits.numpy()


def transformers_features() -> np.ndarray:
    """What Kimi-K2.5's vision tower and projector, MoonViT for single frames, make of PATCHES.

    Its queries and keys are turned by halves, so rows of their weights are sorted: first the first
    member of every pair, then the second.
    """
    import torch
    from transformers.models.kimi_k25 import modeling_kimi_k25 as kimi
    from transformers.models.kimi_k25.configuration_kimi_k25 import Kimi_K25Config

    width, heads = VISION["hidden_size"], VISION["num_attention_heads"]
    config = Kimi_K25Config(
        vision_config={**VISION, "pos_emb_height": 8, "pos_emb_width": 8},
        text_config={"model_type": "deepseek_v3", "hidden_size": TINY["hidden_size"]},
        projection_hidden_size=width,
    )
    tower = kimi.Kimi_K25VisionModel(config.vision_config).eval()
    projector = kimi.Kimi_K25MultimodalProjection(config).eval()
    halves = np.arange(width).reshape(heads, -1, 2).transpose(0, 2, 1).reshape(-1)

    def ours(name: str, shape: tuple[int, ...]) -> np.ndarray:
        return weights({name: shape})[name]

    def value(name: str, shape: tuple[int, ...]) -> np.ndarray:
        """What stands under a name of transformers."""
        name = name.replace("position_embeddings", "weight")
        block, _, rest = name.removeprefix("layers.").partition(".")
        if not name.startswith("layers."):
            return ours(_OUTSIDE.get(name, f"vision_tower.{name}"), shape)
        module, _, kind = rest.rpartition(".")
        stem = f"vision_tower.encoder.blocks.{block}."
        if module in ("attn.q_proj", "attn.k_proj", "attn.v_proj"):
            which = "qkv".index(module[5])
            both = ours(f"{stem}wqkv.{kind}", (3 * shape[0], *shape[1:]))
            part = both[which * width : (which + 1) * width]
            return part if which == 2 else part[halves]
        return ours(f"{stem}{_INSIDE[module]}.{kind}", shape)

    with torch.no_grad():
        for name, tensor in tower.state_dict().items():
            tensor.copy_(torch.from_numpy(value(name, tuple(tensor.shape))))
        for name, tensor in projector.state_dict().items():
            module, kind = name.split(".")
            full = f"multi_modal_projector.{_PROJECTOR[module]}.{kind}"
            tensor.copy_(torch.from_numpy(ours(full, tuple(tensor.shape))))
        grids = torch.tensor([[1, h, w] for h, w in GRIDS])
        merged = tower(torch.from_numpy(PATCHES), grids).pooler_output
        return projector(merged)[:, 0].numpy()


_OUTSIDE = {
    "final_layernorm.weight": "vision_tower.encoder.final_layernorm.weight",
    "final_layernorm.bias": "vision_tower.encoder.final_layernorm.bias",
}
_INSIDE = {
    "norm1": "norm0",
    "norm2": "norm1",
    "attn.proj": "wo",
    "mlp.fc1": "mlp.fc0",
    "mlp.fc2": "mlp.fc1",
}
_PROJECTOR = {"pre_norm": "pre_norm", "in_proj": "linear_1", "out_proj": "linear_2"}


def main() -> None:
    """Write the golden file."""
    found = {name: transformers_logits(c).reshape(-1) for name, c in CASES.items()}
    found["features"] = transformers_features().reshape(-1)
    texts = {name: " ".join(f"{x:.8g}" for x in logits) for name, logits in found.items()}
    GOLDEN.write_text(json.dumps(texts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
