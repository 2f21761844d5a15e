"""Kernels over many arrays at once, as the tensors of an optimizer are: one launch, however many.

Addresses and sizes come with the launch, in a table of up to 32,764 bytes (what CUDA 12.1 and later
give a kernel for its parameters, on compute capability 7.0 and later). The arrays are cut into
chunks, and every block takes chunks in turn, so that large and small arrays keep the GPU equally
busy (PyTorch's multi-tensor apply cuts them so, too).

    tensors.Table at     addresses [ARRAYS][K], sizes [K], and the number of the first chunk of each
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .expressions import trace, trace_numbers
from .source import TYPES, Source, from_file, width

CHUNK = 1 << 14
PARAMETERS = 32000
"""Bytes for the table: some of the 32,764 are for other parameters."""


def most(arrays: int) -> int:
    """How many tensors, of so many arrays each, the largest table takes."""
    return (PARAMETERS - 8) // (8 * arrays + 12)


def capacity(count: int, arrays: int) -> int:
    """The size of the table for so many tensors: one of few, so that there are few kernels."""
    return next((k for k in (16, 128) if count <= k), most(arrays))


@functools.cache
def table_type(arrays: int, k: int) -> np.dtype:
    """The kernels' struct Table."""
    fields = [
        ("at", np.uint64, (arrays, k)),
        ("size", np.int64, (k,)),
        ("first", np.int32, (k + 1,)),
    ]
    return np.dtype(fields, align=True)


def _over_many(
    file: str, name: str, dtype: str, arrays: int, k: int, more: Mapping[str, Any], **flags: Any
) -> Source:
    """A kernel of a .cuh file, which many.cuh stands before."""
    kind = TYPES[dtype]
    numbers = {"V": width(kind.size), "ARRAYS": arrays, "K": k, "CHUNK": CHUNK, **flags}
    types = {"T": kind.stored, "A": kind.computed, **more}
    return Source(name, from_file(("many.cuh", file), name, types, numbers))


# ------------------------------------------------------------------------------ gradients
@functools.cache
def norm(dtype: str, k: int, *, result: str = "float32", largest: bool = False) -> Source:
    """(count, chunks, before, parts, ticket, total, out, at): the 2-norm of all, or their largest
    magnitude.

    parts   double for each block           ticket  0, and left so
    before  the `total` of other arrays that belong to them, or null
    total   double: Σ x², or max |x|        out     the norm in dtype `result`
    """
    name = f"many_{'largest' if largest else 'norm'}_{dtype}_{result}_{k}"
    types = {"R": TYPES[result].stored}
    return _over_many("many_norm.cuh", name, dtype, 1, k, types, LARGEST=largest)


@functools.cache
def shrink(dtype: str, k: int, *, result: str = "float32") -> Source:
    """(count, chunks, bound, norm, at): all times bound / (norm + 1e-6), if that is below 1."""
    name = f"many_shrink_{dtype}_{result}_{k}"
    return _over_many("many_shrink.cuh", name, dtype, 1, k, {"R": TYPES[result].stored})


@functools.cache
def unscale(dtype: str, k: int) -> Source:
    """(count, chunks, scale, found, at): all divided by `scale`; found = 1 if one is inf or nan."""
    return _over_many("many_unscale.cuh", f"many_unscale_{dtype}_{k}", dtype, 1, k, {})


@functools.cache
def update_scale() -> Source:
    """(scale, tracker, found, growth, backoff, interval), for one thread."""
    name = "update_scale"
    return Source(name, from_file("update_scale.cuh", name, {}, {}), block=32)


# ------------------------------------------------------------------------------ optimizers
def step(
    formula: Callable,
    states: str,
    dtype: str,
    k: int,
    numbers: Callable,
    group: Mapping[str, Any],
    *,
    counters: Sequence[str] = (),
    fresh: bool = False,
    maximize: bool = False,
) -> Source:
    """The step of an optimizer for tensors of one dtype: `formula(w, g, *states, *numbers)`, the
    formula that runs on NumPy and is compiled for the CPU, of every element.

    states    "1" for a state that is given, "0" for None
    numbers   (group, counters, fresh) -> what the formula is given beside arrays; it counts the
              counters up. It is computed in double precision by every block, from the options
              (`options_of`) and counters in device memory: so a captured step goes on counting.
    counters  dtype of each counter

    (count, chunks, options, counters, kept, advance, ticket, skip, at): counters are [·][kept], and
    are counted up if `advance`; nothing happens where `skip` is given and not 0.
    """
    given = 2 + states.count("1")
    ways = trace_numbers(numbers, group, options_of(group)[1], len(counters), fresh)
    found = ways.results[: len(ways.results) - len(counters)]
    kinds = ["real", "real", *[None if s == "0" else "real" for s in states]]
    expression = trace(formula, None, [*kinds, *["real"] * len(found)])
    where = [0, 1, *[2 + states[:i].count("1") for i in range(len(states))]]
    arrays = [(i, where[i]) for i, kind in enumerate(kinds) if kind]
    used = set(re.findall(r"\ba\d+\b", repr(expression)))
    names = {i: f"a{len(kinds) + i}" for i in range(len(found))}
    lines = [f"const A {name} = numbers[{i}];" for i, name in names.items() if name in used]
    inside = [f"A a{i} = widen(x{i});" for i, _ in arrays]
    inside += ["a1 = -a1;"] if maximize else []
    inside += expression.lines
    written = [a for i, a in arrays if i != 1]
    results = list(zip(written, [value for value, _ in expression.results], strict=True))
    kind = TYPES[dtype]
    counter = TYPES[counters[0]].stored if counters else "float"
    text = _STEP.format(
        body="\n".join(ways.lines),
        options="\n".join([f"const double {name} = options[{i}];" for i, name in ways.options]),
        counters="\n".join([f"const double c{i} = counts[{i}];" for i in range(len(counters))]),
        numbers="\n".join([f"out[{i}] = (Data)({value});" for i, (value, _) in enumerate(found)]),
        counted="\n".join(
            [f"counts[{i}] = (C)({v});" for i, (v, _) in enumerate(ways.results[len(found) :])]
        ),
        given="\n".join(lines),
        load="\n".join([f"const Pack<T, V> x{i} = load<V>(p{a} + i);" for i, a in arrays]),
        open="\n".join([f"const T x{i} = p{a}[i];" for i, a in arrays]),
        at="\n".join([f"T *p{a} = at.at[{a}][k] + start;" for _, a in arrays]),
        wide=" | ".join([f"(unsigned long long)p{a}" for _, a in arrays]),
        each="\n".join([line.replace("widen(x", "widen(y") for line in inside]),
        neighbours="\n".join([f"const T y{i} = x{i}.at[j];" for i, _ in arrays]),
        packs="\n".join([f"Pack<T, V> z{a};" for a in written]),
        pack="\n".join([f"z{a}.at[j] = narrow<T>({v});" for a, v in results]),
        store="\n".join([f"store(p{a} + i, z{a});" for a in written]),
        one="\n".join(inside),
        put="\n".join([f"p{a}[i] = narrow<T>({v});" for a, v in results]),
    )  # fmt: skip
    import hashlib  # 5 ms that `import minigrad` need not wait for

    digest = hashlib.sha256(f"{text} {dtype} {counter} {k} {given}".encode()).hexdigest()[:16]
    name = f"step_{formula.__name__}_{digest}"
    values = {"V": width(kind.size), "ARRAYS": given, "K": k, "CHUNK": CHUNK,
              "NUMBERS": max(1, len(found)), "COUNTERS": len(counters)}  # fmt: skip
    types = {"T": kind.stored, "A": kind.computed, "C": counter}
    head = from_file("many.cuh", name, types, values)
    return Source(name, head + f"namespace in_{name} {{\n{text.replace('NAME', name)}}}\n")


def options_of(group: Mapping[str, Any]) -> tuple[list[float], dict[str, Any]]:
    """The numbers among a group's options, and for each option its places among them: an int, or a
    tuple of ints for one of several numbers.
    """
    values: list[float] = []
    places: dict[str, Any] = {}
    for name, option in group.items():
        if name == "params" or isinstance(option, (bool, str, dict, list)) or option is None:
            continue
        if isinstance(option, tuple):
            if all([_is_number(v) for v in option]):
                places[name] = tuple(range(len(values), len(values) + len(option)))
                values += [_number(v) for v in option]
        elif _is_number(option):
            places[name] = len(values)
            values.append(_number(option))
    return values, places


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, np.number)) or getattr(x, "numel", lambda: 0)() == 1


def _number(x: Any) -> float:
    return float(x) if isinstance(x, (int, float, np.number)) else float(x.item())


_STEP = """
typedef A Data;
static __device__ void numbers_of(const double *options, C *counts, Data *out) {{
    typedef double A;
    {options}
    {counters}
    {body}
    {numbers}
    {counted}
}}

extern "C" __global__ void __launch_bounds__(256, 4)
NAME(const int count, const int chunks, const double *options, C *counters, const int kept,
     const int advance, unsigned *ticket, const float *skip, const Table at) {{
    __shared__ Data numbers[NUMBERS];
    __shared__ C counts[COUNTERS + 1];
    __shared__ unsigned last;
    if (skip && *skip != 0) return;
    if (threadIdx.x == 0) {{
        for (int i = 0; i < COUNTERS; i++) counts[i] = counters[(Index)i * kept];
        numbers_of(options, counts, numbers);
        last = 0;
        if (advance) {{  // the last block to have read the counters writes them
            __threadfence();
            last = atomicAdd(ticket, 1u) == gridDim.x - 1;
        }}
    }}
    __syncthreads();
    if (last) {{
        for (int i = 0; i < COUNTERS; i++)
            for (int p = threadIdx.x; p < kept; p += blockDim.x)
                counters[(Index)i * kept + p] = counts[i];
        if (threadIdx.x == 0) *ticket = 0;
    }}
    {given}
    for (int c = blockIdx.x; c < chunks; c += gridDim.x) {{
        const int k = tensor_of(at, count, c);
        const Index start = (Index)(c - at.first[k]) * CHUNK;
        const int n = length(at, k, start);
        {at}
        const bool wide = (({wide}) & 15) == 0;
        const int whole = wide ? n / V * V : 0;
        for (int i = threadIdx.x * V; i < whole; i += blockDim.x * V) {{
            {load}
            {packs}
#pragma unroll
            for (int j = 0; j < V; j++) {{
                {neighbours}
                {each}
                {pack}
            }}
            {store}
        }}
        for (int i = whole + threadIdx.x; i < n; i += blockDim.x) {{
            {open}
            {one}
            {put}
        }}
    }}
}}
"""
