"""A random program, made while PyTorch runs it: what comes next depends on what is there."""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from .compare import comparable
from .families import MORE
from .layers import clip, embedded, more_losses, more_modules, more_products, scheduler
from .places import more_complex, more_out, tensor_subscript, write
from .program import Program, Ref, Statement
from .recipes import RECIPES, Maker, create
from .wider import graph, hook, more_inplace, more_shapes, read, several

ALL = RECIPES | MORE
ALL |= {
    hook: 2, read: 3, graph: 2, more_inplace: 6, several: 6, more_shapes: 6, tensor_subscript: 4,
    write: 4, more_out: 3, more_complex: 7, more_modules: 5, more_losses: 3, more_products: 3,
    scheduler: 2, clip: 1, embedded: 1,
}  # fmt: skip

LARGEST = 1e4  # beyond, rounding decides what comes out
ELEMENTS = 200


def generate(rng: Random, library: Any, length: int | None = None) -> Program:
    """A program of about `length` statements (6 to 26), some of which raise errors."""
    length = length or rng.randint(6, 26)
    maker = Maker(rng, {}, library)
    program = Program()
    for _ in range(rng.randint(1, 3)):
        _append(program, create(maker), maker)
    recipes, weights = list(ALL), list(ALL.values())
    quiet = 0  # statements that are still to be made without recording
    while len(program.statements) < length:
        made = rng.choices(recipes, weights)[0](maker)
        if made is None:
            continue
        if not quiet and rng.random() < 0.04:
            quiet = rng.randint(1, 3)
        for statement in made if isinstance(made, list) else [made]:
            if statement.missing(maker.env):
                break
            quietly = quiet > 0 and statement.name not in ("backward", "autograd.grad")
            no_grad = statement.no_grad or quietly
            _append(program, dataclasses.replace(statement, no_grad=no_grad), maker)
        quiet = max(quiet - 1, 0)
    _finish(program, maker)
    return program


def _append(program: Program, statement: Statement, maker: Maker) -> None:
    """Run the statement and keep it; variables that went out of bounds are not used again."""
    program.statements.append(statement)
    try:
        statement.run(maker.library, maker.env)
    except Exception:  # an error is a result, too: the other library has to raise it as well
        for name in statement.targets:
            if statement.name[:1] != "i" or statement.kind != "operator":
                maker.env.pop(name, None)
    for name in [n for n in maker.env if n[0] in "vc"]:
        if not _usable(maker.env[name], maker.library):
            del maker.env[name]


def _usable(value: Any, library: Any) -> bool:
    if not isinstance(value, library.Tensor):
        return isinstance(value, tuple)
    if not comparable(value) or value.numel() > ELEMENTS or value.ndim > 6:
        return False
    if value.numel() == 0 or value.dtype is library.bool:
        return True
    value = value.detach()
    if value.is_complex():
        value = library.view_as_real(value.resolve_conj())
    finite = value.double().nan_to_num(0.0, 0.0, 0.0).abs()
    return bool(finite.max() <= LARGEST)


def _finish(program: Program, maker: Maker) -> None:
    """Differentiate the sum of the newest results that can be."""
    names = maker.names(lambda t: t.is_floating_point() and t.requires_grad and t.numel())
    for name in names[-2:]:
        total = maker.fresh()
        ref = Ref(name)
        _append(program, Statement("method", "sum", (ref,), (), (total,)), maker)
        if total in maker.env:
            retain = (("retain_graph", True),)
            _append(program, Statement("method", "backward", (Ref(total),), retain), maker)
