"""The language model: embedding, pre-norm blocks of latent attention and experts, head.

    x <- x + attention(RMSNorm(x))
    x <- x + mlp(RMSNorm(x))          dense in the first layers, experts in the others

Names of modules are those of the published checkpoints, so `state_dict()` is one.
"""

from __future__ import annotations

from typing import Any

from ...export import export
from ...nn.containers import ModuleList
from ...nn.layers.norm import RMSNorm
from ...nn.module import Module
from ..attention import causal_mask, positions
from .config import TextConfig
from .layers import Embedding, Linear, SwiGLU
from .mla import LatentAttention
from .moe import Gate, MoE
from .rope import Rotary


class Block(Module):
    """One layer: (B, T, D) -> (B, T, D)."""

    def __init__(self, config: TextConfig, layer: int):
        super().__init__()
        width, eps = config.hidden_size, config.rms_norm_eps
        self.input_layernorm = RMSNorm(width, eps=eps)
        self.self_attn = LatentAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(width, eps=eps)
        if config.is_moe(layer):
            self.mlp: Any = MoE(config)
        else:
            self.mlp = SwiGLU(width, config.intermediate_size, std=config.initializer_range)

    def forward(self, x: Any, turns: Any, mask: Any, cache: Any) -> Any:
        x = x + self.self_attn(self.input_layernorm(x), turns, mask, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class TextModel(Module):
    """Token numbers (B, T), or their embeddings (B, T, D), to hidden states (B, T, D)."""

    def __init__(self, config: TextConfig):
        super().__init__()
        self.embed_tokens = Embedding(
            config.vocab_size, config.hidden_size, std=config.initializer_range
        )
        self.layers = ModuleList([Block(config, i) for i in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary = Rotary(config.qk_rope_head_dim, config.rope_theta, config.rope_scaling)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        cache: Any = None,
        inputs_embeds: Any = None,
        position_ids: Any = None,
    ) -> Any:
        """attention_mask (B, past + T): 0 for padding, or the numbers of documents that do not see
        each other; position_ids (B, T), counted within documents if not given.

        ValueError for both or none of input_ids and inputs_embeds, and for masks of another length.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("forward: give either input_ids or inputs_embeds")
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        past, count = cache.length if cache is not None else 0, x.shape[1]
        mask = causal_mask(attention_mask, past, count, x.device)
        if position_ids is None:
            position_ids = positions(attention_mask, past, count, x.device)
        turns = self.rotary(position_ids.numpy(), x)
        for layer in self.layers:
            x = layer(x, turns, mask, cache)
        return self.norm(x)


@export("models.kimi_vl.DeepseekV3")
class DeepseekV3(Module):
    """The language model with its head: token numbers (B, T) to logits (B, T, vocab_size).

    Moonlight-16B-A3B, and the language part of Kimi-VL, are of this class. With a `models.Cache`
    the tokens continue those of earlier calls; it then holds 576 numbers a token and layer.
    """

    def __init__(self, config: TextConfig | None = None):
        super().__init__()
        self.config = config if config is not None else TextConfig()
        self.model = TextModel(self.config)
        self.lm_head = Linear(
            self.config.hidden_size, self.config.vocab_size, std=self.config.initializer_range
        )

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        cache: Any = None,
        inputs_embeds: Any = None,
        position_ids: Any = None,
    ) -> Any:
        """Logits (B, T, vocab_size); arguments as of `TextModel.forward`."""
        return self.lm_head(
            self.model(input_ids, attention_mask, cache, inputs_embeds, position_ids)
        )

    def set_absorb(self, absorb: bool | None) -> None:
        """Which form of attention all layers use; see `LatentAttention`."""
        for layer in self.model.layers:
            layer.self_attn.absorb = absorb


@export("models.kimi_vl.gates")
def gates(model: Module) -> list[Gate]:
    """The gates of all mixtures of experts inside, in the order of the layers."""
    return [m for m in model.modules() if isinstance(m, Gate)]


@export("models.kimi_vl.parameter_counts")
def parameter_counts(model: Module) -> dict[str, int]:
    """`total`, and of the language model `non_embedding` (embeddings and head left out) and
    `activated` (of those, what one token uses). Correction biases are counted as in the papers.
    """
    sizes = {name: t.numel() for name, t in model.state_dict(keep_vars=True).items()}
    inner = {k: n for k, n in sizes.items() if not k.startswith(("vision_", "multi_modal_"))}
    outside = sum(n for k, n in inner.items() if k.split(".")[-2] in ("embed_tokens", "lm_head"))
    held = sum(inner.values()) - outside
    found = gates(model)
    routed = sum(n for k, n in inner.items() if ".mlp.experts." in k)
    idle = routed - sum(g.top_k * routed // (g.experts * len(found)) for g in found)
    return {"total": sum(sizes.values()), "non_embedding": held, "activated": held - idle}
