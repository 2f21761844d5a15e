"""The language model of Kimi-VL: against transformers' numbers, and each detail by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.models.cache import Cache
from minigrad.models.kimi_vl.config import TextConfig
from minigrad.models.kimi_vl.grouped import GroupedExperts, reference, route
from minigrad.models.kimi_vl.language import DeepseekV3, gates, parameter_counts
from minigrad.models.kimi_vl.layers import without_memory
from minigrad.models.kimi_vl.moe import Gate, MoE
from minigrad.models.kimi_vl.rope import frequencies, rotate, softmax_scale
from tests.kimi_reference import CASES, GOLDEN, IDS, TINY, YARN, transformers_logits, weights


def build(dtype: Any = None, **overrides: Any) -> DeepseekV3:
    """The tiny model with weights that follow from their names."""
    model = DeepseekV3(TextConfig(**{**TINY, **overrides}))
    state = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    model.load_state_dict({k: mg.from_numpy(v) for k, v in weights(state).items()})
    return model.to(dtype).eval() if dtype is not None else model.eval()


def golden_numbers(name: str) -> np.ndarray:
    return np.array(json.loads(GOLDEN.read_text(encoding="utf-8"))[name].split(), np.float32)


def golden(name: str) -> np.ndarray:
    return golden_numbers(name).reshape(*IDS.shape, -1)


# ------------------------------------------------------------------------------ the whole
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(name: str) -> None:
    logits = build(**CASES[name])(mg.from_numpy(IDS)).detach().numpy()
    np.testing.assert_allclose(logits, golden(name), atol=1e-5, rtol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_golden_numbers_are_still_what_transformers_computes(name: str) -> None:
    pytest.importorskip("transformers")
    np.testing.assert_allclose(transformers_logits(CASES[name]), golden(name), atol=2e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"rope_theta": 10000.0},
        {"routed_scaling_factor": 2.5},
        {"norm_topk_prob": False},
        {"num_experts_per_tok": 2},
        {"rope_scaling": YARN},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_wrong_setting_moves_the_logits(change: dict[str, Any]) -> None:
    """What the comparison above would catch."""
    logits = build(**change)(mg.from_numpy(IDS)).detach().numpy()
    assert abs(logits - golden("moonlight")).max() > 1e-3


@pytest.mark.parametrize("absorb", [None, True, False])
@pytest.mark.parametrize("name", ["moonlight", "query lora", "yarn"])
def test_decoding_step_by_step_equals_the_full_pass(name: str, absorb: bool | None) -> None:
    model, ids = build(**CASES[name]), mg.from_numpy(IDS)
    with mg.no_grad():
        full = model(ids)
        model.set_absorb(absorb)
        cache = Cache()
        parts = [model(ids[:, :4], cache=cache)]
        parts += [model(ids[:, i : i + 1], cache=cache) for i in range(4, 9)]
    assert abs(mg.cat(parts, 1) - full).max().item() < 1e-5


def test_absorbed_and_expanded_attention_have_one_gradient() -> None:
    found = []
    for absorb in (True, False):
        model = build(mg.float64)
        model.set_absorb(absorb)
        model(mg.from_numpy(IDS)).square().sum().backward()
        found.append(model.model.layers[1].self_attn.kv_b_proj.weight.grad)
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-9, atol=1e-10)


def test_padding_on_the_left_changes_nothing() -> None:
    model = build()
    with mg.no_grad():
        alone = model(mg.from_numpy(IDS[:, 3:]))
        mask = np.ones_like(IDS)
        mask[:, :3] = 0
        cache = Cache()
        first = model(mg.from_numpy(IDS[:, :7]), mg.from_numpy(mask[:, :7]), cache=cache)
        second = model(mg.from_numpy(IDS[:, 7:]), mg.from_numpy(mask), cache=cache)
    padded = mg.cat([first, second], 1)[:, 3:]
    assert abs(padded - alone).max().item() < 1e-5


def test_packed_documents_equal_the_documents_alone() -> None:
    """Numbers in the mask: documents of one row neither see nor push each other."""
    model, ids = build(), mg.from_numpy(IDS)
    mask = mg.tensor([[1] * 4 + [2] * 5, [1] * 2 + [2] * 6 + [0]])
    with mg.no_grad():
        packed = model(ids, mask)
        for r, start, stop in ((0, 0, 4), (0, 4, 9), (1, 0, 2), (1, 2, 8)):
            alone = model(ids[r : r + 1, start:stop])
            assert abs(packed[r, start:stop] - alone[0]).max().item() < 1e-5


def test_rows_of_a_cache_can_be_reordered() -> None:
    model, ids = build(), mg.from_numpy(IDS)
    with mg.no_grad():
        full = model(ids)
        cache = Cache()
        model(ids[:, :5], cache=cache)
        cache.select(mg.tensor([1, 0]))
        rest = model(ids[[1, 0], 5:], cache=cache)
    assert abs(rest - full[[1, 0], 5:]).max().item() < 1e-5


def test_errors_of_a_call() -> None:
    model = build()
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="attention_mask must have 9 columns"):
        model(mg.from_numpy(IDS), mg.ones(2, 3))


# ------------------------------------------------------------------------------ sizes
def test_parameter_counts_are_the_published_ones_and_take_no_memory() -> None:
    with without_memory():
        model = DeepseekV3()
    counts = parameter_counts(model)
    assert counts == {
        "total": 15_960_110_208,
        "non_embedding": 15_289_021_568,  # "15.29B" of Moonlight's README
        "activated": 2_243_687_552,  # its "2.24B"
    }
    assert np.isnan(model.lm_head.weight[5, 7].item())


def test_a_token_takes_576_numbers_a_layer() -> None:
    """31 104 bytes in bfloat16; keys and values of all heads would take 276 480."""
    with without_memory():
        attention = DeepseekV3().model.layers[0].self_attn
    width = attention.rank + attention.rope
    assert width == 576 and 27 * width * 2 == 31_104
    heads = attention.heads * (attention.nope + attention.rope + attention.value)
    assert 27 * heads * 2 == 276_480


def test_nothing_but_latents_is_cached() -> None:
    model, cache = build(), Cache()
    with mg.no_grad():
        model(mg.from_numpy(IDS), cache=cache)
    assert cache.length == IDS.shape[1]
    assert [[tuple(t.shape) for t in layer] for layer in cache.layers] == [[(2, 9, 8 + 8)]] * 3


# ------------------------------------------------------------------------------ rotation
def test_rotation_turns_neighbouring_pairs() -> None:
    omega, scale = frequencies(4, 100.0)
    np.testing.assert_allclose(omega, [1.0, 0.1])
    assert scale == 1.0
    x = mg.tensor([1.0, 0.0, 0.0, 2.0])
    y = rotate(x, mg.tensor(np.exp(1j * 3 * omega).astype(np.complex64)))
    want = [np.cos(3), np.sin(3), -2 * np.sin(0.3), 2 * np.cos(0.3)]  # not (0, 2), (1, 3)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-6)


def test_rotation_keeps_what_depends_on_the_distance_alone() -> None:
    omega, _ = frequencies(8, 50000.0)
    rng = np.random.default_rng(1)
    q, k = (mg.from_numpy(rng.standard_normal(8)) for _ in range(2))

    def product(a: int, b: int) -> float:
        turns = [mg.tensor(np.exp(1j * p * omega)) for p in (a, b)]
        return (rotate(q, turns[0]) * rotate(k, turns[1])).sum().item()

    assert product(5, 2) == pytest.approx(product(100_003, 100_000), rel=1e-9)


def test_rotation_gradient() -> None:
    turns = mg.tensor(np.exp(1j * np.arange(6.0).reshape(2, 3)))
    x = mg.randn(2, 6, dtype=mg.float64, requires_grad=True)
    assert mg.autograd.gradcheck(lambda t: rotate(t, turns), (x,))


def test_half_precision_is_turned_in_float32() -> None:
    x = mg.randn(3, 8).to(mg.bfloat16)
    turns = mg.tensor(np.exp(1j * np.arange(4.0)).astype(np.complex64))
    y = rotate(x, turns)
    assert y.dtype is mg.bfloat16
    np.testing.assert_array_equal(
        y.float().numpy(), rotate(x.float(), turns).to(mg.bfloat16).float().numpy()
    )


def test_yarn_keeps_fast_pairs_and_slows_slow_ones() -> None:
    plain, _ = frequencies(64, 50000.0)
    yarn, scale = frequencies(64, 50000.0, {**YARN, "original_max_position_embeddings": 8192})
    assert yarn[0] == plain[0] and yarn[-1] == pytest.approx(plain[-1] / 8)
    ratio = plain / yarn
    assert (np.diff(ratio) >= -1e-12).all() and ((ratio > 1.01) & (ratio < 7.9)).any()
    assert scale == pytest.approx((0.07 * np.log(8) + 1) / (0.1 * np.log(8) + 1))
    assert softmax_scale(192, YARN) == pytest.approx(192**-0.5 * (0.1 * np.log(8) + 1) ** 2)
    assert softmax_scale(192, None) == 192**-0.5


# ------------------------------------------------------------------------------ the two epsilons
def test_latents_are_normalised_with_1e_6_and_layers_with_the_config() -> None:
    """Of inputs whose square is of the size of epsilon, where the two differ by much."""
    block = build(q_lora_rank=10).model.layers[0]
    for norm, eps in (
        (block.self_attn.kv_a_layernorm, 1e-6),
        (block.self_attn.q_a_layernorm, 1e-6),
        (block.input_layernorm, 1e-5),
        (block.post_attention_layernorm, 1e-5),
    ):
        norm.weight.data = mg.ones_like(norm.weight)
        x = mg.full((norm.normalized_shape[0],), 1e-3)
        np.testing.assert_allclose(norm(x).detach().numpy(), 1e-3 / np.sqrt(1e-6 + eps), rtol=1e-5)


# ------------------------------------------------------------------------------ the gate
def gate(**overrides: Any) -> Gate:
    return Gate(TextConfig(**{**TINY, **overrides}))


def test_gate_scaling_comes_out_as_published() -> None:
    """2.446: the mean of 1/‖w‖ for the 6 best of 64 sigmoid scores of normal numbers."""
    scores = 1 / (1 + np.exp(-np.random.default_rng(0).standard_normal((50_000, 64))))
    best = np.sort(scores, axis=1)[:, -6:]
    share = best / best.sum(1, keepdims=True)
    assert np.mean(1 / np.linalg.norm(share, axis=1)) == pytest.approx(2.446, abs=2e-3)
    assert TextConfig().routed_scaling_factor == 2.446


def test_weights_sum_to_the_scaling() -> None:
    weights_, _ = gate()(mg.randn(7, 16))
    np.testing.assert_allclose(weights_.sum(-1).detach().numpy(), 2.446, rtol=1e-6)


def test_the_correction_bias_selects_and_does_not_weigh() -> None:
    g = gate(norm_topk_prob=False, routed_scaling_factor=1.0, num_experts_per_tok=1)
    x = mg.randn(5, 16)
    scores = (x @ g.weight.T).sigmoid().detach().numpy()
    g.e_score_correction_bias[4] = 10.0
    weights_, chosen = g(x)
    assert (chosen == 4).all()
    np.testing.assert_allclose(weights_[:, 0].detach().numpy(), scores[:, 4], rtol=1e-6)


def test_only_the_best_groups_are_chosen_from() -> None:
    """The best expert stands alone in a weak group and is passed over."""
    g = gate(n_group=2, topk_group=1, num_experts_per_tok=2)
    scores = np.array([[0.9, 0.1, 0.1, 0.1, 0.6, 0.7, 0.1, 0.1]], np.float32)
    assert sorted(g.choose(scores)[0]) == [4, 5]
    assert sorted(gate(num_experts_per_tok=2).choose(scores)[0]) == [0, 5]


def test_gate_computes_in_float32() -> None:
    g = gate().to(mg.bfloat16)
    weights_, _ = g(mg.randn(4, 16).to(mg.bfloat16))
    assert weights_.dtype is mg.float32
    with mg.autocast("cpu", dtype=mg.bfloat16):
        assert gate()(mg.randn(4, 16))[0].dtype is mg.float32
        logits = build()(mg.from_numpy(IDS))
    assert logits.dtype is mg.bfloat16
    assert abs(logits.detach().float().numpy() - golden("moonlight")).mean() < 0.1


def test_balance_moves_the_bias_against_the_load() -> None:
    g = gate()
    g.loads[:] = [10, 0, 5, 5, 5, 5, 5, 5]
    g.balance(1e-3)
    np.testing.assert_allclose(
        g.e_score_correction_bias.numpy(), [-1e-3, 1e-3, 0, 0, 0, 0, 0, 0], atol=1e-9
    )
    assert not g.loads.any()
    g.loads[:] = [0, 0, 0, 8, 8, 8, 8, 8]  # the mean of the signs is taken off
    g.balance(1e-3)
    assert g.e_score_correction_bias.numpy().sum() == pytest.approx(0, abs=1e-8)


def test_balancing_evens_out_a_skewed_gate() -> None:
    g = gate(num_experts_per_tok=2).train()
    with mg.no_grad():
        g.weight[0] += 0.05
    x = mg.randn(512, 16) + 0.5
    spread = []
    for _ in range(200):
        g(x)
        spread.append(g.loads.max() / g.loads.mean())
        g.balance(1e-3)
    assert spread[0] > 1.8 and spread[-1] < 1.25, (spread[0], spread[-1])


def test_loads_are_counted_in_training_only() -> None:
    g = gate()
    g.eval()(mg.randn(4, 16))
    assert g.loads.sum() == 0
    with pytest.raises(RuntimeError, match="no forward pass in training mode"):
        g.sequence_aux_loss(1)
    g.train()(mg.randn(4, 16))
    assert g.loads.sum() == 4 * 3


def test_sequence_aux_loss_by_hand() -> None:
    g = gate(num_experts_per_tok=2).train()
    x = mg.randn(6, 16)
    _, chosen = g(x)
    scores = (x @ g.weight.T).sigmoid().detach().numpy().astype(np.float64)
    losses = []
    for s in (slice(0, 3), slice(3, 6)):
        f = np.array([(chosen[s] == e).sum() for e in range(8)]) * 8 / (2 * 3)
        p = (scores[s] / scores[s].sum(1, keepdims=True)).mean(0)
        losses.append((f * p).sum())
    loss = g.sequence_aux_loss(2)
    assert loss.item() == pytest.approx(np.mean(losses), rel=1e-5)
    loss.backward()
    assert g.weight.grad is not None


# ------------------------------------------------------------------------------ the experts
def _experts_case(count: int = 5) -> tuple[Any, Any, np.ndarray, list[Any]]:
    rng = np.random.default_rng(3)
    x, w = (mg.tensor(rng.standard_normal(s), requires_grad=True) for s in ((7, 4), (7, 2)))
    chosen = np.array([rng.choice(count - 1, 2, replace=False) for _ in range(7)])
    chosen[chosen == 1] = count - 1  # nobody chooses expert 1
    shapes = ((3, 4), (3, 4), (4, 3))
    used = len(np.unique(chosen))
    m = [mg.tensor(rng.standard_normal(s), requires_grad=True) for _ in range(used) for s in shapes]
    return x, w, chosen, m


def test_grouped_experts_equal_a_loop_over_them() -> None:
    x, w, chosen, m = _experts_case()
    routes = route(chosen, 5)
    assert routes.bounds[-1] == chosen.size and 1 not in routes.experts
    y = GroupedExperts.apply(x, w, chosen, routes, *m)
    want = reference(x, w, chosen, *m)
    np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-12)
    g = mg.randn(7, 4, dtype=mg.float64)
    for a, b in zip(
        mg.autograd.grad(y, [x, w, *m], g), mg.autograd.grad(want, [x, w, *m], g), strict=True
    ):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


def test_grouped_experts_gradients_of_both_orders() -> None:
    x, w = mg.randn(3, 3, dtype=mg.float64), mg.rand(3, 2, dtype=mg.float64)
    m = [mg.randn(*s, dtype=mg.float64) for _ in range(3) for s in ((2, 3), (2, 3), (3, 2))]
    for t in (x, w, *m):
        t.requires_grad_()
    chosen = np.array([[0, 4], [4, 3], [3, 0]])
    routes = route(chosen, 5)

    def f(x: Any, w: Any, *m: Any) -> Any:
        return GroupedExperts.apply(x, w, chosen, routes, *m)

    assert mg.autograd.gradcheck(f, (x, w, *m))
    assert mg.autograd.gradgradcheck(f, (x, w, *m), fast_mode=True)


def test_gradients_of_a_part_only() -> None:
    x, w, chosen, m = _experts_case()
    m[2].requires_grad_(False)
    y = GroupedExperts.apply(x.detach(), w, chosen, route(chosen, 5), *m)
    y.sum().backward()
    assert x.grad is None and m[2].grad is None and m[0].grad is not None and w.grad is not None


def test_no_token_is_dropped_when_all_choose_the_same_expert() -> None:
    layer = MoE(TextConfig(**{**TINY, "num_experts_per_tok": 1, "n_shared_experts": None})).eval()
    layer.gate.e_score_correction_bias[2] = 100.0
    x = mg.randn(3, 11, 16)
    expert = layer.experts[2](x) * 2.446
    np.testing.assert_allclose(layer(x).detach().numpy(), expert.detach().numpy(), atol=1e-6)
    layer(x).sum().backward()
    assert layer.experts[0].up_proj.weight.grad is None


def test_bfloat16_model_is_near_the_float32_one() -> None:
    logits = build(mg.bfloat16)(mg.from_numpy(IDS))
    assert logits.dtype is mg.bfloat16
    assert abs(logits.detach().float().numpy() - golden("moonlight")).mean() < 0.1


def test_training_lowers_the_loss() -> None:
    model = build().train()
    ids = mg.from_numpy(IDS)
    optimizer = mg.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        logits = model(ids[:, :-1])
        loss = mg.nn.functional.cross_entropy(logits.reshape(-1, 13), ids[:, 1:].reshape(-1))
        loss = loss + 0.001 * sum(g.sequence_aux_loss(2) for g in gates(model))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2, losses


# ------------------------------------------------------------------------------ configurations
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scoring_func": "softmax"}, "scoring_func='softmax' is not built here, only 'sigmoid'"),
        ({"topk_method": "greedy"}, "topk_method='greedy'"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings=True"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config"),
        ({"num_attention_heads": 4, "num_key_value_heads": 2}, "num_key_value_heads=2"),
        ({"n_routed_experts": 6, "n_group": 4}, "6 experts in 4 equal groups"),
        ({"n_routed_experts": 4, "num_experts_per_tok": 5}, "5 experts a token, chosen from 4"),
        ({"n_routed_experts": 4, "n_group": 4, "topk_group": 2}, "its two best experts"),
        ({"rope_scaling": {"type": "linear", "factor": 2}}, "'linear'"),
        ({"qk_rope_head_dim": 7}, "must be even"),
    ],
)
def test_configurations_that_cannot_be_built(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TextConfig.from_dict({"num_experts_per_tok": 2, **values})


def test_both_ways_of_writing_rope_are_read() -> None:
    old = TextConfig.from_dict({"rope_theta": 5e4, "rope_scaling": YARN, "model_type": "x"})
    new = TextConfig.from_dict({"rope_parameters": {**YARN, "rope_theta": 5e4}})
    assert old.rope_theta == new.rope_theta == 5e4
    assert new.rope_scaling is not None and new.rope_scaling["factor"] == 8.0
    plain = TextConfig.from_dict({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}})
    assert plain.rope_scaling is None and plain.rope_theta == 1e4
