"""GPT-2 (Radford et al. 2019): learned positions, pre-norm blocks, tied embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..amp.state import is_autocast_enabled
from ..core.tensor import Tensor
from ..export import export
from ..nn.hooks import ANY_GLOBAL
from ..ops.filled import empty, ones, zeros
from ..ops.matmul import affine_turned
from ..ops.norm import add_layer_norm
from .attention import F, activation, attend, causal_mask, last_real, positions, split_heads
from .cache import Cache
from .config import Config


@export("models.GPT2Config")
@dataclass
class GPT2Config(Config):
    """Sizes; the defaults are those of the smallest GPT-2."""

    model_type: ClassVar[str] = "gpt2"
    refused: ClassVar[dict[str, Any]] = {
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "add_cross_attention": False,
    }
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    bos_token_id: int | None = 50256
    eos_token_id: int | None = 50256
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True
    num_labels: int = 1

    def __post_init__(self) -> None:
        if self.n_embd % self.n_head:
            raise ValueError(
                f"GPT2Config: n_embd={self.n_embd} is no multiple of n_head={self.n_head}"
            )


def _fused_on(x: Tensor) -> bool:
    """Whether to call primitives that only a GPU is faster with; autocast does not know them."""
    return x.is_cuda and not is_autocast_enabled("cuda")


class Conv1D(nn.Module):
    """y = x W + b with W (inputs, outputs): GPT-2 keeps the transpose of a Linear's weight."""

    def __init__(self, outputs: int, inputs: int):
        super().__init__()
        self.weight = nn.Parameter(empty(inputs, outputs).normal_(0, 0.02))
        self.bias = nn.Parameter(zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim > 1 and _fused_on(x):
            return affine_turned(x, self.weight, self.bias)
        return F.linear(x, self.weight.t(), self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.weight.shape[1]}"


class GPT2Attention(nn.Module):
    """softmax(Q Kᵀ/√d) V with a causal mask, then a projection."""

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.layer, self.heads, self.dropout = layer, config.n_head, config.attn_pdrop
        self.c_attn = Conv1D(3 * config.n_embd, config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.c_attn(x).chunk(3, -1))
        y = attend(q, k, v, mask, self.layer, cache, self.dropout if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y))


class GPT2MLP(nn.Module):
    """Four times wider, an activation, back again."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        inner = config.n_inner or 4 * config.n_embd
        self.c_fc, self.c_proj = Conv1D(inner, config.n_embd), Conv1D(config.n_embd, inner)
        self.act = activation(config.activation_function)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(self.act(self.c_fc(x))))


def _is_plain(norm: nn.Module, x: Tensor) -> bool:
    """Whether the call of `norm` is layer norm over the last dimension of x, and nothing else."""
    return (
        type(norm) is nn.LayerNorm
        and norm.normalized_shape == tuple(x.shape[-1:])
        and norm.weight is not None
        and norm.bias is not None
        and norm._hooks is None
        and not ANY_GLOBAL
    )


def add_norm(x: Tensor, branch: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """x + branch, and its norm; on a GPU in one kernel."""
    if branch is None:
        return x, norm(x)
    if _fused_on(x) and _is_plain(norm, x):
        return add_layer_norm(x, branch, norm.weight, norm.bias, norm.eps)
    x = x + branch
    return x, norm(x)


class GPT2Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)): (stream, branch), whose sum this is.

    The next norm, or the model's last one, adds the branch in its own pass over the stream.
    """

    def __init__(self, config: GPT2Config, layer: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = GPT2Attention(config, layer)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = GPT2MLP(config)

    def forward(
        self, x: Tensor, branch: Tensor | None, mask: Tensor | None, cache: Cache | None
    ) -> tuple[Tensor, Tensor]:
        """(stream, branch), for x + branch; branch is None before the first block."""
        x, h = add_norm(x, branch, self.ln_1)
        x, h = add_norm(x, self.attn(h, mask, cache), self.ln_2)
        return x, self.mlp(h)


@export("models.GPT2Model")
class GPT2Model(nn.Module):
    """Tokens (B, T) to states (B, T, n_embd)."""

    base_prefix = "transformer."

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([GPT2Block(config, i) for i in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self._first_values()

    def _first_values(self) -> None:
        """Normal, smaller for what is added to the residual stream (Radford et al. 2019, 2.3)."""
        std = self.config.initializer_range
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith("c_proj.weight")
                nn.init.normal_(p, std=std / (2 * self.config.n_layer) ** 0.5 if deep else std)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        past, length = cache.length if cache else 0, input_ids.shape[1]
        if past + length > self.config.n_positions:
            raise ValueError(
                f"GPT2: {past + length} tokens are more than n_positions={self.config.n_positions}"
            )
        if position_ids is None:
            position_ids = positions(attention_mask, past, length, input_ids.device)
        mask = causal_mask(attention_mask, past, length, input_ids.device)
        x = self.drop(self.wte(input_ids) + self.wpe(position_ids))
        branch = None
        for block in self.h:
            x, branch = block(x, branch, mask, cache)
        return add_norm(x, branch, self.ln_f)[1]


@export("models.GPT2LMHeadModel")
class GPT2LMHeadModel(nn.Module):
    """Tokens (B, T) to logits (B, T, V). `attention_mask`, `position_ids` and `cache` as in
    generation.py; ValueError for more than n_positions tokens.
    """

    base_prefix = "transformer."

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.transformer = GPT2Model(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.transformer.wte.weight
        else:
            nn.init.normal_(self.lm_head.weight, std=config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        return self.lm_head(self.transformer(input_ids, attention_mask, position_ids, cache))


@export("models.GPT2ForSequenceClassification")
class GPT2ForSequenceClassification(nn.Module):
    """Tokens (B, T) to (B, num_labels), read at the last real token: a reward model with one label.

    `values` reads every token, (B, T, num_labels): a value model.
    """

    base_prefix = "transformer."

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.transformer = GPT2Model(config)
        self.score = nn.Linear(config.n_embd, config.num_labels, bias=False)
        nn.init.normal_(self.score.weight, std=config.initializer_range)

    def values(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        return self.score(self.transformer(input_ids, attention_mask))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        if attention_mask is None:
            attention_mask = ones(input_ids.shape, device=input_ids.device)
        return last_real(self.values(input_ids, attention_mask), attention_mask)
