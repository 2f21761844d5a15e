"""Llama (Touvron et al. 2023, arXiv:2302.13971): RMSNorm, rotary positions, SwiGLU, groups of heads
that share keys and values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..core.tensor import Tensor
from ..export import export
from ..ops.filled import ones
from .attention import activation, attend, causal_mask, last_real, positions, split_heads
from .cache import Cache
from .config import Config
from .rope import inverse_frequencies, rotate, rotation


@export("models.LlamaConfig")
@dataclass
class LlamaConfig(Config):
    """Sizes; the defaults are those of Llama 7B. `rope_theta` and `rope_scaling` are the older
    names of what `rope_parameters` holds.
    """

    model_type: ClassVar[str] = "llama"
    refused: ClassVar[dict[str, Any]] = {"pretraining_tp": 1}
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    rope_parameters: dict[str, Any] | None = None
    rope_theta: float = 10000.0
    rope_scaling: dict[str, Any] | None = None
    attention_bias: bool = False
    attention_dropout: float = 0.0
    mlp_bias: bool = False
    bos_token_id: int | None = 1
    eos_token_id: int | list[int] | None = 2
    pad_token_id: int | None = None
    tie_word_embeddings: bool = False
    num_labels: int = 1

    def __post_init__(self) -> None:
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"LlamaConfig: num_attention_heads={self.num_attention_heads} is no multiple of "
                f"num_key_value_heads={self.num_key_value_heads}"
            )
        if self.rope_parameters is None:
            self.rope_parameters = {"rope_theta": self.rope_theta, **(self.rope_scaling or {})}


class LlamaAttention(nn.Module):
    """Causal attention with rotated queries and keys; groups of heads share keys and values."""

    def __init__(self, config: LlamaConfig, layer: int):
        super().__init__()
        self.layer, self.dropout = layer, config.attention_dropout
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        width, bias = config.hidden_size, config.attention_bias
        inner, inner_kv = self.heads * config.head_dim, self.kv_heads * config.head_dim
        self.q_proj = nn.Linear(width, inner, bias=bias)
        self.k_proj = nn.Linear(width, inner_kv, bias=bias)
        self.v_proj = nn.Linear(width, inner_kv, bias=bias)
        self.o_proj = nn.Linear(inner, width, bias=bias)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        q = rotate(split_heads(self.q_proj(x), self.heads), *turn)
        k = rotate(split_heads(self.k_proj(x), self.kv_heads), *turn)
        v = split_heads(self.v_proj(x), self.kv_heads)
        y = attend(q, k, v, mask, self.layer, cache, self.dropout if self.training else 0.0)
        return self.o_proj(y)


class LlamaMLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202, eq. 6): down(silu(gate(x)) · up(x))."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        width, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(width, inner, bias=bias)
        self.up_proj = nn.Linear(width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, width, bias=bias)
        self.act_fn = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class LlamaBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, config: LlamaConfig, layer: int):
        super().__init__()
        self.self_attn = LlamaAttention(config, layer)
        self.mlp = LlamaMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(
        self, x: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor | None, cache: Cache | None
    ) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), turn, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


@export("models.LlamaModel")
class LlamaModel(nn.Module):
    """Tokens (B, T) to states (B, T, hidden_size)."""

    base_prefix = "model."

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            [LlamaBlock(config, i) for i in range(config.num_hidden_layers)]
        )
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.frequencies = inverse_frequencies(config.head_dim, config.rope_parameters)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        past, length = cache.length if cache else 0, input_ids.shape[1]
        if position_ids is None:
            position_ids = positions(attention_mask, past, length, input_ids.device)
        mask = causal_mask(attention_mask, past, length, input_ids.device)
        turn = rotation(position_ids, self.frequencies)
        x = self.embed_tokens(input_ids)
        for layer in self.layers:
            x = layer(x, turn, mask, cache)
        return self.norm(x)


@export("models.LlamaForCausalLM")
class LlamaForCausalLM(nn.Module):
    """Tokens (B, T) to logits (B, T, V); `attention_mask`, `position_ids` and `cache` as in
    generation.py.
    """

    base_prefix = "model."

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.model = LlamaModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        return self.lm_head(self.model(input_ids, attention_mask, position_ids, cache))


@export("models.LlamaForSequenceClassification")
class LlamaForSequenceClassification(nn.Module):
    """Tokens (B, T) to (B, num_labels), read at the last real token: a reward model with one label.

    `values` reads every token, (B, T, num_labels): a value model.
    """

    base_prefix = "model."

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.model = LlamaModel(config)
        self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        nn.init.normal_(self.score.weight, std=config.initializer_range)

    def values(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.score(self.model(input_ids, attention_mask))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        if attention_mask is None:
            attention_mask = ones(input_ids.shape, device=input_ids.device)
        return last_real(self.values(input_ids, attention_mask), attention_mask)
