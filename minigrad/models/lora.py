"""LoRA (Hu et al. 2022, arXiv:2106.09685): W + (α/r) B A, with only A and B learning."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import nn
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..io.checkpoint import load_file, save_file
from .gpt2 import Conv1D
from .pretrained import write_text

PREFIX = "base_model.model."  # PEFT's


@export("models.LoRALinear")
class LoRALinear(nn.Module):
    """A linear layer (nn.Linear, or GPT-2's Conv1D) with a low-rank addition (eq. 3):

        y = W x + (α/r) B A x,   A (r, inputs) random, B (outputs, r) zero at first

    Starts as the layer it wraps, which is frozen. The names are PEFT's: base_layer, lora_A, lora_B.
    """

    def __init__(self, base: nn.Module, rank: int = 8, alpha: float = 16.0, dropout: float = 0.0):
        super().__init__()
        if rank < 1:
            raise ValueError(f"LoRALinear: rank must be at least 1; got {rank}")
        shape = base.weight.shape
        inputs, outputs = shape if isinstance(base, Conv1D) else shape[::-1]
        self.base_layer = base.requires_grad_(False)
        self.lora_A = nn.Linear(inputs, rank, bias=False)
        self.lora_B = nn.Linear(rank, outputs, bias=False)
        nn.init.kaiming_uniform_(self.lora_A.weight, a=math.sqrt(5))
        nn.init.zeros_(self.lora_B.weight)
        self.lora_dropout = nn.Dropout(dropout)
        self.rank, self.alpha, self.enabled = rank, alpha, True
        self.unmerged: Tensor | None = None  # W alone, while the sum stands in its place

    @property
    def scaling(self) -> float:
        return self.alpha / self.rank

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        if self.unmerged is not None or not self.enabled:
            return y
        return y + self.lora_B(self.lora_A(self.lora_dropout(x))) * self.scaling

    def delta(self) -> Tensor:
        """(α/r) B A in the shape of the layer's weight."""
        delta = (self.lora_B.weight @ self.lora_A.weight) * self.scaling
        return delta.t() if isinstance(self.base_layer, Conv1D) else delta

    def extra_repr(self) -> str:
        return f"rank={self.rank}, alpha={self.alpha:g}, merged={self.unmerged is not None}"


@export("models.add_lora")
def add_lora(
    model: Any,
    targets: Sequence[str] = ("c_attn", "q_proj", "v_proj", "query", "value"),
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
) -> Any:
    """Put LoRALinear around every linear layer whose last name is in `targets`; freeze the rest.

    The model itself is changed, and returned. ValueError if no layer has such a name.
    """
    found = [
        (name, module)
        for name, module in model.named_modules()
        if name.split(".")[-1] in targets and isinstance(module, (nn.Linear, Conv1D))
    ]
    if not found:
        raise ValueError(f"add_lora: no linear layer is called {' or '.join(targets)}")
    model.requires_grad_(False)
    for name, module in found:
        model.set_submodule(name, LoRALinear(module, rank, alpha, dropout))
    return model


def lora_layers(model: Any) -> dict[str, LoRALinear]:
    """The adapted layers by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, LoRALinear)}


@export("models.merge_lora")
def merge_lora(model: Any) -> Any:
    """Add B A into the weights, so that the adapter costs nothing; the old weights are kept."""
    with no_grad():
        for layer in lora_layers(model).values():
            if layer.unmerged is None:
                layer.unmerged = layer.base_layer.weight.detach().clone()
                layer.base_layer.weight.add_(layer.delta())
    return model


@export("models.unmerge_lora")
def unmerge_lora(model: Any) -> Any:
    """Undo `merge_lora`: the weights are, bit for bit, what they were."""
    with no_grad():
        for layer in lora_layers(model).values():
            if layer.unmerged is not None:
                layer.base_layer.weight.copy_(layer.unmerged)
                layer.unmerged = None
    return model


@export("models.merge_and_unload")
def merge_and_unload(model: Any) -> Any:
    """Merge for good: the layers stand where their adapters stood, and all parameters learn."""
    merge_lora(model)
    for name, layer in lora_layers(model).items():
        model.set_submodule(name, layer.base_layer)
    return model.requires_grad_(True)


@export("models.lora_disabled")
@contextmanager
def lora_disabled(model: Any) -> Iterator[Any]:
    """A block in which the model is the one that was adapted: DPO's reference for free.

    RuntimeError while merged.
    """
    layers = list(lora_layers(model).values())
    if any(layer.unmerged is not None for layer in layers):
        raise RuntimeError("lora_disabled: the adapter is merged; unmerge_lora first")
    before = [layer.enabled for layer in layers]
    for layer in layers:
        layer.enabled = False
    try:
        yield model
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled


@export("models.lora_state_dict")
def lora_state_dict(model: Any) -> dict[str, Tensor]:
    """A and B of every adapted layer, under PEFT's names."""
    return {
        f"{PREFIX}{name}.{part}.weight": getattr(layer, part).weight.detach()
        for name, layer in lora_layers(model).items()
        for part in ("lora_A", "lora_B")
    }


@export("models.save_lora")
def save_lora(model: Any, folder: Any) -> None:
    """Write adapter_model.safetensors and adapter_config.json, as PEFT does.

    ValueError if the model has no adapter.
    """
    layers = lora_layers(model)
    if not layers:
        raise ValueError("save_lora: the model has no adapter; see add_lora")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora_state_dict(model), folder / "adapter_model.safetensors", {"format": "pt"})
    first = next(iter(layers.values()))
    config = {
        "peft_type": "LORA",
        "r": first.rank,
        "lora_alpha": first.alpha,
        "lora_dropout": first.lora_dropout.p,
        "fan_in_fan_out": isinstance(first.base_layer, Conv1D),
        "target_modules": sorted({name.split(".")[-1] for name in layers}),
        "bias": "none",
    }
    write_text(folder / "adapter_config.json", json.dumps(config, indent=2) + "\n")


@export("models.load_lora")
def load_lora(model: Any, folder: Any) -> Any:
    """Put the adapter of a folder on a model that has none; the model is changed and returned.

    FileNotFoundError and RuntimeError name what is missing or does not fit.
    """
    folder = Path(folder)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    add_lora(
        model, config["target_modules"], config["r"], config["lora_alpha"], config["lora_dropout"]
    )
    found = load_file(folder / "adapter_model.safetensors")
    wanted = lora_state_dict(model)
    if found.keys() != wanted.keys():
        different = ", ".join(sorted(found.keys() ^ wanted.keys()))
        raise RuntimeError(f"load_lora: {folder} and the model differ in {different}")
    with no_grad():
        for name, mine in wanted.items():
            if mine.shape != found[name].shape:
                raise RuntimeError(
                    f"load_lora: {name} is {tuple(found[name].shape)}, not {tuple(mine.shape)}"
                )
            mine.copy_(found[name])
    return model
