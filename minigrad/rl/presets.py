"""Knobs known to work for an environment, where the defaults of an agent do not.

`python -m minigrad.rl train` starts from them; what is given on the command line still counts. The
numbers are those of RL Baselines3 Zoo (github.com/DLR-RM/rl-baselines3-zoo, `hyperparams/`), whose
LunarLander-v2 has become -v3 without a change of the task.
"""

from __future__ import annotations

from typing import Any

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    ("ppo", "LunarLander-v3"): {
        "total_steps": 1_000_000, "envs": 16, "rollout": 1024, "batch": 64, "epochs": 4,
        "learning_rate": 3e-4, "gamma": 0.999, "lam": 0.98, "entropy": 0.01, "value": 1.0,
    },
    ("dqn", "LunarLander-v3"): {
        "learning_rate": 6.3e-4, "hidden": [256, 256], "batch": 128, "capacity": 50_000,
        "total_steps": 100_000, "learning_starts": 0, "train_every": 4, "updates": 4,
        "target_every": 250, "exploration": 0.12, "epsilon": 0.1, "huber": True, "anneal": False,
        "n_step": 1,
    },
}  # fmt: skip


def preset(agent: str, env: str) -> dict[str, Any]:
    """The knobs of an agent (by its name on the command line) for an environment, or none."""
    return PRESETS.get((agent, env), {})
