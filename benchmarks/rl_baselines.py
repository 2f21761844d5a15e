"""DQN and PPO on CartPole against stable-baselines3: what they learn, and how fast.

    python -m benchmarks.rl_baselines ppo --python other/bin/python     ten seeds of each
    python -m benchmarks.rl_baselines dqn --seeds 2 --steps 10000       only for the speed

Both get the same hyperparameters, environment and number of seeds, one thread and a process of
their own, in turn. `--python` is an interpreter that has stable-baselines3 (and PyTorch), by
default this one. Two measures are compared over the seeds: the mean return of the training episodes
of the whole run (how soon it learns), and that of 100 greedy episodes of the last policy; by the
rank test of Mann and Whitney, and by a bootstrap interval of the difference of means.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ENV, WARM_UP = "CartPole-v1", 2048
STEPS = {"ppo": 50_000, "dqn": 50_000}
NUMBERS: dict[str, dict[str, Any]] = {
    "ppo": {
        "learning_rate": 1e-3, "n_steps": 128, "batch_size": 256, "n_epochs": 10, "gamma": 0.98,
        "gae_lambda": 0.9, "clip_range": 0.2, "ent_coef": 0.0, "vf_coef": 0.5, "max_grad_norm": 0.5,
    },
    "dqn": {
        "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000,
        "gamma": 0.99, "target_update_interval": 256, "train_freq": 256, "gradient_steps": 128,
        "exploration_fraction": 0.16, "exploration_final_eps": 0.04, "max_grad_norm": 10.0,
    },
}  # fmt: skip
"""Under the names of stable-baselines3."""
HIDDEN = {"ppo": [64, 64], "dqn": [128, 128]}
ENVS = {"ppo": 8, "dqn": 1}
OURS = {
    "n_steps": "rollout", "batch_size": "batch", "n_epochs": "epochs", "gae_lambda": "lam",
    "clip_range": "clip", "ent_coef": "entropy", "vf_coef": "value", "max_grad_norm": "max_norm",
    "buffer_size": "capacity", "target_update_interval": "target_every",
    "train_freq": "train_every", "gradient_steps": "updates", "exploration_fraction": "exploration",
    "exploration_final_eps": "epsilon",
}  # fmt: skip


def ours(name: str, seed: int, steps: int) -> dict[str, float]:
    """Train and evaluate minigrad's agent."""
    from minigrad import rl

    agent_class, options = rl.AGENTS[name]
    knobs = {OURS.get(k, k): v for k, v in NUMBERS[name].items()}
    if name == "ppo":
        knobs["value"] *= 2  # ours has ½ before the squared error
    else:
        knobs |= {"double": False, "huber": True, "anneal": False, "n_step": 1}  # as theirs
    agent = agent_class(
        options(
            env=ENV, seed=seed, total_steps=steps, envs=ENVS[name], hidden=HIDDEN[name], **knobs
        )
    )
    agent.envs.reset()
    returns = agent.envs.finished
    while agent.steps < WARM_UP:
        agent.iterate()
    first, start = agent.steps, time.perf_counter()
    while agent.steps < steps:
        agent.iterate()
    seconds = time.perf_counter() - start
    greedy = rl.evaluate(agent, 100, seed=50_000).mean
    training = float(np.mean([r for r, _ in returns]))
    return {"rate": (agent.steps - first) / seconds, "training": training, "greedy": greedy}


def theirs(name: str, seed: int, steps: int) -> dict[str, float]:
    """The same by stable-baselines3."""
    import torch
    from stable_baselines3 import DQN, PPO  # type: ignore[import-not-found]
    from stable_baselines3.common.callbacks import BaseCallback  # type: ignore[import-not-found]
    from stable_baselines3.common.env_util import make_vec_env  # type: ignore[import-not-found]
    from stable_baselines3.common.evaluation import (  # type: ignore[import-not-found]
        evaluate_policy,
    )

    torch.set_num_threads(1)

    class Note(BaseCallback):  # type: ignore[misc]
        """Returns of finished episodes, and when the warm-up was over."""

        def __init__(self) -> None:
            super().__init__()
            self.returns: list[float] = []
            self.first, self.start = 0, 0.0

        def _on_step(self) -> bool:
            infos = self.locals["infos"]
            self.returns += [i["episode"]["r"] for i in infos if "episode" in i]
            return True

        def _on_rollout_start(self) -> None:
            if not self.first and self.num_timesteps >= WARM_UP:
                self.first, self.start = self.num_timesteps, time.perf_counter()

    algorithm = {"ppo": PPO, "dqn": DQN}[name]
    model = algorithm(
        "MlpPolicy", make_vec_env(ENV, ENVS[name], seed=seed), seed=seed, device="cpu",
        policy_kwargs={"net_arch": HIDDEN[name]}, **NUMBERS[name],
    )  # fmt: skip
    note = Note()
    model.learn(steps, callback=note)
    seconds = time.perf_counter() - note.start
    greedy, _ = evaluate_policy(model, make_vec_env(ENV, 10, seed=50_000), n_eval_episodes=100)
    return {
        "rate": (model.num_timesteps - note.first) / seconds,
        "training": float(np.mean(note.returns)),
        "greedy": float(greedy),
    }


def measure(who: str, name: str, seed: int, steps: int, python: str) -> dict[str, float]:
    """One run in a process of its own, on one thread."""
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    command = [python, "-W", "ignore", "-m", "benchmarks.rl_baselines", name]
    command += ["--steps", str(steps), "--worker", who, str(seed)]
    answer = subprocess.run(
        command, env={**os.environ, **dict.fromkeys(threads, "1")}, cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if answer.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{answer.stderr}")
    return json.loads(answer.stdout.splitlines()[-1])


def compare(name: str, measure_name: str, a: np.ndarray, b: np.ndarray) -> None:
    """Print means, the rank test and the interval of the difference."""
    from scipy import stats

    rng = np.random.default_rng(0)
    draws = [rng.choice(x, (10_000, len(x))).mean(1) for x in (a, b)]
    low, high = np.quantile(draws[0] - draws[1], [0.025, 0.975])
    p = 1.0 if np.array_equal(a, b) else stats.mannwhitneyu(a, b).pvalue
    print(
        f"{name} {measure_name:9} {a.mean():8.1f} {b.mean():8.1f}   difference "
        f"[{low:.1f}, {high:.1f}], Mann-Whitney p = {p:.2g}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("agent", choices=[*NUMBERS])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=0, help="of the environment, each run")
    parser.add_argument("--python", default=sys.executable, help="for stable-baselines3")
    parser.add_argument("--json", type=Path, help="keep the figures there; goes on with a file")
    parser.add_argument("--worker", nargs=2, metavar=("WHO", "SEED"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    steps = args.steps or STEPS[args.agent]
    if args.worker:
        who, seed = args.worker
        run = {"minigrad": ours, "stable-baselines3": theirs}[who]
        print(json.dumps(run(args.agent, int(seed), steps)))
        return
    rows: dict[str, list[dict[str, float]]] = {"minigrad": [], "stable-baselines3": []}
    if args.json and args.json.exists():
        rows = json.loads(args.json.read_text())
    for seed in range(1, args.seeds + 1):
        for who, found in rows.items():
            if len(found) >= seed:
                continue
            python = sys.executable if who == "minigrad" else args.python
            found.append(measure(who, args.agent, seed, steps, python))
            print(f"{args.agent} seed {seed} {who:17} {found[-1]}", flush=True)
            if args.json:
                args.json.parent.mkdir(parents=True, exist_ok=True)
                args.json.write_text(json.dumps(rows, indent=1))
    for what in ("training", "greedy"):
        a, b = (np.array([row[what] for row in found]) for found in rows.values())
        compare(args.agent, what, a, b)
    a, b = (np.median([row["rate"] for row in found]) for found in rows.values())
    print(f"{args.agent} steps/s   {a:8,.0f} {b:8,.0f}   ratio {a / b:.2f}")


if __name__ == "__main__":
    main()
