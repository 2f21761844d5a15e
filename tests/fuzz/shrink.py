"""The smallest part of a program that still differs in the same way."""

from __future__ import annotations

from typing import Any

from .compare import Difference, compare
from .program import Name, Program, Statement


def shrink(program: Program, reference: Any, library: Any) -> tuple[Program, Difference]:
    """Leave out statements, then put literal values in the place of computed ones, while the first
    difference stays of the same kind.
    """
    found = compare(program, reference, library)
    if found is None:
        raise ValueError("shrink: the program does not differ")
    best = Program(program.statements[: found.position + 1])

    def still(candidate: Program) -> bool:
        difference = compare(candidate, reference, library)
        return difference is not None and _alike(difference, found)

    if not still(best):
        best = program
    changed = True
    while changed:
        changed = False
        for make in (_without, _constant):
            for i in reversed(range(len(best.statements))):
                candidate = make(best, i, reference)
                if candidate is not None and still(candidate):
                    best, changed = candidate, True
    final = compare(best, reference, library)
    return best, final or found


def _alike(a: Difference, b: Difference) -> bool:
    """The same kind of difference, and of errors those with the same beginning."""
    return a.kind == b.kind and ("error" not in a.kind or a.text[:40] == b.text[:40])


def _without(program: Program, i: int, reference: Any) -> Program | None:
    """The program without statement i; nothing that needs its results may be left."""
    if i >= len(program.statements):
        return None
    rest = program.statements[:i] + program.statements[i + 1 :]
    made: set[str] = set()
    for statement in rest:
        if not statement.uses() <= made:
            return None
        made |= set(statement.targets)
    return Program(rest)


def _constant(program: Program, i: int, reference: Any) -> Program | None:
    """The program with the result of statement i written down as a leaf."""
    if i >= len(program.statements):
        return None
    statement = program.statements[i]
    if len(statement.targets) != 1 or statement.name == "tensor" or not statement.uses():
        return None
    env: dict[str, Any] = {}
    for earlier in program.statements[: i + 1]:
        try:
            if not earlier.missing(env):
                earlier.run(reference, env)
        except Exception:  # errors of the program itself: see compare
            continue
    value = env.get(statement.targets[0])
    if not isinstance(value, reference.Tensor) or not value.numel():
        return None
    options: list[tuple[str, Any]] = [("dtype", Name(str(value.dtype).rpartition(".")[2]))]
    if value.requires_grad:
        options.append(("requires_grad", True))
    data = value.detach().tolist()
    leaf = Statement("function", "tensor", (data,), tuple(options), statement.targets)
    changed = [*program.statements[:i], leaf, *program.statements[i + 1 :]]
    return Program(changed)
