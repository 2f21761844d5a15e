"""Which names of PyTorch there are here, and why the others are not: docs/coverage.md.

    python -m minigrad.debug.coverage            write the page
    python -m minigrad.debug.coverage --check    write nothing: show what differs and exit with 1

The names are those of the installed PyTorch, which must be the version in VERSION: what a module
lists in `__all__`, else what it defines. absent.py has the reasons. A name that is missing without
a reason, or has one and is not missing, is an error, so that the page cannot drift from the code.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from . import absent
from .api import CHECKOUT, differences

COMMAND = "python -m minigrad.debug.coverage"
PAGE = Path("docs/coverage.md")
VERSION = "2.13"

SPACES = """
    torch Tensor nn nn.functional nn.init nn.attention nn.parallel nn.utils nn.utils.rnn
    nn.utils.parametrize nn.utils.parametrizations nn.utils.prune nn.utils.stateless linalg special
    fft signal.windows optim optim.lr_scheduler optim.swa_utils distributions
    distributions.constraints distributions.transforms autograd autograd.functional autograd.graph
    autograd.forward_ad autograd.profiler func amp random serialization utils.data utils.checkpoint
    utils.benchmark utils.hooks utils.dlpack profiler testing compiler jit hub types overrides
    multiprocessing accelerator cpu cuda mps backends.cudnn backends.mkldnn backends.mps
    backends.cuda onnx
"""
"""Compared name by name; "torch" is the package itself. Modules in absent.MODULES are not there."""


class Row(NamedTuple):
    """One namespace: its names that exist here, and the others with their reasons."""

    space: str
    present: list[str]
    missing: dict[str, str]


# ---------------------------------------------------------------------------- names
def names_of(space: str, thing: Any) -> list[str]:
    """The public names of a module of PyTorch, or of its Tensor."""
    if space == "Tensor":
        return sorted(n for n in dir(thing) if not n.startswith("_"))
    listed = getattr(thing, "__all__", None)
    names = (
        set(listed or ()) if listed and space != "torch" else set(dir(thing)) | set(listed or ())
    )
    return sorted(n for n in names if _is_own(n, getattr(thing, n, None), bool(listed)))


def _is_own(name: str, value: Any, listed: bool) -> bool:
    """Whether a module defines the name, as opposed to importing it for its own use."""
    if name.startswith("_") or isinstance(value, ModuleType) or value is None:
        return False
    home = getattr(value, "__module__", None) or "torch"
    return home.partition(".")[0] in ("torch", "builtins") or not (
        inspect.isclass(value) or inspect.isroutine(value) or home == "typing"
    )


def _place(library: str, space: str) -> Any:
    """The module (or class) of a namespace, or None."""
    if space == "torch":
        return importlib.import_module(library)
    if space == "Tensor":
        return importlib.import_module(library).Tensor
    try:
        return importlib.import_module(f"{library}.{space}")
    except ModuleNotFoundError:
        return None


def compare() -> list[Row]:
    """All rows; ValueError if the reasons do not fit what is missing."""
    rows, unexplained, used = [], [], set()
    for space in SPACES.split():
        ours, theirs = _place("minigrad", space), _place("torch", space)
        present, missing = [], {}
        for name in names_of(space, theirs):
            if ours is not None and _has(ours, name):
                present.append(name)
                continue
            full = name if space == "torch" else f"{space}.{name}"
            pattern = absent.pattern_of(full)
            if pattern is None:
                unexplained.append(full)
            else:
                used.add(pattern)
                missing[name] = absent.REASONS_BY_PATTERN[pattern]
        rows.append(Row(space, present, missing))
    stale = [p for p in absent.REASONS_BY_PATTERN if p not in used]
    stale += [m for m in absent.MODULES if _place("minigrad", m) is not None]
    if unexplained or stale:
        raise ValueError(
            f"absent.py has no reason for {', '.join(unexplained) or 'nothing'}; it has one for"
            f" {', '.join(stale) or 'nothing'}, which exist here or not in PyTorch"
        )
    return rows


def _has(thing: Any, name: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated names warn when they are looked at
        try:
            getattr(thing, name)
        except AttributeError:
            return False
        except RuntimeError:  # of a property of an empty thing
            return True
    return True


# ---------------------------------------------------------------------------- the page
def markdown(rows: list[Row]) -> str:
    """The page: a table of counts, then what each namespace has and has not."""
    here = sum(len(row.present) for row in rows)
    total = here + sum(len(row.missing) for row in rows)
    lines = [
        "# PyTorch's names",
        "",
        f"Made by `{COMMAND}` from PyTorch {VERSION}; a test holds this page to the code.",
        f"Of {total} public names in {len(rows)} namespaces, {here} exist here; each of the others",
        "has its reason below. What the names do is compared by the tests.",
        "",
        "| namespace | here | missing |",
        "|---|---|---|",
    ]
    lines += [f"| `{_title(r.space)}` | {len(r.present)} | {len(r.missing)} |" for r in rows]
    lines += ["", "## Parts that are not here", "", "| namespace | why |", "|---|---|"]
    lines += [f"| `torch.{name}` | {why} |" for name, why in absent.MODULES.items()]
    for row in rows:
        lines += ["", f"## {_title(row.space)}", ""]
        lines += [_code(row.present)] if row.present else ["Nothing."]
        if row.missing:
            lines += ["", "| missing | why |", "|---|---|"]
            for why in dict.fromkeys(row.missing.values()):
                names = [n for n, reason in row.missing.items() if reason == why]
                lines.append(f"| {_code(names)} | {why} |")
    return "\n".join(lines) + "\n"


def _title(space: str) -> str:
    return space if space == "torch" else f"torch.{space}"


def _code(names: Iterable[str]) -> str:
    return " ".join(f"`{name}`" for name in names)


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or compare it; the exit status is 1 if it differs."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="which names of PyTorch are here")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="where the page belongs")
    options = parser.parse_args(arguments)
    import torch

    if not torch.__version__.startswith(VERSION):
        parser.error(f"the page is about PyTorch {VERSION}, installed is {torch.__version__}")
    text = markdown(compare())
    page = options.checkout / PAGE
    if not options.check:
        page.write_text(text, encoding="utf-8")
        return 0
    found = list(differences({page: text}))
    if found:
        print("\n".join(found[:100]))
        print(f"\ndocs/coverage.md is not what the code says. Run\n    {COMMAND}")
    return 1 if found else 0


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.exit(main())
