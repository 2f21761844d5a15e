"""Starting kernels through CuPy: which form of a kernel fits the arrays, how many blocks, and go.

`run_loop` is what a compiled formula (kernels/cpu/loops.py) asks for arrays on a GPU. Everything
that it decides from (shapes, strides, addresses) is known without waiting for the GPU, so that a
launch can be captured in a graph.
"""

from __future__ import annotations

import functools
from math import prod
from typing import Any

import numpy as np

from ...backend import philox
from ...backend.devices import array_module, cuda_module
from ..cpu import loops
from . import reductions
from . import rows as row_kernels
from .dropout import advance
from .dropout import dropout as dropout_kernel
from .elementwise import MOST_DIMS, NUMBER, elementwise, joined
from .embedding import embedding_backward as embedding_kernel
from .expressions import NoScalarForm
from .source import BYTES, FLOATS, INDICES, TYPES, Source, from_file, row_group, vector, width

BLOCKS_PER_PROCESSOR = 8
"""Of 256 threads: as many threads as a multiprocessor holds; kernels walk on by the grid."""
USUAL_SHARED = 48 << 10
"""Bytes of shared memory that a block gets without asking for more."""
MOST_ROWS = (1 << 16) - 1
"""Of a grid's second dimension."""
PART = 4096
"""Elements of a long row that are worth a block."""
MOST_ELEMENTS = 1 << 31
"""Offsets are 32 bits wide in strided kernels."""

_FUNCTIONS: dict[str, Any] = {}
_SOURCES: dict[Any, Source | None] = {}


def start(source: Source, grid: tuple[int, ...], arguments: list[Any]) -> None:
    """Start a kernel on the current stream; it is compiled when it is first needed."""
    function = _FUNCTIONS.get(source.name)
    if function is None:
        module = cuda_module().RawModule(
            code=source.program(), options=("--std=c++17",), backend="nvrtc"
        )
        function = _FUNCTIONS[source.name] = module.get_function(source.name)
        if source.shared > USUAL_SHARED:
            function.max_dynamic_shared_size_bytes = source.shared
    function(grid, (source.block,), tuple(arguments), shared_mem=source.shared)


def blocks(items: int, per_block: int = 256) -> int:
    """Blocks for so many items, but no more than the GPU can hold at once."""
    most = cuda_module().cuda.Device().attributes["MultiProcessorCount"] * BLOCKS_PER_PROCESSOR
    return max(1, min(-(-items // per_block), most))


def aligned(*arrays: Any) -> bool:
    """Whether all start at multiples of 16 bytes."""
    return all([x.data.ptr % BYTES == 0 for x in arrays])


_TICKETS: dict[tuple[int, int], Any] = {}
MOST_TICKETS = 1 << 12


def ticket(count: int = 1) -> Any:
    """Numbers at 0 that blocks of a launch count up, to know which is the last. Every launch leaves
    them at 0, and launches of one stream follow each other, so that there are some for each stream.
    """
    cuda = cuda_module().cuda
    stream = cuda.get_current_stream()
    key = (cuda.Device().id, stream.ptr)
    found = _TICKETS.get(key) if count <= MOST_TICKETS else None
    if found is None:
        found = cuda_module().zeros(max(count, MOST_TICKETS), "uint32")
        if not stream.is_capturing():  # else it is 0 when the graph runs, and not before
            _TICKETS[key] = found
    return found


# ------------------------------------------------------------------------------ formulas
def run_loop(loop: loops.Loop, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """A formula of arrays on a GPU as one launch; None where the formula has to run as it is."""
    if loop.options:
        given = [options[o] if o in options else loop.defaults[o] for o in loop.options]
        args = (*args, *given)
    kinds = [_kind(a) for a in args]
    floating = {k.partition(":")[0] for k in kinds if k} - {NUMBER, "bool"}
    arrays = [a for a, k in zip(args, kinds, strict=True) if k and k != NUMBER and ":" not in k]
    if None in kinds or len(floating) != 1 or not arrays:
        return None
    try:
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
    except ValueError:
        return None  # the formula says what is wrong
    n = prod(shape)
    if not 0 < n < MOST_ELEMENTS:
        return None
    v = width(*[a.itemsize for a in arrays if a.dtype != bool])
    layout: list[Any] = []
    if all([a.shape == shape and a.flags.c_contiguous for a in arrays]):
        dims, wide = 0, aligned(*arrays)
    else:
        sizes, steps = joined(shape, [_steps(a, len(shape)) for a in arrays])
        dims, wide = len(sizes), aligned(*arrays) and _moves_together(sizes, steps, v)
        if dims > MOST_DIMS:
            return None
        layout = [_by_value(sizes, steps)]
    source = _source_of(loop, tuple(kinds), dims, wide)
    if source is None:
        return None
    dtype = floating.pop()
    compute = np.float64 if TYPES[dtype].computed == "double" else np.float32
    result = "bool" if source.results[0] == "bool" else arrays_dtype(arrays, dtype)
    y = array_module(arrays[0]).empty(shape, result)
    values = [compute(a) if k == NUMBER else a for a, k in zip(args, kinds, strict=True)]
    per_block = source.block * (v if wide else 1)
    start(source, (blocks(n, per_block),), [np.int64(n), *values, y, *layout])
    return y


def arrays_dtype(arrays: list[Any], name: str) -> Any:
    """The dtype of this name, as the arrays have it."""
    return next(a.dtype for a in arrays if a.dtype.name == name)


def _kind(x: Any) -> str | None:
    """How `elementwise` names an argument; None for one that no kernel takes."""
    if array_module(x) is not np:
        name = x.dtype.name
        if name not in TYPES:
            return None
        return name if x.ndim else f"{name}:1"
    if isinstance(x, (int, float, np.floating, np.integer)):
        return NUMBER
    return None


def _steps(x: Any, ndim: int) -> tuple[int, ...]:
    """Elements from one index to the next along each dimension of the result; 0 where broadcast."""
    pairs = zip(x.strides, x.shape, strict=True)
    return (*[0] * (ndim - x.ndim), *[s // x.itemsize if n != 1 else 0 for s, n in pairs])


def _moves_together(sizes: tuple[int, ...], steps: list[tuple[int, ...]], v: int) -> bool:
    """Whether v neighbours along the last dimension start at multiples of v in every argument."""
    return sizes[-1] % v == 0 and all(
        [s[-1] == 0 or (s[-1] == 1 and all([n % v == 0 for n in s[:-1]])) for s in steps]
    )


def _by_value(sizes: tuple[int, ...], steps: list[tuple[int, ...]]) -> Any:
    """The kernel's struct Layout."""
    dims = len(sizes)
    kind = np.dtype([("size", np.int64, (dims,)), ("stride", np.int64, (len(steps), dims))])
    layout = np.zeros(1, kind)
    layout["size"], layout["stride"] = sizes, steps
    return layout


def _source_of(loop: loops.Loop, kinds: tuple[Any, ...], dims: int, wide: bool) -> Source | None:
    key = (loop, kinds, dims, wide)
    if key not in _SOURCES:
        try:
            found = elementwise(loop.formula, loop.name, kinds, dims=dims, wide=wide)
        except NoScalarForm:
            found = None
        _SOURCES[key] = found
    return _SOURCES[key]


# ------------------------------------------------------------------------------ rows
def _rows_of(x: Any) -> tuple[int, int]:
    n = x.shape[-1]
    return (x.size // n if n else 0), n


def fits(*arrays: Any) -> bool:
    """Whether kernels take these arrays: of one floating dtype, in one piece, not empty."""
    first = arrays[0]
    return all(
        [
            a is None
            or (
                a.dtype.name in FLOATS
                and a.dtype == first.dtype
                and a.size
                and a.flags.c_contiguous
            )
            for a in arrays
        ]
    )


def _start_rows(source: Source, rows: int, n: int, rest: list[Any]) -> None:
    per_block = source.block // row_group(n)
    start(source, (blocks(rows, per_block),), [np.int64(rows), np.int32(n), *rest])


def softmax(x: Any, axis: int, logarithm: bool = False) -> Any:
    """Softmax along the last axis in one launch, or None."""
    if axis % x.ndim != x.ndim - 1 or not fits(x):
        return None
    rows, n = _rows_of(x)
    y = array_module(x).empty(x.shape, x.dtype)
    source = row_kernels.softmax(x.dtype.name, n, logarithm=logarithm, wide=aligned(x, y))
    _start_rows(source, rows, n, [x, y])
    return y


def softmax_backward(g: Any, y: Any, axis: int, logarithm: bool = False) -> Any:
    """The gradient of `softmax` from its result, or None."""
    if axis % y.ndim != y.ndim - 1 or g.shape != y.shape or not fits(y, g):
        return None
    rows, n = _rows_of(y)
    x_bar = array_module(y).empty(y.shape, y.dtype)
    wide = aligned(g, y, x_bar)
    source = row_kernels.softmax_backward(y.dtype.name, n, logarithm=logarithm, wide=wide)
    _start_rows(source, rows, n, [g, y, x_bar])
    return x_bar


def cross_entropy(x: Any, target: Any, ignore_index: int, smoothing: float) -> Any:
    """(loss, norm) of rows of logits (rows, n), in the dtype of the computation; or None.

    Targets are not looked at here: one that is no class makes its loss nan.
    """
    if x.ndim != 2 or not fits(x) or target.dtype.name not in INDICES:
        return None
    rows, n = x.shape
    compute = _compute(x)
    xp = array_module(x)
    loss, norm = xp.empty(rows, compute), xp.empty(rows, compute)
    source = row_kernels.cross_entropy(
        x.dtype.name, n, index=target.dtype.name, smooth=smoothing > 0, wide=aligned(x)
    )
    tail = [np.int64(ignore_index), compute(smoothing), loss, norm]
    _start_rows(source, rows, n, [x, xp.ascontiguousarray(target), *tail])
    return loss, norm


def mean_loss(x: Any, loss: Any, target: Any, ignore_index: int, mean: bool) -> tuple[Any, Any]:
    """(mean or sum of the losses of `cross_entropy` in x's dtype, how many count or None)."""
    xp = array_module(x)
    y, total = xp.empty((), x.dtype), xp.empty((), loss.dtype) if mean else None
    source = row_kernels.mean_loss(x.dtype.name, index=target.dtype.name)
    tail = [xp.ascontiguousarray(target), np.int64(ignore_index), y, total]
    start(source, (1,), [np.int64(loss.size), loss, *tail])
    return y, total


def cross_entropy_backward(
    g: Any, x: Any, target: Any, ignore_index: int, smoothing: float, norm: Any
) -> Any:
    """The gradient of `cross_entropy` for rows it took; g is one value, or one for each row."""
    rows, n = x.shape
    compute, xp = _compute(x), array_module(x)
    x_bar = xp.empty(x.shape, x.dtype)
    source = row_kernels.cross_entropy_backward(
        x.dtype.name, n, index=target.dtype.name, per_row=g.size > 1, wide=aligned(x, x_bar)
    )
    g = xp.ascontiguousarray(g.astype(compute, copy=False))
    target = xp.ascontiguousarray(target)
    tail = [np.int64(ignore_index), compute(smoothing), norm, x_bar]
    grid = (blocks(rows * n, source.block * vector(source)),)
    start(source, grid, [np.int64(rows), np.int32(n), g, x, target, *tail])
    return x_bar


def norm(
    x: Any, weight: Any, bias: Any, axes: tuple[int, ...], eps: float, *, rms: bool = False,
    more: Any = None,
) -> Any:  # fmt: skip
    """(y, mean, rstd) of rows along the last axis, or None; of RMS norm, the mean is None. With
    `more`, of x + more, which comes last.
    """
    if axes != (-1,) or not fits(x, weight, bias, more):
        return None
    rows, n = _rows_of(x)
    xp, compute = array_module(x), _compute(x)
    y, rstd = xp.empty(x.shape, x.dtype), xp.empty(rows, compute)
    mean = None if rms else xp.empty(rows, compute)
    source = row_kernels.norm(
        x.dtype.name, n, rms=rms, weight=weight is not None, bias=bias is not None,
        add=more is not None, wide=_wide(x, weight, bias, more),
    )  # fmt: skip
    total = None if more is None else xp.empty(x.shape, x.dtype)
    _start_rows(source, rows, n, [x, weight, bias, compute(eps), y, mean, rstd, more, total])
    return (y, mean, rstd) if more is None else (y, mean, rstd, total)


def norm_backward(
    g: Any, x: Any, weight: Any, mean: Any, rstd: Any, needs: tuple[bool, ...], *,
    rms: bool = False, more: Any = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Gradients of x, weight and bias: one launch for x (plus `more`), one for the others."""
    rows, n = _rows_of(x)
    xp, compute = array_module(x), _compute(x)
    g, name = xp.ascontiguousarray(g), x.dtype.name
    x_bar = weight_bar = bias_bar = None
    if needs[0]:
        x_bar = xp.empty(x.shape, x.dtype)
        more = None if more is None else xp.ascontiguousarray(more)
        source = row_kernels.norm_backward(
            name, n, rms=rms, weight=weight is not None, add=more is not None,
            wide=_wide(x, g, weight, more),
        )  # fmt: skip
        _start_rows(source, rows, n, [g, x, weight, mean, rstd, x_bar, more])
    if any(needs[1:]):
        source = row_kernels.norm_weights(name, n, rms=rms, bias=not rms, wide=_wide(x, g))
        columns, parts = -(-n // (32 * vector(source))), max(1, min(64, rows // 64))
        sums = xp.empty((2, parts, n), compute)
        weight_bar, bias_bar = xp.empty(n, x.dtype), None if rms else xp.empty(n, x.dtype)
        tail = [sums[0], sums[1], ticket(columns), weight_bar, bias_bar]
        head = [np.int64(rows), np.int32(n)]
        start(source, (columns, parts), [*head, g, x, mean, rstd, *tail])
    return x_bar, weight_bar if needs[1] else None, bias_bar if needs[-1] else None


# ------------------------------------------------------------------------------ reductions
def reduction(
    op: str, x: Any, axes: tuple[int, ...], keepdim: bool, *, scale: float = 1.0,
    result: str | None = None, dtype: Any = None,
) -> Any:  # fmt: skip
    """A sum, product or extremum over neighbouring axes, times `scale`; or None. A dtype other than
    that of x is given by its name, `result`, and itself.
    """
    axes = tuple(sorted([a % x.ndim for a in axes]))
    if not axes or axes != tuple(range(axes[0], axes[-1] + 1)) or not fits(x):
        return None
    outer, n, inner = [
        prod(part) for part in (x.shape[: axes[0]], x.shape[axes[0] : axes[-1] + 1],
                                x.shape[axes[-1] + 1 :])
    ]  # fmt: skip
    name, result = x.dtype.name, result or x.dtype.name
    kept = [1 if d in axes else size for d, size in enumerate(x.shape)]
    shape = kept if keepdim else [size for d, size in enumerate(x.shape) if d not in axes]
    y = array_module(x).empty(shape, dtype or x.dtype)
    compute = _compute(x)
    if inner > 1:
        source = reductions.columns(name, inner, op, result=result, wide=aligned(x))
        head = [np.int64(outer), np.int64(n), np.int64(inner)]
        grid = (-(-inner // (32 * vector(source))), min(outer, MOST_ROWS))
        start(source, grid, [*head, np.int32(1), compute(scale), x, y])
        return y
    parts = max(1, min(blocks(1 << 30) // outer, n // PART))
    if parts > 1:  # few and long rows: several blocks to each, and then their results
        sums = array_module(x).empty((outer, parts), compute)
        source = reductions.rows(name, n, op, result=np.dtype(compute).name, wide=aligned(x))
        head = [np.int64(outer), np.int64(n), np.int32(parts)]
        start(source, (blocks(outer * parts, 1),), [*head, compute(1), x, sums])
        name, n, x = np.dtype(compute).name, parts, sums
    source = reductions.rows(name, n, op, result=result, wide=aligned(x))
    grid = (blocks(outer, source.block // row_group(n)),)
    start(source, grid, [np.int64(outer), np.int64(n), np.int32(1), compute(scale), x, y])
    return y


def _wide(*arrays: Any) -> bool:
    return aligned(*[a for a in arrays if a is not None])


def _compute(x: Any) -> Any:
    """NumPy's type of the numbers in which a kernel computes."""
    return np.float64 if TYPES[x.dtype.name].computed == "double" else np.float32


def embedding_backward(g: Any, index: Any, table: Any) -> Any:
    """`table` (of zeros) with the rows of g (count, n) added at `index`, in order of position."""
    count, n = g.shape
    if not count or not n:
        return table
    g = array_module(g).ascontiguousarray(g)
    order = index.argsort(kind="stable")
    ordered = index[order].astype(np.int64, copy=False)
    source = embedding_kernel(g.dtype.name, n, wide=aligned(g, table))
    columns = -(-n // (32 * vector(source)))
    arguments = [np.int64(count), np.int32(n), ordered, order, np.int64(-1), g, table]
    start(source, (blocks(count, 8), columns), arguments)
    return table


# ------------------------------------------------------------------------------ dropout
def dropout(x: Any, p: float, bits: Any) -> Any:
    """x / (1 − p) where the random numbers of `bits` (`dropout_bits`) say so, else 0; the same
    kernel makes the gradient, with the same numbers.
    """
    x = array_module(x).ascontiguousarray(x)
    y = array_module(x).empty(x.shape, x.dtype)
    if not x.size:
        return y
    source = dropout_kernel(x.dtype.name, wide=aligned(x, y))
    arguments = [np.int64(x.size), np.float32(1 - p), np.uint64(bits.seed), np.uint64(bits.offset)]
    start(source, (blocks(x.size, source.block),), [*arguments, bits.base, x, y])
    return y


def dropout_bits(x: Any, generator: Any) -> philox.Bits:
    """The random numbers that `dropout` of x uses up."""
    threads = blocks(x.size) * 256
    return philox.take(generator, x.device.id, advance(max(x.size, 1), threads))


MOST_WORDS = 32


def write_words(to: Any, values: Any) -> None:
    """Numbers into a small array of 8-byte items on the GPU, in the order of the stream and without
    waiting for it.
    """
    given = np.asarray(values, to.dtype)
    words = np.zeros(MOST_WORDS, np.uint64)
    words[: given.size] = given.view(np.uint64)
    packed = words.view(np.dtype([("at", np.uint64, (MOST_WORDS,))]))
    start(_word_writer(), (1,), [np.int32(given.size), to, packed])


@functools.cache
def _word_writer() -> Source:
    """(count, to, words)."""
    text = from_file("write_words.cuh", "write_words", {}, {"MOST": MOST_WORDS})
    return Source("write_words", text, block=32)
