"""How the experiment's results are shown: the reward-KL frontier as a picture and as a table."""

from __future__ import annotations

from typing import Any


def plot_frontier(results: dict[str, Any], path: Any) -> None:
    """True reward over KL, a line for each β along its training, both algorithms; and over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    start = results["start"]
    for name, color, marker in (("dpo", "tab:blue", "o"), ("ppo", "tab:orange", "s")):
        for i, run in enumerate(results[name]):
            shade = 0.45 + 0.55 * i / max(len(results[name]) - 1, 1)
            label = f"{name.upper()} β={run['beta']:g}"
            style = {"color": color, "alpha": shade, "marker": marker, "label": label}
            kl = [start["kl"], *(p["kl"] for p in run["points"])]
            reward = [start["reward"], *(p["reward"] for p in run["points"])]
            extra = results["reward_model"]["seconds"] if name == "ppo" else 0.0
            seconds = [0.0, *(p["seconds"] + extra for p in run["points"])]
            left.plot(kl, reward, **style)
            right.plot(seconds, reward, **style)
    left.set(xlabel="KL(π‖π_SFT) per answer, nats", ylabel="true reward", title="reward and KL")
    right.set(
        xlabel="processor seconds of training (PPO: its reward model included)",
        title="reward and time",
    )
    left.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def report(results: dict[str, Any]) -> str:
    """The comparison as a table."""
    start = results["start"]
    lines = [
        f"SFT: {results['sft']['loss']:.3f} nats a token; reward {start['reward']:+.3f}, "
        f"{start['tokens']:.1f} tokens an answer, {start['ended']:.0%} end",
        f"{results['pairs']['train']} pairs, {results['pairs']['held_out']} held out; reward model "
        f"{results['reward_model']['held_out']['accuracy']:.1%} right on these",
        f"{'':5}{'beta':>6}{'reward':>9}{'KL':>8}{'accuracy':>10}{'seconds':>9}",
    ]
    for name in ("dpo", "ppo"):
        for run in results[name]:
            last = run["points"][-1]
            extra = results["reward_model"]["seconds"] if name == "ppo" else 0.0
            lines.append(
                f"{name.upper():5}{run['beta']:>6g}{last['reward']:>+9.3f}{last['kl']:>8.2f}"
                f"{run['held_out']['accuracy']:>10.1%}{last['seconds'] + extra:>9.1f}"
            )
    return "\n".join(lines)
