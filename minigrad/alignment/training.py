"""What every training loop shares: the optimizer's step, the order of rows, metrics, checkpoints.

run = Training(model, config, rows=len(examples))
for step in run:                          # goes on where an interrupted run stopped
    for part in run.parts(step):          # accumulation: the step's rows in pieces
        loss = ...                        # of examples[i] for i in part
        run.backward(loss)
    run.update(loss=...)                  # clip, step, schedule, log, save
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import nn, optim
from ..amp.autocast_mode import autocast
from ..core.tensor import Tensor
from ..export import export
from ..io.checkpoint import load, save
from ..ops.random import get_rng_state, set_rng_state

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.jsonl"


@export("alignment.TrainConfig")
@dataclass
class TrainConfig:
    """What all trainers have in common."""

    steps: int = 100
    batch_size: int = 16
    """Rows of an optimizer step."""
    accumulation: int = 1
    """Pieces in which a step's rows are computed: time for memory, with equal gradients. Losses
    that look across a batch (DPO's aot and sft, KTO's KL) look across a piece.
    """
    lr: float = 1e-4
    warmup_steps: int = 0
    schedule: str = "linear"
    """After the warm-up: "linear" or "cosine" down to zero, or "constant"."""
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float | None = 1.0
    max_length: int = 512
    """Tokens of prompt and completion together."""
    seed: int = 0
    out: str | None = None
    """A folder for metrics and checkpoints; None keeps both out of the file system."""
    save_every: int = 0
    resume: bool = True
    bf16: bool | None = None
    """Mixed precision; None uses it where the model is on a GPU."""
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.accumulation > self.batch_size:
            raise ValueError(
                f"accumulation={self.accumulation} is more than batch_size={self.batch_size}"
            )
        if self.schedule not in ("linear", "cosine", "constant"):
            raise ValueError(f"schedule must be linear, cosine or constant; got {self.schedule!r}")


def rate(step: int, config: TrainConfig) -> float:
    """The learning rate's factor: up linearly over the warm-up, then as the schedule says."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return 1.0
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


@dataclass
class Training:
    """One run: see the head of this file. `extra` are further modules that learn (a value model),
    `state` numbers to be kept in checkpoints (a KL coefficient).
    """

    model: Any
    config: TrainConfig
    rows: int
    name: str = "train"
    extra: dict[str, Any] = field(default_factory=dict)
    state: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    step: int = 0
    resumed: int = 0
    """The step that a checkpoint was read at; 0 if there was none."""

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"{self.name}: no rows to train on")
        every = [p for m in (self.model, *self.extra.values()) for p in m.parameters()]
        self.learning = [p for p in every if p.requires_grad]
        if not self.learning:
            raise ValueError(f"{self.name}: no parameter of the model requires a gradient")
        plain = [p for p in self.learning if p.dim() < 2]  # biases and norms do not decay
        decayed = [p for p in self.learning if p.dim() >= 2]
        groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = optim.AdamW(
            [group for group in groups if group["params"]],
            lr=self.config.lr, betas=self.config.betas, weight_decay=self.config.weight_decay,
        )  # fmt: skip
        self.device = self.learning[0].device
        self.folder = None if self.config.out is None else Path(self.config.out)
        self.started = time.perf_counter()
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._resume()

    # ------------------------------------------------------------------------ the loop
    def __iter__(self) -> Iterator[int]:
        from tqdm import tqdm

        self.model.train()
        steps = range(self.step, self.config.steps)
        bar = tqdm(
            steps, desc=self.name, initial=self.step, total=self.config.steps,
            disable=not self.config.progress, unit="step",
        )  # fmt: skip
        for step in bar:
            yield step
            if self.history:
                shown = list(self.history[-1].items())[1:4]
                bar.set_postfix({key: f"{value:.3g}" for key, value in shown})
        if self.folder and self.step:
            self.save()

    def indices(self, step: int, count: int | None = None) -> list[int]:
        """The rows of a step, `batch_size` unless given: every row once an epoch, in an order that
        the seed fixes.
        """
        count = count or self.config.batch_size
        found = []
        for place in range(step * count, (step + 1) * count):
            epoch, i = divmod(place, self.rows)
            found.append(int(self._order(epoch)[i]))
        return found

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.config.seed, epoch]).permutation(self.rows)

    def parts(self, step: int) -> list[list[int]]:
        """The step's rows in `accumulation` pieces."""
        chosen = np.array(self.indices(step))
        return [part.tolist() for part in np.array_split(chosen, self.config.accumulation)]

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 where that is wanted: by default on a GPU alone."""
        on_gpu = self.device.type == "cuda"
        if self.config.bf16 or (self.config.bf16 is None and on_gpu):
            from ..backend.dtypes import bfloat16

            return autocast(self.device.type, dtype=bfloat16)
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a piece; its loss is already a share of the step's."""
        loss.backward()

    def update(self, **metrics: float) -> None:
        """`optimize`, then `advance`: for loops with one optimizer step a step."""
        norm = self.optimize()
        self.advance(**metrics, grad_norm=norm, lr=self.optimizer.param_groups[0]["lr"])

    def optimize(self) -> float:
        """Clip the gradient, take the optimizer's step; the gradient's norm before.

        FloatingPointError for a gradient that is not finite: nothing is learnt from it.
        """
        limit = self.config.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.learning, math.inf if limit is None else limit).item()
        if not math.isfinite(norm):
            raise FloatingPointError(f"{self.name}: the gradient at step {self.step} is {norm}")
        factor = rate(self.step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.lr * factor
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def advance(self, **metrics: float) -> None:
        """End the step: note the metrics, save if it is time."""
        self.note(**metrics)
        self.step += 1
        if self.folder and self.config.save_every and self.step % self.config.save_every == 0:
            self.save()

    def note(self, **metrics: float) -> None:
        """Add a line to metrics.jsonl and to `history`."""
        line: dict[str, float] = {"step": self.step, **metrics}
        line["seconds"] = round(time.perf_counter() - self.started, 3)
        self.history.append(line)
        if self.folder:
            with (self.folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    # ------------------------------------------------------------------------ checkpoints
    def _identity(self) -> dict[str, Any]:
        """What a run and its continuation must agree on, as JSON gives it back."""
        values = {**asdict(self.config), "rows": self.rows}
        for name in ("out", "save_every", "resume", "progress"):
            del values[name]
        return json.loads(json.dumps(values))

    def save(self) -> None:
        """Write everything that the next step depends on, beside and renamed."""
        assert self.folder is not None
        save(
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "extra": {name: module.state_dict() for name, module in self.extra.items()},
                "optimizer": self.optimizer.state_dict(),
                "rng": get_rng_state(),
                "state": dict(self.state),
                "config": json.dumps(self._identity()),
            },
            self.folder / CHECKPOINT,
        )

    def _resume(self) -> None:
        """Go on from a checkpoint, if there is one; lines noted after it are cut off."""
        assert self.folder is not None
        path, metrics = self.folder / CHECKPOINT, self.folder / METRICS
        if not (self.config.resume and path.is_file()):
            metrics.unlink(missing_ok=True)
            return
        found = load(path)
        before = json.loads(found["config"])
        for key, value in self._identity().items():
            if before.get(key) != value:
                raise ValueError(
                    f"{path}: was trained with {key}={before.get(key)!r}, not {value!r}; "
                    "give another folder, or resume=False to begin anew"
                )
        self.model.load_state_dict(found["model"])
        for name, module in self.extra.items():
            module.load_state_dict(found["extra"][name])
        self.optimizer.load_state_dict(found["optimizer"])
        set_rng_state(found["rng"])
        self.state.update(found["state"])
        self.step = self.resumed = int(found["step"])
        if metrics.is_file():
            lines = [json.loads(line) for line in metrics.read_text("utf-8").splitlines()]
            self.history += [line for line in lines if line["step"] < self.step]
            metrics.write_text("".join(json.dumps(line) + "\n" for line in self.history), "utf-8")
            if self.history:
                self.started -= self.history[-1]["seconds"]


@export("alignment.plot_metrics")
def plot_metrics(source: Any, path: Any, names: list[str] | None = None) -> None:
    """A PNG with a curve for every metric of a metrics.jsonl (or a list of its lines).

    ValueError if there is none. Needs matplotlib.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = source
    if not isinstance(source, list):
        lines = [json.loads(line) for line in Path(source).read_text("utf-8").splitlines()]
    found = dict.fromkeys(key for line in lines for key in line if key not in ("step", "seconds"))
    names = names or list(found)
    if not lines or not names:
        raise ValueError("plot_metrics: no metrics")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure, table = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 2.6 * rows), squeeze=False, layout="constrained"
    )
    for axes in table.flat[len(names) :]:
        axes.axis("off")
    for axes, name in zip(table.flat, names, strict=False):
        points = [(line["step"], line[name]) for line in lines if name in line]
        axes.plot(*zip(*points, strict=True), linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
