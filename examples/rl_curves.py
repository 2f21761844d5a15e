"""The seeds behind docs/rl.md: its table of solved runs, and its learning curves.

    python examples/rl_curves.py ppo a2c dqn --seeds 10      CartPole-v1
    python examples/rl_curves.py sac --seeds 10              Pendulum-v1
    python examples/rl_curves.py lander --seeds 1            PPO on LunarLander-v3; needs box2d
    python examples/rl_curves.py ppo --out runs --images docs/images

Each seed has a folder, as `python -m minigrad.rl train` makes it, and is not trained again. The
last policy, and the best of eight evaluations on the way, play 100 greedy episodes that training
never saw. With `--stop-at 490` there are twenty evaluations of 100 episodes, and the first that
reaches this mean ends the run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import load, rl
from minigrad.rl.presets import preset


class Study(NamedTuple):
    """An agent, an environment, the mean return that solves it, and knobs beside the presets."""

    agent: str
    env: str
    solved: float
    knobs: dict[str, Any]


STUDIES = {
    "ppo": Study("ppo", "CartPole-v1", 475, {"total_steps": 50_000}),
    "a2c": Study("a2c", "CartPole-v1", 475, {"total_steps": 150_000}),
    "dqn": Study("dqn", "CartPole-v1", 475, {"total_steps": 50_000}),
    "sac": Study("sac", "Pendulum-v1", -200, {"total_steps": 10_000}),
    "td3": Study("td3", "Pendulum-v1", -200, {"total_steps": 10_000}),
    "lander": Study("ppo", "LunarLander-v3", 200, {}),
}
UNSEEN = 50_000  # seed of the environments that judge


def one(study: Study, seed: int, folder: Path, stop_at: float) -> dict[str, Any]:
    """Train a seed, unless its folder is finished: the returns of both policies, and the log."""
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    agent_class, options = rl.AGENTS[study.agent]
    knobs = {**preset(study.agent, study.env), **study.knobs}
    agent = agent_class(options(env=study.env, seed=seed, **knobs))
    judged = {"eval_every": agent.options.total_steps // 8, "eval_episodes": 20}
    if stop_at < np.inf:  # by as many episodes as judge it afterwards
        judged = {"eval_every": agent.options.total_steps // 20, "eval_episodes": 100}
    log = rl.train(agent, folder, **judged, save_every=judged["eval_every"], stop_at=stop_at)
    found: dict[str, Any] = {"last": rl.evaluate(agent, seed=UNSEEN).mean}
    best: Any = load(folder / "best.safetensors")
    agent.load_policy(best["agent"])
    found |= {"best": rl.evaluate(agent, seed=UNSEEN).mean, "log": log}
    result.write_text(json.dumps(found))
    return found


def row(study: Study, steps: list[int], found: list[dict[str, Any]]) -> str:
    """A row of the table: how many seeds are solved, and the returns of the last policies."""
    n, first, last = len(found), min(steps), max(steps)
    spent = f"{last:,}" if first == last else f"{first:,} - {last:,}, mean {np.mean(steps):,.0f}"
    counts = {k: sum(f[k] >= study.solved for f in found) for k in ("last", "best")}
    returns = ", ".join(f"{f['last']:.1f}" for f in found)
    return (
        f"| `{study.agent}` | {study.env} | {spent} | 1-{n} | {counts['best']} of {n} "
        f"| {counts['last']} of {n} | {returns} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("names", nargs="+", choices=STUDIES, metavar="name")
    parser.add_argument("--seeds", type=int, default=10)
    text = "end a run when 100 greedy episodes have this mean"
    parser.add_argument("--stop-at", type=float, default=np.inf, help=text)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--images", type=Path, help="folder of the curves; by default that of runs")
    args = parser.parse_args()
    stop = f"-stop{args.stop_at:g}" if args.stop_at < np.inf else ""
    print("| agent | environment | steps | seeds | best policy solves | last one | its returns |")
    for name in args.names:
        study, found = STUDIES[name], []
        for seed in range(1, args.seeds + 1):
            folder = args.out / f"{name}{stop}-{seed}"
            found.append(one(study, seed, folder, args.stop_at))
        logs = [f["log"] for f in found]
        steps = [int(log[-1]["steps"]) for log in logs]
        print(row(study, steps, found), flush=True)
        kind = study.env.split("-")[0].lower()
        picture = (args.images or args.out) / f"rl_{kind}_{study.agent}.png"
        rl.curve({study.agent.upper(): logs}, picture, title=study.env)


if __name__ == "__main__":
    main()
