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
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..backend.memory import address as address_of
from ..kernels.cpu import blas, formulas, threads
from ..kernels.cpu.compiler import REASSOCIATE, Kernel, Lazy
from ..optim.elementwise import Elementwise
from .trace import Op

ndarray = np.ndarray
F32, I64 = np.dtype(np.float32), np.dtype(np.int64)

LARGEST = threads.PARALLEL
"""Elements up to which a loop stays on one thread, and so in here."""
LARGEST_PRODUCT = 1 << 18
"""Multiplications up to which OpenBLAS stays on one thread anyway."""


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
    factor: float
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


# ------------------------------------------------------------------------------ what can be lowered
def lowered(op: Op, table: Numbers) -> list[Any] | None:
    """The loops that compute what `op` does, or None."""
    y = op.results
    if op.kind == "write":
        target, source = op.args
        if not _plain(target) or not _plain(source) or target.size > LARGEST:
            return None
        return [Map(*_scalar(_copy, None), (source,), target)]
    if op.kind == "effect" and "optimizer" in op.options:
        return _optimizer_step(op.options["optimizer"], table)
    own = _OWN_CHECKS.get(op.name)
    if own is not None and op.kind == "pure":
        return own(op)
    if op.kind != "pure" or not _plain(y) or y.size > LARGEST:
        return None
    if not all(_plain(x) for x in op.args if isinstance(x, ndarray)):
        return None
    special = _SPECIAL.get(op.name)
    if special is not None:
        return special(op)
    loop = op.function.__dict__.get("loop") if callable(op.function) else None
    if loop is None:
        return None
    numbers = [op.options.get(o, loop.defaults.get(o)) for o in loop.options]
    operands = (*op.args, *numbers)
    if not all(isinstance(x, (ndarray, int, float)) for x in operands):
        return None
    try:
        return [Map(*_scalar(loop.formula, loop.name), operands, y)]
    except formulas.NoScalarForm:
        return None


def _optimizer_step(optimizer: Any, table: Numbers) -> list[Any] | None:
    """The updates of all parameters, if the optimizer is a formula over elements."""
    if not isinstance(optimizer, Elementwise) or optimizer._hooks is not None:
        return None
    sizes = [p._data.size for group in optimizer.param_groups for p in group["params"]]
    if sum(sizes) > 2 * LARGEST:
        return None  # its own threaded loops are faster
    steps: list[Any] = []
    first = len(table.values)
    try:
        function, identity = _scalar(type(optimizer).formula, None)
    except formulas.NoScalarForm:
        return None
    for group in optimizer.param_groups:
        params = [p for p in group["params"] if p._grad is not None]
        plans = (optimizer._plans or {}).get(id(group), ())
        first_values = optimizer._first(group)
        plan = next((p for p in plans if p.fits(optimizer, params, first_values)), None)
        if plan is None:
            return None
        for run in plan.runs:
            numbers = optimizer._numbers(group, list(run.values), False)
            if not all(isinstance(n, (int, float)) for n in numbers):
                return None
            place = (len(table.values), len(table.values) + len(numbers))
            table.values += map(float, numbers)
            table.prepare.append(_preparation(optimizer, group, run, place))
            for part in run.parts:
                updates = _part_updates(part, function, identity, place, group["maximize"])
                if updates is None:
                    del table.values[first:]
                    return None
                steps += updates
    return steps


def _part_updates(
    part: Any, function: Any, identity: str, place: tuple[int, int], turned: bool
) -> list[Any] | None:
    """One update for every parameter of a part, whose states lie side by side."""
    updates = []
    start = 0
    for p in part.params:
        w, g = p._data, p._grad._data
        if not (_plain(w) and _plain(g) and w.flags.c_contiguous and g.flags.c_contiguous):
            return None
        span = slice(start, start + w.size)
        states = tuple([None if x is None else x[span] for x in part.states])
        w, g = w.reshape(-1), g.reshape(-1)
        updates.append(Update(function, identity, w, g, states, place, turned))
        start += w.size
    return updates


def _preparation(optimizer: Any, group: Any, run: Any, place: tuple[int, int]) -> Callable:
    first, last = place

    def prepare(table: ndarray) -> None:
        run.agrees()
        table[first:last] = optimizer._numbers(group, run.values, False)
        for flat, value in zip(run.counters, run.values, strict=True):
            flat[...] = value
        for part in run.parts:
            for p in part.params:
                p._bump()

    return prepare


def product_of(op: Op) -> tuple[ndarray, ndarray, ndarray] | None:
    """(A, B, Y) if the call is a product of matrices whose result can be written in place."""
    special = _SPECIAL.get(op.name)
    y = op.results
    if special is None or not isinstance(y, ndarray) or not y.flags.c_contiguous:
        return None
    if op.name in ("matrix_product.a", "matrix_product.b") or op.name.startswith("affine."):
        steps = special(op)
        if steps is not None and len(steps) == 1 and isinstance(steps[0], Product):
            a, b, y = steps[0]
            return a, b, y
    if op.name == "matrix_product" and op.args[0].ndim == 2 == op.args[1].ndim:
        return (*op.args, y)
    return None


def _plain(x: Any) -> bool:
    return isinstance(x, ndarray) and x.dtype == F32 and x.size > 0


def _scalar(formula: Callable, name: str | None) -> tuple[Any, str]:
    return formulas.scalar(formula, name, F32)


def _copy(x):
    return x


def _plus(x, y):
    return x + y


def _times(x, y):
    return x * y


def _matrix(x: ndarray) -> bool:
    """Whether BLAS can read it: rows or columns without gaps inside."""
    return x.ndim == 2 and (x.strides[1] == 4 or x.strides[0] == 4) and min(x.strides) > 0


def _product(a: ndarray, b: ndarray, y: ndarray) -> list[Any] | None:
    if not (_matrix(a) and _matrix(b) and y.ndim == 2 and y.flags.c_contiguous):
        return None
    if not blas.available() or prod((*a.shape, b.shape[1])) > LARGEST_PRODUCT:
        return None
    return [Product(a, b, y)]


def _affine(op: Op) -> list[Any] | None:
    x, weight, bias = op.args
    if x.ndim != 2:
        return None
    steps = _product(x, weight.T, op.results)
    if bias is None:
        return steps
    return steps and [*steps, Map(*_scalar(_plus, None), (op.results, bias), op.results)]


def _sum_over(x: ndarray, y: ndarray, factor: float = 1.0) -> list[Any]:
    """y, seen with x's rank: its dimensions are those of x that are kept."""
    return [Sum(x, y, factor)]


def _sum_to_size(op: Op) -> list[Any] | None:
    x, y = op.args[0], op.results
    size = op.options["size"]
    return _sum_over(x, y.reshape((1,) * (x.ndim - len(size)) + tuple(size)))


def _reduced(mean: bool) -> Callable[[Op], list[Any] | None]:
    def lower(op: Op) -> list[Any] | None:
        x, y, axes = op.args[0], op.results, op.options["axes"]
        full = tuple([1 if d in axes else n for d, n in enumerate(x.shape)])
        count = prod([x.shape[d] for d in axes])
        return _sum_over(x, y.reshape(full), 1.0 / count if mean else 1.0)

    return lower


def _spread(op: Op, mean: bool) -> list[Any] | None:
    """The gradient of a sum or mean: one number for many, held once and seen as many."""
    g, axes, _, shape = op.args
    once = _owner(op.results)
    if once.size != g.size:
        return None
    factor = 1.0 / max(prod([shape[d] for d in axes]), 1) if mean else 1.0
    return [Map(*_scalar(_times, None), (g, factor), once.reshape(g.shape))]


def _small(*arrays: Any) -> bool:
    return all([_plain(x) and x.ndim > 0 and x.size <= LARGEST for x in arrays])


def _gather(op: Op) -> list[Any] | None:
    (x, index), y = op.args, op.results
    fits = _small(x, y) and index.dtype == I64 and index.ndim == x.ndim
    return [Pick(x, index, y, op.options["dim"])] if fits else None


def _gather_back(op: Op) -> list[Any] | None:
    (g, index, dim, _), y = op.args, op.results
    fits = _small(g, y) and index.dtype == I64 and index.ndim == y.ndim
    return [Put(g, index, y, dim)] if fits else None


def _mse(op: Op) -> list[Any] | None:
    (x, t), y = op.args, op.results
    if not _small(x, t):
        return None
    return [Sum(x, y.reshape((1,) * x.ndim), 1 / op.options["over"], t)]


def _mse_slope(g, x, t, factor):
    return g * factor * (x - t)


def _mse_back(op: Op) -> list[Any] | None:
    g, x, t, _, over, needs = op.args
    if not _small(x, t) or needs[1]:
        return None
    return [Map(*_scalar(_mse_slope, None), (g, x, t, 2 / over), op.results[0])]


_OWN_CHECKS: dict[str, Callable[[Op], list[Any] | None]] = {
    "gather": _gather,
    "gather.x": _gather_back,
    "mse": _mse,
    "mse.joint": _mse_back,
}
"""Calls whose arguments or results are not all float32 arrays."""
_SPECIAL: dict[str, Callable[[Op], list[Any] | None]] = {
    "affine": _affine,
    "affine.x": lambda op: (
        _product(op.args[0], op.args[1], op.results) if op.args[0].ndim == 2 else None
    ),
    "affine.weight": lambda op: (
        _product(op.args[0].T, op.args[1], op.results) if op.args[0].ndim == 2 else None
    ),
    "affine.bias": lambda op: _sum_over(
        op.args[0], op.results.reshape((1,) * (op.args[0].ndim - 1) + op.results.shape)
    ),
    "matrix_product": lambda op: _product(op.args[0], op.args[1], op.results),
    "matrix_product.a": lambda op: _product(op.args[0], op.args[1].T, op.results),
    "matrix_product.b": lambda op: _product(op.args[1].T, op.args[0], op.results),
    "sum_to_size": _sum_to_size,
    "reduce_mean.x": lambda op: _spread(op, mean=True),
    "reduce_sum.x": lambda op: _spread(op, mean=False),
    "reduce_sum": _reduced(mean=False),
    "reduce_mean": _reduced(mean=True),
    "copy": lambda op: [Map(*_scalar(_copy, None), (op.args[0],), op.results)],
    "add": lambda op: (
        [Map(*_scalar(_plus, None), op.args, op.results)]
        if all(isinstance(x, (ndarray, int, float)) for x in op.args)
        else None
    ),
}


# ------------------------------------------------------------------------------ source code
class Source:
    """The text of one function, and what it refers to."""

    def __init__(self, uses: dict[int, int]):
        self.uses = uses
        self.lines: list[str] = []
        self.pointers: dict[int, str] = {}  # address -> name
        self.whole: set[str] = set()  # those of int64 numbers
        self.functions: dict[str, tuple[str, Any]] = {}  # identity -> (name, function)

    def pointer(self, x: ndarray) -> str:
        name = self.pointers.setdefault(address_of(x), f"p{len(self.pointers)}")
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


def segment(
    run: list[tuple[Op, list[Any]]], uses: dict[int, int], numbers: Numbers
) -> Callable[[], None]:
    """All steps of a run as one compiled call."""
    source = Source(uses)
    maps: list[Map] = []
    for _, steps in run:
        for step in steps:
            if isinstance(step, Map) and (not maps or _together(maps[0], step)):
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
    compiled = _compile(source)
    table = np.array(list(source.pointers), np.int64)
    values = np.array(numbers.values, np.float32)
    prepare = tuple(numbers.prepare)

    def run_segment() -> None:
        for f in prepare:
            f(values)
        compiled(table, values)

    return run_segment


def _together(first: Map, step: Map) -> bool:
    """Whether a map can join a loop: same shape, and it reads nothing that the loop writes except
    at the same place.
    """
    return first.y.shape == step.y.shape


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
    values: dict[tuple[str, str], str] = {}  # (pointer, index) -> the variable that has it
    inside = _reads(maps)
    for k, m in enumerate(maps):
        terms = []
        for x in m.operands:
            if not isinstance(x, ndarray):
                terms.append(f"f32({float(x)!r})" if np.isfinite(x) else f"f32(float('{x}'))")
                continue
            key = (source.pointer(x), places[id(x)])
            if key not in values:
                values[key] = f"x{len(values)}_{k}"
                source.lines.append(f"{pad}{values[key]} = {key[0]}[{key[1]}]")
            terms.append(values[key])
        key = (source.pointer(m.y), places[id(m.y)])
        source.lines.append(f"{pad}y{k} = {source.function(m)}({', '.join(terms)})")
        values[key] = f"y{k}"
        owner = id(_owner(m.y))
        last = all(_owner(n.y) is not _owner(m.y) for n in maps[k + 1 :])
        if last and source.uses.get(owner, 0) > inside.get(owner, 0) or not _whole(m.y):
            source.lines.append(f"{pad}{key[0]}[{key[1]}] = y{k}")


def _reads(maps: list[Map]) -> dict[int, int]:
    """How often each piece of memory is read by the maps themselves, after they have written it."""
    reads: dict[int, int] = {}
    written: set[int] = set()
    for m in maps:
        for x in m.operands:
            if isinstance(x, ndarray) and id(_owner(x)) in written:
                reads[id(_owner(x))] = reads.get(id(_owner(x)), 0) + 1
        written.add(id(_owner(m.y)))
    return reads


def _owner(x: ndarray) -> ndarray:
    while isinstance(x.base, ndarray):
        x = x.base
    return x


def _whole(y: ndarray) -> bool:
    return _owner(y).size == y.size


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
