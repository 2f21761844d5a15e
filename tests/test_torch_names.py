"""The names of PyTorch that real programs use exist here, with PyTorch's parameters.

tests/golden/torch_names.txt lists them, most used first; a name that is missing, or whose
parameters differ, stands there with the reason. "=" marks another thing of the same name.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import minigrad

torch = pytest.importorskip("torch")

TABLE = Path(__file__).parent / "golden" / "torch_names.txt"
# A bare `Tensor.x` or `Module.x` of the table stands for the class of that name here.
PLACES = {
    "Tensor": ("Tensor",),
    "Module": ("nn.Module",),
    "Optimizer": ("optim.Optimizer",),
    "Tensor+Module": ("Tensor", "nn.Module"),
}
# Parameters that only say how memory is laid out or PyTorch is run inside.
IGNORED = {"self", "out", "args", "kwargs", "_stacklevel", "torch_dtype"}
NUMBERS = (int, float)
NUMBERED = {"dtype", "memory_format", "layout"}  # their defaults are numbers in PyTorch's schemas


def _table() -> dict[str, tuple[str, str]]:
    """name -> (mark, reason); the mark is "-", "~" or nothing."""
    found = {}
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition("  ")
            mark, _, reason = rest.partition(" ")
            found[name] = (mark, reason)
    return found


NAMES = _table()


def _places(name: str) -> list[str]:
    head, _, leaf = name.partition(".")
    return [leaf] if head == "torch" else [f"{place}.{leaf}" for place in PLACES[head]]


def _resolve(library: Any, path: str) -> Any:
    found = library
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            if library is minigrad:
                raise
            found = importlib.import_module(f"{found.__name__}.{part}")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_name_exists(name: str) -> None:
    mark, reason = NAMES[name]
    for path in _places(name):
        assert bool(mark) == bool(reason), "a mark needs a reason"
        if mark == "-":
            with pytest.raises(AttributeError):
                _resolve(minigrad, path)
        else:
            _resolve(minigrad, path)


# ---------------------------------------------------------------- parameters
def _python_parameters(thing: Any) -> dict[str, Any] | None:
    """Names and defaults from Python's own signature."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (ValueError, TypeError):
        return None
    if all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return None
    return {p.name: p.default for p in parameters}


def _schema_parameters(leaf: str) -> list[dict[str, Any]]:
    """Names and defaults of each overload of a function written in C++."""
    found = []
    for schema in torch._C._jit_get_schemas_for_operator(f"aten::{leaf}"):
        if any(a.is_out for a in schema.arguments) or "out" in schema.overload_name:
            continue
        found.append({a.name: _default(a) for a in schema.arguments})
    return found


def _default(argument: Any) -> Any:
    return argument.default_value if argument.has_default_value() else inspect.Parameter.empty


def _accepts(ours: inspect.Signature, wanted: dict[str, Any], method: bool) -> str | None:
    """None if each of the wanted parameters can be given by its name, or else what is wrong."""
    parameters = ours.parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    takes_rest = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    for i, (name, default) in enumerate(wanted.items()):
        if name in IGNORED or name.startswith("_") or (i == 0 and name in ("input", "self")):
            continue
        if name not in parameters:
            if takes_all or takes_rest:
                continue
            return f"no parameter {name!r}"
        own = parameters[name].default
        missing = inspect.Parameter.empty
        if (default is missing) != (own is missing) and default is missing is not own:
            continue  # a default where PyTorch has none
        if name not in NUMBERED and not _same(default, own):
            return f"{name}={own!r}, expected {default!r}"
    return None


def _same(default: Any, own: Any) -> bool:
    """Equal, or the same thing under another name (dtypes, formats, enums, empty lists)."""
    if default is own or type(default) in NUMBERS and default == own:
        return True
    nothing = ([], None, (), False)
    if default in nothing and own in nothing:
        return True
    if isinstance(default, list) and own in (default[0], tuple(default)):
        return len(set(default)) == 1  # int[2] stride=[1, 1] is what a single number means
    clean = [re.sub(r"torch|minigrad|<|>|inductor| at 0x\w+", "", str(d)) for d in (default, own)]
    return clean[0] == clean[1]


def _problem(ours: Any, theirs: Any, name: str) -> str | None:
    signature = inspect.signature(ours)
    wanted = _python_parameters(theirs)
    leaf = name.rpartition(".")[2]
    overloads = [wanted] if wanted is not None else _schema_parameters(leaf)
    problems = [_accepts(signature, w, "." in name) for w in overloads]
    return None if not problems or None in problems else problems[0]


def _callables() -> list[str]:
    found = []
    for name, (mark, _) in NAMES.items():
        if mark in ("-", "="):
            continue
        for path in _places(name):
            if isinstance(_resolve(minigrad, path), Callable):  # type: ignore[arg-type]
                found.append(f"{name}|{path}")
    return found


@pytest.mark.parametrize("case", _callables())
def test_the_parameters_are_the_same(case: str) -> None:
    name, path = case.split("|")
    mark, reason = NAMES[name]
    problem = _problem(_resolve(minigrad, path), _resolve(torch, path), path)
    if mark == "~":
        assert problem, "the signature is no longer different"
        assert reason
    else:
        assert problem is None, f"{path}: {problem}"
