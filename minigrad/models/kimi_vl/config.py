"""What a model is made of: the published `config.json`, read as it is.

Names are those of the files. Keys that do not change what is computed are passed over; a value that
asks for something else than what is built here is refused by name.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ...export import export

C = TypeVar("C")

# keys of the text model that select an algorithm, and the one value that is built here
_ONLY = {
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "hidden_act": "silu",
    "rope_interleave": True,
    "tie_word_embeddings": False,
    "attention_dropout": 0.0,
    "num_nextn_predict_layers": 0,
    "quantization_config": None,
}


@export("models.kimi_vl.TextConfig")
@dataclass(frozen=True)
class TextConfig:
    """The language model, of the architecture of DeepSeek-V3 (2412.19437); defaults: Kimi-VL's.

    `first_k_dense_replace` layers have a dense MLP of width `intermediate_size`, the others a
    mixture of `n_routed_experts` of width `moe_intermediate_size`, of which every token uses
    `num_experts_per_tok`, beside `n_shared_experts` that it always uses. ValueError for sizes that
    do not fit together.
    """

    vocab_size: int = 163840
    hidden_size: int = 2048
    intermediate_size: int = 11264
    moe_intermediate_size: int = 1408
    num_hidden_layers: int = 27
    num_attention_heads: int = 16
    n_shared_experts: int | None = 2
    n_routed_experts: int | None = 64
    num_experts_per_tok: int = 6
    first_k_dense_replace: int = 1
    moe_layer_freq: int = 1
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = True
    routed_scaling_factor: float = 2.446
    aux_loss_alpha: float = 0.001
    q_lora_rank: int | None = None
    kv_lora_rank: int = 512
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    v_head_dim: int = 128
    attention_bias: bool = False
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 131072
    rope_theta: float = 800000.0
    rope_scaling: Mapping[str, Any] | None = None
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.n_routed_experts is not None:
            self._check_experts(self.n_routed_experts)
        _need(self.qk_rope_head_dim % 2 == 0, "qk_rope_head_dim must be even: pairs are turned")
        kind = rope_kind(self.rope_scaling)
        _need(
            kind in ("default", "yarn"), f"rope_scaling of type {kind!r}; expected 'yarn' or none"
        )

    def _check_experts(self, experts: int) -> None:
        groups, k = self.n_group, self.num_experts_per_tok
        _need(groups > 0 and experts % groups == 0, f"{experts} experts in {groups} equal groups")
        _need(1 <= self.topk_group <= groups, f"topk_group {self.topk_group} of {groups} groups")
        choice = self.topk_group * (experts // groups)
        _need(1 <= k <= choice, f"{k} experts a token, chosen from {choice}")
        _need(groups == 1 or experts // groups >= 2, "a group is scored by its two best experts")

    def is_moe(self, layer: int) -> bool:
        """Whether this layer has a mixture of experts rather than a dense MLP."""
        return (
            self.n_routed_experts is not None
            and layer >= self.first_k_dense_replace
            and layer % self.moe_layer_freq == 0
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TextConfig:
        """The text part of a `config.json`; ValueError names what cannot be built."""
        values = dict(values)
        for key, only in _ONLY.items():
            if values.get(key, only) != only:
                raise ValueError(f"config: {key}={values[key]!r} is not built here, only {only!r}")
        rope = values.pop("rope_parameters", None)  # how newer files write both in one
        if rope is not None:
            values["rope_theta"] = rope.get("rope_theta", cls.rope_theta)
            values["rope_scaling"] = rope if rope_kind(rope) != "default" else None
        heads = values.get("num_key_value_heads")
        if heads not in (None, values.get("num_attention_heads", cls.num_attention_heads)):
            raise ValueError(f"config: num_key_value_heads={heads}: latents serve all heads alike")
        return _known(cls, values)


def rope_kind(scaling: Mapping[str, Any] | None) -> str:
    """Of a `rope_scaling` entry: "default" or what stands under "type" or "rope_type"."""
    if not scaling:
        return "default"
    return scaling.get("rope_type") or scaling.get("type") or "default"


@export("models.kimi_vl.VisionConfig")
@dataclass(frozen=True)
class VisionConfig:
    """MoonViT: patches, width, depth, and the grid of its learned positions."""

    patch_size: int = 14
    num_attention_heads: int = 16
    num_hidden_layers: int = 27
    hidden_size: int = 1152
    intermediate_size: int = 4304
    init_pos_emb_height: int = 64
    init_pos_emb_width: int = 64
    merge_kernel_size: tuple[int, int] = (2, 2)
    num_channels: int = 3
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "merge_kernel_size", tuple(self.merge_kernel_size))
        heads, width = self.num_attention_heads, self.hidden_size
        _need(width % heads == 0, f"vision width {width} over {heads} heads")
        _need(width // heads % 4 == 0, "a vision head turns pairs by column and by row: needs 4s")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VisionConfig:
        """The vision part of a `config.json`."""
        return _known(cls, values)


@export("models.kimi_vl.KimiVLConfig")
@dataclass(frozen=True)
class KimiVLConfig:
    """A whole model: text, vision, and the token that stands where an image's features go."""

    text_config: TextConfig = field(default_factory=TextConfig)
    vision_config: VisionConfig = field(default_factory=VisionConfig)
    media_placeholder_token_id: int = 163605
    ignore_index: int = -100

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> KimiVLConfig:
        """A whole `config.json`; KeyError without its two parts."""
        for part in ("text_config", "vision_config"):
            if part not in values:
                raise KeyError(f"config: no {part!r}; a text model alone is read by TextConfig")
        values = dict(values)
        values["text_config"] = TextConfig.from_dict(values["text_config"])
        values["vision_config"] = VisionConfig.from_dict(values["vision_config"])
        return _known(cls, values)


@export("models.kimi_vl.read_config")
def read_config(folder: str | os.PathLike[str]) -> KimiVLConfig | TextConfig:
    """`config.json` of a folder: a KimiVLConfig, or a TextConfig where there is no vision part."""
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        values = json.load(file)
    return (KimiVLConfig if "vision_config" in values else TextConfig).from_dict(values)


def to_dict(config: KimiVLConfig | TextConfig) -> dict[str, Any]:
    """What `config.json` holds: `read_config` gives the configuration back."""
    values = dataclasses.asdict(config)
    whole = isinstance(config, KimiVLConfig)
    text = values["text_config"] if whole else values
    text["model_type"] = "deepseek_v3"
    text["num_key_value_heads"] = text["num_attention_heads"]
    text.update({key: only for key, only in _ONLY.items() if only is not None})
    if whole:
        values["model_type"] = "kimi_vl"
        values["vision_config"]["model_type"] = "moonvit"
    return values


def _known(cls: type[C], values: Mapping[str, Any]) -> C:
    names = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: value for key, value in values.items() if key in names})


def _need(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(f"config: does not fit together: {message}")
