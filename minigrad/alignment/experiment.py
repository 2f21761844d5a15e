"""DPO beside reward model + PPO, on a preference that can be checked: one command, some minutes.

    python -m minigrad.alignment.experiment --out out/alignment

A small GPT-2 reads the documentation that Python carries, its language reference and docstrings:
windows of the sentences, cut anywhere. The preference: end with a full stop, be brief, leave out
hedging words. Of four answers that the model gives to a prompt, the best and the worst are a pair.
`preference_reward` says what an answer is worth; the algorithms only see which of two answers was
preferred. Then, from the same model and the same pairs,

    (a) a reward model learns the pairs, and PPO climbs it with a KL penalty,
    (b) DPO learns the policy from the pairs at once,

and both are compared on the true reward, the KL to the model they started from, and time, along
their training and over their β: the reward-KL frontier. The same command goes on where it was
interrupted.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from ..backend.random import manual_seed
from ..models.gpt2 import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel
from ..models.pretrained import load_pretrained, save_pretrained, write_text
from ..models.tokenizer import Tokenizer
from ..ops.random import get_rng_state, set_rng_state
from .corpus import openings, sentences, windows
from .data import read_jsonl
from .dpo import DPOConfig, evaluate_dpo, train_dpo
from .frontier import plot_frontier, report
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
    pairs: int = 3000
    held_out: int = 300
    answers: int = 4
    """How many are drawn to a prompt; the best and the worst make a pair."""
    gap: float = 0.5
    """How much more than the other the better answer of a pair is worth, at least."""
    reward_steps: int = 200
    dpo_steps: int = 187
    """Of 16 pairs: once over all."""
    ppo_steps: int = 24
    dpo_betas: tuple[float, ...] = (0.05, 0.2)
    ppo_betas: tuple[float, ...] = (0.02, 0.1)
    max_new_tokens: int = 40
    looks: int = 2
    """How often each run is measured along its way."""
    asked: int = 96
    """Answers that each measurement draws."""

    @classmethod
    def small(cls) -> Experiment:
        return cls(
            vocab=300, width=32, layers=1, heads=2, sft_steps=120, pairs=24, held_out=8,
            reward_steps=3, dpo_steps=3, ppo_steps=1, dpo_betas=(0.1,), ppo_betas=(0.05,),
            gap=0.1, looks=1, asked=8,
        )  # fmt: skip


# ---------------------------------------------------------------------------- pairs
def draw_pairs(
    model: Any, tokenizer: Tokenizer, prompts: Sequence[str], sizes: Experiment, count: int
) -> list[dict[str, Any]]:
    """The best and the worst of several answers of the model to a prompt, where they differ enough
    in worth; answers that do not end or are empty are left out. At most `count`, a prompt each.
    """
    pairs: list[dict[str, Any]] = []
    n = sizes.answers
    for i in range(0, len(prompts), 64):
        asked = [prompt for prompt in prompts[i : i + 64] for _ in range(n)]
        rollout = sample_answers(model, tokenizer, asked, sizes.max_new_tokens)
        worth = preference_reward(rollout.prompts, rollout.answers)
        drawn = list(zip(worth, rollout.answers, rollout.ended, strict=True))
        for j in range(0, len(asked), n):
            whole = [(w, answer) for w, answer, ended in drawn[j : j + n] if ended and answer]
            worst, best = (end(whole, key=itemgetter(0), default=(0.0, "")) for end in (min, max))
            if best[0] - worst[0] >= sizes.gap:
                pairs.append({"prompt": asked[j], "chosen": best[1], "rejected": worst[1]})
                if len(pairs) == count:
                    return pairs
    return pairs


# ---------------------------------------------------------------------------- the stages
@dataclass
class Stage:
    """What the comparison starts from."""

    tokenizer: Tokenizer
    model: Any
    pairs: list[dict[str, Any]]
    held_out: list[dict[str, Any]]
    asked: list[str]


def once(
    folder: Path, tokenizer: Tokenizer, make: Callable[[], tuple[Any, dict[str, Any]]]
) -> tuple[Any, dict[str, Any]]:
    """A model and its figures: made, and kept in a folder; or read, if they have been made."""
    result = folder / "result.json"
    if result.is_file():
        return load_pretrained(folder), json.loads(result.read_text("utf-8"))
    model, figures = make()
    save_pretrained(model, folder)
    tokenizer.save(folder)
    write_text(result, json.dumps(figures, indent=2) + "\n")  # last: what it stands for is there
    return model.eval(), figures


def prepare(sizes: Experiment, out: Path, progress: bool) -> tuple[Stage, dict[str, Any]]:
    """Text, tokenizer, the SFT model, preference pairs; and figures about them."""
    text = sentences()
    random.Random(sizes.seed).shuffle(text)
    cut = len(text) * 9 // 10
    train_text, test_text = text[:cut], text[cut:]
    tokenizer = Tokenizer.train_bpe(train_text, sizes.vocab)

    def learn() -> tuple[Any, dict[str, Any]]:
        model = train_start(tokenizer, train_text, sizes, out / "sft", progress)
        held = [{"text": a + b} for a, b in windows(test_text, 200, sizes.seed + 1)]
        return model, evaluate_sft(model, tokenizer, held, 96)

    model, figures = once(out / "sft", tokenizer, learn)
    train_prompts, test_prompts = openings(train_text, sizes.seed), openings(test_text, sizes.seed)
    seen = {*train_prompts}
    unseen = [prompt for prompt in test_prompts if prompt not in seen]
    asked, unseen = unseen[: sizes.asked], unseen[sizes.asked :]
    found = []
    for name, prompts, count in (
        ("pairs", train_prompts, sizes.pairs),
        ("held_out", unseen, sizes.held_out),
    ):
        path = out / f"{name}.jsonl"
        if not path.is_file():
            manual_seed(sizes.seed + 2)
            rows = draw_pairs(model, tokenizer, prompts, sizes, count)
            write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        found.append(read_jsonl(path, "pair"))
    stage = Stage(tokenizer, model, *found, asked)
    start = measure(model, stage, sizes)
    counts = {"train": len(stage.pairs), "held_out": len(stage.held_out)}
    return stage, {"sft": figures, "pairs": counts, "start": start}


def train_start(
    tokenizer: Tokenizer, text: Sequence[str], sizes: Experiment, out: Path, progress: bool
) -> Any:
    """The SFT model, from nothing."""
    manual_seed(sizes.seed)
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=128, n_embd=sizes.width,
        n_layer=sizes.layers, n_head=sizes.heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    rows = [{"text": a + b} for a, b in windows(text, 16 * sizes.sft_steps, sizes.seed)]
    settings = SFTConfig(
        steps=sizes.sft_steps, batch_size=16, lr=2e-3, warmup_steps=20, max_length=96,
        weight_decay=0.1, schedule="cosine", progress=progress, out=str(out), save_every=100,
    )  # fmt: skip
    train_sft(model, tokenizer, rows, settings)
    return model


class Clock:
    """Called after every step: measures the policy now and then, and does not count that time.

    The time is the processor's (all threads together), so that a busy machine changes nothing.
    """

    def __init__(self, stage: Stage, sizes: Experiment, steps: int):
        self.stage, self.sizes = stage, sizes
        self.looks = {max(steps * i // sizes.looks, 1) for i in range(1, sizes.looks + 1)}
        self.points: list[dict[str, float]] = []
        self.started, self.aside = time.process_time(), 0.0

    def __call__(self, run: Training) -> None:
        if run.step not in self.looks:
            return
        now = time.process_time()
        found = measure(run.model, self.stage, self.sizes)
        self.points.append({"steps": run.step, "seconds": now - self.started - self.aside, **found})
        run.model.train()
        self.aside += time.process_time() - now


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


def run_dpo(
    stage: Stage, sizes: Experiment, beta: float, out: Path, progress: bool
) -> tuple[Any, dict[str, Any]]:
    """DPO at one β."""
    manual_seed(sizes.seed)
    model, clock = copy.deepcopy(stage.model), Clock(stage, sizes, sizes.dpo_steps)
    config = DPOConfig(
        steps=sizes.dpo_steps, batch_size=16, lr=5e-4, warmup_steps=10, beta=beta, max_length=96,
        reference="precomputed", progress=progress, seed=sizes.seed, out=str(out), resume=False,
    )  # fmt: skip
    run = train_dpo(model, stage.tokenizer, stage.pairs, config, clock)
    _plot(plot_metrics, run.history, out / "metrics.png")
    held = evaluate_dpo(model, stage.tokenizer, stage.held_out, stage.model, beta, 96)
    return model, {"beta": beta, "points": clock.points, "held_out": held}


def learn_reward(
    stage: Stage, sizes: Experiment, out: Path, progress: bool
) -> tuple[Any, dict[str, Any]]:
    """The reward model, begun from the SFT model."""
    manual_seed(sizes.seed)
    model = GPT2ForSequenceClassification(stage.model.config)
    model.transformer.load_state_dict(stage.model.transformer.state_dict())
    config = RewardConfig(
        steps=sizes.reward_steps, batch_size=16, lr=3e-4, warmup_steps=10, max_length=96,
        center_coefficient=0.01, progress=progress, seed=sizes.seed, out=str(out), resume=False,
    )  # fmt: skip
    started = time.process_time()
    train_reward(model, stage.tokenizer, stage.pairs, config)
    seconds = time.process_time() - started
    held = evaluate_reward(model, stage.tokenizer, stage.held_out, 96)
    return model, {"held_out": held, "seconds": seconds}


def run_ppo(
    stage: Stage, sizes: Experiment, reward_model: Any, beta: float, out: Path, progress: bool
) -> tuple[Any, dict[str, Any]]:
    """PPO against the reward model at one β; the value model begins as the reward model."""
    manual_seed(sizes.seed)
    model, value = copy.deepcopy(stage.model), copy.deepcopy(reward_model)
    clock = Clock(stage, sizes, sizes.ppo_steps)
    config = PPOConfig(
        steps=sizes.ppo_steps, batch_size=64, lr=3e-4, kl_coef=beta, epochs=2, minibatches=4,
        max_new_tokens=sizes.max_new_tokens, max_length=96, missing_end_penalty=1.0,
        progress=progress, seed=sizes.seed, out=str(out), resume=False,
    )  # fmt: skip
    reward = reward_function(reward_model, stage.tokenizer, 96)
    prompts = [{"prompt": row["prompt"]} for row in stage.pairs]
    run = train_ppo(model, value, stage.tokenizer, prompts, reward, config, watch=clock)
    _plot(plot_metrics, run.history, out / "metrics.png")
    held = evaluate_dpo(model, stage.tokenizer, stage.held_out, stage.model, 1.0, 96)
    return model, {"beta": beta, "points": clock.points, "held_out": held}


# ---------------------------------------------------------------------------- all of it
def run_experiment(
    out: Any, sizes: Experiment | None = None, progress: bool = True
) -> dict[str, Any]:
    """Everything, in a folder: results.json, frontier.png, samples.txt, and a model folder for each
    stage. What an interrupted call has finished is read, not made again.

    ValueError if the folder holds an experiment of other sizes. The results are returned.
    """
    sizes, out = sizes or Experiment(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    plan, path = json.loads(json.dumps(asdict(sizes))), out / "sizes.json"
    if path.is_file() and json.loads(path.read_text("utf-8")) != plan:
        raise ValueError(f"{out} holds an experiment of other sizes; give another folder")
    write_text(path, json.dumps(plan, indent=2) + "\n")
    stage, figures = prepare(sizes, out, progress)
    words = stage.tokenizer
    dpo, ppo = [], []
    for beta in sizes.dpo_betas:
        place = out / f"dpo-{beta:g}"
        dpo.append(once(place, words, partial(run_dpo, stage, sizes, beta, place, progress)))
    place = out / "reward"
    judge, figures["reward_model"] = once(
        place, words, partial(learn_reward, stage, sizes, place, progress)
    )
    for beta in sizes.ppo_betas:
        place = out / f"ppo-{beta:g}"
        ppo.append(once(place, words, partial(run_ppo, stage, sizes, judge, beta, place, progress)))
    middle = {"DPO": dpo[len(dpo) // 2][0], "PPO": ppo[len(ppo) // 2][0]}
    write_text(out / "samples.txt", samples({"SFT": stage.model, **middle}, words, stage.asked))
    results = {"sizes": plan, **figures, "dpo": [r for _, r in dpo], "ppo": [r for _, r in ppo]}
    write_text(out / "results.json", json.dumps(results, indent=2) + "\n")
    _plot(plot_frontier, results, out / "frontier.png")
    return results


def samples(models: dict[str, Any], tokenizer: Tokenizer, asked: Sequence[str]) -> str:
    """Answers of several policies to the same eight prompts, with what they are worth."""
    lines = []
    for prompt in asked[:8]:
        lines.append(prompt)
        for name, model in models.items():
            manual_seed(11)
            answer = sample_answers(model, tokenizer, [prompt], 40).answers
            lines.append(f"    {name} {preference_reward([prompt], answer)[0]:+.2f} {answer[0]!r}")
    return "\n".join(lines) + "\n"


def _plot(draw: Callable[..., None], *arguments: Any) -> None:
    """Draw, where matplotlib is installed."""
    try:
        draw(*arguments)
    except ImportError:
        print("(no plots: matplotlib is missing)", file=sys.stderr)


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
