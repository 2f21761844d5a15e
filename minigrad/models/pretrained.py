"""Checkpoint folders in transformers' format: config.json beside safetensors."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..core.tensor import Tensor
from ..export import export
from ..io.checkpoint import load_file, save_file
from . import bert, gpt2, llama

ARCHITECTURES: dict[str, tuple[Any, Any]] = {
    "BertForMaskedLM": (bert.BertConfig, bert.BertForMaskedLM),
    "BertForSequenceClassification": (bert.BertConfig, bert.BertForSequenceClassification),
    "BertModel": (bert.BertConfig, bert.BertModel),
    "GPT2ForSequenceClassification": (gpt2.GPT2Config, gpt2.GPT2ForSequenceClassification),
    "GPT2LMHeadModel": (gpt2.GPT2Config, gpt2.GPT2LMHeadModel),
    "GPT2Model": (gpt2.GPT2Config, gpt2.GPT2Model),
    "LlamaForCausalLM": (llama.LlamaConfig, llama.LlamaForCausalLM),
    "LlamaForSequenceClassification": (llama.LlamaConfig, llama.LlamaForSequenceClassification),
    "LlamaModel": (llama.LlamaConfig, llama.LlamaModel),
}
# Constants that older checkpoints carry and models compute for themselves.
COMPUTED = ("attn.bias", "attn.masked_bias", "position_ids", "rotary_emb.inv_freq")


@export("models.load_pretrained")
def load_pretrained(folder: Any, architecture: str | None = None, strict: bool = True) -> Any:
    """The model of a checkpoint folder, in evaluation mode.

    `architecture` is a class name, such as "GPT2ForSequenceClassification"; by default the one that
    config.json names. Reads model.safetensors or the files of model.safetensors.index.json; names
    with or without the base model's prefix fit. With strict=False parts that the checkpoint lacks,
    such as a new head, keep their first values.

    FileNotFoundError and ValueError name the file, RuntimeError the tensors that do not fit.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"load_pretrained: no {path}")
    values = json.loads(path.read_text(encoding="utf-8"))
    name = architecture or (values.get("architectures") or [""])[0]
    if name not in ARCHITECTURES:
        raise ValueError(
            f"load_pretrained: {path} names {name!r}; known are {', '.join(ARCHITECTURES)}"
        )
    make_config, make_model = ARCHITECTURES[name]
    if values.get("model_type", make_config.model_type) != make_config.model_type:
        raise ValueError(f"load_pretrained: {path} is of a {values['model_type']!r}, not {name}")
    if "id2label" in values:
        values.setdefault("num_labels", len(values["id2label"]))
    model = make_model(make_config.from_dict(values))
    _fill(model, _tensors(folder), strict, folder)
    return model.eval()


def _tensors(folder: Path) -> dict[str, Tensor]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = ["model.safetensors"]
    found: dict[str, Tensor] = {}
    for name in names:
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise FileNotFoundError(f"load_pretrained: no {path}")
        found.update(load_file(path))
    return found


def _fill(model: Any, tensors: dict[str, Tensor], strict: bool, folder: Path) -> None:
    """Copy the tensors in; tied ones may be there once, and a prefix too many or too few."""
    wanted = model.state_dict()
    prefix = model.base_prefix
    fitting = {}
    for name, tensor in tensors.items():
        short = name.removeprefix(prefix)
        for candidate in (name, prefix + name, short):
            if candidate in wanted:
                fitting[candidate] = tensor
                break
        else:
            if strict and not name.endswith(COMPUTED) and not _of_another_head(short, wanted):
                raise RuntimeError(f"load_pretrained: {folder} has {name}, which the model has not")
    same: dict[int, list[str]] = {}
    for name, p in model.named_parameters(remove_duplicate=False):
        same.setdefault(id(p), []).append(name)
    for names in same.values():
        here = next((fitting[n] for n in names if n in fitting), None)
        if here is not None:
            fitting.update(dict.fromkeys(names, here))
    missing = sorted(wanted.keys() - fitting.keys())
    if missing and strict:
        raise RuntimeError(f"load_pretrained: {folder} lacks {', '.join(missing)}")
    model.load_state_dict(fitting, strict=False)


def _of_another_head(name: str, wanted: dict[str, Tensor]) -> bool:
    """Whether a tensor belongs to a head that this model has not: lm_head, score, pooler, ..."""
    first = name.split(".")[0]
    heads = ("lm_head", "score", "classifier", "cls", "pooler")
    return first in heads and not any(key.startswith(f"{first}.") for key in wanted)


@export("models.save_pretrained")
def save_pretrained(model: Any, folder: Any) -> None:
    """Write config.json and model.safetensors, which transformers reads as well.

    Tied tensors are written once. Each file is written beside and renamed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: p.detach() for name, p in model.named_parameters()}
    tensors.update(dict(model.named_buffers()))
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    values = {"architectures": [type(model).__name__], **model.config.to_dict()}
    write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write beside and rename: the file is the old or the new one, whole."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
