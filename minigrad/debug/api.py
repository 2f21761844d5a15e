"""The public API as text, made from the `@export` declarations.

    python -m minigrad.debug.api            write tests/golden/api.txt and docs/api.md
    python -m minigrad.debug.api --stubs    and the .pyi files in which type checkers find the names
    python -m minigrad.debug.api --check    write nothing: show what differs and exit with 1

The golden file makes each change to the public API a deliberate one: a test compares it with the
code. Annotations stay out of it, and defaults are written without addresses, so that it is the same
on every machine and Python.
"""

from __future__ import annotations

import argparse
import difflib
import html
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import EnumMeta
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from ..export import API_NAME, METHODS, Export, exported, populate
from . import stubs

COMMAND = "python -m minigrad.debug.api"
GOLDEN, PAGE = Path("tests/golden/api.txt"), Path("docs/api.md")
SHOWN = 100  # lines of a difference
CHECKOUT = Path(__file__).resolve().parents[2]


# ---------------------------------------------------------------------------- one name
class _Default(NamedTuple):
    """A default value as it is printed in a signature."""

    value: Any

    def __repr__(self) -> str:
        if isinstance(self.value, type) or inspect.isroutine(self.value):
            return self.value.__name__
        text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(self.value))
        return " ".join(text.split())


def signature(symbol: Callable[..., Any], bound: bool = False) -> str:
    """The parameters of a callable, `(input, dim=None, *, out=None)`; not the first if bound.

    `(...)` for what is written in C: each Python knows the parameters of other such functions.
    """
    if _written_in_c(symbol):
        return "(...)"
    found = inspect.signature(symbol)
    parameters = [
        p.replace(
            annotation=p.empty, default=p.empty if p.default is p.empty else _Default(p.default)
        )
        for p in found.parameters.values()
    ]
    if bound and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        del parameters[0]
    return str(found.replace(parameters=parameters, return_annotation=found.empty))


def _written_in_c(symbol: Any) -> bool:
    if isinstance(symbol, type):
        plain = symbol.__init__ is object.__init__ and symbol.__new__ is object.__new__
        makers = (symbol.__init__, symbol.__new__)
        enum = isinstance(symbol, EnumMeta)  # called through its metaclass, which changes
        return enum or not (plain or any(map(inspect.isfunction, makers)))
    function = inspect.unwrap(symbol)
    return inspect.isroutine(function) and not isinstance(function, FunctionType | MethodType)


def kind(export: Export) -> str:
    """`function`, `class` or `constant`."""
    if export.is_constant:
        return "constant"
    return "class" if isinstance(export.symbol, type) else "function"


def summary(symbol: Any) -> str:
    """How a docstring opens: its first line, and more until a line ends a sentence."""
    own = vars(symbol).get("__doc__") if isinstance(symbol, type) else symbol.__doc__
    first: list[str] = []
    for line in inspect.cleandoc(own or "").splitlines():
        if not line.strip() or (first and first[-1].endswith((".", ":", ";"))):
            break
        first.append(line.strip())
    return " ".join(first).rstrip(":;")


# ---------------------------------------------------------------------------- the golden file
def golden(exports: list[Export]) -> str:
    """A line for each public name: an alias, or kind and signature; below a class its members."""
    names = {export.name for export in exports}
    lines = [f"# Made by `{COMMAND}`: every public name, its kind and its signature."]
    for export in exports:
        old = ", deprecated" if export.deprecated else ""
        if export.name != export.canonical:
            lines.append(f"{export.name} = {export.canonical}{old}")
        elif export.is_constant:
            lines.append(f"{export.name} constant {type(export.value()).__name__}{old}")
        else:
            lines.append(f"{export.name} {kind(export)} {_parameters(export)}{old}")
            if isinstance(export.symbol, type):
                lines += _members(export.name, export.symbol, names)
    return "\n".join(lines) + "\n"


def _parameters(export: Export) -> str:
    return signature(export.symbol, bound=export.name.startswith(METHODS))


def _members(owner: str, cls: type, listed: set[str]) -> Iterator[str]:
    """What the class itself adds; members with a public name of their own have their own line."""
    for name, member in sorted(vars(cls).items()):
        if not name.startswith("_") and f"{owner}.{name}" not in listed:
            yield f"    .{name} {_member(member)}"


def _member(member: Any) -> str:
    if isinstance(member, staticmethod):
        return f"staticmethod {signature(member.__func__)}"
    if isinstance(member, classmethod):
        return f"classmethod {signature(member.__func__, bound=True)}"
    if isinstance(member, property):
        return "property"
    if isinstance(member, type):
        return "class"
    if inspect.isroutine(member) and callable(member):
        return f"method {signature(member, bound=True)}"
    return "attribute"


# ---------------------------------------------------------------------------- the page
def markdown(exports: list[Export]) -> str:
    """docs/api.md: a table for each namespace, with what each docstring opens with."""
    spaces: dict[str, list[Export]] = {}
    for export in exports:
        spaces.setdefault(export.name.rpartition(".")[0], []).append(export)
    lines = [
        "# Public names",
        "",
        f"Made by `{COMMAND}` from the `@export` declarations; a test holds this page to the code.",
        f"{len(exports)} names in {len(spaces)} namespaces.",
    ]
    for space, members in sorted(spaces.items()):
        title = f"{API_NAME}.{space}" if space else API_NAME
        lines += ["", f"## {title}", "", "| name | |", "|---|---|"]
        lines += [_row(export) for export in members]
    return "\n".join(lines) + "\n"


def _row(export: Export) -> str:
    leaf = export.name.rpartition(".")[2]
    if export.name != export.canonical:
        what = "deprecated; use" if export.deprecated else "the same as"
        return f"| `{leaf}` | {what} `{API_NAME}.{export.canonical}` |"
    old = "Deprecated. " if export.deprecated else ""
    if export.is_constant:
        return f"| `{leaf}` | {old}constant, `{type(export.value()).__name__}` |"
    return f"| {_code(leaf + _parameters(export))} | {old}{_prose(summary(export.symbol))} |"


def _prose(text: str) -> str:
    """Docstring text as Markdown: what would be read as markup is escaped, `code` is kept."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a lone backtick opens nothing
        parts = [text]
    return "".join(_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", html.escape(text, quote=False))


def _code(text: str) -> str:
    """In a table a bar ends the cell even inside backticks, and cannot be escaped there."""
    if "|" not in text:
        return f"`{text}`"
    return f"<code>{html.escape(text, quote=False).replace('|', '&#124;')}</code>"


# ---------------------------------------------------------------------------- the command
def wanted(checkout: Path, with_stubs: bool) -> dict[Path, str]:
    """What the files should hold; empty text for a stub that should not be there."""
    exports = exported()
    files = {checkout / GOLDEN: golden(exports), checkout / PAGE: markdown(exports)}
    if with_stubs:
        package = checkout / API_NAME
        made, unseen = stubs.stubs()
        files |= {path: "" for path in stubs.existing(package)}
        files |= {package / path: text for path, text in made.items()}
        for line in unseen:
            print(f"no stub: {line}", file=sys.stderr)
    return files


def differences(files: dict[Path, str]) -> Iterator[str]:
    """The lines of a diff from what is on disk to what should be."""
    for path, text in files.items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        before, after = there.splitlines(), text.splitlines()
        yield from difflib.unified_diff(before, after, str(path), "made now", n=0, lineterm="")


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or compare them; the exit status is 1 if something differs."""
    parser = argparse.ArgumentParser(prog=COMMAND, description="the public API as text")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    parser.add_argument("--stubs", action="store_true", help="the .pyi files as well")
    parser.add_argument("--checkout", type=Path, default=CHECKOUT, help="where the files belong")
    options = parser.parse_args(arguments)
    if not (options.checkout / "pyproject.toml").is_file():
        parser.error(f"{options.checkout} is no checkout of the sources: it has no pyproject.toml")
    files = wanted(options.checkout, options.stubs)
    if options.check:
        return _check(files, " --stubs" if options.stubs else "")
    for path, text in files.items():
        if text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink()
    print(f"{len(exported())} public names, {len(files)} files")
    return 0


def _check(files: dict[Path, str], flags: str) -> int:
    found = list(differences(files))
    if found:
        print("\n".join(found[:SHOWN]))
        if len(found) > SHOWN:
            print(f"... and {len(found) - SHOWN} more lines")
        print("\nThe public API is not what its files say. If the change is meant, run")
        print(f"    {COMMAND}{flags}\nand commit what it writes.")
    return 1 if found else 0


if __name__ == "__main__":
    populate()  # again: this package, too, may export
    sys.exit(main())
