"""`python -m tests.fuzz`: many random programs; those that differ are shrunk and printed."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from random import Random
from typing import Any

import torch
from tqdm import tqdm

import minigrad

from .compare import Difference, compare
from .generate import generate
from .program import Program
from .shrink import shrink


def check(seed: int, number: int) -> tuple[Program, Difference] | None:
    """Program `number` of the series `seed`: None if both libraries agree, or the shrunk rest."""
    program = generate(Random(f"{seed}/{number}"), torch)
    if compare(program, torch, minigrad) is None:
        return None
    return shrink(program, torch, minigrad)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="which series of programs")
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--stop-after", type=int, default=50, help="differences to print at most")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kinds: Counter[str] = Counter()
    numbers: Any = range(options.first, options.first + options.programs)
    done = 0
    for number in tqdm(numbers, unit="program", file=sys.stderr, mininterval=1):
        done += 1
        found = check(options.seed, number)
        if found is None:
            continue
        program, difference = found
        kinds[difference.kind] += 1
        print(f"# seed {options.seed}, program {number}: {difference.kind}")
        print("".join(f"# {line}\n" for line in difference.text.splitlines()), end="")
        print(program.source(), flush=True)
        if kinds.total() >= options.stop_after:
            break
    summary = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "none"
    print(f"{done} programs, differences: {summary}")
    return min(kinds.total(), 1)


if __name__ == "__main__":
    sys.exit(main())
