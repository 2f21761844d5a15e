"""Programs as data: a list of statements that either library can run, and their source text."""

from __future__ import annotations

import contextlib
import inspect
import operator
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**",
    "matmul": "@", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "and_": "&", "or_": "|", "xor": "^", "iadd": "+=", "isub": "-=", "imul": "*=",
    "itruediv": "/=",
}  # fmt: skip


@dataclass(frozen=True)
class Ref:
    """A variable of the program."""

    name: str


@dataclass(frozen=True)
class Name:
    """Something of the library, such as a dtype."""

    path: str


@dataclass(frozen=True)
class Lambda:
    """A function, as source."""

    source: str


@dataclass(frozen=True)
class Statement:
    """One line. `kind` says how `name` is used:

    function   T.name(*args, **kwargs)            method     args[0].name(*args[1:], **kwargs)
    operator   args[0] <symbol> args[1]           attribute  args[0].name
    index      args[0][args[1]]                   assign     args[0][args[1]] = args[2]
    module     fill(T.name(*args[1:]), args[0])   call       args[0](*args[1:])
    optimizer  T.name(args[0]), a list of tensors or a module
    set        args[0].name = args[1]
    """

    kind: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()
    targets: tuple[str, ...] = ()
    no_grad: bool = False

    def run(self, library: Any, env: dict[str, Any]) -> Any:
        """Execute with `library`; the results go to `env` under the names of the targets.

        KeyError if a variable is missing that an earlier statement failed to make.
        """
        args = [_value(a, library, env) for a in self.args]
        kwargs = {k: _value(v, library, env) for k, v in self.kwargs}
        with library.no_grad() if self.no_grad else contextlib.nullcontext():
            result = self._call(library, args, kwargs)
            parts = tuple(result) if len(self.targets) > 1 else (result,)
        for name, part in zip(self.targets, parts, strict=True) if self.targets else ():
            env[name] = part
        return result

    def _call(self, library: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if self.kind == "function":
            return _resolve(library, self.name)(*args, **kwargs)
        if self.kind == "method":
            return getattr(args[0], self.name)(*args[1:], **kwargs)
        if self.kind == "operator":
            return getattr(operator, self.name)(*args)
        if self.kind == "attribute":
            return getattr(args[0], self.name)
        if self.kind == "index":
            return args[0][args[1]]
        if self.kind == "module":
            return fill(_resolve(library, self.name)(*args[1:], **kwargs), args[0])
        if self.kind == "call":
            return args[0](*args[1:])
        if self.kind == "optimizer":
            what = args[0] if isinstance(args[0], list) else args[0].parameters()
            return _resolve(library, self.name)(what, **kwargs)
        if self.kind == "set":
            return setattr(args[0], self.name, args[1])
        args[0][args[1]] = args[2]
        return None

    def changes(self) -> bool:
        """Whether it is an in-place change."""
        marked = self.kind == "operator" and self.name.startswith("i")
        written = any(name == "out" for name, _ in self.kwargs)
        underscored = self.name.endswith("_") and not self.name.endswith("__")
        return self.kind == "assign" or marked or written or underscored

    def missing(self, env: dict[str, Any]) -> bool:
        """Whether it uses a variable that does not exist (any more)."""
        return not self.uses() <= env.keys()

    def uses(self) -> set[str]:
        """The variables that it reads."""
        found: set[str] = set()
        _walk((self.args, tuple(v for _, v in self.kwargs)), found)
        return found

    def source(self) -> str:
        """The line as Python source, with `T` for the library."""
        args = [_text(a) for a in self.args]
        named = [f"{k}={_text(v)}" for k, v in self.kwargs]
        if self.kind == "function":
            text = f"T.{self.name}({', '.join(args + named)})"
        elif self.kind == "method":
            text = f"{args[0]}.{self.name}({', '.join(args[1:] + named)})"
        elif self.kind == "attribute":
            text = f"{args[0]}.{self.name}"
        elif self.kind == "set":
            return f"{args[0]}.{self.name} = {args[1]}"
        elif self.kind == "module":
            text = f"fill(T.{self.name}({', '.join(args[1:] + named)}), {args[0]})"
        elif self.kind == "call":
            text = f"{args[0]}({', '.join(args[1:])})"
        elif self.kind == "optimizer":
            what = args[0] if isinstance(self.args[0], list) else f"{args[0]}.parameters()"
            text = f"T.{self.name}({', '.join([what, *named])})"
        elif self.kind == "operator":
            symbol = SYMBOLS[self.name]
            if symbol.endswith("=") and self.name.startswith("i"):
                return f"{args[0]} {symbol} {args[1]}"
            text = f"{args[0]} {symbol} {args[1]}"
        else:
            text = f"{args[0]}[{_key(self.args[1])}]"
            if self.kind == "assign":
                return f"{text} = {args[2]}"
        return f"{', '.join(self.targets)} = {text}" if self.targets else text


@dataclass
class Program:
    """Statements in order."""

    statements: list[Statement] = field(default_factory=list)

    def source(self, libraries: tuple[str, ...] = ("torch", "minigrad")) -> str:
        """A file that runs the program with each library and prints its variables."""
        lines = [f"import {name}" for name in libraries]
        if any(s.kind == "module" for s in self.statements):
            lines += ["import random", "from typing import Any", "", ""]
            lines += inspect.getsource(fill).splitlines()
        lines += ["", "", "def program(T):", "    nan, inf = float('nan'), float('inf')"]
        for s in self.statements:
            lines += (
                ["    with T.no_grad():", f"        {s.source()}"]
                if s.no_grad
                else [f"    {s.source()}"]
            )
        lines += ["    return dict(locals())", "", "", f"for T in ({', '.join(libraries)}):"]
        lines += ["    for name, value in program(T).items():", "        print(name, value)"]
        return "\n".join(lines) + "\n"

    def map(self, change: Callable[[Statement], Statement]) -> Program:
        """The program with each statement changed."""
        return Program([change(s) for s in self.statements])


def fill(module: Any, seed: int) -> Any:
    """The module with parameters that are the same in both libraries."""
    rng = random.Random(seed)
    for p in module.parameters():
        flat = p.data.view(-1)
        for i in range(flat.numel()):
            flat[i] = round(rng.gauss(0, 0.6), 3)
    return module


def _resolve(library: Any, path: str) -> Any:
    for part in path.split("."):
        library = getattr(library, part)
    return library


def _value(literal: Any, library: Any, env: dict[str, Any]) -> Any:
    """What a literal means in this library: references looked up, in containers and slices too."""
    if isinstance(literal, Ref):
        return env[literal.name]
    if isinstance(literal, Name):
        return _resolve(library, literal.path)
    if isinstance(literal, Lambda):
        return eval(literal.source)
    if isinstance(literal, (tuple, list)):
        return type(literal)(_value(item, library, env) for item in literal)
    return literal


def _walk(literal: Any, found: set[str]) -> None:
    if isinstance(literal, Ref):
        found.add(literal.name)
    elif isinstance(literal, (tuple, list)):
        for item in literal:
            _walk(item, found)


def _text(literal: Any) -> str:
    if isinstance(literal, Ref):
        return literal.name
    if isinstance(literal, Name):
        return f"T.{literal.path}"
    if isinstance(literal, Lambda):
        return literal.source
    if isinstance(literal, list):
        return f"[{', '.join(map(_text, literal))}]"
    if isinstance(literal, tuple):
        comma = "," if len(literal) == 1 else ""
        return f"({', '.join(map(_text, literal))}{comma})"
    return repr(literal)


def _key(key: Any) -> str:
    """A subscript: slices in their own notation."""
    if isinstance(key, tuple) and key:
        return ", ".join(map(_key, key)) + ("," if len(key) == 1 else "")
    if isinstance(key, slice):
        start, stop, step = ("" if n is None else str(n) for n in (key.start, key.stop, key.step))
        return f"{start}:{stop}" + (f":{step}" if step else "")
    return "..." if key is Ellipsis else _text(key)
