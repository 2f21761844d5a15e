"""What all agents share around their algorithm: options, captured steps, checkpoints, evaluation,
the loop with its progress bar.

An agent is a file: its options (a dataclass, every knob with a sentence), its networks, `act`, and
`iterate`: collect some steps, learn from them. `train` calls `iterate` until the steps are spent.

A checkpoint holds networks, optimizers, memories, random generators, moments and the environments'
journals: a run that goes on from it makes the same steps as one that was never interrupted, to the
last bit. For this each captured step is run a few times on made-up data before training, and
everything put back: from the first real call on, fresh and resumed runs both replay.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ..backend import random
from ..compiler.captured import compile as capture
from ..core.modes import no_grad
from ..core.tensor import Tensor
from ..export import export
from ..io.checkpoint import load as load_file
from ..io.checkpoint import save as save_file
from ..nn.module import Module
from ..ops.data import from_numpy
from ..optim.optimizer import Optimizer
from .curves import curve
from .envs import Envs, Normaliser, generator_state, set_generator_state

ndarray = np.ndarray


def knob(default: Any, text: str) -> Any:
    """A field of an options class: its default, and a sentence that the command line shows."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class Options:
    """The knobs that every agent has."""

    env: str = knob("CartPole-v1", "a name known to gymnasium")
    seed: int = knob(1, "of networks, environments, actions and batches")
    total_steps: int = knob(100_000, "steps of all environments together")
    envs: int = knob(1, "environments stepped together")
    gamma: float = knob(0.99, "discount")
    learning_rate: float = knob(3e-4, "of Adam")
    anneal: bool = knob(False, "learning rates fall linearly to 0 over the run")
    hidden: list[int] = knob([64, 64], "widths of the hidden layers")
    normalise_obs: bool = knob(False, "observations to mean 0 and variance 1")
    normalise_reward: bool = knob(False, "rewards divided by the deviation of the return")


class Agent:
    """The base of all agents; `parts` names what a checkpoint holds beside the common state."""

    options: Any

    def __init__(self, options: Any, envs: Envs | None = None) -> None:
        self.options = options
        self.envs = envs or Envs(options.env, options.envs, seed=options.seed)
        random.manual_seed(options.seed)
        self.rng = np.random.default_rng(options.seed)
        self.normaliser = Normaliser(
            self.envs.obs_size, self.envs.n, options.gamma,
            obs=options.normalise_obs, reward=options.normalise_reward,
        )  # fmt: skip
        self.steps = self.updates = 0
        self.metrics: dict[str, float] = {}
        self.parts: dict[str, Any] = {}

    def act(self, obs: ndarray, *, greedy: bool = True) -> ndarray:
        """Actions for observations as the environment gives them, (B, D)."""
        raise NotImplementedError

    def iterate(self) -> None:
        """Collect some steps and learn from them."""
        raise NotImplementedError

    def anneal(self) -> None:
        """Set the learning rates of this point of the run, if they are to fall."""
        if not self.options.anneal:
            return
        left = max(1 - self.steps / self.options.total_steps, 0.0)
        for part in self.parts.values():
            if isinstance(part, Optimizer):
                for group in part.param_groups:
                    group["lr"] = group.setdefault("initial_lr", group["lr"]) * left

    # ------------------------------------------------------------------------- captured steps
    def settle(self, step: Callable, *shapes: Any) -> Callable[..., tuple[ndarray, ...]]:
        """`step`, a function of tensors, captured: a function of arrays that gives arrays.

        shapes: of each argument, or (shape, highest integer) for actions. The step is run on random
        numbers until it replays; then all modules and optimizers among `parts` are put back.
        """
        rng = np.random.default_rng(0)
        run = Captured(step)
        state = [t for part in self.parts.values() for t in _tensors(part)]
        before = [t._data.copy() for t in state]
        for _ in range(4):
            run(*[_example(rng, shape) for shape in shapes])
        for tensor, value in zip(state, before, strict=True):
            tensor._data[...] = value
        for part in self.parts.values():
            if isinstance(part, Optimizer):
                for tensor in _slots(part):
                    tensor._data[...] = 0
        return run

    def infer(self, function: Callable, *shapes: Any) -> Callable[..., tuple[ndarray, ...]]:
        """As `settle`, for a function without gradients."""

        def forward(*args: Any) -> Any:
            with no_grad():
                return function(*args)

        return self.settle(forward, *shapes)

    # ------------------------------------------------------------------------- checkpoints
    def state_dict(self) -> dict[str, Any]:
        """Everything that the further run depends on."""
        return {
            "steps": self.steps,
            "updates": self.updates,
            "rng": generator_state(self.rng),
            "default": random.default_generator.get_state(),
            "envs": self.envs.state_dict(),
            "normaliser": self.normaliser.state_dict(),
            "parts": {name: _state(part) for name, part in self.parts.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; written into the memory that captured steps know."""
        self.steps, self.updates = int(state["steps"]), int(state["updates"])
        set_generator_state(self.rng, state["rng"])
        random.default_generator.set_state(np.asarray(state["default"]))
        self.envs.load_state_dict(state["envs"])
        self.load_policy(state)
        for name, part in self.parts.items():
            if not isinstance(part, Module):
                _restore(part, state["parts"][name])

    def load_policy(self, state: dict[str, Any]) -> None:
        """Only what `act` needs: networks and the moments of the observations."""
        self.normaliser.load_state_dict(state["normaliser"])
        for name, part in self.parts.items():
            if isinstance(part, Module):
                part.load_state_dict(state["parts"][name])


class Captured:
    """A captured function of arrays: tensors in, tensors out, arrays to the caller."""

    def __init__(self, function: Callable) -> None:
        self.run = capture(function)

    def __call__(self, *args: ndarray) -> tuple[ndarray, ...]:
        result = self.run(*[from_numpy(x) for x in args])
        if isinstance(result, Tensor):
            return (result._data,)
        return tuple([x._data for x in result])


def _example(rng: np.random.Generator, shape: Any) -> ndarray:
    if len(shape) == 2 and isinstance(shape[0], tuple):
        return rng.integers(shape[1], size=shape[0])
    return rng.standard_normal(shape).astype(np.float32)


def _tensors(part: Any) -> list[Tensor]:
    if isinstance(part, Module):
        return [*part.parameters(), *part.buffers()]
    return []


def _slots(optimizer: Optimizer) -> list[Tensor]:
    """The tensors of an optimizer's state, in the order of its parameters."""
    order = [p for group in optimizer.param_groups for p in group["params"]]
    found = [optimizer.state[p] for p in order if p in optimizer.state]
    return [s[key] for s in found for key in sorted(s) if isinstance(s[key], Tensor)]


def _state(part: Any) -> Any:
    if isinstance(part, Optimizer):
        return [t.detach() for t in _slots(part)]
    return part.state_dict()


def _restore(part: Any, state: Any) -> None:
    if isinstance(part, Optimizer):
        for tensor, value in zip(_slots(part), state, strict=True):
            tensor._data[...] = np.asarray(value)
    else:
        part.load_state_dict(state)


# ------------------------------------------------------------------------------ evaluation
@export("rl.Evaluation")
class Evaluation(NamedTuple):
    """Returns of greedy episodes: their mean, its 95 % interval (Student's t), all of them."""

    mean: float
    low: float
    high: float
    returns: ndarray

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}] over {len(self.returns)}"


@export("rl.evaluate")
def evaluate(
    agent: Agent,
    episodes: int = 100,
    *,
    seed: int = 10_000,
    limit: int = 100_000,
    progress: bool = False,
) -> Evaluation:
    """Play `episodes` greedy episodes, each in an environment of its own, without learning.

    RuntimeError if an episode does not end within `limit` steps.
    """
    envs = Envs(agent.options.env, episodes, seed=seed)
    envs.reset()
    returns, going = np.zeros(episodes), np.ones(episodes, bool)
    with tqdm(total=episodes, disable=not progress, unit=" episodes", desc="evaluation") as bar:
        for _ in range(limit):
            if not going.any():
                break
            actions = agent.act(envs.obs, greedy=True)
            step = envs.step_some(actions, going)
            returns += np.where(going, step.reward, 0)
            bar.update(int((going & step.ends).sum()))
            going &= ~step.ends
    envs.close()
    if going.any():
        raise RuntimeError(f"evaluate: {going.sum()} episodes did not end within {limit} steps")
    return confidence(returns)


def confidence(returns: ndarray) -> Evaluation:
    """Mean and its 95 % interval by Student's t."""
    from scipy import stats

    n, mean = len(returns), float(returns.mean())
    if n < 2:
        return Evaluation(mean, float("-inf"), float("inf"), returns)
    half = float(stats.t.ppf(0.975, n - 1) * returns.std(ddof=1) / np.sqrt(n))
    return Evaluation(mean, mean - half, mean + half, returns)


# ------------------------------------------------------------------------------ the loop
@export("rl.train")
def train(
    agent: Agent,
    out: Any = None,
    *,
    progress: bool = True,
    eval_every: int = 0,
    eval_episodes: int = 20,
    save_every: int = 0,
    log_every: int = 2_000,
    until: int | None = None,
    stop_at: float = np.inf,
) -> list[dict[str, float]]:
    """Train until `total_steps` (or `until`), or until the mean of an evaluation is at least
    `stop_at`; return the log: one row every `log_every` steps.

    With `out`, a folder: options.json, log.csv, checkpoint.safetensors (every `save_every` steps
    and at the end), best.safetensors (the best of the evaluations), curve.png. A folder that holds
    a checkpoint is gone on with.
    """
    run = Run(agent, None if out is None else Path(out))
    total = agent.options.total_steps if until is None else until
    bar = tqdm(
        total=total, initial=agent.steps, disable=not progress, unit=" steps", unit_scale=True,
        desc=f"{type(agent).__name__} {agent.options.env}",
    )  # fmt: skip
    marks = {"log": log_every, "eval": eval_every, "save": save_every}
    with bar:
        while agent.steps < total and not run.latest >= stop_at:  # nan goes on
            before = agent.steps
            agent.anneal()
            agent.iterate()
            bar.update(agent.steps - before)
            due = {k for k, n in marks.items() if n and agent.steps // n > before // n}
            if "log" in due or agent.steps >= total:
                row = run.log()
                if row and progress:
                    bar.set_postfix_str(f"return {row['return']:.1f}", refresh=False)
            if "eval" in due or (eval_every and agent.steps >= total):
                run.evaluate(eval_episodes)
                if run.latest >= stop_at:
                    run.log()  # the episodes since the last mark
            if "save" in due:
                run.save()
    run.finish()
    return run.rows


class Run:
    """The folder of a run, and its log."""

    def __init__(self, agent: Agent, out: Path | None) -> None:
        self.agent, self.out = agent, out
        self.rows: list[dict[str, float]] = []
        self.best = self.latest = -np.inf  # means of evaluations
        if out is not None and (out / "checkpoint.safetensors").exists():
            state: Any = load_file(out / "checkpoint.safetensors")
            check_options(agent, out)
            agent.load_state_dict(state["agent"])
            self.rows = [dict(row) for row in state["rows"]]
            self.best = float(state["best"])
            means = [row["evaluation"] for row in self.rows if "evaluation" in row]
            self.latest = means[-1] if means else -np.inf
        else:
            agent.envs.reset()
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                options = {"agent": type(agent).__name__.lower(), **asdict(agent.options)}
                _write(out / "options.json", json.dumps(options, indent=1))

    def log(self) -> dict[str, float] | None:
        """A row from the episodes that ended since the last one; none if there were none."""
        finished = self.agent.envs.finished
        if not finished:
            return None
        returns = np.array([r for r, _ in finished])
        row = {
            "steps": self.agent.steps,
            "episodes": len(returns),
            "return": float(returns.mean()),
            "length": float(np.mean([n for _, n in finished])),
            **{k: float(v) for k, v in self.agent.metrics.items()},
        }
        finished.clear()
        self.rows.append(row)
        return row

    def evaluate(self, episodes: int) -> None:
        result = evaluate(self.agent, episodes)
        self.latest = result.mean
        row = {"steps": self.agent.steps, "evaluation": result.mean}
        self.rows.append({**row, "low": result.low, "high": result.high})
        if result.mean >= self.best:
            self.best = result.mean
            if self.out is not None:
                self.save("best.safetensors")

    def save(self, name: str = "checkpoint.safetensors") -> None:
        if self.out is None:
            return
        state: dict[str, Any] = self.agent.state_dict()
        if name == "best.safetensors":  # a policy to look at, not to go on from
            kept = {k: _state(v) for k, v in self.agent.parts.items() if isinstance(v, Module)}
            state = {"normaliser": state["normaliser"], "steps": state["steps"], "parts": kept}
        save_file({"agent": state, "rows": self.rows, "best": float(self.best)}, self.out / name)

    def finish(self) -> None:
        if self.out is None:
            return
        self.save()
        names = list(dict.fromkeys(key for row in self.rows for key in row))
        temporary = self.out / "log.csv.part"
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        temporary.replace(self.out / "log.csv")
        try:
            curve({type(self.agent).__name__: [self.rows]}, self.out / "curve.png")
        except ImportError:  # without Matplotlib there is the table
            pass


def _write(path: Path, text: str) -> None:
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def check_options(agent: Agent, out: Path) -> None:
    """ValueError if the folder is of a run with other options (more steps are no difference)."""
    saved = json.loads((out / "options.json").read_text(encoding="utf-8"))
    now = asdict(agent.options)
    for f in fields(agent.options):
        before = saved.get(f.name, f.default)  # a knob that is newer than the run
        if f.name != "total_steps" and before != now[f.name]:
            raise ValueError(
                f"{out} holds a run with {f.name} = {before!r}, not {now[f.name]!r}: "
                "choose another folder"
            )
