"""Every kernel that can be generated, and the samples of it that are compiled and run."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

import minigrad  # the primitives register their loops
from minigrad.kernels.cpu.loops import LOOPS, Loop
from minigrad.kernels.cuda import dropout, embedding, many, reductions, rows
from minigrad.kernels.cuda.elementwise import elementwise
from minigrad.kernels.cuda.expressions import NoScalarForm
from minigrad.kernels.cuda.source import FLOATS, Source
from minigrad.optim.elementwise import Elementwise

MASKS = ("condition", "mask")
"""Arguments that are bool arrays."""


class Fused(NamedTuple):
    """A formula of the library that has a scalar form."""

    loop: Loop
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        code = self.loop.formula.__code__
        file = code.co_filename.rpartition("/")[2]
        return f"{self.loop.name or 'rule'}:{file}:{code.co_firstlineno}"

    def arguments(self, dtype: str) -> list[str]:
        given = ["bool" if name in MASKS else dtype for name in self.names]
        return given + ["number"] * len(self.loop.options)

    def source(self, dtype: str, **layout: Any) -> Source:
        return elementwise(self.loop.formula, self.loop.name, self.arguments(dtype), **layout)


def _names(loop: Loop) -> tuple[str, ...]:
    code = loop.formula.__code__
    return code.co_varnames[: code.co_argcount]


@functools.cache
def fused() -> tuple[list[Fused], list[str]]:
    """(formulas with a scalar form, the names of those without)."""
    found, without = [], []
    for loop in LOOPS:
        if loop.formula.__module__.partition(".")[0] != "minigrad":
            continue  # another test's
        candidate = Fused(loop, _names(loop))
        try:
            candidate.source("float32")
        except NoScalarForm:
            without.append(candidate.title)
        else:
            found.append(candidate)
    return found, without


def row_kernels(dtype: str, n: int) -> list[Source]:
    """All kernels of rows.py, reductions.py ... for rows of n elements."""
    made = [
        rows.softmax(dtype, n),
        rows.softmax(dtype, n, logarithm=True),
        rows.softmax_backward(dtype, n),
        rows.softmax_backward(dtype, n, logarithm=True),
        rows.cross_entropy(dtype, n),
        rows.cross_entropy(dtype, n, index="int32", smooth=True),
        rows.cross_entropy_backward(dtype, n),
        rows.cross_entropy_backward(dtype, n, per_row=True),
        rows.mean_loss(dtype),
        embedding.embedding_backward(dtype, n),
    ]
    for rms in (False, True):
        made += [
            rows.norm(dtype, n, rms=rms, bias=not rms),
            rows.norm_backward(dtype, n, rms=rms),
            rows.norm_weights(dtype, n, rms=rms, bias=not rms),
        ]
    for op in reductions.OPS:
        made += [reductions.rows(dtype, n, op), reductions.columns(dtype, n, op)]
    return [*made, reductions.rows(dtype, n, "sum", result=wide(dtype), of="squares")]


def wide(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def optimizer_steps() -> dict[str, Source]:
    """The step of every optimizer that is a formula, with its default options."""
    found = {}
    pending = [Elementwise]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind is Elementwise or not kind.__module__.startswith("minigrad"):
            continue
        optimizer = kind([minigrad.nn.Parameter(minigrad.zeros(1))], lr=0.1)
        group = optimizer.param_groups[0]
        first = optimizer._first(group)
        found[kind.__name__] = many.step(
            kind.formula,
            "".join(["1" if name in first else "0" for name in kind.arrays]),
            "float32",
            16,
            optimizer._numbers,
            group,
            counters=["float32" for name in kind.counters if name in first],
        )
    return found


def everything() -> list[Source]:
    """A sample of every family: each formula in one of the dtypes, each row kernel in two."""
    made = []
    formulas, _ = fused()
    for i, f in enumerate(formulas):
        made.append(f.source(FLOATS[i % 4]))
        if i % 4 == 0:
            made.append(f.source(FLOATS[i // 4 % 4], dims=1 + i % 3, wide=i % 8 == 0))
    made += row_kernels("float32", 768) + row_kernels("bfloat16", 4096)
    made += [rows.norm("bfloat16", 768, add=True), rows.norm_backward("float32", 768, add=True)]
    made += [rows.softmax("float64", 50), rows.norm("float16", 1024)]
    made += [rows.cross_entropy("bfloat16", 50257), rows.cross_entropy_backward("float16", 1000)]
    made += [dropout.dropout(dtype) for dtype in FLOATS]
    made += optimizer_steps().values()
    for dtype in FLOATS:
        made += [many.norm(dtype, 16, result=dtype), many.shrink(dtype, 16, result=wide(dtype))]
        made += [many.unscale(dtype, 16)]
    made += [many.norm("float32", many.most(1), largest=True), many.update_scale()]
    return list({s.name: s for s in made}.values())


def numbers(rng: np.random.Generator, names: tuple[str, ...], shape: Any, dtype: Any) -> list[Any]:
    """Arrays for the arguments of a formula, positive where it takes a root or a logarithm."""
    made = []
    for name in names:
        if name in MASKS:
            made.append(rng.random(shape) < 0.5)
        else:
            made.append(rng.uniform(0.1, 2.0, shape).astype(dtype))
    return made
