"""A small Kimi-VL learns to read: digits rendered in images of different sizes, from nothing.

    python examples/kimi_vl_reading.py            about four minutes on two idle cores

Every image is drawn on the fly: one to three digits, in one of several typefaces, sizes, colours
and places, in an image with more or less room around them. The model gets the image's patches in
place of media tokens and writes the digits. It is Kimi-VL with all its parts (MoonViT with packed
images and resized positions, projector, latent attention, mixture of experts balanced by their
biases), trained with Muon and AdamW; it begins with one digit, then gets two, then three. In the
folder --out are left: the weights as a checkpoint, curves.png, loads.png and samples.png. A run
that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

import minigrad as mg
from minigrad.models.kimi_vl import (
    ImageProcessor,
    KimiVL,
    KimiVLConfig,
    LoadMonitor,
    Processor,
    TextConfig,
    VisionConfig,
    balance,
    caption_loss,
    generate,
    optimizers,
    save_checkpoint,
    sequence_aux_loss,
)

SPECIAL = {
    "<|im_end|>": 10,
    "<|media_start|>": 11,
    "<|media_content|>": 12,
    "<|media_end|>": 13,
    "<|media_pad|>": 14,
}
SAVED = 100  # steps from one file to the next
PROMPT = "<|media_start|><|media_content|><|media_pad|><|media_end|>"
TYPEFACES = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Bold")
CONFIG = KimiVLConfig(
    TextConfig(
        vocab_size=16,
        hidden_size=64,
        intermediate_size=192,
        moe_intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        n_shared_experts=1,
        n_routed_experts=8,
        num_experts_per_tok=2,
        kv_lora_rank=24,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=16,
        max_position_embeddings=256,
        rope_theta=10000.0,
        initializer_range=0.1,
    ),
    VisionConfig(
        patch_size=8,
        num_attention_heads=4,
        num_hidden_layers=3,
        hidden_size=64,
        intermediate_size=192,
        init_pos_emb_height=6,
        init_pos_emb_width=16,
        initializer_range=0.1,
    ),
    media_placeholder_token_id=SPECIAL["<|media_pad|>"],
)


class Sample(NamedTuple):
    """An image and what stands in it."""

    image: Any
    text: str


class Painter:
    """Draws samples; the same seed, the same images."""

    fonts: ClassVar[dict[tuple[str, int], Any]] = {}

    def __init__(self, seed: int | tuple[int, int]):
        self.rng = np.random.default_rng(seed)

    def font(self, name: str, size: int) -> Any:
        """One of the typefaces that come with matplotlib."""
        if (name, size) not in self.fonts:
            import matplotlib

            path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"DejaVu{name}.ttf")
            self.fonts[name, size] = ImageFont.truetype(str(path), size)
        return self.fonts[name, size]

    def sample(self, longest: int = 3) -> Sample:
        """Up to `longest` digits somewhere in an image that has room for them."""
        rng = self.rng
        text = "".join(map(str, rng.integers(0, 10, rng.integers(1, longest + 1))))
        font = self.font(rng.choice(TYPEFACES), int(rng.integers(14, 21)))
        left, top, right, bottom = map(int, font.getbbox(text))
        wide, high = right - left, bottom - top
        width = wide + 4 + int(rng.integers(0, 25))
        height = high + 4 + int(rng.integers(0, 13))
        place = [int(rng.integers(2, room - 1)) for room in (min(width - wide, 14), height - high)]
        ground, ink = rng.integers(170, 256, 3).tolist(), rng.integers(0, 86, 3).tolist()
        image = Image.new("RGB", (width, height), tuple(ground))
        where = (place[0] - left, place[1] - top)
        ImageDraw.Draw(image).text(where, text, fill=tuple(ink), font=font)
        return Sample(image, text)

    def batch(self, count: int, longest: int = 3) -> list[Sample]:
        """Several samples."""
        return [self.sample(longest) for _ in range(count)]


def make_processor() -> Processor:
    """Digits are their own tokens."""
    images = ImageProcessor(CONFIG.vision_config.patch_size, in_token_limit=256)
    return Processor(lambda text: [int(c) for c in text], images, SPECIAL, SPECIAL["<|im_end|>"])


def loss_of(model: KimiVL, processor: Processor, batch: list[Sample]) -> Any:
    """−log p of the digits and the end, after the image; rows are padded on the left."""
    texts = [f"{PROMPT}{s.text}<|im_end|>" for s in batch]
    inputs = processor(texts, [s.image for s in batch])
    labels = np.full(inputs.input_ids.shape, -100, np.int64)
    for i, s in enumerate(batch):
        n = len(s.text) + 1
        labels[i, -n:] = inputs.input_ids.numpy()[i, -n:]
    return caption_loss(model(**inputs._asdict()), mg.from_numpy(labels))


def read(model: KimiVL, processor: Processor, batch: list[Sample]) -> list[str]:
    """What the model writes for each image."""
    inputs = processor([PROMPT] * len(batch), [s.image for s in batch])
    end = SPECIAL["<|im_end|>"]
    tokens = generate(model, **inputs._asdict(), max_new_tokens=6, eos_token_id=end)
    new = tokens[:, inputs.input_ids.shape[1] :]
    return ["".join(str(t) for t in row if t < 10) for row in new.tolist()]


def accuracy(model: KimiVL, processor: Processor, samples: list[Sample]) -> float:
    """The share of images of which every digit is right."""
    model.eval()
    right = 0
    for i in range(0, len(samples), 64):
        part = samples[i : i + 64]
        found = read(model, processor, part)
        right += sum(f == s.text for f, s in zip(found, part, strict=True))
    model.train()
    return right / len(samples)


class Run:
    """One training run, which goes on where a stopped one was saved.

    Step s draws its batch from the seed (seed, s), so nothing but weights, optimizers and the
    history is kept, in `folder`/training.safetensors, every `SAVED` steps.
    """

    def __init__(self, steps: int, size: int, lr: float, seed: int, folder: Path | None = None):
        mg.manual_seed(seed)
        self.steps, self.size, self.lr, self.seed = steps, size, lr, seed
        self.model, self.processor = KimiVL(CONFIG).train(), make_processor()
        self.optimizers = optimizers(self.model, lr)
        self.loads = LoadMonitor(self.model)
        self.history: dict[str, Any] = {"losses": [], "accuracies": [], "seconds": 0.0}
        self.file = None if folder is None else folder / "training.safetensors"
        if self.file is not None and self.file.exists():
            self.resume()

    def resume(self) -> None:
        """Go on from the file."""
        found = mg.load(self.file)
        self.model.load_state_dict(found["model"])
        for optimizer, state in zip(self.optimizers, found["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.history = found["history"]
        self.loads.violation = found["violation"]
        self.loads.totals = [t.numpy() for t in found["totals"]]

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "history": self.history,
            "violation": self.loads.violation,
            "totals": [mg.from_numpy(t) for t in self.loads.totals],
        }
        mg.save(state, self.file)

    def step(self, step: int) -> float:
        """One step; the loss of the digits."""
        longest = min(3, 1 + 6 * step // self.steps)  # first one digit, then two, then three
        batch = Painter((self.seed, step)).batch(self.size, longest)
        loss = loss_of(self.model, self.processor, batch)
        total = loss + 1e-3 * sequence_aux_loss(self.model, self.size)
        rate = min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        for optimizer, peak in zip(self.optimizers, (self.lr, self.lr / 2), strict=True):
            optimizer.param_groups[0]["lr"] = rate * peak
            optimizer.zero_grad()
        total.backward()
        mg.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.loads.record()
        balance(self.model)
        return loss.item()

    def train(self, held_out: int = 128, bar: bool = True) -> KimiVL:
        """All steps that are left, and a look at unseen images now and then."""
        unseen, losses = Painter(self.seed + 1).batch(held_out), self.history["losses"]
        left = range(len(losses), self.steps)
        progress = tqdm(left, desc="reading", unit="step", disable=not bar)
        for step in progress:
            start = time.perf_counter()
            losses.append(self.step(step))
            if (step + 1) % max(1, self.steps // 15) == 0:
                right = accuracy(self.model, self.processor, unseen)
                self.history["accuracies"].append([step + 1, right])
                progress.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", read=f"{right:.1%}")
            self.history["seconds"] += time.perf_counter() - start
            if (step + 1) % SAVED == 0:
                self.save()
        self.save()
        return self.model.eval()


def plot_curves(found: dict, path: Path) -> None:
    """Loss and accuracy by step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses = np.array(found["losses"])
    left.plot(losses, linewidth=0.3, alpha=0.5)
    width = min(30, len(losses))
    left.plot(np.convolve(losses, np.ones(width) / width, "valid"), linewidth=1.5)
    left.set(xlabel="step", ylabel="nats a token", title="loss of the digits", yscale="log")
    steps, values = zip(*found["accuracies"], strict=True)
    right.plot(steps, values, marker="o")
    right.axhline(0.95, linestyle=":", color="grey")
    right.set(xlabel="step", title="images read without an error", ylim=(0, 1.02))
    figure.savefig(path, dpi=120)


def plot_samples(model: KimiVL, path: Path, seed: int, count: int = 24) -> None:
    """Images at their sizes, what the model reads in them, and what stands there if it differs."""
    from matplotlib.figure import Figure

    samples = Painter(seed).batch(count)
    found = read(model, make_processor(), samples)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, sample, text in zip(figure.subplots(4, 6).flat, samples, found, strict=True):
        axes.imshow(sample.image)
        right = text == sample.text
        label = text if right else f"{text or '(nothing)'}, not {sample.text}"
        axes.set_title(label, color="green" if right else "red", fontsize=9)
        axes.axis("off")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Train, measure on a thousand new images, and leave weights and pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=6e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out/kimi_vl"))
    options = parser.parse_args()
    run = Run(options.steps, options.batch, options.lr, options.seed, options.out)
    model = run.train()
    score = accuracy(model, run.processor, Painter(options.seed + 2).batch(1000))
    seconds = run.history["seconds"]
    print(f"{seconds:.0f} s, {options.steps} steps; of 1000 new images {score:.1%} are read")
    save_checkpoint(model.eval(), options.out)
    plot_curves(run.history, options.out / "curves.png")
    run.loads.plot(options.out / "loads.png")
    plot_samples(model, options.out / "samples.png", options.seed + 3)
    print(f"weights and pictures are in {options.out}")


if __name__ == "__main__":
    main()
