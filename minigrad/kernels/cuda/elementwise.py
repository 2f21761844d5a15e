"""A formula over arrays as one CUDA kernel: each argument is read once, each result written once.

    source = elementwise(lambda g, y: g * (1 - y * y), None, ("float32", "float32"))

Arguments are named by their dtypes; "number" is a number that comes with the launch, "float32:1" an
array of one element. Half-precision numbers are computed in float32 and rounded once.

Two layouts. *Flat*: all arrays lie in one piece and have one shape; every thread moves 16 bytes of
the narrowest of them at once. *Strided*: the result lies in one piece, and each argument has
strides, which are 0 where it is broadcast; neighbours along the last dimension are moved together
where every argument's lie together or are one value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .expressions import Expression, trace
from .source import TYPES, Source, width

NUMBER = "number"
MOST_DIMS = 8
"""Dimensions of the strided layout, after those that can be joined have been."""


def computed_in(arguments: Sequence[str]) -> str:
    """The dtype of the result: that of the floating arguments."""
    for argument in arguments:
        name = argument.partition(":")[0]
        if name not in (NUMBER, "bool"):
            return name
    raise ValueError(f"no floating array among {', '.join(arguments)}")


def elementwise(
    formula: Callable,
    name: str | None,
    arguments: Sequence[str | None],
    *,
    dims: int = 0,
    wide: bool = True,
    results: Sequence[str] = (),
) -> Source:
    """The kernel of `formula` (of the primitive `name`) for `arguments` of these dtypes.

    dims     0: flat; else how many dimensions the strides have
    wide     whether neighbours are moved together; else one element at a time
    results  dtypes of the results; by default that of the arguments, or bool for conditions

    Its parameters are n, each argument that is not None (a pointer or a number), a pointer for each
    result, and, if there are strides, sizes[dims] and strides[arguments][dims] in elements, by
    value. NoScalarForm if the formula has none.
    """
    given = [a for a in arguments if a is not None]
    dtype = computed_in(given)
    kinds = [a if a is None else "bool" if a.startswith("bool") else "real" for a in arguments]
    expression = trace(formula, name, kinds)
    if not results:
        results = ["bool" if kind == "bool" else dtype for _, kind in expression.results]
    arrays = [a for a in given if a != NUMBER and ":" not in a]
    sizes = [TYPES[t].size for t in (*arrays, *results) if t != "bool"]
    v = width(*sizes) if wide else 1
    import hashlib  # 5 ms that `import minigrad` need not wait for

    digest = hashlib.sha256(repr((expression, arguments, results, dims, v)).encode())
    title = (name or formula.__name__).replace("<lambda>", "rule").strip("_")
    kernel = f"{title}_{digest.hexdigest()[:16]}"
    writer = _Writer(expression, arguments, results, dims, v, TYPES[dtype].computed)
    return Source(kernel, writer.text(kernel), tuple(results))


class _Writer:
    """The parts of the text of one kernel."""

    def __init__(
        self,
        expression: Expression,
        arguments: Sequence[str | None],
        results: Sequence[str],
        dims: int,
        v: int,
        computed: str,
    ):
        self.expression, self.dims, self.v, self.computed = expression, dims, v, computed
        self.arguments = [(i, a) for i, a in enumerate(arguments) if a is not None]
        self.results = [TYPES[r].stored for r in results]
        self.arrays = [(i, a) for i, a in self.arguments if a != NUMBER and ":" not in a]

    def text(self, name: str) -> str:
        body = self._strided() if self.dims else self._flat()
        lines = [
            f"typedef {self.computed} A;",
            f"constexpr int V = {self.v};",
            *self._layout(),
            f'extern "C" __global__ void __launch_bounds__(256, 4) {name}({self._parameters()}) {{',
            "    const Index first = (Index)blockIdx.x * blockDim.x + threadIdx.x;",
            "    const Index step = (Index)gridDim.x * blockDim.x;",
            *[
                f"    const {_kind(a)} a{i} = widen(*p{i});"
                for i, a in self.arguments
                if a.endswith(":1")
            ],
            *body,
            "}",
        ]
        return f"namespace in_{name} {{\n" + "\n".join(lines) + "\n}\n"

    def _parameters(self) -> str:
        parts = ["const Index n"]
        for i, a in self.arguments:
            stored = TYPES[a.partition(":")[0]].stored if a != NUMBER else ""
            parts.append(f"const A a{i}" if a == NUMBER else f"const {stored} *p{i}")
        # results may lie where arguments do, element by element: nothing is __restrict__
        parts += [f"{t} *q{k}" for k, t in enumerate(self.results)]
        return ", ".join(parts + (["const Layout at"] if self.dims else []))

    def _layout(self) -> list[str]:
        if not self.dims:
            return []
        count = len(self.arrays)
        return [f"struct Layout {{ Index size[{self.dims}], stride[{count}][{self.dims}]; }};"]

    def _compute(self, indent: str, place: str) -> list[str]:
        """Lines from a0, a1, ... to `place` of each result."""
        lines = [indent + line for line in self.expression.lines]
        for k, (value, _) in enumerate(self.expression.results):
            target = place.format(k)
            lines.append(f"{indent}{target} = narrow<{self.results[k]}>({value});")
        return lines

    def _packed(self, indent: str) -> list[str]:
        """V results from the packs x of V neighbours, stored at q + i * V."""
        lines = [f"{indent}Pack<{t}, V> y{k};" for k, t in enumerate(self.results)]
        lines += ["#pragma unroll", f"{indent}for (int k = 0; k < V; k++) {{"]
        lines += [f"{indent}    const {_kind(a)} a{i} = widen(x{i}.at[k]);" for i, a in self.arrays]
        lines += self._compute(indent + "    ", "y{}.at[k]")
        lines += [f"{indent}}}"]
        return lines + [f"{indent}store(q{k} + i * V, y{k});" for k in range(len(self.results))]

    def _flat(self) -> list[str]:
        lines = ["    for (Index i = first; i < n / V; i += step) {"]
        lines += [
            f"        const Pack<{_stored(a)}, V> x{i} = load<V>(p{i} + i * V);"
            for i, a in self.arrays
        ]
        lines += [*self._packed("        "), "    }"]
        if self.v > 1:
            lines += ["    for (Index i = n / V * V + first; i < n; i += step) {"]
            lines += [f"        const {_kind(a)} a{i} = widen(p{i}[i]);" for i, a in self.arrays]
            lines += [*self._compute("        ", "q{}[i]"), "    }"]
        return lines

    def _strided(self) -> list[str]:
        """Offsets are found once for V neighbours along the last dimension, whose size V divides.

        32 bits are enough for them: the launch sees to that.
        """
        last = self.dims - 1
        lines = [
            "    for (Index i = first; i < n / V; i += step) {",
            "        unsigned rest = (unsigned)(i * V);",
            "        int index;",
            *[f"        int o{k} = 0;" for k in range(len(self.arrays))],
        ]
        for d in range(last, -1, -1):
            size = f"(unsigned)at.size[{d}]"
            lines.append(f"        index = {'rest % ' + size if d else 'rest'};")
            if d:
                lines.append(f"        rest /= {size};")
            lines += [
                f"        o{k} += index * (int)at.stride[{k}][{d}];"
                for k in range(len(self.arrays))
            ]
        for k, (i, a) in enumerate(self.arrays):
            lines += [
                f"        Pack<{_stored(a)}, V> x{i};",
                f"        if (V == 1 || at.stride[{k}][{last}] == 1) x{i} = load<V>(p{i} + o{k});",
                f"        else for (int k = 0; k < V; k++) x{i}.at[k] = p{i}[o{k}];",
            ]
        return [*lines, *self._packed("        "), "    }"]


def _stored(argument: str) -> str:
    return TYPES[argument.partition(":")[0]].stored


def _kind(argument: str) -> str:
    return "bool" if argument.startswith("bool") else "A"


def joined(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """The same walk with as few dimensions as there can be: (shape, strides of each argument).

    Neighbouring dimensions are one where in every argument the outer one goes on where the inner
    one ends; those of size 1 are none.
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        inner = [s[d] for s in strides]
        if sizes and all(s[-1] == size * now for s, now in zip(steps, inner, strict=True)):
            sizes[-1] *= size
            for s, now in zip(steps, inner, strict=True):
                s[-1] = now
        else:
            sizes.append(size)
            for s, now in zip(steps, inner, strict=True):
                s.append(now)
    return tuple(sizes) or (1,), [tuple(s) or (0,) for s in steps]
