"""Runs of small steps as one compiled function: its source is written here, Numba compiles it.

These kinds of steps can be written as loops over addresses:

    Map      y[i] = f(a[i], b[i], ...)    f a formula of kernels/cpu/formulas.py
    Sum      y[j] += x[i]                 over some dimensions; of squared differences, too
    Pick     y[i, j] = x[i, index[i, j]]  and its gradient, Put
    Product  Y = A B                      a call of BLAS

Maps that follow one another over the same shape share a loop, and what only the loop itself reads
is never written to memory. The source depends on shapes and strides, not on addresses: compiled
once, it is found again on disk by later processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend.memory import address as address_of
from ..kernels.cpu import blas
from ..kernels.cpu.compiler import REASSOCIATE, Kernel, Lazy
from .trace import Op, root

ndarray = np.ndarray
F32, I64 = np.dtype(np.float32), np.dtype(np.int64)


class Map(NamedTuple):
    """y = function(*operands), elementwise; operands are arrays that broadcast to y, or numbers."""

    function: Any  # a Numba function of scalars
    identity: str
    operands: tuple[Any, ...]
    y: ndarray


class Sum(NamedTuple):
    """y = sum of x over the dimensions where y's shape, brought to x's rank, has 1; with `other`,
    which is for sums of everything, of (x − other)².
    """

    x: ndarray
    y: ndarray  # of x's rank
    factor: float = 1.0
    other: ndarray | None = None


class Pick(NamedTuple):
    """y = x at `index` along `dim`, indices that have been checked; all of one rank."""

    x: ndarray
    index: ndarray
    y: ndarray
    dim: int


class Put(NamedTuple):
    """y = zeros to which g is added at `index` along `dim`."""

    g: ndarray
    index: ndarray
    y: ndarray
    dim: int


class Product(NamedTuple):
    """Y = A B, matrices."""

    a: ndarray
    b: ndarray
    y: ndarray


class Update(NamedTuple):
    """(w, *states) = function(w, g, *states, *numbers), elementwise and in place: an optimizer."""

    function: Any
    identity: str
    w: ndarray
    g: ndarray
    states: tuple[ndarray | None, ...]
    numbers: tuple[int, int]  # from, to: where in the table of numbers
    turned: bool  # the gradient is to be negated: maximize


class Numbers:
    """Float32 numbers that change from replay to replay, and who computes them."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.prepare: list[Callable[[Any], None]] = []


# ------------------------------------------------------------------------------ source code
class Source:
    """The text of one function, and what it refers to."""

    def __init__(self, uses: dict[int, int]):
        self.uses = uses
        self.lines: list[str] = []
        self.pointers: dict[int, str] = {}  # address -> name
        self.arrays: list[ndarray] = []  # one for each pointer
        self.whole: set[str] = set()  # those of int64 numbers
        self.functions: dict[str, tuple[str, Any]] = {}  # identity -> (name, function)

    def pointer(self, x: ndarray) -> str:
        name = self.pointers.setdefault(address_of(x), f"p{len(self.pointers)}")
        if len(self.arrays) < len(self.pointers):
            self.arrays.append(x)
        if x.dtype == I64:
            self.whole.add(name)
        return name

    def function(self, step: Map | Update) -> str:
        name = f"f{len(self.functions)}"
        return self.functions.setdefault(step.identity, (name, step.function))[0]

    def text(self) -> str:
        head = [
            f"    {name} = {'ints' if name in self.whole else 'floats'}(P[{i}])"
            for i, name in enumerate(self.pointers.values())
        ]
        return "\n".join(["def segment(P, N):", *head, *self.lines]) + "\n"


class Segment:
    """All steps of a run as one compiled function of the addresses of `arrays`."""

    def __init__(self, source: Source, numbers: Numbers):
        self.arrays = source.arrays
        self.compiled = _compile(source)
        self.numbers = numbers

    def bound(self, table: ndarray) -> Callable[[], None]:
        """A call for the addresses that `table` holds when it runs."""
        compiled, prepare = self.compiled, tuple(self.numbers.prepare)
        values = np.array(self.numbers.values, np.float32)

        def run() -> None:
            for f in prepare:
                f(values)
            compiled(table, values)

        return run


def segment(run: list[tuple[Op, list[Any]]], uses: dict[int, int], numbers: Numbers) -> Segment:
    """All steps of a run as one compiled function."""
    source = Source(uses)
    maps: list[Map] = []
    for _, steps in run:
        for step in steps:
            if isinstance(step, Map) and _together(maps, step):
                maps.append(step)
                continue
            _write_maps(source, maps)
            maps = []
            if isinstance(step, Map):
                maps = [step]
            elif isinstance(step, Sum):
                _write_sum(source, step)
            elif isinstance(step, Update):
                _write_update(source, step)
            elif isinstance(step, (Pick, Put)):
                _write_pick(source, step)
            else:
                _write_product(source, step)
    _write_maps(source, maps)
    return Segment(source, numbers)


def _together(maps: list[Map], step: Map) -> bool:
    """Whether a map can join a loop: same shape, and memory that either of them writes is read by
    the other at the same place only.
    """
    if maps and maps[0].y.shape != step.y.shape:
        return False
    for m in maps:
        pairs = [(m.y, x) for x in (*step.operands, step.y)] + [(step.y, x) for x in m.operands]
        for y, x in pairs:
            if isinstance(x, ndarray) and root(x) is root(y) and not _same_place(x, y):
                return False
    return True


def _same_place(x: ndarray, y: ndarray) -> bool:
    return address_of(x) == address_of(y) and x.shape == y.shape and x.strides == y.strides


def _compile(source: Source) -> Callable:
    import hashlib  # 4 ms, and only what is compiled needs it

    text = source.text()
    functions = sorted((name, identity) for identity, (name, _) in source.functions.items())
    digest = hashlib.sha256((text + repr(functions)).encode()).hexdigest()[:24]
    if digest not in _COMPILED:
        names: dict[str, Any] = {
            "floats": FLOATS,
            "ints": INTS,
            "gemm": blas.gemm,
            "f32": np.float32,
        }
        names |= {name: function for name, function in source.functions.values()}
        # the one place where source is made: from shapes and names of this file, never from data
        exec(compile(text, f"<captured {digest}>", "exec"), names)  # noqa: S102
        function = names["segment"]
        function.__qualname__ = f"segment_{digest}"
        function.__module__ = __name__
        _COMPILED[digest] = Kernel(function, REASSOCIATE, inline=False).serial
    return _COMPILED[digest]


_COMPILED: dict[str, Callable] = {}


def _numbers(kind: str) -> Any:
    from numba import types
    from numba.extending import intrinsic

    pointer = types.CPointer(getattr(types, kind))

    @intrinsic
    def numbers(context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(pointer))

        return pointer(types.intp), generate

    return numbers


FLOATS: Any = Lazy(lambda: _numbers("float32"))
INTS: Any = Lazy(lambda: _numbers("int64"))
"""An address as something that can be indexed."""


# ------------------------------------------------------------------------------ loops
def _steps_of(x: ndarray, shape: tuple[int, ...]) -> list[int]:
    """Elements from one index to the next along each dimension of `shape`; 0 where broadcast."""
    lead, size = len(shape) - x.ndim, x.itemsize
    return [0] * lead + [
        s // size if n != 1 else 0 for s, n in zip(x.strides, x.shape, strict=True)
    ]


def _collapsed(shape: tuple[int, ...], steps: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """As few dimensions as possible: neighbours are joined where every array continues."""
    sizes: list[int] = []
    joined: list[list[int]] = [[] for _ in steps]
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all(j[-1] == s[d] * n for j, s in zip(joined, steps, strict=True)):
            sizes[-1] *= n
            for j, s in zip(joined, steps, strict=True):
                j[-1] = s[d]
        else:
            sizes.append(n)
            for j, s in zip(joined, steps, strict=True):
                j.append(s[d])
    return sizes, joined


def _index(steps: list[int]) -> str:
    terms = [f"i{d} * {s}" if s != 1 else f"i{d}" for d, s in enumerate(steps) if s]
    return " + ".join(terms) or "0"


def _open_loops(source: Source, sizes: list[int]) -> str:
    for d, n in enumerate(sizes):
        source.lines.append("    " * (d + 1) + f"for i{d} in range({n}):")
    return "    " * (len(sizes) + 1)


def _write_maps(source: Source, maps: list[Map]) -> None:
    """One loop for all of them."""
    if not maps:
        return
    shape = maps[0].y.shape
    arrays = []
    for m in maps:
        arrays += [x for x in (*m.operands, m.y) if isinstance(x, ndarray)]
    sizes, joined = _collapsed(shape, [_steps_of(x, shape) for x in arrays])
    places = {id(x): _index(j) for x, j in zip(arrays, joined, strict=True)}
    pad = _open_loops(source, sizes)
    values: dict[tuple[int, str], str] = {}  # (address, index) -> the variable that has it
    inside = _reads(maps)
    for k, m in enumerate(maps):
        terms = []
        for x in m.operands:
            if not isinstance(x, ndarray):
                terms.append(f"f32({float(x)!r})" if np.isfinite(x) else f"f32(float('{x}'))")
                continue
            key = (address_of(x), places[id(x)])
            if key not in values:
                values[key] = f"x{len(values)}_{k}"
                source.lines.append(f"{pad}{values[key]} = {source.pointer(x)}[{key[1]}]")
            terms.append(values[key])
        key = (address_of(m.y), places[id(m.y)])
        source.lines.append(f"{pad}y{k} = {source.function(m)}({', '.join(terms)})")
        values[key] = f"y{k}"
        owner = id(root(m.y))
        last = all(root(n.y) is not root(m.y) for n in maps[k + 1 :])
        if last and source.uses.get(owner, 0) > inside.get(owner, 0) or not _whole(m.y):
            source.lines.append(f"{pad}{source.pointer(m.y)}[{key[1]}] = y{k}")


def _reads(maps: list[Map]) -> dict[int, int]:
    """How often each piece of memory is read by the maps themselves, after they have written it."""
    reads: dict[int, int] = {}
    written: set[int] = set()
    for m in maps:
        for x in m.operands:
            if isinstance(x, ndarray) and id(root(x)) in written:
                reads[id(root(x))] = reads.get(id(root(x)), 0) + 1
        written.add(id(root(m.y)))
    return reads


def _whole(y: ndarray) -> bool:
    return root(y).size == y.size


def _write_sum(source: Source, step: Sum) -> None:
    x, y = step.x, step.y
    steps = [_steps_of(x, x.shape), _steps_of(y, x.shape)]
    sizes, (sx, sy) = _collapsed(x.shape, steps)
    px, py = source.pointer(x), source.pointer(y)
    factor = f" * f32({step.factor!r})" if step.factor != 1.0 else ""
    if not any(sy):  # everything to one number
        term = f"{px}[{_index(sx)}]"
        if step.other is not None:
            sizes, (sx, so) = _collapsed(x.shape, [steps[0], _steps_of(step.other, x.shape)])
            off = f"({px}[{_index(sx)}] - {source.pointer(step.other)}[{_index(so)}])"
            term = f"{off} * {off}"
        source.lines.append("    total = f32(0)")
        pad = _open_loops(source, sizes)
        source.lines.append(f"{pad}total += {term}")
        source.lines.append(f"    {py}[0] = total{factor}")
        return
    kept, (only,) = _collapsed(y.shape, [_steps_of(y, y.shape)])
    pad = _open_loops(source, kept)
    source.lines.append(f"{pad}{py}[{_index(only)}] = f32(0)")
    pad = _open_loops(source, sizes)
    source.lines.append(f"{pad}{py}[{_index(sy)}] += {px}[{_index(sx)}]")
    if factor:
        pad = _open_loops(source, kept)
        source.lines.append(f"{pad}{py}[{_index(only)}] *= f32({step.factor!r})")


def _write_pick(source: Source, step: Pick | Put) -> None:
    """Along `dim`, the number in the index takes the place of the loop's own."""
    picks = isinstance(step, Pick)
    table, line = (step.x, step.y) if isinstance(step, Pick) else (step.y, step.g)
    shape, dim = step.index.shape, step.dim
    if not picks:
        pad = _open_loops(source, list(table.shape))
        to = _index(_steps_of(table, table.shape))
        source.lines.append(f"{pad}{source.pointer(table)}[{to}] = f32(0)")
    steps = [s // 4 for s in table.strides]
    around = _index([0 if d == dim else s for d, s in enumerate(steps)])
    number = f"{source.pointer(step.index)}[{_index(_steps_of(step.index, shape))}]"
    place = f"{source.pointer(table)}[{around} + {number} * {steps[dim]}]"
    other = f"{source.pointer(line)}[{_index(_steps_of(line, shape))}]"
    pad = _open_loops(source, list(shape))
    source.lines.append(f"{pad}{other} = {place}" if picks else f"{pad}{place} += {other}")


def _write_update(source: Source, step: Update) -> None:
    pad = _open_loops(source, [step.w.size])
    w, g = source.pointer(step.w), source.pointer(step.g)
    states = [None if x is None else source.pointer(x) for x in step.states]
    reads = [f"{w}[i0]", f"-{g}[i0]" if step.turned else f"{g}[i0]"]
    reads += ["None" if x is None else f"{x}[i0]" for x in states]
    reads += [f"N[{k}]" for k in range(*step.numbers)]
    results = ["w", *[f"s{k}" for k in range(len(states))]]
    source.lines.append(f"{pad}{', '.join(results)}{',' if not states else ''} = "
                        f"{source.function(step)}({', '.join(reads)})")  # fmt: skip
    source.lines.append(f"{pad}{w}[i0] = w")
    for k, x in enumerate(states):
        if x is not None:
            source.lines.append(f"{pad}{x}[i0] = s{k}")


def _write_product(source: Source, step: Product) -> None:
    a, b, y = step
    m, k = a.shape
    n = b.shape[1]
    flip_a, flip_b = a.strides[1] != 4, b.strides[1] != 4
    lead_a = a.strides[1 if flip_a else 0] // 4
    lead_b = b.strides[1 if flip_b else 0] // 4
    # one row (or column): its stride says nothing, but BLAS wants it as long as the row
    lead_a, lead_b = max(lead_a, m if flip_a else k), max(lead_b, k if flip_b else n)
    addresses = [_address(source, x) for x in (a, b, y)]
    tables = [f"P[{list(source.pointers).index(address)}]" for address in addresses]
    source.lines.append(
        f"    gemm({flip_a}, {flip_b}, {m}, {n}, {k}, f32(1), {tables[0]}, {lead_a}, "
        f"{tables[1]}, {lead_b}, f32(0), {tables[2]}, {n})"
    )


def _address(source: Source, x: ndarray) -> int:
    source.pointer(x)
    return address_of(x)
