"""What attention layers share: who sees whom, positions, activations by transformers' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nn
from ..backend.dtypes import bool_
from ..core.tensor import Tensor
from ..ops.filled import ones
from ..ops.join import cat
from ..ops.steps import arange
from .cache import Cache

F = nn.functional  # type: ignore[attr-defined]


def positions(attention_mask: Tensor | None, past: int, length: int, device: Any) -> Tensor:
    """The position of each new token, (B, T) or (1, T): counted from the first of its document."""
    if attention_mask is None:
        return arange(past, past + length, device=device)[None]
    places = arange(past + length, device=device)
    changes = attention_mask[:, 1:] != attention_mask[:, :-1]
    begins = cat([ones(changes.shape[0], 1, dtype=bool_, device=device), changes], 1)
    first = (places * begins).cummax(1)[0]
    return (places - first)[:, past:]


def causal_mask(
    attention_mask: Tensor | None, past: int, length: int, device: Any
) -> Tensor | None:
    """Which keys each new token sees, boolean (B or 1, 1, T, past + T): itself and those before it
    in its document. None if plain causality (past = 0) or everything (T = 1) says the same.

    attention_mask (B, past + T) is 0 on padding. Rows packed with several documents have 1 on the
    first, 2 on the second and so on: none sees another.
    """
    if attention_mask is not None and attention_mask.shape[1] != past + length:
        raise ValueError(
            f"attention_mask must have {past + length} columns, for {past} cached and {length} new "
            f"tokens; it has {attention_mask.shape[1]}"
        )
    if attention_mask is None and (past == 0 or length == 1):
        return None
    causal = ones(length, past + length, dtype=bool_, device=device).tril(past)[None, None]
    if attention_mask is None:
        return causal
    key, query = attention_mask[:, None, None, :], attention_mask[:, None, past:, None]
    return causal & (key == query) & (key != 0)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    layer: int,
    cache: Cache | None,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """Causal attention of (B, H, T, E) queries, (B, H', T, E) keys and values: (B, T, H·E).

    H' may divide H (grouped-query attention, Ainslie et al. 2023, arXiv:2305.13245).
    """
    if cache is not None:
        k, v = cache.update(layer, k, v)
    alone = mask is None and q.shape[2] == k.shape[2]
    y = F.scaled_dot_product_attention(
        q, k, v, mask, dropout, is_causal=alone, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )
    B, H, T, E = y.shape
    return y.transpose(1, 2).reshape(B, T, H * E)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, H·E) -> (B, H, T, E)."""
    B, T, width = x.shape
    return x.view(B, T, heads, width // heads).transpose(1, 2)


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation with transformers' name; ValueError if there is none."""
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "gelu": F.gelu,
        "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
        "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "relu": F.relu,
        "silu": F.silu,
        "swish": F.silu,
        "tanh": F.tanh,
    }
    if name not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}; got {name!r}")
    return known[name]


def last_real(values: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Row by row what stands at the last real token: (B, T, ...) -> (B, ...)."""
    rows = arange(values.shape[0], device=values.device)
    if attention_mask is None:
        return values[:, -1]
    numbered = arange(1, values.shape[1] + 1, device=values.device) * (attention_mask != 0)
    return values[rows, numbered.argmax(1)]
