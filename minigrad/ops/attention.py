"""Attention: softmax(QKᵀ/√d + mask) V, and several heads of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import sampling
from ..backend.devices import array_module
from ..backend.dtypes import from_numpy_dtype
from ..core.primitive import primitive
from ..core.recording import widen
from ..core.tensor import Tensor, wrap
from ..export import export
from ..kernels import cuda
from ..kernels.cpu import attention as kernels
from .dropout import dropout
from .elementwise import add, mul, where
from .join import cat
from .matmul import linear, matmul, matrix_product
from .piecewise import data_of, dtype_title
from .rearrange import repeat, repeat_interleave
from .reduction import mean
from .shape import expand, permute, reshape, squeeze, transpose, unbind, unsqueeze
from .slices import narrow
from .softmax import softmax_along


# ------------------------------------------------------------------------------ one head
def _attend(
    q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, p: float, seed: int
) -> Any:
    """softmax(scale·QKᵀ + mask) V from differentiable parts."""
    k, v = _for_all_heads(q, k), _for_all_heads(q, v)
    weights = _weights(q, k, _added(mask, causal, q._data, k._data), scale)
    if p:
        weights = mul(weights, wrap(_kept(weights._data, p, seed)))
    return matmul(weights, v)


def _weights(q: Any, k: Any, mask: Any, scale: float) -> Any:
    """softmax(scale·QKᵀ + mask) over keys; zeros, not nan, where no key may be seen."""
    scores = mul(matmul(q, transpose(k, -2, -1)), scale)
    scores = scores if mask is None else add(scores, mask)
    blind = np.all(np.isneginf(scores._data), axis=-1, keepdims=True)
    if not blind.any():
        return softmax_along(scores, axis=-1)
    return where(wrap(blind), 0.0, softmax_along(where(wrap(blind), 0.0, scores), axis=-1))


def _added(mask: Any, causal: bool, q: Any, k: Any) -> Any:
    """What is added to the scores: 0 or -inf where the mask is bool or causal."""
    if causal:
        seen: Any = array_module(q).tri(q.shape[-2], k.shape[-2], dtype=bool)
    elif mask is None or (seen := data_of(mask)).dtype != bool:
        return mask
    return np.where(seen, 0, -np.inf).astype(q.dtype)


def _kept(weights: Any, p: float, seed: int) -> Any:
    """Dropout's factors for weights: 0, or 1/(1 − p)."""
    shape = weights.shape
    kept = sampling.keep_mask(seed, math.prod(shape[:-1]), shape[-1], p).reshape(shape)
    return array_module(weights).asarray(kept * weights.dtype.type(1 / (1 - p)))


def _for_all_heads(q: Any, x: Any) -> Any:
    """Keys or values with every head repeated for the heads of the query that share it."""
    if len(q.shape) < 3 or len(x.shape) < 3 or x.shape[-3] in (1, q.shape[-3]):
        return x
    times = q.shape[-3] // x.shape[-3]
    return (
        repeat_interleave(x, times, -3) if isinstance(x, Tensor) else np.repeat(x, times, -3)
    ) if times > 1 else x  # fmt: skip


@primitive(residuals=("kept", "parts"), half="device", composition=_attend)
def attend(
    q: Any, k: Any, v: Any, mask: Any, *, scale: float, causal: bool, p: float, seed: int
) -> Any:
    """O = P V, P = softmax(S), S = scale·QKᵀ + mask, P thinned by dropout if p > 0.

    Kept for backward: P of small arguments; else the top m of S and 1/Σ exp(S − m) of every query,
    from which P is computed again in tiles.
    """
    if type(q) is np.ndarray:
        found = kernels.forward(q, k, v, mask, scale, causal, seed, p)
    else:
        found = cuda.attention.attend(q, k, v, mask, scale, causal, seed, p)
    if found is not None:
        return found
    dtype = q.dtype
    if type(q) is not np.ndarray:
        q, k, v, mask = widen((q, k, v, mask))
    k, v = _for_all_heads(q, k), _for_all_heads(q, v)
    s = _scores(q, k, _added(mask, causal, q, k), scale)
    top = np.max(s, axis=-1, keepdims=True) if s.shape[-1] else np.full_like(s, -np.inf)
    s -= np.where(np.isneginf(top), 0, top)  # no key may be seen: all weights become 0
    weights = np.exp(s, out=s)
    total = np.sum(weights, axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1, total)
    thin = weights * _kept(weights, p, seed) if p else weights
    return matrix_product(thin, v).astype(dtype, copy=False), weights, None


def _scores(q: Any, k: Any, mask: Any, scale: float) -> Any:
    s = matrix_product(q, np.swapaxes(k, -2, -1))
    s *= s.dtype.type(scale)
    return s if mask is None else s + mask


def _attend_vjp(
    g: Any, q: Any, k: Any, v: Any, mask: Any, y: Any, kept: Any, parts: Any, scale: float,
    causal: bool, p: float, seed: int, needs: Any,
) -> Any:  # fmt: skip
    """V̄ = Pᵀ Ō,  P̄ = Ō Vᵀ,  S̄ = P (P̄ − Σ P̄ P),  Q̄ = scale·S̄ K,  K̄ = scale·S̄ᵀ Q; mask gets S̄.

    With dropout, P in V̄ and Ō Vᵀ in P̄ are multiplied by its mask.
    """
    tiled = parts is not None
    if tiled and not needs[3]:
        if type(q) is np.ndarray:
            return *kernels.backward(g, q, k, v, mask, y, kept, parts, scale, causal, seed, p), None
        given = (g, q, k, v, mask, y, kept, parts, scale, causal, seed, p, needs)
        return *cuda.attention.attend_backward(*given), None
    if type(q) is not np.ndarray:
        g, q, k, v, mask = widen((g, q, k, v, mask))
    heads, (k, v) = (k.shape, v.shape), (_for_all_heads(q, k), _for_all_heads(q, v))
    if tiled:
        kept = np.exp(_scores(q, k, _added(mask, causal, q, k), scale) - kept[..., None])
        kept *= parts[..., None]
    factors = _kept(kept, p, seed) if p else None
    v_bar = None
    if needs[2]:
        thin = kept if factors is None else kept * factors
        v_bar = _of_shared_heads(matrix_product(np.swapaxes(thin, -2, -1), g), heads[1])
    if not (needs[0] or needs[1] or needs[3]):
        return None, None, v_bar, None
    s_bar = matrix_product(g, np.swapaxes(v, -2, -1))
    s_bar = s_bar if factors is None else s_bar * factors
    s_bar -= np.sum(s_bar * kept, axis=-1, keepdims=True)
    s_bar *= kept
    mask_bar = s_bar if needs[3] else None
    s_bar = s_bar * s_bar.dtype.type(scale)
    q_bar = matrix_product(s_bar, k) if needs[0] else None
    k_bar = matrix_product(np.swapaxes(s_bar, -2, -1), q) if needs[1] else None
    return q_bar, _of_shared_heads(k_bar, heads[0]), v_bar, mask_bar


def _of_shared_heads(x_bar: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of `_for_all_heads`: sums over the heads that share one."""
    if x_bar is None or len(shape) < 3 or shape[-3] in (1, x_bar.shape[-3]):
        return x_bar
    grouped = x_bar.reshape(*x_bar.shape[:-3], shape[-3], -1, *x_bar.shape[-2:])
    return grouped.sum(-3)


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
    """softmax(Q Kᵀ·scale + mask) V (Vaswani et al. 2017, eq. 1); scale is 1/√E unless given.

    query (..., L, E), key (..., S, E), value (..., S, F) to (..., L, F). attn_mask: bool (True may
    be seen) or added to the scores; is_causal: query i sees keys up to i; enable_gqa: groups of
    query heads share a head of key and value. A query that sees no key gets zeros. RuntimeError for
    a mask together with is_causal, and for shapes or dtypes that do not fit.
    """
    q, k, v = query._data, key._data, value._data
    _check_attention(q, k, v, attn_mask, is_causal, dropout_p)
    k_shape, v_shape = k.shape, v.shape
    if enable_gqa:
        _check_shared_heads(q.shape, k_shape, v_shape)
        if k_shape[-3] != v_shape[-3]:
            key, value = _for_all_heads(query, key), _for_all_heads(query, value)
        k_shape, v_shape = [(*s[:-3], q.shape[-3], *s[-2:]) for s in (k_shape, v_shape)]
    _check_fit(q.shape, k_shape, v_shape)
    mask = None if is_causal else _fitting_mask(q, k, attn_mask)
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.shape[-1] else 1.0
    if dropout_p == 1.0:
        seen = _added(mask, is_causal, q, k)
        key, value = _for_all_heads(query, key), _for_all_heads(query, value)
        return matmul(dropout(_weights(query, key, seen, float(scale)), dropout_p), value)
    seed = sampling.draw_seed() if dropout_p else 0
    return attend(
        query, key, value, mask, scale=float(scale), causal=bool(is_causal), p=dropout_p, seed=seed
    )


def _check_attention(
    q: Any, k: Any, v: Any, attn_mask: Any, is_causal: bool, dropout_p: float
) -> None:
    dtype = q.dtype
    if not (dtype is k.dtype is v.dtype or dtype == k.dtype == v.dtype):
        names = [from_numpy_dtype(x.dtype) for x in (q, k, v)]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if q.ndim < 2 or k.ndim < 2 or v.ndim < 2:
        raise RuntimeError(
            "Expected query, key, and value to all be at least 2 dimensional, but got query.dim(): "
            f"{q.ndim}, key.dim(): {k.ndim} and value.dim(): {v.ndim} instead."
        )
    if dtype.kind not in "fV":
        raise RuntimeError(f"Expected floating query, key and value, got {dtype_title(q.dtype)}")
    if attn_mask is not None and is_causal:
        raise RuntimeError("Explicit attn_mask should not be set when is_causal=True")
    if attn_mask is not None and attn_mask._data.dtype not in (bool, q.dtype):
        raise RuntimeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {attn_mask.dtype} and query.dtype: {from_numpy_dtype(q.dtype)} "
            "instead."
        )
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")


def _check_shared_heads(q: tuple[int, ...], *shapes: tuple[int, ...]) -> None:
    if any([len(q) < 3 or len(s) < 3 or s[-3] == 0 or q[-3] % s[-3] for s in shapes]):
        raise RuntimeError(
            "Number of heads in key and value must divide the number of heads in query"
        )


def _check_fit(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> None:
    if q[:-2] == k[:-2] == v[:-2] and q[-1] == k[-1] and k[-2] == v[-2]:
        return
    try:
        np.broadcast_shapes(q[:-2], k[:-2], v[:-2])
        fits = q[-1] == k[-1] and k[-2] == v[-2]
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(
            "The sizes of query, key and value do not fit together: "
            f"{list(q)}, {list(k)} and {list(v)}"
        )


def _fitting_mask(q: Any, k: Any, attn_mask: Any) -> Any:
    """The mask, if it can be broadcast to the scores; else RuntimeError."""
    if attn_mask is None:
        return None
    size, shape = (q.shape[-2], k.shape[-2]), attn_mask._data.shape
    if any([m not in (1, n) for m, n in zip(shape[::-1], size[::-1], strict=False)]):
        raise RuntimeError(
            f"The expanded size of the tensor must match the mask: {list(shape)} for scores of "
            f"size {list(size)}"
        )
    return attn_mask


# ------------------------------------------------------------------------------ several heads
@export("nn.functional.multi_head_attention_forward")
def multi_head_attention_forward(
    query: Any, key: Any, value: Any, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Any, in_proj_bias: Any, bias_k: Any, bias_v: Any, add_zero_attn: bool,
    dropout_p: float, out_proj_weight: Any, out_proj_bias: Any, training: bool = True,
    key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Heads of attention side by side, between projections (Vaswani et al. 2017, section 3.2.2).

    query (L, N, E), key and value (S, N, E), or all without N; result (L, N, E) and the weights
    (N, L, S), averaged over heads, or per head, or None. Masks: bool (True may *not* be seen) or
    added; attn_mask (L, S) or (N·heads, L, S), key_padding_mask (N, S). bias_k and bias_v or
    add_zero_attn append a key. is_causal is a promise about attn_mask. AssertionError for shapes
    that do not fit, RuntimeError for is_causal without a mask.
    """
    batched = _check_heads(query, key, value, key_padding_mask, attn_mask, num_heads)
    alone = query is key and key is value  # self-attention
    if not batched:
        query, key, value = [unsqueeze(x, 1) for x in (query, key, value)]
        if key_padding_mask is not None:
            key_padding_mask = unsqueeze(key_padding_mask, 0)
    length, batch, width = query._data.shape
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    _expect(width == embed_dim_to_check, f"was expecting {embed_dim_to_check}, but got {width}")
    _expect(width % num_heads == 0, f"{width} is not divisible by num_heads {num_heads}")
    padding = _as_additive(key_padding_mask, "key_padding_mask", query)
    mask = _as_additive(attn_mask, "attn_mask", query)
    mask = _checked_mask(mask, length, key._data.shape[0], batch * num_heads)
    has_bias = bias_k is not None and bias_v is not None
    static = static_k is not None or static_v is not None
    if alone and not (use_separate_proj_weight or has_bias or static):
        q, k, v = _packed_heads(query, in_proj_weight, in_proj_bias, num_heads)
    else:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        if not use_separate_proj_weight:
            _expect(key._data.shape == value._data.shape, "key and value differ in shape")
            weights = _thirds(in_proj_weight, width)
        q, k, v = _projected((query, key, value), weights, _thirds(in_proj_bias, width))
        if has_bias:
            _expect(not static, "bias with a static key or value")
            k, v = cat([k, repeat(bias_k, 1, batch, 1)]), cat([v, repeat(bias_v, 1, batch, 1)])
        q = _heads(q, num_heads)
        k = _heads(k, num_heads) if static_k is None else static_k
        v = _heads(v, num_heads) if static_v is None else static_v
    if add_zero_attn:
        zeros = k.new_zeros(k._data.shape[0], 1, k._data.shape[2])
        k, v = cat([k, zeros], 1), cat([v, zeros], 1)
    extra = has_bias + bool(add_zero_attn)
    mask = _merged(mask, padding, k._data.shape[1] - extra, extra, batch, num_heads)
    output, attention = _attended(q, k, v, mask, dropout_p if training else 0.0, need_weights)
    output = reshape(transpose(output, 0, 1), (length, batch, width))
    output = linear(output, out_proj_weight, out_proj_bias)
    if attention is not None:
        attention = reshape(attention, (batch, num_heads, length, k._data.shape[1]))
        attention = mean(attention, 1) if average_attn_weights else attention
        attention = attention if batched else squeeze(attention, 0)
    return (output if batched else squeeze(output, 1)), attention


def _thirds(x: Any, width: int) -> Any:
    """The parts of a packed projection that make query, key and value."""
    if x is None:
        return None, None, None
    return tuple([narrow(x, 0, i * width, width) for i in range(3)])


def _projected(inputs: Any, weights: Any, biases: Any) -> list[Any]:
    _, key, value = inputs
    _expect(key._data.shape[:2] == value._data.shape[:2], "key and value differ in length or batch")
    _expect(all([w is not None for w in weights]), "a projection weight is None")
    return [linear(*xwb) for xwb in zip(inputs, weights, biases, strict=True)]


def _attended(q: Any, k: Any, v: Any, mask: Any, p: float, need_weights: bool) -> tuple[Any, Any]:
    """Attention of all heads (N·heads, L, E/heads), and its weights if they are needed."""
    if not need_weights:
        return scaled_dot_product_attention(q, k, v, mask, p), None
    scores = mul(matmul(q, transpose(k, -2, -1)), 1 / math.sqrt(q._data.shape[-1]))
    weights = softmax_along(scores if mask is None else add(scores, mask), axis=-1)
    weights = dropout(weights, p) if p > 0 else weights
    return matmul(weights, v), weights


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(f"multi_head_attention_forward: {otherwise}")


def _check_heads(query: Any, key: Any, value: Any, padding: Any, mask: Any, num_heads: int) -> bool:
    """Whether there is a batch dimension; AssertionError if the ranks disagree."""
    rank = query._data.ndim
    _expect(rank in (2, 3), f"query should be unbatched 2D or batched 3D tensor, got {rank}-D")
    same = key._data.ndim == rank == value._data.ndim
    _expect(same, f"for a {rank}-D query, expected key and value to be {rank}-D")
    if padding is not None:
        _expect(
            padding._data.ndim == rank - 1, f"expected key_padding_mask to be None or {rank - 1}-D"
        )
    if mask is not None:
        _expect(mask._data.ndim in (2, 3), "expected attn_mask to be None, 2-D or 3-D")
        if rank == 2 and mask._data.ndim == 3:
            wanted = (num_heads, query._data.shape[0], key._data.shape[0])
            _expect(mask._data.shape == wanted, f"expected attn_mask of shape {wanted}")
    return rank == 3


def _as_additive(mask: Any, name: str, like: Any) -> Any:
    if mask is None:
        return None
    is_bool = mask._data.dtype.kind == "b"
    _expect(is_bool or mask.is_floating_point(), f"{name} must be bool or floating")
    if is_bool:
        return wrap(np.where(mask._data, -np.inf, 0).astype(like._data.dtype))
    return mask


def _checked_mask(mask: Any, length: int, keys: int, heads: int) -> Any:
    """attn_mask as (1 or N·heads, L, S); RuntimeError for another shape."""
    if mask is None:
        return None
    shape = mask._data.shape
    wanted = (length, keys) if len(shape) == 2 else (heads, length, keys)
    if shape != wanted:
        raise RuntimeError(
            f"The shape of the {len(shape)}D attn_mask is {shape}, but should be {wanted}."
        )
    return unsqueeze(mask, 0) if len(shape) == 2 else mask


def _heads(x: Any, num_heads: int) -> Any:
    """(L, N, E) as (N·heads, L, E/heads)."""
    length, batch, width = x._data.shape
    return transpose(reshape(x, (length, batch * num_heads, width // num_heads)), 0, 1)


def _packed_heads(x: Any, weight: Any, bias: Any, num_heads: int) -> tuple[Any, ...]:
    """Query, key and value of self-attention, each (N·heads, L, E/heads), by one product."""
    length, batch, width = x._data.shape
    y = reshape(linear(x, weight, bias), (length, batch, 3, num_heads, width // num_heads))
    y = permute(y, (2, 1, 3, 0, 4))
    return unbind(reshape(y, (3, batch * num_heads, length, width // num_heads)))


def _merged(mask: Any, padding: Any, keys: int, extra: int, batch: int, num_heads: int) -> Any:
    """One additive mask (1 or N·heads, L or 1, S + extra); the last `extra` keys are seen."""
    if padding is not None:
        _expect(
            padding._data.shape == (batch, keys), f"expected key_padding_mask of {(batch, keys)}"
        )
        padding = expand(reshape(padding, (batch, 1, 1, keys)), -1, num_heads, -1, -1)
        padding = reshape(padding, (batch * num_heads, 1, keys))
        mask = padding if mask is None else add(mask, padding)
    if mask is None or not extra:
        return mask
    return cat([mask, mask.new_zeros(*mask._data.shape[:-1], extra)], -1)
