"""BERT (Devlin et al. 2019, arXiv:1810.04805): an encoder that sees both ways, norms behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .. import nn
from ..core.tensor import Tensor
from ..export import export
from ..ops.filled import zeros, zeros_like
from ..ops.steps import arange
from .attention import F, activation, split_heads
from .config import Config


@export("models.BertConfig")
@dataclass
class BertConfig(Config):
    """Sizes; the defaults are those of BERT base."""

    model_type: ClassVar[str] = "bert"
    refused: ClassVar[dict[str, Any]] = {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
    }
    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    num_labels: int = 2

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"BertConfig: hidden_size={self.hidden_size} is no multiple of "
                f"num_attention_heads={self.num_attention_heads}"
            )


class BertEmbeddings(nn.Module):
    """LayerNorm(word + position + segment)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = nn.Embedding(config.vocab_size, width)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        length = input_ids.shape[1]
        if length > self.position_embeddings.num_embeddings:
            raise ValueError(
                f"Bert: {length} tokens are more than "
                f"max_position_embeddings={self.position_embeddings.num_embeddings}"
            )
        if token_type_ids is None:
            token_type_ids = zeros_like(input_ids)
        x = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        x = x + self.position_embeddings(arange(length, device=input_ids.device))
        return self.dropout(self.LayerNorm(x))


class BertSelfAttention(nn.Module):
    """softmax(Q Kᵀ/√d) V over all real tokens."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.heads, self.dropout = config.num_attention_heads, config.attention_probs_dropout_prob
        width = config.hidden_size
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (split_heads(part(x), self.heads) for part in (self.query, self.key, self.value))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        return y.transpose(1, 2).reshape(x.shape)


class BertOutput(nn.Module):
    """LayerNorm(residual + dense(x)): how both halves of a layer end."""

    def __init__(self, inputs: int, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class BertAttention(nn.Module):
    """Self-attention and its output."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.add_module("self", BertSelfAttention(config))
        self.output = BertOutput(config.hidden_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.get_submodule("self")(x, mask), x)


class BertIntermediate(nn.Module):
    """The wide half of the feed-forward network."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x))


class BertLayer(nn.Module):
    """Attention, then the feed-forward network, each with a residual and a norm behind."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.attention = BertAttention(config)
        self.intermediate = BertIntermediate(config)
        self.output = BertOutput(config.intermediate_size, config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class BertEncoder(nn.Module):
    """The layers in turn."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.layer = nn.ModuleList([BertLayer(config) for _ in range(config.num_hidden_layers)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BertPooler(nn.Module):
    """tanh(dense(state of the first token))."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x[:, 0]).tanh()


@export("models.BertModel")
class BertModel(nn.Module):
    """Tokens (B, T) to states (B, T, hidden_size); `pooler` turns them into (B, hidden_size).

    attention_mask (B, T) is 1 on real tokens. ValueError for more tokens than there are positions.
    """

    base_prefix = "bert."

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertEncoder(config)
        self.pooler = BertPooler(config)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        mask = None if attention_mask is None else (attention_mask != 0)[:, None, None, :]
        return self.encoder(self.embeddings(input_ids, token_type_ids), mask)


class BertTransform(nn.Module):
    """LayerNorm(act(dense(x))): what stands before the vocabulary."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.act = activation(config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(self.act(self.dense(x)))


class BertPredictions(nn.Module):
    """States to logits over the vocabulary, with the input embeddings as weights."""

    def __init__(self, config: BertConfig, embeddings: nn.Parameter):
        super().__init__()
        self.transform = BertTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.decoder.weight = embeddings
        self.decoder.bias = nn.Parameter(zeros(config.vocab_size))
        self.bias = self.decoder.bias

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.transform(x))


class BertHead(nn.Module):
    """Holds the predictions under transformers' name."""

    def __init__(self, config: BertConfig, embeddings: nn.Parameter):
        super().__init__()
        self.predictions = BertPredictions(config, embeddings)

    def forward(self, x: Tensor) -> Tensor:
        return self.predictions(x)


@export("models.BertForMaskedLM")
class BertForMaskedLM(nn.Module):
    """Tokens (B, T), some masked, to logits (B, T, V)."""

    base_prefix = "bert."

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.bert = BertModel(config)
        del self.bert.pooler  # not in these checkpoints
        self.cls = BertHead(config, self.bert.embeddings.word_embeddings.weight)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        return self.cls(self.bert(input_ids, attention_mask, token_type_ids))


@export("models.BertForSequenceClassification")
class BertForSequenceClassification(nn.Module):
    """Tokens (B, T) to (B, num_labels)."""

    base_prefix = "bert."

    def __init__(self, config: BertConfig):
        super().__init__()
        self.config = config
        self.bert = BertModel(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        states = self.bert(input_ids, attention_mask, token_type_ids)
        return self.classifier(self.dropout(self.bert.pooler(states)))
