"""Train an agent, evaluate it, look at it:

    python -m minigrad.rl train ppo --env CartPole-v1 --seed 1 --out runs/ppo
    python -m minigrad.rl train ppo --help                  every knob of PPO
    python -m minigrad.rl evaluate runs/ppo --episodes 100
    python -m minigrad.rl watch runs/ppo                    runs/ppo/watch.gif
    python -m minigrad.rl watch runs/ppo --out film.mp4     needs ffmpeg
    python -m minigrad.rl plot runs/ppo-* --out curve.png   one band per agent

`train` with the same folder goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..io.checkpoint import load
from . import AGENTS
from .curves import curve
from .drawing import write_film
from .envs import Envs
from .presets import preset
from .training import Agent, evaluate, train

NAMES = {agent.__name__.lower(): name for name, (agent, _) in AGENTS.items()}


def yes(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise argparse.ArgumentTypeError(f"expected yes or no, got {text!r}")
    return text.lower() in ("yes", "true", "1")


def add_knobs(parser: argparse.ArgumentParser, options: type) -> None:
    """An argument for each field of an options class."""
    for f in fields(options):
        default = f.default_factory() if f.default is MISSING else f.default  # type: ignore[misc]
        flag = "--" + f.name.replace("_", "-")
        text = f"{f.metadata['help']} (default: {default})"
        kind: Callable[[str], Any] = yes if isinstance(default, bool) else type(default)
        if isinstance(default, list):
            parser.add_argument(flag, type=int, nargs="+", default=default, help=text)
        else:
            parser.add_argument(flag, type=kind, default=default, help=text)


def parser(env: str = "") -> argparse.ArgumentParser:
    """With an environment, the defaults are the presets for it."""
    main = argparse.ArgumentParser(
        prog="python -m minigrad.rl",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train an agent")
    agents = training.add_subparsers(dest="agent", required=True)
    for name, (agent, options) in AGENTS.items():
        one = agents.add_parser(name, help=str(sys.modules[agent.__module__].__doc__).split(".")[0])
        add_knobs(one, options)
        one.set_defaults(**preset(name, env))
        one.add_argument("--out", type=Path, help="folder of the run")
        text = "steps between evaluations; 0: none (default: an eighth of the run)"
        one.add_argument("--eval-every", type=int, help=text)
        text = "end when 20 greedy episodes of an evaluation have this mean"
        one.add_argument("--stop-at", type=float, default=math.inf, help=text)
        one.add_argument("--save-every", type=int, default=0, help="steps between checkpoints")
        one.add_argument("--quiet", action="store_true", help="no progress bar")
    texts = {"evaluate": "play greedily, print the mean", "watch": "make a GIF or an MP4"}
    for name, text in texts.items():
        one = commands.add_parser(name, help=text)
        one.add_argument("run", type=Path, help="folder of a run")
        one.add_argument("--last", action="store_true", help="the last policy, not the best one")
        one.add_argument("--seed", type=int, default=10_000)
        one.add_argument("--quiet", action="store_true", help="no progress bar")
        if name == "evaluate":
            one.add_argument("--episodes", type=int, default=100)
        else:
            one.add_argument("--out", type=Path, help="a .gif or .mp4; watch.gif in the folder")
            one.add_argument("--steps", type=int, default=500, help="frames at most")
    plots = commands.add_parser("plot", help="learning curves of several runs")
    plots.add_argument("runs", type=Path, nargs="+", help="folders; equal agents share a band")
    plots.add_argument("--out", type=Path, default=Path("curve.png"))
    plots.add_argument("--title", default="")
    plots.add_argument("--greedy", action="store_true", help="evaluations, not training episodes")
    return main


def restored(run: Path, last: bool) -> Agent:
    """The agent of a folder. FileNotFoundError if there is none."""
    if not (run / "options.json").exists():
        raise FileNotFoundError(f"{run} holds no run: options.json is missing")
    saved = json.loads((run / "options.json").read_text(encoding="utf-8"))
    agent_class, options_class = AGENTS[NAMES[saved.pop("agent")]]
    agent = agent_class(options_class(**saved))
    best = run / "best.safetensors"
    file = best if best.exists() and not last else run / "checkpoint.safetensors"
    state: Any = load(file)
    agent.load_policy(state["agent"])
    return agent


def watch(agent: Agent, path: Path, seed: int, steps: int, progress: bool = False) -> float:
    """One greedy episode as a GIF or MP4; its return."""
    envs = Envs(agent.options.env, 1, seed=seed, options={"render_mode": "rgb_array"})
    obs = envs.reset()
    frames, total = [envs.envs[0].render()], 0.0
    for _ in tqdm(range(steps), disable=not progress, unit=" frames", desc="episode"):
        step = envs.step_some(agent.act(obs), None)
        total += float(step.reward[0])
        if step.ends[0]:
            break
        obs = step.obs
        frames.append(envs.envs[0].render())
    fps = envs.envs[0].metadata.get("render_fps") or 30
    envs.close()
    write_film(path, frames, seconds=1 / fps)
    return total


def log_of(run: Path) -> list[dict[str, float]]:
    with open(run / "log.csv", newline="", encoding="utf-8") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def main(argv: Sequence[str] | None = None) -> None:
    args = parser().parse_args(argv)
    if args.command == "train":
        args = parser(args.env).parse_args(argv)
        agent_class, options_class = AGENTS[args.agent]
        knobs = {f.name: getattr(args, f.name) for f in fields(options_class)}
        agent = agent_class(options_class(**knobs))
        every = args.total_steps // 8 if args.eval_every is None else args.eval_every
        train(
            agent, args.out, progress=not args.quiet, eval_every=every, save_every=args.save_every,
            stop_at=args.stop_at,
        )  # fmt: skip
        print(f"{args.agent} after {agent.steps} steps: {evaluate(agent, 20)} greedy episodes")
    elif args.command == "evaluate":
        agent = restored(args.run, args.last)
        print(evaluate(agent, args.episodes, seed=args.seed, progress=not args.quiet))
    elif args.command == "watch":
        path = args.out or args.run / "watch.gif"
        agent = restored(args.run, args.last)
        total = watch(agent, path, args.seed, args.steps, progress=not args.quiet)
        print(f"{path}: return {total:.1f} in at most {args.steps} steps")
    else:
        runs: dict[str, list[Any]] = defaultdict(list)
        for run in args.runs:
            saved = json.loads((run / "options.json").read_text(encoding="utf-8"))
            runs[saved["agent"].upper()].append(log_of(run))
        column = "evaluation" if args.greedy else "return"
        curve(runs, args.out, column=column, title=args.title)
        print(args.out)


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ImportError, ValueError, TypeError) as error:
        sys.exit(f"python -m minigrad.rl: {error}")
