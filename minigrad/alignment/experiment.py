"""DPO beside reward model + PPO, on a preference that can be checked: one command, some minutes.

    python -m minigrad.alignment.experiment --out out/alignment

A small GPT-2 reads the reference manual that Python carries (`pydoc_data.topics`): windows of its
sentences, cut anywhere. The preference: end with a full stop, be brief, leave out hedging words.
`preference_reward` says what an answer is worth; the algorithms only see which of two answers was
preferred. Then, from the same model and the same pairs,

    (a) a reward model learns the pairs, and PPO climbs it with a KL penalty,
    (b) DPO learns the policy from the pairs at once,

and both are compared on the true reward, the KL to the model they started from, and time, along
their training and over their β: the reward-KL frontier.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..backend.random import manual_seed
from ..core.modes import no_grad
from ..models.gpt2 import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel
from ..models.pretrained import save_pretrained, write_text
from ..models.tokenizer import Tokenizer
from ..ops.random import get_rng_state, set_rng_state
from .dpo import DPOConfig, evaluate_dpo, train_dpo
from .ppo import PPOConfig, train_ppo
from .reward import RewardConfig, evaluate_reward, reward_function, train_reward
from .rollout import measure_policy, sample_answers
from .sft import SFTConfig, evaluate_sft, train_sft
from .training import Training, plot_metrics

HEDGES = frozenset(
    "may might could should can would usually generally normally typically often possibly".split()
)
BRIEF = 8  # words


def preference_reward(prompts: Sequence[str], answers: Sequence[str]) -> list[float]:
    """What an answer is worth: 1 for a full stop at its end, −0.05 for each word more or fewer than
    eight, −0.5 for each hedging word; never less than −2.
    """
    found = []
    for answer in answers:
        words = re.findall(r"[A-Za-z']+", answer)
        hedges = sum(word.lower() in HEDGES for word in words)
        worth = float(answer.rstrip().endswith(".")) - 0.05 * abs(len(words) - BRIEF) - 0.5 * hedges
        found.append(max(worth, -2.0))
    return found


@dataclass
class Experiment:
    """Sizes; the defaults take some minutes on two cores. `small()` is for a look and for tests."""

    seed: int = 0
    vocab: int = 512
    width: int = 96
    layers: int = 3
    heads: int = 4
    sft_steps: int = 700
    pairs: int = 1200
    held_out: int = 300
    reward_steps: int = 150
    dpo_steps: int = 150
    ppo_steps: int = 40
    dpo_betas: tuple[float, ...] = (0.05, 0.1, 0.3)
    ppo_betas: tuple[float, ...] = (0.02, 0.05, 0.15)
    max_new_tokens: int = 40
    looks: int = 3
    """How often each run is measured along its way."""
    asked: int = 192
    """Answers that each measurement draws."""

    @classmethod
    def small(cls) -> Experiment:
        return cls(
            vocab=300, width=32, layers=1, heads=2, sft_steps=120, pairs=24, held_out=8,
            reward_steps=3, dpo_steps=3, ppo_steps=1, dpo_betas=(0.1,), ppo_betas=(0.05,),
            looks=1, asked=8,
        )  # fmt: skip


# ---------------------------------------------------------------------------- text and pairs
def sentences() -> list[str]:
    """Sentences of the language reference, without headings, code and tables."""
    from pydoc_data.topics import topics

    found = []
    for topic in topics.values():
        for paragraph in topic.split("\n\n"):
            lines = paragraph.splitlines()
            if any(line.startswith("   ") or re.match(r"[*=\-^+|]{3}", line) for line in lines):
                continue
            text = re.sub(r"\s+", " ", " ".join(lines)).strip()
            found += [s for s in re.split(r"(?<=\.)\s+", text) if 5 <= len(s.split()) <= 40]
    return found


def windows(text: Sequence[str], count: int, seed: int) -> list[tuple[str, str]]:
    """(prompt, continuation): the first words of a sentence, and what follows, cut after 4 to 24
    words, so that half of them do not end where the sentence does.
    """
    rng, found = random.Random(seed), []
    while len(found) < count:
        words = text[rng.randrange(len(text))].split()
        prompt = rng.randint(2, 4)
        rest = words[prompt : prompt + rng.randint(4, 24)]
        if len(rest) >= 2:
            found.append((" ".join(words[:prompt]), " " + " ".join(rest)))
    return found


def draw_pairs(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[str], max_new_tokens: int
) -> list[dict[str, Any]]:
    """Two answers of the model to each prompt, the better one first; ties are left out."""
    pairs = []
    for i in range(0, len(prompts), 64):
        some = list(prompts[i : i + 64])
        with no_grad():
            rollout = sample_answers(model, tokenizer, some * 2, max_new_tokens)
        worth = preference_reward(rollout.prompts, rollout.answers)
        n = len(some)
        for j, prompt in enumerate(some):
            a, b = (worth[j], rollout.answers[j]), (worth[n + j], rollout.answers[n + j])
            whole = rollout.ended[j] and rollout.ended[n + j]
            if whole and a[1] and b[1] and abs(a[0] - b[0]) > 0.1:
                better, worse = (a, b) if a[0] > b[0] else (b, a)
                pairs.append({"prompt": prompt, "chosen": better[1], "rejected": worse[1]})
    return pairs


# ---------------------------------------------------------------------------- the stages
@dataclass
class Stage:
    """What the comparison starts from."""

    tokenizer: Tokenizer
    model: Any
    pairs: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    prompts: list[dict[str, str]]
    asked: list[str]
    numbers: dict[str, Any]


def prepare(sizes: Experiment, progress: bool) -> Stage:
    """Text, tokenizer, the SFT model, preference pairs."""
    manual_seed(sizes.seed)
    text = sentences()
    random.Random(sizes.seed).shuffle(text)
    cut = len(text) * 9 // 10
    train_text, test_text = text[:cut], text[cut:]
    tokenizer = Tokenizer.train_bpe(train_text, sizes.vocab)
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=128, n_embd=sizes.width,
        n_layer=sizes.layers, n_head=sizes.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    rows = [{"text": a + b} for a, b in windows(train_text, 16 * sizes.sft_steps, sizes.seed)]
    started = time.perf_counter()
    train_sft(
        model, tokenizer, rows,
        SFTConfig(steps=sizes.sft_steps, batch_size=16, lr=2e-3, warmup_steps=20, max_length=96,
                  weight_decay=0.1, schedule="cosine", progress=progress),
    )  # fmt: skip
    seconds = time.perf_counter() - started
    model.eval()
    held = [{"text": a + b} for a, b in windows(test_text, 200, sizes.seed + 1)]
    numbers = {"sft": {**evaluate_sft(model, tokenizer, held, 96), "seconds": seconds}}
    started = time.perf_counter()
    need = [a for a, _ in windows(train_text, 3 * sizes.pairs, sizes.seed + 2)]
    pairs = draw_pairs(model, tokenizer, need, sizes.max_new_tokens)[: sizes.pairs]
    need = [a for a, _ in windows(test_text, 3 * sizes.held_out, sizes.seed + 3)]
    held_out = draw_pairs(model, tokenizer, need, sizes.max_new_tokens)[: sizes.held_out]
    numbers["pairs"] = {
        "train": len(pairs), "held_out": len(held_out), "seconds": time.perf_counter() - started,
    }  # fmt: skip
    asked = [a for a, _ in windows(test_text, sizes.asked, sizes.seed + 4)]
    prompts = [{"prompt": row["prompt"]} for row in pairs]
    stage = Stage(tokenizer, model, pairs, held_out, prompts, asked, numbers)
    numbers["start"] = measure(model, stage, sizes)
    return stage


class Clock:
    """Called after every step: measures the policy now and then, and does not count that time."""

    def __init__(self, stage: Stage, sizes: Experiment, steps: int):
        self.stage, self.sizes = stage, sizes
        self.looks = {max(steps * i // sizes.looks, 1) for i in range(1, sizes.looks + 1)}
        self.points: list[dict[str, float]] = []
        self.started, self.aside = time.perf_counter(), 0.0

    def __call__(self, run: Training) -> None:
        if run.step not in self.looks:
            return
        now = time.perf_counter()
        found = measure(run.model, self.stage, self.sizes)
        self.points.append({"steps": run.step, "seconds": now - self.started - self.aside, **found})
        run.model.train()
        self.aside += time.perf_counter() - now


def measure(model: Any, stage: Stage, sizes: Experiment) -> dict[str, float]:
    """True reward and KL on prompts of held-out text; the same random numbers every time, and none
    of those that training draws.
    """
    state = get_rng_state()
    manual_seed(sizes.seed + 5)
    found = measure_policy(
        model.eval(), stage.model, stage.tokenizer, stage.asked, preference_reward,
        sizes.max_new_tokens,
    )  # fmt: skip
    set_rng_state(state)
    return found


def run_dpo(stage: Stage, sizes: Experiment, beta: float, progress: bool) -> dict[str, Any]:
    """DPO at one β."""
    manual_seed(sizes.seed)
    model, clock = copy.deepcopy(stage.model), Clock(stage, sizes, sizes.dpo_steps)
    config = DPOConfig(
        steps=sizes.dpo_steps, batch_size=16, lr=3e-4, warmup_steps=10, beta=beta, max_length=96,
        reference="precomputed", progress=progress, seed=sizes.seed,
    )  # fmt: skip
    run = train_dpo(model, stage.tokenizer, stage.pairs, config, clock)
    held = evaluate_dpo(model, stage.tokenizer, stage.held_out, stage.model, beta, 96)
    points = clock.points
    return {"beta": beta, "points": points, "held_out": held, "run": run, "model": model}


def learn_reward(stage: Stage, sizes: Experiment, progress: bool) -> tuple[Any, dict[str, Any]]:
    """The reward model, begun from the SFT model, and how it does on held-out pairs."""
    manual_seed(sizes.seed)
    model = GPT2ForSequenceClassification(stage.model.config)
    model.transformer.load_state_dict(stage.model.transformer.state_dict())
    config = RewardConfig(
        steps=sizes.reward_steps, batch_size=16, lr=3e-4, warmup_steps=10, max_length=96,
        center_coefficient=0.01, progress=progress, seed=sizes.seed,
    )  # fmt: skip
    started = time.perf_counter()
    train_reward(model, stage.tokenizer, stage.pairs, config)
    seconds = time.perf_counter() - started
    held = evaluate_reward(model, stage.tokenizer, stage.held_out, 96)
    return model, {"held_out": held, "seconds": seconds}


def run_ppo(
    stage: Stage, sizes: Experiment, reward_model: Any, beta: float, progress: bool
) -> dict[str, Any]:
    """PPO against the reward model at one β; the value model begins as the reward model."""
    manual_seed(sizes.seed)
    model, value = copy.deepcopy(stage.model), copy.deepcopy(reward_model)
    clock = Clock(stage, sizes, sizes.ppo_steps)
    config = PPOConfig(
        steps=sizes.ppo_steps, batch_size=64, lr=3e-4, kl_coef=beta, epochs=2, minibatches=4,
        max_new_tokens=sizes.max_new_tokens, max_length=96, missing_end_penalty=1.0,
        progress=progress, seed=sizes.seed,
    )  # fmt: skip
    reward = reward_function(reward_model, stage.tokenizer, 96)
    run = train_ppo(model, value, stage.tokenizer, stage.prompts, reward, config, watch=clock)
    held = evaluate_dpo(model, stage.tokenizer, stage.held_out, stage.model, 1.0, 96)
    return {"beta": beta, "points": clock.points, "held_out": held, "run": run, "model": model}


# ---------------------------------------------------------------------------- all of it
def run_experiment(
    out: Any, sizes: Experiment | None = None, progress: bool = True
) -> dict[str, Any]:
    """Everything, in a folder: results.json, frontier.png, curves of each run, samples.txt, the SFT
    model and the DPO policy of the middle β. The results are returned.
    """
    sizes, out = sizes or Experiment(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    stage = prepare(sizes, progress)
    save_pretrained(stage.model, out / "sft")
    stage.tokenizer.save(out / "sft")
    dpo = [run_dpo(stage, sizes, beta, progress) for beta in sizes.dpo_betas]
    reward_model, reward_numbers = learn_reward(stage, sizes, progress)
    ppo = [run_ppo(stage, sizes, reward_model, beta, progress) for beta in sizes.ppo_betas]
    chosen = dpo[len(dpo) // 2]
    save_pretrained(chosen["model"], out / "dpo")
    stage.tokenizer.save(out / "dpo")
    for name, runs in (("dpo", dpo), ("ppo", ppo)):
        for run in runs:
            _plot(plot_metrics, run["run"].history, out / f"{name}-{run['beta']:g}.png")
    write_text(out / "samples.txt", samples(stage, {"DPO": chosen, "PPO": ppo[len(ppo) // 2]}))
    keep = ("beta", "points", "held_out")
    results = {
        "sizes": asdict(sizes),
        **stage.numbers,
        "reward_model": reward_numbers,
        "dpo": [{key: run[key] for key in keep} for run in dpo],
        "ppo": [{key: run[key] for key in keep} for run in ppo],
        "seconds": time.perf_counter() - started,
    }
    write_text(out / "results.json", json.dumps(results, indent=2) + "\n")
    _plot(plot_frontier, results, out / "frontier.png")
    return results


def samples(stage: Stage, runs: dict[str, dict[str, Any]], count: int = 8) -> str:
    """Answers of the start and of each policy to the same prompts, with what they are worth."""
    lines = []
    policies = {"SFT": stage.model, **{name: run["model"] for name, run in runs.items()}}
    for prompt in stage.asked[:count]:
        lines.append(prompt)
        for name, model in policies.items():
            manual_seed(11)
            with no_grad():
                answer = sample_answers(model, stage.tokenizer, [prompt], 40).answers
            lines.append(f"    {name} {preference_reward([prompt], answer)[0]:+.2f} {answer[0]!r}")
    return "\n".join(lines) + "\n"


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
        xlabel="seconds of training (PPO: its reward model included)", title="reward and time"
    )
    left.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _plot(draw: Any, *arguments: Any) -> None:
    """Draw, where matplotlib is installed."""
    try:
        draw(*arguments)
    except ImportError:
        print("(no plots: matplotlib is missing)", file=sys.stderr)


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
    lines.append(f"{results['seconds']:.0f} s in all")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the experiment and print the comparison."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.alignment.experiment", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("out/alignment"))
    parser.add_argument("--small", action="store_true", help="sizes for a look: seconds")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    sizes = Experiment.small() if arguments.small else Experiment()
    sizes.seed = arguments.seed
    print(report(run_experiment(arguments.out, sizes)))


if __name__ == "__main__":
    main()
