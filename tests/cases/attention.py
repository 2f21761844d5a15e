"""Attention, one head and several."""

from __future__ import annotations

import numpy as np

from tests.cases import Case, Make, S, const

INF = np.inf


def one_head(r: Make) -> list[S]:
    def qkv(*lead, length=3, s=4, e=2, f=5):
        return r(*lead, length, e), r(*lead, s, e), r(*lead, s, f)

    mask = r.values(
        [[True, False, True, True], [True, True, True, True], [False, True, False, False]], bool
    )
    blind = r.values([[True] * 4, [False] * 4, [True] * 4], bool)
    never = const(r.values([[0.0, -INF, 0.0, 1.0], [0.0] * 4, [-INF] * 4]))
    return [
        S(*qkv()),
        S(*qkv(2)),
        S(*qkv(2, 2), is_causal=True),
        S(*qkv(length=4, s=3), is_causal=True),
        S(*qkv(2), attn_mask=mask),
        S(*qkv(2), r(3, 4)),
        S(*qkv(2, 3), attn_mask=r(2, 1, 3, 4)),
        S(*qkv(), blind),
        S(*qkv(), never),
        S(*qkv(2), scale=0.3),
        S(*qkv(2, f=0)),
        S(*qkv(0)),
        S(r(2, 4, 3, 2), r(2, 2, 5, 2), r(2, 2, 5, 2), enable_gqa=True),
        S(*qkv(2, length=0)),
        S(const(r(3, 2)), r(4, 2), const(r(4, 2))),
        S(const(r(3, 2)), const(r(4, 2)), r(4, 2)),
        S(*qkv(1, 2), attn_mask=const(r(1, 2, 3, 4))),
    ]


def several_heads(r: Make) -> list[S]:
    def call(length=3, n=2, s=4, e=4, heads=2, batched=True, bias=True, **kwargs):
        lead = (n,) if batched else ()
        return S(
            r(length, *lead, e),
            r(s, *lead, e),
            r(s, *lead, e),
            e,
            heads,
            kwargs.pop("w", r(3 * e, e)),
            r(3 * e) if bias else None,
            kwargs.pop("bias_k", None),
            kwargs.pop("bias_v", None),
            kwargs.pop("zero", False),
            0.0,
            r(e, e),
            r(e) if bias else None,
            **kwargs,
        )

    hide = r.values([[False, True, False, False], [False, False, False, True]], bool)
    causal = r.values(np.triu(np.ones((3, 4), bool), 1), bool)
    separate = dict(w=None, use_separate_proj_weight=True)
    return [
        call(),
        call(bias=False),
        call(batched=False),
        call(need_weights=False),
        call(average_attn_weights=False),
        call(key_padding_mask=hide),
        call(attn_mask=causal),
        call(attn_mask=r(4, 3, 4), key_padding_mask=hide),
        call(attn_mask=causal, need_weights=False, is_causal=True),
        call(zero=True, key_padding_mask=hide),
        call(bias_k=r(1, 1, 4), bias_v=r(1, 1, 4), attn_mask=causal, need_weights=False),
        call(training=False),
        call(q_proj_weight=r(4, 4), k_proj_weight=r(4, 4), v_proj_weight=r(4, 4), **separate),
        call(static_k=r(4, 5, 2), static_v=r(4, 5, 2)),
        call(batched=False, attn_mask=causal, zero=True),
        call(key_padding_mask=r.values([[0.0, -1.0, 0.5, 0.0]] * 2), need_weights=False),
    ]


CASES = [
    Case("nn.functional.scaled_dot_product_attention", one_head),
    Case("nn.functional.multi_head_attention_forward", several_heads, half=False),
]
