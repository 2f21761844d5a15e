"""Language models: caches, padding, samplers, beams, streaming, tokenizers, LoRA, checkpoints."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pytest

import minigrad as mg
from minigrad import models


def gpt2(**changes) -> models.GPT2LMHeadModel:
    sizes = {"vocab_size": 41, "n_positions": 32, "n_embd": 24, "n_layer": 2, "n_head": 3}
    return models.GPT2LMHeadModel(models.GPT2Config(**{**sizes, **changes})).eval()


def llama(**changes) -> models.LlamaForCausalLM:
    sizes = {
        "vocab_size": 41,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    }
    return models.LlamaForCausalLM(models.LlamaConfig(**{**sizes, **changes})).eval()


def spread(model):
    """The same model with larger weights, so that its predictions are far from uniform."""
    with mg.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.mul_(12)
    return model


BOTH = pytest.mark.parametrize("make", [gpt2, llama])


@BOTH
def test_a_cache_changes_nothing(make) -> None:
    model, ids = make(), mg.randint(0, 41, (2, 9))
    with mg.no_grad():
        whole = model(ids)
        cache = models.Cache()
        parts = [model(ids[:, a:b], cache=cache) for a, b in ((0, 4), (4, 5), (5, 9))]
    assert cache.length == 9
    np.testing.assert_allclose(mg.cat(parts, 1).numpy(), whole.numpy(), atol=2e-6)


@BOTH
def test_padding_on_the_left_changes_nothing(make) -> None:
    model = spread(make())
    ids = mg.randint(0, 41, (1, 5))
    padded = mg.cat([mg.zeros(1, 3, dtype=mg.int64), ids], 1)
    mask = mg.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    with mg.no_grad():
        alone, beside = model(ids), model(padded, attention_mask=mask)
    np.testing.assert_allclose(beside[:, 3:].numpy(), alone.numpy(), atol=1e-4, rtol=1e-4)
    a = models.generate(model, ids, max_new_tokens=7)
    b = models.generate(model, padded, attention_mask=mask, max_new_tokens=7)
    assert a[0, 5:].tolist() == b[0, 8:].tolist()


@BOTH
def test_packed_documents_do_not_see_each_other(make) -> None:
    model = spread(make())
    a, b = mg.randint(0, 41, (1, 4)), mg.randint(0, 41, (1, 6))
    mask = mg.tensor([[1] * 4 + [2] * 6 + [0] * 2])
    with mg.no_grad():
        packed = model(mg.cat([a, b, a[:, :2]], 1), attention_mask=mask)
        alone = mg.cat([model(a), model(b)], 1)
    np.testing.assert_allclose(packed[:, :10].numpy(), alone.numpy(), atol=1e-4, rtol=1e-4)


@BOTH
def test_greedy_is_the_likeliest_token_each_time(make) -> None:
    model, ids = spread(make()), mg.tensor([[3, 1, 4], [1, 5, 9]])
    written = models.generate(model, ids, max_new_tokens=6)
    by_hand = ids
    with mg.no_grad():
        for _ in range(6):
            by_hand = mg.cat([by_hand, model(by_hand)[:, -1].argmax(-1, keepdim=True)], 1)
    assert written.tolist() == by_hand.tolist()


def test_end_of_sequence_pads_and_min_new_tokens_waits() -> None:
    model, ids = spread(gpt2()), mg.tensor([[3, 1, 4], [1, 5, 9]])
    free = models.generate(model, ids, max_new_tokens=8)[:, 3:].tolist()
    end = free[0][1]
    ended = models.generate(model, ids, max_new_tokens=8, eos_token_id=end, pad_token_id=40)
    row = ended[0, 3:].tolist()
    first = free[0].index(end)
    assert row[: first + 1] == free[0][: first + 1]
    assert all(token == 40 for token in row[first + 1 :])
    late = models.generate(model, ids, max_new_tokens=8, eos_token_id=end, min_new_tokens=6)
    assert end not in late[:, 3:9].flatten().tolist()


@pytest.mark.parametrize("name", ["h.0.ln_2", "h.1.ln_1", "ln_f"])
def test_norms_of_gpt2_are_modules(name) -> None:
    """They are called: hooks see it, and another module may take their place."""
    model, ids, calls = gpt2().transformer, mg.randint(0, 41, (2, 5)), []
    hook = model.get_submodule(name).register_forward_hook(lambda *call: calls.append(call))
    y = model(ids)
    hook.remove()
    assert len(calls) == 1
    np.testing.assert_array_equal(model(ids).detach().numpy(), y.detach().numpy())
    model.set_submodule(name, mg.nn.Identity())
    assert model(ids).shape == y.shape
    model.set_submodule(name, mg.nn.LayerNorm(24, bias=False))
    assert model(ids).shape == y.shape


def test_warping_of_logits() -> None:
    p = np.array([[0.5, 0.25, 0.15, 0.07, 0.03]])
    logits = mg.from_numpy(np.log(p))

    def kept(**options):
        return [
            i for i, x in enumerate(models.warp_logits(logits, **options)[0].tolist()) if x > -1e9
        ]

    assert kept(top_k=2) == [0, 1]
    assert kept(top_p=0.74) == [0, 1]
    assert kept(top_p=0.76) == [0, 1, 2]
    assert kept(top_p=1e-9) == [0]
    assert kept(min_p=0.2) == [0, 1, 2]
    assert kept(min_p=1.0) == [0]
    assert kept(top_k=100, top_p=1.0) == [0, 1, 2, 3, 4]
    hot = models.warp_logits(logits, temperature=2.0).softmax(-1).numpy()
    np.testing.assert_allclose(hot, p**0.5 / (p**0.5).sum())
    for options, word in [
        ({"temperature": 0}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"min_p": 2.0}, "min_p"),
    ]:
        with pytest.raises(ValueError, match=word):
            models.warp_logits(logits, **options)


def test_repetition_penalty_by_hand() -> None:
    from minigrad.models.sampling import penalize_repetition

    logits = mg.tensor([[2.0, -1.0, 0.5, 3.0]])
    seen = mg.tensor([[0, 1, 0]])
    assert penalize_repetition(logits, seen, 2.0).tolist() == [[1.0, -2.0, 0.5, 3.0]]
    with pytest.raises(ValueError, match="repetition_penalty"):
        penalize_repetition(logits, seen, 0.0)


def test_samples_have_the_models_frequencies_and_repeat_with_a_seed() -> None:
    model = spread(gpt2(vocab_size=5, n_layer=1))
    ids = mg.tensor([[1, 2]]).expand(4000, 2)
    with mg.no_grad():
        p = model(ids[:1])[0, -1].softmax(-1).numpy()
    draws = [
        models.generate(
            model, ids, max_new_tokens=1, do_sample=True, generator=mg.Generator().manual_seed(5)
        )[:, 2].numpy()
        for _ in range(2)
    ]
    assert (draws[0] == draws[1]).all()
    frequency = np.bincount(draws[0], minlength=5) / 4000
    assert np.abs(frequency - p).max() < 4 * np.sqrt(0.25 / 4000)


def test_enough_beams_find_the_best_continuation() -> None:
    """With a beam for every prefix the search is exhaustive."""
    model = spread(gpt2(vocab_size=4, n_layer=1))
    ids = mg.tensor([[1, 2]])
    best, best_logp = None, -np.inf
    for tail in itertools.product(range(4), repeat=3):
        row = mg.tensor([[1, 2, *tail]])
        with mg.no_grad():
            logp = model(row).log_softmax(-1)[0]
        total = sum(logp[1 + i, token].item() for i, token in enumerate(tail))
        if total > best_logp:
            best, best_logp = list(tail), total
    found = models.generate(model, ids, max_new_tokens=3, num_beams=64)
    assert found[0, 2:].tolist() == best


def test_errors_of_generate() -> None:
    model, ids = gpt2(), mg.tensor([[1, 2]])
    for options, word in [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"min_new_tokens": 30}, "min_new_tokens"),
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 2, "do_sample": True}, "beam"),
        ({"attention_mask": mg.tensor([[1, 0]])}, "left"),
        ({"attention_mask": mg.tensor([[1]])}, "attention_mask"),
        ({"max_new_tokens": 40}, "n_positions"),
    ]:
        with pytest.raises(ValueError, match=word):
            models.generate(model, ids, **options)
    with pytest.raises(ValueError, match="input_ids"):
        models.generate(model, mg.tensor([1, 2]))


def test_classifiers_read_the_last_real_token() -> None:
    for make, config in (
        (models.GPT2ForSequenceClassification, gpt2().config),
        (models.LlamaForSequenceClassification, llama().config),
    ):
        model = make(config).eval()
        ids, mask = mg.randint(0, 41, (2, 6)), mg.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])
        with mg.no_grad():
            score, values = model(ids, mask), model.values(ids, mask)
            alone = model(ids[:1, :4])
        assert score.shape == (2, 1)
        assert score.tolist() == [values[0, 3].tolist(), values[1, 5].tolist()]
        np.testing.assert_allclose(alone[0].numpy(), score[0].numpy(), atol=1e-6)


def test_bad_configurations() -> None:
    with pytest.raises(ValueError, match="n_head"):
        models.GPT2Config(n_embd=10, n_head=3)
    with pytest.raises(ValueError, match="num_key_value_heads"):
        models.LlamaConfig(num_attention_heads=6, num_key_value_heads=4)
    with pytest.raises(ValueError, match="hidden_size"):
        models.BertConfig(hidden_size=10)
    with pytest.raises(ValueError, match="scale_attn"):
        models.GPT2Config.from_dict({"scale_attn_by_inverse_layer_idx": True})
    with pytest.raises(ValueError, match="rope_type"):
        llama(rope_parameters={"rope_type": "yarn", "rope_theta": 1e4})


# ---------------------------------------------------------------------------- checkpoints
@BOTH
def test_folders(tmp_path, make) -> None:
    model, ids = make(), mg.randint(0, 41, (2, 5))
    models.save_pretrained(model, tmp_path)
    again = models.load_pretrained(tmp_path)
    with mg.no_grad():
        assert (again(ids) == model(ids)).all()
    assert not list(tmp_path.glob(".*"))
    if make is gpt2:  # tied: kept once, and still tied
        assert again.lm_head.weight is again.transformer.wte.weight
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [type(model).__name__]
    kind = type(model).__name__.replace("LMHeadModel", "").replace("ForCausalLM", "")
    reward = models.load_pretrained(tmp_path, f"{kind}ForSequenceClassification", strict=False)
    base = "transformer" if make is gpt2 else "model"
    with mg.no_grad():
        states = getattr(model, base)(ids)
        assert (getattr(reward, base)(ids) == states).all()
    with pytest.raises(RuntimeError, match=r"score\.weight"):
        models.load_pretrained(tmp_path, f"{kind}ForSequenceClassification")


def test_old_checkpoints_without_prefix_and_with_masks(tmp_path) -> None:
    """GPT-2 as it was first converted: no "transformer.", causal masks among the tensors."""
    model, ids = gpt2(), mg.randint(0, 41, (2, 5))
    models.save_pretrained(model, tmp_path)
    found = mg.io.load_file(tmp_path / "model.safetensors")
    old = {name.removeprefix("transformer."): tensor for name, tensor in found.items()}
    old["h.0.attn.bias"] = mg.ones(1, 1, 32, 32).tril()
    mg.io.save_file(old, tmp_path / "model.safetensors")
    again = models.load_pretrained(tmp_path)
    with mg.no_grad():
        assert (again(ids) == model(ids)).all()


def test_folders_that_do_not_fit(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="config"):
        models.load_pretrained(tmp_path)
    models.save_pretrained(gpt2(), tmp_path)
    with pytest.raises(ValueError, match="gpt2"):
        models.load_pretrained(tmp_path, "LlamaForCausalLM")
    with pytest.raises(ValueError, match="T5"):
        models.load_pretrained(tmp_path, "T5Model")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(RuntimeError, match=r"h\.2\."):
        models.load_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_layer": 1}))
    with pytest.raises(RuntimeError, match=r"h\.1\."):
        models.load_pretrained(tmp_path)


# ---------------------------------------------------------------------------- LoRA
@BOTH
def test_lora(tmp_path, make) -> None:
    model, ids = make(), mg.randint(0, 41, (2, 6))
    with mg.no_grad():
        before = model(ids)
    models.add_lora(model, rank=3, alpha=6.0)
    with mg.no_grad():
        assert (model(ids) == before).all()
    learning = [name for name, p in model.named_parameters() if p.requires_grad]
    assert learning and all("lora_" in name for name in learning)
    optimizer = mg.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        loss = mg.nn.functional.cross_entropy(
            model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with mg.no_grad():
        adapted = model(ids)
        assert (adapted - before).abs().max() > 1e-3
        with models.lora_disabled(model):
            assert (model(ids) == before).all()
        models.merge_lora(model)
        np.testing.assert_allclose(model(ids).numpy(), adapted.numpy(), atol=2e-6)
        with pytest.raises(RuntimeError, match="merged"), models.lora_disabled(model):
            pass
        models.unmerge_lora(model)
        assert (model(ids) == adapted).all()
        models.save_lora(model, tmp_path)
        mg.manual_seed(0)
        other = make()
        for name, p in other.named_parameters():
            target = model.state_dict()
            key = name if name in target else name.replace(".weight", ".base_layer.weight")
            key = key if key in target else name.replace(".bias", ".base_layer.bias")
            p.copy_(target[key])
        models.load_lora(other, tmp_path)
        assert (other(ids) == adapted).all()
        names = list(make().state_dict())
        assert list(models.merge_and_unload(other).state_dict()) == names
        np.testing.assert_allclose(other(ids).numpy(), adapted.numpy(), atol=2e-6)


def test_lora_errors(tmp_path) -> None:
    with pytest.raises(ValueError, match="wide"):
        models.add_lora(gpt2(), targets=("wide",))
    with pytest.raises(ValueError, match="rank"):
        models.add_lora(gpt2(), rank=0)
    with pytest.raises(ValueError, match="adapter"):
        models.save_lora(gpt2(), tmp_path)


# ---------------------------------------------------------------------------- tokenizers
TEXTS = [
    "the cat sat on the mat",
    "the dog sat on the log",
    "Grüße, 世界! 🙂",
    "for i in range(10):\n    print(i)",
]


@pytest.fixture(scope="module")
def tokenizer():
    pytest.importorskip("tokenizers")
    return models.Tokenizer.train_bpe(TEXTS * 20, 300)


def test_byte_level_bpe_writes_every_text(tokenizer) -> None:
    for text in [*TEXTS, "unseen: ∮ E⋅da = Q", "\t\r\n  \x00", ""]:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.vocab_size <= 300
    assert len(tokenizer.encode("the cat sat")) < len("the cat sat")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|endoftext|>", "<|pad|>")


def test_batches_of_text(tokenizer) -> None:
    left, mask = tokenizer.batch(["the", "the cat sat"], padding_side="left")
    assert left[0, -1].item() == tokenizer.encode("the")[-1]
    assert left[0, 0].item() == tokenizer.pad_token_id and mask[0, 0].item() == 0
    right, mask = tokenizer.batch(["the", "the cat sat"])
    assert right[0, 0].item() == tokenizer.encode("the")[0] and mask[0, -1].item() == 0
    short, _ = tokenizer.batch(["the cat sat on the mat"], max_length=2)
    assert short.shape == (1, 2)
    with pytest.raises(ValueError, match="padding_side"):
        tokenizer.batch(["a"], padding_side="top")
    with pytest.raises(ValueError, match="without tokens"):
        tokenizer.batch(["a", ""])


def test_folders_of_tokenizers(tokenizer, tmp_path) -> None:
    tokenizer.save(tmp_path)
    again = models.Tokenizer.load(tmp_path)
    assert [again.encode(t) for t in TEXTS] == [tokenizer.encode(t) for t in TEXTS]
    assert again.eos_token_id == tokenizer.eos_token_id
    with pytest.raises(FileNotFoundError, match="tokenizer.json"):
        models.Tokenizer.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="vocab_size"):
        models.Tokenizer.train_bpe(TEXTS, 100)
    with pytest.raises(ValueError, match="several"):
        models.Tokenizer.train_bpe("one text", 300)
    with pytest.raises(ValueError, match="nope"):
        models.Tokenizer(tokenizer.backend, eos_token="nope")


def test_chat_templates(tokenizer) -> None:
    pytest.importorskip("jinja2")
    from minigrad.models.tokenizer import CHATML

    chat = models.Tokenizer(tokenizer.backend, eos_token="<|endoftext|>", chat_template=CHATML)
    text = chat.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    with pytest.raises(ValueError, match="chat_template"):
        tokenizer.apply_chat_template([])
    for bad in ("{{ raise_exception('roles must alternate') }}", "{{ ''.__class__.__mro__ }}"):
        chat.chat_template = bad
        with pytest.raises(ValueError, match="alternate|unsafe"):
            chat.apply_chat_template([])


def test_text_generation_stops_and_streams(tokenizer) -> None:
    model = spread(gpt2(vocab_size=tokenizer.vocab_size, n_positions=64))
    whole = models.generate_text(model, tokenizer, "the cat", max_new_tokens=24)
    stream = io.StringIO()
    streamed = models.generate_text(model, tokenizer, "the cat", max_new_tokens=24, stream=stream)
    assert streamed == whole and stream.getvalue() == whole + "\n"
    stop = next(c for c in whole[3:] if c.isascii() and c.isprintable())
    cut = models.generate_text(model, tokenizer, "the cat", max_new_tokens=24, stop_strings=[stop])
    assert cut == whole[: whole.index(stop)]
    stream = io.StringIO()
    models.generate_text(
        model, tokenizer, "the cat", max_new_tokens=24, stop_strings=[stop], stream=stream
    )
    assert stream.getvalue() == cut + "\n"
    options = {"max_new_tokens": 24, "num_beams": 2}
    beams = models.generate_text(model, tokenizer, "the cat", **options)
    stop = next(c for c in beams[3:] if c.isascii() and c.isprintable())
    cut = models.generate_text(model, tokenizer, "the cat", stop_strings=[stop], **options)
    assert cut == beams[: beams.index(stop)]
    several = models.generate_text(model, tokenizer, ["the cat", "the"], max_new_tokens=24)
    assert len(several) == 2 and several[0] == whole
    with pytest.raises(ValueError, match="one prompt"):
        models.generate_text(model, tokenizer, ["a", "b"], stream=stream)
