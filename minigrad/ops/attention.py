"""Scaled dot-product attention: softmax(QKᵀ/√d + mask) V."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..core.primitive import primitive
from ..core.tensor import Tensor, wrap
from ..export import export
from .dropout import dropout
from .elementwise import add, mul, where
from .matmul import matmul
from .shape import repeat_interleave, transpose
from .softmax import softmax_along


def _attend(q: Any, k: Any, v: Any, mask: Any, *, scale: float) -> Any:
    """softmax(scale·QKᵀ + mask) V from differentiable parts; mask is additive or None."""
    scores = mul(matmul(q, transpose(k, -2, -1)), scale)
    if mask is not None:
        scores = add(scores, mask)
    return matmul(_weights(scores), v)


def _weights(scores: Any) -> Any:
    """softmax over keys; a query that may look at no key gets zeros, not nan."""
    dead = np.all(np.isneginf(scores._data), axis=-1, keepdims=True)
    weights = softmax_along(scores, axis=-1)
    return where(wrap(dead), 0.0, weights) if dead.any() else weights


@primitive(residuals=("weights",), composition=_attend)
def attend(q: Any, k: Any, v: Any, mask: Any, *, scale: float) -> Any:
    """O = P V, P = softmax(S), S = scale·QKᵀ + mask;  P is kept for backward."""
    s = np.matmul(q, np.swapaxes(k, -2, -1))
    s *= s.dtype.type(scale)
    if mask is not None:
        s = s + mask
    top = np.max(s, axis=-1, keepdims=True, initial=-np.inf)
    s -= np.where(np.isneginf(top), 0, top)  # a query that may look at no key: all weights 0
    p = np.exp(s, out=s)
    total = p.sum(axis=-1, keepdims=True)
    p /= np.where(total == 0, 1, total)
    return np.matmul(p, v), p


def _attend_vjp(g: Any, q: Any, k: Any, v: Any, weights: Any, scale: float, needs: Any) -> Any:
    """V̄ = Pᵀ Ō,  P̄ = Ō Vᵀ,  S̄ = P (P̄ − Σ P̄ P),  Q̄ = scale·S̄ K,  K̄ = scale·S̄ᵀ Q,  mask gets S̄."""
    p = weights
    dv = np.matmul(np.swapaxes(p, -2, -1), g) if needs[2] else None
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, dv, None
    dp = np.matmul(g, np.swapaxes(v, -2, -1))
    ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
    scaled = ds * ds.dtype.type(scale)
    dq = np.matmul(scaled, k) if needs[0] else None
    dk = np.matmul(np.swapaxes(scaled, -2, -1), q) if needs[1] else None
    return dq, dk, dv, ds if needs[3] else None


attend.joint(_attend_vjp)
attend.primitive.node_class.__name__ = "ScaledDotProductAttentionBackward0"


@export("nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    r"""softmax(Q Kᵀ·scale + mask) V (Vaswani et al. 2017, eq. 1); scale defaults to 1/√E.

    query (..., L, E), key (..., S, E), value (..., S, Ev) to (..., L, Ev). attn_mask: bool (True may be seen) or
    added to the scores; is_causal: query i sees keys up to i; enable_gqa: key and value heads are shared by groups
    of query heads. RuntimeError if both a mask and is_causal are given, or shapes or dtypes do not fit.
    """
    q, k, v = query._data, key._data, value._data
    for name, x in (("query", q), ("key", k), ("value", v)):
        if x.ndim < 2:
            raise RuntimeError(
                f"Expected query, key, and value to all be  at least 2 dimensional, but got {name} with {x.ndim}"
            )
    if not q.dtype == k.dtype == v.dtype:
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead."
        )
    if attn_mask is not None and is_causal:
        raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
    if not 0.0 <= dropout_p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if enable_gqa and q.ndim > 2 and q.shape[-3] != k.shape[-3]:
        if q.shape[-3] % k.shape[-3] or q.shape[-3] % v.shape[-3]:
            raise RuntimeError(
                "Number of heads in key and value must divide the number of heads in query"
            )
        key = repeat_interleave(key, q.shape[-3] // k.shape[-3], -3)
        value = repeat_interleave(value, q.shape[-3] // v.shape[-3], -3)
    mask = _additive_mask(q, k, attn_mask, is_causal)
    factor = (1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0) if scale is None else float(scale)
    if dropout_p == 0.0:
        return attend(query, key, value, mask, scale=factor)
    scores = mul(matmul(query, transpose(key, -2, -1)), factor)
    weights = _weights(scores if mask is None else add(scores, mask))
    return matmul(dropout(weights, dropout_p), value)


def _additive_mask(q: Any, k: Any, attn_mask: Any, is_causal: bool) -> Any:
    """The mask as something to add: 0 or -inf where it was bool or causal."""
    if is_causal:
        seen = np.tril(np.ones((q.shape[-2], k.shape[-2]), bool))
        return wrap(np.where(seen, 0, -np.inf).astype(q.dtype))
    if not isinstance(attn_mask, Tensor):
        return attn_mask
    if attn_mask._data.dtype == bool:
        return wrap(np.where(attn_mask._data, 0, -np.inf).astype(q.dtype))
    if attn_mask._data.dtype != q.dtype:
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: "
            f"{attn_mask.dtype} and query.dtype instead."
        )
    return attn_mask
