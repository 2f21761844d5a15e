"""Multi-head latent attention (DeepSeek-V2, 2405.04434, section 2.1).

    c_t = RMSNorm(W_dkv h_t)                 the latent, kv_lora_rank numbers, is cached
    k_t^R = rotate(W_kr h_t)                 one turned key for all heads, is cached
    k = [W_uk c, k^R],  v = W_uv c           per head
    q = [q^C, rotate(q^R)]                   from h, or from a latent of its own (q_lora_rank)
    o = W_o concat_h softmax(q·k/√d) v

Because q^C·(W_uk c) = (W_ukᵀ q^C)·c, keys and values need not be built from the cache: absorbed,
the heads attend to the latents themselves, and W_uv is applied to the result. That costs more per
pair of tokens (kv_lora_rank instead of a head's width) and nothing per cached token, so it is the
form for decoding; building keys and values is the form for many queries at once.
"""

from __future__ import annotations

from typing import Any

from ...nn.layers.norm import RMSNorm
from ...nn.module import Module
from ...ops.attention import scaled_dot_product_attention
from ...ops.join import cat
from ...ops.steps import eye
from .config import TextConfig
from .layers import Linear
from .rope import rotate, softmax_scale

LATENT_EPS = 1e-6
"""Of the norms inside attention, whatever `rms_norm_eps` says of the others."""


class LatentAttention(Module):
    """(B, T, D) -> (B, T, D), causal or by a mask; names and shapes of the published weights.

    `absorb`: True attends to latents, False builds keys and values, None does the former where a
    cache is decoded by few tokens.
    """

    def __init__(self, config: TextConfig, layer: int):
        super().__init__()
        self.layer, self.absorb = layer, None
        self.heads, self.rank = config.num_attention_heads, config.kv_lora_rank
        self.nope, self.rope = config.qk_nope_head_dim, config.qk_rope_head_dim
        self.value = config.v_head_dim
        width, std, bias = config.hidden_size, config.initializer_range, config.attention_bias
        query = self.heads * (self.nope + self.rope)
        self.q_lora_rank = config.q_lora_rank
        if self.q_lora_rank is None:
            self.q_proj = Linear(width, query, std=std)
        else:
            self.q_a_proj = Linear(width, self.q_lora_rank, bias, std=std)
            self.q_a_layernorm = RMSNorm(self.q_lora_rank, eps=LATENT_EPS)
            self.q_b_proj = Linear(self.q_lora_rank, query, std=std)
        self.kv_a_proj_with_mqa = Linear(width, self.rank + self.rope, bias, std=std)
        self.kv_a_layernorm = RMSNorm(self.rank, eps=LATENT_EPS)
        self.kv_b_proj = Linear(self.rank, self.heads * (self.nope + self.value), std=std)
        self.o_proj = Linear(self.heads * self.value, width, bias, std=std)
        self.scale = softmax_scale(self.nope + self.rope, config.rope_scaling)

    def forward(self, x: Any, turns: Any, mask: Any = None, cache: Any = None) -> Any:
        """x (B, T, D), turns of its positions, mask (B, 1, T, S) bool as of `causal_mask`."""
        batch, count, _ = x.shape
        q_nope, q_rope = self._queries(x, turns)
        latents = self._latents(x, turns)
        if cache is not None:
            (latents,) = cache.update(self.layer, latents)
        absorb = self.absorb
        if absorb is None:
            absorb = cache is not None and count * 8 <= latents.shape[1]
        attend = self._attend_latents if absorb else self._attend_heads
        y = attend(q_nope, q_rope, latents, mask)  # (B, H, T, value)
        return self.o_proj(y.transpose(1, 2).reshape(batch, count, self.heads * self.value))

    def _queries(self, x: Any, turns: Any) -> tuple[Any, Any]:
        """(B, H, T, nope) and, turned, (B, H, T, rope)."""
        if self.q_lora_rank is None:
            q = self.q_proj(x)
        else:
            q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x)))
        q = q.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        return q[..., : self.nope], rotate(q[..., self.nope :], turns.unsqueeze(-3))

    def _latents(self, x: Any, turns: Any) -> Any:
        """What is cached, (B, T, rank + rope): the normalised latent and the turned key."""
        both = self.kv_a_proj_with_mqa(x)
        latent = self.kv_a_layernorm(both[..., : self.rank])
        return cat([latent, rotate(both[..., self.rank :], turns)], -1)

    def _attend_heads(self, q_nope: Any, q_rope: Any, latents: Any, mask: Any) -> Any:
        batch, count, _ = latents.shape
        kv = self.kv_b_proj(latents[..., : self.rank])
        kv = kv.view(batch, count, self.heads, self.nope + self.value).transpose(1, 2)
        key = latents[..., self.rank :].unsqueeze(1).expand(batch, self.heads, count, self.rope)
        q, k = cat([q_nope, q_rope], -1), cat([kv[..., : self.nope], key], -1)
        return self._attention(q, k, kv[..., self.nope :], mask)

    def _attend_latents(self, q_nope: Any, q_rope: Any, latents: Any, mask: Any) -> Any:
        up = self._up_projection().view(self.heads, self.nope + self.value, self.rank)
        q = cat([q_nope @ up[:, : self.nope], q_rope], -1)  # (B, H, T, rank + rope)
        shared = latents.unsqueeze(1)  # one head of keys and values for all heads of queries
        y = self._attention(q, shared, shared[..., : self.rank], mask)
        return y @ up[:, self.nope :].transpose(1, 2)

    def _up_projection(self) -> Any:
        """W_uk and W_uv; of an adapted layer, what it does to unit vectors."""
        if isinstance(self.kv_b_proj, Linear):
            return self.kv_b_proj.weight
        unit = eye(self.rank, dtype=self.kv_a_layernorm.weight.dtype)
        return self.kv_b_proj(unit).transpose(0, 1).reshape(-1, self.rank)

    def _attention(self, q: Any, k: Any, v: Any, mask: Any) -> Any:
        causal = mask is None and q.shape[2] == k.shape[2]
        return scaled_dot_product_attention(
            q, k, v, mask, is_causal=causal, scale=self.scale, enable_gqa=True
        )
