"""A small character-level GPT (Radford et al. 2019) trained on the source of Python's standard
library.

    python examples/char_gpt.py

Like digits_cnn.py it is one program for two libraries: `make_model(torch)` builds the same model in
PyTorch.
"""

from __future__ import annotations

import argparse
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

import minigrad as mg


@dataclass
class Config:
    """Sizes of model and training."""

    vocab: int = 97
    context: int = 64
    width: int = 96
    heads: int = 4
    layers: int = 3
    batch: int = 16
    steps: int = 600
    lr: float = 2e-3


def load_text(limit: int = 1_000_000) -> np.ndarray:
    """Characters of the standard library as numbers 0..96: newline 95, all else that is not ASCII
    text 96.
    """
    root = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(p for p in root.glob("*.py") if p.stat().st_size > 2000)
    raw = b"".join(p.read_bytes() for p in names)[:limit]
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 32
    codes[codes == ord("\n") - 32] = 95
    codes[(codes < 0) | (codes > 95)] = 96
    return codes


def decode(codes: list[int]) -> str:
    """Numbers back to text."""
    return "".join("\n" if c == 95 else "?" if c == 96 else chr(c + 32) for c in codes)


def encode(text: str) -> list[int]:
    """Text to numbers."""
    return [95 if c == "\n" else ord(c) - 32 for c in text]


def make_model(lib: ModuleType, config: Config) -> Any:
    """Token and position embeddings, pre-norm blocks of causal attention and an MLP, a linear
    head.
    """
    nn, F = lib.nn, lib.nn.functional
    d = config.width

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x: Any) -> Any:  # (B, T, d)
            B, T, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(B, T, 3, config.heads, d // config.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, heads, T, d/heads)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(a.transpose(1, 2).reshape(B, T, d))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = (
                nn.Embedding(config.vocab, d),
                nn.Embedding(config.context, d),
            )
            self.blocks = nn.ModuleList([Block() for _ in range(config.layers)])
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, config.vocab, bias=False)

        def forward(self, codes: Any) -> Any:  # (B, T) -> (B, T, vocab)
            x = self.token(codes) + self.position(lib.arange(codes.shape[1]))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

    model = GPT()
    for (
        name,
        p,
    ) in (
        model.named_parameters()
    ):  # GPT-2's first values, smaller for what ends in the residual stream
        if p.dim() >= 2:
            scale = (
                0.02 / (2 * config.layers) ** 0.5
                if name.endswith(("proj.weight", "down.weight"))
                else 0.02
            )
            nn.init.normal_(p, std=scale)
    return model


def batches(text: np.ndarray, config: Config, seed: int = 0) -> list[np.ndarray]:
    """(B, context + 1) windows at random places for every step, the same for both libraries."""
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, len(text) - config.context - 1, (config.steps, config.batch))
    return [text[s[:, None] + np.arange(config.context + 1)] for s in starts]


def sample(
    lib: ModuleType, model: Any, config: Config, prompt: str, length: int, seed: int = 0
) -> str:
    """Continue the prompt, character by character, at temperature 0.8."""
    rng = np.random.default_rng(seed)
    codes = encode(prompt)
    with lib.no_grad():
        for _ in range(length):
            window = lib.from_numpy(np.array([codes[-config.context :]], np.int64))
            p = lib.softmax(model(window)[0, -1] / 0.8, -1).numpy().astype(np.float64)
            codes.append(int(rng.choice(config.vocab, p=p / p.sum())))
    return decode(codes)


def train(
    lib: ModuleType, model: Any, config: Config, plan: list[np.ndarray], show: int = 0
) -> list[float]:
    """One AdamW step for each batch with a cosine schedule and clipped gradients; the losses."""
    optimizer = lib.optim.AdamW(
        model.parameters(), lr=config.lr, betas=(0.9, 0.95), weight_decay=0.1
    )
    losses: list[float] = []
    bar = tqdm(plan, desc=f"char GPT ({lib.__name__})", unit="step")
    for step, window in enumerate(bar):
        warm = min(1.0, (step + 1) / 40)
        decay = 0.5 * (1 + np.cos(np.pi * step / config.steps))
        optimizer.param_groups[0]["lr"] = config.lr * warm * (0.1 + 0.9 * decay)
        x, y = lib.from_numpy(window[:, :-1].copy()), lib.from_numpy(window[:, 1:].copy())
        logits = model(x)
        loss = lib.nn.functional.cross_entropy(logits.view(-1, config.vocab), y.view(-1))
        optimizer.zero_grad()
        loss.backward()
        lib.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 10 == 0:
            bar.set_postfix(loss=f"{np.mean(losses[-10:]):.3f}")
        if show and (step + 1) % show == 0:
            text = sample(lib, model, config, "def ", 120)
            bar.write(f"--- after {step + 1} steps, loss {np.mean(losses[-20:]):.3f} ---\n{text}\n")
    return losses


def main(out: Path, config: Config | None = None) -> dict[str, Any]:
    """Train on the standard library, print samples on the way, save; returns the figures."""
    from plots import loss_curves

    config = config or Config()
    out.mkdir(parents=True, exist_ok=True)
    mg.manual_seed(0)
    text = load_text()
    model = make_model(mg, config)
    print(
        f"char GPT: {sum(p.numel() for p in model.parameters()):,} parameters, {len(text):,}"
        " characters"
    )
    start = {name: p.detach().numpy().copy() for name, p in model.state_dict().items()}
    plan = batches(text, config)
    losses = train(mg, model, config, plan, show=max(config.steps // 3, 1))
    loss_curves({"training loss": losses}, out / "char_gpt_loss.png", "char GPT")
    mg.save(model.state_dict(), out / "char_gpt.safetensors")
    print(
        f"char GPT: loss {losses[0]:.3f} at the start, {np.mean(losses[-20:]):.3f} at the end (nats"
        " a character)"
    )
    return {"losses": losses, "start": start, "plan": plan, "config": config}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    main(arguments.out, Config(steps=arguments.steps))
