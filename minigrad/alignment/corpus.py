"""The text of the experiment: real sentences that every Python carries, and pieces of them."""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path


def sentences() -> list[str]:
    """Different sentences of the documentation that Python carries: the language reference and the
    docstrings of the standard library, without headings, code and tables.
    """
    from pydoc_data.topics import topics

    found: dict[str, None] = {}  # in order, each once
    for text in (*topics.values(), *docstrings(Path(sysconfig.get_paths()["stdlib"]))):
        for paragraph in text.split("\n\n"):
            lines = paragraph.splitlines()
            if any(re.match(r"   |.*>>>|[*=\-^+|]{3}", line) for line in lines):
                continue
            text = re.sub(r"\s+", " ", " ".join(lines)).strip()
            found.update((s, None) for s in re.split(r"(?<=\.)\s+", text) if _plain(s))
    return list(found)


def _plain(sentence: str) -> bool:
    words = sentence.split()
    return 5 <= len(words) <= 40 and sentence[0].isupper() and max(map(len, words)) <= 20


def docstrings(folder: Path) -> Iterator[str]:
    """Of the modules in a folder, their classes and functions."""
    places = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, places) and (text := ast.get_docstring(node)):
                yield text


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


def openings(text: Sequence[str], seed: int) -> list[str]:
    """The first two to four words of every sentence, in random order, each opening once."""
    rng = random.Random(seed)
    found = {" ".join(s.split()[: rng.randint(2, 4)]): None for s in rng.sample(text, len(text))}
    return list(found)
