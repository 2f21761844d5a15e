"""Whole training steps on a GPU, minigrad beside PyTorch in every way that it can run them:

    python -m benchmarks.gpu_steps                     all models, all ways
    python -m benchmarks.gpu_steps --only gpt2 --json steps.json
    python -m benchmarks.gpu_steps --tiny              small sizes, to try the script

Each model and way has a process of its own. A line holds the GPU's time for a step (median of
rounds, by events), the time that the host needs to ask for one, the most memory, and the loss after
some steps, which all ways have to agree on: one that does not is marked. Compare a captured step
with captured steps; eager ones stand beside it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import gpu
from .libraries import ROOT, environment
from .workloads import models
from .workloads.base import fill_parameters, generator, tensor_of

WAYS = {
    "minigrad": "as it is",
    "minigrad+graph": "minigrad.compile: one CUDA graph",
    "torch": "eager, foreach optimizer (the default)",
    "torch+fused": "eager, fused optimizer",
    "torch+compile": "torch.compile, fused optimizer",
    "torch+graph": "one CUDA graph, capturable fused optimizer",
}
COMPARED, ROUNDS = 10, 7
TOLERANCE = {"float32": 2e-3, "tf32": 2e-2, "bf16": 5e-2}
"""Of the loss after so many steps: roundings differ, and steps spread them."""
TIME_LIMIT = 900.0


@dataclass(frozen=True)
class Training:
    """A model, its loss on a batch, and how it is computed."""

    make: Callable[[Any, bool], Any]
    loss: Callable[[Any, Any, Any, Any], Any]
    batch: Callable[[np.random.Generator, bool], list[np.ndarray]]
    precision: str = "float32"
    optimizer: str = "Adam"
    images: bool = False


# ------------------------------------------------------------------------------ models
def gpt2(lib: Any, tiny: bool) -> Any:
    """GPT-2 124M (12 layers of 768, 1024 positions), its head tied to the embedding."""
    layers, width, heads, vocab, context = (
        (2, 32, 2, 64, 16) if tiny else (12, 768, 12, 50257, 1024)
    )
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            B, T, _ = x.shape
            qkv = self.qkv(self.norm1(x)).view(B, T, 3, heads, width // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(a.transpose(1, 2).reshape(B, T, width))
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))

    class GPT2(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.position = nn.Embedding(vocab, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm = nn.LayerNorm(width)

        def forward(self, codes: Any) -> Any:
            x = self.token(codes) + self.position(lib.arange(codes.shape[1]))
            for block in self.blocks:
                x = block(x)
            return F.linear(self.norm(x), self.token.weight)

    return GPT2()


def resnet18(lib: Any, tiny: bool) -> Any:
    """ResNet-18 (He et al. 2016): (B, 3, 224, 224) -> (B, 1000)."""
    nn, Block, first = lib.nn, models.residual_block(lib), 8 if tiny else 64
    layers: list[Any] = [nn.Conv2d(3, first, 7, stride=2, padding=3, bias=False)]
    layers += [nn.BatchNorm2d(first), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)]
    width = first
    for stage in range(1 if tiny else 4):
        out = first << stage
        layers += [Block(width, out, 1 if stage == 0 else 2), Block(out, out, 1)]
        width = out
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10 if tiny else 1000)]
    return nn.Sequential(*layers)


def classified(lib: Any, model: Any, x: Any, classes: Any) -> Any:
    return lib.nn.functional.cross_entropy(model(x), classes)


def next_token(lib: Any, model: Any, codes: Any, later: Any) -> Any:
    logits = model(codes)
    return lib.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), later.view(-1))


def squared(lib: Any, model: Any, x: Any, y: Any) -> Any:
    return lib.nn.functional.mse_loss(model(x), y)


def _tokens(rng: np.random.Generator, tiny: bool) -> list[np.ndarray]:
    codes = rng.integers(0, 64 if tiny else 50257, (2, 9) if tiny else (8, 1025))
    return [np.ascontiguousarray(codes[:, :-1]), np.ascontiguousarray(codes[:, 1:])]


def _floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _pictures(rng: np.random.Generator, tiny: bool) -> list[np.ndarray]:
    n, size, classes = (2, 32, 10) if tiny else (64, 224, 1000)
    return [_floats(rng, n, 3, size, size), rng.integers(0, classes, n)]


def _noise(rng: np.random.Generator, tiny: bool) -> list[np.ndarray]:
    shape = (2, 3, 16, 16) if tiny else (32, 3, 64, 64)
    return [_floats(rng, *shape), _floats(rng, *shape)]


TRAININGS = {
    "gpt2-bf16": Training(gpt2, next_token, _tokens, "bf16", "AdamW"),
    "gpt2-tf32": Training(gpt2, next_token, _tokens, "tf32", "AdamW"),
    "resnet18": Training(resnet18, classified, _pictures, "bf16", "SGD", images=True),
    "u-net": Training(lambda lib, tiny: models.unet(lib), squared, _noise, "tf32", images=True),
    "mnist-mlp": Training(
        lambda lib, tiny: models.mlp(lib), classified,
        lambda rng, tiny: [_floats(rng, 128, 784), rng.integers(0, 10, 128)],
    ),
    "rl-mlp": Training(
        lambda lib, tiny: models.policy(lib), squared,
        lambda rng, tiny: [_floats(rng, 64, 4), _floats(rng, 64, 2)],
    ),
}  # fmt: skip


# ------------------------------------------------------------------------------ one way
def build(name: str, way: str, tiny: bool = False) -> tuple[Any, Callable[[], Any]]:
    """The library, and a step that gives its loss."""
    module, _, how = way.partition("+")
    lib, training = importlib.import_module(module), TRAININGS[name]
    gpu.choose(lib, "cuda")
    lib.set_float32_matmul_precision("highest" if training.precision == "float32" else "high")
    rng = generator(name)
    model = training.make(lib, tiny)
    fill_parameters(lib, model, rng)
    batch = [tensor_of(lib, x) for x in training.batch(rng, tiny)]
    if module == "torch" and training.images:  # what its users do; printed with the flags
        model = model.to(memory_format=lib.channels_last)
        batch = [x.to(memory_format=lib.channels_last) if x.dim() == 4 else x for x in batch]
        lib.backends.cudnn.benchmark = True
    options: dict[str, Any] = {"lr": 1e-3}
    if how in ("fused", "compile", "graph") and module == "torch":
        options["fused"] = True
    if how == "graph" and module == "torch" and training.optimizer != "SGD":
        options["capturable"] = True
    optimizer = getattr(lib.optim, training.optimizer)(model.parameters(), **options)

    def loss_of(*batch: Any) -> Any:
        if training.precision == "bf16":
            with lib.autocast("cuda", dtype=lib.bfloat16):
                return training.loss(lib, model, *batch)
        return training.loss(lib, model, *batch)

    def step(*batch: Any) -> Any:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(*batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    if way == "minigrad+graph":
        captured = lib.compile(step, fullgraph=True)
        return lib, lambda: captured(*batch)
    if way == "torch+compile":
        loss_of = lib.compile(loss_of)
    if way == "torch+graph":
        return lib, _torch_graph(lib, lambda: step(*batch))
    return lib, lambda: step(*batch)


def _torch_graph(lib: Any, step: Callable[[], Any]) -> Callable[[], Any]:
    """PyTorch's recipe: warm up on a side stream, capture, replay. The warm-up trains as well, so
    that losses are compared after as many steps.
    """
    done = 0
    graph: Any = None
    loss: Any = None

    def run() -> Any:
        nonlocal done, graph, loss
        done += 1
        if done <= 3:
            side = lib.cuda.Stream()
            side.wait_stream(lib.cuda.current_stream())
            with lib.cuda.stream(side):
                found = step()
            lib.cuda.current_stream().wait_stream(side)
            return found
        if graph is None:
            graph = lib.cuda.CUDAGraph()
            with lib.cuda.graph(graph):
                loss = step()
        graph.replay()
        return loss

    return run


def measure(name: str, way: str, tiny: bool = False, budget: float = 1.0) -> dict[str, Any]:
    """Milliseconds, memory and the loss of one model trained in one way."""
    lib, run = build(name, way, tiny)
    loss = float("nan")
    for _ in range(COMPARED):
        loss = float(run())
    lib.cuda.synchronize()
    lib.cuda.reset_peak_memory_stats()
    calls = 1
    while (spent := gpu.milliseconds(lib, [run], calls)) < 1e3 * budget / 20:
        calls *= 2
    samples = [gpu.milliseconds(lib, [run], calls) / calls for _ in range(ROUNDS)]
    start = time.perf_counter()
    for _ in range(calls):
        run()
    host = 1e3 * (time.perf_counter() - start) / calls
    lib.cuda.synchronize()
    return {
        "ms": float(np.median(samples)),
        "least": min(samples),
        "host": host,
        "memory": lib.cuda.max_memory_allocated(),
        "loss": loss,
        "flags": {**gpu.flags(lib), **_flags(name, way)},
        "calls": calls,
        "spent": spent,
    }


def _flags(name: str, way: str) -> dict[str, str]:
    training = TRAININGS[name]
    found = {"precision": training.precision, "way": WAYS[way]}
    if way.startswith("torch"):
        found["optimizers"] = "foreach" if way == "torch" else "fused"
        found["images"] = "channels_last" if training.images else "none"
    return found


# ------------------------------------------------------------------------------ all ways
def in_a_process(name: str, way: str, tiny: bool) -> dict[str, Any]:
    """`measure`, in a process that does nothing else; {"failed": why} if it cannot."""
    command = [sys.executable, "-m", "benchmarks.gpu_steps", "--one", name, way]
    try:
        done = subprocess.run(
            command + ["--tiny"] * tiny,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            env=environment(way.partition("+")[0]),
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer in {TIME_LIMIT:.0f} s"}
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        return {"failed": last[0][:200]}
    return json.loads(lines[-1])


def line(name: str, way: str, found: dict[str, Any], loss: float | None) -> str:
    """One line of the table; `loss`: the first way's, which this one should have as well."""
    if "failed" in found:
        return f"{name:<10} {way:<15} failed: {found['failed']}"
    off = abs(found["loss"] - loss) / abs(loss) if loss else 0.0
    wrong = (
        "" if off <= TOLERANCE[TRAININGS[name].precision] else f"  WRONG LOSS (off by {off:.1e})"
    )
    return (
        f"{name:<10} {way:<15} {found['ms']:9.3f} ms  least {found['least']:9.3f}  host "
        f"{found['host']:8.3f}  {found['memory'] / 2**20:9.1f} MiB  loss {found['loss']:.5f}{wrong}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_steps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", metavar="RE", default="", help="models whose name matches")
    add("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    add("--tiny", action="store_true", help="small sizes: to try the script, not to compare")
    add("--json", type=Path, metavar="FILE")
    add("--one", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if (why_not := gpu.missing()) is not None:
        print(why_not, file=sys.stderr)
        return 1
    if options.one:
        print(json.dumps(measure(*options.one, tiny=options.tiny)))
        return 0
    report: dict[str, Any] = {}
    for name in [n for n in TRAININGS if re.search(options.only, n)]:
        loss = None
        for way in options.ways:
            found = report.setdefault(name, {})[way] = in_a_process(name, way, options.tiny)
            print(line(name, way, found, loss), flush=True)
            loss = found.get("loss") if loss is None else loss
    for way in options.ways:
        flags = [found[way]["flags"] for found in report.values() if "flags" in found[way]]
        if flags:
            print(f"{way}: " + ", ".join([f"{key} {value}" for key, value in flags[0].items()]))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
