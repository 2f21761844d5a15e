"""The trainers from a shell.

    python -m minigrad.alignment sft --new 4,128,4 --data text.jsonl --out sft
    python -m minigrad.alignment dpo --model sft --data pairs.jsonl --out dpo --beta 0.1
    python -m minigrad.alignment reward --model sft --data pairs.jsonl --out rm
    python -m minigrad.alignment ppo --model sft --reward-model rm --data prompts.jsonl --out ppo
    python -m minigrad.alignment generate --model dpo --prompt "Once"

Every field of a trainer's configuration is an option. An output folder is a model folder (with the
tokenizer), and has metrics.jsonl, metrics.png and, while it runs, the checkpoint to go on from.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import importlib
import inspect
import json
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any

from ..backend.random import manual_seed
from ..models.generation import generate_text
from ..models.gpt2 import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel
from ..models.llama import LlamaForCausalLM, LlamaForSequenceClassification
from ..models.lora import add_lora, merge_and_unload
from ..models.pretrained import load_pretrained, save_pretrained
from ..models.tokenizer import Tokenizer
from .data import read_jsonl
from .dpo import REFERENCE_FREE, DPOConfig, evaluate_dpo, train_dpo
from .grpo import GRPOConfig, train_grpo
from .kto import KTOConfig, train_kto
from .ppo import PPOConfig, train_ppo
from .reward import RewardConfig, evaluate_reward, reward_function, train_reward
from .rollout import RewardFunction
from .sft import SFTConfig, evaluate_sft, train_sft
from .training import METRICS, Training, plot_metrics

CONFIGS: dict[str, tuple[type, str]] = {
    "sft": (SFTConfig, "supervised fine-tuning on text or prompt/completion rows"),
    "reward": (RewardConfig, "a reward model from pairs or rankings"),
    "ppo": (PPOConfig, "PPO against a reward model or function"),
    "dpo": (DPOConfig, "DPO and its kin on pairs"),
    "kto": (KTOConfig, "KTO on labelled answers"),
    "grpo": (GRPOConfig, "GRPO, its variants and RLOO"),
}
EVALUATED = ("sft", "reward", "dpo")


# ---------------------------------------------------------------------------- options
def _kind(annotation: Any) -> Callable[[str], Any]:
    """How a field's text becomes its value."""
    options = typing.get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    kinds = [o for o in options if o is not NoneType]
    if bool in kinds:
        return _truth
    if typing.get_origin(kinds[0]) is tuple:
        return lambda text: tuple(float(part) for part in text.split(","))
    if any(typing.get_origin(kind) is dict for kind in kinds):
        return lambda text: json.loads(text) if text.startswith("{") else text
    return kinds[0]


def _truth(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"expected true or false, not {text!r}")


def descriptions(config: type) -> dict[str, str]:
    """The strings that stand below the fields of a configuration and of those it derives from."""
    found = {}
    for kind in filter(dataclasses.is_dataclass, reversed(config.__mro__)):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for field, text in zip(body, body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))):
                    found[name] = " ".join(words.split()).replace("%", "%%")
    return found


def add_fields(parser: argparse.ArgumentParser, config: type) -> None:
    """An option for every field of a configuration, with its default and what it means."""
    hints, texts = typing.get_type_hints(config), descriptions(config)
    for field in dataclasses.fields(config):
        if field.name == "out":
            continue
        annotation = hints[field.name]
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=_kind(annotation), default=field.default,
            metavar=str(getattr(annotation, "__name__", annotation)).replace(" | None", ""),
            help=f"{texts.get(field.name, '')} (default {field.default})".strip(),
        )  # fmt: skip


def make_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="python -m minigrad.alignment", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (config, text) in CONFIGS.items():
        about = inspect.cleandoc(config.__doc__ or "")
        command = commands.add_parser(
            name, help=text, description=f"{text}.\n\n{about}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.add_argument("--model", type=Path, help="a model folder with its tokenizer")
        command.add_argument("--data", type=Path, required=True, help="rows, a JSON object a line")
        if name in EVALUATED:
            command.add_argument("--eval-data", type=Path, help="held-out rows of the same kind")
        command.add_argument("--out", type=Path, required=True, help="folder to be written")
        command.add_argument(
            "--lora-rank", type=int, default=0, help="learn an adapter, then merge"
        )
        if name == "sft":
            command.add_argument("--new", help="a new GPT-2: layers,width,heads, such as 4,128,4")
            command.add_argument("--vocab-size", type=int, default=1024, help="of --new")
        if name in ("ppo", "grpo"):
            reward = command.add_mutually_exclusive_group(required=True)
            reward.add_argument("--reward-model", type=Path, help="folder made by `reward`")
            reward.add_argument("--reward-function", help="module:function(prompts, answers)")
        add_fields(command, config)
    command = commands.add_parser("generate", help="continue a prompt")
    command.add_argument("--model", type=Path, required=True)
    command.add_argument("--prompt", required=True)
    command.add_argument("--max-new-tokens", type=int, default=64)
    command.add_argument("--temperature", type=float, default=1.0, help="0 is greedy")
    command.add_argument("--top-k", type=int)
    command.add_argument("--top-p", type=float)
    command.add_argument("--min-p", type=float)
    command.add_argument("--repetition-penalty", type=float, default=1.0)
    command.add_argument("--num-beams", type=int, default=1)
    command.add_argument("--stop", action="append", default=[], help="a string to stop before")
    command.add_argument("--seed", type=int, default=0)
    return parser


# ---------------------------------------------------------------------------- parts
def config_of(arguments: argparse.Namespace) -> Any:
    """The trainer's configuration from its options."""
    make, _ = CONFIGS[arguments.command]
    names = {field.name for field in dataclasses.fields(make)} - {"out"}
    values = {name: getattr(arguments, name) for name in names}
    return make(**values, out=str(arguments.out))


def model_and_tokenizer(
    arguments: argparse.Namespace, architecture: str | None = None
) -> tuple[Any, Tokenizer]:
    """From --model; `architecture` "value" asks for the model with one number a token."""
    if arguments.model is None:
        raise ValueError("give --model, a folder that `sft` or transformers has written")
    model = load(arguments.model, architecture)
    if architecture is None and not isinstance(model, (GPT2LMHeadModel, LlamaForCausalLM)):
        raise ValueError(f"{arguments.model} holds a {type(model).__name__}, which does not write")
    return model, Tokenizer.load(arguments.model)


def load(folder: Path, architecture: str | None = None) -> Any:
    """A model folder; with "value" its base under a new head of one number, if it has none."""
    if architecture != "value":
        return load_pretrained(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}")
    kind = json.loads(path.read_text("utf-8"))["model_type"]
    name = {"gpt2": "GPT2", "llama": "Llama"}.get(kind)
    if name is None:
        raise ValueError(
            f"{folder}: reward and value models are made of gpt2 and llama, not {kind}"
        )
    return load_pretrained(folder, f"{name}ForSequenceClassification", strict=False)


def new_model(
    arguments: argparse.Namespace, rows: Sequence[dict[str, Any]]
) -> tuple[Any, Tokenizer]:
    """A GPT-2 of the sizes of --new, and a tokenizer trained on the rows."""
    try:
        layers, width, heads = (int(part) for part in arguments.new.split(","))
    except ValueError:
        raise ValueError(f"--new wants layers,width,heads; got {arguments.new!r}") from None
    texts = [" ".join(v for v in row.values() if isinstance(v, str)) for row in rows]
    tokenizer = Tokenizer.train_bpe(texts, arguments.vocab_size)
    config = GPT2Config(
        vocab_size=tokenizer.vocab_size, n_positions=arguments.max_length, n_embd=width,
        n_layer=layers, n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config), tokenizer


def reward_of(arguments: argparse.Namespace) -> RewardFunction:
    """A reward model of a folder, or a function that --reward-function names."""
    if arguments.reward_model is not None:
        tokenizer = Tokenizer.load(arguments.reward_model)
        model = load_pretrained(arguments.reward_model)
        if not isinstance(model, (GPT2ForSequenceClassification, LlamaForSequenceClassification)):
            raise ValueError(
                f"{arguments.reward_model} holds a {type(model).__name__}, which gives no rewards; "
                "--reward-model wants a folder that `reward` has written"
            )
        return reward_function(model, tokenizer, arguments.max_length)
    module, _, name = arguments.reward_function.partition(":")
    if not name:
        raise ValueError(
            f"--reward-function wants module:function; got {arguments.reward_function!r}"
        )
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--reward-function {arguments.reward_function}: {error}") from None


def finish(run: Training, model: Any, tokenizer: Tokenizer, out: Path, lora: bool) -> None:
    """Write the model (adapters merged), the tokenizer and the plot."""
    if lora:
        merge_and_unload(model)
    save_pretrained(model, out)
    tokenizer.save(out)
    try:
        plot_metrics(run.history, out / "metrics.png")
    except ImportError:
        print("(no plot: matplotlib is missing)", file=sys.stderr)
    if run.resumed:
        print(f"went on from the checkpoint in {out}: step {run.resumed} of {run.config.steps}")
    last = {k: round(v, 4) for k, v in run.history[-1].items()} if run.history else {}
    print(f"wrote {out}: model, tokenizer, {METRICS}; last step {json.dumps(last)}")


# ---------------------------------------------------------------------------- commands
def train(arguments: argparse.Namespace) -> None:
    """Any trainer: read, learn, evaluate, write."""
    command, config = arguments.command, config_of(arguments)
    manual_seed(config.seed)
    kind = {"dpo": "pair", "kto": "label", "ppo": "prompt", "grpo": "prompt"}.get(command)
    rows = read_rows(arguments.data, command, kind)
    if command == "sft" and arguments.new:
        model, tokenizer = new_model(arguments, rows)
    else:
        model, tokenizer = model_and_tokenizer(arguments, "value" if command == "reward" else None)
    if arguments.lora_rank:
        add_lora(model, rank=arguments.lora_rank)
        if command == "reward":
            model.score.requires_grad_(True)
    match command:
        case "sft":
            run = train_sft(model, tokenizer, rows, config)
        case "reward":
            run = train_reward(model, tokenizer, rows, config)
        case "dpo":
            run = train_dpo(model, tokenizer, rows, config)
        case "kto":
            run = train_kto(model, tokenizer, rows, config)
        case "ppo":
            value = load(arguments.reward_model or arguments.model, "value")
            run = train_ppo(model, value, tokenizer, rows, reward_of(arguments), config)
        case _:
            run = train_grpo(model, tokenizer, rows, reward_of(arguments), config)
    finish(run, model, tokenizer, arguments.out, bool(arguments.lora_rank))
    if command in EVALUATED and arguments.eval_data:
        held_out = read_rows(arguments.eval_data, command, kind)
        found = evaluate(command, model, tokenizer, held_out, config, arguments.model)
        print("held out:", json.dumps({k: round(v, 4) for k, v in found.items()}))


def evaluate(
    command: str, model: Any, tokenizer: Tokenizer, rows: Any, config: Any, start: Path
) -> dict[str, float]:
    """Figures on held-out rows; DPO's against the model that `start` holds."""
    if command == "sft":
        return evaluate_sft(model, tokenizer, rows, config.max_length)
    if command == "reward":
        return evaluate_reward(model, tokenizer, rows, config.max_length)
    before = None if config.loss_type in REFERENCE_FREE else load(start)
    return evaluate_dpo(model, tokenizer, rows, before, config.beta, config.max_length)


def read_rows(path: Path, command: str, kind: str | None) -> list[dict[str, Any]]:
    """Rows of the command's kind; sft and reward take two, and the first row says which."""
    if kind is None:
        with path.open(encoding="utf-8") as file:
            first = next((line for line in file if line.strip()), "")
        if command == "sft":
            kind = "text" if '"text"' in first else "completion"
        else:
            kind = "ranking" if '"ranked"' in first else "pair"
    return read_jsonl(path, kind)


def write(arguments: argparse.Namespace) -> None:
    """Continue a prompt, shown while it is written."""
    manual_seed(arguments.seed)
    model, tokenizer = model_and_tokenizer(arguments)
    sample = arguments.temperature > 0 and arguments.num_beams == 1
    names = ("top_k", "top_p", "min_p") if sample else ()
    options = {name: getattr(arguments, name) for name in names}
    if sample:
        options |= {"do_sample": True, "temperature": arguments.temperature}
    sys.stdout.write(arguments.prompt)
    try:
        text = generate_text(
            model, tokenizer, arguments.prompt or tokenizer.bos_token or "",
            max_new_tokens=arguments.max_new_tokens, num_beams=arguments.num_beams,
            repetition_penalty=arguments.repetition_penalty, stop_strings=arguments.stop,
            stream=arguments.num_beams == 1, **options,
        )  # fmt: skip
    except BaseException:
        print()  # so that what is said next stands in a line of its own
        raise
    if arguments.num_beams > 1:
        print(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 1, with a message on stderr, if what was given does not fit."""
    arguments = make_parser().parse_args(argv)
    try:
        write(arguments) if arguments.command == "generate" else train(arguments)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        saved = getattr(arguments, "save_every", 0)
        text = ": the same command goes on from the last checkpoint" if saved else ""
        print(f"interrupted{text}", file=sys.stderr)
        return 130
    return 0
