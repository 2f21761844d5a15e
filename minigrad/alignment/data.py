"""Rows of text to batches of tokens: reading, checking, padding, packing.

A row is a dict of one of these kinds:

    text         {"text"}                              every token is learnt
    completion   {"prompt", "completion"}              the completion is learnt
    pair         {"prompt", "chosen", "rejected"}      and, if wanted, "margin"
    label        {"prompt", "completion", "label"}     true for a good completion
    ranking      {"prompt", "ranked"}                  completions, best first
    prompt       {"prompt"}                            to be answered
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..backend.dtypes import int64
from ..core.tensor import Tensor
from ..export import export
from ..ops.data import tensor
from .losses.logps import IGNORED

KINDS: dict[str, dict[str, type]] = {
    "text": {"text": str},
    "completion": {"prompt": str, "completion": str},
    "pair": {"prompt": str, "chosen": str, "rejected": str},
    "label": {"prompt": str, "completion": str, "label": bool},
    "ranking": {"prompt": str, "ranked": list},
    "prompt": {"prompt": str},
}


@export("alignment.read_jsonl")
def read_jsonl(path: Any, kind: str) -> list[dict[str, Any]]:
    """The rows of a file with one JSON object a line; empty lines are skipped.

    ValueError "file:line: what is wrong" for the first bad row, or if there is none at all.
    """
    path, rows = Path(path), []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error}") from None
            check_row(row, kind, f"{path}:{number}")
            rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


@export("alignment.check_rows")
def check_rows(rows: Iterable[Any], kind: str) -> list[dict[str, Any]]:
    """The rows, if each is of the kind; ValueError "row 3: what is wrong" otherwise."""
    rows = list(rows)
    for number, row in enumerate(rows):
        check_row(row, kind, f"row {number}")
    if not rows:
        raise ValueError(f"expected {kind} rows; got none")
    return rows


def check_row(row: Any, kind: str, where: str) -> None:
    """ValueError, beginning with `where`, if the row lacks a field or has another type in it."""
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
    wanted = KINDS[kind]
    if not isinstance(row, dict):
        raise ValueError(f"{where}: expected an object with {', '.join(wanted)}; got {row!r:.60}")
    for field, type_ in wanted.items():
        if field not in row:
            raise ValueError(
                f"{where}: no {field!r}; it has {', '.join(map(str, row)) or 'nothing'}"
            )
        value = row[field]
        fits = isinstance(value, type_) or (type_ is bool and value in (0, 1))
        if not fits:
            raise ValueError(
                f"{where}: {field!r} must be {type_.__name__}, not {type(value).__name__}"
            )
    margin = row.get("margin")
    if kind == "pair" and margin is not None and not isinstance(margin, (int, float)):
        raise ValueError(f"{where}: 'margin' must be a number, not {type(margin).__name__}")
    if kind == "ranking" and (
        len(row["ranked"]) < 2 or not all(isinstance(text, str) for text in row["ranked"])
    ):
        raise ValueError(f"{where}: 'ranked' must hold two strings or more")


# ---------------------------------------------------------------------------- tokens
class Example(NamedTuple):
    """Tokens, and for each what is learnt there: itself, or −100."""

    ids: list[int]
    labels: list[int]


@export("alignment.encode_completion")
def encode_completion(
    tokenizer: Any, prompt: str, completion: str, max_length: int | None = None
) -> Example:
    """Prompt and completion with an end of sequence; only the completion is learnt.

    Both are encoded by themselves, so that the prompt's tokens are those it has when it is to be
    answered. What is too long loses the start of its prompt, then the end of its completion.
    """
    before = tokenizer.encode(prompt, add_special_tokens=False)
    after = tokenizer.encode(completion, add_special_tokens=False)
    if tokenizer.eos_token_id is not None:
        after = [*after, tokenizer.eos_token_id]
    if max_length is not None:
        after = after[: max_length - 1]
        before = before[max(len(before) + len(after) - max_length, 0) :]
    if not before:  # the first token is predicted from something
        start = tokenizer.bos_token_id
        before = [tokenizer.eos_token_id or 0 if start is None else start]
    return Example(before + after, [IGNORED] * len(before) + after)


@export("alignment.encode_text")
def encode_text(tokenizer: Any, text: str, max_length: int | None = None) -> Example:
    """A text with an end of sequence, every token of which is learnt."""
    ids = tokenizer.encode(text, add_special_tokens=False)
    if tokenizer.eos_token_id is not None:
        ids = [*ids, tokenizer.eos_token_id]
    ids = ids[:max_length]
    return Example(ids, list(ids))


# ---------------------------------------------------------------------------- batches
class Batch(NamedTuple):
    """(B, T) each: tokens, documents (0 is padding), labels (−100 is not learnt)."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def to(self, device: Any) -> Batch:
        """The batch on another device."""
        return Batch(*(t.to(device) for t in self))


@export("alignment.pad_examples")
def pad_examples(examples: Sequence[Example], pad: int) -> Batch:
    """One example a row, filled up on the right to the longest."""
    longest = max(len(example.ids) for example in examples)

    def rows(take: Callable[[Example], list[int]], filling: int) -> Tensor:
        lists = [take(e) + [filling] * (longest - len(e.ids)) for e in examples]
        return tensor(lists, dtype=int64)

    return Batch(
        rows(lambda e: e.ids, pad), rows(lambda e: [1] * len(e.ids), 0),
        rows(lambda e: e.labels, IGNORED),
    )  # fmt: skip


@export("alignment.pack_examples")
def pack_examples(examples: Sequence[Example], length: int) -> list[list[Example]]:
    """Examples grouped into rows of at most `length` tokens: longest first, each into the fullest
    row that has room (best-fit decreasing). ValueError for an example longer than a row.
    """
    rows: list[list[Example]] = []
    room: list[int] = []
    for example in sorted(examples, key=lambda e: -len(e.ids)):
        need = len(example.ids)
        if need > length:
            raise ValueError(f"pack_examples: an example of {need} tokens, rows of {length}")
        fitting = [i for i, free in enumerate(room) if free >= need]
        if fitting:
            best = min(fitting, key=lambda i: room[i])
            rows[best].append(example)
            room[best] -= need
        else:
            rows.append([example])
            room.append(length - need)
    return rows


@export("alignment.join_packed")
def join_packed(rows: Sequence[Sequence[Example]], pad: int) -> Batch:
    """A batch of packed rows. The attention mask numbers the documents of a row, so that none sees
    another, and the first token of each is not learnt: nothing before it speaks of it.
    """
    joined, documents = [], []
    for row in rows:
        ids, labels, numbers = [], [], []
        for number, example in enumerate(row, 1):
            ids += example.ids
            labels += [IGNORED, *example.labels[1:]]
            numbers += [number] * len(example.ids)
        joined.append(Example(ids, labels))
        documents.append(numbers)
    batch = pad_examples(joined, pad)
    longest = batch.input_ids.shape[1]
    mask = tensor([d + [0] * (longest - len(d)) for d in documents], dtype=int64)
    return batch._replace(attention_mask=mask)
