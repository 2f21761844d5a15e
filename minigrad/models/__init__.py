"""Language models with the tensor names of transformers, and what they need to write.

gpt2.py llama.py bert.py   models; a checkpoint folder of transformers loads with `load_pretrained`
attention.py rope.py       masks, rotary positions, what they share
cache.py generation.py     keys and values kept; greedy, sampled and beam generation for any model
sampling.py beam.py        from logits to the next token
tokenizer.py               the tokenizers library: byte-level BPE trained in the run, chat templates
lora.py                    low-rank adapters
pretrained.py config.py    checkpoint folders
embeddings.py              sentences to vectors
kimi_vl/                   Kimi-VL: a mixture of experts that sees

Each name is imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "BertConfig": "bert",
    "BertForMaskedLM": "bert",
    "BertForSequenceClassification": "bert",
    "BertModel": "bert",
    "Cache": "cache",
    "GPT2Config": "gpt2",
    "GPT2ForSequenceClassification": "gpt2",
    "GPT2LMHeadModel": "gpt2",
    "GPT2Model": "gpt2",
    "LlamaConfig": "llama",
    "LlamaForCausalLM": "llama",
    "LlamaForSequenceClassification": "llama",
    "LlamaModel": "llama",
    "LoRALinear": "lora",
    "TextStreamer": "generation",
    "Tokenizer": "tokenizer",
    "add_lora": "lora",
    "embed_sentences": "embeddings",
    "generate": "generation",
    "generate_text": "generation",
    "load_lora": "lora",
    "load_pretrained": "pretrained",
    "lora_disabled": "lora",
    "lora_state_dict": "lora",
    "merge_and_unload": "lora",
    "merge_lora": "lora",
    "save_lora": "lora",
    "save_pretrained": "pretrained",
    "unmerge_lora": "lora",
    "warp_logits": "sampling",
}

__all__ = sorted(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


_FOLDERS = frozenset({"kimi_vl"})


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
